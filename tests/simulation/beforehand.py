"""What the tests simulate, begun before they ask for it: other tests leave much of the machine."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event
from typing import Generic, TypeVar

from tests.simulation.mutations.caught import CAUGHT
from tests.simulation.mutations.hunt import SEEDS_MAX, Proof, prove_all
from tests.simulation.parallel import Outcome, Task, attempt_all
from tests.simulation.seeds import known_seeds

KNOWN = [Task(one.seed, one.short, one.mode) for one in known_seeds()]
MANY = [Task(seed, short=True) for seed in range(1, 201)]

T = TypeVar("T")


class Beforehand(Generic[T]):
    """Results that come from other processes while somebody does something else."""

    def __init__(self, coming: Future[list[T]]) -> None:
        self._coming = coming

    def all(self) -> list[T]:
        """Wait for the last one."""
        return self._coming.result()


def outcomes(given_up: Event) -> Generator[Outcome]:
    """Run the known seeds, long ones first, and then many."""
    return attempt_all(sorted(KNOWN, key=lambda task: task.short) + MANY, given_up)


def proofs(given_up: Event) -> Generator[Proof]:
    """Plant each bug in the seed that was recorded for it."""
    return prove_all(CAUGHT.items(), SEEDS_MAX, given_up)


@contextmanager
def begun(work: Callable[[Event], Generator[T]]) -> Iterator[Beforehand[T]]:
    """Begin now; what is not done at the end is given up at once: ``work`` is told by the event."""
    given_up = Event()
    with ThreadPoolExecutor(1) as executor:
        try:
            yield Beforehand(executor.submit(lambda: list(work(given_up))))
        finally:
            given_up.set()
