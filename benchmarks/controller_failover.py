"""How long the cluster's image takes no change after its active controller was killed.

python -m benchmarks.controller_failover [--mode kraft] [--times 20] [--partitions 10 10000]

Killed while nothing else is under way; and again while the replicas of a broker that was killed
before are on their way back into their ISRs.  Nobody can hear of the death before the kernel ends the
connections of the process, which comes after it has freed its memory: how long that takes is printed,
too.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import NamedTuple

import psutil

from benchmarks.machine import describe
from odradek import AdminClient, ConfigResource, ConfigResourceType, NewTopic
from odradek.testing import Cluster

WAIT_S = 120.0
LOOK_AGAIN_S = 0.1
QUIET_S, QUIET_SHARE = 0.6, 0.3
"""Nothing is under way when all nodes together take less than this share of one core for so long:
longer than a follower's poll waits, by whose answer it hears of what became of its partitions."""
TOPIC_PARTITIONS = 1_000
"""Of each topic of the load, and what one request may ask for."""
CHANGED, CHANGED_PARTITIONS = "changed", 10
"""Whose config is changed: the same topic in a small cluster and in a large one."""
VALUES = count(60_000)


def fill(admin: AdminClient, partitions: int, replicas: int = 3) -> list[str]:
    """Make topics with so many partitions together; return their names."""
    sizes = {CHANGED: min(CHANGED_PARTITIONS, partitions)}
    for number, first in enumerate(range(CHANGED_PARTITIONS, partitions, TOPIC_PARTITIONS)):
        sizes[f"load-{number}"] = min(TOPIC_PARTITIONS, partitions - first)
    for name, size in sizes.items():
        admin.create_topics([NewTopic(name, size, replicas)], timeout_ms=int(WAIT_S * 1000))
    return list(sizes)


def await_true(condition: Callable[[], bool], what: str) -> None:
    """Return once it holds."""
    until = time.monotonic() + WAIT_S
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError(f"not within {WAIT_S:.0f} s: {what}; see the logs of the nodes")
        time.sleep(LOOK_AGAIN_S)


def active_controller(cluster: Cluster) -> str:
    """Return the name of the active controller, as soon as there is exactly one."""
    found: list[str] = []

    def one() -> bool:
        found[:] = [node.name for node in cluster.status().nodes if node.controller]
        return len(found) == 1

    await_true(one, "one active controller")
    return found[0]


def settle(cluster: Cluster, admin: AdminClient, topics: list[str]) -> None:
    """Return when every replica is in sync and follows its preferred leader: nothing is left to do."""
    for topic in topics:
        cluster.wait_full_isr(topic, WAIT_S)
    admin.perform_leader_election()

    def followed() -> bool:
        return all(
            part.complete
            and part.leader == part.replicas[0]
            and all(end >= 0 for end in part.replica_ends.values())
            for topic in admin.describe_topics(topics)
            for part in topic.partitions
        )

    await_true(followed, "each preferred leader is followed by all")
    nodes = [psutil.Process(node.pid) for node in cluster.status().nodes]

    def quiet() -> bool:
        before_s = busy_s(nodes)
        time.sleep(QUIET_S)
        return busy_s(nodes) - before_s < QUIET_S * QUIET_SHARE

    await_true(quiet, "no node is busy any more")


def busy_s(nodes: list[psutil.Process]) -> float:
    """Return the seconds of processor that these have taken so far."""
    return sum(sum(node.cpu_times()[:2]) for node in nodes)


def unsettle(cluster: Cluster) -> None:
    """Kill another broker than the controller; return when it serves again, though not in sync yet."""
    controller = active_controller(cluster)
    brokers = [node.name for node in cluster.status().nodes if "broker" in node.roles]
    cluster.kill(next(name for name in brokers if name != controller))
    cluster.wait_ready()


class FailOver(NamedTuple):
    """Milliseconds from the signal."""

    changed_ms: float
    """To the next committed change of a config."""
    heard_ms: float
    """To the end of a connection to the process."""


def fail_over(cluster: Cluster, admin: AdminClient) -> FailOver:
    """Kill the active controller, and change a config at once."""
    controller = active_controller(cluster)
    configs = {"retention.ms": str(next(VALUES))}
    change = ConfigResource(ConfigResourceType.TOPIC, CHANGED, configs)
    (door,) = (node.clients for node in cluster.status().nodes if node.name == controller)
    host, _, port = door.removeprefix("tcp://").rpartition(":")
    ended_s: list[float] = []

    def listen() -> None:
        with suppress(ConnectionResetError):
            while connection.recv(4096):
                pass
        ended_s.append(time.perf_counter())

    with socket.create_connection((host, int(port))) as connection:
        listening = threading.Thread(target=listen, daemon=True)
        listening.start()
        began_s = time.perf_counter()
        cluster.kill(controller)
        admin.alter_configs([change])
        changed_s = time.perf_counter()
        listening.join(WAIT_S)
    cluster.wait_ready()
    return FailOver((changed_s - began_s) * 1000, (ended_s[0] - began_s) * 1000)


def measure(mode: str, partitions: int, times: int) -> tuple[float, float]:
    """Print both figures of a cluster with so many partitions; return their medians."""
    whole, rejoining = [], []
    with (
        Cluster.start(brokers=3, coordinators=3, mode=mode) as cluster,
        AdminClient(cluster.bootstrap, request_timeout_ms=int(WAIT_S * 1000)) as admin,
    ):
        topics = fill(admin, partitions)
        for _ in range(times):
            settle(cluster, admin, topics)
            whole.append(fail_over(cluster, admin))
            settle(cluster, admin, topics)
            unsettle(cluster)
            rejoining.append(fail_over(cluster, admin))
    medians = []
    for state, found in (("in sync", whole), ("rejoining", rejoining)):
        took_ms = [one.changed_ms for one in found]
        heard_ms = statistics.median(one.heard_ms for one in found)
        medians.append(statistics.median(took_ms))
        sys.stdout.write(
            f"SIGKILL of the active controller to the next committed change, mode {mode}, "
            f"{partitions:,} partitions, replicas {state}: median {medians[-1]:.0f} ms "
            f"(min {min(took_ms):.0f}, max {max(took_ms):.0f}, n = {len(took_ms)}), of which "
            f"{heard_ms:.1f} ms until the kernel ends its connections\n"
        )
    sys.stdout.flush()
    return medians[0], medians[1]


def main() -> int:
    """Print the medians over all kills, and how they compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--mode", choices=("zookeeper", "kraft"), default="kraft")
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--partitions", type=int, nargs="+", default=[10, 10_000])
    given = parser.parse_args()
    sys.stdout.write(f"{describe()}\n")
    medians = [measure(given.mode, partitions, given.times) for partitions in given.partitions]
    if len(medians) > 1:
        whole, rejoining = (
            last / first for first, last in zip(medians[0], medians[-1], strict=True)
        )
        sys.stdout.write(
            f"{given.partitions[-1]:,} partitions to {given.partitions[0]:,}: "
            f"{whole:.2f} × in sync, {rejoining:.2f} × rejoining\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
