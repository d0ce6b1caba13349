"""Records on their way into batches: per partition one lane, in order, bounded in bytes.

Owns the open and the waiting batches, their sequence numbers, and who is told of each record's end.
Pure.  It must not know of brokers, leaders or requests: the sender does.

A batch waits in its lane's ``queue``; when it is first sent it gets a sequence and moves to
``sent``, and stays there, in order, until its end is known.  Its sequence changes only in
``restart``, when none of ``sent`` can have been written.

Source: KIP-98 (idempotent producer), KIP-360 (recovery from a lost sequence).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import NamedTuple

from odradek.errors import OdradekError
from odradek.records import Headers
from transport.kernel import Now
from transport.wire.ids import ProducerEpoch, ProducerId, TopicId, TopicPartition
from transport.wire.records import BatchBuilder, Parts

SEQUENCE_MASK = 0x7FFFFFFF
"""Sequences go on with 0 after 2³¹ − 1."""


class Outcome(NamedTuple):
    """What became of one batch: ``base_offset`` (−1: unknown), unless there is an ``error``."""

    topic: str
    partition: int
    base_offset: int
    error: OdradekError | None = None

    def offset(self, index: int) -> int:
        """Return the offset of the record at ``index`` of the batch; −1 if it is not known."""
        return self.base_offset + index if self.base_offset >= 0 else -1


OnDone = Callable[[Outcome, int, Sequence[int] | None], None]
"""``(outcome, index of the first record in its batch, positions)``.

``positions`` says which records of a ``send_many`` these are, in order; None for a single one.
"""


class Identity(NamedTuple):
    """Who writes: stamped into every batch of an idempotent producer."""

    producer_id: ProducerId
    epoch: ProducerEpoch


class Receipt(NamedTuple):
    """Whom to tell of the records from index ``first`` of a batch on."""

    on_done: OnDone
    first: int
    positions: Sequence[int] | None


class Run(NamedTuple):
    """Records without headers that go to one partition, or wherever there is room."""

    keys: Parts
    values: Parts
    positions: Sequence[int]
    """The places of these records among what the caller sent."""
    record_bytes: int
    """What one of them takes in a batch, on average."""
    timestamp_ms: int | Sequence[int]
    """Of all, or of each."""
    on_done: OnDone

    def of(self, positions: Sequence[int]) -> Run:
        """Return a run of these of them."""
        stamps = self.timestamp_ms
        if not isinstance(stamps, int):
            stamps = list(map(stamps.__getitem__, positions))
        keys = list(map(self.keys.__getitem__, positions))
        values = list(map(self.values.__getitem__, positions))
        return Run(keys, values, positions, self.record_bytes, stamps, self.on_done)


@dataclass(slots=True, eq=False)
class Batch:
    """Records of one partition that are sent, retried and acked as one."""

    number: int
    """Grows with each batch of this producer; the parts of one that was split share its number."""
    created_ms: int
    deadline_ms: int
    builder: BatchBuilder = field(default_factory=BatchBuilder)
    receipts: list[Receipt] = field(default_factory=list)
    full: bool = False
    identity: Identity | None = None
    sequence: int = -1
    frame: bytes = b""
    """As sent; empty until then."""
    in_flight: bool = False
    attempt: int = 0
    """Answers to earlier attempts are not ours any more."""
    leader_epoch: int = -1
    """Of the latest attempt."""
    unread_epoch: int = -1
    """Leader epoch of the newest attempt that met no answer: a broker may read it yet."""
    retry_at_ms: int = 0
    tries: int = 0
    """With the present leader."""
    trouble: str = ""
    """Why the latest attempt failed, for people."""
    done: bool = False


class Lost(NamedTuple):
    """A batch that has failed while a broker may read it yet."""

    number: int
    unread_epoch: int


class Taken(NamedTuple):
    """The batch that took some records of a run, and how many."""

    batch: Batch
    records: int


class Lane:
    """One partition's batches, oldest first."""

    __slots__ = (
        "identity",
        "lost",
        "next_sequence",
        "partition",
        "queue",
        "restarting",
        "sent",
        "topic",
        "topic_id",
        "used_ms",
    )

    def __init__(self, topic: str, partition: int) -> None:
        self.topic = topic
        self.partition = partition
        self.topic_id: TopicId | None = None
        """Of the topic that the sequences belong to."""
        self.used_ms = 0
        """When its newest batch was begun."""
        self.sent: list[Batch] = []
        self.queue: deque[Batch] = deque()
        self.identity: Identity | None = None
        self.next_sequence = 0
        self.restarting = False
        """The first of ``sent`` was refused for good under its sequence: none was written."""
        self.lost: Lost | None = None
        """The newest of this identity, unless one behind it was written: then it was, too."""

    @property
    def waiting(self) -> bool:
        """True when something of this lane is neither acked nor in flight."""
        return bool(self.queue) or any(not batch.in_flight for batch in self.sent)

    @property
    def flying(self) -> bool:
        """True when an answer is outstanding."""
        return any(batch.in_flight for batch in self.sent)

    def first_unsent(self) -> Batch | None:
        """Return the oldest batch that has to be sent *again*."""
        for batch in self.sent:
            if not batch.in_flight:
                return batch
        return None

    def number(self, identity: Identity | None) -> Batch:
        """Move the head of the queue to ``sent`` under the next sequence."""
        batch = self.queue.popleft()
        batch.full = True
        if identity is not None:
            batch.identity, batch.sequence = identity, self.next_sequence
            self.next_sequence += batch.builder.record_count
            self.next_sequence &= SEQUENCE_MASK
        self.sent.append(batch)
        return batch

    def restart(self, identity: Identity | None) -> None:
        """Begin again with sequence 0; what was sent has not been written and queues again."""
        assert not self.flying, "an outstanding answer may still say that it was written"
        for batch in reversed(self.sent):
            batch.frame, batch.sequence, batch.identity = b"", -1, None
            batch.unread_epoch = -1
            self.queue.appendleft(batch)
        self.sent.clear()
        self.identity = identity
        self.next_sequence = 0
        self.restarting = False
        self.lost = None

    def check(self) -> None:
        """Assert the order: numbers rise, and sequences follow one another, per identity."""
        batches = [*self.sent, *self.queue]
        numbers = [batch.number for batch in batches]
        assert numbers == sorted(numbers), "batches of a lane changed places"
        for batch in self.queue:
            assert batch.sequence == -1, "a queued batch has a sequence"
            assert not batch.in_flight, "a queued batch is in flight"
        if self.restarting:
            return
        for before, after in zip(self.sent, self.sent[1:], strict=False):
            if before.sequence >= 0:
                distance = after.sequence - before.sequence & SEQUENCE_MASK
                assert distance >= before.builder.record_count, "sequences overlap"
                assert distance <= SEQUENCE_MASK >> 1, "sequences out of order"


class Accumulator:
    """All lanes of one producer."""

    def __init__(self, *, batch_size_bytes: int, delivery_timeout_ms: int) -> None:
        self.lanes: dict[TopicPartition, Lane] = {}
        self.buffered_bytes = 0
        """Of every batch that has not ended."""
        self.batch_size_bytes = batch_size_bytes
        """What a batch holds at most, unless its topic takes less."""
        self._delivery_timeout_ms = delivery_timeout_ms
        self._numbers = count(1)
        self._open: dict[Batch, Lane] = {}
        """Every batch that has not ended, oldest first."""
        self._waiting: dict[Lane, None] = {}

    def lane(self, topic: str, partition: int) -> Lane:
        """Return the lane, made when first asked for."""
        key = TopicPartition(topic, partition)
        found = self.lanes.get(key)
        if found is None:
            found = self.lanes[key] = Lane(topic, partition)
        return found

    # Taking records

    def append(
        self,
        lane: Lane,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        timestamp_ms: int,
        on_done: OnDone,
        now: Now,
        size_bytes_max: int,
    ) -> Batch:
        """Add one record to the lane's open batch, or to a new one; returns the batch."""
        batch = self._open_batch(lane, now)
        limit = min(size_bytes_max, self.batch_size_bytes)
        grown = batch.builder.append(key, value, headers, timestamp_ms, limit)
        if grown == 0:
            batch.full = True
            batch = self._open_batch(lane, now)
            grown = batch.builder.append(key, value, headers, timestamp_ms, limit)
        batch.receipts.append(Receipt(on_done, batch.builder.record_count - 1, None))
        batch.full = batch.builder.size_bytes + grown > limit
        self.buffered_bytes += grown
        return batch

    def extend(self, lane: Lane, run: Run, start: int, now: Now, size_bytes_max: int) -> Taken:
        """Add records of ``run`` from ``start`` on to one batch, and not more than it takes."""
        limit = min(size_bytes_max, self.batch_size_bytes)
        while True:
            batch = self._open_batch(lane, now)
            builder = batch.builder
            index, size_bytes = builder.record_count, builder.size_bytes
            # Not more than will likely fit: what is encoded and does not fit is encoded again.
            likely = max(1, (limit - size_bytes) // run.record_bytes)
            end = start + likely
            values, stamps = run.values[start:end], run.timestamp_ms
            if not isinstance(stamps, int):
                stamps = stamps[start:end]
            taken = builder.extend(run.keys[start:end], values, stamps, limit)
            self.buffered_bytes += builder.size_bytes - size_bytes
            if taken < len(values) or builder.size_bytes + run.record_bytes > limit:
                batch.full = True
            if taken:
                here = run.positions[start : start + taken]
                batch.receipts.append(Receipt(run.on_done, index, here))
                return Taken(batch, taken)

    def _open_batch(self, lane: Lane, now: Now) -> Batch:
        """Return the batch that still grows, or a new one at the end of the lane."""
        if lane.queue and not lane.queue[-1].full:
            return lane.queue[-1]
        deadline_ms = now.mono_ms + self._delivery_timeout_ms
        batch = Batch(next(self._numbers), now.mono_ms, deadline_ms)
        lane.queue.append(batch)
        lane.used_ms = now.mono_ms
        self._open[batch] = lane
        self._waiting[lane] = None
        self.buffered_bytes += batch.builder.size_bytes
        return batch

    # For the sender

    def waiting(self) -> list[Lane]:
        """Return the lanes that have something to send, those that came first first."""
        return list(self._waiting)

    def note(self, lane: Lane) -> None:
        """Look again whether this lane has something to send."""
        if lane.waiting:
            self._waiting.setdefault(lane)
        else:
            self._waiting.pop(lane, None)

    def finish(self, lane: Lane, batch: Batch, outcome: Outcome) -> None:
        """Take the batch out of its lane and tell everybody who waits for a record of it."""
        if batch.done:
            return
        batch.done = True
        if batch in lane.sent:
            lane.sent.remove(batch)
        else:
            lane.queue.remove(batch)
        self.note(lane)
        del self._open[batch]
        self.buffered_bytes -= batch.builder.size_bytes
        for receipt in batch.receipts:
            receipt.on_done(outcome, receipt.first, receipt.positions)
        batch.receipts.clear()

    def split(self, lane: Lane, batch: Batch) -> None:
        """Put smaller batches, of half its size at most, in the place of one that was sent.

        They have its sequences, so the brokers know what of it they have written, if they have.
        """
        builders = batch.builder.split(batch.builder.size_bytes // 2)
        parts: list[Batch] = []
        start = 0
        for builder in builders:
            part = Batch(batch.number, batch.created_ms, batch.deadline_ms, builder)
            stop = start + builder.record_count
            part.receipts = _within(batch, start, stop)
            part.full, part.identity = True, batch.identity
            part.unread_epoch = batch.unread_epoch
            if batch.sequence >= 0:
                part.sequence = batch.sequence + start & SEQUENCE_MASK
            parts.append(part)
            start = stop
        batch.done = True
        place = lane.sent.index(batch)
        lane.sent[place : place + 1] = parts
        self.buffered_bytes -= batch.builder.size_bytes
        self.buffered_bytes += sum(part.builder.size_bytes for part in parts)
        opened: dict[Batch, Lane] = {}
        for one, its_lane in self._open.items():
            opened.update(dict.fromkeys(parts if one is batch else (one,), its_lane))
        self._open = opened
        self.note(lane)

    def expired(self, now: Now) -> Iterator[tuple[Lane, Batch]]:
        """Give the batches whose delivery time is over, oldest first; finish each before the next.

        All have the same time, so they expire in the order in which they were begun.
        """
        while self._open:
            batch, lane = next(iter(self._open.items()))
            if batch.deadline_ms > now.mono_ms:
                return
            yield lane, batch

    def next_deadline_ms(self) -> int | None:
        """Return when the next batch expires."""
        return next(iter(self._open)).deadline_ms if self._open else None

    def topics(self, since_ms: int) -> set[str]:
        """Return the topics that have something to be acked, or had a batch begun since then."""
        lanes = self.lanes.values()
        return {one.topic for one in lanes if one.sent or one.queue or one.used_ms >= since_ms}

    # For flush and close

    @property
    def newest(self) -> int:
        """Number of the newest batch that has not ended; 0 if there is none."""
        return next(reversed(self._open)).number if self._open else 0

    @property
    def oldest(self) -> int | None:
        """Number of the oldest batch that has not ended."""
        return next(iter(self._open)).number if self._open else None

    def unfinished(self) -> list[tuple[Lane, Batch]]:
        """Return every batch that has not ended, with its lane, oldest first."""
        return [(lane, batch) for batch, lane in self._open.items()]

    def check(self) -> None:
        """Assert the invariants of every lane and of the account."""
        for lane in self.lanes.values():
            lane.check()
        held = sum(batch.builder.size_bytes for batch in self._open)
        assert held == self.buffered_bytes, "the account of buffered bytes is wrong"


def _within(batch: Batch, start: int, stop: int) -> list[Receipt]:
    """Return whom to tell of the records ``start`` to ``stop`` of a batch, as of a batch of these."""
    ends = [receipt.first for receipt in batch.receipts[1:]] + [batch.builder.record_count]
    found: list[Receipt] = []
    for (on_done, first, positions), end in zip(batch.receipts, ends, strict=True):
        low, high = max(first, start), min(end, stop)
        if low < high:
            here = None if positions is None else positions[low - first : high - first]
            found.append(Receipt(on_done, low - start, here))
    return found
