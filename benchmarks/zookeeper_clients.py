"""Operations per second through the ZooKeeper listener, by kazoo: one client process, three coordinators.

python -m benchmarks.zookeeper_clients [--operations 5000]

kazoo asks one after another (what a program that waits for each answer gets), and many at a time (what
the listener and the quorum's log make of a pipeline).  kazoo itself is pure Python and has a thread of
its own for each connection: it needs a good part of what is measured.
"""

from __future__ import annotations

import argparse
import sys
from collections import deque
from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any

from kazoo.client import KazooClient

from benchmarks.machine import describe
from odradek.testing import Cluster

ROOT = "/benchmark"
VALUE = b"x" * 100
WINDOW = 200
"""On their way at a time."""
WAIT_S = 30.0


def one_by_one(count: int, operation: Callable[[int], Any]) -> tuple[float, float]:
    """Return operations per second, and the median of their latencies in milliseconds."""
    latencies = []
    began_s = perf_counter()
    for number in range(count):
        asked_s = perf_counter()
        operation(number)
        latencies.append(perf_counter() - asked_s)
    return count / (perf_counter() - began_s), median(latencies) * 1000


def many_at_a_time(count: int, operation: Callable[[int], Any]) -> float:
    """Return operations per second; ``operation`` returns what has the answer later."""
    asked: deque[Any] = deque()
    began_s = perf_counter()
    for number in range(count):
        if len(asked) >= WINDOW:
            asked.popleft().get(timeout=WAIT_S)
        asked.append(operation(number))
    while asked:
        asked.popleft().get(timeout=WAIT_S)
    return count / (perf_counter() - began_s)


def measure(client: KazooClient, count: int) -> None:
    """Print each kind's figures."""
    client.create(ROOT, VALUE)
    single: dict[str, Callable[[int], Any]] = {
        "create": lambda number: client.create(f"{ROOT}/one-{number}", VALUE),
        "set": lambda _number: client.set(ROOT, VALUE),
        "get": lambda _number: client.get(ROOT),
    }
    several: dict[str, Callable[[int], Any]] = {
        "create": lambda number: client.create_async(f"{ROOT}/many-{number}", VALUE),
        "set": lambda _number: client.set_async(ROOT, VALUE),
        "get": lambda _number: client.get_async(ROOT),
    }
    for name, operation in single.items():
        rate, latency_ms = one_by_one(count, operation)
        sys.stdout.write(f"  {name}, one by one: {rate:,.0f}/s, median {latency_ms:.2f} ms\n")
    for name, operation in several.items():
        rate = many_at_a_time(count, operation)
        sys.stdout.write(f"  {name}, {WINDOW} at a time: {rate:,.0f}/s\n")


def main() -> int:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--operations", type=int, default=5_000, help="of each kind")
    given = parser.parse_args()
    with Cluster.start(brokers=1, coordinators=3) as cluster:
        client = KazooClient(hosts=cluster.zookeeper_hosts)
        client.start(timeout=WAIT_S)
        try:
            sys.stdout.write(
                f"{describe()}\n{given.operations:,} operations of each kind, values of"
                f" {len(VALUE)} bytes, 3 coordinators, kazoo\n"
            )
            measure(client, given.operations)
        finally:
            client.stop()
            client.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
