"""The disk pool: where a sync runs depends on how the last ones went."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from queue import SimpleQueue

import pytest

from transport.driver.pool import QUICK_IN_A_ROW, QUICK_MS, DiskPool
from transport.kernel import Now

NOW = Now(0, 0)
WAIT_S = 10


class Calls:
    """A pool whose loop is the test: it runs what is due when asked."""

    def __init__(self) -> None:
        self.posted: SimpleQueue[Callable[[Now], None]] = SimpleQueue()
        self.next_turn: deque[Callable[[Now], None]] = deque()
        self.pool = DiskPool(self.posted.put, self.next_turn.append)

    def sync(self, job: Callable[[], object]) -> tuple[object, bool]:
        """Sync; return the outcome and whether it ran on the caller's own thread."""
        threads: list[int] = []
        results: list[object] = []

        def noted() -> object:
            threads.append(threading.get_ident())
            return job()

        self.pool.sync(noted, lambda result, _now: results.append(result))
        assert not results, "nothing is reported before the next turn"
        due = self.next_turn.popleft() if self.next_turn else self.posted.get(timeout=WAIT_S)
        due(NOW)
        return results[0], threads == [threading.get_ident()]


@pytest.fixture
def calls() -> Iterator[Calls]:
    calls = Calls()
    yield calls
    calls.pool.close()


def be_quick() -> int:
    return 7


def be_slow() -> int:
    until_s = time.monotonic() + 2 * QUICK_MS / 1000
    while time.monotonic() < until_s:
        pass
    return 8


def make_calm(calls: Calls) -> None:
    while not calls.sync(be_quick)[1]:
        pass


def test_a_disk_is_trusted_after_many_quick_syncs_only(calls: Calls) -> None:
    here = [calls.sync(be_quick) for _ in range(QUICK_IN_A_ROW)]
    assert here == [(7, False)] * QUICK_IN_A_ROW
    make_calm(calls)
    assert calls.sync(be_quick) == (7, True)


def test_one_slow_sync_sends_the_next_ones_to_a_thread(calls: Calls) -> None:
    make_calm(calls)
    assert calls.sync(be_slow) == (8, True)
    assert calls.sync(be_quick) == (7, False)


def test_a_failed_sync_is_reported_wherever_it_ran(calls: Calls) -> None:
    def fail() -> None:
        raise OSError("disk")

    assert isinstance(calls.sync(fail)[0], OSError)
    make_calm(calls)
    outcome, here = calls.sync(fail)
    assert isinstance(outcome, OSError)
    assert here
