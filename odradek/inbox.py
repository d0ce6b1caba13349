"""Where threads leave records for the producer's loop: bounded, in order, woken once.

Owns the blocking of callers while the producer's memory is full.  It must not hold the engine, so
that a producer that nobody holds can be collected.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from odradek.accumulator import OnDone, Outcome, Pair
from odradek.errors import BufferFullError, OdradekError
from odradek.producer_engine import ProducerEngine, Single
from transport.kernel import Now

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

    def place(self, program: ProducerEngine, now: Now) -> None:
        """Hand it to the program."""
        program.send_run(
            self.topic,
            self.pairs,
            self.size_bytes,
            self.on_done,
            now,
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


class Inbox:
    """The queue between callers on any thread and one producer program on its loop."""

    def __init__(self, program: ProducerEngine, limit_bytes: int) -> None:
        self.program = program
        self._limit_bytes = limit_bytes
        self._items: deque[Item] = deque()
        self._bytes = 0
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._waiting = 0
        self._closed: OdradekError | None = None
        program.on_room = self.drain

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
        program, items = self.program, self._items
        budget_bytes = TURN_BYTES_MAX
        while items and budget_bytes > 0 and program.has_room():
            item = items[0]
            item.place(program, now)
            budget_bytes -= item.size_bytes
            with self._lock:
                items.popleft()
                self._bytes -= item.size_bytes
        if self._waiting:
            with self._lock:
                if not self._full():
                    self._room.notify_all()
        return bool(items)

    def close(self, error: OdradekError) -> None:
        """Fail what is left and whoever waits; nothing is taken any more."""
        with self._lock:
            self._closed = error
            left = list(self._items)
            self._items.clear()
            self._bytes = 0
            self._room.notify_all()
        for item in left:
            item.fail(error)

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
