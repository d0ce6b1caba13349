"""How long clients wait while their cluster moves from mode zookeeper to kraft, and back.

python -m benchmarks.migration [--times 5] [--partitions 10]

One client changes a config again and again, one sends records, one sets a znode: the longest that
each had to wait for one answer during a step, beside its usual wait.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack

from benchmarks.controller_failover import CHANGED, fill
from benchmarks.machine import describe
from odradek import AdminClient, ConfigResource, ConfigResourceType, CoordinationClient, Producer
from odradek.testing import Cluster
from supervisor import migrate
from supervisor.data_dir import DataDir

WAIT_S = 60.0
USUAL_S = 2.0
STEPS: dict[str, Callable[[DataDir], int]] = {
    "start": migrate.start,
    "rollback": migrate.rollback,
    "finish": migrate.finish,
}


class Client:
    """Does one thing again and again, and notes how long each time took."""

    def __init__(self, work: Callable[[int], object]) -> None:
        self._work = work
        self._ended = threading.Event()
        self._waits_ms: list[float] = []
        self._begun = 0.0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        number = 0
        while not self._ended.is_set():
            number += 1
            began = self._begun = time.perf_counter()
            self._work(number)
            self._waits_ms.append((time.perf_counter() - began) * 1000)

    def taken(self) -> list[float]:
        """Return the waits since the last call, what is being waited for among them."""
        waits_ms, self._waits_ms = self._waits_ms, []
        return [*waits_ms, (time.perf_counter() - self._begun) * 1000]

    def end(self) -> None:
        """Let it come to its end."""
        self._ended.set()
        self._thread.join(WAIT_S)


def begin(cluster: Cluster, stack: ExitStack) -> dict[str, Client]:
    """Start the clients; each is closed with the stack."""
    admin = stack.enter_context(AdminClient(bootstrap_servers=cluster.bootstrap))
    producer = stack.enter_context(Producer(cluster.bootstrap))
    znodes = stack.enter_context(CoordinationClient(hosts=cluster.hosts))
    znodes.create("/bench", b"")

    def change(number: int) -> None:
        configs = {"retention.ms": str(60_000 + number)}
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, CHANGED, configs)])

    clients = {
        "metadata change": Client(change),
        "record": Client(lambda _: producer.send(CHANGED, b"x").result(WAIT_S)),
        "znode write": Client(lambda number: znodes.set("/bench", b"%d" % number)),
    }
    for client in clients.values():
        stack.callback(client.end)
    return clients


def main() -> int:
    """Print the longest waits of each step, over all times."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--partitions", type=int, default=10)
    arguments = parser.parse_args()
    longest: dict[tuple[str, str], list[float]] = {}
    with ExitStack() as stack:
        cluster = stack.enter_context(Cluster.start(brokers=3, coordinators=3))
        with AdminClient(bootstrap_servers=cluster.bootstrap) as admin:
            fill(admin, arguments.partitions)
        data_dir = DataDir(cluster.data_dir)
        assert migrate.start(data_dir) == migrate.rollback(data_dir) == 0  # the restarts are over
        clients = begin(cluster, stack)
        time.sleep(USUAL_S)
        usual = {name: statistics.median(client.taken()) for name, client in clients.items()}
        for step in (*("start", "rollback") * arguments.times, "start", "finish"):
            assert STEPS[step](data_dir) == 0
            time.sleep(USUAL_S)  # what began before the step's end is counted to it
            for name, client in clients.items():
                longest.setdefault((step, name), []).append(max(client.taken()))
    sys.stdout.write(f"{describe()}\n{arguments.partitions} partitions\n")
    for (step, name), waits_ms in longest.items():
        sys.stdout.write(
            f"{step}, longest wait for a {name}: median {statistics.median(waits_ms):.0f} ms, "
            f"max {max(waits_ms):.0f} ms (n = {len(waits_ms)}); usual {usual[name]:.1f} ms\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
