"""What a consumer reads: its partitions, where it stands in each, and what is fetched but not taken.

Pure.  The rules of positions are here: a position is the offset of the next record that ``take``
will give; records below it are dropped; a change of position makes everything fetched for the old
one void.  It must not know how records are fetched.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from odradek.consumer.fetched_records import FetchedBatch, FetchedRecords, Piece
from odradek.errors import OdradekError
from transport.wire.ids import NO_NODE, NodeId, TopicId, TopicPartition
from transport.wire.records import BatchHeader, RecordBatchView


@dataclass(slots=True)
class Buffered:
    """A fetched batch: records from ``start`` to ``count`` have not been taken."""

    batch: FetchedBatch
    view: RecordBatchView
    count: int
    size_bytes: int
    start: int = 0

    def offset_at(self, index: int) -> int:
        """Return the offset of a record, or the one after the batch for its end."""
        header = self.view.header
        if index >= self.count:
            return header.next_offset
        if header.record_count == header.last_offset_delta + 1:
            return max(header.base_offset, self.view.from_offset) + index
        return self.batch.records()[index].offset  # compacted: only its records know


@dataclass(slots=True, eq=False)
class Assigned:
    """One partition as this consumer reads it."""

    key: TopicPartition
    topic_id: TopicId | None = None
    """Of the topic that its position belongs to; None: it is not known yet."""
    position: int | None = None
    """Offset of the next record to give; None until it has been found."""
    reset_to_ms: int | None = None
    """How to find the position: a timestamp, −1 for the end, −2 for the beginning."""
    paused: bool = False
    held: bool = False
    """Nothing is given: its group is giving it up, or a listener has not yet heard of it."""
    error: OdradekError | None = None
    """What keeps it from being read; raised by each poll until a seek."""
    buffer: deque[Buffered] = field(default_factory=deque)
    buffered_bytes: int = 0
    next_fetch: int = -1
    """Offset after everything fetched."""
    is_between_batches: bool = False
    """``next_fetch`` is the end of a batch: no batch that is whole reaches across it."""
    generation: int = 0
    """Grows when what is under way for this partition becomes void."""
    busy: bool = False
    """A request for it is under way: a fetch, a look-up, a check."""
    leader_epoch: int = -1
    """Of the leader it was last read from."""
    fetched_epoch: int = -1
    """Leader epoch of the newest batch fetched: what a new leader's log is checked by."""
    taken_epoch: int = -1
    """Leader epoch of the newest batch that records were taken from: committed with the position."""
    high_watermark: int = -1
    nearest: NodeId = NO_NODE
    """The replica that the leader has named to be read from instead of itself."""
    nearest_until_ms: int = 0
    """When to let the leader choose anew; without such a replica: when to let it choose at all."""
    retry_at_ms: int = 0
    tries: int = 0

    def seek(self, offset: int) -> None:
        """Go on reading at ``offset``."""
        self._void()
        self.position = self.next_fetch = offset
        self.is_between_batches = False
        self.reset_to_ms = None

    def resume(self, offset: int, leader_epoch: int) -> None:
        """Go on after a record of this leader epoch; −1: it is not known."""
        self.seek(offset)
        self.fetched_epoch = self.taken_epoch = leader_epoch

    def reset(self, timestamp_ms: int | None) -> None:
        """Find the position anew; None: there is none until a seek."""
        self._void()
        self.position = None
        self.reset_to_ms = timestamp_ms

    def fail(self, error: OdradekError) -> None:
        """Stop reading until a seek; what was fetched before is still given."""
        self.disregard()
        self.error = error

    def recall(self) -> None:
        """Take back what is under way, to ask somebody else at once."""
        self.disregard()
        self.retry_at_ms = self.tries = 0

    def disregard(self) -> None:
        """Listen to no answer to what is under way, of which there may be several."""
        self.generation += 1
        self.busy = False

    def fetch_anew(self) -> None:
        """Let go of what was fetched: it is fetched again when it is wanted."""
        error = self.error
        assert self.position is not None, "of what was fetched"
        self.resume(self.position, self.taken_epoch)
        self.error = error

    def _void(self) -> None:
        self.disregard()
        self.error = None
        self.buffer.clear()
        self.buffered_bytes = 0
        self.fetched_epoch = self.taken_epoch = -1
        self.retry_at_ms = self.tries = 0

    def add(self, buffered: Buffered) -> None:
        """Append a fetched batch."""
        assert buffered.view.header.base_offset >= self.next_fetch or not self.buffer
        self.buffer.append(buffered)
        self.buffered_bytes += buffered.size_bytes
        self.pass_over(buffered.view.header)

    def pass_over(self, header: BatchHeader) -> None:
        """Fetch on behind a batch; also one of which nothing is given may begin a later epoch."""
        self.next_fetch, self.is_between_batches = header.next_offset, True
        self.fetched_epoch = header.leader_epoch

    def take(self, records_max: int) -> list[Piece]:
        """Give up to ``records_max`` records and move the position after them.

        Fails where a batch has to be taken apart and cannot be.
        """
        pieces: list[Piece] = []
        left = records_max
        while self.buffer and left > 0:
            head = self.buffer[0]
            stop = min(head.count, head.start + left)
            try:
                position = head.offset_at(stop)
            except OdradekError as error:  # of the whole batch; what is before it is given
                self.fail(error)
                break
            if stop > head.start:
                self.taken_epoch = head.view.header.leader_epoch
                pieces.append(Piece(head.batch, head.start, stop))
            left -= stop - head.start
            assert self.position is not None
            assert position >= self.position, "a position went back"
            self.position = position
            if stop < head.count:
                head.start = stop
            else:
                self.buffer.popleft()
                self.buffered_bytes -= head.size_bytes
                if not self.buffer:  # nobody is given what is behind it: the end of a transaction
                    self.position, self.taken_epoch = self.next_fetch, self.fetched_epoch
        return pieces

    def check(self) -> None:
        """Assert the invariants."""
        assert self.buffered_bytes == sum(one.size_bytes for one in self.buffer)
        if self.position is None:
            assert not self.buffer, "records without a position"
        elif not self.buffer and self.error is None:
            assert self.position <= self.next_fetch, "the position is ahead of the fetches"


class Flight(NamedTuple):
    """One partition in one request."""

    one: Assigned
    generation: int
    epoch: int
    """Of the leader, as it was asked."""
    offset: int

    @property
    def valid(self) -> bool:
        """True while the answer is wanted."""
        return self.one.generation == self.generation


class Subscription:
    """All partitions of one consumer, those longest not served first."""

    def __init__(self) -> None:
        self.topics: dict[str, None] = {}
        """Read as a whole, partitions to come included; empty when partitions were assigned."""
        self.assigned: dict[TopicPartition, Assigned] = {}

    @property
    def buffered_bytes(self) -> int:
        """Bytes fetched and not taken."""
        return sum(one.buffered_bytes for one in self.assigned.values())

    def make_room(self) -> None:
        """Let go of what was fetched of paused partitions, where there is nothing else to give."""
        if any(one.buffer and not (one.paused or one.held) for one in self.assigned.values()):
            return  # taking that makes room
        for one in self.assigned.values():
            if one.paused and one.buffer:
                one.fetch_anew()

    def assign(self, partitions: Iterable[TopicPartition]) -> list[Assigned]:
        """Read exactly these; partitions kept keep their place. Returns those that are new."""
        wanted = dict.fromkeys(TopicPartition(*key) for key in partitions)
        for key in [key for key in self.assigned if key not in wanted]:
            self.drop(key)
        return [self.add(key) for key in wanted if key not in self.assigned]

    def add(self, key: TopicPartition) -> Assigned:
        """Read one more partition."""
        made = self.assigned[key] = Assigned(key)
        return made

    def drop(self, key: TopicPartition) -> None:
        """Read it no longer; answers about it are void."""
        self.assigned.pop(key).generation += 1

    def ready(self) -> bool:
        """Return whether ``take`` would give or raise something."""
        return any(
            (one.buffer or one.error is not None) and not (one.paused or one.held)
            for one in self.assigned.values()
        )

    def take(self, records_max: int) -> dict[TopicPartition, FetchedRecords]:
        """Give up to ``records_max`` records; raises a partition's error when nothing else is left."""
        given: dict[TopicPartition, FetchedRecords] = {}
        left = records_max
        for key, one in list(self.assigned.items()):
            if left <= 0:
                break
            if one.paused or one.held or not one.buffer:
                continue
            records = FetchedRecords(one.take(left))
            if len(records):
                given[key] = records
                left -= len(records)
            self.assigned[key] = self.assigned.pop(key)  # to the end of the line
        if not given:
            for one in self.assigned.values():
                if one.error is not None and not (one.paused or one.held):
                    raise one.error
        return given

    def check(self) -> None:
        """Assert the invariants of every partition."""
        for one in self.assigned.values():
            one.check()
