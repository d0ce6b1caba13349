"""A record every few milliseconds, each waited for: what something else costs whoever writes so."""

from __future__ import annotations

import time

from odradek import Producer
from odradek.testing import Cluster

PAUSE_S = 0.005
WAIT_S = 120.0


def latencies_ms(cluster: Cluster, topic: str, value: bytes, seconds: float) -> list[float]:
    """Write to ``topic`` with ``acks=all``; return how long each write took, sorted."""
    took: list[float] = []
    with Producer(bootstrap_servers=cluster.bootstrap, acks="all") as producer:
        producer.send(topic, value).result(WAIT_S)
        until_s = time.perf_counter() + seconds
        while (began := time.perf_counter()) < until_s:
            producer.send(topic, value).result(WAIT_S)
            took.append((time.perf_counter() - began) * 1000)
            time.sleep(PAUSE_S)
    return sorted(took)


def percentile(values: list[float], part: float) -> float:
    """Return a percentile of sorted values."""
    return values[min(len(values) - 1, int(len(values) * part))]
