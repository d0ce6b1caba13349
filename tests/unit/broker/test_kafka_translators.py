"""What Kafka's requests become, and what becomes of the answers: the corners that clients seldom see."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.broker.listener_bench import ORDERS, Bench
from transport.gateway.kafka.apis import ApiKey
from transport.gateway.kafka.messages import (
    coordinators,
    fetch,
    metadata,
    offsets,
    produce,
    record_deletion,
)
from transport.gateway.kafka.messages.producer_ids import InitProducerIdRequest
from transport.wire.errors import ErrorCode
from transport.wire.ids import NodeId, Offset, ProducerEpoch, ProducerId, TopicId
from transport.wire.messages import Refusal
from transport.wire.messages import coordinators as native_coordinators
from transport.wire.messages import deletion as native_deletion
from transport.wire.messages import fetch as native_fetch
from transport.wire.messages import metadata as native_metadata
from transport.wire.messages import produce as native_produce

UNKNOWN = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
NOT_LEADER = ErrorCode.NOT_LEADER_OR_FOLLOWER


def only(bench: Bench) -> Any:
    [(_, answer)] = bench.answers()
    return answer


# Produce


def write(topics: dict[str, list[int]], acks: int = -1, transaction: str | None = None) -> Any:
    return produce.ProduceRequest(
        transactional_id=transaction,
        acks=acks,
        timeout_ms=1_500,
        topic_data=tuple(
            produce.ProduceTopic(
                name=name,
                partition_data=tuple(
                    produce.ProducePartition(index=number, records=b"%d" % number)
                    for number in numbers
                ),
            )
            for name, numbers in topics.items()
        ),
    )


def wrote(partition: int, error: int = ErrorCode.NONE, text: str = "") -> Any:
    return native_produce.ProducedPartition(
        ORDERS, partition, error, Offset(40), Offset(4), text=text
    )


def test_a_write_is_handed_over_batch_by_batch_and_unknown_topics_are_told_so() -> None:
    bench = Bench()
    request = write({"nowhere": [0], "orders": [1, 0]}, transaction="tx")
    bench.send(ApiKey.PRODUCE, 8, request, client_id="app")
    [(_, envelope)] = bench.asked
    part = native_produce.ProducePartition
    assert envelope.body == native_produce.ProduceRequest(
        -1,
        1_500,
        (part(ORDERS, 1, -1, 0), part(ORDERS, 0, -1, 1)),  # type: ignore[arg-type]
        "tx",
        "app",
    )
    assert [bytes(frame) for frame in envelope.payload] == [b"1", b"0"]
    outcomes = (wrote(1), wrote(0, ErrorCode.MESSAGE_TOO_LARGE, "too much"))
    bench.reply(native_produce.ProduceResponse(ErrorCode.NONE, outcomes, throttle_time_ms=9))
    answer = only(bench)
    assert answer.throttle_time_ms == 9
    nowhere, orders = answer.responses
    assert [one.error_code for one in nowhere.partition_responses] == [UNKNOWN]
    first, second = orders.partition_responses
    assert (first.index, first.error_code, first.base_offset) == (1, 0, 40)
    assert first.log_start_offset == 4
    assert (second.index, second.error_code) == (0, ErrorCode.MESSAGE_TOO_LARGE)
    assert second.error_message == "too much"


def test_a_refusal_of_a_write_is_told_of_every_batch() -> None:
    bench = Bench()
    bench.send(ApiKey.PRODUCE, 8, write({"orders": [0, 1], "nowhere": [0]}))
    bench.reply(Refusal(ErrorCode.OVERLOADED, "full"))
    orders, nowhere = only(bench).responses
    told = [(one.error_code, one.error_message) for one in orders.partition_responses]
    assert told == [(ErrorCode.REQUEST_TIMED_OUT, "full")] * 2
    assert [one.error_code for one in nowhere.partition_responses] == [UNKNOWN]


def test_the_leader_that_should_be_asked_is_told_with_its_place() -> None:
    bench = Bench()
    bench.send(ApiKey.PRODUCE, 10, write({"orders": [1]}))
    bench.reply(native_produce.ProduceResponse(ErrorCode.NONE, (wrote(1, NOT_LEADER),)))
    answer = only(bench)
    [[told]] = [topic.partition_responses for topic in answer.responses]
    assert told.current_leader == produce.CurrentLeader(leader_id=2, leader_epoch=7)
    [place] = answer.node_endpoints
    assert (place.node_id, place.host, place.port) == (2, "10.0.0.2", 9092)


def test_who_wants_no_answer_is_ended_once_it_writes_in_vain() -> None:
    """As by Kafka: nothing else would have it look for the leader that there is by now."""
    bench = Bench()
    bench.send(ApiKey.PRODUCE, 7, write({"orders": [0, 1]}, acks=0))
    body = bench.asked[0][1].body
    assert isinstance(body, native_produce.ProduceRequest)
    assert body.acks == native_produce.ACKS_LEADER  # what came of it is heard
    bench.reply(native_produce.ProduceResponse(ErrorCode.NONE, (wrote(0), wrote(1))))
    assert bench.streams.calls == []
    bench.send(ApiKey.PRODUCE, 7, write({"orders": [0, 1]}, acks=0))
    bench.reply(native_produce.ProduceResponse(ErrorCode.NONE, (wrote(0), wrote(1, NOT_LEADER))))
    assert bench.streams.calls == ["close"]
    assert bench.answers() == []


def test_who_wants_no_answer_and_writes_to_a_topic_that_is_gone_is_ended() -> None:
    bench = Bench()
    bench.send(ApiKey.PRODUCE, 7, write({"nowhere": [0]}, acks=0))
    bench.reply(native_produce.ProduceResponse(ErrorCode.NONE, ()))
    assert bench.streams.calls == ["close"]


@pytest.mark.parametrize(
    ("version", "told"),
    [(10, ErrorCode.INVALID_PRODUCER_EPOCH), (11, ErrorCode.TRANSACTION_ABORTABLE)],
)
def test_old_producers_are_told_what_they_know(version: int, told: int) -> None:
    bench = Bench()
    bench.send(ApiKey.PRODUCE, version, write({"orders": [0]}))
    outcome = wrote(0, ErrorCode.TRANSACTION_ABORTABLE)
    bench.reply(native_produce.ProduceResponse(ErrorCode.NONE, (outcome,)))
    assert only(bench).responses[0].partition_responses[0].error_code == told


def test_who_writes_before_a_broker_has_taken_over_is_told_to_look_for_the_leader() -> None:
    """Seed 7035: a producer that does not know the error gives up the batch."""
    bench = Bench()
    bench.send(ApiKey.PRODUCE, 9, write({"orders": [0]}))
    outcome = wrote(0, ErrorCode.UNKNOWN_LEADER_EPOCH)
    bench.reply(native_produce.ProduceResponse(ErrorCode.NONE, (outcome,)))
    told = only(bench).responses[0].partition_responses[0].error_code
    assert told == ErrorCode.NOT_LEADER_OR_FOLLOWER


@pytest.mark.parametrize(
    "error",
    [
        ErrorCode.NOT_COORDINATOR,
        ErrorCode.COORDINATOR_NOT_AVAILABLE,
        ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
        ErrorCode.CONCURRENT_TRANSACTIONS,
    ],
)
def test_who_is_not_vouched_for_yet_is_told_to_write_again(error: ErrorCode) -> None:
    """Producers know of no coordinator in what they are answered to Produce."""
    bench = Bench()
    bench.send(ApiKey.PRODUCE, 9, write({"orders": [0]}, transaction="tx"))
    bench.reply(native_produce.ProduceResponse(ErrorCode.NONE, (wrote(0, error),)))
    told = only(bench).responses[0].partition_responses[0].error_code
    assert told == ErrorCode.NOT_ENOUGH_REPLICAS


@pytest.mark.parametrize(
    ("version", "told"), [(3, ErrorCode.INVALID_PRODUCER_EPOCH), (4, ErrorCode.PRODUCER_FENCED)]
)
def test_a_producers_id_is_asked_for_as_it_stands(version: int, told: int) -> None:
    bench = Bench()
    asked = InitProducerIdRequest(
        transactional_id="tx", transaction_timeout_ms=5, producer_id=6, producer_epoch=7
    )
    bench.send(ApiKey.INIT_PRODUCER_ID, version, asked)
    assert bench.questions() == [
        native_produce.InitProducerIdRequest("tx", ProducerId(6), ProducerEpoch(7), 5)
    ]
    bench.reply(native_produce.InitProducerIdResponse(ErrorCode.PRODUCER_FENCED))
    answer = only(bench)
    assert (answer.error_code, answer.producer_id, answer.producer_epoch) == (told, -1, -1)


@pytest.mark.parametrize("error", [ErrorCode.REQUEST_TIMED_OUT, ErrorCode.OVERLOADED])
def test_that_there_is_no_producers_id_now_is_told_in_kafkas_word(error: ErrorCode) -> None:
    """Aiokafka's producer is over at any other: while there is no controller, say."""
    bench = Bench()
    asked = InitProducerIdRequest(transactional_id=None, transaction_timeout_ms=5)
    bench.send(ApiKey.INIT_PRODUCER_ID, 0, asked)
    bench.reply(Refusal(error, "no block of producer ids in time"))
    assert only(bench).error_code == ErrorCode.COORDINATOR_LOAD_IN_PROGRESS


# Fetch and offsets


def read(names: list[str], version: int = 11, **more: Any) -> Any:
    one = fetch.FetchPartition(
        partition=1, fetch_offset=5, partition_max_bytes=99, current_leader_epoch=3
    )
    topics = tuple(fetch.FetchTopic(topic=name, partitions=(one,)) for name in names)
    return fetch.FetchRequest(max_wait_ms=500, min_bytes=1, topics=topics, **more)


def test_a_read_tells_of_every_partition_also_where_there_is_nothing() -> None:
    bench = Bench()
    bench.send(ApiKey.FETCH, 11, read(["orders", "nowhere"], isolation_level=1, rack_id="r"))
    [question] = bench.questions()
    assert question == native_fetch.FetchRequest(
        0,  # there is something to tell already
        1,
        fetch.BYTES_MAX,
        (native_fetch.FetchPartition(ORDERS, 1, 3, Offset(5), 99),),  # type: ignore[arg-type]
        rack="r",
        isolation=1,
        client_id="me",
        whole=True,
    )
    aborted = native_fetch.AbortedTransaction(ProducerId(8), Offset(6))
    part = native_fetch.FetchedPartition(
        ORDERS,
        1,
        ErrorCode.NONE,
        Offset(30),
        Offset(2),
        0,
        last_stable_offset=Offset(20),
        aborted=(aborted,),
    )
    bench.reply(native_fetch.FetchResponse(ErrorCode.NONE, (part,)), (b"records",))
    answer = only(bench)
    assert (answer.error_code, answer.session_id) == (0, 0)
    [[found], [missing]] = [topic.partitions for topic in answer.responses]
    assert bytes(found.records) == b"records"
    assert (found.high_watermark, found.last_stable_offset, found.log_start_offset) == (30, 20, 2)
    assert found.aborted_transactions == (fetch.AbortedTransaction(producer_id=8, first_offset=6),)
    assert (missing.error_code, bytes(missing.records)) == (UNKNOWN, b"")


def test_a_read_of_known_topics_waits_as_long_as_it_says() -> None:
    bench = Bench()
    bench.send(ApiKey.FETCH, 4, read(["orders"]))
    assert bench.questions()[0].max_wait_ms == 500


def test_no_session_is_begun_and_none_is_known() -> None:
    bench = Bench()
    bench.send(ApiKey.FETCH, 7, read([], session_id=5, session_epoch=3))
    assert bench.asked == []
    assert only(bench).error_code == ErrorCode.FETCH_SESSION_ID_NOT_FOUND


def test_a_refused_read_is_told_of_the_whole_and_of_every_partition() -> None:
    bench = Bench()
    bench.send(ApiKey.FETCH, 4, read(["orders"]))
    bench.reply(native_fetch.FetchResponse(ErrorCode.OVERLOADED))
    [[told]] = [topic.partitions for topic in only(bench).responses]
    assert told.error_code == ErrorCode.REQUEST_TIMED_OUT


def test_topics_are_known_by_their_ids_where_these_are_given() -> None:
    bench = Bench()
    one = fetch.FetchPartition(partition=0, fetch_offset=0, partition_max_bytes=1)
    topics = tuple(
        fetch.FetchTopic(topic_id=one_id, partitions=(one,)) for one_id in (ORDERS, b"?" * 16)
    )
    bench.send(ApiKey.FETCH, 13, fetch.FetchRequest(max_wait_ms=1, min_bytes=1, topics=topics))
    asked = [part.topic_id for part in bench.questions()[0].partitions]
    assert asked == [ORDERS, TopicId(b"?" * 16)]  # the handlers know of the second one


@pytest.mark.parametrize(("version", "code"), [(12, UNKNOWN), (13, ErrorCode.UNKNOWN_TOPIC_ID)])
def test_who_knows_a_topic_by_its_name_is_not_told_of_its_id(version: int, code: int) -> None:
    gone = ErrorCode.UNKNOWN_TOPIC_ID  # it was deleted while they waited
    bench = Bench()
    one = fetch.FetchPartition(partition=1, fetch_offset=5, partition_max_bytes=99)
    topic = fetch.FetchTopic(topic="orders", topic_id=ORDERS, partitions=(one,))
    wanted = fetch.FetchRequest(max_wait_ms=500, min_bytes=1, topics=(topic,))
    bench.send(ApiKey.FETCH, version, wanted)
    lost = native_fetch.FetchedPartition(ORDERS, 1, gone, Offset(-1), Offset(-1), -1)
    bench.reply(native_fetch.FetchResponse(ErrorCode.NONE, (lost,)))
    assert only(bench).responses[0].partitions[0].error_code == code
    bench = Bench()
    data = (produce.ProducePartition(index=1, records=b"1"),)
    written = produce.ProduceTopic(name="orders", topic_id=ORDERS, partition_data=data)
    write_there = produce.ProduceRequest(acks=-1, timeout_ms=1_500, topic_data=(written,))
    bench.send(ApiKey.PRODUCE, version, write_there)
    bench.reply(native_produce.ProduceResponse(ErrorCode.NONE, (wrote(1, gone),)))
    assert only(bench).responses[0].partition_responses[0].error_code == code


def test_offsets_are_listed_by_the_names_of_topics() -> None:
    bench = Bench()
    part = offsets.ListOffsetsPartition(partition_index=0, timestamp=777)
    topics = (offsets.ListOffsetsTopic(name="orders", partitions=(part,)),)
    bench.send(ApiKey.LIST_OFFSETS, 10, offsets.ListOffsetsRequest(replica_id=-1, topics=topics))
    gone = native_fetch.ListedOffset(ORDERS, 0, ErrorCode.UNKNOWN_TOPIC_ID)
    bench.reply(native_fetch.ListOffsetsResponse(ErrorCode.NONE, (gone,)))
    assert only(bench).topics[0].partitions[0].error_code == UNKNOWN


def test_records_are_deleted_by_the_names_of_topics() -> None:
    bench = Bench()
    part = record_deletion.DeleteRecordsPartition(partition_index=0, offset=7)
    topics = tuple(
        record_deletion.DeleteRecordsTopic(name=name, partitions=(part,))
        for name in ("nowhere", "orders")
    )
    request = record_deletion.DeleteRecordsRequest(topics=topics, timeout_ms=900)
    bench.send(ApiKey.DELETE_RECORDS, 2, request)
    [question] = bench.questions()
    doomed = native_deletion.DeleteRecordsPartition(ORDERS, 0, Offset(7))
    assert question == native_deletion.DeleteRecordsRequest((doomed,), 900)
    gone = native_deletion.DeletedRecords(ORDERS, 0, ErrorCode.UNKNOWN_TOPIC_ID)
    bench.reply(native_deletion.DeleteRecordsResponse(ErrorCode.NONE, (gone,)))
    told = [one for topic in only(bench).topics for one in topic.partitions]
    assert [(one.error_code, one.low_watermark) for one in told] == [(UNKNOWN, -1)] * 2


def test_a_client_cannot_read_as_a_replica() -> None:
    bench = Bench()
    bench.send(ApiKey.FETCH, 4, read(["orders"], replica_id=2))
    assert bench.questions()[0].replica_id == 2  # and so dispatch refuses it


@pytest.mark.parametrize(
    ("version", "told_as"),
    [(4, ErrorCode.LEADER_NOT_AVAILABLE), (5, ErrorCode.OFFSET_NOT_AVAILABLE)],
)
def test_offsets_by_time_are_asked_partition_by_partition(version: int, told_as: int) -> None:
    """What a client does not know it may take for the end of its search."""
    bench = Bench()
    kind = offsets.ListOffsetsPartition
    parts = (kind(partition_index=0, timestamp=-4), kind(partition_index=1, timestamp=777))
    topics = tuple(
        offsets.ListOffsetsTopic(name=name, partitions=parts) for name in ("nowhere", "orders")
    )
    request = offsets.ListOffsetsRequest(replica_id=-1, topics=topics)
    bench.send(ApiKey.LIST_OFFSETS, version, request)
    [question] = bench.questions()
    assert [part.timestamp_ms for part in question.partitions] == [-2, 777]
    listed = native_fetch.ListedOffset
    outcomes = (listed(ORDERS, 0, 0, Offset(3)), listed(ORDERS, 1, ErrorCode.OFFSET_NOT_AVAILABLE))
    bench.reply(native_fetch.ListOffsetsResponse(ErrorCode.NONE, outcomes))
    nowhere, orders = only(bench).topics
    assert [one.error_code for one in nowhere.partitions] == [UNKNOWN, UNKNOWN]
    told = [(one.partition_index, one.error_code, one.offset) for one in orders.partitions]
    assert told == [(0, 0, 3), (1, told_as, -1)]


def test_ends_of_epochs_are_asked_partition_by_partition() -> None:
    bench = Bench()
    part = offsets.EpochPartition(partition=1, current_leader_epoch=7, leader_epoch=4)
    topics = (offsets.EpochTopic(topic="orders", partitions=(part,)),)
    bench.send(
        ApiKey.OFFSET_FOR_LEADER_EPOCH, 2, offsets.OffsetForLeaderEpochRequest(topics=topics)
    )
    assert bench.questions()[0].partitions == (native_fetch.EpochEnd(ORDERS, 1, 7, 4),)  # type: ignore[arg-type]
    ended = native_fetch.EpochEnded(ORDERS, 1, 0, 4, Offset(90))  # type: ignore[arg-type]
    bench.reply(native_fetch.OffsetForLeaderEpochResponse(ErrorCode.NONE, (ended,)))
    [[told]] = [topic.partitions for topic in only(bench).topics]
    assert (told.partition, told.leader_epoch, told.end_offset) == (1, 4, 90)


# Metadata and coordinators


def described(bench: Bench) -> native_metadata.MetadataResponse:
    """As the handlers would answer."""
    infos = tuple(
        native_metadata.BrokerInfo(one.id, one.name, one.clients, one.events, one.rack)
        for one in bench.context.image.live_brokers()
    )
    three = tuple(map(NodeId, (1, 2, 3)))
    partition = native_metadata.PartitionInfo(0, NodeId(-1), 7, three, three)  # type: ignore[arg-type]
    topics = (
        native_metadata.TopicInfo(ErrorCode.NONE, "orders", ORDERS, (partition,)),
        native_metadata.TopicInfo(ErrorCode.NONE, "__consumer_offsets", TopicId(b"o" * 16)),
    )
    return native_metadata.MetadataResponse(
        ErrorCode.NONE, controller_id=NodeId(3_000), brokers=infos, topics=topics
    )


def test_brokers_are_told_by_where_they_listen_for_this_protocol() -> None:
    bench = Bench()
    bench.send(ApiKey.METADATA, 12, metadata.MetadataRequest(topics=None))
    assert bench.questions() == [native_metadata.MetadataRequest(None, True, True)]
    bench.reply(described(bench))
    answer = only(bench)
    places = [(one.node_id, one.host, one.port, one.rack) for one in answer.brokers]
    assert places == [(1, "10.0.0.1", 9092, "rack-1"), (2, "10.0.0.2", 9092, "rack-2")]
    assert answer.controller_id == 1  # the controller is no broker: whoever is asked passes on
    orders, internal = answer.topics
    assert (orders.topic_id, orders.is_internal, internal.is_internal) == (ORDERS, False, True)
    [partition] = orders.partitions
    assert partition.error_code == ErrorCode.LEADER_NOT_AVAILABLE
    assert partition.offline_replicas == (3,)


@pytest.mark.parametrize(
    ("version", "topics", "asked"),
    [
        (0, (), (None, True, True)),
        (1, None, (None, True, True)),
        (1, (), ((), True, False)),
        (3, ("a",), (("a",), True, False)),
        (4, ("a",), (("a",), False, False)),
    ],
)
def test_what_names_no_topics_means_all_or_none_by_the_version(
    version: int, topics: tuple[str, ...] | None, asked: tuple[Any, ...]
) -> None:
    bench = Bench()
    row = metadata.MetadataRequestTopic
    named = None if topics is None else tuple(row(name=name) for name in topics)
    request = metadata.MetadataRequest(topics=named, allow_auto_topic_creation=False)
    bench.send(ApiKey.METADATA, version, request)
    [question] = bench.questions()
    told = (question.topics, question.allow_auto_topic_creation, question.include_internal)
    assert told == asked


@pytest.mark.parametrize("asked", [False, True])
def test_what_may_be_done_is_told_if_asked(asked: bool) -> None:
    bench = Bench()
    request = metadata.MetadataRequest(
        topics=None,
        include_cluster_authorized_operations=asked,
        include_topic_authorized_operations=asked,
    )
    bench.send(ApiKey.METADATA, 8, request)
    bench.reply(described(bench))
    answer = only(bench)
    told = (answer.cluster_authorized_operations, answer.topics[0].topic_authorized_operations)
    of_cluster = sum(1 << operation for operation in (5, 7, 8, 9, 10, 11, 12))
    of_topic = sum(1 << operation for operation in (3, 4, 5, 6, 7, 8, 10, 11))
    none = metadata.NO_OPERATIONS
    assert told == ((of_cluster, of_topic) if asked else (none, none))


def test_topics_are_found_by_their_ids() -> None:
    bench = Bench()
    named = tuple(
        metadata.MetadataRequestTopic(topic_id=one, name=None) for one in (ORDERS, b"?" * 16)
    )
    bench.send(ApiKey.METADATA, 12, metadata.MetadataRequest(topics=named))
    assert bench.questions()[0].topics == ("orders",)
    bench.reply(described(bench))
    *_, unknown = only(bench).topics
    assert unknown == metadata.MetadataTopic(
        error_code=ErrorCode.UNKNOWN_TOPIC_ID, name=None, topic_id=b"?" * 16, partitions=()
    )


def test_a_broker_that_knows_nothing_yet_says_so_of_every_topic() -> None:
    bench = Bench()
    named = (metadata.MetadataRequestTopic(name="a"),)
    bench.send(ApiKey.METADATA, 13, metadata.MetadataRequest(topics=named))
    bench.reply(native_metadata.MetadataResponse(ErrorCode.BROKER_NOT_AVAILABLE))
    answer = only(bench)
    assert answer.error_code == ErrorCode.BROKER_NOT_AVAILABLE
    assert [one.error_code for one in answer.topics] == [ErrorCode.BROKER_NOT_AVAILABLE]
    assert answer.brokers == ()


@pytest.mark.parametrize("version", [0, 3, 4])
def test_a_coordinator_is_told_by_where_it_listens_for_this_protocol(version: int) -> None:
    bench = Bench()
    keys = ("g", "h") if version == 4 else ("g",)
    request = coordinators.FindCoordinatorRequest(key="g", key_type=0, coordinator_keys=keys)
    bench.send(ApiKey.FIND_COORDINATOR, version, request)
    assert bench.questions() == [native_coordinators.FindCoordinatorRequest(0, keys)]
    found = native_coordinators.FoundCoordinator
    told = (found("g", ErrorCode.NONE, NodeId(2)), found("h", ErrorCode.NONE, NodeId(3)))
    answer = native_coordinators.FindCoordinatorResponse(ErrorCode.NONE, told[: len(keys)])
    bench.reply(answer)
    answered = only(bench)
    if version < 4:
        place = (answered.error_code, answered.node_id, answered.host, answered.port)
        assert place == (0, 2, "10.0.0.2", 9092)
        return
    first, dead = answered.coordinators
    assert (first.key, first.node_id, first.host, first.port) == ("g", 2, "10.0.0.2", 9092)
    assert (dead.error_code, dead.node_id) == (ErrorCode.COORDINATOR_NOT_AVAILABLE, -1)
