"""The coordination client against three coordinators: pipelined, blocking, and after a leader's end.

python -m benchmarks.coordination [--seconds 5] [--kills 20] [--freezes 5] [--entries 50000]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import psutil

from benchmarks.machine import describe
from odradek import CoordinationClient
from odradek.coordination.async_result import AsyncResult
from odradek.testing import Cluster, wait_until

WAIT_S = 60.0
WINDOW = 500
"""Calls of the pipelined client that wait for their answers at one time."""
COORDINATORS = 3


def pipelined_per_s(call: Callable[[], AsyncResult[Any]], seconds: float) -> float:
    """Return how many calls per second one client gets answered, WINDOW at a time."""
    waiting: deque[AsyncResult[Any]] = deque()
    answered = 0
    began_s = time.perf_counter()
    while time.perf_counter() - began_s < seconds:
        waiting.append(call())
        if len(waiting) >= WINDOW:
            waiting.popleft().get(timeout=WAIT_S)
            answered += 1
    while waiting:
        waiting.popleft().get(timeout=WAIT_S)
        answered += 1
    return answered / (time.perf_counter() - began_s)


def blocking_ms(call: Callable[[int], object], times: int) -> float:
    """Return the median milliseconds of one call."""
    took_ms = []
    for number in range(times):
        began_s = time.perf_counter()
        call(number)
        took_ms.append((time.perf_counter() - began_s) * 1000)
    return statistics.median(took_ms)


def leader_of(cluster: Cluster) -> str:
    """Return the coordinator that leads its quorum; waits for one."""
    leaders: list[str] = []

    def known() -> bool:
        nodes = cluster.status().nodes
        leaders[:] = [n.name for n in nodes if n.leader and "coordinator" in n.roles and n.pid]
        return len(leaders) == 1

    wait_until(known, "one coordinator leads")
    return leaders[0]


def next_write_ms(cluster: Cluster, client: CoordinationClient, signal_name: str) -> float:
    """Return the milliseconds from the signal to the leader to the next successful write."""
    leader = leader_of(cluster)
    client.set("/bench", b"before")
    began_s = time.perf_counter()
    cluster.kill(leader, signal=signal_name)
    client.set("/bench", b"after")
    took_ms = (time.perf_counter() - began_s) * 1000
    if signal_name == "STOP":
        cluster.thaw(leader)
    cluster.wait_ready()
    return took_ms


def lengthen_log(client: CoordinationClient, entries: int) -> None:
    """Write so many entries: consecutive sets would share one, so a read stands between."""
    waiting: deque[AsyncResult[Any]] = deque()
    for _ in range(entries):
        waiting.append(client.set_async("/bench", b"x" * 100))
        client.get_async("/bench")  # a read ends the run of writes that one entry holds
        if len(waiting) >= WINDOW // 2:
            waiting.popleft().get(timeout=WAIT_S)
    while waiting:
        waiting.popleft().get(timeout=WAIT_S)


def memory_mib(cluster: Cluster) -> list[float]:
    """Return the resident memory of each coordinator."""
    pids = {name: pid for name, pid in cluster.pids().items() if name.startswith("coordinator")}
    return [psutil.Process(pid).memory_info().rss / 2**20 for pid in pids.values()]


def measure_speed(client: CoordinationClient, seconds: float) -> None:
    """Print rates and medians."""
    client.create("/bench", b"x" * 100)
    pipelined_per_s(lambda: client.set_async("/bench", b"x" * 100), 1.0)  # warm
    sets = pipelined_per_s(lambda: client.set_async("/bench", b"x" * 100), seconds)
    gets = pipelined_per_s(lambda: client.get_async("/bench"), seconds)
    sys.stdout.write(f"one client, pipelined: {sets:,.0f} sets/s, {gets:,.0f} gets/s\n")
    create = blocking_ms(lambda number: client.create(f"/bench/{number}", b"x" * 100), 500)
    set_ = blocking_ms(lambda _number: client.set("/bench", b"x" * 100), 500)
    get = blocking_ms(lambda _number: client.get("/bench"), 500)
    sys.stdout.write(
        f"blocking, medians: create {create:.2f} ms, set {set_:.2f} ms, get {get:.2f} ms\n"
    )


def measure_failover(cluster: Cluster, signal_name: str, times: int, entries: int) -> None:
    """Print how long no write succeeds after the leader's end, with a log of so many entries.

    The next kill comes as soon as every node says that it is ready.
    """
    if not times:
        return
    with CoordinationClient(cluster.bootstrap) as client:
        client.ensure_path("/bench")
        lengthen_log(client, entries)
        took_ms = [next_write_ms(cluster, client, signal_name) for _ in range(times)]
    sys.stdout.write(
        f"SIG{signal_name} of the leader to the next successful write, {entries:,} entries: "
        f"median {statistics.median(took_ms):.0f} ms "
        f"(min {min(took_ms):.0f}, max {max(took_ms):.0f}, n = {len(took_ms)})\n"
    )


def main() -> int:
    """Run everything and print it with the machine."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5.0, help="for each rate")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--freezes", type=int, default=5)
    parser.add_argument(
        "--entries", type=int, default=50_000, help="of the log, for the kills with a long one"
    )
    arguments = parser.parse_args()
    sys.stdout.write(f"{describe()}\n")
    with Cluster.start(brokers=1, coordinators=COORDINATORS) as cluster:
        with CoordinationClient(cluster.bootstrap) as client:
            measure_speed(client, arguments.seconds)
        sizes = ", ".join(f"{size:.0f}" for size in memory_mib(cluster))
        sys.stdout.write(f"resident memory of the coordinators: {sizes} MiB\n")
    with Cluster.start(brokers=1, coordinators=COORDINATORS) as cluster:
        measure_failover(cluster, "KILL", arguments.kills, 0)
        measure_failover(cluster, "STOP", arguments.freezes, 0)
        measure_failover(cluster, "KILL", arguments.kills, arguments.entries)
    return 0


if __name__ == "__main__":
    sys.exit(main())
