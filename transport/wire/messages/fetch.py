"""Reading partition logs: consumers and followers alike."""

from __future__ import annotations

from typing import ClassVar

from transport.wire.apis import Api
from transport.wire.ids import (
    NO_NODE,
    BrokerEpoch,
    LeaderEpoch,
    NodeId,
    Offset,
    PartitionKey,
    ProducerId,
    TopicId,
)
from transport.wire.messages import Message, Part

TIMESTAMP_LATEST = -1
TIMESTAMP_EARLIEST = -2
TIMESTAMP_MAX = -3

NO_FETCH_SESSION = 0
FULL_EPOCH = 0
"""Of the fetch that begins a session, and names all partitions."""

READ_UNCOMMITTED = 0
READ_COMMITTED = 1
"""Isolation levels: up to the high watermark, or up to the last stable offset without what was
aborted."""


class FetchPartition(Part, frozen=True, array_like=True, gc=False):
    """From ``offset`` on, at most ``max_bytes`` (the first batch comes whole all the same)."""

    topic_id: TopicId
    partition: int
    leader_epoch: LeaderEpoch
    """As the reader knows it: an old one gets FENCED, a newer one UNKNOWN_LEADER_EPOCH."""
    offset: Offset
    max_bytes: int
    last_fetched_epoch: LeaderEpoch = LeaderEpoch(-1)
    """Of followers: the leader epoch of the batch before ``offset``; a log that has parted from
    the leader's is told where (``diverging``)."""
    durable_offset: Offset = Offset(-1)
    """Of followers: everything below is synced to disk."""
    log_start_offset: Offset = Offset(-1)
    """Of followers: where the own log begins."""


class FetchRequest(Message, frozen=True, array_like=True, gc=False):
    """A long poll: answered when ``min_bytes`` are there or after ``max_wait_ms``.

    Within a session (KIP-227) it names only what is new, and asks for everything that the session
    holds.  An answer with records, an error or a divergence takes its partition out of a follower's
    session; one that only tells how far it is committed leaves it in.  A consumer's stays in.
    """

    api: ClassVar[Api] = Api.FETCH

    max_wait_ms: int
    min_bytes: int
    max_bytes: int
    partitions: tuple[FetchPartition, ...]
    replica_id: NodeId = NO_NODE
    """−1 for a consumer."""
    broker_epoch: BrokerEpoch = BrokerEpoch(-1)
    """Of the follower that asks."""
    rack: str = ""
    """Of a consumer: where it stands; a replica there may serve it instead of the leader (KIP-392)."""
    isolation: int = READ_UNCOMMITTED
    session_id: int = NO_FETCH_SESSION
    """Chosen by the reader; the leader holds one session of each follower or connection."""
    session_epoch: int = FULL_EPOCH
    """The number of this fetch in its session; another than the next one is refused with
    INVALID_FETCH_SESSION_EPOCH, and a session that is not held with FETCH_SESSION_ID_NOT_FOUND."""
    forgotten: tuple[PartitionKey, ...] = ()
    """To be taken out of the session."""
    client_id: str = ""
    """Of consumers, for quotas."""
    stays: bool = False
    """Of consumers: it may be answered more than once, until ``max_wait_ms`` or ``max_bytes`` of all
    answers together are used up."""
    whole: bool = False
    """Of consumers: the answer tells of every partition named, also where there is nothing new."""


class AbortedTransaction(Part, frozen=True, array_like=True, gc=False):
    """Its records are to be passed over, from ``first_offset`` to the producer's abort marker."""

    producer_id: ProducerId
    first_offset: Offset


class Divergence(Part, frozen=True, array_like=True, gc=False):
    """The follower's log parts from the leader's: the largest common epoch ends at this offset."""

    leader_epoch: LeaderEpoch
    end_offset: Offset


class FetchedPartition(Part, frozen=True, array_like=True, gc=False):
    """One partition's part of the answer; whole batches in payload frame ``frame``, or −1."""

    topic_id: TopicId
    partition: int
    error: int
    high_watermark: Offset = Offset(-1)
    log_start_offset: Offset = Offset(-1)
    frame: int = -1
    diverging: Divergence | None = None
    leader: NodeId = NO_NODE
    """With NOT_LEADER: who leads now, as far as this broker knows."""
    leader_epoch: LeaderEpoch = LeaderEpoch(-1)
    last_stable_offset: Offset = Offset(-1)
    """Below it every transaction has ended, for good; −1 to followers, and while not sure."""
    aborted: tuple[AbortedTransaction, ...] = ()
    """To readers of committed records: of transactions that have records in the frame."""
    preferred_replica: NodeId = NO_NODE
    """Instead of records: who is to be asked for them, an in-sync replica in the reader's rack."""
    text: str = ""
    """Why it may not be read; empty where the error says it all."""

    @property
    def only_ends(self) -> bool:
        """It tells no more than how far the partition is committed, and where it begins."""
        return self.frame < 0 and not self.error and self.diverging is None


class FetchResponse(Message, frozen=True, array_like=True, gc=False):
    """Only partitions with something to tell (records, an error, a moved high watermark)."""

    api: ClassVar[Api] = Api.FETCH

    error: int
    partitions: tuple[FetchedPartition, ...] = ()
    session_id: int = NO_FETCH_SESSION
    """The session that this leader holds; without one the next fetch names everything again."""
    throttle_time_ms: int = 0
    """To be waited before the next fetch of this broker, which else brings nothing: its sender is
    above its quota."""
    stays: bool = False
    """The fetch goes on behind these records: another answer to it follows."""

    @property
    def is_last(self) -> bool:
        """As Message."""
        return not self.stays


class ListOffset(Part, frozen=True, array_like=True, gc=False):
    """The first offset at or after ``timestamp_ms``; or −1 latest, −2 earliest, −3 of the newest."""

    topic_id: TopicId
    partition: int
    leader_epoch: LeaderEpoch
    timestamp_ms: int


class ListOffsetsRequest(Message, frozen=True, array_like=True, gc=False):
    """Offsets by time, from the partitions' leader."""

    api: ClassVar[Api] = Api.LIST_OFFSETS

    partitions: tuple[ListOffset, ...]
    isolation: int = READ_UNCOMMITTED
    """For readers of committed records the latest offset is the last stable one."""


class ListedOffset(Part, frozen=True, array_like=True, gc=False):
    """``offset`` −1: nothing at or after that time."""

    topic_id: TopicId
    partition: int
    error: int
    offset: Offset = Offset(-1)
    timestamp_ms: int = -1
    leader_epoch: LeaderEpoch = LeaderEpoch(-1)


class ListOffsetsResponse(Message, frozen=True, array_like=True, gc=False):
    """One answer per partition, in the order of the request."""

    api: ClassVar[Api] = Api.LIST_OFFSETS

    error: int
    partitions: tuple[ListedOffset, ...] = ()


class EpochEnd(Part, frozen=True, array_like=True, gc=False):
    """Where does ``leader_epoch`` (or the largest one below it) end in the leader's log?"""

    topic_id: TopicId
    partition: int
    current_leader_epoch: LeaderEpoch
    leader_epoch: LeaderEpoch


class OffsetForLeaderEpochRequest(Message, frozen=True, array_like=True, gc=False):
    """Ends of leader epochs, for followers and consumers that check for truncation (KIP-320)."""

    api: ClassVar[Api] = Api.OFFSET_FOR_LEADER_EPOCH

    partitions: tuple[EpochEnd, ...]
    replica_id: NodeId = NO_NODE


class EpochEnded(Part, frozen=True, array_like=True, gc=False):
    """``leader_epoch`` is the one that ``end_offset`` is the end of."""

    topic_id: TopicId
    partition: int
    error: int
    leader_epoch: LeaderEpoch = LeaderEpoch(-1)
    end_offset: Offset = Offset(-1)


class OffsetForLeaderEpochResponse(Message, frozen=True, array_like=True, gc=False):
    """One answer per partition, in the order of the request."""

    api: ClassVar[Api] = Api.OFFSET_FOR_LEADER_EPOCH

    error: int
    partitions: tuple[EpochEnded, ...] = ()
