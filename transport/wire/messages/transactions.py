"""Transactions: producers and partition leaders to the coordinator, the coordinator to leaders.

What each side may rely on is written down in ``docs/transactions.md``.
"""

from __future__ import annotations

from typing import ClassVar

from transport.wire.apis import Api
from transport.wire.ids import NO_PRODUCER_ID, Offset, ProducerEpoch, ProducerId, TopicId
from transport.wire.messages import Message, Part

NO_EPOCH = ProducerEpoch(-1)


class TransactionPartition(Part, frozen=True, array_like=True, gc=False):
    """A partition that a transaction writes to, or a shard of ``__consumer_offsets``."""

    topic_id: TopicId
    partition: int


class AddPartitionsToTxnRequest(Message, frozen=True, array_like=True, gc=False):
    """These partitions are about to be written to; asked by their leaders (KIP-890).

    ``declared``: by the producer itself, as older clients of Kafka's do.  Such a producer does not learn of
    another epoch when a transaction ends: it keeps its own until it initialises anew, and its
    partitions' leaders only ask whether they have been declared.  ``group_id``: offsets of this group
    are about to be committed, too.
    """

    api: ClassVar[Api] = Api.ADD_PARTITIONS_TO_TXN

    transactional_id: str
    producer_id: ProducerId
    producer_epoch: ProducerEpoch
    partitions: tuple[TransactionPartition, ...]
    declared: bool = False
    group_id: str = ""


class AddPartitionsToTxnResponse(Message, frozen=True, array_like=True, gc=False):
    """NONE: they belong to the producer's ongoing transaction, which has now begun."""

    api: ClassVar[Api] = Api.ADD_PARTITIONS_TO_TXN

    error: int
    text: str = ""


class EndTxnRequest(Message, frozen=True, array_like=True, gc=False):
    """Commit or abort. May be repeated until it is answered."""

    api: ClassVar[Api] = Api.END_TXN

    transactional_id: str
    producer_id: ProducerId
    producer_epoch: ProducerEpoch
    committed: bool


class EndTxnResponse(Message, frozen=True, array_like=True, gc=False):
    """NONE: every marker is written and committed; the next transaction has this id and epoch."""

    api: ClassVar[Api] = Api.END_TXN

    error: int
    producer_id: ProducerId = NO_PRODUCER_ID
    producer_epoch: ProducerEpoch = NO_EPOCH
    text: str = ""


class TransactionMarker(Part, frozen=True, array_like=True, gc=False):
    """The end of one transaction in some partitions of one leader."""

    producer_id: ProducerId
    producer_epoch: ProducerEpoch
    """The one after the transaction's own: it fences whatever is still on its way."""
    coordinator_epoch: int
    committed: bool
    partitions: tuple[TransactionPartition, ...]
    keeps_epoch: bool = False
    """``producer_epoch`` is the transaction's own: its producer goes on under it."""


class WriteTxnMarkersRequest(Message, frozen=True, array_like=True, gc=False):
    """The transaction coordinator, or who ends what hangs, to a leader. May be repeated."""

    api: ClassVar[Api] = Api.WRITE_TXN_MARKERS

    markers: tuple[TransactionMarker, ...]


class WriteTxnMarkersResponse(Message, frozen=True, array_like=True, gc=False):
    """By marker, an error code per partition. NONE: written and committed."""

    api: ClassVar[Api] = Api.WRITE_TXN_MARKERS

    error: int
    outcomes: tuple[tuple[int, ...], ...] = ()


class ListTransactionsRequest(Message, frozen=True, array_like=True, gc=False):
    """The transactions that the broker asked coordinates; empty filters let all pass.

    ``open_for_ms`` from 0 on: only those that have been open for longer.
    """

    api: ClassVar[Api] = Api.LIST_TRANSACTIONS

    states: tuple[str, ...] = ()
    producer_ids: tuple[ProducerId, ...] = ()
    open_for_ms: int = -1


class ListedTransaction(Part, frozen=True, array_like=True, gc=False):
    """One transactional id."""

    transactional_id: str
    producer_id: ProducerId
    state: str


class ListTransactionsResponse(Message, frozen=True, array_like=True, gc=False):
    """COORDINATOR_LOAD_IN_PROGRESS: some of its shards are still being read."""

    api: ClassVar[Api] = Api.LIST_TRANSACTIONS

    error: int
    transactions: tuple[ListedTransaction, ...] = ()


class DescribeTransactionRequest(Message, frozen=True, array_like=True, gc=False):
    """One transactional id, of its coordinator."""

    api: ClassVar[Api] = Api.DESCRIBE_TRANSACTION

    transactional_id: str


class DescribeTransactionResponse(Message, frozen=True, array_like=True, gc=False):
    """Times are wall milliseconds; −1: no transaction has begun."""

    api: ClassVar[Api] = Api.DESCRIBE_TRANSACTION

    error: int
    state: str = ""
    producer_id: ProducerId = NO_PRODUCER_ID
    producer_epoch: ProducerEpoch = NO_EPOCH
    timeout_ms: int = 0
    started_ms: int = -1
    partitions: tuple[TransactionPartition, ...] = ()
    text: str = ""


class DescribeProducersRequest(Message, frozen=True, array_like=True, gc=False):
    """Who writes to these partitions, as their leader remembers."""

    api: ClassVar[Api] = Api.DESCRIBE_PRODUCERS

    partitions: tuple[TransactionPartition, ...]


class ActiveProducer(Part, frozen=True, array_like=True, gc=False):
    """One producer. ``last_sequence`` −1: nothing since its last marker."""

    producer_id: ProducerId
    producer_epoch: ProducerEpoch
    last_sequence: int
    coordinator_epoch: int
    transaction_start_offset: Offset
    """−1: no open transaction here."""
    last_timestamp_ms: int = -1
    """Of what it has written last, its marker included; −1: not known."""


class DescribedProducers(Part, frozen=True, array_like=True, gc=False):
    """The producers of one partition."""

    topic_id: TopicId
    partition: int
    error: int
    producers: tuple[ActiveProducer, ...] = ()
    text: str = ""
    """Why not; empty where the error says it all."""


class DescribeProducersResponse(Message, frozen=True, array_like=True, gc=False):
    """One answer per partition, in the order of the request."""

    api: ClassVar[Api] = Api.DESCRIBE_PRODUCERS

    error: int
    partitions: tuple[DescribedProducers, ...] = ()
