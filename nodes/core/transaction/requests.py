"""Judgements about who asks, and what the next epoch is.

A producer that declares its partitions (those of Kafka's clients that speak EndTxn before version
5) cannot be told another epoch: its transactions all have the one that it was initialised with, and
so have their markers.  What is late is then refused for not being part of any transaction, and by
its sequence; an abort that is not its own doing (a time-out, a newer producer) ends the epoch too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from nodes.core.transaction.records import State, TransactionValue
from transport.wire.errors import ErrorCode
from transport.wire.ids import NO_PRODUCER_ID, ProducerEpoch, ProducerId, TopicId
from transport.wire.messages.transactions import NO_EPOCH, TransactionPartition

EPOCH_MAX = 32_765
"""Of a transaction: the marker after the last one still has an epoch of 16 bits."""
EPOCH_NEARLY_MAX = 32_000
NOBODY = (NO_PRODUCER_ID, NO_EPOCH)
PARTITIONS_MAX = 10_000
"""In one transaction."""


class Following(NamedTuple):
    """The id and epoch of the transaction after this one."""

    producer_id: ProducerId
    producer_epoch: ProducerEpoch

    @property
    def is_nearly_the_last(self) -> bool:
        """It is time to see to a fresh id."""
        return self.producer_epoch >= EPOCH_NEARLY_MAX


def next_epoch(value: TransactionValue, fresh_id: ProducerId | None) -> Following | None:
    """Return what follows; None: the epochs are used up, and there is no fresh id."""
    if value.producer_epoch < EPOCH_MAX:
        return Following(value.producer_id, ProducerEpoch(value.producer_epoch + 1))
    return None if fresh_id is None else Following(fresh_id, ProducerEpoch(0))


def judge(
    value: TransactionValue | None, producer_id: ProducerId, producer_epoch: ProducerEpoch
) -> tuple[ErrorCode, str]:
    """Tell whether this producer may write in the present transaction, and else why not."""
    if value is None:
        return ErrorCode.INVALID_PRODUCER_ID_MAPPING, "the transactional id is not known (any more)"
    if (producer_id, producer_epoch) == (value.producer_id, value.producer_epoch):
        return ErrorCode.NONE, ""
    if has_ended(value, producer_id, producer_epoch):
        if value.declares:
            return ErrorCode.INVALID_PRODUCER_EPOCH, "transaction_timeout_ms had passed"
        if value.state in (State.PREPARE_ABORT, State.COMPLETE_ABORT):
            text = "the transaction was aborted: transaction_timeout_ms had passed"
            return ErrorCode.TRANSACTION_ABORTABLE, text
        return ErrorCode.INVALID_PRODUCER_EPOCH, "the transaction has ended"
    if producer_id not in (value.producer_id, value.ended_id):
        text = "another producer id belongs to the transactional id"
        return ErrorCode.INVALID_PRODUCER_ID_MAPPING, text
    return ErrorCode.PRODUCER_FENCED, "another producer has begun with this transactional id"


def has_ended(
    value: TransactionValue, producer_id: ProducerId, producer_epoch: ProducerEpoch
) -> bool:
    """Tell whether this producer's last transaction has ended, or is being ended, by its leave."""
    ended = (producer_id, producer_epoch) == (value.ended_id, value.ended_epoch)
    under_way = value.keeps_epoch and value.state is State.ONGOING
    return ended and not value.fenced and not under_way


def goes_on_already(
    value: TransactionValue, producer_id: ProducerId, producer_epoch: ProducerEpoch
) -> bool:
    """Tell whether this producer has asked to go on before, and has not begun anything since.

    Then the answer was lost, and is given again: another epoch would fence out its own producer if
    the first request were the one that comes late (KIP-360).
    """
    former = (value.ended_id, value.ended_epoch)
    return value.state is State.EMPTY and former == (producer_id, producer_epoch) != NOBODY


def added(
    partitions: dict[TopicId, tuple[int, ...]], more: Iterable[TransactionPartition]
) -> dict[TopicId, tuple[int, ...]] | None:
    """Return the partitions with ``more`` of them; None: too many."""
    together = dict(partitions)
    for topic_id, partition in ((one.topic_id, one.partition) for one in more):
        known = together.get(topic_id, ())
        if partition not in known:
            together[topic_id] = (*known, partition)
    total = sum(map(len, together.values()))
    return together if total <= PARTITIONS_MAX else None
