"""What many partitions cost: made, idle, beside one that is busy, and led by a broker that is killed.

python -m benchmarks.partitions [--partitions 10000] [--led 1000] [--times 10] [--records 1000000]

``--partitions 500 --led 50 --times 1 --records 100000`` tries it all in a minute.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

import psutil

from benchmarks.machine import describe
from odradek import AdminClient, NewTopic, Producer
from odradek.commands.load import Shape, produce
from odradek.testing import Cluster

WAIT_S = 120.0
MANY, LED, BUSY = "many", "led", "busy"
VALUE_BYTES = 100


def processes(cluster: Cluster) -> dict[str, psutil.Process]:
    """Return the processes of all nodes by name."""
    return {node.name: psutil.Process(node.pid) for node in cluster.status().nodes}


def cpu_s(found: dict[str, psutil.Process]) -> float:
    """Return the processor seconds that all nodes together have taken."""
    return sum(sum(process.cpu_times()[:2]) for process in found.values())


def create(cluster: Cluster, name: str, partitions: int) -> float:
    """Return the seconds until a new topic's partitions are known to whoever asks."""
    with AdminClient(cluster.bootstrap, request_timeout_ms=int(WAIT_S * 1000)) as admin:
        began = time.perf_counter()
        admin.create_topics([NewTopic(name, partitions, 3)])
        return time.perf_counter() - began


def write_rate(cluster: Cluster, records: int) -> float:
    """Return the records per second that one producer writes to the busy topic."""
    with Producer(bootstrap_servers=cluster.bootstrap) as producer:
        producer.partitions_for(BUSY)
        shape = Shape(records, VALUE_BYTES)
        return produce(producer, BUSY, shape, lambda _records, _size_bytes: None).records_per_s


def write_to_all(producer: Producer, partitions: list[int], value: bytes) -> float:
    """Return the seconds until a record is acknowledged by each of these partitions."""
    began = time.perf_counter()
    for sent in [producer.send(LED, value, partition=number) for number in partitions]:
        sent.result(WAIT_S)
    return time.perf_counter() - began


def fail_over(cluster: Cluster, producer: Producer, victim: int) -> tuple[int, float]:
    """Kill a broker; return how many partitions it led, and the seconds until all take writes."""
    known = cluster.partitions(LED)
    led = [number for number, part in known.items() if part.leader == victim]
    cluster.kill(f"broker-{victim}")
    took_s = write_to_all(producer, led, b"after")
    cluster.wait_ready()
    return len(led), took_s


def balance(cluster: Cluster) -> None:
    """Give every broker its partitions back, once all replicas are in sync."""
    until = time.monotonic() + WAIT_S
    while any(part.leader != part.replicas[0] for part in cluster.partitions(LED).values()):
        if time.monotonic() > until:
            raise TimeoutError(f"not every preferred leader leads after {WAIT_S:.0f} s")
        with AdminClient(cluster.bootstrap, request_timeout_ms=int(WAIT_S * 1000)) as admin:
            admin.perform_leader_election()
        time.sleep(0.5)


def print_idle(cluster: Cluster, idle_s: float) -> None:
    """Print what the cluster takes while nobody asks for anything."""
    found = processes(cluster)
    time.sleep(idle_s)  # what starting up has left to do
    before = cpu_s(found)
    time.sleep(idle_s)
    share = (cpu_s(found) - before) / idle_s
    resident = {name: process.memory_info().rss / 2**20 for name, process in found.items()}
    largest = max(size for name, size in resident.items() if name.startswith("broker"))
    print_line(f"idle: {share * 100:.0f} % of one core for the whole cluster")
    print_line(f"resident: at most {largest:.0f} MiB per broker")


def print_line(text: str) -> None:
    """Print a figure as soon as it is known."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Print each figure in a line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--partitions", type=int, default=10_000)
    parser.add_argument("--led", type=int, default=1_000, help="by each broker that is killed")
    parser.add_argument("--times", type=int, default=10, help="how many brokers are killed")
    parser.add_argument("--records", type=int, default=1_000_000, help="to the topic with traffic")
    parser.add_argument("--idle-s", type=float, default=10.0)
    given = parser.parse_args()
    print_line(describe())
    with Cluster.start(brokers=3, coordinators=3) as cluster:
        create(cluster, BUSY, 6)
        write_rate(cluster, given.records)
        alone = write_rate(cluster, given.records)
        took_s = create(cluster, MANY, given.partitions)
        print_line(f"{given.partitions} partitions × 3 created in {took_s:.1f} s")
        print_idle(cluster, given.idle_s)
        among = write_rate(cluster, given.records)
        print_line(
            f"a topic of 6 partitions: {alone:,.0f} records/s alone, {among:,.0f} among them"
        )
    with (
        Cluster.start(brokers=3, coordinators=3) as cluster,
        Producer(bootstrap_servers=cluster.bootstrap, acks="all") as producer,
    ):
        create(cluster, LED, 3 * given.led)
        took_s = write_to_all(producer, list(range(3 * given.led)), b"first")
        print_line(f"the first record of each of {3 * given.led} partitions: {took_s:.1f} s")
        taken = []
        for number in range(given.times):
            count, took_s = fail_over(cluster, producer, 1 + number % 3)
            taken.append(took_s)
            balance(cluster)
        print_line(
            f"SIGKILL of a broker that leads {count}: all take writes after median "
            f"{statistics.median(taken):.2f} s ({min(taken):.2f}–{max(taken):.2f}, n = {len(taken)})"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
