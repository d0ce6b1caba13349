"""How long a produce waits for compaction: latencies alone, and while a large log is cleaned.

python -m benchmarks.compaction [--size-mb 500] [--seconds 20]

One broker and one coordinator. A compacted topic is written with many records of few keys; another
topic takes a record every few milliseconds, first while nothing is cleaned, then from the moment
that cleaning begins. A stall is a turn of the broker's loop: those of the cleaner's time are counted.
"""

from __future__ import annotations

import argparse
import json
import random
import sys

from benchmarks.machine import describe
from benchmarks.steady_writes import PAUSE_S, WAIT_S, latencies_ms, percentile
from odradek import AdminClient, ConfigResource, ConfigResourceType, NewTopic, Producer
from odradek.cluster.node_window import Metrics, read_metrics
from odradek.testing import Cluster

TABLE, LIVE = "table", "live"
VALUE = b"v" * 500
CHUNK = 5_000
KEYS = 20_000
STALL_S = 0.02
"""The aim; ``loop_turn_seconds`` has a bound there."""


def fill(cluster: Cluster, size_bytes: int) -> None:
    """Write so many bytes of records of few keys."""
    chance = random.Random(1)
    with Producer(bootstrap_servers=cluster.bootstrap) as producer:
        for _ in range(max(1, size_bytes // (CHUNK * len(VALUE)))):
            chunk: list[tuple[bytes | None, bytes]] = [
                (b"key-%d" % chance.randrange(KEYS), VALUE) for _ in range(CHUNK)
            ]
            last = producer.send_many(TABLE, chunk)
        producer.flush()
        last.result(WAIT_S)


def look(http: str) -> Metrics:
    """Return the broker's metrics."""
    metrics = read_metrics(http)
    assert metrics is not None, f"{http} does not answer"
    return metrics


def long_turns(metrics: Metrics) -> float:
    """Return how many turns were longer than a produce may be held up."""
    within = metrics.total("loop_turn_seconds_bucket", le=str(STALL_S))
    return metrics.total("loop_turn_seconds_count") - within


def main() -> int:
    """Write, measure, let clean, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size-mb", type=float, default=500.0, metavar="M")
    parser.add_argument("--seconds", type=float, default=20.0, metavar="S", help="of each part")
    given = parser.parse_args()
    settings = {"log": {"cleaner_interval_ms": 100, "segment_bytes": 64 * 1024 * 1024}}
    # Nothing is dirty enough until the second part begins.
    late = {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "1"}
    with Cluster.start(brokers=1, coordinators=1, settings=settings) as cluster:
        described = json.loads((cluster.data_dir / "cluster.json").read_text())
        http = next(node["http"] for node in described["nodes"] if "broker" in node["roles"])
        with AdminClient(bootstrap_servers=cluster.bootstrap) as admin:
            admin.create_topics([NewTopic(TABLE, 1, 1, topic_configs=late), NewTopic(LIVE, 1, 1)])
            fill(cluster, int(given.size_mb * 1e6))
            before = long_turns(look(http))
            alone = latencies_ms(cluster, LIVE, VALUE, given.seconds)
            between = look(http)
            now = {"min.cleanable.dirty.ratio": "0"}
            admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, TABLE, configs=now)])
            beside = latencies_ms(cluster, LIVE, VALUE, given.seconds)
            after = look(http)
    cleaned = after.total("segments_cleaned_total") - between.total("segments_cleaned_total")
    turns = long_turns(between) - before, long_turns(after) - long_turns(between)
    sys.stdout.write(f"{describe()}\nproduce, a record every {PAUSE_S * 1000:.0f} ms:\n")
    for name, took, count in (("alone", alone, turns[0]), ("beside the cleaner", beside, turns[1])):
        sys.stdout.write(
            f"  {name}: median {percentile(took, 0.5):.2f} ms, p99 {percentile(took, 0.99):.2f} ms,"
            f" longest {took[-1]:.2f} ms (n = {len(took)}); turns above {STALL_S * 1000:.0f} ms:"
            f" {count:.0f}\n"
        )
    sys.stdout.write(f"  segments of 64 MiB cleaned meanwhile: {cleaned:.0f}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
