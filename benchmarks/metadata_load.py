"""How long a restarted controller takes to stand on its snapshot, and what it weighs then.

python -m benchmarks.metadata_load [--partitions 50000]

One node that is controller and broker of all of them: what it loads is the image, and what follows
from it for a broker (a replica for each partition, its log not yet made).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

import psutil

from benchmarks.controller_failover import TOPIC_PARTITIONS, WAIT_S, fill
from benchmarks.machine import describe
from odradek import AdminClient, Producer
from odradek.testing import Cluster

NODE = "node-1"


def write_to_last(cluster: Cluster, partitions: int) -> None:
    """Write to the partition that its broker takes over last."""
    topic, number = divmod(partitions - 1, TOPIC_PARTITIONS)
    with Producer(bootstrap_servers=cluster.bootstrap) as producer:
        producer.send(f"load-{topic}", b"led", partition=number).result(WAIT_S)


def main() -> int:
    """Print the time from the kill to ready, and the resident memory."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--partitions", type=int, default=50_000)
    partitions = parser.parse_args().partitions
    with Cluster.start(brokers=1, coordinators=1, mode="kraft") as cluster:
        with AdminClient(bootstrap_servers=cluster.bootstrap) as admin:
            fill(admin, partitions, replicas=1)
        command = [sys.executable, "-m", "supervisor", "ensemble", "snapshot"]
        subprocess.run([*command, "--data-dir", str(cluster.data_dir)], check=True)
        began = time.perf_counter()
        cluster.kill(NODE)
        cluster.wait_ready()
        took_s = time.perf_counter() - began
        write_to_last(cluster, partitions)
        served_s = time.perf_counter() - began
        resident = psutil.Process(cluster.pids()[NODE]).memory_info().rss / 1e6
    sys.stdout.write(f"{describe()}\n")
    sys.stdout.write(
        f"SIGKILL of a controller with {partitions} partitions to ready: {took_s:.2f} s; it leads "
        f"all of them after {served_s:.2f} s, with {resident:.0f} MB resident\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
