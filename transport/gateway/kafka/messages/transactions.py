"""Producers and administrators to the coordinators of transactions, and to partitions' leaders."""

from __future__ import annotations

from typing import Annotated

from transport.gateway.kafka.fields import Bool, Int16, Int32, Int64, Struct, Text, Versions


class AddPartitionsToTxnTopic(Struct, kw_only=True):
    """Partitions of one topic."""

    name: Text
    partitions: tuple[Int32, ...]


class AddPartitionsToTxnRequest(Struct, kw_only=True):
    """These are about to be written to (versions for clients)."""

    v3_and_below_transactional_id: Text
    v3_and_below_producer_id: Int64
    v3_and_below_producer_epoch: Int16
    v3_and_below_topics: tuple[AddPartitionsToTxnTopic, ...]


class AddPartitionsToTxnPartitionResult(Struct, kw_only=True):
    """What became of one partition."""

    partition_index: Int32
    partition_error_code: Int16


class AddPartitionsToTxnTopicResult(Struct, kw_only=True):
    """Partitions of one topic."""

    name: Text
    results_by_partition: tuple[AddPartitionsToTxnPartitionResult, ...]


class AddPartitionsToTxnResponse(Struct, kw_only=True):
    """In the order of the request."""

    throttle_time_ms: Int32 = 0
    results_by_topic_v3_and_below: tuple[AddPartitionsToTxnTopicResult, ...]


class AddOffsetsToTxnRequest(Struct, kw_only=True):
    """Offsets of this group are about to be committed."""

    transactional_id: Text
    producer_id: Int64
    producer_epoch: Int16
    group_id: Text


class AddOffsetsToTxnResponse(Struct, kw_only=True):
    """NONE: they belong to the transaction."""

    throttle_time_ms: Int32 = 0
    error_code: Int16


class EndTxnRequest(Struct, kw_only=True):
    """Commit or abort."""

    transactional_id: Text
    producer_id: Int64
    producer_epoch: Int16
    committed: Bool


class EndTxnResponse(Struct, kw_only=True):
    """NONE: it has ended; (version 5) the next one has this id and epoch."""

    throttle_time_ms: Int32 = 0
    error_code: Int16
    producer_id: Annotated[Int64, Versions(5)] = -1
    producer_epoch: Annotated[Int16, Versions(5)] = -1


class ListTransactionsRequest(Struct, kw_only=True):
    """To one broker: what you coordinate. Empty filters let all pass.

    ``transactional_id_pattern`` (KIP-1152): of the whole id.
    """

    state_filters: tuple[Text, ...]
    producer_id_filters: tuple[Int64, ...]
    duration_filter: Annotated[Int64, Versions(1)] = -1
    transactional_id_pattern: Annotated[Text | None, Versions(2)] = None


class ListTransactionsState(Struct, kw_only=True):
    """One transactional id."""

    transactional_id: Text
    producer_id: Int64
    transaction_state: Text


class ListTransactionsResponse(Struct, kw_only=True):
    """``unknown_state_filters``: of those asked for, what is no state."""

    throttle_time_ms: Int32 = 0
    error_code: Int16
    unknown_state_filters: tuple[Text, ...] = ()
    transaction_states: tuple[ListTransactionsState, ...] = ()


class DescribeTransactionsRequest(Struct, kw_only=True):
    """What is open under these transactional ids?"""

    transactional_ids: tuple[Text, ...]


class TopicData(Struct, kw_only=True):
    """Partitions of one topic."""

    topic: Text
    partitions: tuple[Int32, ...]


class TransactionState(Struct, kw_only=True):
    """One transactional id."""

    error_code: Int16
    transactional_id: Text
    transaction_state: Text = ""
    transaction_timeout_ms: Int32 = 0
    transaction_start_time_ms: Int64 = -1
    producer_id: Int64 = -1
    producer_epoch: Int16 = -1
    topics: tuple[TopicData, ...] = ()


class DescribeTransactionsResponse(Struct, kw_only=True):
    """In the order of the request."""

    throttle_time_ms: Int32 = 0
    transaction_states: tuple[TransactionState, ...]


class TopicRequest(Struct, kw_only=True):
    """Partitions of one topic."""

    name: Text
    partition_indexes: tuple[Int32, ...]


class DescribeProducersRequest(Struct, kw_only=True):
    """Who writes to these partitions?"""

    topics: tuple[TopicRequest, ...]


class ProducerState(Struct, kw_only=True):
    """One producer."""

    producer_id: Int64
    producer_epoch: Int32
    last_sequence: Int32 = -1
    last_timestamp: Int64 = -1
    coordinator_epoch: Int32
    current_txn_start_offset: Int64 = -1


class PartitionResponse(Struct, kw_only=True):
    """The producers of one partition."""

    partition_index: Int32
    error_code: Int16
    error_message: Text | None = None
    active_producers: tuple[ProducerState, ...] = ()


class TopicResponse(Struct, kw_only=True):
    """Partitions of one topic."""

    name: Text
    partitions: tuple[PartitionResponse, ...]


class DescribeProducersResponse(Struct, kw_only=True):
    """In the order of the request."""

    throttle_time_ms: Int32 = 0
    topics: tuple[TopicResponse, ...]


class WritableTxnMarkerTopic(Struct, kw_only=True):
    """Partitions of one topic."""

    name: Text
    partition_indexes: tuple[Int32, ...]


class WritableTxnMarker(Struct, kw_only=True):
    """The end of one transaction, as an administrator writes it to what hangs."""

    producer_id: Int64
    producer_epoch: Int16
    transaction_result: Bool
    topics: tuple[WritableTxnMarkerTopic, ...]
    coordinator_epoch: Int32


class WriteTxnMarkersRequest(Struct, kw_only=True):
    """Write these."""

    markers: tuple[WritableTxnMarker, ...]


class WritableTxnMarkerPartitionResult(Struct, kw_only=True):
    """What became of one partition."""

    partition_index: Int32
    error_code: Int16


class WritableTxnMarkerTopicResult(Struct, kw_only=True):
    """Partitions of one topic."""

    name: Text
    partitions: tuple[WritableTxnMarkerPartitionResult, ...]


class WritableTxnMarkerResult(Struct, kw_only=True):
    """One marker."""

    producer_id: Int64
    topics: tuple[WritableTxnMarkerTopicResult, ...]


class WriteTxnMarkersResponse(Struct, kw_only=True):
    """In the order of the request."""

    markers: tuple[WritableTxnMarkerResult, ...]
