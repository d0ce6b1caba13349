"""Fetch sessions of Kafka's consumers (KIP-227): in the listener's words, and where fetches are answered."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from nodes.broker.kafka import fetch_session
from tests.unit.broker.listener_bench import LAST, NOW, ORDERS, Bench
from tests.unit.broker.partition_fleet import PartitionFleet, make_batch, values_of
from transport.gateway.kafka.apis import ApiKey
from transport.gateway.kafka.messages import fetch
from transport.wire.errors import ErrorCode
from transport.wire.ids import LeaderEpoch, Offset, PartitionKey, TopicId
from transport.wire.messages import fetch as native
from transport.wire.messages.acls import PatternType, ResourceType
from transport.wire.messages.metadata import AclRecord, RemoveTopicRecord

NOT_FOUND = ErrorCode.FETCH_SESSION_ID_NOT_FOUND
BY_ID = 13


def ask(
    bench: Bench,
    version: int = BY_ID,
    *,
    named: dict[int, int] | None = None,
    topic: str = "orders",
    topic_id: TopicId = ORDERS,
    **session: Any,
) -> None:
    """Fetch; ``named``: partition -> offset."""
    parts = tuple(
        fetch.FetchPartition(partition=number, fetch_offset=offset, partition_max_bytes=99)
        for number, offset in (named or {}).items()
    )
    topics = (fetch.FetchTopic(topic=topic, topic_id=topic_id, partitions=parts),)
    body = fetch.FetchRequest(
        max_wait_ms=500, min_bytes=1, topics=topics if parts else (), **session
    )
    bench.send(ApiKey.FETCH, version, body)


def only(bench: Bench) -> Any:
    [(_, answer)] = bench.answers()
    return answer


def told(number: int, frame: int = -1) -> native.FetchedPartition:
    return native.FetchedPartition(ORDERS, number, 0, Offset(9), Offset(0), frame)


def begun(bench: Bench, version: int = BY_ID) -> int:
    """Begin a session of two partitions; returns its number."""
    ask(bench, version, named={0: 5, 1: 6}, session_epoch=0)
    [question] = bench.questions()
    assert (question.session_epoch, question.whole) == (0, True)
    assert question.session_id > 0
    answer = native.FetchResponse(0, (told(0), told(1)), question.session_id)
    bench.reply(answer)
    response = only(bench)
    assert [one.partition_index for one in response.responses[0].partitions] == [0, 1]
    session_id: int = response.session_id
    assert session_id == question.session_id
    return session_id


@pytest.mark.parametrize("version", [7, 12, BY_ID, 17])
def test_a_session_names_what_is_new_and_is_told_what_is_new(version: int) -> None:
    bench = Bench()
    session_id = begun(bench, version)
    ask(bench, version, named={1: 8}, session_id=session_id, session_epoch=1)
    [question] = bench.questions()
    assert (question.session_id, question.session_epoch) == (session_id, 1)
    assert not question.whole
    assert [(part.partition, part.offset) for part in question.partitions] == [(1, 8)]
    bench.reply(native.FetchResponse(0, (told(0, 0),), session_id), (b"records",))
    response = only(bench)
    assert (response.error_code, response.session_id) == (0, session_id)
    [topic] = response.responses
    assert (topic.topic, topic.topic_id) in (("orders", bytes(16)), ("", ORDERS))
    [part] = topic.partitions
    assert (part.partition_index, bytes(part.records)) == (0, b"records")


@pytest.mark.parametrize("version", [12, BY_ID])
def test_what_is_forgotten_is_taken_out(version: int) -> None:
    bench = Bench()
    session_id = begun(bench, version)
    gone = fetch.ForgottenTopic(topic="orders", topic_id=ORDERS, partitions=(0,))
    nobody = fetch.ForgottenTopic(topic="nowhere", topic_id=b"?" * 16, partitions=(0,))
    ask(
        bench,
        version,
        session_id=session_id,
        session_epoch=1,
        forgotten_topics_data=(gone, nobody),
    )
    [question] = bench.questions()
    assert question.forgotten == (PartitionKey(ORDERS, 0),)


def test_a_session_of_another_number_is_not_found() -> None:
    bench = Bench()
    session_id = begun(bench)
    ask(bench, session_id=session_id + 1, session_epoch=1)
    assert (only(bench).error_code, bench.asked) == (NOT_FOUND, [])


def test_a_session_is_begun_anew_when_others_may_read_what_it_holds() -> None:
    bench = Bench()
    session_id = begun(bench)
    acl = AclRecord(ResourceType.TOPIC, PatternType.LITERAL, "orders")
    bench.context.image.apply_record(acl)
    ask(bench, session_id=session_id, session_epoch=1)
    assert (only(bench).error_code, bench.asked) == (NOT_FOUND, [])
    assert begun(bench) == session_id


def test_a_session_that_is_refused_is_told_so_as_a_whole() -> None:
    bench = Bench()
    session_id = begun(bench)
    ask(bench, session_id=session_id, session_epoch=3)
    bench.reply(native.FetchResponse(ErrorCode.INVALID_FETCH_SESSION_EPOCH))
    response = only(bench)
    assert response.error_code == ErrorCode.INVALID_FETCH_SESSION_EPOCH
    assert response.responses == ()
    ask(bench, session_id=session_id, session_epoch=4)
    assert only(bench).error_code == NOT_FOUND


def test_without_room_there_is_none_and_everything_is_named_each_time() -> None:
    bench = Bench()
    ask(bench, named={0: 5}, session_epoch=0)
    [question] = bench.questions()
    bench.reply(native.FetchResponse(0, (told(0),)))
    assert only(bench).session_id == 0
    ask(bench, session_id=question.session_id, session_epoch=1)
    assert only(bench).error_code == NOT_FOUND


def test_a_topic_that_is_not_known_by_its_name_is_told_of_each_time() -> None:
    bench = Bench()
    ask(bench, 12, named={0: 5}, topic="nowhere", session_epoch=0)
    [question] = bench.questions()
    assert question.session_id == native.NO_FETCH_SESSION
    bench.reply(native.FetchResponse(0))
    assert only(bench).responses[0].partitions[0].error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    session_id = begun(bench, 12)
    ask(bench, 12, named={0: 5}, topic="nowhere", session_id=session_id, session_epoch=1)
    assert only(bench).error_code == NOT_FOUND


def test_a_topic_that_is_made_anew_under_its_name_begins_the_session_anew() -> None:
    bench = Bench()
    session_id = begun(bench, 12)
    bench.context.image.apply_record(RemoveTopicRecord(ORDERS))
    bench.context.image.topic_ids["orders"] = TopicId(b"another".ljust(16, b"."))
    ask(bench, 12, named={0: 0}, session_id=session_id, session_epoch=1)
    assert only(bench).error_code == NOT_FOUND


def test_nobody_gets_the_session_of_a_follower() -> None:
    bench = Bench()
    state = fetch.ReplicaState(replica_id=2, replica_epoch=1)
    ask(bench, 17, named={0: 0}, session_epoch=0, replica_state=state)
    [question] = bench.questions()
    assert question.session_id == native.NO_FETCH_SESSION


def test_who_has_gone_has_no_session_any_more() -> None:
    bench = Bench()
    begun(bench)
    bench.listener.on_stream_end(LAST, NOW)
    bench.end_turn()
    [farewell] = bench.questions()
    assert farewell == fetch_session.FAREWELL


# Where fetches are answered


class Reader:
    """A consumer with a session at the leader of some partitions."""

    def __init__(self, fleet: PartitionFleet, *keys: PartitionKey) -> None:
        self.fleet, self.epoch = fleet, -1
        self.leader = fleet.leader(keys[0])
        self.answer = self.fetch(dict.fromkeys(keys, 0), whole=True)

    def fetch(
        self,
        named: dict[PartitionKey, int] | None = None,
        forgotten: tuple[PartitionKey, ...] = (),
        *,
        whole: bool = False,
        max_wait_ms: int = 0,
    ) -> native.FetchResponse:
        self.epoch += 1
        parts = tuple(
            native.FetchPartition(*key, LeaderEpoch(-1), Offset(offset), 1 << 20)
            for key, offset in (named or {}).items()
        )
        body = native.FetchRequest(
            max_wait_ms,
            1,
            1 << 20,
            parts,
            session_id=7,
            session_epoch=self.epoch,
            forgotten=forgotten,
            whole=whole,
        )
        answer, _ = self.fleet.ask_whole(self.leader, body)
        assert isinstance(answer, native.FetchResponse)
        self.fleet.server(self.leader).replicas.check()
        return answer

    def told(self, **how: Any) -> list[tuple[int, bool]]:
        """Return what the next fetch tells of: (partition, whether with records)."""
        answer = self.fetch(**how)
        assert (answer.error, answer.session_id) == (ErrorCode.NONE, 7)
        return [(one.partition, one.frame >= 0) for one in answer.partitions]


@pytest.fixture
def fleet() -> PartitionFleet:
    fleet = PartitionFleet(1)
    fleet.settle()
    return fleet


def test_records_are_told_until_their_reader_goes_on(fleet: PartitionFleet) -> None:
    key = fleet.create("t", 2)
    fleet.produce(1, key, make_batch(b"a"))
    reader = Reader(fleet, key, key._replace(partition=1))
    assert [(one.partition, one.frame >= 0) for one in reader.answer.partitions] == [
        (0, True),
        (1, False),
    ]
    assert reader.told() == [(0, True)], "it has thrown them away"
    assert reader.told(named={key: 1}) == [(0, False)], "how far it is committed"
    assert reader.told() == []
    fleet.produce(1, key._replace(partition=1), make_batch(b"b"))
    assert reader.told() == [(1, True)]
    assert reader.told(forgotten=(key._replace(partition=1),)) == []


def test_a_reader_that_waits_is_woken_by_what_it_has_named_long_ago(fleet: PartitionFleet) -> None:
    key = fleet.create()
    reader = Reader(fleet, key)
    answers: list[Any] = []
    body = native.FetchRequest(30_000, 1, 1 << 20, (), session_id=7, session_epoch=1)
    fleet.post_whole(reader.leader, body, answers, timeout_ms=60_000)
    fleet.world.run_for(100)
    assert answers == []
    fleet.produce(1, key, make_batch(b"a"))
    fleet.wait(lambda: bool(answers))
    [(answer, payload)] = answers
    assert [one.frame for one in answer.partitions] == [0]
    assert payload


def test_a_topic_that_goes_is_told_of(fleet: PartitionFleet) -> None:
    key = fleet.create()
    reader = Reader(fleet, key)
    assert reader.told() == []
    fleet.delete()
    fleet.wait(lambda: key.topic_id not in fleet.server(1).context.image.topics)
    answer = reader.fetch()
    [part] = answer.partitions
    assert part.error in (ErrorCode.UNKNOWN_TOPIC_ID, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)


def test_a_fetch_out_of_order_is_refused_and_one_without_a_session_ends_it(
    fleet: PartitionFleet,
) -> None:
    key = fleet.create()
    reader = Reader(fleet, key)
    reader.epoch += 1
    assert reader.fetch().error == ErrorCode.INVALID_FETCH_SESSION_EPOCH
    fleet.ask(reader.leader, fetch_session.FAREWELL)
    reader.epoch = 0
    assert reader.fetch().error == NOT_FOUND


class Whimsical:
    """A consumer by Kafka's rule that pauses, throws away and begins anew as chance has it."""

    def __init__(self, fleet: PartitionFleet, keys: list[PartitionKey], random: Random) -> None:
        self.fleet, self.random = fleet, random
        self.positions = dict.fromkeys(keys, 0)
        self.named: dict[PartitionKey, int] = {}
        """In the session, as its broker knows it."""
        self.epoch = -1
        self.read: dict[PartitionKey, list[bytes | None]] = {key: [] for key in keys}
        self.whims = 0.2

    def poll(self) -> None:
        wanted = {
            key: offset for key, offset in self.positions.items() if not self._has_a_whim()
        } or dict(self.positions)
        begins = self.epoch < 0 or self.random.random() < self.whims / 4
        if begins:
            self.epoch, self.named = 0, {}
        named = {key: at for key, at in wanted.items() if self.named.get(key) != at}
        forgotten = tuple(key for key in self.named if key not in wanted)
        parts = tuple(
            native.FetchPartition(*key, LeaderEpoch(-1), Offset(offset), 300)
            for key, offset in named.items()
        )
        body = native.FetchRequest(
            *(0, 1, 500, parts),
            session_id=7,
            session_epoch=self.epoch,
            forgotten=forgotten,
            whole=begins,
        )
        answer, payload = self.fleet.ask_whole(1, body)
        assert isinstance(answer, native.FetchResponse)
        assert (answer.error, answer.session_id) == (ErrorCode.NONE, 7)
        self.named, self.epoch = wanted, self.epoch + 1
        for part in answer.partitions:
            key = PartitionKey(part.topic_id, part.partition)
            assert key in wanted, "it is told of what it has named"
            if part.frame >= 0 and not self._has_a_whim():
                found = values_of(payload[part.frame])
                self.read[key] += found
                self.positions[key] += len(found)

    def _has_a_whim(self) -> bool:
        return self.random.random() < self.whims


def read_whimsically(
    fleet: PartitionFleet, keys: list[PartitionKey], random: Random, *, polls: int
) -> None:
    """Write and read as chance has it; everything has been read after so many polls without a whim."""
    reader = Whimsical(fleet, keys, random)
    written: dict[PartitionKey, list[bytes]] = {key: [] for key in keys}
    for number in range(60):
        key = random.choice(keys)
        written[key].append(b"%d" % number)
        fleet.produce(1, key, make_batch(written[key][-1]))
        if random.random() < 0.7:
            reader.poll()
    reader.whims = 0
    for _ in range(polls):
        reader.poll()
    assert reader.read == written
    fleet.server(1).replicas.check()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_everything_is_read_once_and_in_order_whatever_its_reader_does(
    fleet: PartitionFleet, seed: int
) -> None:
    first = fleet.create("t", 5)
    keys = [first._replace(partition=number) for number in range(5)]
    read_whimsically(fleet, keys, Random(seed), polls=60)
