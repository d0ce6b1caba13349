"""Runs seeds with a planted bug until a checker notices it."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from random import Random
from threading import Event
from typing import NamedTuple, cast

from nodes.config import BrokerConfig, CoordinatorConfig, LogConfig, RaftConfig
from tests.simulation.checkers.violation import Violation
from tests.simulation.cluster import Cluster
from tests.simulation.faults import Faults
from tests.simulation.mutations import (
    control,
    disks,
    foreigners,
    groups,
    kraft,
    listeners,
    logs,
    partitions,
    raft,
    recipes,
    transactions,
    znodes,
)
from tests.simulation.mutations.aimed import AIMED
from tests.simulation.mutations.registry import LIVENESS, MUTATIONS, Mutation, patched
from tests.simulation.parallel import in_processes
from tests.simulation.run import Failed, run, run_until
from tests.simulation.shape import FOREIGN_SESSION_MS, MOVING, USUAL, Mix, Shape, judged, moving

PLANTED = (
    raft,
    znodes,
    partitions,
    control,
    logs,
    groups,
    transactions,
    kraft,
    listeners,
    foreigners,
    disks,
    recipes,
)
"""The modules that register mutations when they are imported."""
SAFETY_MS = 5_000
LONGER_US = 500_000
"""So long a run goes on without its bug beyond the moment at which that was seen."""
INTENSITY = 4.0
FAULTS = ("_kill", "_freeze", "_cut_off", "_cut_one_way", "_slow_network")
STORY_MAX = 160
SEEDS_MAX = 200
"""A bug that none of so many seeds shows goes unseen."""


class Caught(NamedTuple):
    """The seed that showed a planted bug, and which checker saw it first."""

    seed: int
    by: str
    """A number of docs/guarantees.md, ``liveness``, or the module whose own assertion failed."""
    story: str
    at_us: int
    """When, in virtual time."""


class Proof(NamedTuple):
    """What a planted bug has shown, and what the same run showed without it."""

    name: str
    caught: Caught | None
    """None: no seed showed it."""
    without: Caught | None
    """None: nothing, which is as it should be."""


def short_shape(seed: int, mutation: Mutation) -> Shape:
    """Return the 3 + 3 cluster that bugs are planted in: small, and with much that goes on."""
    random = Random(seed)
    shape = Shape(
        mode="zookeeper" if mutation.mode == MOVING else mutation.mode,
        observers=mutation.observers,
        death_notices=random.random() < 0.8,
        raft=RaftConfig(append_bytes_max=random.choice((1024, 1024 * 1024))),
        coordinator=CoordinatorConfig(
            snapshot_entries=random.choice((50, 1_000)),
            answer_bytes_max=mutation.answer_bytes_max,
        ),
        broker=BrokerConfig(
            num_partitions=2,
            default_replication_factor=3,
            min_insync_replicas=2,
            replica_lag_time_max_ms=random.choice((1_000, 3_000)),
            log_dirs=mutation.log_dirs,
            controller_piece_records=mutation.piece_records,
            offsets_topic_partitions=2,
            transaction_state_partitions=2,
            group_consumer_session_timeout_ms=FOREIGN_SESSION_MS,
        ),
        log=LogConfig(
            message_bytes_max=random.choice((1_024, 1024 * 1024)),
            cleaner_interval_ms=300,
            retention_check_interval_ms=50,
            recovery_note_bytes=mutation.recovery_note_bytes,
        ),
        mix=Mix(
            clients={**USUAL, "setters": 3, "members": 3, **mutation.clients},
            producer_pause_us=(5_000, 40_000),
            setter_pause_us=(2_000, 40_000),
            paths=1,
        ),
        safety_ms=SAFETY_MS,
    )
    if "grantees" in mutation.clients:
        shape = judged(shape)
    return moving(shape) if mutation.mode == MOVING else shape


def attempt(name: str, seed: int) -> Caught | None:
    """Run one seed with a planted bug, under the faults that fit it.

    Raises Failed where the bug does not fit what it patches any more: no seed would show it.
    """
    mutation = MUTATIONS[name]
    with _harder(mutation), mutation.planted():
        try:
            run(seed, shape=short_shape(seed, mutation))
        except Failed as failure:
            if isinstance(failure.__cause__, TypeError):
                raise
            return _caught(seed, failure)
    return None


def attempt_without(name: str, seed: int, until_us: int) -> Caught | None:
    """Run the same without the bug, up to some moment."""
    mutation = MUTATIONS[name]
    with _harder(mutation):
        try:
            run_until(until_us, seed, short_shape(seed, mutation))
        except Failed as failure:
            return _caught(seed, failure)
    return None


def hunt(name: str, first: int, count: int) -> Caught | None:
    """Run seeds until one shows the bug to the checker that it is to prove."""
    for seed in range(first, first + count):
        caught = attempt(name, seed)
        if caught is not None and caught.by == MUTATIONS[name].number:
            return caught
    return None


def hunt_all(
    wanted: Iterable[tuple[str, int]], count: int, given_up: Event | None = None
) -> Generator[tuple[str, Caught | None]]:
    """Hunt several, each from its own seed on, in as many processes as there are cores."""
    return in_processes(_hunt, [(name, first, count) for name, first in wanted], given_up)


def run_without(
    hunted: Mapping[str, Caught | None], given_up: Event | None = None
) -> Generator[tuple[list[str], Caught | None]]:
    """Run what showed bugs again without them, a little longer than it took.

    Once for all whose runs differ by the bug alone: those are named together.
    """
    return in_processes(_run_without, _alike(hunted), given_up)


def prove_all(
    wanted: Iterable[tuple[str, int]], count: int, given_up: Event | None = None
) -> Generator[Proof]:
    """Hunt several, and run what showed them again without them."""
    hunted = dict(hunt_all(wanted, count, given_up))
    without: dict[str, Caught | None] = {}
    for names, seen in run_without(hunted, given_up):
        without.update(dict.fromkeys(names, seen))
    for name, caught in hunted.items():
        yield Proof(name, caught, without.get(name))


def _hunt(task: tuple[str, int, int]) -> tuple[str, Caught | None]:
    return task[0], hunt(*task)


def _alike(hunted: Mapping[str, Caught | None]) -> list[dict[str, Caught]]:
    """Return what was caught, those together whose runs are the same one without their bugs."""
    runs: dict[tuple[int, str], dict[str, Caught]] = {}
    for name, caught in hunted.items():
        if caught is not None:
            run_of = (caught.seed, MUTATIONS[name].surroundings)
            runs.setdefault(run_of, {})[name] = caught
    return list(runs.values())


def _run_without(alike: dict[str, Caught]) -> tuple[list[str], Caught | None]:
    names = list(alike)
    until_us = max(caught.at_us for caught in alike.values()) + LONGER_US
    return names, attempt_without(names[0], alike[names[0]].seed, until_us)


def print_hunt(name: str, first: int, count: int) -> int:
    """Hunt one, or ``all``; print seed and checker of each; 1 if one was not caught."""
    names = sorted(MUTATIONS) if name == "all" else [name]
    missed = 0
    for found, caught in hunt_all(((each, first) for each in names), count):
        if caught is None:
            missed += 1
            number = MUTATIONS[found].number
            sys.stdout.write(f"{found}: not caught by {number} in {count} seeds\n")
        else:
            tried = caught.seed - first + 1
            story = caught.story[:STORY_MAX]
            sys.stdout.write(f"{found}: seed {caught.seed} ({tried} tried) by {story}\n")
        sys.stdout.flush()
    return 1 if missed else 0


def _harder(mutation: Mutation) -> AbstractContextManager[None]:
    """Let faults come often, and befall those who matter."""
    init = Faults.__init__

    def harder(self: Faults, cluster: Cluster) -> None:
        init(self, cluster)
        self._intensity = INTENSITY
        self._kinds = [_kind(self, name) for name in mutation.faults or FAULTS]

    def victim(self: Faults) -> str:
        return self.world.random.choice(self.cluster.names(mutation.victims))

    return patched([(Faults, "__init__", harder), (Faults, "_victim", victim)])


def _kind(faults: Faults, name: str) -> Callable[[], None]:
    """Return a fault of every run, or one that is aimed at whoever matters at the moment."""
    if name in AIMED:
        return partial(AIMED[name], faults)
    if name == "fill_disk":
        return faults.losses._fill_disk
    if name == "fail_once":
        return faults.losses.fail_once
    return cast("Callable[[], None]", getattr(faults, name))


def _caught(seed: int, failure: Failed) -> Caught:
    cause = failure.__cause__
    return Caught(seed, _who(cause), f"{type(cause).__name__}: {cause}", failure.at_us)


def _who(error: BaseException | None) -> str:
    if isinstance(error, Violation):
        return error.number
    frames = traceback.extract_tb(error.__traceback__ if error is not None else None)
    if not frames:
        return type(error).__name__
    if frames[-1].filename.endswith("simulation/run.py"):
        return LIVENESS
    return "/".join(frames[-1].filename.split("/")[-3:])
