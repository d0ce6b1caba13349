"""How long the cluster's image takes no change after its active controller was killed.

python -m benchmarks.controller_failover [--mode kraft] [--times 20] [--partitions 10]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

from benchmarks.machine import describe
from odradek import AdminClient, ConfigResource, ConfigResourceType, NewTopic
from odradek.testing import Cluster

WAIT_S = 120.0
LOOK_AGAIN_S = 0.1
TOPIC_PARTITIONS = 1_000
"""Of each topic of the load, and what one request may ask for."""


def fill(admin: AdminClient, partitions: int, replicas: int = 3) -> None:
    """Make topics with so many partitions together."""
    for number, first in enumerate(range(0, partitions, TOPIC_PARTITIONS)):
        count = min(TOPIC_PARTITIONS, partitions - first)
        admin.create_topics(
            [NewTopic(f"load-{number}", count, replicas)], timeout_ms=int(WAIT_S * 1000)
        )


def active_controller(cluster: Cluster) -> str:
    """Return the name of the active controller, as soon as there is exactly one."""
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        active = [node.name for node in cluster.status().nodes if node.controller]
        if len(active) == 1:
            return active[0]
        time.sleep(LOOK_AGAIN_S)
    raise TimeoutError(f"no active controller within {WAIT_S:.0f} s; see the logs of its nodes")


def measure(cluster: Cluster, admin: AdminClient, value: int) -> float:
    """Return the milliseconds from the signal to the next committed change of a config."""
    controller = active_controller(cluster)
    configs = {"retention.ms": str(value)}
    change = ConfigResource(ConfigResourceType.TOPIC, "load-0", configs)
    began = time.perf_counter()
    cluster.kill(controller)
    admin.alter_configs([change])
    elapsed_ms = (time.perf_counter() - began) * 1000
    cluster.wait_ready()
    return elapsed_ms


def main() -> int:
    """Print the median over all kills."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--mode", choices=("zookeeper", "kraft"), default="kraft")
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--partitions", type=int, default=10)
    arguments = parser.parse_args()
    with (
        Cluster.start(brokers=3, coordinators=3, mode=arguments.mode) as cluster,
        AdminClient(bootstrap_servers=cluster.bootstrap) as admin,
    ):
        fill(admin, arguments.partitions)
        took_ms = [measure(cluster, admin, 60_000 + number) for number in range(arguments.times)]
    sys.stdout.write(f"{describe()}\n")
    sys.stdout.write(
        f"SIGKILL of the active controller to the next committed change, mode {arguments.mode}, "
        f"{arguments.partitions} partitions: median {statistics.median(took_ms):.0f} ms "
        f"(min {min(took_ms):.0f}, max {max(took_ms):.0f}, n = {len(took_ms)})\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
