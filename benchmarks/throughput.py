"""Records per second in and out, and their time from end to end: one client process, 3 replicas.

python -m benchmarks.throughput [--records 2000000] [--only end-to-end]

Each way in and out is measured on a topic of its own, with ``acks=all`` and an idempotent producer,
by the functions that ``odradek bench`` uses.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from benchmarks.machine import describe
from odradek import AdminClient, Consumer, NewTopic, Producer, TopicPartition
from odradek.commands.load import Report, Shape, consume, end_to_end, produce
from odradek.testing import Cluster

VALUE_BYTES = 100
KEYS = 1_000
RATE = 1_000.0
RATE_RECORDS = 20_000


class Bench:
    """One cluster, and a topic for each measurement."""

    def __init__(self, cluster: Cluster, records: int, partitions: int) -> None:
        self._servers = cluster.bootstrap
        self._records = records
        self._partitions = partitions
        self._topics = 0

    def topic(self) -> str:
        """Make the next topic."""
        self._topics += 1
        name = f"throughput-{self._topics}"
        with AdminClient(bootstrap_servers=self._servers) as admin:
            admin.create_topics([NewTopic(name, self._partitions, 3)])
        return name

    def write(self, topic: str, keys: int = 0, *, one_by_one: bool = False) -> Report:
        """Write all records."""
        shape = Shape(self._records, VALUE_BYTES, keys)
        with Producer(bootstrap_servers=self._servers) as producer:
            producer.partitions_for(topic)
            return produce(producer, topic, shape, _quietly, one_by_one=one_by_one)

    def read(self, topic: str, *, one_by_one: bool = False) -> Report:
        """Read all records from the beginning."""
        with Consumer(
            topic,
            bootstrap_servers=self._servers,
            auto_offset_reset="earliest",
            consumer_timeout_ms=60_000,
        ) as consumer:
            return consume(consumer, self._records, _quietly, one_by_one=one_by_one)

    def carry(self, topic: str) -> Report:
        """Write at a rate, and read at once."""
        keys = [TopicPartition(topic, number) for number in range(self._partitions)]
        with (
            Producer(bootstrap_servers=self._servers) as producer,
            Consumer(bootstrap_servers=self._servers) as consumer,
        ):
            producer.partitions_for(topic)
            consumer.assign(keys)
            consumer.seek_to_end()
            for key in keys:
                consumer.position(key)
            shape = Shape(RATE_RECORDS, VALUE_BYTES, rate=RATE)
            return end_to_end(producer, consumer, topic, shape, _quietly)

    def in_and_out(self, write: Callable[[str], Report], read: Callable[[str], Report]) -> Report:
        """Read what was written; what is measured is the reading."""
        topic = self.topic()
        write(topic)
        return read(topic)


def _quietly(_records: int, _size_bytes: int) -> None:
    """Nobody looks on."""


def main() -> int:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--records", type=int, default=2_000_000)
    parser.add_argument("--partitions", type=int, default=6)
    parser.add_argument("--only", default="", help="measure only what has this in its name")
    given = parser.parse_args()
    with Cluster.start(brokers=3, coordinators=3) as cluster:
        bench = Bench(cluster, given.records, given.partitions)
        measured: dict[str, Callable[[], Report]] = {
            "in, send_many": lambda: bench.write(bench.topic()),
            "in, send_many keyed": lambda: bench.write(bench.topic(), KEYS),
            "in, send with futures": lambda: bench.write(bench.topic(), one_by_one=True),
            "in, send with futures keyed": lambda: bench.write(
                bench.topic(), KEYS, one_by_one=True
            ),
            "out, poll": lambda: bench.in_and_out(bench.write, bench.read),
            "out, iteration": lambda: bench.in_and_out(
                bench.write, lambda topic: bench.read(topic, one_by_one=True)
            ),
            "end-to-end at 1,000/s": lambda: bench.carry(bench.topic()),
        }
        sys.stdout.write(
            f"{describe()}\n{given.records:,} records of {VALUE_BYTES} bytes, "
            f"{given.partitions} partitions × 3, acks=all, idempotent\n"
        )
        for name, measure in measured.items():
            if given.only not in name:
                continue
            report = measure()
            line = f"  {name}: {report.records_per_s:,.0f} records/s"
            if name.startswith("end"):
                taken = [report.percentile_ms(mark) or 0.0 for mark in (50, 99, 99.9)]
                line += "; p50 {:.2f} ms, p99 {:.2f} ms, p99.9 {:.2f} ms".format(*taken)
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
