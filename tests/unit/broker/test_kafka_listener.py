"""Connections of Kafka's clients: order, bounds, and what ends one."""

from __future__ import annotations

import weakref
from typing import Any

import pytest

from nodes.broker.kafka import connection, listener, table
from tests.unit.broker.listener_bench import LAST, NOW, ORDERS, Bench
from transport.driver.calls import response
from transport.driver.ports import Origin, Stranger, StreamId
from transport.gateway.kafka import apis
from transport.gateway.kafka.apis import APIS, ApiKey
from transport.gateway.kafka.messages.api_versions import ApiVersionsRequest
from transport.gateway.kafka.messages.coordinators import FindCoordinatorRequest
from transport.gateway.kafka.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from transport.gateway.kafka.messages.metadata import MetadataRequest, MetadataRequestTopic
from transport.gateway.kafka.messages.produce import (
    ProducePartition,
    ProduceRequest,
    ProduceTopic,
)
from transport.gateway.kafka.messages.transactions import ListTransactionsRequest
from transport.kernel import Now
from transport.wire.codec import Envelope, Kind
from transport.wire.errors import ErrorCode
from transport.wire.messages import Refusal
from transport.wire.messages.coordinators import FindCoordinatorResponse, FoundCoordinator
from transport.wire.messages.fetch import FetchedPartition, FetchResponse
from transport.wire.messages.produce import ProduceResponse

METADATA = MetadataRequest(topics=None)
FIND = FindCoordinatorRequest(key="group")


def write(acks: int = -1, records: bytes = b"batch") -> ProduceRequest:
    one = ProducePartition(index=0, records=records)
    topic = ProduceTopic(name="orders", partition_data=(one,))
    return ProduceRequest(acks=acks, timeout_ms=1_000, topic_data=(topic,))


def numbers(bench: Bench) -> list[int]:
    return [number for number, _ in bench.answers()]


def test_every_api_that_is_told_of_is_translated() -> None:
    assert set(table.TRANSLATORS) == set(APIS)
    for key in APIS:
        assert callable(table.translator(key))


@pytest.mark.parametrize("version", range(5))
def test_features_are_told_from_the_version_on_that_has_them(version: int) -> None:
    bench = Bench()
    bench.send(ApiKey.API_VERSIONS, version, ApiVersionsRequest())
    [(_, told)] = bench.answers()
    finalized = {one.name: one.max_version_level for one in told.finalized_features}
    supported = {one.name: (one.min_version, one.max_version) for one in told.supported_features}
    if version < 3:
        assert (finalized, supported, told.finalized_features_epoch) == ({}, {}, -1)
        return
    assert finalized == {"group.version": 1, "transaction.version": 2}
    assert supported == {name: (level, level) for name, level in finalized.items()}
    assert told.finalized_features_epoch > 0


def test_a_request_begins_when_the_one_before_is_answered() -> None:
    bench = Bench()
    first = bench.send(ApiKey.FIND_COORDINATOR, 0, FIND)
    second = bench.send(ApiKey.FIND_COORDINATOR, 0, FIND)
    assert len(bench.asked) == 1
    bench.reply(FindCoordinatorResponse(ErrorCode.COORDINATOR_NOT_AVAILABLE))
    assert numbers(bench) == [first]
    assert bench.listener.next_deadline_ms() == 0
    bench.end_turn()
    assert bench.listener.next_deadline_ms() is None
    bench.reply(FindCoordinatorResponse(ErrorCode.COORDINATOR_NOT_AVAILABLE))
    assert numbers(bench) == [second]


def test_who_a_client_has_proved_to_be_is_the_principal_of_its_requests() -> None:
    bench = Bench()
    bench.send(ApiKey.FIND_COORDINATOR, 0, FIND)
    (connected,) = bench.listener._connections.values()
    connected.become("alice")
    before = bench.asked[0][0]
    bench.reply(FindCoordinatorResponse(ErrorCode.NONE))
    bench.end_turn()
    number = bench.send(ApiKey.FIND_COORDINATOR, 0, FIND)
    after = bench.asked[0][0]
    assert (before.principal, after.principal, after.address) == ("", "alice", "10.9.9.9")
    bench.answers()
    bench.reply(FindCoordinatorResponse(ErrorCode.NONE))
    assert numbers(bench) == [number]


def test_a_requests_time_is_counted_from_its_arrival_by_its_api() -> None:
    bench = Bench()
    clock = iter(range(0, 10**12, 3_000_000))
    bench.listener.times.now_ns = lambda: next(clock)
    for _ in range(2):
        bench.send(ApiKey.FIND_COORDINATOR, 0, FIND)
    assert bench.listener.times.latencies == {}
    for _ in range(2):  # they have come at 0 and 3 ms, and are answered at 6 and 9
        bench.reply(FindCoordinatorResponse(ErrorCode.COORDINATOR_NOT_AVAILABLE))
        bench.end_turn()
    [(name, took)] = bench.listener.times.latencies.items()
    assert (name, took.count, took.total_ms) == ("FIND_COORDINATOR", 2, 12)
    [measure] = [one for one in bench.listener.measures() if one.name == "kafka_request_seconds"]
    assert measure.samples == {(("api", "FIND_COORDINATOR"),): took}


def test_writes_go_on_beside_each_other_and_are_answered_in_order() -> None:
    bench = Bench()
    sent = [bench.send(ApiKey.PRODUCE, 7, write()) for _ in range(3)]
    behind = bench.send(ApiKey.FIND_COORDINATOR, 0, FIND)
    assert len(bench.asked) == 3
    bench.reply(ProduceResponse(ErrorCode.NONE), place=2)
    bench.reply(ProduceResponse(ErrorCode.NONE), place=1)
    assert numbers(bench) == []
    bench.reply(ProduceResponse(ErrorCode.NONE))
    assert numbers(bench) == sent
    bench.end_turn()
    bench.reply(FindCoordinatorResponse(ErrorCode.NONE))
    assert numbers(bench) == [behind]


def test_a_write_is_not_kept_in_memory_while_its_answer_waits() -> None:
    bench = Bench()
    bench.send(ApiKey.PRODUCE, 9, write(records=bytes(100_000)))
    [(_, envelope)] = bench.asked
    assert [len(frame) for frame in envelope.payload] == [100_000]
    (connected,) = bench.listener._connections.values()
    (exchange,) = connected._begun
    assert exchange.body.topic_data[0].partition_data[0].records is None


class Chunk(bytearray):
    """What has come at a time; tells when nobody has it any more."""


@pytest.mark.parametrize("is_held_up", [False, True])
def test_what_waits_keeps_nothing_in_memory_that_came_with_it(is_held_up: bool) -> None:
    """A write of a hundred megabytes, for one, while its answer waits."""
    bench = Bench()
    if is_held_up:
        bench.send(ApiKey.FIND_COORDINATOR, 0, FIND)
    behind = bench.encode(ApiKey.FIND_COORDINATOR, 0, FIND)
    large = bench.encode(ApiKey.PRODUCE, 9, write(records=bytes(100_000)))
    chunk = Chunk(large + behind)
    kept = weakref.ref(chunk)
    bench.listener.on_bytes(LAST, chunk, NOW)  # type: ignore[arg-type]
    del chunk
    if is_held_up:
        bench.reply(FindCoordinatorResponse(ErrorCode.NONE))
        bench.end_turn()
    origin, question = bench.asked.pop()
    number = question.correlation_id
    del question  # the write is in the log
    assert kept() is None
    answer = Envelope(Kind.RESPONSE, ProduceResponse(ErrorCode.NONE), correlation_id=number)
    bench.strangers.reply(origin, answer)
    bench.end_turn()
    assert len(bench.asked) == 1, "what was behind it"


def test_only_so_many_bytes_of_writes_go_on_beside_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "WRITES_BYTES_MAX", 20_000)
    bench = Bench()
    sent = [bench.send(ApiKey.PRODUCE, 7, write(records=bytes(8_000))) for _ in range(5)]
    assert len(bench.asked) == 3
    for _ in sent:
        bench.reply(ProduceResponse(ErrorCode.NONE))
        bench.end_turn()
    assert numbers(bench) == sent


def test_what_is_not_spoken_is_not_remembered() -> None:
    bench = Bench()
    remembered = apis._conversation.cache_info().currsize
    for version in range(200, 300):
        bench._versions.clear()
        data = bytearray(bench.encode(ApiKey.API_VERSIONS, 0, ApiVersionsRequest()))
        data[6:8] = version.to_bytes(2, "big")
        bench.listener.on_bytes(LAST, bytes(data), NOW)
    assert bench.streams.calls == []
    assert apis.conversation(999, 7) is None
    assert apis._conversation.cache_info().currsize <= remembered + 1


def test_a_write_waits_for_what_is_no_write() -> None:
    bench = Bench()
    bench.send(ApiKey.FIND_COORDINATOR, 0, FIND)
    bench.send(ApiKey.PRODUCE, 7, write())
    assert len(bench.asked) == 1


def test_a_write_that_wants_no_answer_gets_none_and_holds_up_nobody() -> None:
    bench = Bench()
    bench.send(ApiKey.PRODUCE, 7, write(acks=0))
    last = bench.send(ApiKey.API_VERSIONS, 0, ApiVersionsRequest())
    assert numbers(bench) == [last]
    assert len(bench.asked) == 1
    bench.reply(Refusal(ErrorCode.OVERLOADED, "no"))  # as Kafka tells its client: by the end
    assert bench.streams.calls == ["close"]


def test_what_waits_is_bounded_and_nothing_more_is_read_until_it_has_begun() -> None:
    bench = Bench()
    for _ in range(connection.WAITING_MAX + 1):
        bench.send(ApiKey.FIND_COORDINATOR, 0, FIND)
    assert bench.streams.calls == ["pause"]
    while bench.asked:
        bench.reply(FindCoordinatorResponse(ErrorCode.NONE))
        bench.end_turn()
    assert bench.streams.calls == ["pause", "resume"]
    assert len(numbers(bench)) == connection.WAITING_MAX + 1
    assert bench.listener.held_bytes == 0


def test_who_asks_much_at_once_lets_others_have_their_turns() -> None:
    bench = Bench()
    many = 3 * listener.ROOM_A_TURN
    request = ApiVersionsRequest()
    data = b"".join(bench.encode(ApiKey.API_VERSIONS, 0, request) for _ in range(many))
    bench.listener.on_bytes(LAST, data, NOW)
    assert len(numbers(bench)) == listener.ROOM_A_TURN
    assert bench.streams.calls == ["pause"]
    for _ in range(2):
        assert bench.listener.next_deadline_ms() == 0
        bench.end_turn()
        assert len(numbers(bench)) == listener.ROOM_A_TURN
    assert bench.listener.next_deadline_ms() is None
    assert bench.streams.calls == ["pause", "resume"]


def connect(bench: Bench, count: int) -> list[StreamId]:
    streams = [StreamId(number) for number in range(100, 100 + count)]
    for stream in streams:
        bench.listener.on_stream(stream, Stranger("10.9.9.9"), NOW)
    return streams


def come_twice(bench: Bench, count: int, data: bytes) -> list[StreamId]:
    """So many clients send this twice; the first is answered, so that the second may begin."""
    streams = connect(bench, count)
    for stream in streams:
        bench.listener.room = listener.ROOM_A_TURN
        bench.listener.on_bytes(stream, data + data, NOW)
    while bench.asked:
        bench.reply(Refusal(ErrorCode.COORDINATOR_NOT_AVAILABLE, "no"))
    bench.streams.sent.clear()
    return streams


def test_all_clients_together_begin_so_much_a_turn_and_each_has_its_turn() -> None:
    """Thousands may have something that waits, and a turn with all of it would be one of minutes."""
    bench = Bench()
    many = 3 * listener.ROOM_A_TURN
    streams = come_twice(bench, many, bench.encode(ApiKey.FIND_COORDINATOR, 0, FIND))
    begun: list[Any] = []
    for _ in range(3):
        assert bench.listener.next_deadline_ms() == 0
        bench.end_turn()
        assert len(bench.asked) == len(begun) + listener.ROOM_A_TURN
        begun = [origin for origin, _ in bench.asked]
    assert bench.listener.next_deadline_ms() is None
    assert len(set(begun)) == len(streams)


def test_a_long_list_leaves_room_for_no_other_request_in_its_turn() -> None:
    bench = Bench()
    names = tuple(MetadataRequestTopic(name=f"t{number}") for number in range(2_000))
    come_twice(bench, 3, bench.encode(ApiKey.METADATA, 8, MetadataRequest(topics=names)))
    for turns in (1, 2, 3):
        bench.end_turn()
        assert len(bench.asked) == turns
    assert bench.listener.next_deadline_ms() is None


def test_a_long_answer_leaves_room_for_no_other_request_in_its_turn() -> None:
    """Who asks for all topics of a cluster asks with a few bytes."""
    bench = Bench()
    come_twice(bench, 3, bench.encode(ApiKey.FIND_COORDINATOR, 3, FIND))
    long = FoundCoordinator("group", ErrorCode.COORDINATOR_NOT_AVAILABLE, text="x" * 70_000)
    answer = FindCoordinatorResponse(ErrorCode.NONE, (long,))

    def ask_at_once(origin: Origin, question: Envelope, _now: Now) -> None:
        bench.strangers.reply(origin, response(question, answer))

    bench.listener._ask = ask_at_once
    for _ in range(3):
        assert bench.listener.next_deadline_ms() == 0
        bench.end_turn()
        assert len(bench.streams.sent) == 1
        bench.streams.sent.clear()
    assert bench.listener.next_deadline_ms() is None


def test_a_search_leaves_room_for_no_other_request_in_its_turn() -> None:
    bench = Bench()
    search = ListTransactionsRequest(
        state_filters=(), producer_id_filters=(), transactional_id_pattern="t.*"
    )
    come_twice(bench, 3, bench.encode(ApiKey.LIST_TRANSACTIONS, 2, search))
    for turns in (1, 2, 3):
        bench.end_turn()
        assert len(bench.asked) == turns
    assert bench.listener.next_deadline_ms() is None


def test_records_leave_room_for_others() -> None:
    bench = Bench()
    fetch = FetchRequest(
        max_wait_ms=500,
        min_bytes=1,
        topics=(
            FetchTopic(
                topic="orders",
                partitions=(FetchPartition(partition=0, fetch_offset=0, partition_max_bytes=1),),
            ),
        ),
        session_epoch=-1,
    )
    come_twice(bench, 3, bench.encode(ApiKey.FETCH, 12, fetch))
    part = FetchedPartition(ORDERS, 0, ErrorCode.NONE, frame=0)
    answer = FetchResponse(ErrorCode.NONE, (part,))

    def ask_at_once(origin: Origin, question: Envelope, _now: Now) -> None:
        bench.strangers.reply(origin, response(question, answer, (bytes(1_000_000),)))

    bench.listener._ask = ask_at_once
    bench.end_turn()
    assert len(bench.streams.sent) == 3


def test_what_is_begun_is_held_until_it_is_answered_but_for_records() -> None:
    """A fetch that names nothing, and says so in a hundred megabytes, waits for half a minute."""
    bench = Bench()
    fetch = FetchRequest(
        max_wait_ms=30_000, min_bytes=1, topics=(), rack_id="r" * 100_000, session_epoch=-1
    )
    bench.send(ApiKey.FETCH, 12, fetch)
    assert len(bench.asked) == 1
    assert bench.listener.held_bytes > 100_000
    bench.reply(Refusal(ErrorCode.OVERLOADED, "no"))
    assert bench.listener.held_bytes == 0
    bench.send(ApiKey.PRODUCE, 9, write(records=bytes(100_000)))
    assert 0 < bench.listener.held_bytes < 1_000


def test_what_is_begun_counts_as_what_it_takes_in_memory() -> None:
    """Empty names are of a byte each, and take a hundred times of that."""
    bench = Bench()
    names = (MetadataRequestTopic(name=""),) * 10_000
    bench.send(ApiKey.METADATA, 9, MetadataRequest(topics=names))
    assert len(bench.asked) == 1
    assert bench.listener.held_bytes > 1_000_000


def test_who_holds_most_is_ended_and_not_who_came_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "HELD_BYTES_MAX", 10_000)
    bench = Bench()
    large = bench.encode(ApiKey.PRODUCE, 7, write(records=bytes(20_000)))
    small = bench.encode(ApiKey.FIND_COORDINATOR, 0, FIND)
    greedy, modest = connect(bench, 2)
    bench.listener.on_bytes(greedy, large[:9_990], NOW)
    bench.listener.on_bytes(modest, small, NOW)
    assert bench.streams.calls == ["close"]
    assert greedy not in bench.listener._connections
    assert modest in bench.listener._connections
    bench.listener.check()


def test_what_is_begun_later_is_kept_to_the_budget_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes more in memory than when it came, and nothing more may come that would be counted."""
    bench = Bench()
    names = (MetadataRequestTopic(name=""),) * 1_000
    come_twice(bench, 3, bench.encode(ApiKey.METADATA, 9, MetadataRequest(topics=names)))
    monkeypatch.setattr(listener, "HELD_BYTES_MAX", 300_000)
    while bench.listener.next_deadline_ms() is not None:
        bench.end_turn()
        assert bench.listener.held_bytes <= 300_000
    assert len(bench.asked) == 3
    assert bench.streams.calls == ["close"]
    bench.listener.check()


def test_all_clients_together_hold_no_more_than_so_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "HELD_BYTES_MAX", 10_000)
    bench = Bench()
    data = bench.encode(ApiKey.PRODUCE, 7, write(records=bytes(20_000)))
    bench.listener.on_bytes(LAST, data[:9_000], NOW)
    assert bench.streams.calls == []
    bench.listener.on_bytes(LAST, data[9_000:12_000], NOW)
    assert bench.streams.calls == ["close"]
    assert bench.listener.held_bytes == 0
    assert bench.listener.client_count == 0
    bench.listener.on_bytes(LAST, data[12_000:], NOW)  # was on its way


@pytest.mark.parametrize(
    "data",
    [
        b"\x7f\xff\xff\xff",
        b"\0\0\0\x08" + bytes(8)[:3] + b"\x07" + bytes(4),
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0\0\0\x09\0\x03\0\x01\0\0\0\x01\0",
        b"\0\0\0\x0a\0\x03\0\x63\0\0\0\x01\0\0",
        b"\0\0\0\x0a\x03\xe7\0\0\0\0\0\x01\0\0",
    ],
)
def test_what_is_no_request_ends_its_connection_and_nothing_else(data: bytes) -> None:
    bench = Bench()
    bench.listener.on_bytes(LAST, data, NOW)
    assert bench.streams.calls == ["close"]
    assert bench.asked == []
    assert len(bench.context.reports) == 1
    assert "10.9.9.9" in bench.context.reports[0]


def test_a_client_that_was_set_up_for_tls_is_told_apart() -> None:
    bench = Bench()
    bench.listener.on_bytes(LAST, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", NOW)
    assert "this is TLS" in bench.context.reports[0]
    assert bench.context.figures["kafka_frames_malformed"] == 1


def test_the_log_names_only_so_many_of_them() -> None:
    bench = Bench()
    for _ in range(connection.REPORTED_MAX + 5):
        bench.listener.on_stream(LAST, Stranger("10.9.9.9"), NOW)
        bench.listener.on_bytes(LAST, b"\x7f\xff\xff\xff", NOW)
    assert bench.context.figures["kafka_frames_malformed"] == connection.REPORTED_MAX + 5
    assert len(bench.context.reports) == connection.REPORTED_MAX


def test_who_asks_in_a_version_to_come_is_told_what_is_spoken() -> None:
    bench = Bench()
    data = bytearray(bench.encode(ApiKey.API_VERSIONS, 4, ApiVersionsRequest()))
    data[7] = 99
    bench._versions[1] = (ApiKey.API_VERSIONS, 0)
    bench.listener.on_bytes(LAST, bytes(data), NOW)
    [(_, answer)] = bench.answers()
    assert answer.error_code == ErrorCode.UNSUPPORTED_VERSION
    told = {row.api_key: (row.min_version, row.max_version) for row in answer.api_keys}
    assert told[ApiKey.PRODUCE] == (0, APIS[ApiKey.PRODUCE].highest)  # KAFKA-18659
    assert bench.streams.calls == []


def test_a_translation_that_fails_ends_its_connection_and_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(_exchange: Any) -> None:
        raise LookupError("planted")

    monkeypatch.setattr(connection, "translator", lambda _key: broken)
    bench = Bench()
    bench.send(ApiKey.METADATA, 1, METADATA)
    assert bench.streams.calls == ["close"]
    assert bench.context.figures["kafka_translations_failed"] == 1


@pytest.mark.parametrize("error", [ErrorCode.STOPPING, ErrorCode.BROKER_NOT_AVAILABLE])
def test_a_broker_that_stops_or_knows_no_acls_yet_ends_its_connections(error: ErrorCode) -> None:
    """Kafka's producer for Java gives up what it is told BROKER_NOT_AVAILABLE about."""
    bench = Bench()
    bench.send(ApiKey.METADATA, 1, METADATA)
    assert not bench.reply(Refusal(error, "broker-1 is not there"))
    assert bench.streams.calls == ["close"]
    assert bench.answers() == []


def test_an_answer_to_who_has_gone_is_refused() -> None:
    bench = Bench()
    bench.send(ApiKey.METADATA, 1, METADATA)
    bench.listener.on_stream_end(LAST, NOW)
    assert not bench.reply(Refusal(ErrorCode.NONE, ""))
    assert bench.listener.client_count == 0
    bench.listener.check()


def test_who_does_not_take_answers_is_ended() -> None:
    bench = Bench()
    bench.streams.takes = False
    bench.send(ApiKey.API_VERSIONS, 0, ApiVersionsRequest())
    assert bench.streams.calls == ["close"]
