"""How long a broker with much on its disk needs to serve again after SIGKILL.

python -m benchmarks.recovery [--size-gb 10] [--partitions 10] [--batch-kb 16] [--dir DIR]

One broker and one coordinator; what is written is acknowledged, so all of it must be there again.
The time runs from the signal to the moment at which every partition has taken a write, and its
first and last records have been read.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.machine import describe
from odradek import AdminClient, Consumer, NewTopic, Producer, TopicPartition
from odradek.testing import Cluster

TOPIC = "recovery"
VALUE = b"v" * 1_000
CHUNK = 2_000
WAIT_S = 120.0


def fill(cluster: Cluster, size_bytes: int, batch_bytes: int) -> float:
    """Write so many bytes, to one partition after the other; return megabytes per second."""
    chunk: list[tuple[bytes | None, bytes]] = [(None, VALUE)] * CHUNK
    rounds = max(1, size_bytes // (CHUNK * len(VALUE)))
    began = time.perf_counter()
    with Producer(bootstrap_servers=cluster.bootstrap, batch_size=batch_bytes) as producer:
        for _ in range(rounds):
            last = producer.send_many(TOPIC, chunk)
        producer.flush()
        last.result(WAIT_S)
    return rounds * CHUNK * len(VALUE) / 1e6 / (time.perf_counter() - began)


def serve(cluster: Cluster, partitions: int) -> None:
    """Return once every partition has taken a write, and its ends were read."""
    parts = [TopicPartition(TOPIC, number) for number in range(partitions)]
    with Producer(bootstrap_servers=cluster.bootstrap) as producer:
        writes = [producer.send(TOPIC, b"after", partition=part.partition) for part in parts]
        ends = {
            part: write.result(WAIT_S).offset for part, write in zip(parts, writes, strict=True)
        }
    with Consumer(bootstrap_servers=cluster.bootstrap) as consumer:
        consumer.assign(parts)
        for offsets in (dict.fromkeys(parts, 0), ends):
            for part, offset in offsets.items():
                consumer.seek(part, offset)
            waiting = set(parts)
            until_s = time.monotonic() + WAIT_S
            while waiting and time.monotonic() < until_s:
                waiting -= consumer.poll(timeout_ms=100, max_records=CHUNK).keys()
            assert not waiting, f"not read again: {waiting}"


def main() -> int:
    """Write, kill, wait, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size-gb", type=float, default=10.0, metavar="G", help="in all")
    parser.add_argument("--partitions", type=int, default=10, metavar="N")
    parser.add_argument("--batch-kb", type=int, default=16, metavar="K", help="of a producer")
    parser.add_argument("--dir", type=Path, help="where to write (default: a temporary folder)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.dir) as folder:
        elsewhere = {"broker": {"log_dirs": [folder]}}
        with Cluster.start(brokers=1, coordinators=1, settings=elsewhere) as cluster:
            with AdminClient(bootstrap_servers=cluster.bootstrap) as admin:
                admin.create_topics([NewTopic(TOPIC, given.partitions, 1)])
            size_bytes, batch_bytes = int(given.size_gb * 1e9), given.batch_kb * 1024
            rate = fill(cluster, size_bytes, batch_bytes)
            began = time.perf_counter()
            cluster.kill(cluster.node_name(1))
            serve(cluster, given.partitions)
            took_s = time.perf_counter() - began
    sys.stdout.write(
        f"{describe()}\n{given.size_gb:g} GB in {given.partitions} partitions, batches of"
        f" {given.batch_kb} KB, written at {rate:.0f} MB/s:\n"
        f"  SIGKILL to all of them written to and read again: {took_s:.2f} s\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
