"""The disk pool: a few threads for what may block, reporting back to the loop."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from transport.kernel import Now

T = TypeVar("T")

THREADS = 2
"""One slow sync leaves a thread for the others; more would only queue in the device."""
QUICK_MS = 1.0
"""A sync of this length costs the loop less than its way to a thread and back."""
QUICK_IN_A_ROW = 32
"""So many quick syncs show a disk that answers at once."""

_Post = Callable[[Callable[[Now], None]], None]
_Job = tuple[Callable[[], Any], Callable[[Any, Now], None]]


class DiskPool:
    """Runs jobs on threads of its own, made at the first job; syncs on the loop while they are quick."""

    def __init__(self, post: _Post, next_turn: _Post) -> None:
        """``post`` may be called on any thread, ``next_turn`` on the loop's."""
        self._post = post
        self._next_turn = next_turn
        self._quick_syncs = 0
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []

    def submit(self, job: Callable[[], T], done: Callable[[T | BaseException, Now], None]) -> None:
        """Run ``job`` on a thread, then ``done`` on the loop with its result or exception."""
        if not self._threads:
            self._start()
        self._jobs.put((job, done))

    def sync(self, job: Callable[[], T], done: Callable[[T | BaseException, Now], None]) -> None:
        """Sync on the loop as long as the disk answers at once; the first that does not is the last."""
        if self._quick_syncs < QUICK_IN_A_ROW:
            self.submit(lambda: self._timed(job), done)
            return
        result = _outcome(lambda: self._timed(job))
        self._next_turn(lambda now: done(result, now))

    def _timed(self, job: Callable[[], T]) -> T:
        began_s = time.monotonic()
        result = job()
        quick = (time.monotonic() - began_s) * 1000 <= QUICK_MS
        self._quick_syncs = self._quick_syncs + 1 if quick else 0
        return result

    def close(self) -> None:
        """Let the jobs under way end, and the threads with them."""
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()

    def _start(self) -> None:
        for number in range(THREADS):
            thread = threading.Thread(target=self._run, name=f"disk-{number}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def _run(self) -> None:
        while (item := self._jobs.get()) is not None:
            job, done = item
            result: Any = _outcome(job)
            self._post(lambda now, result=result, done=done: done(result, now))  # type: ignore[misc]


def _outcome(job: Callable[[], T]) -> T | BaseException:
    try:
        return job()
    except Exception as error:  # noqa: BLE001 - whatever it is, the loop judges it
        return error
