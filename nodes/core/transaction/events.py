"""What the transaction coordinator is told beyond the wire's own requests, and the order it gives."""

from __future__ import annotations

from typing import NamedTuple

from transport.wire.ids import NO_PRODUCER_ID, ProducerEpoch, ProducerId
from transport.wire.messages.produce import InitProducerIdRequest
from transport.wire.messages.transactions import TransactionPartition


class InitTransactions(InitProducerIdRequest, frozen=True, array_like=True, gc=False):
    """InitProducerId with a transactional id, and an id that nobody has, should one be needed.

    ``producer_epoch`` −1: a new producer, which fences; else one that goes on after an error
    (KIP-360).
    """

    fresh_id: ProducerId = NO_PRODUCER_ID


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
    keeps_epoch: bool = False
    """``producer_epoch`` is that of the transaction itself."""


class FreshIdsWanted(NamedTuple):
    """The order to tell ``FreshIds`` to the shard of this id: its epochs are nearly used up."""

    transactional_id: str
