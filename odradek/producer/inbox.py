"""Where threads leave records for the producer's loop: bounded, in order, woken once.

Not even once for records that would only wait for an answer which the loop waits for as well: the
turn in which that comes takes them.

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

from odradek.arguments import topic_name
from odradek.errors import BufferFullError, ClientClosedError, ClientError, OdradekError
from odradek.producer.accumulator import OnDone, Outcome
from odradek.producer.engine import ProducerEngine
from odradek.producer.futures import Owner
from odradek.producer.sheaf import RecordFuture, Sheaf
from odradek.records import Headers
from transport.kernel import Now
from transport.wire.records import Parts

SHEAF_BYTES_MAX = 256 * 1024
"""Single records of about so much are encoded together: a fifth of the cost each."""
TURN_BYTES_MAX = 1024 * 1024
"""What is encoded in one turn of the loop, some four milliseconds, before it looks at answers."""
GATHERED_BYTES_MAX = 16 * 1024
"""So much is not left until the answer comes: it is to be encoded by then."""


class RunItem(NamedTuple):
    """A part of one ``send_many``."""

    topic: str
    keys: Parts
    values: Parts
    size_bytes: int
    timestamp_ms: int | Sequence[int]
    """Of all, or of each."""
    on_done: OnDone
    partition: int | None = None

    def place(self, program: ProducerEngine, now: Now) -> None:
        """Hand it to the program."""
        program.send_run(
            self.topic,
            self.keys,
            self.values,
            self.size_bytes,
            self.on_done,
            now,
            partition=self.partition,
            timestamp_ms=self.timestamp_ms,
        )

    def fail(self, error: OdradekError) -> None:
        """End it unplaced."""
        self.on_done(Outcome(self.topic, -1, -1, error), 0, range(len(self.values)))


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


Item = Sheaf | RunItem | FlushItem


_alive: weakref.WeakSet[Inbox] = weakref.WeakSet()


def _after_fork() -> None:
    for inbox in list(_alive):
        inbox.forked()


os.register_at_fork(after_in_child=_after_fork)


class Inbox:
    """The queue between callers on any thread and one producer program on its loop."""

    def __init__(self, program: ProducerEngine, limit_bytes: int, block_ms: int) -> None:
        self.program = program
        self._limit_bytes = limit_bytes
        self._block_ms = block_ms
        """How long a caller waits for room."""
        self._items: deque[Item] = deque()
        self._open: dict[str, Sheaf] = {}
        """Those of the items that still take records, by topic."""
        self._taken: deque[Item] = deque()
        """What the loop has fetched from there and not placed; only the loop's thread uses it."""
        self._woken = False
        """The loop knows that something is here."""
        self._bytes = 0
        self._held_bytes = 0
        """At most what the program holds: taken when something last came to it."""
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._waiting = 0
        self._closed: OdradekError | None = None
        program.on_room = self.drain
        _alive.add(self)

    def put_record(
        self,
        topic: str,
        partition: int | None,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        timestamp_ms: int,
        size_bytes: int,
        owner: Owner,
    ) -> RecordFuture:
        """Leave one record of this size; waits and raises as :meth:`put`."""
        with self._lock:  # not acquire() and try: Ctrl-C may come between the two
            if self._bytes + self._held_bytes >= self._limit_bytes and self._full():
                self._wait_for_room(owner)
            if not self._woken and not self._gathers(topic, partition, key):
                self._wake(owner)
            sheaf = self._open.get(topic)
            if (
                sheaf is None
                or sheaf.partition != partition
                or sheaf.size_bytes >= SHEAF_BYTES_MAX
                or headers
            ):
                sheaf = self._open_sheaf(topic, partition, headers, owner)
            self._bytes += size_bytes
            return sheaf.add(key, value, timestamp_ms, size_bytes)

    def put(self, item: Item, owner: Owner) -> None:
        """Leave ``item``; its ``owner`` is woken unless it was.

        Waits while the memory is full: :class:`BufferFullError` when it stays so for ``block_ms``.
        """
        with self._lock:
            if item.size_bytes and self._full():
                self._wait_for_room(owner)
            if not self._woken:
                self._wake(owner)
            self._open.clear()  # what comes after it comes after it
            self._leave(item)
            self._bytes += item.size_bytes

    def _gathers(self, topic: str, partition: int | None, key: bytes | None) -> bool:
        """Tell whether a record would only join others that wait for an answer.

        Asked before the record is left: what has ended the waiting since then takes it.
        """
        free = key is None and partition is None
        return free and self._bytes < GATHERED_BYTES_MAX and self.program.gathers(topic)

    def _wake(self, owner: Owner) -> None:
        if self._closed is not None:
            raise self._closed
        owner.wake()
        self._woken = True

    def _open_sheaf(
        self, topic: str, partition: int | None, headers: Headers, owner: Owner
    ) -> Sheaf:
        sheaf = Sheaf(topic_name(topic), partition, headers, owner)
        self._open.pop(topic, None)  # what comes after it comes after it
        self._leave(sheaf)
        if not headers:
            self._open[topic] = sheaf
        return sheaf

    def _leave(self, item: Item) -> None:
        if self._closed is not None:
            raise self._closed
        self._items.append(item)

    def has_room(self) -> bool:
        """Return whether :meth:`put` would not wait."""
        return not self._full()

    def drain(self, now: Now) -> bool:
        """Move what there is room for into the program; True: there is more to move at once."""
        taken = self._taken
        with self._lock:
            taken.extend(self._items)
            self._items.clear()
            self._open.clear()
            self._woken = False
        placed_bytes = 0
        while taken and placed_bytes < TURN_BYTES_MAX and self.program.has_room():
            item = taken.popleft()
            try:
                item.place(self.program, now)
            except BaseException as error:
                item.fail(ClientError(f"it could not be written: {error!r}"))
                raise  # the loop ends, and with it all others
            placed_bytes += item.size_bytes
        with self._lock:
            self._bytes -= placed_bytes
            self._held_bytes = self.program.buffered_bytes
            if self._waiting and not self._full():
                self._room.notify_all()
        return bool(taken)

    def close(self, error: OdradekError) -> None:
        """Fail what is left and whoever waits; nothing is taken any more."""
        with self._lock:
            self._closed = error
            left = [*self._taken, *self._items]
            self._taken.clear()
            self._items.clear()
            self._open.clear()
            self._bytes = 0
            self._room.notify_all()
        for item in left:
            item.fail(error)

    def forked(self) -> None:
        """In the child of a fork: the loop, and whoever held the lock, are the parent's."""
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._waiting = 0
        self._open = {}
        self._closed = ClientClosedError(
            "this producer belongs to the process before the fork; make a new one"
        )

    def _full(self) -> bool:
        return self._bytes + self.program.buffered_bytes >= self._limit_bytes

    def _wait_for_room(self, owner: Owner) -> None:
        if owner.on_loop:
            raise BufferFullError(
                f"{self._limit_bytes} bytes of records are not acked, and a callback cannot wait: "
                "they are acked on the thread that it runs on"
            )
        deadline = time.monotonic() + self._block_ms / 1000
        self._waiting += 1
        try:
            while self._full() and self._closed is None:
                if not self._room.wait(deadline - time.monotonic()):
                    raise BufferFullError(
                        f"{self._limit_bytes} bytes of records were not acked "
                        f"within {self._block_ms} ms"
                    )
        finally:
            self._waiting -= 1
