"""How long until a cluster takes its first acked write, and what it weighs then.

python -m benchmarks.cluster_start [--times 5] [--mode kraft [--nodes 1]]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks.machine import describe
from odradek import Producer
from odradek.testing import Cluster


def measure(mode: str, nodes: int) -> tuple[float, float]:
    """Return (seconds to the first acked write, MB resident of all processes together)."""
    began = time.perf_counter()
    with (
        tempfile.TemporaryDirectory() as folder,
        Cluster.start(
            brokers=nodes, coordinators=nodes, mode=mode, data_dir=Path(folder), wait=False
        ) as cluster,
    ):
        cluster.wait_listening()
        with Producer(bootstrap_servers=cluster.bootstrap, acks="all") as producer:
            producer.send("first", value=b"write").result(30)
            first_write_s = time.perf_counter() - began
        cluster.wait_ready()
        resident_bytes = sum(
            psutil.Process(pid).memory_info().rss for pid in cluster.pids().values()
        )
    return first_write_s, resident_bytes / 1e6


def main() -> int:
    """Print medians."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--mode", choices=("zookeeper", "kraft"), default="zookeeper")
    parser.add_argument("--nodes", type=int, default=3, help="brokers, and as many of the quorum")
    arguments = parser.parse_args()
    times = arguments.times
    rows = [measure(arguments.mode, arguments.nodes) for _ in range(times)]
    processes = arguments.nodes * (1 if arguments.mode == "kraft" else 2)
    seconds = [row[0] for row in rows]
    megabytes = [row[1] for row in rows]
    sys.stdout.write(f"{describe()}\n")
    sys.stdout.write(
        f"start to first acked write: median {statistics.median(seconds):.2f} s "
        f"(min {min(seconds):.2f}, max {max(seconds):.2f}, n = {times})\n"
        f"resident, {processes} nodes (mode {arguments.mode}) and the supervisor: median {statistics.median(megabytes):.0f} MB\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
