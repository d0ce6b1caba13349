"""What the partition core is told, and the orders it gives."""

from __future__ import annotations

from typing import Any

import msgspec

from transport.kernel import Effects, Tick
from transport.wire.control import Marker
from transport.wire.errors import ErrorCode
from transport.wire.ids import (
    BrokerEpoch,
    LeaderEpoch,
    NodeId,
    Offset,
    PartitionEpoch,
    ProducerEpoch,
    ProducerId,
)
from transport.wire.messages.fetch import Divergence
from transport.wire.messages.metadata import PartitionChange, PartitionRecord

NO_OFFSET = Offset(-1)
NO_EPOCH = LeaderEpoch(-1)


class Batch(msgspec.Struct, frozen=True):
    """What the core needs to know of a record batch. ``last_offset`` is inclusive."""

    base_offset: Offset
    last_offset: Offset
    leader_epoch: LeaderEpoch
    producer_id: ProducerId
    producer_epoch: ProducerEpoch
    first_sequence: int
    transactional: bool = False
    marker: Marker | None = None
    """It is the end of this producer's transaction here."""
    timestamp_ms: int = -1
    """The largest of its records."""

    @property
    def length(self) -> int:
        """How many offsets the batch takes."""
        return self.last_offset - self.base_offset + 1


class PartitionSettings(msgspec.Struct, frozen=True):
    """A partition's configs, as its topic and the broker have them."""

    min_insync_replicas: int = 1
    replica_lag_time_max_ms: int = 10_000
    flush_commit: bool = False
    """``flush.policy=commit``: only what is synced to disk counts for the high watermark."""
    parked_max: int = 10_000
    """Produces that may wait at once; more are refused with OVERLOADED."""


class LogFacts(msgspec.Struct, frozen=True):
    """The log as it was found when it was opened."""

    log_start_offset: Offset = Offset(0)
    log_end_offset: Offset = Offset(0)
    high_watermark: Offset = Offset(0)
    """As last written down; a lower bound of what is committed. Cut to the log's range."""
    durable_offset: Offset = Offset(0)
    epochs: tuple[tuple[LeaderEpoch, Offset], ...] = ()
    """(leader epoch, offset of its first record), growing."""


# Events


class Assigned(msgspec.Struct, frozen=True):
    """The image says so: leader or follower, ISR and epochs. Older records are passed over."""

    record: PartitionRecord
    settings: PartitionSettings


class Produce(msgspec.Struct, frozen=True):
    """A checked batch of a producer. Every one ends in one ``produced`` of its ``token``.

    The offsets in ``batch`` only tell its length.  ``leader_epoch`` −1: the producer does not know.
    """

    token: object
    batch: Batch
    acks: int
    leader_epoch: LeaderEpoch
    deadline_ms: int
    verified: bool = False
    """The transaction coordinator has vouched for it: the partition is in the producer's ongoing
    transaction of this very producer epoch."""
    keeps_epoch: bool = False
    """Of a marker: it bears the epoch of the very transaction that it ends, which the next one has too."""


class Awaited(msgspec.Struct, frozen=True):
    """A batch of a producer is not taken yet, and may come (again): it is asked about elsewhere, or was
    refused before it came here."""

    batch: Batch


class DeleteRecords(msgspec.Struct, frozen=True):
    """Let the log begin at ``offset`` (−1: at the high watermark). Every one ends in one
    ``produced`` of its ``token``, once every in-sync replica's log begins there as well."""

    token: object
    offset: Offset
    deadline_ms: int


class LetGo(msgspec.Struct, frozen=True):
    """Retention has no more use for what is before ``offset``, which is committed."""

    offset: Offset


class Appended(msgspec.Struct, frozen=True):
    """The batches just ordered are in the log (in the page cache at least)."""


class AppendFailed(msgspec.Struct, frozen=True):
    """The batches just ordered are not in the log, which is as it was before."""

    error: ErrorCode = ErrorCode.KAFKA_STORAGE_ERROR


class Truncated(msgspec.Struct, frozen=True):
    """The log was cut as ordered and ends here: at the order's offset, or below it."""

    log_end_offset: Offset


class Reset(msgspec.Struct, frozen=True):
    """The log was emptied as ordered, and begins (and ends) at ``offset``."""

    offset: Offset


class ProducersRebuilt(msgspec.Struct, frozen=True):
    """The headers of the whole log, in order, after ``rebuild_producers`` had asked for them; or those
    after the ones that ``known`` (a :class:`Producers`) comes from."""

    batches: tuple[Batch, ...]
    known: Any = None


class ReplicaFetched(msgspec.Struct, frozen=True):
    """A follower asks from ``offset`` on, and ``read`` found nothing wrong with that."""

    replica: NodeId
    broker_epoch: BrokerEpoch
    offset: Offset
    durable_offset: Offset
    eligible: bool
    """The image has it alive, under this very broker epoch."""
    log_start_offset: Offset = NO_OFFSET
    """Where its log begins."""


class Fetched(msgspec.Struct, frozen=True):
    """The leader's answer to this follower's fetch from ``offset`` under ``leader_epoch``."""

    leader_epoch: LeaderEpoch
    offset: Offset
    high_watermark: Offset
    batches: tuple[Batch, ...] = ()
    diverging: Divergence | None = None
    log_start_offset: Offset = NO_OFFSET
    """Where the leader's log begins."""


class OutOfRange(msgspec.Struct, frozen=True):
    """The leader's log has nothing at ``offset``, or no more: it begins at ``log_start_offset``."""

    leader_epoch: LeaderEpoch
    offset: Offset
    log_start_offset: Offset


class MarkersCleaned(msgspec.Struct, frozen=True):
    """Compaction has removed the markers of aborted transactions of which nothing is left."""

    offsets: tuple[Offset, ...]


class IsrAnswered(msgspec.Struct, frozen=True):
    """What became of the ISR change proposed on top of these epochs."""

    leader_epoch: LeaderEpoch
    partition_epoch: PartitionEpoch
    error: int
    record: PartitionRecord | None = None


class Synced(msgspec.Struct, frozen=True):
    """Everything below ``offset`` has reached the disk."""

    offset: Offset


class StartSettled(msgspec.Struct, frozen=True):
    """That the log begins at ``offset`` has reached the disk: it may be told."""

    offset: Offset


class LogFailed(msgspec.Struct, frozen=True):
    """The log is unusable, or given up: whoever waits is told ``error``. The end of this core."""

    error: ErrorCode = ErrorCode.KAFKA_STORAGE_ERROR


class Gap(msgspec.Struct, frozen=True):
    """The loop was away: others are judged that much later."""

    gap_ms: int


PartitionEvent = (
    Assigned
    | Produce
    | Awaited
    | DeleteRecords
    | LetGo
    | Appended
    | AppendFailed
    | Truncated
    | Reset
    | ProducersRebuilt
    | ReplicaFetched
    | Fetched
    | OutOfRange
    | MarkersCleaned
    | IsrAnswered
    | Synced
    | StartSettled
    | LogFailed
    | Gap
    | Tick
)


# Effects


class Produced(msgspec.Struct, frozen=True):
    """The end of one Produce or DeleteRecords.

    With an error, ``base_offset`` may be known all the same; of a DeleteRecords it is where the log
    begins.
    """

    token: object
    error: ErrorCode
    base_offset: Offset = NO_OFFSET


class PartitionEffects(Effects[Batch]):
    """Effects of the partition core. ``append`` and ``truncate_to`` are carried out at once.

    The batches of ``append`` bear the offsets and the leader epoch to write them with; the driver
    reports ``Appended`` or ``AppendFailed`` for all of them together.
    """

    truncate_to: Offset | None = None
    """Cut the log: no record at or after this offset stays; then report ``Truncated``."""
    start_at: Offset | None = None
    """The log begins here now: nothing before is read any more, and its files may go."""
    reset_to: Offset | None = None
    """Empty the log, let it begin here, and report ``Reset``."""
    rebuild_producers: bool = False
    """Read the headers of the whole log and report ``ProducersRebuilt``."""
    produced: list[Produced] = []
    propose: PartitionChange | None = None
    """Ask the controller, and report ``IsrAnswered``. Broker epochs of −1 are the driver's to
    fill in: its own, or that of an ISR member that has not fetched from this leader yet."""
    high_watermark_moved: bool = False
    role_changed: bool = False
    """Leader, leader epoch or role are new: whoever waits here must be judged again."""
    refused: bool = False
    """What the leader sent does not fit this log: fetch again, but not at once."""


class ReadVerdict(msgspec.Struct, frozen=True):
    """How far a reader may read, or why it may not."""

    error: ErrorCode
    up_to: Offset = NO_OFFSET
    """Exclusive: the high watermark for consumers, the log end offset for followers."""
    diverging: Divergence | None = None


class FetchPosition(msgspec.Struct, frozen=True):
    """Where a follower goes on reading from its leader."""

    leader: NodeId
    leader_epoch: LeaderEpoch
    offset: Offset
    last_fetched_epoch: LeaderEpoch
    durable_offset: Offset
    log_start_offset: Offset = Offset(0)
    """As far as it has reached the disk."""
