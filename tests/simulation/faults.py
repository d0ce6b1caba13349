"""What goes wrong in the simulated world: drawn from its seed, noted in its trace."""

from __future__ import annotations

from collections.abc import Callable

from tests.simulation.cluster import Cluster

PAUSE_MS = (150, 2_500)
FREEZE_MS = (50, 6_000)
CUT_MS = (50, 8_000)
SLOW_MS = (200, 3_000)


class Faults:
    """Injects faults until it is stopped; at most ``down_max`` nodes are frozen or cut at once."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.world = cluster.world
        self.running = True
        self.count = 0
        random = self.world.random
        self._intensity = random.choice([0.3, 1.0, 3.0])
        """How often something fails, against the usual."""
        kinds: list[Callable[[], None]] = [
            self._kill,
            self._freeze,
            self._cut_off,
            self._cut_one_way,
            self._slow_network,
            self._lose_power,
        ]
        self._kinds = random.sample(kinds, random.randint(1, len(kinds)))
        """A swarm: each seed has its own mix of faults."""
        self.world.note(
            f"faults: {', '.join(kind.__name__.strip('_') for kind in self._kinds)}, "
            f"intensity {self._intensity}"
        )
        self._next()

    def stop(self) -> None:
        """Heal everything, and break nothing more."""
        self.running = False
        self.world.note("everything heals")
        self.cluster.network.heal()
        self.cluster.network.delay_us = (80, 400)
        self.cluster.network.event_loss = 0.0
        for process in self.cluster.processes.values():
            process.thaw()

    def _next(self) -> None:
        pause_ms = self.world.random.randint(*PAUSE_MS)
        self.world.after(int(pause_ms * 1_000 / self._intensity), self._strike)

    def _strike(self) -> None:
        if self.running:
            self.count += 1
            self.world.random.choice(self._kinds)()
            self._next()

    def _victim(self) -> str:
        return self.world.random.choice(sorted(self.cluster.processes))

    def _kill(self) -> None:
        name = self._victim()
        if self.cluster.processes[name].alive:
            self.cluster.kill(name)

    def _lose_power(self) -> None:
        names = [name for name in sorted(self.cluster.processes) if "coordinator" in name]
        name = self.world.random.choice(names)
        if self.cluster.processes[name].alive:
            self.cluster.lose_power(name)

    def _freeze(self) -> None:
        name = self._victim()
        process = self.cluster.processes[name]
        self.world.note(f"{name} freezes")
        process.freeze()

        def thaw() -> None:
            self.world.note(f"{name} thaws")
            process.thaw()

        self.world.after(self.world.random.randint(*FREEZE_MS) * 1_000, thaw)

    def _cut_off(self) -> None:
        self._cut(both_ways=True)

    def _cut_one_way(self) -> None:
        self._cut(both_ways=False)

    def _cut(self, *, both_ways: bool) -> None:
        name = self._victim()
        others = [other for other in sorted(self.cluster.processes) if other != name]
        if self.world.random.random() < 0.5:
            others = [self.world.random.choice(others)]
        self.world.note(f"netsplit: {name} | {', '.join(others)}{'' if both_ways else ' one way'}")
        for other in others:
            self.cluster.network.cut(name, other, both_ways=both_ways)

        def heal() -> None:
            self.world.note("the netsplit heals")
            self.cluster.network.heal()

        self.world.after(self.world.random.randint(*CUT_MS) * 1_000, heal)

    def _slow_network(self) -> None:
        network = self.cluster.network
        slowest_us = self.world.random.choice([2_000, 20_000, 100_000])
        network.delay_us = (80, slowest_us)
        network.event_loss = self.world.random.choice([0.0, 0.1, 0.5])
        self.world.note(f"the network slows to {slowest_us} µs, losing {network.event_loss}")

        def recover() -> None:
            network.delay_us = (80, 400)
            network.event_loss = 0.0

        self.world.after(self.world.random.randint(*SLOW_MS) * 1_000, recover)
