"""Offsets that groups have committed."""

from __future__ import annotations

from typing import ClassVar

from transport.wire.apis import Api
from transport.wire.ids import (
    LeaderEpoch,
    MemberEpoch,
    MemberId,
    Offset,
    ProducerEpoch,
    ProducerId,
    TopicId,
)
from transport.wire.messages import Message, Part

NO_MEMBER = MemberId("")
NO_MEMBER_EPOCH = MemberEpoch(-1)


class OffsetToCommit(Part, frozen=True, array_like=True, gc=False):
    """The next offset to read of one partition, with whatever the program wants to keep by it."""

    topic_id: TopicId
    partition: int
    offset: Offset
    leader_epoch: LeaderEpoch = LeaderEpoch(-1)
    """Of the record before it, if known: a log that was cut shows by it (KIP-320)."""
    metadata: str = ""


class OffsetCommitRequest(Message, frozen=True, array_like=True, gc=False):
    """Commit offsets, as a member under its epoch (or generation), or from outside an empty group."""

    api: ClassVar[Api] = Api.OFFSET_COMMIT

    group_id: str
    offsets: tuple[OffsetToCommit, ...]
    member_id: MemberId = NO_MEMBER
    member_epoch: MemberEpoch = NO_MEMBER_EPOCH
    instance_id: str | None = None


class CommitOutcome(Part, frozen=True, array_like=True, gc=False):
    """What became of one partition's commit."""

    topic_id: TopicId
    partition: int
    error: int


class OffsetCommitResponse(Message, frozen=True, array_like=True, gc=False):
    """One outcome per partition, in order, unless ``error`` refuses all."""

    api: ClassVar[Api] = Api.OFFSET_COMMIT

    error: int
    text: str = ""
    outcomes: tuple[CommitOutcome, ...] = ()


class GroupPartition(Part, frozen=True, array_like=True, gc=False):
    """One partition of one topic."""

    topic_id: TopicId
    partition: int


class TxnOffsetCommitRequest(Message, frozen=True, array_like=True, gc=False):
    """Commit offsets as part of a transaction: they count once it is committed.

    Without a member (``member_id`` empty) only the producer's epoch fences.
    """

    api: ClassVar[Api] = Api.TXN_OFFSET_COMMIT

    transactional_id: str
    producer_id: ProducerId
    producer_epoch: ProducerEpoch
    group_id: str
    offsets: tuple[OffsetToCommit, ...]
    member_id: MemberId = NO_MEMBER
    member_epoch: MemberEpoch = NO_MEMBER_EPOCH
    instance_id: str | None = None


class TxnOffsetCommitResponse(OffsetCommitResponse, frozen=True, array_like=True, gc=False):
    """As that of OffsetCommit."""

    api: ClassVar[Api] = Api.TXN_OFFSET_COMMIT


class OffsetFetchRequest(Message, frozen=True, array_like=True, gc=False):
    """What has the group committed, for these partitions or (None) for all?"""

    api: ClassVar[Api] = Api.OFFSET_FETCH

    group_id: str
    partitions: tuple[GroupPartition, ...] | None = None
    require_stable: bool = False
    """UNSTABLE_OFFSET_COMMIT while a transaction that commits one of them has not ended."""
    member_id: MemberId = NO_MEMBER
    """Of who asks as a member of the consumer protocol, under its epoch: else UNKNOWN_MEMBER_ID, or
    STALE_MEMBER_EPOCH."""
    member_epoch: MemberEpoch = NO_MEMBER_EPOCH
    after: GroupPartition | None = None
    """Of all: only those behind this one, as an answer has named it."""
    most: int = 10_000
    """Of all: so many on a page; no page has more than 10,000."""


class CommittedOffset(Part, frozen=True, array_like=True, gc=False):
    """Offset −1: nothing is committed."""

    topic_id: TopicId
    partition: int
    offset: Offset = Offset(-1)
    leader_epoch: LeaderEpoch = LeaderEpoch(-1)
    metadata: str = ""


class OffsetFetchResponse(Message, frozen=True, array_like=True, gc=False):
    """One answer per partition, in the order asked; of all: a page of those with a commit."""

    api: ClassVar[Api] = Api.OFFSET_FETCH

    error: int
    text: str = ""
    offsets: tuple[CommittedOffset, ...] = ()
    goes_on_after: GroupPartition | None = None
    """There are more, to be asked for behind this one, of which not everybody is told."""


class OffsetDeleteRequest(Message, frozen=True, array_like=True, gc=False):
    """Forget what the group has committed for these partitions, which no member may read."""

    api: ClassVar[Api] = Api.OFFSET_DELETE

    group_id: str
    partitions: tuple[GroupPartition, ...]


class OffsetDeleteResponse(Message, frozen=True, array_like=True, gc=False):
    """One outcome per partition, in order, unless ``error`` refuses all."""

    api: ClassVar[Api] = Api.OFFSET_DELETE

    error: int
    text: str = ""
    outcomes: tuple[CommitOutcome, ...] = ()
