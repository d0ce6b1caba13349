"""How long a partition takes no write after its leader was killed or frozen.

python -m benchmarks.failover [--times 20] [--signal KILL|STOP] [--no-notices]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

from benchmarks.machine import describe
from odradek import AdminClient, NewTopic, Producer
from odradek.testing import Cluster

WAIT_S = 60.0


def measure(cluster: Cluster, producer: Producer, topic: str, signal_name: str) -> float:
    """Return the milliseconds from the signal to the next acked write on the partition."""
    producer.send(topic, value=b"before", partition=0).result(WAIT_S)
    began = time.perf_counter()
    victim = cluster.kill_leader(topic, 0, signal=signal_name)
    producer.send(topic, value=b"after", partition=0).result(WAIT_S)
    elapsed_ms = (time.perf_counter() - began) * 1000
    if signal_name == "STOP":
        cluster.thaw(victim)
    cluster.wait_ready()
    cluster.wait_full_isr(topic)
    return elapsed_ms


def main() -> int:
    """Print the median over all kills."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--signal", choices=["KILL", "STOP"], default="KILL")
    parser.add_argument("--no-notices", action="store_true", help="the supervisor tells nobody")
    arguments = parser.parse_args()
    settings = {"supervisor": {"death_notices": False}} if arguments.no_notices else {}
    with Cluster.start(brokers=3, coordinators=3, settings=settings) as cluster:
        with AdminClient(bootstrap_servers=cluster.bootstrap) as admin:
            admin.create_topics([NewTopic("failover", 1, 3)])
        with Producer(bootstrap_servers=cluster.bootstrap, acks="all") as producer:
            took_ms = [
                measure(cluster, producer, "failover", arguments.signal)
                for _ in range(arguments.times)
            ]
    notices = "off" if arguments.no_notices else "on"
    sys.stdout.write(f"{describe()}\n")
    sys.stdout.write(
        f"SIG{arguments.signal} of a leader to the next acked write, notices {notices}: "
        f"median {statistics.median(took_ms):.0f} ms "
        f"(min {min(took_ms):.0f}, max {max(took_ms):.0f}, n = {len(took_ms)})\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
