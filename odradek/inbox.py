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
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple, cast

from odradek.accumulator import Headers, OnDone, Outcome, Pair
from odradek.errors import BufferFullError, ClientClosedError, OdradekError
from odradek.futures import RecordFuture, settle_records
from odradek.placement import Single
from odradek.producer_engine import ProducerEngine
from transport.kernel import Now

RUN_RECORDS_MAX = 2048
"""Single records that are encoded together: a fifth of the cost each."""
TURN_BYTES_MAX = 1024 * 1024
"""What is encoded in one turn of the loop, some four milliseconds, before it looks at answers."""


class RunItem(NamedTuple):
    """A part of one ``send_many``."""

    topic: str
    pairs: Sequence[Pair]
    size_bytes: int
    timestamp_ms: int | Sequence[int]
    """Of all, or of each."""
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


Item = RunItem | FlushItem

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
        self._items: deque[Item | RecordFuture] = deque()
        self._taken: deque[Item | RecordFuture] = deque()
        """What the loop has fetched from there and not placed; only the loop's thread uses it."""
        self._bytes = 0
        self._owner: object = None
        self._held_bytes = 0
        """At most what the program holds: taken when something last came to it."""
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._waiting = 0
        self._closed: OdradekError | None = None
        program.on_room = self.drain
        _alive.add(self)

    def put_record(self, future: RecordFuture, timeout_s: float, owner: object = None) -> bool:
        """Leave one record; as :meth:`put`. Its ``owner`` lives until all records have ended."""
        with self._lock:
            if self._bytes + self._held_bytes >= self._limit_bytes and self._full():
                self._wait_for_room(timeout_s)
            if self._closed is not None:
                raise self._closed
            items = self._items
            items.append(future)
            self._bytes += future.size_bytes
            self._owner = owner
            return len(items) == 1

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
        owner: object = None
        with self._lock:
            taken.extend(self._items)
            self._items.clear()
        placed_bytes = 0
        while taken and placed_bytes < TURN_BYTES_MAX and self.program.has_room():
            if type(taken[0]) is RecordFuture:
                placed_bytes += self._place_records(now)
                continue
            item = taken.popleft()
            assert not isinstance(item, RecordFuture), "they have gone another way"
            item.place(self.program, now)
            placed_bytes += item.size_bytes
        with self._lock:
            self._bytes -= placed_bytes
            self._held_bytes = held_bytes = self.program.buffered_bytes
            if not held_bytes and not taken and not self._items:
                owner, self._owner = self._owner, None  # it may end with this turn
            if self._waiting and not self._full():
                self._room.notify_all()
        del owner  # not under the lock: a producer that ends may ask for it
        return bool(taken)

    def _place_records(self, now: Now) -> int:
        """Place the next single records, those that are alike in all but key and value as one run.

        Returns their bytes.
        """
        taken = self._taken
        some = [taken.popleft() for _ in range(min(RUN_RECORDS_MAX, len(taken)))]
        kinds = list(map(type, some))
        alike = len(some) if kinds.count(RecordFuture) == len(some) else _others_at(kinds)
        taken.extendleft(reversed(some[alike:]))
        futures = cast("list[RecordFuture]", some[:alike])
        # A column each: tuples of all seven would cost twice as much, and be the collector's.
        topics = [future.topic for future in futures]
        partitions = [future.partition for future in futures]
        headers = [future.headers for future in futures]
        keys = [future.key for future in futures]
        values = [future.value for future in futures]
        stamps = [future.timestamp_ms for future in futures]
        sizes = [future.size_bytes for future in futures]
        first = 0
        for end in _ends_of_runs(topics, partitions, headers):
            if headers[first]:
                self._place_one(futures[first], now)
            else:
                times = stamps[first:end]
                run = RunItem(
                    topics[first],
                    list(zip(keys[first:end], values[first:end], strict=True)),
                    sum(sizes[first:end]),
                    times[0] if times.count(times[0]) == len(times) else times,
                    partial(settle_records, futures[first:end]),
                    partitions[first],
                )
                run.place(self.program, now)
            first = end
        return sum(sizes)

    def _place_one(self, future: RecordFuture, now: Now) -> None:
        record = Single(
            future.partition,
            future.key,
            future.value,
            future.headers,
            future.timestamp_ms,
            future.settle,
        )
        self.program.take(future.topic, record, now)

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
            if isinstance(item, RecordFuture):
                partition = -1 if item.partition is None else item.partition
                item.settle(Outcome(item.topic, partition, -1, error), 0, None)
            else:
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


def _others_at(kinds: Sequence[type]) -> int:
    """Return how many single records stand before the first item that is something else."""
    return next(place for place, kind in enumerate(kinds) if kind is not RecordFuture)


def _ends_of_runs(
    topics: Sequence[str], partitions: Sequence[int | None], headers: Sequence[Headers]
) -> Iterator[int]:
    """Give where each run ends: of one topic and partition, without headers, or of one record."""
    count = len(topics)
    if topics.count(topics[0]) == partitions.count(partitions[0]) == count and not any(headers):
        yield count
        return
    for end in range(1, count):
        before = end - 1
        if (
            topics[before] != topics[end]
            or partitions[before] != partitions[end]
            or headers[before]
            or headers[end]
        ):
            yield end
    yield count
