"""Who ends the tests early does not wait for what was begun beside them."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from multiprocessing import active_children
from threading import Event

import pytest

from tests.simulation.beforehand import begun, outcomes, proofs
from tests.simulation.parallel import in_processes

NEVER_S = 600.0


@pytest.mark.timeout(30)
@pytest.mark.parametrize("work", [outcomes, proofs])
def test_what_has_begun_is_given_up_at_once(work: Callable[[Event], Generator[object]]) -> None:
    before = set(active_children())
    with begun(work):
        while not set(active_children()) - before:
            time.sleep(0.01)
    assert set(active_children()) <= before


@pytest.mark.timeout(30)
def test_what_gives_nothing_for_long_is_given_up_at_once() -> None:
    has_first = Event()

    def work(given_up: Event) -> Generator[None]:
        for result in in_processes(time.sleep, [0.0, NEVER_S], given_up):
            has_first.set()
            yield result

    with begun(work):
        has_first.wait()
