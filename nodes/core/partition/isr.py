"""Who is in sync: how far each replica has come, and the ISR change that is under way.

Owns the committed ISR, the proposed one, and the soft progress of the replicas.  Decides neither
when somebody lags nor who may join: see leader.py.  Sources: KIP-497, KIP-841, KIP-903.
"""

from __future__ import annotations

from nodes.core.partition.events import NO_OFFSET, IsrAnswered
from transport.wire.errors import ErrorCode
from transport.wire.ids import BrokerEpoch, NodeId, Offset
from transport.wire.messages.metadata import IsrMember, PartitionChange, PartitionRecord

RETRY_MIN_MS = 50
"""Longer than an election of a controller takes at best."""
RETRY_MAX_MS = 1_000
DOUBT_MS = 10_000
"""A proposal whose answer was lost may still be carried out this long after it was sent."""

REFUSED_FOR_GOOD = frozenset({ErrorCode.INELIGIBLE_REPLICA, ErrorCode.INVALID_REQUEST})
"""The controller has judged and changed nothing: the proposal is off the table."""
NOTHING_DONE = frozenset(
    {
        ErrorCode.NOT_CONTROLLER,
        ErrorCode.STALE_BROKER_EPOCH,
        ErrorCode.INVALID_UPDATE_VERSION,
        ErrorCode.NOT_LEADER_OR_FOLLOWER,
        ErrorCode.FENCED_LEADER_EPOCH,
        ErrorCode.UNKNOWN_LEADER_EPOCH,
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        ErrorCode.UNKNOWN_TOPIC_ID,
    }
)
"""This attempt changed nothing (an earlier one may have): the proposal stays, the image will tell."""


class Progress:
    """A replica as its leader sees it. Offsets are −1 until it has fetched from this leader."""

    __slots__ = (
        "broker_epoch",
        "caught_up_ms",
        "durable_offset",
        "fetched_ms",
        "leader_end_offset",
        "log_end_offset",
        "log_start_offset",
    )

    def __init__(self, caught_up_ms: int) -> None:
        self.log_end_offset = NO_OFFSET
        self.durable_offset = NO_OFFSET
        self.log_start_offset = NO_OFFSET
        self.broker_epoch = BrokerEpoch(-1)
        self.caught_up_ms = caught_up_ms
        """The last moment at which it had all that the leader had then."""
        self.fetched_ms = caught_up_ms
        self.leader_end_offset = NO_OFFSET
        """Of the leader's log, when the replica last fetched; or at the first fetch whose end it has
        not synced yet, where only what is synced counts."""

    def position(self, *, synced: bool) -> Offset:
        """Return how much it has; ``synced``: on its disk."""
        return min(self.log_end_offset, self.durable_offset) if synced else self.log_end_offset

    def fetched(
        self,
        offset: Offset,
        durable_offset: Offset,
        leader_end_offset: Offset,
        now_ms: int,
        *,
        synced: bool,
    ) -> None:
        """Take over that it asks from ``offset`` on: it has everything before.

        ``synced``: only what is on its disk counts, which may be always some fetches behind.
        """
        self.log_end_offset = offset
        self.durable_offset = durable_offset
        position = self.position(synced=synced)
        if position >= leader_end_offset:
            self.caught_up_ms = max(self.caught_up_ms, now_ms)
        elif position >= self.leader_end_offset >= 0:
            # It has all that there was when it asked before.
            self.caught_up_ms = max(self.caught_up_ms, self.fetched_ms)
        elif synced and self.leader_end_offset >= 0:
            return
        self.leader_end_offset = leader_end_offset
        self.fetched_ms = now_ms

    def leader_appends(self, end: Offset, now_ms: int, *, synced: bool) -> None:
        """The leader's log grows beyond ``end``: until now a replica that has it had everything.

        An idle follower does not say so again and again.
        """
        if self.position(synced=synced) >= end:
            self.caught_up_ms = max(self.caught_up_ms, now_ms)


class Isr:
    """The committed ISR, and at most one pending change of it (P7)."""

    __slots__ = (
        "_asked_ms",
        "_attempts",
        "_doubt_until_ms",
        "_in_flight",
        "_lost",
        "_retry_at_ms",
        "maximal",
        "members",
        "partition_epoch",
        "proposed",
    )

    def __init__(self, record: PartitionRecord) -> None:
        self.members: tuple[NodeId, ...] = ()
        self.proposed: tuple[NodeId, ...] | None = None
        self._lost: tuple[NodeId, ...] = ()
        self.maximal: tuple[NodeId, ...] = ()
        """Members and proposed members: the high watermark waits for all of them."""
        self._asked_ms = 0
        self._doubt_until_ms = 0
        self._retry_at_ms = 0
        self._attempts = 0
        self.commit(record)

    def commit(self, record: PartitionRecord) -> None:
        """Take over the ISR of a newer record; whatever was pending is decided by it."""
        self.partition_epoch = record.partition_epoch
        self.members = record.isr
        self._doubt_until_ms = 0
        self._attempts = 0
        self._settle()

    def may_propose(self, now_ms: int) -> bool:
        """Tell whether a new change may be proposed now."""
        return self.proposed is None and now_ms >= self._retry_at_ms

    def propose(self, nodes: tuple[NodeId, ...], lost: tuple[NodeId, ...] = ()) -> None:
        """Make ``nodes`` the pending change; ``change`` then gives what to send.

        ``lost``: replicas that lack what they had acknowledged.
        """
        assert self.proposed is None, "P7: one change at a time"
        self.proposed = nodes
        self._lost = lost
        joining = [node for node in nodes if node not in self.members]
        self.maximal = (*self.members, *joining)
        self._retry_at_ms = 0

    def is_due(self, now_ms: int) -> bool:
        """Tell whether the pending change is to be sent (again)."""
        return self.proposed is not None and not self._in_flight and now_ms >= self._retry_at_ms

    def change(
        self, record: PartitionRecord, progress: dict[NodeId, Progress], now_ms: int
    ) -> PartitionChange:
        """Return the pending change as a proposal to send now."""
        assert self.proposed is not None, "there is something to propose"
        self._in_flight = True
        self._asked_ms = now_ms
        members = tuple(
            IsrMember(node, progress[node].broker_epoch if node in progress else BrokerEpoch(-1))
            for node in self.proposed
        )
        return PartitionChange(
            record.topic_id,
            record.partition,
            record.leader_epoch,
            self.partition_epoch,
            members,
            self._lost,
        )

    def answered(self, event: IsrAnswered, now_ms: int) -> None:
        """Take over that the proposal in flight was not carried out, or that nobody knows.

        What is refused for good is dropped, unless an attempt before it may yet be carried out:
        until that is certain the high watermark goes on waiting for who might be in the ISR.
        """
        self._in_flight = False
        self._attempts += 1
        self._retry_at_ms = now_ms + min(RETRY_MAX_MS, RETRY_MIN_MS << min(self._attempts, 5))
        if event.error in REFUSED_FOR_GOOD:
            if now_ms >= self._doubt_until_ms:
                self._settle(self._retry_at_ms)
        elif event.error not in NOTHING_DONE:
            self._doubt_until_ms = self._asked_ms + DOUBT_MS

    @property
    def quiet_until_ms(self) -> int:
        """No new change is proposed before this moment: the last one was refused."""
        return self._retry_at_ms

    def next_deadline_ms(self) -> int | None:
        """Return when the pending change is to be sent again."""
        if self.proposed is None or self._in_flight:
            return None
        return self._retry_at_ms

    def _settle(self, retry_at_ms: int = 0) -> None:
        self.proposed = None
        self.maximal = self.members
        self._in_flight = False
        self._retry_at_ms = retry_at_ms
