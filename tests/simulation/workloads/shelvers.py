"""People who move replicas between the log directories of their brokers, where those have several.

No checker of its own: whatever moves, the logs must be what the log checkers say.
"""

from __future__ import annotations

from functools import partial

from odradek.admin.directories import LogDirDescription
from odradek.admin.engine import AdminEngine
from odradek.errors import OdradekError
from tests.simulation.process import SimulatedProcess
from tests.simulation.workloads.workload import Stage, Workload
from transport.kernel import Now

PAUSE_US = (20_000, 400_000)
TIMEOUT_MS = 3_000
AT_ONCE = (1, 1, 2, 5)
"""Replicas that are moved by one request."""


class Shelvers(Workload):
    """So many admin clients, each moving some replicas of some broker, again and again."""

    def __init__(self, stage: Stage, count: int) -> None:
        super().__init__(stage)
        self.moved = 0
        for number in range(count):
            engine = AdminEngine(self.cluster.bootstrap)
            self._later(engine, self.cluster.add_client(engine, f"shelver-{number + 1}"))

    def _later(self, engine: AdminEngine, process: SimulatedProcess) -> None:
        def act() -> None:
            if self.running:
                process.do(partial(self._move, engine))
                self._later(engine, process)

        self.world.after(self.world.between(PAUSE_US), act)

    def _move(self, engine: AdminEngine, now: Now) -> None:
        random, cluster = self.world.random, self.cluster
        broker = random.randint(1, cluster.shape.brokers)

        def described(found: list[LogDirDescription] | OdradekError, now: Now) -> None:
            # Where a bit has flipped, what is damaged is looked for where it was.
            if isinstance(found, OdradekError) or broker == cluster.flipped:
                return
            here = sorted(key for directory in found for key in directory.logs)
            chosen = random.sample(here, min(len(here), random.choice(AT_ONCE)))
            path = random.choice(found).path
            told = partial(self._ended, f"move {len(chosen)} logs of {broker} to {path}")
            engine.directories.move(broker, dict.fromkeys(chosen, path), TIMEOUT_MS, told, now)

        engine.directories.describe(broker, TIMEOUT_MS, described, now)

    def _ended(self, what: str, error: OdradekError | None, _now: Now) -> None:
        self.moved += error is None
        self.world.note(f"{what}: {error or 'begun'}")
