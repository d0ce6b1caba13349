"""What a log remembers of its idempotent producers (KIP-98).

Owns producer epochs and the last five batches of each producer, built from batch headers alone, so
that a follower, a new leader and a restarted broker know the same.  Knows nothing of roles.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from nodes.core.partition.events import NO_OFFSET, Batch
from transport.wire.errors import ErrorCode
from transport.wire.ids import NO_PRODUCER_ID, Offset, ProducerEpoch, ProducerId

BATCHES_KEPT = 5
"""Kafka's: a producer has at most five requests in flight, so no older batch can come again."""
PRODUCERS_MAX = 100_000
"""The longest silent is forgotten first; about 50 MB when full."""
SEQUENCES = 1 << 31
"""Sequences are 31 bits wide and go on with 0 after the largest."""


class WrittenBatch(NamedTuple):
    """A batch of a producer as it stands in the log. Both ends are inclusive."""

    first_sequence: int
    last_sequence: int
    base_offset: Offset
    last_offset: Offset


class ProducerEntry:
    """One producer: its epoch and its last batches."""

    __slots__ = ("batches", "epoch", "whole")

    def __init__(
        self, epoch: ProducerEpoch, batches: Iterable[WrittenBatch] = (), *, whole: bool = True
    ) -> None:
        self.epoch = epoch
        self.batches = list(batches)
        self.whole = whole
        """Nothing that this log holds of the producer is missing from ``batches``."""


class Judgement(NamedTuple):
    """NONE without offsets: new. With offsets: written already, there."""

    error: ErrorCode
    base_offset: Offset = NO_OFFSET
    last_offset: Offset = NO_OFFSET


NEW = Judgement(ErrorCode.NONE)


class Producers:
    """All producers of one log, the longest silent first."""

    __slots__ = ("_entries", "_forgot")

    def __init__(self) -> None:
        self._entries: dict[ProducerId, ProducerEntry] = {}
        self._forgot = False

    def __len__(self) -> int:
        return len(self._entries)

    def entries(self) -> dict[ProducerId, ProducerEntry]:
        """Return the table, for snapshots of it. Not to be changed."""
        return self._entries

    def restore(self, entries: dict[ProducerId, ProducerEntry], *, forgot: bool) -> None:
        """Take over a snapshot; what the log holds after it must be recorded next."""
        self._entries = dict(entries)
        self._forgot = forgot

    @property
    def forgot(self) -> bool:
        """Some producer of this log is not remembered any more."""
        return self._forgot

    def judge(self, batch: Batch, *, whole_log: bool) -> Judgement:
        """Tell whether ``batch`` is new, a duplicate (and where it stands), or refused.

        ``whole_log``: nothing was ever deleted from the log's start, so a producer that is not
        known has written nothing, and must begin with sequence 0.  DUPLICATE_SEQUENCE_NUMBER comes
        with the offsets up to which everything must be committed for it to be true.
        """
        if batch.producer_id == NO_PRODUCER_ID:
            return NEW
        if batch.first_sequence < 0:
            return Judgement(ErrorCode.INVALID_RECORD)
        entry = self._entries.get(batch.producer_id)
        if entry is None:
            strict = whole_log and not self._forgot
            return _first(batch) if strict else NEW
        if batch.producer_epoch < entry.epoch:
            return Judgement(ErrorCode.INVALID_PRODUCER_EPOCH)
        if batch.producer_epoch > entry.epoch:
            return _first(batch)
        return _judge_next(batch, entry.batches)

    def record(self, batch: Batch) -> None:
        """Take over a batch that is in the log now."""
        if batch.producer_id == NO_PRODUCER_ID:
            return
        entry = self._entries.pop(batch.producer_id, None)
        if entry is None:
            entry = ProducerEntry(batch.producer_epoch, whole=not self._forgot)
        elif entry.epoch != batch.producer_epoch or not _follows(batch, entry.batches):
            # Out of sequence only where the leader had forgotten the producer, and we had not.
            entry = ProducerEntry(batch.producer_epoch, whole=False)
        written = WrittenBatch(
            batch.first_sequence, _last_sequence(batch), batch.base_offset, batch.last_offset
        )
        entry.batches.append(written)
        if len(entry.batches) > BATCHES_KEPT:
            del entry.batches[0]
            entry.whole = False
        self._entries[batch.producer_id] = entry
        if len(self._entries) > PRODUCERS_MAX:
            del self._entries[next(iter(self._entries))]
            self._forgot = True

    def truncate(self, end: Offset) -> bool:
        """Forget what stood at or after ``end``.

        True: of some producer nothing is left here though the log holds more, so that all must be
        rebuilt from the headers.
        """
        rebuild = False
        for producer_id, entry in list(self._entries.items()):
            if entry.batches[-1].last_offset < end:
                continue
            entry.batches = [batch for batch in entry.batches if batch.last_offset < end]
            if not entry.batches:
                del self._entries[producer_id]
                rebuild = rebuild or not entry.whole
        return rebuild

    def rebuild(self, batches: Iterable[Batch]) -> None:
        """Build the table anew from the headers of the whole log, in order."""
        self._entries = {}
        self._forgot = False
        for batch in batches:
            self.record(batch)

    def check(self, log_end_offset: Offset) -> None:
        """Assert P6."""
        for entry in self._entries.values():
            assert 0 < len(entry.batches) <= BATCHES_KEPT, "P6: one to five batches"
            assert entry.batches[-1].last_offset < log_end_offset, "P6: all in the log"
            for here, there in zip(entry.batches, entry.batches[1:], strict=False):
                following = (here.last_sequence + 1) % SEQUENCES
                assert there.first_sequence == following, "P6: consecutive sequences"
                assert there.base_offset > here.last_offset, "P6: in the log's order"


def _first(batch: Batch) -> Judgement:
    if batch.first_sequence != 0:
        return Judgement(ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER)
    return NEW


def _judge_next(batch: Batch, known: list[WrittenBatch]) -> Judgement:
    first, last = batch.first_sequence, _last_sequence(batch)
    for written in reversed(known):
        if written.first_sequence == first and written.last_sequence == last:
            return Judgement(ErrorCode.NONE, written.base_offset, written.last_offset)
    if _follows(batch, known):
        return NEW
    oldest = known[0]
    behind = (oldest.first_sequence - 1 - last) % SEQUENCES
    if first <= last and behind < min(oldest.first_sequence, SEQUENCES // 2):
        # Before all that is remembered: it was written, or the later ones had been refused.
        offset = Offset(oldest.base_offset - 1)
        return Judgement(ErrorCode.DUPLICATE_SEQUENCE_NUMBER, offset, offset)
    return Judgement(ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER)


def _follows(batch: Batch, known: list[WrittenBatch]) -> bool:
    return batch.first_sequence == (known[-1].last_sequence + 1) % SEQUENCES


def _last_sequence(batch: Batch) -> int:
    return (batch.first_sequence + batch.length - 1) % SEQUENCES
