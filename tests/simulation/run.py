"""One simulated history: a seed, a cluster, clients, faults; safety first, then liveness.

In the safety phase anything may fail, and nothing that was promised may break.  In the liveness
phase everything heals, and within a bounded time everything acknowledged must be readable.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from tests.simulation.cluster import Cluster
from tests.simulation.faults import Faults
from tests.simulation.health import brokers_are_whole, quorum_is_whole
from tests.simulation.shape import (
    Shape,
    draw_answer_bytes_max,
    draw_foreign_kind,
    draw_foreigners,
    draw_judged,
    draw_lodgers,
    draw_log_dirs,
    draw_mode,
    draw_move_piece_bytes,
    draw_piece_records,
    draw_pipelines,
    draw_rare_kinds,
    draw_recent_bytes,
    draw_recovery_note_bytes,
    draw_shape,
    draw_shelvers,
    judged,
)
from tests.simulation.workloads.mix import Workloads
from tests.simulation.world import World

BEGIN_MS = 1_000
"""Before the first fault: the cluster is up, the topic made."""
CHECK_EVERY_MS = 500
SHORT_SAFETY_MS = 4_000
"""Of the many seeds in every ``make test``."""
LOOK_EVERY_MS = 50
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
    """A run broke a promise: carries its trace, and the virtual time."""

    def __init__(
        self, world: World, reason: Exception, *, short: bool = False, mode: str = ""
    ) -> None:
        command = f"python -m tests.simulation --seed {world.seed}{' --short' if short else ''}"
        command += f" --mode {mode}" if mode else ""
        story = f"{type(reason).__name__}: {reason}"
        super().__init__(f"seed {world.seed}: {story}\nrepeat it with: {command}")
        self.trace = world.trace
        self.at_us = world.now_us


class _Ended(Exception):
    """The world has reached the moment that was to be its last."""


def run(
    seed: int,
    *,
    short: bool = False,
    faults: bool = True,
    shape: Shape | None = None,
    safety_ms: int | None = None,
    mode: str = "",
) -> Report:
    """Run one seed; raises :class:`Failed` when a promise was broken.

    The mode, the shape and the length of the safety phase are drawn from the seed unless they are given;
    ``short`` is a length as well.
    """
    world = World(seed)
    drawn = shape or _draw(world, seed, mode)
    if safety_ms is None:
        safety_ms = SHORT_SAFETY_MS if short else drawn.safety_ms
    try:
        return _run(world, drawn, safety_ms, faults)
    except Exception as error:
        raise Failed(world, error, short=short, mode=mode) from error


def run_until(until_us: int, seed: int, shape: Shape) -> None:
    """Run one seed as :func:`run` does, but no longer than this; what was promised may not break."""
    world = World(seed)
    world.at(until_us, _end)
    try:
        _run(world, shape, shape.safety_ms, with_faults=True)
    except _Ended:
        pass
    except Exception as error:
        raise Failed(world, error) from error


def _end() -> None:
    raise _Ended


def _draw(world: World, seed: int, mode: str) -> Shape:
    shape = draw_shape(world.random, mode or draw_mode(seed))
    if draw_judged(seed):
        shape = judged(shape)
    clients = {
        **shape.mix.clients,
        "pipelines": draw_pipelines(seed),
        "shelvers": draw_shelvers(seed),
        "foreigners": draw_foreigners(seed),
        **draw_foreign_kind(seed),
        **draw_rare_kinds(seed),
    }
    mix = replace(shape.mix, clients=clients)
    if replace(shape, mix=mix).has_listeners and (lodgers := draw_lodgers(seed)):
        mix = replace(mix, clients={**clients, "lodgers": lodgers})
    return replace(
        shape,
        mix=mix,
        coordinator=replace(shape.coordinator, answer_bytes_max=draw_answer_bytes_max(seed)),
        broker=replace(
            shape.broker,
            log_dirs=draw_log_dirs(seed),
            controller_piece_records=draw_piece_records(seed),
        ),
        log=replace(
            shape.log,
            recovery_note_bytes=draw_recovery_note_bytes(seed),
            recent_bytes=draw_recent_bytes(seed),
            move_piece_bytes=draw_move_piece_bytes(seed),
        ),
    )


def _run(world: World, shape: Shape, safety_ms: int, with_faults: bool) -> Report:
    world.note(shape.describe())
    cluster = Cluster(world, shape)
    workloads = Workloads(cluster)
    try:
        faults = _run_through(world, cluster, workloads, safety_ms, with_faults)
    finally:
        workloads.end()
    return Report(
        world.seed,
        world.now_us / 1e6,
        workloads.records_acked(),
        workloads.operations_answered(),
        faults,
        world.event_hash(),
        tuple(world.trace),
    )


def _run_through(
    world: World, cluster: Cluster, workloads: Workloads, safety_ms: int, with_faults: bool
) -> int:
    """Let it happen, and return how many faults there were."""
    world.run_for(BEGIN_MS)
    faults = Faults(cluster) if with_faults else None
    _pass_time(world, cluster, safety_ms)
    if faults is not None:
        faults.stop()
    workloads.stop()
    _converge(world, cluster, workloads, faults)
    workloads.read_all()
    caught_up = _wait(world, lambda: not workloads.unread())
    cluster.check()
    workloads.check()
    assert caught_up, workloads.unread()
    return faults.count if faults else 0


def _converge(world: World, cluster: Cluster, workloads: Workloads, faults: Faults | None) -> None:
    """Everything is healed: the cluster must become whole, and all that was begun meet its end.

    Whole first: servers that have yet to catch up may look settled only because they know nothing.
    """

    def is_whole() -> bool:
        mended = faults is None or not faults.losses.are_recovering()
        return mended and quorum_is_whole(cluster) and brokers_are_whole(cluster)

    assert _wait(world, is_whole), "the cluster has not become whole after everything healed"
    settled = _wait(world, lambda: is_whole() and not workloads.unsettled())
    assert settled, f"{workloads.unsettled()} after everything healed"


def _wait(world: World, condition: Callable[[], bool]) -> bool:
    """Let time pass until ``condition`` holds, looked at now and then; False: it never did."""
    for _ in range(HEAL_MAX_MS // LOOK_EVERY_MS):
        if condition():
            return True
        world.run_for(LOOK_EVERY_MS)
    return condition()


def _pass_time(world: World, cluster: Cluster, duration_ms: int) -> None:
    for _ in range(duration_ms // CHECK_EVERY_MS):
        world.run_for(CHECK_EVERY_MS)
        cluster.check()
