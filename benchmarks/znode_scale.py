"""Many znodes in three whole servers: memory, a snapshot under load, restarts.

python -m benchmarks.znode_scale [--znodes 100000] [--size-bytes 100]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import threading
import time
from collections import deque
from typing import Any

import psutil

from benchmarks.machine import describe
from odradek import CoordinationClient
from odradek.cluster.question import ask_one
from odradek.coordination.async_result import AsyncResult
from odradek.testing import Cluster
from supervisor.data_dir import DataDir
from transport.wire.messages.ensemble import TakeSnapshotRequest, TakeSnapshotResponse

WAIT_S = 120.0
WINDOW = 500
FOLDER_ZNODES = 1_000
"""Znodes in one folder."""
CALM_S = 3.0
"""How long requests are timed without a snapshot, for comparison."""


def grow(client: CoordinationClient, znodes: int, size_bytes: int) -> float:
    """Create so many; return the seconds that took."""
    began_s = time.perf_counter()
    waiting: deque[AsyncResult[Any]] = deque()
    for made in range(znodes):
        folder = f"/folder-{made // FOLDER_ZNODES:04d}"
        if made % FOLDER_ZNODES == 0:
            client.create(folder)
        data = b"%0*d" % (size_bytes, made)
        waiting.append(client.create_async(f"{folder}/znode-{made:08d}", data))
        if len(waiting) >= WINDOW:
            waiting.popleft().get(timeout=WAIT_S)
    while waiting:
        waiting.popleft().get(timeout=WAIT_S)
    return time.perf_counter() - began_s


def time_requests(client: CoordinationClient, path: str, done: threading.Event) -> list[float]:
    """Set and get one after the other until ``done``; return the milliseconds of each."""
    took_ms: list[float] = []
    while not done.is_set():
        for call in (lambda: client.set(path, b"x" * 100), lambda: client.get(path)):
            began_s = time.perf_counter()
            call()
            took_ms.append((time.perf_counter() - began_s) * 1000)
    return took_ms


def time_snapshot(cluster: Cluster, clients: str, done: threading.Event, took: list[float]) -> None:
    """Let the coordinator at this address take a snapshot; ``took`` gets the seconds."""
    began_s = time.perf_counter()
    order = TakeSnapshotRequest(DataDir(cluster.data_dir).key())
    answer = ask_one(clients, order, timeout_ms=int(WAIT_S * 1000))
    took.append(time.perf_counter() - began_s)
    done.set()
    assert isinstance(answer, TakeSnapshotResponse), answer
    assert not answer.error, answer.text


def measure_snapshot(cluster: Cluster, name: str) -> None:
    """Print how long a snapshot takes, and how long its server's clients wait meanwhile."""
    node = next(node for node in cluster.status().nodes if node.name == name)
    path = "/folder-0000/znode-00000000"
    with CoordinationClient(node.clients.removeprefix("tcp://")) as client:
        calm, done = threading.Event(), threading.Event()
        threading.Timer(CALM_S, calm.set).start()
        before_ms = time_requests(client, path, calm)
        took: list[float] = []
        arguments = (cluster, node.clients, done, took)
        threading.Thread(target=time_snapshot, args=arguments).start()
        during_ms = time_requests(client, path, done)
    sys.stdout.write(
        f"snapshot on {name} ({'leader' if node.leader else 'follower'}): {took[0]:.2f} s; "
        f"requests meanwhile: median {statistics.median(during_ms):.1f} ms, "
        f"longest {max(during_ms):.0f} ms (without it: median {statistics.median(before_ms):.1f}, "
        f"longest {max(before_ms):.0f})\n"
    )


def measure_restart(cluster: Cluster, name: str) -> None:
    """Print how long a coordinator takes from SIGKILL until it has caught up and serves."""
    began_s = time.perf_counter()
    cluster.kill(name)
    cluster.wait_ready()
    sys.stdout.write(
        f"{name} killed, started again, ready: {time.perf_counter() - began_s:.2f} s\n"
    )


def memory_mb(cluster: Cluster) -> dict[str, float]:
    """Return the resident memory of each coordinator."""
    pids = {name: pid for name, pid in cluster.pids().items() if name.startswith("coordinator")}
    return {name: psutil.Process(pid).memory_info().rss / 1e6 for name, pid in pids.items()}


def main() -> int:
    """Run everything and print it with the machine."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--znodes", type=int, default=100_000)
    parser.add_argument("--size-bytes", type=int, default=100)
    given = parser.parse_args()
    sys.stdout.write(f"{describe()}\n")
    with Cluster.start(brokers=1, coordinators=3) as cluster:
        names = sorted(memory_mb(cluster))
        with CoordinationClient(cluster.bootstrap) as client:
            spent_s = grow(client, given.znodes, given.size_bytes)
        sys.stdout.write(
            f"{given.znodes:,} znodes of {given.size_bytes} bytes: {given.znodes / spent_s:,.0f} "
            "creates/s by one client\n"
        )
        show_memory(cluster, "after that")
        for name in names:
            measure_snapshot(cluster, name)
        show_memory(cluster, "after a snapshot of each")
        for name in names:
            measure_restart(cluster, name)
        show_memory(cluster, "after a restart of each")
    return 0


def show_memory(cluster: Cluster, when: str) -> None:
    """Print the resident memory of each coordinator."""
    sizes = ", ".join(f"{name} {size:.0f} MB" for name, size in memory_mb(cluster).items())
    sys.stdout.write(f"resident, {when}: {sizes}\n")


if __name__ == "__main__":
    sys.exit(main())
