"""What goes wrong in the simulated world: drawn from its seed, noted in its trace.

Processes, the network and clocks may fail in any number at once: nothing that was acknowledged may
depend on them.  What takes data away is limited to what the guarantees allow: see ``losses.py``.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.simulation.cluster import Cluster
from tests.simulation.losses import Losses
from tests.simulation.network import USUAL_DELAY_US
from tests.simulation.process import JOB_US, TURN_US
from tests.simulation.shape import draw_hiccups
from tests.simulation.wires import Cut

PAUSE_MS = (150, 2_500)
FREEZE_MS = ((50, 2_000), (50, 6_000), (9_000, 16_000))
"""Some so long that the peers' heartbeats give the connections up."""
CUT_MS = ((50, 1_000), (50, 8_000), (9_000, 15_000))
SLOW_MS = (200, 3_000)
SLOWEST_US = (2_000, 20_000, 100_000)
JUMP_MAX_MS = 3_600_000

Fault = Callable[[], None]


class Faults:
    """Injects faults until it is stopped."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.world = cluster.world
        self.running = True
        self.count = 0
        self.losses = Losses(cluster)
        self._cuts: list[Cut] = []
        random = self.world.random
        self._intensity = random.choice((0.3, 1.0, 3.0))
        """How often something fails, against the usual."""
        kinds: list[Fault] = [
            self._kill,
            self._restart,
            self._freeze,
            self._freeze_everything,
            self._cut_off,
            self._cut_one_way,
            self._slow_network,
            self._slow_pair,
            self._slow_process,
            self._slow_disk,
            self._jump_clock,
            self._freeze_client,
            self._cut_off_client,
            *self.losses.kinds(),
        ]
        self._kinds = random.sample(kinds, random.randint(1, len(kinds)))
        """A swarm: each seed has its own mix of faults."""
        if draw_hiccups(self.world.seed):
            self._kinds.append(self.losses.fail_once)
        names = ", ".join(kind.__name__.strip("_") for kind in self._kinds)
        self.world.note(f"faults: {names}, intensity {self._intensity}")
        self._next()

    def stop(self) -> None:
        """Heal everything, and break nothing more."""
        self.running = False
        self.world.note("everything heals")
        for cut in self._cuts:
            self.cluster.network.heal(cut)
        self.cluster.network.slow.clear()
        self._recover_network()
        for process in [*self.cluster.processes.values(), *self.cluster.clients.values()]:
            process.turn_us, process.job_us = TURN_US, JOB_US
            process.thaw()
        for clock in self.cluster.clocks.values():
            clock.set_right()
        self.losses.stop()

    def _next(self) -> None:
        pause_ms = self.world.between(PAUSE_MS)
        self.world.after(int(pause_ms * 1_000 / self._intensity), self._strike)

    def _strike(self) -> None:
        if self.running:
            if not self.losses.are_recovering():
                self.count += 1
                self.world.random.choice(self._kinds)()
            self._next()

    def _victim(self) -> str:
        return self.world.random.choice(self.cluster.names())

    def _later(self, bounds_ms: tuple[int, int], undo: Callable[[], None]) -> None:
        def happen() -> None:
            if self.running:
                undo()

        self.world.after(self.world.between(bounds_ms) * 1_000, happen)

    # Processes

    def _kill(self) -> None:
        name = self._victim()
        if self.cluster.processes[name].alive:
            self.cluster.kill(name)

    def _restart(self) -> None:
        name = self._victim()
        process = self.cluster.processes[name]
        if process.alive:
            self.world.note(f"{name} is asked to stop")
            process.do(process.program.stop)

    def _freeze(self) -> None:
        self._freeze_all([self._victim()])

    def _freeze_everything(self) -> None:
        self._freeze_all(self.cluster.names())

    def _freeze_client(self) -> None:
        if living := self._living_clients():
            self._freeze_all([self.world.random.choice(living)])

    def _living_clients(self) -> list[str]:
        return [name for name, process in self.cluster.clients.items() if process.alive]

    def _freeze_all(self, names: list[str]) -> None:
        known = {**self.cluster.processes, **self.cluster.clients}
        processes = [known[name] for name in names]
        self.world.note(f"frozen: {', '.join(names)}")
        for process in processes:
            process.freeze()

        def thaw() -> None:
            self.world.note(f"thawed: {', '.join(names)}")
            for process in processes:
                process.thaw()

        self._later(self.world.random.choice(FREEZE_MS), thaw)

    def _slow_process(self) -> None:
        name = self._victim()
        process = self.cluster.processes[name]
        process.turn_us = (1_000, self.world.random.choice((5_000, 50_000, 400_000)))
        self.world.note(f"{name} is slow: a turn takes up to {process.turn_us[1]} µs")

        def recover() -> None:
            self.world.note(f"{name} is as fast as before")
            process.turn_us = TURN_US

        self._later(SLOW_MS, recover)

    def _slow_disk(self) -> None:
        name = self._victim()
        process = self.cluster.processes[name]
        process.job_us = (1_000, self.world.random.choice((50_000, 500_000, 3_000_000)))
        self.world.note(f"the disk of {name} is slow: a sync takes up to {process.job_us[1]} µs")

        def recover() -> None:
            self.world.note(f"the disk of {name} is as fast as before")
            process.job_us = JOB_US

        self._later(SLOW_MS, recover)

    def _jump_clock(self) -> None:
        name = self._victim()
        by_ms = self.world.random.randint(-JUMP_MAX_MS, JUMP_MAX_MS)
        self.world.note(f"the wall clock of {name} jumps by {by_ms} ms")
        self.cluster.clocks[name].jump(by_ms)

    # The network

    def _cut_off(self) -> None:
        self._cut(both_ways=True)

    def _cut_one_way(self) -> None:
        self._cut(both_ways=False)

    def _cut(self, *, both_ways: bool) -> None:
        random = self.world.random
        names = self.cluster.names()
        side = random.sample(names, 1 if random.random() < 0.6 else random.randint(1, len(names)))
        others = [other for other in names if other not in side]
        if random.random() < 0.4 and others:
            others = [random.choice(others)]
        pairs = [(one, other) for one in side for other in others]
        if both_ways:
            pairs += [(other, one) for one, other in pairs]
        elif random.random() < 0.5:
            pairs = [(other, one) for one, other in pairs]
        which = f"{', '.join(side)} | {', '.join(others)}{'' if both_ways else ', one way'}"
        self._split(pairs, which)

    def _cut_off_client(self) -> None:
        if living := self._living_clients():
            random, names = self.world.random, self.cluster.names()
            client = random.choice(living)
            others = random.sample(names, random.randint(1, len(names)))
            pairs = [(client, other) for other in others] + [(other, client) for other in others]
            self._split(pairs, f"{client} | {', '.join(others)}")

    def _split(self, pairs: list[tuple[str, str]], which: str) -> None:
        self.world.note(f"netsplit: {which}")
        cut = self.cluster.network.cut(pairs)
        self._cuts.append(cut)

        def heal() -> None:
            self.world.note(f"healed: {which}")
            self._cuts.remove(cut)
            self.cluster.network.heal(cut)

        self._later(self.world.random.choice(CUT_MS), heal)

    def _slow_network(self) -> None:
        network = self.cluster.network
        slowest_us = self.world.random.choice(SLOWEST_US)
        network.delay_us = (80, slowest_us)
        network.event_loss = self.world.random.choice((0.0, 0.1, 0.5))
        self.world.note(f"the network slows to {slowest_us} µs, losing {network.event_loss}")
        self._later(SLOW_MS, self._recover_network)

    def _recover_network(self) -> None:
        self.cluster.network.delay_us = USUAL_DELAY_US
        self.cluster.network.event_loss = 0.0

    def _slow_pair(self) -> None:
        names = self.cluster.names()
        if len(names) < 2:
            return
        one, other = self.world.random.sample(names, 2)
        slowest_us = self.world.random.choice(SLOWEST_US)
        slow = self.cluster.network.slow
        self.world.note(f"from {one} to {other} a packet takes up to {slowest_us} µs")
        slow[one, other] = (80, slowest_us)

        def recover() -> None:
            self.world.note(f"from {one} to {other} it is fast again")
            slow.pop((one, other), None)

        self._later(SLOW_MS, recover)
