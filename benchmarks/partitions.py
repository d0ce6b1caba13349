"""What many partitions cost: made, idle, and led by a broker that is killed.

python -m benchmarks.partitions [--partitions 10000] [--led 1000] [--idle-s 10]
"""

from __future__ import annotations

import argparse
import sys
import time

import psutil

from benchmarks.machine import describe
from odradek import AdminClient, NewTopic, Producer
from odradek.testing import Cluster

WAIT_S = 120.0
MANY, LED = "many", "led"


def processes(cluster: Cluster) -> dict[str, psutil.Process]:
    """Return the processes of all nodes by name."""
    return {node.name: psutil.Process(node.pid) for node in cluster.status().nodes}


def cpu_s(found: dict[str, psutil.Process]) -> float:
    """Return the processor seconds that all nodes together have taken."""
    return sum(sum(process.cpu_times()[:2]) for process in found.values())


def create(cluster: Cluster, name: str, partitions: int) -> float:
    """Return the seconds until every partition of a new topic has its leader and full ISR."""
    with AdminClient(cluster.bootstrap, request_timeout_ms=int(WAIT_S * 1000)) as admin:
        began = time.perf_counter()
        admin.create_topics([NewTopic(name, partitions, 3)])
        return time.perf_counter() - began


def fail_over(cluster: Cluster, partitions: int) -> tuple[int, float]:
    """Kill a leader; return how many partitions it led, and the seconds until all take writes."""
    with Producer(bootstrap_servers=cluster.bootstrap, acks="all") as producer:
        for sent in [producer.send(LED, b"before", partition=p) for p in range(partitions)]:
            sent.result(WAIT_S)
        known = cluster.partitions(LED)
        led = [p for p in range(partitions) if known[p].leader == known[0].leader]
        began = time.perf_counter()
        cluster.kill_leader(LED, 0)
        for sent in [producer.send(LED, b"after", partition=p) for p in led]:
            sent.result(WAIT_S)
        return len(led), time.perf_counter() - began


def main() -> int:
    """Print each figure in a line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--partitions", type=int, default=10_000)
    parser.add_argument("--led", type=int, default=1_000, help="by the broker that is killed")
    parser.add_argument("--idle-s", type=float, default=10.0)
    given = parser.parse_args()
    out = sys.stdout.write
    out(f"{describe()}\n")
    with Cluster.start(brokers=3, coordinators=3) as cluster:
        took_s = create(cluster, LED, 3 * given.led)
        led, took_over_s = fail_over(cluster, 3 * given.led)
        out(f"{3 * given.led} partitions created in {took_s:.1f} s\n")
        out(f"SIGKILL of a broker that leads {led}: all take writes after {took_over_s:.2f} s\n")
    with Cluster.start(brokers=3, coordinators=3) as cluster:
        took_s = create(cluster, MANY, given.partitions)
        out(f"{given.partitions} partitions created in {took_s:.1f} s\n")
        found = processes(cluster)
        time.sleep(given.idle_s)  # what starting up has left to do
        before = cpu_s(found)
        time.sleep(given.idle_s)
        share = (cpu_s(found) - before) / given.idle_s
        resident = {name: process.memory_info().rss / 2**20 for name, process in found.items()}
        brokers = [size for name, size in resident.items() if name.startswith("broker")]
        out(f"idle: {share * 100:.0f} % of one core for the whole cluster\n")
        out(f"resident: at most {max(brokers):.0f} MiB per broker\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
