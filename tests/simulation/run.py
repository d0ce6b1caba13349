"""One simulated history: a seed, a cluster, clients, faults; safety first, then liveness.

In the safety phase anything may fail, and nothing that was promised may break.  In the liveness
phase everything heals, and within a bounded time everything acknowledged must be readable.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.simulation.checkers.log_history import LogHistory
from tests.simulation.cluster import Cluster, Shape
from tests.simulation.faults import Faults
from tests.simulation.workload import Producers, Reader, Setters
from tests.simulation.world import World

TOPIC = "events"
PARTITIONS = 3
CHECK_EVERY_MS = 500
HEAL_MAX_MS = 60_000


@dataclass(frozen=True)
class Report:
    """What a run came to."""

    seed: int
    virtual_s: float
    records_acked: int
    znode_operations: int
    faults: int
    event_hash: str
    trace: tuple[str, ...]


class Failed(AssertionError):
    """A run broke a promise: carries its trace."""

    def __init__(self, seed: int, reason: object, trace: list[str]) -> None:
        super().__init__(
            f"seed {seed}: {reason}\nrepeat it with: python -m tests.simulation --seed {seed}"
        )
        self.trace = trace


def run(seed: int, *, faults: bool = True, safety_ms: int = 15_000) -> Report:
    """Run one seed; raises :class:`Failed` when a promise was broken."""
    world = World(seed)
    try:
        return _run(world, faults=faults, safety_ms=safety_ms)
    except Exception as error:
        raise Failed(seed, f"{type(error).__name__}: {error}", world.trace) from error


def _run(world: World, *, faults: bool, safety_ms: int) -> Report:
    cluster = Cluster(world, _shape(world))
    history = LogHistory()
    producers = Producers(cluster, history, TOPIC, PARTITIONS, count=2)
    setters = Setters(cluster, clients=2, paths=2)
    Reader(cluster, history, TOPIC, "reader")
    world.run_for(2_000)
    injected = Faults(cluster) if faults else None
    _pass_time(world, cluster, safety_ms)
    if injected is not None:
        injected.stop()
    producers.stop()
    setters.stop()
    settled = world.run_until(lambda: producers.outstanding == 0, limit_ms=HEAL_MAX_MS)
    assert settled, f"{producers.outstanding} records have met no end after everything healed"
    late = Reader(cluster, history, TOPIC, "late-reader")
    wanted = len(history.acked)
    caught_up = world.run_until(lambda: late.has_read(wanted), limit_ms=HEAL_MAX_MS)
    cluster.check()
    history.check()
    setters.check()
    assert caught_up, f"of {wanted} acked records not all are readable"
    history.check_nothing_lost("late-reader")
    return Report(
        world.seed,
        world.now_us / 1e6,
        wanted,
        setters.answered(),
        injected.count if injected else 0,
        world.event_hash(),
        tuple(world.trace),
    )


def _shape(world: World) -> Shape:
    return Shape(death_notices=world.random.random() < 0.8)


def _pass_time(world: World, cluster: Cluster, duration_ms: int) -> None:
    for _ in range(duration_ms // CHECK_EVERY_MS):
        world.run_for(CHECK_EVERY_MS)
        cluster.check()
