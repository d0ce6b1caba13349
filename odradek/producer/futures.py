"""Futures of records: ``concurrent.futures.Future`` that cost little until somebody waits.

A plain future makes a lock and two lists, three microseconds for each record of a busy producer.
These share one lock, and settling one that nobody watches is two attribute writes.  kafka-python's
``get``, ``add_callback``, ``add_errback``, ``succeeded`` and ``failed`` are here too.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Generic, Protocol, TypeVar

from odradek.arguments import wait_s
from odradek.errors import ClientTimeoutError, OdradekError
from odradek.producer.accumulator import Outcome
from odradek.producer.written_records import WrittenRecords
from odradek.records import RecordMetadata

RUNNING = "RUNNING"
FINISHED = "FINISHED"
_shared_condition = threading.Condition()
_forked = False
"""This process is the child of a fork: what the parent's loops have yet to end never ends here."""


def _after_fork() -> None:
    """Whoever held the lock is a thread of the parent."""
    global _shared_condition, _forked
    _shared_condition, _forked = threading.Condition(), True


os.register_at_fork(after_in_child=_after_fork)
_log = logging.getLogger("odradek")

ResultT = TypeVar("ResultT")


class Owner(Protocol):
    """Whose records these are: held until each of them has ended."""

    @property
    def on_loop(self) -> bool:
        """True on its own thread, where records end: nobody may wait for that there."""

    def wake(self) -> None:
        """Wake the loop; raises when it takes nothing any more."""


class WatchedFuture(Future[ResultT], Generic[ResultT]):
    """A future of the producer: it runs from the start, so it cannot be cancelled.

    The base class's own attributes, which ``concurrent.futures.wait`` and ``asyncio.wrap_future``
    use, come into being when they are first looked at, and from then on somebody is watching.  The
    watcher says so *before* it looks at the state and the settler looks *after* it has set it, so
    none is missed.
    """

    # No Future.__init__ on purpose: that is what costs.
    _state = RUNNING
    _watched = False
    _failure: BaseException | None = None

    def __init__(self) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        if name == "_condition":
            self._watched = True
            return _shared_condition
        if name in ("_waiters", "_done_callbacks"):
            self._watched = True
            found = self.__dict__[name] = []
            return found
        if name in ("_result", "_exception"):
            return self._unfold(name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _unfold(self, name: str) -> Any:
        """Give what the base class calls the result or the exception."""
        if self._state != FINISHED:
            return None
        return self._value() if name == "_result" and self._failure is None else self._failure

    def _value(self) -> ResultT:
        raise NotImplementedError

    def _settled(self) -> None:
        """Say that the end is known: everything that ``_value`` needs has been set."""
        self._state = FINISHED
        if self._watched:
            self._tell()

    def _tell(self) -> None:
        """Tell those who wait."""
        with _shared_condition:
            waiters = self.__dict__.get("_waiters", [])
            callbacks = self.__dict__.pop("_done_callbacks", [])
            for waiter in waiters:
                (waiter.add_result if self._failure is None else waiter.add_exception)(self)
            _shared_condition.notify_all()
        for callback in callbacks:
            self._call(callback)

    def _call(self, callback: Callable[[Future[ResultT]], object]) -> None:
        try:
            callback(self)
        except BaseException:  # noqa: BLE001 - the callback is the user's; it must not end the loop
            _log.exception("a callback of a producer's future failed")

    # Future

    def cancel(self) -> bool:
        """Return False: what was handed in may already have been written."""
        return False

    def cancelled(self) -> bool:
        """Return False."""
        return False

    def running(self) -> bool:
        """Return whether the end is still unknown."""
        return self._state != FINISHED

    def done(self) -> bool:
        """Return whether the end is known."""
        return self._state == FINISHED

    def result(self, timeout: float | None = None) -> ResultT:
        """Return the metadata, or raise; ClientTimeoutError (a TimeoutError) after ``timeout`` s."""
        self._wait(timeout)
        if self._failure is not None:
            raise self._failure
        return self._value()

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return what ``result`` would raise, or None."""
        self._wait(timeout)
        return self._failure

    def _wait(self, timeout: float | None) -> None:
        patience_s = wait_s("timeout", timeout)
        if self._state == FINISHED:
            return
        owner = self._told_by()
        if owner is not None and owner.on_loop:
            raise RuntimeError("a callback cannot wait: records end on the thread that it runs on")
        if owner is not None and _forked:
            owner.wake()  # raises for one of before the fork
        with _shared_condition:
            self._watched = True
            if not _shared_condition.wait_for(self.done, patience_s):
                raise ClientTimeoutError(f"not acked within {timeout} s; it may still be")

    def _told_by(self) -> Owner | None:
        """Return who has it end; None: it has ended."""
        return None

    def add_done_callback(self, fn: Callable[[Future[ResultT]], object]) -> None:
        """Call ``fn(self)`` at the end, on the client's thread; at once if it is over.

        It may send, but wait for nothing of its producer: ``flush`` or another ``result``.
        """
        with _shared_condition:
            self._watched = True
            if self._state != FINISHED:
                self._done_callbacks.append(fn)
                return
        self._call(fn)

    # kafka-python

    def get(self, timeout: float | None = None) -> ResultT:
        """Return the result, as :meth:`result`."""
        return self.result(timeout)

    def succeeded(self) -> bool:
        """Return whether it ended well."""
        return self.done() and self._failure is None

    def failed(self) -> bool:
        """Return whether it ended with an error."""
        return self.done() and self._failure is not None

    def add_callback(
        self, fn: Callable[..., object], *args: Any, **kwargs: Any
    ) -> WatchedFuture[ResultT]:
        """Call ``fn(*args, result, **kwargs)`` if it ends well."""

        def called(future: Future[ResultT]) -> None:
            if future.exception() is None:
                fn(*args, future.result(), **kwargs)

        self.add_done_callback(called)
        return self

    def add_errback(
        self, fn: Callable[..., object], *args: Any, **kwargs: Any
    ) -> WatchedFuture[ResultT]:
        """Call ``fn(*args, error, **kwargs)`` if it ends with an error."""

        def called(future: Future[ResultT]) -> None:
            error = future.exception()
            if error is not None:
                fn(*args, error, **kwargs)

        self.add_done_callback(called)
        return self


class ManyFuture(WatchedFuture[Sequence[RecordMetadata]]):
    """The end of all records of one ``send_many``: known when each one's is; fails if any does."""

    def __init__(self, topic: str, timestamp_ms: int, owner: Owner | None = None) -> None:
        self._written = WrittenRecords(topic, timestamp_ms)
        self._owner = owner
        self._expected: int | None = None
        self._ended = 0
        self._lock = threading.Lock()

    def part(self, base: int) -> Callable[[Outcome, int, Sequence[int] | None], None]:
        """Return the ``on_done`` for the records from the ``base``-th on."""

        def settle(outcome: Outcome, first: int, positions: Sequence[int] | None) -> None:
            assert positions is not None
            if outcome.error is None:
                self._written.add(outcome, first, positions, base)
            elif self._failure is None:
                self._failure = outcome.error
            self._count(len(positions))

        return settle

    def expect(self, count: int) -> None:
        """Say how many records there are, once all were handed in."""
        self._expected = count
        self._count(0)

    def abandon(self, count: int, error: OdradekError) -> None:
        """Say that after ``count`` records no more could be handed in."""
        self._failure = self._failure or error
        self.expect(count)

    def _count(self, ended: int) -> None:
        with self._lock:
            self._ended += ended
            over = self._ended == self._expected and self._state != FINISHED
        if over:
            self._owner = None
            self._settled()

    def _told_by(self) -> Owner | None:
        return self._owner

    def _value(self) -> Sequence[RecordMetadata]:
        return self._written
