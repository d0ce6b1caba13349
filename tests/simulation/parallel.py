"""Many seeds on all cores: each failing one is printed with the command that repeats it."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import sys
import time
from collections.abc import Callable, Generator, Iterable
from multiprocessing import TimeoutError as NothingYet
from multiprocessing import get_context
from pathlib import Path
from threading import Event
from typing import NamedTuple, TypeVar

from tests.simulation.run import Failed, run
from transport.driver.loop import GC_THRESHOLD

AUTOGROUP = Path("/proc/self/autogroup")
TOLD_EVERY = 100
SEEDS_PER_PROCESS = 50
"""Then a new process takes over: what one seed leaves behind shall not slow the others down."""
GIVEN_UP_WITHIN_S = 0.5

T = TypeVar("T")
R = TypeVar("R")


class Task(NamedTuple):
    """A seed, and what of its run it does not draw."""

    seed: int
    short: bool = False
    mode: str = ""


class Outcome(NamedTuple):
    """What became of one."""

    task: Task
    failure: str
    """What broke, and how to repeat it; empty: nothing."""
    virtual_s: float


NICENESS = 19


def prepare() -> None:
    """Make this process one that only simulates: without logs, seldom looking for garbage, and
    after whoever needs the core now."""
    os.nice(NICENESS)
    with contextlib.suppress(OSError):  # Linux weighs sessions first, and processes inside of each
        os.setsid()
        AUTOGROUP.write_text(str(NICENESS))
    logging.disable()  # the nodes' own words of what is done to them, thousands of times
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLD)


def in_processes(
    function: Callable[[T], R], tasks: Iterable[T], given_up: Event | None = None
) -> Generator[R]:
    """Do all tasks in as many processes as there are cores; yield results as they come.

    Once ``given_up`` is set no more come, and the processes are ended, whatever they are at.
    """
    with get_context("spawn").Pool(
        os.cpu_count(), prepare, maxtasksperchild=SEEDS_PER_PROCESS
    ) as pool:
        results = pool.imap_unordered(function, tasks)
        while given_up is None or not given_up.is_set():
            try:
                yield results.next(GIVEN_UP_WITHIN_S)
            except NothingYet:
                continue
            except StopIteration:
                return


def attempt_all(tasks: Iterable[Task], given_up: Event | None = None) -> Generator[Outcome]:
    """Run them; yield outcomes as they come, until it is given up."""
    return in_processes(_attempt, tasks, given_up)


def run_many(seeds: Iterable[int], *, short: bool = False, mode: str = "") -> int:
    """Run the seeds in parallel and print what failed; 1 if any did."""
    began = time.perf_counter()
    count = failures = 0
    virtual_s = 0.0
    for outcome in attempt_all(Task(seed, short, mode) for seed in seeds):
        count += 1
        virtual_s += outcome.virtual_s
        if outcome.failure:
            failures += 1
            sys.stdout.write(f"{outcome.failure}\n")
            sys.stdout.flush()
        if count % TOLD_EVERY == 0:
            sys.stderr.write(f"{count} seeds so far, {failures} failed\n")
    elapsed_s = time.perf_counter() - began
    sys.stdout.write(
        f"{count} seeds, {failures} failed, {virtual_s:.0f} virtual s in {elapsed_s:.0f} s\n"
    )
    return 1 if failures else 0


def _attempt(task: Task) -> Outcome:
    try:
        return Outcome(task, "", run(task.seed, short=task.short, mode=task.mode).virtual_s)
    except Failed as failure:
        return Outcome(task, str(failure), 0.0)
