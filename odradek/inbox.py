"""Where threads leave records for the producer's loop: bounded, in order, woken once.

Owns the blocking of callers while the producer's memory is full.  It must not hold the engine, so
that a producer that nobody holds can be collected.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from odradek.accumulator import OnDone, Outcome, Pair
from odradek.errors import BufferFullError, ClientClosedError, OdradekError
from odradek.placement import Single
from odradek.producer_engine import ProducerEngine
from transport.kernel import Now

RUN_RECORDS_MAX = 1024
"""Single records of one millisecond that are encoded together: a fifth of the cost each."""
TURN_BYTES_MAX = 1024 * 1024
"""What is encoded in one turn of the loop, some four milliseconds, before it looks at answers."""


class SingleItem(NamedTuple):
    """One record."""

    topic: str
    record: Single
    size_bytes: int

    def place(self, program: ProducerEngine, now: Now) -> None:
        """Hand it to the program."""
        program.take(self.topic, self.record, now)

    def fail(self, error: OdradekError) -> None:
        """End it unplaced."""
        self.record.fail(self.topic, error)


class RunItem(NamedTuple):
    """A part of one ``send_many``."""

    topic: str
    pairs: Sequence[Pair]
    size_bytes: int
    timestamp_ms: int
    on_done: OnDone
    partition: int | None = None

    def place(self, program: ProducerEngine, now: Now) -> None:
        """Hand it to the program."""
        program.send_run(
            self.topic,
            self.pairs,
            self.size_bytes,
            self.on_done,
            now,
            partition=self.partition,
            timestamp_ms=self.timestamp_ms,
        )

    def fail(self, error: OdradekError) -> None:
        """End it unplaced."""
        self.on_done(Outcome(self.topic, -1, -1, error), 0, range(len(self.pairs)))


class FlushItem(NamedTuple):
    """A wish to hear when everything before it has met its end."""

    on_done: Callable[[], None]
    size_bytes: int = 0

    def place(self, program: ProducerEngine, now: Now) -> None:
        """Hand it to the program."""
        program.flush(lambda _now: self.on_done(), now)

    def fail(self, _error: OdradekError) -> None:
        """Everything before it has met its end, too."""
        self.on_done()


Item = SingleItem | RunItem | FlushItem

_alive: weakref.WeakSet[Inbox] = weakref.WeakSet()


def _after_fork() -> None:
    for inbox in list(_alive):
        inbox.forked()


os.register_at_fork(after_in_child=_after_fork)


class Inbox:
    """The queue between callers on any thread and one producer program on its loop."""

    def __init__(self, program: ProducerEngine, limit_bytes: int) -> None:
        self.program = program
        self._limit_bytes = limit_bytes
        self._items: deque[Item] = deque()
        self._taken: deque[Item] = deque()
        """What the loop has fetched from there and not placed; only the loop's thread uses it."""
        self._bytes = 0
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._waiting = 0
        self._closed: OdradekError | None = None
        program.on_room = self.drain
        _alive.add(self)

    def put(self, item: Item, timeout_s: float) -> bool:
        """Leave ``item``; True: the loop must be woken.

        Waits while the memory is full: :class:`BufferFullError` when it stays so for ``timeout_s``.
        """
        with self._lock:
            if item.size_bytes and self._full():
                self._wait_for_room(timeout_s)
            if self._closed is not None:
                raise self._closed
            self._items.append(item)
            self._bytes += item.size_bytes
            return len(self._items) == 1

    def has_room(self) -> bool:
        """Return whether :meth:`put` would not wait."""
        return not self._full()

    def drain(self, now: Now) -> bool:
        """Move what there is room for into the program; True: there is more to move at once."""
        taken = self._taken
        with self._lock:
            taken.extend(self._items)
            self._items.clear()
        placed_bytes = 0
        while taken and placed_bytes < TURN_BYTES_MAX and self.program.has_room():
            item = self._next()
            item.place(self.program, now)
            placed_bytes += item.size_bytes
        with self._lock:
            self._bytes -= placed_bytes
            if self._waiting and not self._full():
                self._room.notify_all()
        return bool(taken)

    def _next(self) -> Item:
        """Take the next item: single records that are alike in all but key and value as one run."""
        taken = self._taken
        first = taken.popleft()
        if type(first) is not SingleItem or first.record.headers:
            return first
        partition, stamp_ms = first.record.partition, first.record.timestamp_ms
        records = [first.record]
        size_bytes = first.size_bytes
        while taken and len(records) < RUN_RECORDS_MAX:
            item = taken[0]
            if type(item) is not SingleItem or item.topic != first.topic:
                break
            record = item.record
            if record.partition != partition or record.timestamp_ms != stamp_ms or record.headers:
                break
            records.append(record)
            size_bytes += item.size_bytes
            taken.popleft()
        if len(records) == 1:
            return first
        pairs = [(record.key, record.value) for record in records]
        return RunItem(first.topic, pairs, size_bytes, stamp_ms, _one_by_one(records), partition)

    def close(self, error: OdradekError) -> None:
        """Fail what is left and whoever waits; nothing is taken any more."""
        with self._lock:
            self._closed = error
            left = [*self._taken, *self._items]
            self._taken.clear()
            self._items.clear()
            self._bytes = 0
            self._room.notify_all()
        for item in left:
            item.fail(error)

    def forked(self) -> None:
        """In the child of a fork: the loop, and whoever held the lock, are the parent's."""
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._waiting = 0
        self._closed = ClientClosedError(
            "this producer belongs to the process before the fork; make a new one"
        )

    def _full(self) -> bool:
        return self._bytes + self.program.buffered_bytes >= self._limit_bytes

    def _wait_for_room(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        self._waiting += 1
        try:
            while self._full() and self._closed is None:
                if not self._room.wait(deadline - time.monotonic()):
                    raise BufferFullError(
                        f"{self._limit_bytes} bytes of records were not acked within {timeout_s} s"
                    )
        finally:
            self._waiting -= 1


def _one_by_one(records: Sequence[Single]) -> OnDone:
    """Return the ``on_done`` of a run that tells the end of each of these records to its own."""

    def on_done(outcome: Outcome, first: int, positions: Sequence[int] | None) -> None:
        assert positions is not None
        for index, position in enumerate(positions, first):
            records[position].on_done(outcome, index, None)

    return on_done
