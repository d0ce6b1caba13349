"""A follower of a partition: takes over what its leader has, cuts what its leader has not.

Truncation is by leader epoch alone, never by high watermark (KIP-101, KIP-279, KIP-595's fetch).
"""

from __future__ import annotations

from nodes.core.partition.events import (
    NO_EPOCH,
    NO_OFFSET,
    Batch,
    Fetched,
    FetchPosition,
    OutOfRange,
    PartitionEffects,
)
from nodes.core.partition.log_state import LogState
from transport.wire.ids import Offset
from transport.wire.messages.fetch import Divergence
from transport.wire.messages.metadata import PartitionRecord


class Follower:
    """The follower of one leader epoch; ``record.leader`` may be nobody for a while."""

    def __init__(self, log: LogState, record: PartitionRecord) -> None:
        self._log = log
        self.record = record
        self._writing: tuple[tuple[Batch, ...], Offset] | None = None
        self._cutting_to: Offset | None = None
        self._leader_start = NO_OFFSET
        # A leader epoch in which this node wrote nothing would look like a divergence.
        log.epochs.cut(log.log_end_offset)

    def update(self, record: PartitionRecord) -> None:
        """Take over a newer record of the same leader epoch."""
        self.record = record

    def position(self) -> FetchPosition:
        """Return where to fetch from."""
        log = self._log
        return FetchPosition(
            self.record.leader,
            self.record.leader_epoch,
            log.log_end_offset,
            log.last_epoch(),
            log.durable_offset,
            log.settled_start,
        )

    def fetched(self, event: Fetched, effects: PartitionEffects) -> None:
        """Judge the leader's answer: order a cut or an append, or take over the high watermark.

        An answer to a question that is not ours any more is passed over.
        """
        assert self._writing is None, "one append at a time"
        assert self._cutting_to is None, "a cut is carried out at once"
        log = self._log
        if event.leader_epoch != self.record.leader_epoch or event.offset != log.log_end_offset:
            return
        self._leader_start = event.log_start_offset
        if event.diverging is not None:
            self._diverged(event.diverging, effects)
        elif event.batches:
            self._take(event, effects)
        else:
            self._learn_high_watermark(event.high_watermark, effects)

    def _diverged(self, diverging: Divergence, effects: PartitionEffects) -> None:
        """The leader's largest epoch not above ours ends at ``diverging.end_offset`` there.

        Where this log knows that epoch, both are equal up to the smaller end.  Where it does not,
        only what is older can be common: cut to that, and the next fetch will tell.  Where this log
        begins later, nothing is common (only an unclean election makes such a leader): begin anew.
        """
        log = self._log
        own = log.epochs.end_of(diverging.leader_epoch, log.log_end_offset)
        target = own.end_offset
        if own.leader_epoch == diverging.leader_epoch:
            target = min(target, diverging.end_offset)
        if target < log.log_start_offset:
            effects.reset_to = max(self._leader_start, Offset(0))
        elif target >= log.log_end_offset:
            effects.refused = True
        else:
            self._cutting_to = effects.truncate_to = target

    def _take(self, event: Fetched, effects: PartitionEffects) -> None:
        start = self._start_with(event.batches[0])
        if not self._fits(event.batches, start):
            effects.refused = True
            return
        if start < self._log.log_end_offset:
            effects.reset_to = start
        self._writing = (event.batches, event.high_watermark)
        effects.append.extend(event.batches)

    def _start_with(self, first: Batch) -> Offset:
        """Return where the first batch is to be written: where this log ends.

        The leader's log may begin within a batch, of which records were deleted. A log that has nothing
        yet begins with the whole of it then, until it has heard so (KAFKA-6975).
        """
        log = self._log
        is_fresh = log.log_start_offset == log.log_end_offset and log.last_epoch() == NO_EPOCH
        is_within = first.base_offset < log.log_end_offset <= first.last_offset
        return first.base_offset if is_fresh and is_within else log.log_end_offset

    def _fits(self, batches: tuple[Batch, ...], start: Offset) -> bool:
        offset, epoch = start, self._log.last_epoch()
        for batch in batches:
            # Compaction leaves holes.
            if batch.base_offset < offset or batch.last_offset < batch.base_offset:
                return False
            if not epoch <= batch.leader_epoch <= self.record.leader_epoch:
                return False
            offset, epoch = Offset(batch.last_offset + 1), batch.leader_epoch
        return True

    def appended(self, effects: PartitionEffects) -> None:
        """Take over that the batches ordered are written."""
        assert self._writing is not None, "an append was ordered"
        batches, high_watermark = self._writing
        self._writing = None
        self._log.extend(batches)
        self._learn_high_watermark(high_watermark, effects)

    def append_failed(self, effects: PartitionEffects) -> None:
        """Take over that nothing was written."""
        assert self._writing is not None, "an append was ordered"
        self._writing = None
        effects.refused = True

    def truncated(self, log_end_offset: Offset, effects: PartitionEffects) -> None:
        """Take over where the log ends now."""
        assert self._cutting_to is not None, "a cut was ordered"
        assert log_end_offset <= self._cutting_to, "nothing stays behind the cut"
        self._cutting_to = None
        effects.rebuild_producers = self._log.cut(log_end_offset)

    def _learn_high_watermark(self, leaders: Offset, effects: PartitionEffects) -> None:
        """The fetch was from our log's end and did not diverge: up to there both are equal."""
        learned = min(leaders, self._log.log_end_offset)
        if learned > self._log.high_watermark:
            self._log.raise_high_watermark(learned)
            effects.high_watermark_moved = True
        self._log.begin_at(min(self._leader_start, self._log.high_watermark), effects)

    def out_of_range(self, event: OutOfRange, effects: PartitionEffects) -> None:
        """Begin anew where the leader's log begins, if all that this log has is gone there; or if it
        has nothing, and would leave out what the leader has before (after an unclean election)."""
        log = self._log
        if event.leader_epoch != self.record.leader_epoch or event.offset != log.log_end_offset:
            return
        nothing = log.log_start_offset == log.log_end_offset
        if event.log_start_offset > log.log_end_offset or (
            nothing and 0 <= event.log_start_offset < log.log_end_offset
        ):
            effects.reset_to = event.log_start_offset
        else:
            effects.refused = True

    def reset(self, offset: Offset, effects: PartitionEffects) -> None:
        """Take over that the log was emptied."""
        self._log.reset(offset)
        effects.high_watermark_moved = True

    def check(self, node: int) -> None:
        """Assert P2."""
        assert self.record.leader != node, "a follower does not lead"
        assert set(self.record.isr) <= set(self.record.replicas), "P2: ISR ⊆ replicas"
