"""What a log remembers of its idempotent producers and their transactions (KIP-98, KIP-890).

Owns producer epochs and the last five batches of each producer, built from batch headers and
markers alone, so that a follower, a new leader and a restarted broker know the same.  Knows nothing
of roles.

Beside them, of this replica alone: what it has not taken from producers that it does not know.  A log
that has lost its beginning lets those begin anywhere, but for behind a batch that may come again.

A marker bears a later producer epoch than the transaction it ends.  So it fences: whatever that
producer sent before and comes after it, is refused here, whoever vouches for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from nodes.core.partition.events import NO_OFFSET, Batch
from nodes.core.partition.transactions import Transactions
from transport.wire.control import Marker
from transport.wire.errors import ErrorCode
from transport.wire.ids import NO_PRODUCER_ID, Offset, ProducerEpoch, ProducerId

BATCHES_KEPT = 5
"""Kafka's: a producer has at most five requests in flight, so no older batch can come again."""
PRODUCERS_MAX = 100_000
"""The longest silent is forgotten first; about 50 MB when full."""
AWAITED_MAX = 1_000
"""Producers that are not known, of whom a batch was not taken; the oldest is forgotten first."""
SEQUENCES = 1 << 31
"""Sequences are 31 bits wide and go on with 0 after the largest."""


class WrittenBatch(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A batch of a producer as it stands in the log. Both ends are inclusive."""

    first_sequence: int
    last_sequence: int
    base_offset: Offset
    last_offset: Offset


class ProducerEntry:
    """One producer: its epoch and its last batches."""

    __slots__ = (
        "batches",
        "coordinator_epoch",
        "epoch",
        "last_timestamp_ms",
        "marker_offset",
        "whole",
    )

    def __init__(
        self, epoch: ProducerEpoch, batches: Iterable[WrittenBatch] = (), *, whole: bool = True
    ) -> None:
        self.epoch = epoch
        self.batches = list(batches)
        self.whole = whole
        """Nothing that this log holds of the producer is missing from ``batches``."""
        self.coordinator_epoch = -1
        """The largest that a marker of this producer bore."""
        self.marker_offset = NO_OFFSET
        """Of the newest marker, while nothing was written after it."""
        self.last_timestamp_ms = -1
        """Of what was written last, a marker too; −1: that was cut off."""


class Judgement(NamedTuple):
    """NONE without offsets: new. With offsets: written already, there."""

    error: ErrorCode
    base_offset: Offset = NO_OFFSET
    last_offset: Offset = NO_OFFSET


NEW = Judgement(ErrorCode.NONE)


class Producers:
    """All producers of one log, the longest silent first."""

    __slots__ = ("_awaited", "_entries", "_forgot", "transactions")

    def __init__(self) -> None:
        self._entries: dict[ProducerId, ProducerEntry] = {}
        self._awaited: dict[ProducerId, tuple[ProducerEpoch, int]] = {}
        """Epoch and first sequence of the earliest batch that was not taken."""
        self._forgot = False
        self.transactions = Transactions()

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

    def must_verify(self, producer_id: ProducerId, producer_epoch: ProducerEpoch) -> bool:
        """Tell whether a transactional batch would begin a transaction here.

        Then its coordinator must say first that this partition belongs to it.
        """
        entry = self._entries.get(producer_id)
        if entry is not None and producer_epoch < entry.epoch:
            return False  # It is refused, whatever anybody says.
        known = entry is not None and entry.epoch == producer_epoch
        return not (known and self.transactions.is_open(producer_id))

    def judge(
        self,
        batch: Batch,
        *,
        whole_log: bool,
        verified: bool = False,
        keeps_epoch: bool = False,
    ) -> Judgement:
        """Tell whether ``batch`` is new, a duplicate (and where it stands), or refused.

        ``whole_log``: nothing was ever deleted from the log's start, so a producer that is not
        known has written nothing, and must begin with sequence 0.  DUPLICATE_SEQUENCE_NUMBER comes
        with the offsets up to which everything must be committed for it to be true.
        ``verified``: the transaction coordinator has vouched for a batch that begins a transaction.
        ``keeps_epoch``: a marker bears the epoch of the transaction that it ends.
        """
        if batch.producer_id == NO_PRODUCER_ID:
            return NEW
        if batch.marker is not None:
            return self._judge_marker(batch, batch.marker, keeps_epoch=keeps_epoch)
        if batch.first_sequence < 0:
            return Judgement(ErrorCode.INVALID_RECORD)
        judged = self._judge_sequence(batch, whole_log=whole_log)
        if judged is NEW and not self._fits_transaction(batch, verified=verified):
            return Judgement(ErrorCode.INVALID_TXN_STATE)
        return judged

    def _judge_sequence(self, batch: Batch, *, whole_log: bool) -> Judgement:
        entry = self._entries.get(batch.producer_id)
        if entry is None:
            strict = whole_log and not self._forgot
            return _first(batch) if strict else self._judge_unknown(batch)
        if batch.producer_epoch < entry.epoch:
            return Judgement(ErrorCode.INVALID_PRODUCER_EPOCH)
        if batch.producer_epoch > entry.epoch or not entry.batches:
            return _first(batch)
        return _judge_next(batch, entry.batches)

    def _judge_unknown(self, batch: Batch) -> Judgement:
        epoch, sequence = self._awaited.get(batch.producer_id, (batch.producer_epoch, -1))
        ahead = (batch.first_sequence - sequence) % SEQUENCES
        if sequence >= 0 and epoch == batch.producer_epoch and 0 < ahead < SEQUENCES // 2:
            return Judgement(ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER)
        return NEW

    def wait_for(self, batch: Batch) -> None:
        """A batch was not taken (yet), and its producer may send it again: where that one is not known,
        nothing that it has sent later is written before it."""
        producer_id, sequence = batch.producer_id, batch.first_sequence
        is_first = producer_id != NO_PRODUCER_ID and producer_id not in self._entries
        if not is_first or batch.marker is not None or sequence < 0:
            return
        epoch, earliest = self._awaited.get(producer_id, (batch.producer_epoch, sequence))
        is_earlier = (earliest - sequence) % SEQUENCES < SEQUENCES // 2
        if epoch < batch.producer_epoch or (epoch == batch.producer_epoch and is_earlier):
            self._awaited[producer_id] = batch.producer_epoch, sequence
        if len(self._awaited) > AWAITED_MAX:
            del self._awaited[next(iter(self._awaited))]

    def _fits_transaction(self, batch: Batch, *, verified: bool) -> bool:
        """A transaction is written to under one epoch, and begun by its coordinator's leave."""
        if not self.transactions.is_open(batch.producer_id):
            return verified or not batch.transactional
        entry = self._entries.get(batch.producer_id)
        return batch.transactional and (entry is None or entry.epoch == batch.producer_epoch)

    def _judge_marker(self, batch: Batch, marker: Marker, *, keeps_epoch: bool) -> Judgement:
        """A coordinator that has not heard that a marker is there sends it again, be it late.

        What was written since under its epoch is of the next transaction, which it must not end.
        Where that epoch is the marker's own transaction's too, a successor writes it anew: from then
        on the coordinator before is fenced.
        """
        entry = self._entries.get(batch.producer_id)
        if entry is None:
            return NEW
        if marker.coordinator_epoch < entry.coordinator_epoch:
            return Judgement(ErrorCode.TRANSACTION_COORDINATOR_FENCED)
        if batch.producer_epoch < entry.epoch:
            return Judgement(ErrorCode.INVALID_PRODUCER_EPOCH)
        if batch.producer_epoch > entry.epoch:
            return NEW
        there = entry.marker_offset != NO_OFFSET
        if keeps_epoch and (not there or marker.coordinator_epoch > entry.coordinator_epoch):
            return NEW
        if there:
            return Judgement(ErrorCode.NONE, entry.marker_offset, entry.marker_offset)
        return Judgement(ErrorCode.INVALID_PRODUCER_EPOCH)

    def record(self, batch: Batch) -> None:
        """Take over a batch that is in the log now."""
        if batch.producer_id == NO_PRODUCER_ID:
            return
        self._awaited.pop(batch.producer_id, None)
        before = self._entries.pop(batch.producer_id, None)
        if batch.marker is not None:
            self._record_marker(batch, batch.marker, before)
            return
        if batch.transactional:
            self.transactions.begin(batch.producer_id, batch.base_offset)
        if before is None:
            entry = ProducerEntry(batch.producer_epoch, whole=not self._forgot)
        elif before.epoch != batch.producer_epoch or not _follows(batch, before.batches):
            # Out of sequence only where the leader had forgotten the producer, and we had not.
            entry = ProducerEntry(batch.producer_epoch, whole=False)
            entry.coordinator_epoch = before.coordinator_epoch
        else:
            entry = before
        entry.marker_offset = NO_OFFSET
        written = WrittenBatch(
            batch.first_sequence, _last_sequence(batch), batch.base_offset, batch.last_offset
        )
        entry.batches.append(written)
        entry.last_timestamp_ms = batch.timestamp_ms
        if len(entry.batches) > BATCHES_KEPT:
            del entry.batches[0]
            entry.whole = False
        self._keep(batch.producer_id, entry)

    def _record_marker(self, batch: Batch, marker: Marker, before: ProducerEntry | None) -> None:
        self.transactions.end(batch.producer_id, batch.base_offset, committed=marker.committed)
        entry = before
        if entry is None or entry.epoch != batch.producer_epoch:
            entry = ProducerEntry(batch.producer_epoch, whole=False)
        if before is not None:
            entry.coordinator_epoch = before.coordinator_epoch
        entry.coordinator_epoch = max(entry.coordinator_epoch, marker.coordinator_epoch)
        entry.marker_offset = batch.base_offset
        entry.last_timestamp_ms = batch.timestamp_ms
        self._keep(batch.producer_id, entry)

    def _keep(self, producer_id: ProducerId, entry: ProducerEntry) -> None:
        self._entries[producer_id] = entry
        if len(self._entries) > PRODUCERS_MAX:
            # Its open transaction, if there is one, is not forgotten with it.
            del self._entries[next(iter(self._entries))]
            self._forgot = True

    def last_offsets(self) -> frozenset[Offset]:
        """Return the last offset of each producer's newest batch, and of its newest marker.

        Compaction keeps those, if only as bare headers: what is known here is built from them.
        """
        found = {entry.marker_offset for entry in self._entries.values()}
        found.update(
            entry.batches[-1].last_offset for entry in self._entries.values() if entry.batches
        )
        return frozenset(found)

    def truncate(self, end: Offset) -> bool:
        """Forget what stood at or after ``end``.

        True: of some producer nothing is left here though the log holds more, so that all must be
        rebuilt from the headers.
        """
        rebuild = self.transactions.cut(end)
        for producer_id, entry in list(self._entries.items()):
            last = entry.batches[-1].last_offset if entry.batches else entry.marker_offset
            if last < end:
                continue
            entry.batches = [batch for batch in entry.batches if batch.last_offset < end]
            entry.last_timestamp_ms = -1
            if not entry.batches:
                del self._entries[producer_id]
                rebuild = rebuild or not entry.whole
        return rebuild

    def rebuild(self, batches: Iterable[Batch], known: Producers | None = None) -> None:
        """Build the table anew from the headers of the whole log, in order; or of what comes after
        all that is ``known`` already."""
        self._entries = {} if known is None else known._entries
        self._forgot = known is not None and known._forgot
        self.transactions = Transactions() if known is None else known.transactions
        for batch in batches:
            self.record(batch)

    def check(self, log_end_offset: Offset) -> None:
        """Assert P6 and T2."""
        self.transactions.check(log_end_offset)
        for entry in self._entries.values():
            assert len(entry.batches) <= BATCHES_KEPT, "P6: at most five batches"
            last = entry.batches[-1].last_offset if entry.batches else entry.marker_offset
            assert NO_OFFSET < last < log_end_offset, "P6: all in the log"
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
        # It, or a part of it: a producer splits what has become too large since it was written.
        skipped = (first - written.first_sequence) % SEQUENCES
        left = (written.last_sequence - last) % SEQUENCES
        if skipped + batch.length + left == written.last_offset - written.base_offset + 1:
            base = Offset(written.base_offset + skipped)
            return Judgement(ErrorCode.NONE, base, Offset(base + batch.length - 1))
    if _follows(batch, known):
        return NEW
    oldest = known[0]
    behind = (oldest.first_sequence - 1 - last) % SEQUENCES
    # Of fewer none was dropped: the oldest one was taken from a producer that was not known, and what
    # came before may have been refused.
    dropped = len(known) == BATCHES_KEPT
    if dropped and first <= last and behind < min(oldest.first_sequence, SEQUENCES // 2):
        # Before all that is remembered: it was written, or the later ones had been refused.
        offset = Offset(oldest.base_offset - 1)
        return Judgement(ErrorCode.DUPLICATE_SEQUENCE_NUMBER, offset, offset)
    return Judgement(ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER)


def _follows(batch: Batch, known: list[WrittenBatch]) -> bool:
    if not known:
        return batch.first_sequence == 0
    return batch.first_sequence == (known[-1].last_sequence + 1) % SEQUENCES


def _last_sequence(batch: Batch) -> int:
    return (batch.first_sequence + batch.length - 1) % SEQUENCES
