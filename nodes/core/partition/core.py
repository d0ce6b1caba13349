"""The door of the partition core: one replica, stepped by its broker.

States and invariants are in the package's docstring.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nodes.core.partition.epochs import EpochEnd
from nodes.core.partition.events import (
    NO_EPOCH,
    NO_OFFSET,
    Appended,
    AppendFailed,
    Assigned,
    Awaited,
    DeleteRecords,
    Fetched,
    FetchPosition,
    Gap,
    IsrAnswered,
    LetGo,
    LogFacts,
    LogFailed,
    MarkersCleaned,
    OutOfRange,
    PartitionEffects,
    PartitionEvent,
    Produce,
    Produced,
    ProducersRebuilt,
    ReadVerdict,
    ReplicaFetched,
    Reset,
    StartSettled,
    Synced,
    Truncated,
)
from nodes.core.partition.follower import Follower
from nodes.core.partition.leader import Leader, judge_epoch
from nodes.core.partition.log_state import LogState
from nodes.core.partition.producer_state import Producers
from transport.kernel import Now, Tick
from transport.wire.errors import ErrorCode
from transport.wire.ids import (
    LeaderEpoch,
    NodeId,
    Offset,
    PartitionEpoch,
    ProducerEpoch,
    ProducerId,
)
from transport.wire.messages.fetch import (
    READ_COMMITTED,
    READ_UNCOMMITTED,
    AbortedTransaction,
    Divergence,
)
from transport.wire.messages.metadata import PartitionRecord


class PartitionCore:
    """One replica of one partition, on one node, over one opened log."""

    def __init__(self, node: NodeId, facts: LogFacts, producers: Producers) -> None:
        self._node = node
        self._log = LogState(facts, producers)
        self._leader: Leader | None = None
        self._follower: Follower | None = None
        self._failed: ErrorCode | None = None
        self._partition_epoch = PartitionEpoch(-1)

    def step(self, event: PartitionEvent, now: Now) -> PartitionEffects:
        """Take one fact, answer with orders. Never raises for what a peer sent."""
        effects = PartitionEffects()
        _STEPS[type(event)](self, event, effects, now)
        return effects

    # What others ask, without changing anything

    @property
    def log_start_offset(self) -> Offset:
        """The first offset there is."""
        return self._log.log_start_offset

    @property
    def settled_start(self) -> Offset:
        """How much of that has reached the disk, so that it is told."""
        return self._log.settled_start

    @property
    def log_end_offset(self) -> Offset:
        """The offset that the next record gets."""
        return self._log.log_end_offset

    @property
    def high_watermark(self) -> Offset:
        """Everything below is committed, as far as this replica knows."""
        return self._log.high_watermark

    @property
    def last_stable_offset(self) -> Offset:
        """Below it everything is committed, and every transaction has ended for good."""
        return self._log.last_stable_offset

    @property
    def producers(self) -> Producers:
        """The producers of the log, for snapshots."""
        return self._log.producers

    @property
    def record(self) -> PartitionRecord | None:
        """The record this replica acts by; None while it is none of the replicas, or offline."""
        role = self._leader or self._follower
        return None if role is None else role.record

    @property
    def is_leader(self) -> bool:
        """It leads the partition."""
        return self._leader is not None

    @property
    def is_follower(self) -> bool:
        """It follows somebody, or waits for somebody to follow."""
        return self._follower is not None

    @property
    def isr(self) -> tuple[NodeId, ...]:
        """The committed ISR, empty when this is no leader."""
        return () if self._leader is None else self._leader.isr.members

    def is_settled(self, replica: NodeId) -> bool:
        """Tell whether nothing comes of hearing again that a follower is where it is."""
        return self._leader is not None and self._leader.is_settled(replica)

    def replica_ends(self) -> dict[NodeId, Offset]:
        """Return where the other replicas' logs end, as this leader knows; −1: not told yet."""
        return {} if self._leader is None else self._leader.replica_ends()

    def judge_leadership(self, leader_epoch: LeaderEpoch) -> ErrorCode:
        """Tell whether somebody who believes in ``leader_epoch`` is right here (KIP-320)."""
        if self._failed is not None:
            return self._failed
        record = self.record
        if record is None:
            return ErrorCode.NOT_LEADER_OR_FOLLOWER
        error = judge_epoch(leader_epoch, record.leader_epoch)
        if error is ErrorCode.NONE and self._leader is None:
            return ErrorCode.NOT_LEADER_OR_FOLLOWER
        return error

    def must_verify(self, producer_id: ProducerId, producer_epoch: ProducerEpoch) -> bool:
        """Tell whether the transaction coordinator is to be asked before a transactional batch."""
        return self._log.producers.must_verify(producer_id, producer_epoch)

    def aborted_after(self, start: Offset) -> bool:
        """Tell whether any transaction was aborted by a marker at or after ``start``."""
        return self._log.producers.transactions.aborted_after(start)

    def aborted_within(self, start: Offset, end: Offset) -> list[AbortedTransaction]:
        """Return whose records from ``start`` to before ``end`` were aborted."""
        return self._log.producers.transactions.aborted_within(start, end)

    def read_as_consumer(
        self,
        leader_epoch: LeaderEpoch,
        offset: Offset,
        isolation: int = READ_UNCOMMITTED,
        *,
        nearby: bool = False,
    ) -> ReadVerdict:
        """Judge a consumer's fetch: up to the high watermark, or the last stable offset.

        ``nearby``: a follower will do, which knows of both what its leader has told it (KIP-392).
        """
        error = self.judge_leadership(leader_epoch)
        if nearby and self._failed is None and self._follower is not None:
            error = judge_epoch(leader_epoch, self._follower.record.leader_epoch)
        if error is not ErrorCode.NONE:
            return ReadVerdict(error)
        log = self._log
        if offset > log.log_end_offset and self._follower is not None:
            return ReadVerdict(ErrorCode.OFFSET_NOT_AVAILABLE)  # The leader may have it.
        if not log.log_start_offset <= offset <= log.log_end_offset:
            return ReadVerdict(ErrorCode.OFFSET_OUT_OF_RANGE)
        committed = isolation == READ_COMMITTED
        return ReadVerdict(
            ErrorCode.NONE, log.last_stable_offset if committed else log.high_watermark
        )

    def read_as_replica(
        self,
        replica: NodeId,
        leader_epoch: LeaderEpoch,
        offset: Offset,
        last_fetched_epoch: LeaderEpoch,
    ) -> ReadVerdict:
        """Judge a follower's fetch: up to the log's end, unless its log has parted from ours."""
        error = self.judge_leadership(leader_epoch)
        if error is ErrorCode.NONE and self._leader is not None:
            error = self._leader.judge_replica(replica)
        if error is not ErrorCode.NONE:
            return ReadVerdict(error)
        log = self._log
        if last_fetched_epoch != NO_EPOCH:
            epoch, end = log.epochs.end_of(last_fetched_epoch, log.log_end_offset)
            if epoch < last_fetched_epoch or end < offset:
                return ReadVerdict(ErrorCode.NONE, NO_OFFSET, Divergence(epoch, end))
        if not log.log_start_offset <= offset <= log.log_end_offset:
            return ReadVerdict(ErrorCode.OFFSET_OUT_OF_RANGE)
        return ReadVerdict(ErrorCode.NONE, log.log_end_offset)

    def is_high_watermark_sure(self) -> bool:
        """A new leader's may lag behind what its predecessor told, until it reaches the epoch."""
        leader = self._leader
        return leader is None or self._log.high_watermark >= leader.epoch_start

    def end_of_epoch(self, current: LeaderEpoch, epoch: LeaderEpoch) -> tuple[ErrorCode, EpochEnd]:
        """Return where the largest epoch ≤ ``epoch`` ends in this leader's log.

        Who has read of a later one knows more than this leader, which was replaced and has not heard.
        """
        error = self.judge_leadership(current)
        if error is not ErrorCode.NONE or epoch < 0:
            return error, EpochEnd(NO_EPOCH, NO_OFFSET)
        assert self._leader is not None, "judged"
        if epoch > self._leader.record.leader_epoch:
            return ErrorCode.UNKNOWN_LEADER_EPOCH, EpochEnd(NO_EPOCH, NO_OFFSET)
        return error, self._log.epochs.end_of(epoch, self._log.log_end_offset)

    def fetch_position(self) -> FetchPosition | None:
        """Return where a follower goes on, or None when there is nobody to follow."""
        follower = self._follower
        if follower is None or follower.record.leader < 0:
            return None
        return follower.position()

    def next_deadline_ms(self) -> int | None:
        """Return when to step a Tick."""
        return None if self._leader is None else self._leader.next_deadline_ms()

    def check(self) -> None:
        """Assert every invariant of the package's docstring."""
        self._log.check()
        assert self._leader is None or self._follower is None, "one role at a time"
        if self._leader is not None:
            self._leader.check()
        if self._follower is not None:
            self._follower.check(self._node)

    # Steps

    def _on_assigned(self, event: Assigned, effects: PartitionEffects, now: Now) -> None:
        record = event.record
        if self._failed is not None or record.partition_epoch < self._partition_epoch:
            return
        if record.leader_epoch < self._log.epochs.latest():
            return  # From an image older than this log: wait for a newer one.
        self._partition_epoch = record.partition_epoch
        if record.leader == self._node:
            self._lead(event, effects, now)
        elif self._node in record.replicas:
            self._follow(record, effects)
        else:
            self._end_role(ErrorCode.NOT_LEADER_OR_FOLLOWER, effects)

    def _lead(self, event: Assigned, effects: PartitionEffects, now: Now) -> None:
        before = self._leader
        if before is not None and before.record.leader_epoch == event.record.leader_epoch:
            before.update(event.record, event.settings, effects, now)
            return
        self._follower = None
        self._leader = Leader(self._node, self._log, event.record, event.settings, now)
        effects.role_changed = True
        if before is not None:
            # Led on under a new epoch: the log is the same, and what waits still counts.
            self._leader.parked = before.parked
            self._leader.deleting = before.deleting
        self._leader.update(event.record, event.settings, effects, now)

    def _follow(self, record: PartitionRecord, effects: PartitionEffects) -> None:
        before = self._follower
        if before is not None and before.record.leader_epoch == record.leader_epoch:
            before.update(record)
            return
        self._end_role(ErrorCode.NOT_LEADER_OR_FOLLOWER, effects)
        self._follower = Follower(self._log, record)

    def _end_role(self, error: ErrorCode, effects: PartitionEffects) -> None:
        if self._leader is not None:
            self._leader.parked.fail(error, effects.produced)
            self._leader.deleting.fail(error, effects.produced)
        self._leader = None
        self._follower = None
        effects.role_changed = True

    def _on_produce(self, event: Produce, effects: PartitionEffects, now: Now) -> None:
        error = self.judge_leadership(event.leader_epoch)
        if self._leader is None or error is not ErrorCode.NONE:
            self._log.refused(event.batch, error)
            effects.produced.append(Produced(event.token, error))
        else:
            self._leader.produce(event, effects)

    def _on_awaited(self, event: Awaited, effects: PartitionEffects, now: Now) -> None:
        self._log.producers.wait_for(event.batch)

    def _on_delete(self, event: DeleteRecords, effects: PartitionEffects, now: Now) -> None:
        error = self.judge_leadership(NO_EPOCH)
        if self._leader is None or error is not ErrorCode.NONE:
            effects.produced.append(Produced(event.token, error))
        else:
            self._leader.delete_records(event, effects)

    def _on_let_go(self, event: LetGo, effects: PartitionEffects, now: Now) -> None:
        if self._failed is None:
            self._log.begin_at(min(event.offset, self._log.high_watermark), effects)

    def _on_appended(self, event: Appended, effects: PartitionEffects, now: Now) -> None:
        if self._leader is not None:
            self._leader.appended(effects, now)
        else:
            assert self._follower is not None, "whoever ordered an append is still there"
            self._follower.appended(effects)

    def _on_append_failed(self, event: AppendFailed, effects: PartitionEffects, now: Now) -> None:
        if self._leader is not None:
            self._leader.append_failed(event.error, effects)
        elif self._follower is not None:
            self._follower.append_failed(effects)

    def _on_truncated(self, event: Truncated, effects: PartitionEffects, now: Now) -> None:
        assert self._follower is not None, "only a follower cuts its log"
        self._follower.truncated(event.log_end_offset, effects)

    def _on_reset(self, event: Reset, effects: PartitionEffects, now: Now) -> None:
        assert self._follower is not None, "only a follower begins anew"
        self._follower.reset(event.offset, effects)

    def _on_rebuilt(self, event: ProducersRebuilt, effects: PartitionEffects, now: Now) -> None:
        self._log.rebuild_producers(event.batches, event.known)

    def _on_replica(self, event: ReplicaFetched, effects: PartitionEffects, now: Now) -> None:
        assert self._leader is not None, "read_as_replica had judged it"
        self._leader.replica_fetched(event, effects, now)

    def _on_fetched(self, event: Fetched, effects: PartitionEffects, now: Now) -> None:
        if self._follower is not None:
            self._follower.fetched(event, effects)

    def _on_out_of_range(self, event: OutOfRange, effects: PartitionEffects, now: Now) -> None:
        if self._follower is not None:
            self._follower.out_of_range(event, effects)

    def _on_markers_cleaned(
        self, event: MarkersCleaned, effects: PartitionEffects, now: Now
    ) -> None:
        self._log.producers.transactions.forget(event.offsets)

    def _on_isr(self, event: IsrAnswered, effects: PartitionEffects, now: Now) -> None:
        if self._leader is None:
            return
        self._leader.isr_answered(event, effects, now)
        self._partition_epoch = max(self._partition_epoch, self._leader.record.partition_epoch)

    def _on_synced(self, event: Synced, effects: PartitionEffects, now: Now) -> None:
        synced = min(event.offset, self._log.log_end_offset)
        self._log.durable_offset = max(self._log.durable_offset, synced)
        if self._leader is not None:
            self._leader.advance(effects)

    def _on_start_settled(self, event: StartSettled, effects: PartitionEffects, now: Now) -> None:
        settled = min(event.offset, self._log.log_start_offset)
        self._log.settled_start = max(self._log.settled_start, settled)
        if self._leader is not None:
            self._leader.start_settled(effects)

    def _on_log_failed(self, event: LogFailed, effects: PartitionEffects, now: Now) -> None:
        self._failed = event.error
        self._end_role(event.error, effects)

    def _on_gap(self, event: Gap, effects: PartitionEffects, now: Now) -> None:
        if self._leader is not None:
            self._leader.delay(event.gap_ms)

    def _on_tick(self, event: Tick, effects: PartitionEffects, now: Now) -> None:
        if self._leader is not None:
            self._leader.tick(effects, now)


_STEPS: dict[type, Callable[[PartitionCore, Any, PartitionEffects, Now], None]] = {
    Assigned: PartitionCore._on_assigned,
    Produce: PartitionCore._on_produce,
    Awaited: PartitionCore._on_awaited,
    DeleteRecords: PartitionCore._on_delete,
    LetGo: PartitionCore._on_let_go,
    Appended: PartitionCore._on_appended,
    AppendFailed: PartitionCore._on_append_failed,
    Truncated: PartitionCore._on_truncated,
    Reset: PartitionCore._on_reset,
    ProducersRebuilt: PartitionCore._on_rebuilt,
    ReplicaFetched: PartitionCore._on_replica,
    Fetched: PartitionCore._on_fetched,
    OutOfRange: PartitionCore._on_out_of_range,
    MarkersCleaned: PartitionCore._on_markers_cleaned,
    IsrAnswered: PartitionCore._on_isr,
    Synced: PartitionCore._on_synced,
    StartSettled: PartitionCore._on_start_settled,
    LogFailed: PartitionCore._on_log_failed,
    Gap: PartitionCore._on_gap,
    Tick: PartitionCore._on_tick,
}
