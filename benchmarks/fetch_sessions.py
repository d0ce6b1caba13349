"""What fetch sessions (KIP-227) give a consumer of many partitions, and cost one of few.

python -m benchmarks.fetch_sessions [--partitions 2000] [--rounds 100]

A kafka-python consumer of all partitions waits for records that come one by one, with sessions and
without, in turns: the time from a record's acknowledgement until it has been read, and the processor
time that the broker takes for it.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Iterator
from statistics import median
from time import perf_counter
from typing import Any

import psutil

import odradek
from benchmarks.machine import describe
from odradek import AdminClient, NewTopic
from odradek.testing import Cluster

WAIT_S = 60.0
TURNS = 3
FEW = 3


def imported() -> Any:
    """Return kafka-python, whatever it warns of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import kafka
    return kafka


def rounds(
    cluster: Cluster, topic: str, partitions: int, count: int, *, sessions: bool
) -> Iterator[float]:
    """Write a record and wait until it is read; yields how many seconds that took."""
    kafka = imported()
    consumer = kafka.KafkaConsumer(
        bootstrap_servers=cluster.kafka_bootstrap,
        enable_incremental_fetch_sessions=sessions,
        max_partition_fetch_bytes=1024,
    )
    try:
        keys = [kafka.TopicPartition(topic, number) for number in range(partitions)]
        consumer.assign(keys)
        consumer.seek_to_end()
        for key in keys:
            consumer.position(key)
        consumer.poll(500)
        with odradek.Producer(bootstrap_servers=cluster.bootstrap) as producer:
            for number in range(count):
                producer.send(topic, b"x", partition=number % partitions).result(WAIT_S)
                began_s = perf_counter()
                while not consumer.poll(1_000):
                    if perf_counter() - began_s > WAIT_S:
                        raise SystemExit(f"no record within {WAIT_S:g} s")
                yield perf_counter() - began_s
    finally:
        consumer.close()


def compare(cluster: Cluster, broker: psutil.Process, partitions: int, count: int) -> None:
    """Print what sessions make of both times, for a topic of so many partitions."""
    topic = f"sessions-{partitions}"
    with AdminClient(bootstrap_servers=cluster.bootstrap) as admin:
        admin.create_topics([NewTopic(topic, partitions, 1)])
    took_s: dict[bool, list[float]] = {False: [], True: []}
    busy_s = {False: 0.0, True: 0.0}
    for turn in range(2 * TURNS):
        sessions = bool(turn % 2)
        before = broker.cpu_times()
        took_s[sessions] += rounds(cluster, topic, partitions, count, sessions=sessions)
        after = broker.cpu_times()
        busy_s[sessions] += after.user + after.system - before.user - before.system
    for sessions in (False, True):
        sys.stdout.write(
            f"  {partitions} partitions, {'with' if sessions else 'without'} sessions: a record read"
            f" after {1e3 * median(took_s[sessions]):.1f} ms,"
            f" {1e3 * busy_s[sessions] / (TURNS * count):.1f} ms of the broker's time\n"
        )
    ratio = median(took_s[True]) / median(took_s[False])
    sys.stdout.write(
        f"  ratio: {ratio:.2f} in time, {busy_s[True] / busy_s[False]:.2f} of the broker\n"
    )


def main() -> int:
    """Print both comparisons."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--partitions", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=100)
    given = parser.parse_args()
    with Cluster.start(brokers=1, coordinators=1) as cluster:
        sys.stdout.write(f"{describe()}\n")
        broker = psutil.Process(cluster.pids()["broker-1"])
        compare(cluster, broker, FEW, given.rounds)
        compare(cluster, broker, given.partitions, given.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
