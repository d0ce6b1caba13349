"""Records per second through the Kafka listener, by confluent-kafka: one client process, 3 replicas.

python -m benchmarks.listeners [--records 2000000] [--tls]

confluent-kafka writes with ``acks=all`` and an idempotent producer, then reads from the beginning, by
assignment: the client that Apache Kafka is measured with, so that the figures can be compared.

``--tls``: two clusters, one with TLS, take turns; what counts is the ratio.  The client encrypts, and
decrypts, on the same machine.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple

from confluent_kafka import Consumer, Producer, TopicPartition

from benchmarks.machine import describe
from odradek import AdminClient, NewTopic
from odradek.testing import Cluster

VALUE = b"x" * 100
TOPIC = "listeners"
WAIT_S = 120.0
CONSUMED_AT_ONCE = 10_000
TURNS = 3
"""Of each of two clusters."""


class Way(NamedTuple):
    """How a client connects."""

    name: str
    cluster: Cluster
    settings: dict[str, Any]


def write(way: Way, topic: str, records: int, linger_ms: int) -> float:
    """Write all records; returns the seconds until the last one was acknowledged."""
    failed: list[object] = []
    producer = Producer(
        {
            **way.settings,
            "acks": "all",
            "enable.idempotence": True,
            "linger.ms": linger_ms,
            "queue.buffering.max.messages": 1_000_000,
        }
    )
    producer.list_topics(topic, timeout=WAIT_S)

    def on_delivery(error: object, _message: object) -> None:
        if error is not None:
            failed.append(error)

    began_s = perf_counter()
    for _ in range(records):
        while True:
            try:
                producer.produce(topic, VALUE, on_delivery=on_delivery)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    left = producer.flush(WAIT_S)
    took_s = perf_counter() - began_s
    if left or failed:
        raise SystemExit(f"{left} records were not written; {failed[:3]}")
    return took_s


def read(way: Way, topic: str, records: int, partitions: int) -> float:
    """Read all records; returns the seconds from the assignment on."""
    consumer = Consumer(
        {
            **way.settings,
            "group.id": "unused",
            "enable.auto.commit": False,
            "fetch.queue.backoff.ms": 10,  # else it rests for a second with its own queue full
        }
    )
    try:
        consumer.list_topics(topic, timeout=WAIT_S)
        began_s = perf_counter()
        consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
        found = 0
        while found < records:
            messages = consumer.consume(CONSUMED_AT_ONCE, timeout=1.0)
            found += sum(message.error() is None for message in messages)
            if perf_counter() - began_s > WAIT_S:
                raise SystemExit(f"{found} of {records} records within {WAIT_S:g} s")
        return perf_counter() - began_s
    finally:
        consumer.close()


def start(stack: ExitStack, *, tls: bool) -> Way:
    """Start a cluster, whose listeners speak TLS or do not."""
    security: dict[str, Any] = {}
    client: dict[str, Any] = {}
    if tls:
        import trustme

        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        authority = trustme.CA()
        made = authority.issue_cert("127.0.0.1")
        authority.cert_pem.write_to_path(str(folder / "ca.pem"))
        made.cert_chain_pems[0].write_to_path(str(folder / "listener.pem"))
        made.private_key_pem.write_to_path(str(folder / "listener.key"))
        security = {"tls_certificate": folder / "listener.pem", "tls_key": folder / "listener.key"}
        client = {"security.protocol": "SSL", "ssl.ca.location": str(folder / "ca.pem")}
    cluster = Cluster.start(brokers=3, coordinators=3, settings={"security": security})
    stack.enter_context(cluster)
    client["bootstrap.servers"] = cluster.kafka_bootstrap
    return Way("TLS" if tls else "plain", cluster, client)


def measure(way: Way, turn: int, given: argparse.Namespace) -> tuple[float, float]:
    """Return records per second into a topic of this turn's own, and out of it."""
    topic = f"{TOPIC}-{turn}"
    with AdminClient(bootstrap_servers=way.cluster.bootstrap) as admin:
        admin.create_topics([NewTopic(topic, given.partitions, 3)])
    into = given.records / write(way, topic, given.records, given.linger_ms)
    out = given.records / read(way, topic, given.records, given.partitions)
    sys.stdout.write(f"  {way.name}: in {into:,.0f} records/s, out {out:,.0f} records/s\n")
    sys.stdout.flush()
    return into, out


def main() -> int:
    """Print both figures, and with ``--tls`` the ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--records", type=int, default=2_000_000)
    parser.add_argument("--partitions", type=int, default=6)
    parser.add_argument("--linger-ms", type=int, default=5)
    parser.add_argument("--tls", action="store_true", help="compare with TLS, in turns")
    given = parser.parse_args()
    sys.stdout.write(
        f"{describe()}\n{given.records:,} records of {len(VALUE)} bytes, "
        f"{given.partitions} partitions × 3, acks=all, idempotent, confluent-kafka\n"
    )
    with ExitStack() as stack:
        ways = [start(stack, tls=tls) for tls in ((False, True) if given.tls else (False,))]
        turns = range(TURNS if given.tls else 1)
        found = [[measure(way, turn, given) for way in ways] for turn in turns]
    if given.tls:
        for place, what in enumerate(("in", "out")):
            ratios = [tls[place] / plain[place] for plain, tls in found]
            sys.stdout.write(f"  TLS to plain, {what}: {median(ratios):.2f} (median of turns)\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
