"""Records per second in and out: one producer process, one consumer, 3 replicas, ``acks=all``.

python -m benchmarks.throughput [--records 2000000]
"""

from __future__ import annotations

import argparse
import sys
import time

from benchmarks.machine import describe
from odradek import AdminClient, Consumer, NewTopic, Producer
from odradek.testing import Cluster

TOPIC = "throughput"
VALUE = b"v" * 100
CHUNK = 10_000
WAIT_S = 120.0


def produce(cluster: Cluster, records: int) -> float:
    """Return records per second by ``send_many``, until the last one is acked."""
    chunk: list[tuple[bytes | None, bytes]] = [(None, VALUE)] * CHUNK
    with Producer(bootstrap_servers=cluster.bootstrap, acks="all") as producer:
        producer.send_many(TOPIC, chunk).result(WAIT_S)
        began = time.perf_counter()
        for _ in range(records // CHUNK):
            last = producer.send_many(TOPIC, chunk)
        last.result(WAIT_S)
        producer.flush()
        return records / (time.perf_counter() - began)


def consume(cluster: Cluster, records: int) -> float:
    """Return records per second by ``poll`` from the beginning, every value touched."""
    with Consumer(
        TOPIC, bootstrap_servers=cluster.bootstrap, auto_offset_reset="earliest"
    ) as consumer:
        began = time.perf_counter()
        read = touched_bytes = 0
        while read < records and time.perf_counter() - began < WAIT_S:
            for batch in consumer.poll(timeout_ms=500, max_records=100_000).values():
                for record in batch:
                    touched_bytes += len(record.value)
                read += len(batch)
        assert touched_bytes == read * len(VALUE)
        return read / (time.perf_counter() - began)


def main() -> int:
    """Print both figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--records", type=int, default=2_000_000)
    parser.add_argument("--partitions", type=int, default=6)
    arguments = parser.parse_args()
    with Cluster.start(brokers=3, coordinators=3) as cluster:
        with AdminClient(bootstrap_servers=cluster.bootstrap) as admin:
            admin.create_topics([NewTopic(TOPIC, arguments.partitions, 3)])
        in_rate = produce(cluster, arguments.records)
        out_rate = consume(cluster, arguments.records)
    sys.stdout.write(f"{describe()}\n")
    sys.stdout.write(
        f"{arguments.records:,} records of 100 bytes, {arguments.partitions} partitions × 3:\n"
        f"  in  (send_many, acks=all): {in_rate:,.0f} records/s\n"
        f"  out (poll, values touched): {out_rate:,.0f} records/s\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
