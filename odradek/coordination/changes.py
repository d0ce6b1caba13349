"""The blocking stream of changes, as ``client.changes(prefix)`` returns it.

Owns the waiting; what to ask next is the feed's.
"""

from __future__ import annotations

import threading
import time
from typing import Protocol, Self, TypeVar

from odradek.coordination.async_result import AsyncResult
from odradek.coordination.change_feed import (
    LOOK_AGAIN_S,
    PAGE_CHANGES,
    Change,
    ChangeFeed,
    Page,
    Step,
    Waker,
)
from odradek.coordination.session_view import Listener
from odradek.errors import ClientTimeoutError, OdradekError

__all__ = ["Change", "Changes"]

AnswerT = TypeVar("AnswerT")

ANSWER_S = 5.0
"""An answer that is not there by then is asked for again."""
PAUSE_S = 0.05
"""After a failure that may pass."""


class ChangesClient(Protocol):
    """What a stream needs of its client; prefixes are full paths."""

    def _watch_changes(self, prefix: str, waker: Waker) -> AsyncResult[int]: ...

    def _read_changes(self, prefix: str, since: int, limit: int) -> AsyncResult[Page]: ...

    def _unwatch_changes(self, prefix: str, waker: Waker) -> AsyncResult[bool]: ...

    def add_listener(self, listener: Listener) -> None:
        """Call ``listener(state)`` on each change of state."""
        ...

    def remove_listener(self, listener: Listener) -> None:
        """Call it no more."""
        ...


class Changes:
    """An iterator over the changes at and under a prefix, oldest first, that waits for the next.

    Every change after ``since`` comes once, in the order of the writes, across reconnects and lost
    sessions.  HistoryCompactedError when servers no longer know what was asked for.  For one thread
    at a time; :meth:`close` (from any thread) ends it.
    """

    def __init__(self, client: ChangesClient, prefix: str, since: int | None) -> None:
        self._client = client
        self._prefix = prefix
        self._woken = threading.Event()
        self._feed = ChangeFeed(since, self._woken.set)
        self._listener = self._feed.on_state
        client.add_listener(self._listener)

    @property
    def position(self) -> int | None:
        """The zxid to give as ``since`` to another stream, to go on after the last change here."""
        return self._feed.position

    def __iter__(self) -> Changes:
        return self

    def __next__(self) -> Change:
        change = self.next()
        if change is None:
            raise StopIteration
        return change

    def next(self, timeout: float | None = None) -> Change | None:
        """Return the next change, or None: closed, or nothing came within ``timeout`` seconds."""
        end_s = None if timeout is None else time.monotonic() + timeout
        while True:
            self._woken.clear()
            step = self._feed.step()
            if step is Step.END:
                return None
            if step is Step.TAKE:
                return self._feed.take()
            left_s = None if end_s is None else max(0.0, end_s - time.monotonic())
            if step is Step.WAIT:
                if left_s == 0:
                    return None
                self._wait(left_s)
            elif not self._ask(step):
                if left_s == 0:
                    return None
                time.sleep(PAUSE_S)

    def _wait(self, left_s: float | None) -> None:
        if left_s is not None and left_s < LOOK_AGAIN_S:
            self._woken.wait(left_s)
        elif not self._woken.wait(LOOK_AGAIN_S):
            self._feed.look_again()

    def _ask(self, step: Step) -> bool:
        """Do one step with the server; False: it failed for the moment."""
        try:
            if step is Step.WATCH:
                watching = self._client._watch_changes(self._prefix, self._feed.waker)
                self._feed.watching(self._answer(watching))
            else:
                since = self._feed.begin_read()
                read = self._client._read_changes(self._prefix, since, PAGE_CHANGES)
                self._feed.read(self._answer(read))
        except OdradekError as error:
            if not self._feed.failed(error):
                raise
            return False
        except BaseException:  # Ctrl-C
            self._feed.abandoned()
            raise
        return True

    def _answer(self, result: AsyncResult[AnswerT]) -> AnswerT:
        """Wait for an answer, unless the stream is closed meanwhile."""
        result.add_done_callback(lambda _done: self._woken.set())
        end_s = time.monotonic() + ANSWER_S
        while not result.done():
            if self._feed.step() is Step.END or time.monotonic() >= end_s:
                raise ClientTimeoutError("no answer yet")
            self._woken.wait(max(0.0, end_s - time.monotonic()))
            self._woken.clear()
        return result.result()

    def close(self) -> None:
        """End it; a thread that waits for the next change gets none."""
        self._client.remove_listener(self._listener)
        self._feed.end()
        try:
            self._client._unwatch_changes(self._prefix, self._feed.waker)
        except OdradekError:
            pass  # the client is closed: its session has taken the watch along

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()
