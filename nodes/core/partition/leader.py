"""The leader of a partition: judges produces, moves the high watermark, keeps the ISR.

Made anew for each leader epoch, but for the produces that wait.  Sources: KIP-101, KIP-320,
KIP-497, KIP-903, KIP-966; Kafka's documentation on replication.
"""

from __future__ import annotations

from msgspec.structs import replace

from nodes.core.partition.events import (
    NO_EPOCH,
    NO_OFFSET,
    Batch,
    DeleteRecords,
    IsrAnswered,
    PartitionEffects,
    PartitionSettings,
    Produce,
    Produced,
    ReplicaFetched,
)
from nodes.core.partition.isr import Isr, Progress
from nodes.core.partition.log_state import LogState
from nodes.core.partition.producer_state import Judgement
from nodes.core.partition.purgatory import ParkedProduce, ProducePurgatory
from transport.kernel import Now, earliest
from transport.wire.errors import ErrorCode
from transport.wire.ids import LeaderEpoch, NodeId, Offset
from transport.wire.messages.metadata import PartitionRecord
from transport.wire.messages.produce import ACKS_ALL


def judge_epoch(asked: LeaderEpoch, known: LeaderEpoch) -> ErrorCode:
    """Return FENCED_LEADER_EPOCH or UNKNOWN_LEADER_EPOCH when they differ; −1 asks for none."""
    if asked in (known, NO_EPOCH):
        return ErrorCode.NONE
    if asked < known:
        return ErrorCode.FENCED_LEADER_EPOCH
    return ErrorCode.UNKNOWN_LEADER_EPOCH


class Leader:
    """The leader of one leader epoch."""

    def __init__(
        self,
        node: NodeId,
        log: LogState,
        record: PartitionRecord,
        settings: PartitionSettings,
        now: Now,
    ) -> None:
        self._node = node
        self._log = log
        self.record = record
        self.settings = settings
        self.isr = Isr(record)
        self.parked = ProducePurgatory()
        self.deleting = ProducePurgatory()
        """DeleteRecords that wait until the low watermark is where they want it."""
        self.epoch_start = log.log_end_offset
        """What the log held when this leader epoch began: all of it will be committed."""
        self._progress: dict[NodeId, Progress] = {}
        self._writing: tuple[Produce, Batch] | None = None
        self._highest_watermark = log.high_watermark
        self._still = log.high_watermark if record.elr else None
        """Where the high watermark stands still; None: it may move (P9)."""
        self._highest_stable = log.last_stable_offset
        log.epochs.assign(record.leader_epoch, log.log_end_offset)
        self._know_replicas(now)

    # The image

    def update(
        self,
        record: PartitionRecord,
        settings: PartitionSettings,
        effects: PartitionEffects,
        now: Now,
    ) -> None:
        """Take over a newer record of the same leader epoch, or other settings."""
        assert record.leader_epoch == self.record.leader_epoch, "the same leader epoch"
        if settings.flush_commit and not self.settings.flush_commit:
            # From now on they lag with their syncs, until now they did not.
            for progress in self._progress.values():
                progress.leader_appends(self._log.log_end_offset, now.mono_ms, synced=False)
        self.settings = settings
        if record.partition_epoch > self.isr.partition_epoch:
            self.record = record
            self._still = self._log.high_watermark if record.elr else None
            self.isr.commit(record)
            self._know_replicas(now)
        if self._is_under_min():
            self.parked.fail(ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND, effects.produced)
        self.advance(effects)
        self.deleting.release(self._low_watermark(), effects.produced)

    def _know_replicas(self, now: Now) -> None:
        known = self._progress
        self._progress = {}
        for node in self.record.replicas:
            if node != self._node:
                in_sync = node in self.isr.members
                fresh = Progress(now.mono_ms if in_sync else 0)
                self._progress[node] = known.get(node, fresh)

    def _is_under_min(self) -> bool:
        """Fewer in sync than wanted, or than the controller had wanted when it kept somebody outside
        the ISR electable: that one must miss nothing that is acknowledged (P9)."""
        if self.record.elr:
            return True
        wanted = min(self.settings.min_insync_replicas, self.record.replication_factor)
        return len(self.isr.members) < wanted

    # Produce

    def produce(self, event: Produce, effects: PartitionEffects) -> None:
        """Judge a batch: refuse it, recognise it, or order it written."""
        assert self._writing is None, "one append at a time"
        error = self._refusal(event)
        if error is ErrorCode.NONE:
            judged = self._log.producers.judge(
                event.batch,
                whole_log=self._log.is_whole,
                verified=event.verified,
                keeps_epoch=event.keeps_epoch,
            )
            if judged.base_offset != NO_OFFSET:
                self._answer_duplicate(event, judged, effects)
                return
            error = judged.error
        if error is not ErrorCode.NONE:
            self._log.refused(event.batch, error)
            effects.produced.append(Produced(event.token, error))
            return
        base = self._log.log_end_offset
        batch = replace(
            event.batch,
            base_offset=base,
            last_offset=Offset(base + event.batch.length - 1),
            leader_epoch=self.record.leader_epoch,
        )
        self._writing = (event, batch)
        effects.append.append(batch)

    def _refusal(self, event: Produce) -> ErrorCode:
        error = judge_epoch(event.leader_epoch, self.record.leader_epoch)
        if error is not ErrorCode.NONE:
            return error
        if event.acks == ACKS_ALL:
            if self._is_under_min():
                return ErrorCode.NOT_ENOUGH_REPLICAS
            if len(self.parked) >= self.settings.parked_max:
                return ErrorCode.OVERLOADED
        return ErrorCode.NONE

    def _answer_duplicate(
        self, event: Produce, judged: Judgement, effects: PartitionEffects
    ) -> None:
        known = judged.error is ErrorCode.NONE
        base = judged.base_offset if known else NO_OFFSET
        required = Offset(judged.last_offset + 1)
        if event.acks == ACKS_ALL and required > self._log.high_watermark:
            parked = ParkedProduce(event.token, required, event.deadline_ms, base, judged.error)
            self.parked.park(parked)
        else:
            effects.produced.append(Produced(event.token, judged.error, base))

    def appended(self, effects: PartitionEffects, now: Now) -> None:
        """Take over that the batch ordered is written."""
        assert self._writing is not None, "an append was ordered"
        event, batch = self._writing
        self._writing = None
        for progress in self._progress.values():
            end, synced = self._log.log_end_offset, self.settings.flush_commit
            progress.leader_appends(end, now.mono_ms, synced=synced)
        self._log.extend((batch,))
        if event.acks == ACKS_ALL:
            self.parked.park(
                ParkedProduce(
                    event.token, self._log.log_end_offset, event.deadline_ms, batch.base_offset
                )
            )
        else:
            effects.produced.append(Produced(event.token, ErrorCode.NONE, batch.base_offset))
        self.advance(effects)

    def append_failed(self, error: ErrorCode, effects: PartitionEffects) -> None:
        """Take over that nothing was written."""
        assert self._writing is not None, "an append was ordered"
        self._log.refused(self._writing[0].batch, error)
        effects.produced.append(Produced(self._writing[0].token, error))
        self._writing = None

    # Deleting

    def delete_records(self, event: DeleteRecords, effects: PartitionEffects) -> None:
        """Let the log begin later, and wait until every in-sync replica's does."""
        high_watermark = self._log.high_watermark
        wanted = high_watermark if event.offset == NO_OFFSET else event.offset
        if not 0 <= wanted <= high_watermark:
            error = ErrorCode.OFFSET_OUT_OF_RANGE
        elif len(self.deleting) >= self.settings.parked_max:
            error = ErrorCode.OVERLOADED
        else:
            self._log.begin_at(wanted, effects)
            start = self._log.log_start_offset
            self.deleting.park(ParkedProduce(event.token, wanted, event.deadline_ms, start))
            self.deleting.release(self._low_watermark(), effects.produced)
            return
        effects.produced.append(Produced(event.token, error))

    def start_settled(self, effects: PartitionEffects) -> None:
        """Take over that where the log begins has reached the disk."""
        self.deleting.release(self._low_watermark(), effects.produced)

    def _low_watermark(self) -> Offset:
        """What no replica has any more that is in sync, or electable though it is not, lies below; not
        after a loss of power either: nobody who may lead can bring it back."""
        low = self._log.settled_start
        for node in (*self.isr.maximal, *self.record.elr):
            if node != self._node:
                low = min(low, self._progress[node].log_start_offset)
        return low

    # Replicas

    def judge_replica(self, replica: NodeId) -> ErrorCode:
        """Tell whether this node is a replica that may fetch as one."""
        known = replica in self._progress
        return ErrorCode.NONE if known else ErrorCode.NOT_LEADER_OR_FOLLOWER

    def replica_fetched(self, event: ReplicaFetched, effects: PartitionEffects, now: Now) -> None:
        """Take over a follower's progress: the high watermark and the ISR may move."""
        progress = self._progress[event.replica]
        if event.broker_epoch < progress.broker_epoch:
            return  # A predecessor of that broker's process: what it had may be gone.
        progress.broker_epoch = event.broker_epoch
        end = self._log.log_end_offset
        synced = self.settings.flush_commit
        progress.fetched(event.offset, event.durable_offset, end, now.mono_ms, synced=synced)
        progress.log_start_offset = event.log_start_offset
        self.advance(effects)
        self.deleting.release(self._low_watermark(), effects.produced)
        if not self.isr.may_propose(now.mono_ms):
            return
        if event.replica in self.isr.members:
            if event.offset < self._log.high_watermark:
                # It has lost what it had acknowledged: it must not be elected.
                self._propose_without((event.replica,), effects, now, lost=(event.replica,))
        elif event.replica in self.record.elr and event.offset < self._log.high_watermark:
            self.isr.propose(self.isr.members, lost=(event.replica,))
            self._send_proposal(effects, now)
        elif event.eligible and self._has_caught_up(progress):
            self.isr.propose((*self.isr.members, event.replica))
            self._send_proposal(effects, now)

    def is_settled(self, replica: NodeId) -> bool:
        """Tell whether this replica is in sync, and neither is to leave the ISR nor may have to."""
        progress = self._progress.get(replica)
        in_sync = self.isr.proposed is None and replica in self.isr.members
        return (
            progress is not None and in_sync and progress.log_end_offset >= self._log.high_watermark
        )

    def replica_ends(self) -> dict[NodeId, Offset]:
        """Return where the other replicas' logs end; −1: not told yet."""
        return {node: progress.log_end_offset for node, progress in self._progress.items()}

    def _has_caught_up(self, progress: Progress) -> bool:
        """Everything committed, and all that earlier leaders left (KIP-101's second condition)."""
        position = self._position(progress)
        return position >= self._log.high_watermark and position >= self.epoch_start

    def _position(self, progress: Progress) -> Offset:
        return progress.position(synced=self.settings.flush_commit)

    def _own_position(self) -> Offset:
        return self._log.durable_offset if self.settings.flush_commit else self._log.log_end_offset

    def advance(self, effects: PartitionEffects) -> None:
        """Move the high watermark to what every member, present or proposed, has (KIP-966)."""
        if self._is_under_min():
            return
        limit = self._own_position()
        for node in self.isr.maximal:
            if node != self._node:
                limit = min(limit, self._position(self._progress[node]))
        if limit <= self._log.high_watermark:
            return
        assert limit <= self._log.log_end_offset, "P8: nobody has what the leader has not"
        self._log.raise_high_watermark(limit)
        self._highest_watermark = limit
        self._highest_stable = max(self._highest_stable, self._log.last_stable_offset)
        effects.high_watermark_moved = True
        self.parked.release(limit, effects.produced)

    # ISR changes

    def isr_answered(self, event: IsrAnswered, effects: PartitionEffects, now: Now) -> None:
        """Take over the controller's word on the pending change."""
        expected = (self.record.leader_epoch, self.isr.partition_epoch)
        if self.isr.proposed is None or (event.leader_epoch, event.partition_epoch) != expected:
            return  # The image was faster.
        record = event.record
        if event.error == ErrorCode.NONE and record is not None and self._is_next(record):
            self.update(record, self.settings, effects, now)
        else:
            self.isr.answered(event, now.mono_ms)
            # Who was to join is waited for no more: nobody else may come and say where the others are.
            self.advance(effects)
            self.deleting.release(self._low_watermark(), effects.produced)

    def _is_next(self, record: PartitionRecord) -> bool:
        same_leader = record.leader_epoch == self.record.leader_epoch
        return same_leader and record.partition_epoch > self.isr.partition_epoch

    def tick(self, effects: PartitionEffects, now: Now) -> None:
        """Expire produces, drop laggards from the ISR, repeat a proposal that is due."""
        self.parked.expire(now.mono_ms, effects.produced)
        self.deleting.expire(now.mono_ms, effects.produced)
        if self.isr.is_due(now.mono_ms):
            self._send_proposal(effects, now)
        elif self.isr.may_propose(now.mono_ms):
            lagging = tuple(node for node in self.isr.members if self._lags(node, now.mono_ms))
            if lagging:
                self._propose_without(lagging, effects, now)

    def _lags(self, node: NodeId, now_ms: int) -> bool:
        """A member lags that has not had everything for too long; whoever has it all does not."""
        progress = self._progress.get(node)
        if progress is None or self._position(progress) >= self._log.log_end_offset:
            return False
        return now_ms - progress.caught_up_ms >= self.settings.replica_lag_time_max_ms

    def _propose_without(
        self,
        nodes: tuple[NodeId, ...],
        effects: PartitionEffects,
        now: Now,
        lost: tuple[NodeId, ...] = (),
    ) -> None:
        self.isr.propose(tuple(node for node in self.isr.members if node not in nodes), lost)
        self._send_proposal(effects, now)

    def _send_proposal(self, effects: PartitionEffects, now: Now) -> None:
        effects.propose = self.isr.change(self.record, self._progress, now.mono_ms)

    # Time

    def delay(self, gap_ms: int) -> None:
        """Judge others later by a gap of our own loop."""
        self.parked.delay(gap_ms)
        self.deleting.delay(gap_ms)
        for progress in self._progress.values():
            progress.caught_up_ms += gap_ms

    def next_deadline_ms(self) -> int | None:
        """Return when a produce expires, a member begins to lag, or a proposal is repeated."""
        deadline = earliest(
            self.parked.next_deadline_ms(),
            self.deleting.next_deadline_ms(),
            self.isr.next_deadline_ms(),
        )
        if self.isr.proposed is not None:
            return deadline
        end = self._log.log_end_offset
        for node in self.isr.members:
            progress = self._progress.get(node)
            if progress is not None and self._position(progress) < end:
                lag_ms = self.settings.replica_lag_time_max_ms
                due = max(progress.caught_up_ms + lag_ms, self.isr.quiet_until_ms)
                deadline = earliest(deadline, due)
        return deadline

    def check(self) -> None:
        """Assert P2, P3, P4, P7, P9 and T1."""
        replicas = self.record.replicas
        assert set(self.isr.members) <= set(replicas), "P2: ISR ⊆ replicas"
        assert set(self.isr.maximal) <= set(replicas), "P2: proposed ISR ⊆ replicas"
        assert self._node in self.isr.members, "P2: the leader is in its ISR"
        assert self._log.high_watermark >= self._highest_watermark, "P3: it never goes back"
        if self._still is not None:
            assert self._log.high_watermark == self._still, "P9: it stands still"
        assert self._log.last_stable_offset >= self._highest_stable, "T1: it never goes back"
        assert self.isr.partition_epoch == self.record.partition_epoch, "P7: the present base"
        self.parked.check(self._log.high_watermark)
        self.deleting.check(self._low_watermark())
