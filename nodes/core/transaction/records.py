"""What a shard of ``__transaction_state`` keeps, and how it is written."""

from __future__ import annotations

from enum import IntEnum

import msgspec

from nodes.core.shard import ShardRecord, UnreadableRecord
from transport.wire.ids import NO_PRODUCER_ID, ProducerEpoch, ProducerId, TopicId
from transport.wire.messages.transactions import NO_EPOCH, TransactionPartition


class State(IntEnum):
    """See the package; the numbers are Kafka's."""

    EMPTY = 0
    ONGOING = 1
    PREPARE_COMMIT = 2
    PREPARE_ABORT = 3
    COMPLETE_COMMIT = 4
    COMPLETE_ABORT = 5

    @property
    def title(self) -> str:
        """As people know it: ``PrepareCommit``."""
        return self.name.title().replace("_", "")

    @property
    def is_prepared(self) -> bool:
        """It is decided, and being carried out."""
        return self in (State.PREPARE_COMMIT, State.PREPARE_ABORT)

    @property
    def is_idle(self) -> bool:
        """A transaction may begin."""
        return self in (State.EMPTY, State.COMPLETE_COMMIT, State.COMPLETE_ABORT)


class TransactionValue(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One transactional id."""

    producer_id: ProducerId
    producer_epoch: ProducerEpoch
    """Of the ongoing transaction; when none is ongoing, of the next one."""
    state: State
    timeout_ms: int
    updated_ms: int
    """Wall time."""
    started_ms: int = -1
    """Wall time; −1: none has begun."""
    partitions: dict[TopicId, tuple[int, ...]] = {}
    ended_id: ProducerId = NO_PRODUCER_ID
    ended_epoch: ProducerEpoch = NO_EPOCH
    """Of the transaction that ended last, or is being ended."""
    fenced: bool = False
    """A newer producer has ended it: the old one is not told how to go on."""
    declares: bool = False
    """Its producer names its partitions itself, and keeps its epoch (``requests.py``)."""

    @property
    def keeps_epoch(self) -> bool:
        """The transaction that ended last, or is being ended, has the epoch of the next one."""
        ended = (self.ended_id, self.ended_epoch)
        return ended == (self.producer_id, self.producer_epoch)

    @property
    def marker_epoch(self) -> ProducerEpoch:
        """Of the markers of the transaction that ended last, or is being ended."""
        return ProducerEpoch(self.ended_epoch + (0 if self.keeps_epoch else 1))

    def listed(self) -> tuple[TransactionPartition, ...]:
        """Return its partitions one by one."""
        return tuple(
            TransactionPartition(topic_id, partition)
            for topic_id, partitions in self.partitions.items()
            for partition in partitions
        )


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(TransactionValue)


def encode(transactional_id: str, value: TransactionValue | None) -> ShardRecord:
    """Return the record of an id; None removes it."""
    return ShardRecord(transactional_id.encode(), None if value is None else _encoder.encode(value))


def decode(record: ShardRecord) -> tuple[str, TransactionValue | None]:
    """Return the id and its value. Raises UnreadableRecord."""
    try:
        value = None if record.value is None else _decoder.decode(record.value)
        return record.key.decode(), value
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UnreadableRecord(f"key {record.key[:80]!r}: {error}") from None
