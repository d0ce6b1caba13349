"""The disk pool: a few threads for what may block, reporting back to the loop."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from transport.kernel import Now

T = TypeVar("T")

THREADS = 2
"""One slow sync leaves a thread for the others; more would only queue in the device."""

_Job = tuple[Callable[[], Any], Callable[[Any, Now], None]]


class DiskPool:
    """Runs jobs on threads of its own, made at the first job."""

    def __init__(self, post: Callable[[Callable[[Now], None]], None]) -> None:
        self._post = post
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []

    def submit(self, job: Callable[[], T], done: Callable[[T | BaseException, Now], None]) -> None:
        """Run ``job`` on a thread, then ``done`` on the loop with its result or exception."""
        if not self._threads:
            self._start()
        self._jobs.put((job, done))

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
            result: Any
            try:
                result = job()
            except Exception as error:  # noqa: BLE001 - whatever it is, the loop judges it
                result = error
            self._post(lambda now, result=result, done=done: done(result, now))  # type: ignore[misc]
