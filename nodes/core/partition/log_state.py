"""What the core knows of its replica's log: offsets, high watermark, epochs, producers.

The one mutable value that outlives the roles: a leader that becomes a follower takes it along.
"""

from __future__ import annotations

from nodes.core.partition.epochs import Epochs
from nodes.core.partition.events import Batch, LogFacts, PartitionEffects
from nodes.core.partition.producer_state import Producers
from transport.wire.errors import ErrorCode, meaning
from transport.wire.ids import LeaderEpoch, Offset


class LogState:
    """The log as far as it is written. Offsets are exclusive ends."""

    __slots__ = (
        "durable_offset",
        "epochs",
        "high_watermark",
        "log_end_offset",
        "log_start_offset",
        "producers",
        "settled_start",
    )

    def __init__(self, facts: LogFacts, producers: Producers) -> None:
        self.log_start_offset = facts.log_start_offset
        self.settled_start = facts.log_start_offset
        """What of that has reached the disk: only so much is told to others."""
        self.log_end_offset = facts.log_end_offset
        self.durable_offset = min(facts.durable_offset, facts.log_end_offset)
        self.epochs = Epochs(facts.epochs)
        self.producers = producers
        bounded = min(facts.high_watermark, facts.log_end_offset)
        self.high_watermark = max(bounded, facts.log_start_offset)
        producers.transactions.commit(self.high_watermark)
        producers.transactions.begin_at(self.log_start_offset)

    @property
    def last_stable_offset(self) -> Offset:
        """Below it everything is committed, and every transaction has ended for good."""
        unstable = self.producers.transactions.first_unstable()
        if unstable is None or unstable >= self.high_watermark:
            return self.high_watermark
        return max(unstable, self.log_start_offset)

    def raise_high_watermark(self, offset: Offset) -> None:
        """Take over that everything below is committed."""
        assert offset >= self.high_watermark, "it does not go back"
        self.high_watermark = offset
        self.producers.transactions.commit(offset)

    def rebuild_producers(self, batches: tuple[Batch, ...], known: Producers | None) -> None:
        """Take over what was known of the producers, and the headers of all that came after."""
        self.producers.rebuild(batches, known)
        self.producers.transactions.commit(self.high_watermark)
        self.producers.transactions.begin_at(self.log_start_offset)

    def extend(self, batches: tuple[Batch, ...]) -> None:
        """Take over batches that were appended."""
        for batch in batches:
            assert batch.base_offset >= self.log_end_offset, "batches follow each other"
            self.epochs.assign(batch.leader_epoch, batch.base_offset)
            self.producers.record(batch)
            self.log_end_offset = Offset(batch.last_offset + 1)

    def refused(self, batch: Batch, error: ErrorCode) -> None:
        """Take over that a batch is not written for a reason that may pass."""
        if meaning(error).retriable:
            self.producers.wait_for(batch)

    def cut(self, end: Offset) -> bool:
        """Take over that the log was cut; True: the producers must be rebuilt."""
        assert self.log_start_offset <= end <= self.log_end_offset, "a cut is inside the log"
        self.log_end_offset = end
        self.durable_offset = min(self.durable_offset, end)
        self.high_watermark = min(self.high_watermark, end)
        self.epochs.cut(end)
        return self.producers.truncate(end)

    def begin_at(self, start: Offset, effects: PartitionEffects) -> None:
        """Let the log begin at ``start``, unless it begins later; order it."""
        if start > self.log_start_offset:
            assert start <= self.high_watermark, "P1: only what is committed is let go of"
            self.log_start_offset = start
            self.epochs.begin_at(start)
            self.producers.transactions.begin_at(start)
            effects.start_at = start

    def reset(self, start: Offset) -> None:
        """Take over that the log is empty and begins at ``start``: nothing of it is remembered."""
        self.log_start_offset = self.log_end_offset = self.settled_start = start
        self.durable_offset = self.high_watermark = start
        self.epochs.cut(Offset(0))
        self.producers.rebuild(())

    def last_epoch(self) -> LeaderEpoch:
        """Return the leader epoch of the last record; −1 for an empty log."""
        return self.epochs.epoch_before(self.log_end_offset)

    @property
    def is_whole(self) -> bool:
        """Nothing was ever deleted from its start."""
        return self.log_start_offset == 0

    def check(self) -> None:
        """Assert P1, P5, P6, T1 and T2."""
        assert self.log_start_offset <= self.high_watermark, "P1: log start ≤ high watermark"
        assert self.settled_start <= self.log_start_offset, "L2: nothing is told that is not so"
        assert self.high_watermark <= self.log_end_offset, "P1: high watermark ≤ log end"
        assert self.log_start_offset <= self.last_stable_offset, "T1: log start ≤ last stable"
        assert self.last_stable_offset <= self.high_watermark, "T1: last stable ≤ high watermark"
        assert self.durable_offset <= self.log_end_offset, "what is synced was written"
        self.epochs.check(self.log_end_offset)
        self.producers.check(self.log_end_offset)
