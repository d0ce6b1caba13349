"""Runs seeds with a planted bug until a checker notices it."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from multiprocessing import get_context
from random import Random
from typing import NamedTuple, cast

from nodes.config import BrokerConfig, CoordinatorConfig, LogConfig, RaftConfig
from tests.simulation.checkers.violation import Violation
from tests.simulation.cluster import Cluster
from tests.simulation.faults import Faults
from tests.simulation.mutations import (
    control,
    groups,
    kraft,
    logs,
    partitions,
    raft,
    transactions,
    znodes,
)
from tests.simulation.mutations.aimed import AIMED
from tests.simulation.mutations.registry import MUTATIONS, Mutation, patched
from tests.simulation.parallel import prepare
from tests.simulation.run import Failed, run
from tests.simulation.shape import USUAL, Mix, Shape

PLANTED = (raft, znodes, partitions, control, logs, groups, transactions, kraft)
"""The modules that register mutations when they are imported."""
SAFETY_MS = 5_000
INTENSITY = 4.0
FAULTS = ("_kill", "_freeze", "_cut_off", "_cut_one_way", "_slow_network")
LIVENESS = "liveness"
STORY_MAX = 160


class Caught(NamedTuple):
    """The seed that showed a planted bug, and which checker saw it first."""

    seed: int
    by: str
    """A number of docs/guarantees.md, ``liveness``, or the module whose own assertion failed."""
    story: str


def short_shape(seed: int, mutation: Mutation) -> Shape:
    """Return the 3 + 3 cluster that bugs are planted in: small, and with much that goes on."""
    random = Random(seed)
    return Shape(
        mode=mutation.mode,
        observers=mutation.observers,
        death_notices=random.random() < 0.8,
        raft=RaftConfig(append_bytes_max=random.choice((1024, 1024 * 1024))),
        coordinator=CoordinatorConfig(snapshot_entries=random.choice((50, 1_000))),
        broker=BrokerConfig(
            num_partitions=2,
            default_replication_factor=3,
            min_insync_replicas=2,
            replica_lag_time_max_ms=random.choice((1_000, 3_000)),
            log_dirs=mutation.log_dirs,
        ),
        log=LogConfig(
            message_bytes_max=random.choice((1_024, 1024 * 1024)),
            cleaner_interval_ms=300,
            retention_check_interval_ms=50,
        ),
        mix=Mix(
            clients={**USUAL, "setters": 3, "members": 3, **mutation.clients},
            producer_pause_us=(5_000, 40_000),
            setter_pause_us=(2_000, 40_000),
            paths=1,
        ),
        safety_ms=SAFETY_MS,
    )


def attempt(name: str, seed: int, *, planted: bool = True) -> Caught | None:
    """Run one seed under the faults that fit a planted bug, with it or without."""
    mutation = MUTATIONS[name]
    with _harder(mutation), mutation.planted() if planted else nullcontext():
        try:
            run(seed, shape=short_shape(seed, mutation))
        except Failed as failure:
            cause = failure.__cause__
            return Caught(seed, _who(cause), f"{type(cause).__name__}: {cause}")
    return None


def hunt_all(wanted: Iterable[tuple[str, int]], count: int) -> Iterator[tuple[str, Caught | None]]:
    """Hunt several, each from its own seed on, in as many processes as there are cores."""
    tasks = [(name, first, count) for name, first in wanted]
    with get_context("spawn").Pool(os.cpu_count(), prepare) as pool:
        yield from pool.imap_unordered(_hunt_one, tasks)


def attempt_all_without(pairs: Iterable[tuple[str, int]]) -> Iterator[tuple[str, Caught | None]]:
    """Run (name, seed) pairs without the bug, in as many processes as there are cores."""
    with get_context("spawn").Pool(os.cpu_count(), prepare) as pool:
        yield from pool.imap_unordered(_attempt_without, list(pairs))


def _hunt_one(task: tuple[str, int, int]) -> tuple[str, Caught | None]:
    return task[0], hunt(*task)


def _attempt_without(pair: tuple[str, int]) -> tuple[str, Caught | None]:
    return pair[0], attempt(*pair, planted=False)


def print_hunt(name: str, first: int, count: int) -> int:
    """Hunt one, or ``all``; print seed and checker of each; 1 if one was not caught."""
    names = sorted(MUTATIONS) if name == "all" else [name]
    missed = 0
    for found, caught in hunt_all(((each, first) for each in names), count):
        if caught is None:
            missed += 1
            sys.stdout.write(f"{found}: not caught in {count} seeds\n")
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


def hunt(name: str, first: int, count: int) -> Caught | None:
    """Run seeds until one shows the bug to a checker that is expected to see it."""
    for seed in range(first, first + count):
        caught = attempt(name, seed)
        if caught is not None and caught.by in MUTATIONS[name].expected:
            return caught
    return None


def _kind(faults: Faults, name: str) -> Callable[[], None]:
    """Return a fault of every run, or one that is aimed at whoever matters at the moment."""
    if name in AIMED:
        return partial(AIMED[name], faults)
    if name == "fill_disk":
        return faults.losses._fill_disk
    return cast("Callable[[], None]", getattr(faults, name))


def _who(error: BaseException | None) -> str:
    if isinstance(error, Violation):
        return error.number
    frames = traceback.extract_tb(error.__traceback__ if error is not None else None)
    if not frames:
        return type(error).__name__
    if frames[-1].filename.endswith("simulation/run.py"):
        return LIVENESS
    return "/".join(frames[-1].filename.split("/")[-3:])
