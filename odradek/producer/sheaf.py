"""Single records bound into one run on their way to the producer's loop, and the future of each.

A record costs its sender a place in a sheaf: key, value and time in columns, and a future that knows
the sheaf and the place.  What became of it is looked up when somebody asks, so a batch that ends well
costs nothing per record that nobody watches.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from odradek.errors import OdradekError
from odradek.producer.accumulator import Outcome
from odradek.producer.engine import ProducerEngine
from odradek.producer.futures import FINISHED, RUNNING, Owner, WatchedFuture
from odradek.producer.placement import RECORD_OVERHEAD_BYTES, Single
from odradek.records import Headers, RecordMetadata
from transport.kernel import Now

_NOWHERE = -1
_new = object.__new__
_new_tuple = tuple.__new__


class End(NamedTuple):
    """What became of one record: the end of its batch, and its rank there, from 0."""

    outcome: Outcome
    rank: int


class RecordFuture(WatchedFuture[RecordMetadata]):
    """The end of one record: a place in a sheaf."""

    __slots__ = ("_end", "place", "sheaf")

    sheaf: Sheaf
    place: int
    _end: End | None

    @property
    def end(self) -> End | None:
        """What became of the record; None while nobody knows."""
        if self._end is None:
            self._end = self.sheaf.end_of(self.place)
        return self._end

    if not TYPE_CHECKING:  # which is to see the base class's attributes

        @property
        def _state(self) -> str:
            return RUNNING if self.end is None else FINISHED

        @property
        def _failure(self) -> BaseException | None:
            end = self.end
            return None if end is None else end.outcome.error

        @property
        def _watched(self) -> bool:
            return self.place in self.sheaf.watched

        @_watched.setter
        def _watched(self, _watched: bool) -> None:
            self.sheaf.watched[self.place] = self

    def result(self, timeout: float | None = None) -> RecordMetadata:
        """Return where it was written; waits and raises as the base class's, which does the rest."""
        end = self.end
        if end is None or end.outcome.error is not None:
            return super().result(timeout)
        return self._value()

    def _told_by(self) -> Owner | None:
        return self.sheaf.owner

    def _value(self) -> RecordMetadata:
        assert self._end is not None, "it has ended"
        outcome, rank = self._end
        timestamp_ms = self.sheaf.timestamps_ms[self.place]
        offset = outcome.offset(rank)
        return _new_tuple(RecordMetadata, (outcome.topic, outcome.partition, offset, timestamp_ms))


class _Part(NamedTuple):
    """The records at these places have ended with one batch, in it from index ``first`` on."""

    outcome: Outcome
    first: int
    places: Sequence[int]
    """In rising order."""


class Sheaf:
    """Single records of one topic and one wish for a partition (None: by key, or none).

    Grows by ``add`` under the lock of its inbox, until the loop takes it; ``settle`` is then called
    on the loop's thread, once for each part of it that went into a batch.  Its ``owner`` is held
    until every record has ended.  One with headers has a single record.
    """

    __slots__ = (
        *("topic", "partition", "headers", "owner", "size_bytes", "timestamps_ms", "watched"),
        *("_ended", "_keys", "_values", "_parts", "_parts_at", "_parts_seen"),
    )

    def __init__(
        self, topic: str, partition: int | None, headers: Headers = (), owner: Owner | None = None
    ) -> None:
        self.topic = topic
        self.partition = partition
        self.headers = headers
        self.owner = owner
        self.size_bytes = 0
        """About what its records take in batches."""
        self.timestamps_ms: list[int] = []
        self.watched: dict[int, RecordFuture] = {}
        """The futures that somebody waits for, by place."""
        # Columns: a tuple for each record would be one object more for the collector to look at.
        # The keys and the values are here until they are placed.
        self._keys: list[bytes | None] = []
        self._values: list[bytes | None] = []
        self._ended = 0
        self._parts: list[_Part] = []
        self._parts_at: array[int] | None = None
        """By place: which of the parts that were looked into so far tells of it."""
        self._parts_seen = 0

    def add(
        self, key: bytes | None, value: bytes | None, timestamp_ms: int, size_bytes: int
    ) -> RecordFuture:
        """Take one record more."""
        future = _new(RecordFuture)  # its class, called, would take twice the time
        future.sheaf = self
        future.place = len(self._values)
        future._end = None
        try:
            self._keys.append(key)
            self._values.append(value)
            self.timestamps_ms.append(timestamp_ms)
        except BaseException:  # Ctrl-C may come between two columns
            for column in (self._keys, self._values, self.timestamps_ms):
                del column[future.place :]
            raise
        self.size_bytes += size_bytes
        return future

    def __len__(self) -> int:
        return len(self.timestamps_ms)

    # On the loop's thread

    def place(self, program: ProducerEngine, now: Now) -> None:
        """Hand it to the program."""
        keys, values = self._keys, self._values
        self._forget()
        times = self.timestamps_ms
        if not times:
            return  # whoever opened it was interrupted
        if self.headers:
            record = Single(self.partition, keys[0], values[0], self.headers, times[0], self.settle)
            program.take(self.topic, record, now)
            return
        program.send_run(
            self.topic,
            keys,
            values,
            self.size_bytes - RECORD_OVERHEAD_BYTES * len(values),
            self.settle,
            now,
            partition=self.partition,
            timestamp_ms=times[0] if times.count(times[0]) == len(times) else times,
        )

    def fail(self, error: OdradekError) -> None:
        """End it unplaced."""
        self._forget()
        partition = -1 if self.partition is None else self.partition
        self.settle(Outcome(self.topic, partition, -1, error), 0, range(len(self)))

    def _forget(self) -> None:
        """Hold keys and values no longer than they are of use."""
        self._keys, self._values = [], []

    def settle(self, outcome: Outcome, first: int, places: Sequence[int] | None) -> None:
        """Take the end of the records at these places (None: of its only one)."""
        places = (0,) if places is None else places
        if self._parts_at is None:
            self._parts_at = array("i", [_NOWHERE]) * len(self)
        # From here on it is seen by whoever looks; who said before that he would is told below.
        self._parts.append(_Part(outcome, first, places))
        self._ended += len(places)
        if self._ended == len(self):
            self.owner = None
        if self.watched:
            for place in sorted(self.watched.keys() & places):
                self.watched.pop(place)._tell()

    # On any thread

    def end_of(self, place: int) -> End | None:
        """Return what became of the record at this place; None while nobody knows."""
        if self._parts_at is None:
            return None
        if self._parts_seen != len(self._parts):
            self._see_parts(self._parts_at)
        number = self._parts_at[place]
        if number == _NOWHERE:
            return None
        outcome, first, places = self._parts[number]
        return _new_tuple(End, (outcome, first + bisect_left(places, place)))

    def _see_parts(self, parts_at: array[int]) -> None:
        """Note which part tells of which place; threads that do it at once write the same."""
        parts = self._parts
        seen = len(parts)
        for number in range(self._parts_seen, seen):
            for place in parts[number].places:
                parts_at[place] = number
        self._parts_seen = seen
