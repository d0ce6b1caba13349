"""What the transaction coordinator is told beyond the wire's own requests, and the order it gives."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from transport.wire.apis import Api
from transport.wire.ids import NO_PRODUCER_ID, ProducerEpoch, ProducerId
from transport.wire.messages import Message
from transport.wire.messages.transactions import NO_EPOCH, TransactionPartition


class InitTransactions(Message, frozen=True, array_like=True, gc=False):
    """InitProducerId with a transactional id, and an id that nobody has, should one be needed."""

    api: ClassVar[Api] = Api.INIT_PRODUCER_ID

    transactional_id: str
    timeout_ms: int
    fresh_id: ProducerId
    producer_id: ProducerId = NO_PRODUCER_ID
    producer_epoch: ProducerEpoch = NO_EPOCH
    """Of a producer that goes on after an error (KIP-360); −1: a new one, which fences."""


class FreshIds(NamedTuple):
    """Producer ids that nobody has, for transactions to come."""

    producer_ids: tuple[ProducerId, ...]


class MarkersWritten(NamedTuple):
    """These partitions have their marker, committed, or need none any more."""

    transactional_id: str
    producer_id: ProducerId
    producer_epoch: ProducerEpoch
    """Of the marker."""
    partitions: tuple[TransactionPartition, ...]


class WriteMarkers(NamedTuple):
    """The order to write a marker to each of these partitions, as often as it takes."""

    transactional_id: str
    producer_id: ProducerId
    producer_epoch: ProducerEpoch
    committed: bool
    partitions: tuple[TransactionPartition, ...]


class FreshIdsWanted(NamedTuple):
    """The order to tell ``FreshIds`` to the shard of this id: its epochs are nearly used up."""

    transactional_id: str
