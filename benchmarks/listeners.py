"""Records per second through the Kafka listener, by confluent-kafka: one client process, 3 replicas.

python -m benchmarks.listeners [--records 2000000]

confluent-kafka writes with ``acks=all`` and an idempotent producer, then reads from the beginning, by
assignment: the client that Apache Kafka is measured with, so that the figures can be compared.
"""

from __future__ import annotations

import argparse
import sys
from time import perf_counter

from confluent_kafka import Consumer, Producer, TopicPartition

from benchmarks.machine import describe
from odradek import AdminClient, NewTopic
from odradek.testing import Cluster

VALUE = b"x" * 100
TOPIC = "listeners"
WAIT_S = 120.0
CONSUMED_AT_ONCE = 10_000


def write(kafka: str, records: int, linger_ms: int) -> float:
    """Write all records; returns the seconds until the last one was acknowledged."""
    failed: list[object] = []
    producer = Producer(
        {
            "bootstrap.servers": kafka,
            "acks": "all",
            "enable.idempotence": True,
            "linger.ms": linger_ms,
            "queue.buffering.max.messages": 1_000_000,
        }
    )
    producer.list_topics(TOPIC, timeout=WAIT_S)

    def on_delivery(error: object, _message: object) -> None:
        if error is not None:
            failed.append(error)

    began_s = perf_counter()
    for _ in range(records):
        while True:
            try:
                producer.produce(TOPIC, VALUE, on_delivery=on_delivery)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    left = producer.flush(WAIT_S)
    took_s = perf_counter() - began_s
    if left or failed:
        raise SystemExit(f"{left} records were not written; {failed[:3]}")
    return took_s


def read(kafka: str, records: int, partitions: int) -> float:
    """Read all records; returns the seconds from the assignment on."""
    consumer = Consumer(
        {
            "bootstrap.servers": kafka,
            "group.id": "unused",
            "enable.auto.commit": False,
            "fetch.queue.backoff.ms": 10,  # else it rests for a second with its own queue full
        }
    )
    try:
        consumer.list_topics(TOPIC, timeout=WAIT_S)
        began_s = perf_counter()
        consumer.assign([TopicPartition(TOPIC, number, 0) for number in range(partitions)])
        found = 0
        while found < records:
            messages = consumer.consume(CONSUMED_AT_ONCE, timeout=1.0)
            found += sum(message.error() is None for message in messages)
            if perf_counter() - began_s > WAIT_S:
                raise SystemExit(f"{found} of {records} records within {WAIT_S:g} s")
        return perf_counter() - began_s
    finally:
        consumer.close()


def main() -> int:
    """Print both figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--records", type=int, default=2_000_000)
    parser.add_argument("--partitions", type=int, default=6)
    parser.add_argument("--linger-ms", type=int, default=5)
    given = parser.parse_args()
    with Cluster.start(brokers=3, coordinators=3) as cluster:
        with AdminClient(bootstrap_servers=cluster.bootstrap) as admin:
            admin.create_topics([NewTopic(TOPIC, given.partitions, 3)])
        sys.stdout.write(
            f"{describe()}\n{given.records:,} records of {len(VALUE)} bytes, "
            f"{given.partitions} partitions × 3, acks=all, idempotent, confluent-kafka\n"
        )
        into_s = write(cluster.kafka_bootstrap, given.records, given.linger_ms)
        sys.stdout.write(f"  in: {given.records / into_s:,.0f} records/s\n")
        out_s = read(cluster.kafka_bootstrap, given.records, given.partitions)
        sys.stdout.write(f"  out: {given.records / out_s:,.0f} records/s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
