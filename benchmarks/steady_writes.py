"""A record every few milliseconds, whatever became of the one before: what else costs whoever writes so.

How long a write takes counts from the moment at which it was due. A writer that waited for each
answer would send less while answers are late, and find less of that lateness (coordinated omission).
"""

from __future__ import annotations

import time
from concurrent.futures import Future
from functools import partial

from odradek import Producer, RecordMetadata
from odradek.testing import Cluster

PAUSE_S = 0.005
WAIT_S = 120.0


def latencies_ms(cluster: Cluster, topic: str, value: bytes, seconds: float) -> list[float]:
    """Write to ``topic`` with ``acks=all``; return how long each write took, sorted."""
    took: list[float] = []
    writes: list[Future[RecordMetadata]] = []
    with Producer(bootstrap_servers=cluster.bootstrap, acks="all") as producer:
        producer.send(topic, value).result(WAIT_S)
        began = time.perf_counter()
        for number in range(int(seconds / PAUSE_S)):
            due = began + number * PAUSE_S
            time.sleep(max(0.0, due - time.perf_counter()))
            writes.append(producer.send(topic, value))
            writes[-1].add_done_callback(partial(_take_time, took, due))
        for write in writes:
            write.result(WAIT_S)
    return sorted(took)


def _take_time(took: list[float], due: float, _done: object) -> None:
    took.append((time.perf_counter() - due) * 1_000)


def percentile(values: list[float], part: float) -> float:
    """Return a percentile of sorted values."""
    return values[min(len(values) - 1, int(len(values) * part))]
