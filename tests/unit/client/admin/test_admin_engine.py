"""The admin client's program against scripted brokers."""

from __future__ import annotations

from typing import Any

import pytest

from nodes.broker.api.administration import SUBJECTS_MAX
from nodes.broker.api.metadata import NAMES_MAX
from odradek.admin import pieces
from odradek.admin.client import ConfigResource, ConfigResourceType, NewPartitions, NewTopic
from odradek.admin.engine import AdminEngine
from odradek.errors import (
    ClientTimeoutError,
    InvalidPartitionsError,
    InvalidReplicationFactorError,
    NoClusterError,
    OdradekError,
    OffsetOutOfRangeError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
)
from transport.wire.codec import Envelope
from transport.wire.errors import ErrorCode
from transport.wire.ids import NodeId, TopicPartition
from transport.wire.messages import Message, Refusal
from transport.wire.messages.configs import (
    DescribeConfigsRequest,
    DescribeConfigsResponse,
    DescribedConfig,
    DescribedConfigs,
)
from transport.wire.messages.deletion import (
    DeletedRecords,
    DeleteRecordsRequest,
    DeleteRecordsResponse,
)
from transport.wire.messages.metadata import MetadataRequest
from transport.wire.messages.topics import (
    CreatePartitionsRequest,
    CreateTopicsRequest,
    CreateTopicsResponse,
    DeleteTopicsRequest,
    DescribeTopicsRequest,
    TopicOutcome,
)
from transport.wire.messages.topics import NewPartitions as WirePartitions
from transport.wire.messages.topics import NewTopic as WireTopic

UNHEARD_OF = DescribedConfig("where", "here", 99)


def make(cluster: Any) -> AdminEngine:
    engine = AdminEngine(cluster.bootstrap)
    cluster.start(engine)
    return engine


def create(engine: AdminEngine, cluster: Any, *topics: NewTopic, timeout_ms: int = 2_000) -> Any:
    told: list[Any] = []
    wanted = [topic.on_the_wire() for topic in topics]
    engine.topics.create(wanted, timeout_ms, lambda end, _now: told.append(end), cluster.now)
    cluster.settle()
    return told


def test_a_topic_is_created_and_described(cluster: Any) -> None:
    engine = make(cluster)
    configs = {"retention.ms": 5, "preallocate": True}
    assert create(engine, cluster, NewTopic("t", 3, 3, topic_configs=configs)) == [None]
    assert cluster.topics["t"].configs == {"retention.ms": "5", "preallocate": "true"}
    told: list[Any] = []
    engine.topics.describe(["t"], 1_000, lambda topics, _now: told.append(topics), cluster.now)
    cluster.settle()
    (topic,) = told[0]
    assert (topic.name, topic.configs["retention.ms"]) == ("t", "5")
    assert [part.partition for part in topic.partitions] == [0, 1, 2]
    assert [part.leader for part in topic.partitions] == [1, 2, 3]
    assert all(part.high_watermark == part.log_end_offset == 0 for part in topic.partitions)
    assert all(part.isr == part.replicas == (1, 2, 3) for part in topic.partitions)


def test_creating_waits_for_the_full_isr(cluster: Any) -> None:
    engine = make(cluster)
    told: list[Any] = []
    engine.topics.create(
        [NewTopic("t", 1, 3).on_the_wire()], 5_000, lambda end, _: told.append(end), cluster.now
    )
    cluster.turn()
    cluster.topics["t"].partitions[0].isr = (1,)
    cluster.advance(300)
    assert told == []
    cluster.topics["t"].partitions[0].isr = (1, 2, 3)
    cluster.advance(100)
    assert told == [None]


def test_a_topic_that_is_not_complete_in_time_says_what_is_missing(cluster: Any) -> None:
    engine = make(cluster)
    cluster.held = set()
    told: list[Any] = []
    engine.topics.create(
        [NewTopic("t", 1, 3).on_the_wire()], 500, lambda end, _: told.append(end), cluster.now
    )
    cluster.turn()
    cluster.topics["t"].partitions[0].isr = (1,)
    cluster.advance(1_000)
    assert isinstance(told[0], ClientTimeoutError)
    assert "the topic was created, but" in str(told[0])
    assert "ISR (1,)" in str(told[0])


CHANGES, NAMES = 10, 50
"""At once; few, so that many more are few, too."""


def test_a_piece_is_as_much_as_a_broker_takes() -> None:
    assert (pieces.CHANGES_MAX, pieces.NAMES_MAX) == (SUBJECTS_MAX, NAMES_MAX)


class Bounded:
    """Has a cluster refuse what its brokers would: the number of things in one request."""

    def __init__(self, cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pieces, "CHANGES_MAX", CHANGES)
        monkeypatch.setattr(pieces, "NAMES_MAX", NAMES)
        cluster.before.append(self._refusal)
        self.sizes: list[int] = []

    def _refusal(self, _node: NodeId, envelope: Envelope) -> Message | None:
        body = envelope.body
        changes = CreateTopicsRequest | DeleteTopicsRequest | CreatePartitionsRequest
        if not isinstance(body, changes | MetadataRequest) or body.topics is None:
            return None
        self.sizes.append(len(body.topics))
        bound = CHANGES if isinstance(body, changes) else NAMES
        return Refusal(ErrorCode.INVALID_REQUEST) if len(body.topics) > bound else None


def test_more_topics_than_a_broker_takes_at_once_go_in_pieces(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bounded, engine = Bounded(cluster, monkeypatch), make(cluster)
    names = [f"t{number:03}" for number in range(2 * NAMES + 1)]
    told: list[Any] = []

    def end(end: Any, _now: Any) -> None:
        told.append(end)

    engine.topics.create([WireTopic(name) for name in names], 60_000, end, cluster.now)
    cluster.settle()
    engine.topics.describe([*names[::-1], names[3]], 60_000, end, cluster.now)
    cluster.settle()
    bounded.sizes.clear()
    more = [WirePartitions(name, 2) for name in names[: CHANGES + 1]]
    engine.topics.add_partitions(more, 60_000, end, cluster.now)
    cluster.settle()
    assert bounded.sizes[:2] == [CHANGES, 1]
    engine.topics.delete(names, 60_000, end, cluster.now)
    cluster.settle()
    created, described, added, deleted = told
    assert (created, added, deleted, cluster.topics) == (None, None, None, {})
    assert [topic.name for topic in described] == names[::-1]


def test_a_topic_that_is_refused_keeps_no_other_piece_from_being_done(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    Bounded(cluster, monkeypatch)
    engine, names = make(cluster), [f"t{number:02}" for number in range(2 * CHANGES)]
    cluster.topic(names[5])
    cluster.topic(names[-1])
    told = create(engine, cluster, *map(NewTopic, names))
    assert isinstance(told[0], TopicAlreadyExistsError)
    assert f"{names[5]!r}" in str(told[0]), "the first"
    assert set(cluster.topics) == set(names)
    missing = [f"x{number}" for number in range(NAMES)]
    engine.topics.describe(
        [*names, *missing], 60_000, lambda end, _now: told.append(end), cluster.now
    )
    cluster.advance(600)
    assert isinstance(told[1], UnknownTopicOrPartitionError)


def test_a_topic_that_exists_is_an_error(cluster: Any) -> None:
    cluster.topic("t")
    (error,) = create(make(cluster), cluster, NewTopic("t"))
    assert isinstance(error, TopicAlreadyExistsError)
    assert "'t'" in str(error)


def test_a_topic_made_by_a_try_whose_answer_was_lost_is_no_error(cluster: Any) -> None:
    engine = make(cluster)
    told: list[Any] = []
    cluster.lose_answers = {1, 2, 3}
    engine.topics.create(
        [NewTopic("t").on_the_wire()], 20_000, lambda end, _: told.append(end), cluster.now
    )
    cluster.settle()
    assert "t" in cluster.topics
    cluster.lose_answers = set()
    cluster.advance(6_000, step_ms=50)
    assert told == [None]
    assert cluster.count(CreateTopicsRequest) == 2


def test_that_one_was_made_before_hides_no_error_of_another(cluster: Any) -> None:
    engine = make(cluster)
    told: list[Any] = []
    cluster.lose_answers = {1, 2, 3}
    wanted = [NewTopic("t").on_the_wire()]
    engine.topics.create(wanted, 20_000, lambda end, _: told.append(end), cluster.now)
    cluster.settle()
    cluster.lose_answers = set()
    outcomes = (
        TopicOutcome("t", ErrorCode.TOPIC_ALREADY_EXISTS),
        TopicOutcome("u", ErrorCode.INVALID_REPLICATION_FACTOR),
    )
    answer = CreateTopicsResponse(ErrorCode.NONE, outcomes)
    cluster.before.append(
        lambda _node, asked: answer if isinstance(asked.body, CreateTopicsRequest) else None
    )
    cluster.advance(6_000, step_ms=50)
    assert isinstance(told[0], InvalidReplicationFactorError)


def test_a_topic_deleted_by_a_try_whose_answer_was_lost_is_no_error(cluster: Any) -> None:
    cluster.topic("t")
    engine = make(cluster)
    told: list[Any] = []
    cluster.lose_answers = {1, 2, 3}
    engine.topics.delete(["t"], 20_000, lambda end, _: told.append(end), cluster.now)
    cluster.settle()
    assert "t" not in cluster.topics
    cluster.lose_answers = set()
    cluster.advance(6_000, step_ms=50)
    assert told == [None]
    assert cluster.count(DeleteTopicsRequest) == 2


def test_a_topic_that_was_never_there_was_not_deleted(cluster: Any) -> None:
    """Who is no controller has done nothing."""
    engine = make(cluster)
    told: list[Any] = []
    cluster.refuse_once(DeleteTopicsRequest, ErrorCode.NOT_CONTROLLER)
    engine.topics.delete(["typo"], 2_000, lambda end, _: told.append(end), cluster.now)
    cluster.settle()
    cluster.advance(500)
    assert isinstance(told[0], UnknownTopicOrPartitionError)


def test_a_refusal_is_asked_again_elsewhere(cluster: Any) -> None:
    engine = make(cluster)
    cluster.refuse_once(CreateTopicsRequest, ErrorCode.NOT_CONTROLLER)
    told = create(engine, cluster, NewTopic("t"))
    cluster.advance(200)
    assert told == [None]


@pytest.mark.parametrize("wished", [False, True])
def test_the_clusters_own_topics_are_told_of_where_that_is_wished(
    cluster: Any, wished: bool
) -> None:
    engine = make(cluster)
    told: list[Any] = []

    def note(topics: Any, _now: Any) -> None:
        told.append(topics)

    engine.topics.list_names(1_000, note, cluster.now, include_internal=wished)
    engine.topics.describe(None, 1_000, note, cluster.now, include_internal=wished)
    cluster.settle()
    asked = [body for _, body in cluster.asked if isinstance(body, MetadataRequest)]
    of_all = [body.include_internal for body in asked if body.topics is None]
    assert (told, of_all) == ([[], []], [wished, wished])


def test_deleting_and_listing(cluster: Any) -> None:
    engine = make(cluster)
    for name in ("b", "a"):
        cluster.topic(name)
    told: list[Any] = []
    engine.topics.list_names(1_000, lambda names, _now: told.append(names), cluster.now)
    engine.topics.delete(["b"], 1_000, lambda end, _now: told.append(end), cluster.now)
    cluster.settle()
    engine.topics.delete(["b"], 1_000, lambda end, _now: told.append(end), cluster.now)
    cluster.settle()
    assert told[:2] == [["a", "b"], None]
    assert isinstance(told[2], UnknownTopicOrPartitionError)
    assert "'b'" in str(told[2])


def test_a_topic_that_is_named_twice_is_deleted_once(cluster: Any) -> None:
    engine = make(cluster)
    for name in ("b", "a"):
        cluster.topic(name)
    told: list[Any] = []
    engine.topics.delete(["b", "a", "b"], 1_000, lambda end, _now: told.append(end), cluster.now)
    cluster.settle()
    assert (told, cluster.topics) == ([None], {})


def test_describing_goes_on_without_a_leader_that_is_gone(cluster: Any) -> None:
    cluster.topic("t", 3)
    engine = make(cluster)
    cluster.kill(2, elect=False)
    cluster.settle()
    told: list[Any] = []
    engine.topics.describe(["t"], 10_000, lambda topics, _now: told.append(topics), cluster.now)
    cluster.advance(3_000)
    (topic,) = told[0]
    assert [part.high_watermark for part in topic.partitions] == [0, -1, 0]
    assert not topic.partitions[1].complete


def test_no_leader_is_none(cluster: Any) -> None:
    cluster.topic("t")
    engine = make(cluster)
    cluster.elect("t", 0, -1)
    told: list[Any] = []
    engine.topics.describe(["t"], 1_000, lambda topics, _now: told.append(topics), cluster.now)
    cluster.settle()
    assert told[0][0].partitions[0].leader is None
    assert cluster.count(DescribeTopicsRequest) == 0


def test_an_unknown_topic_cannot_be_described(cluster: Any) -> None:
    engine = make(cluster)
    told: list[Any] = []
    engine.topics.describe(["x"], 300, lambda topics, _now: told.append(topics), cluster.now)
    cluster.advance(400)
    assert isinstance(told[0], UnknownTopicOrPartitionError)


def test_the_cluster_is_described(cluster: Any) -> None:
    engine = make(cluster)
    told: list[Any] = []
    engine.describe_cluster(1_000, lambda described, _now: told.append(described), cluster.now)
    cluster.settle()
    assert (told[0].cluster_id, told[0].controller_id) == ("scripted", 1)
    assert [broker.id for broker in told[0].brokers] == [1, 2, 3]


def test_a_cluster_that_is_not_there_is_told_as_such(cluster: Any) -> None:
    for node in (1, 2, 3):
        cluster.brokers[node] = False
    engine = make(cluster)
    told: list[Any] = []
    engine.topics.list_names(1_000, lambda names, _now: told.append(names), cluster.now)
    cluster.advance(2_000)
    assert isinstance(told[0], OdradekError)
    assert isinstance(told[0], NoClusterError)
    assert "tcp://h:9001" in str(told[0])


def test_partitions_are_added_and_waited_for(cluster: Any) -> None:
    cluster.topic("t", 2)
    engine = make(cluster)
    told: list[Any] = []
    wanted = [NewPartitions(4).on_the_wire("t")]
    engine.topics.add_partitions(wanted, 2_000, lambda end, _: told.append(end), cluster.now)
    cluster.settle()
    assert told == [None]
    assert len(cluster.topics["t"].partitions) == 4
    engine.topics.add_partitions(wanted, 2_000, lambda end, _: told.append(end), cluster.now)
    cluster.settle()
    assert isinstance(told[1], InvalidPartitionsError)


def test_partitions_that_are_not_complete_in_time_are_said_to_be_added(cluster: Any) -> None:
    cluster.topic("t", 2)
    engine = make(cluster)
    told: list[Any] = []
    wanted = [NewPartitions(3).on_the_wire("t")]
    engine.topics.add_partitions(wanted, 500, lambda end, _: told.append(end), cluster.now)
    cluster.turn()
    cluster.topics["t"].partitions[2].isr = (1,)
    cluster.advance(1_000)
    assert isinstance(told[0], ClientTimeoutError)
    assert str(told[0]).startswith("the partitions were added, but in the time given t-2 had ISR")


def test_partitions_added_by_a_try_whose_answer_was_lost_are_no_error(cluster: Any) -> None:
    cluster.topic("t", 2)
    engine = make(cluster)
    told: list[Any] = []
    cluster.lose_answers = {1, 2, 3}
    wanted = [NewPartitions(4).on_the_wire("t")]
    engine.topics.add_partitions(wanted, 20_000, lambda end, _: told.append(end), cluster.now)
    cluster.settle()
    cluster.lose_answers = set()
    cluster.advance(6_000, step_ms=50)
    assert told == [None]
    assert cluster.count(CreatePartitionsRequest) == 2


def test_configs_of_a_broker_are_asked_of_itself_and_errors_name_whose(cluster: Any) -> None:
    cluster.topic("t")
    engine = make(cluster)
    cluster.settle()
    told: list[Any] = []
    broker, topic = ConfigResourceType.BROKER, ConfigResourceType.TOPIC
    wanted = [ConfigResource(broker, 3), ConfigResource(topic, "t"), ConfigResource(broker, "")]
    engine.configs.describe(wanted, 2_000, lambda end, _: told.append(end), cluster.now)
    cluster.settle()
    assert [one.name for one in told[0]] == ["3", "t", ""]
    assert told[0][0].configs["where"].value == "3"
    asked = [ConfigResource(broker, 9)]
    engine.configs.describe(asked, 500, lambda end, _: told.append(end), cluster.now)
    cluster.settle()
    assert "there are: 1, 2, 3" in str(told[1])


def test_configs_of_a_broker_are_asked_for_again_where_its_connection_ends(cluster: Any) -> None:
    engine = make(cluster)
    cluster.settle()
    told: list[Any] = []
    cluster.refuse_once(DescribeConfigsRequest, ErrorCode.DISCONNECTED)
    asked = [ConfigResource(ConfigResourceType.BROKER, 3)]
    engine.configs.describe(asked, 2_000, lambda end, _: told.append(end), cluster.now)
    cluster.settle()
    assert told == []
    cluster.advance(100)
    assert told[0][0].configs["where"].value == "3"


@pytest.mark.parametrize("resources", [(), (DescribedConfigs(1, "t", 0, "", (UNHEARD_OF,)),)])
def test_configs_that_cannot_be_read_are_an_error(
    cluster: Any, resources: tuple[DescribedConfigs, ...]
) -> None:
    engine = make(cluster)
    told: list[Any] = []
    cluster.before.append(lambda _node, asked: answer_to(asked, resources))
    asked = [ConfigResource(ConfigResourceType.TOPIC, "t")]
    engine.configs.describe(asked, 2_000, lambda end, _: told.append(end), cluster.now)
    cluster.settle()
    assert "does not know" in str(told[0])


def answer_to(asked: Envelope, resources: tuple[DescribedConfigs, ...]) -> Message | None:
    if isinstance(asked.body, DescribeConfigsRequest):
        return DescribeConfigsResponse(0, resources)
    return None


def test_configs_are_altered(cluster: Any) -> None:
    topic = cluster.topic("t")
    engine = make(cluster)
    told: list[Any] = []
    for name in ("t", "u"):
        new = ConfigResource(ConfigResourceType.TOPIC, name, {"a": True, "b": None})
        engine.configs.alter([new], 2_000, lambda end, _: told.append(end), cluster.now)
        cluster.settle()
    assert told[0] is None
    assert topic.configs == {"a": "true", "b": ""}
    assert isinstance(told[1], UnknownTopicOrPartitionError)
    assert "u:" in str(told[1])


def test_records_are_deleted_by_their_leaders(cluster: Any) -> None:
    topic = cluster.topic("t", 2)
    for number, end in ((0, 10), (1, 20)):
        topic.partitions[number].end = end
    engine = make(cluster)
    told: list[Any] = []

    def delete(wanted: dict[TopicPartition, int]) -> Any:
        engine.records.delete(wanted, 2_000, lambda end, _: told.append(end), cluster.now)
        cluster.advance(2_500)
        return told[-1]

    first, second = TopicPartition("t", 0), TopicPartition("t", 1)
    assert delete({second: -1, first: 4}) == {second: 20, first: 4}
    wrong = delete({first: 11})
    assert isinstance(wrong, OffsetOutOfRangeError)
    assert "t-0:" in str(wrong)
    assert isinstance(delete({TopicPartition("u", 0): 1}), UnknownTopicOrPartitionError)
    absent = delete({TopicPartition("t", 2): 1})
    assert isinstance(absent, UnknownTopicOrPartitionError)
    assert str(absent) == "topic 't' has partitions 0 to 1, not 2"
    assert delete({}) == {}
    assert len(told) == 5


def test_a_deletion_goes_on_with_the_next_leader(cluster: Any) -> None:
    topic = cluster.topic("t", 1)
    topic.partitions[0].end = 10
    engine = make(cluster)
    asked: list[int] = []

    def not_here(node: NodeId, envelope: Envelope) -> Message | None:
        if not isinstance(envelope.body, DeleteRecordsRequest):
            return None
        asked.append(node)
        if len(asked) > 1:
            return None
        (part,) = envelope.body.partitions
        error = ErrorCode.NOT_LEADER_OR_FOLLOWER
        return DeleteRecordsResponse(0, (DeletedRecords(part.topic_id, 0, error),))

    cluster.before.append(not_here)
    told: list[Any] = []
    wanted = {TopicPartition("t", 0): 5}
    engine.records.delete(wanted, 2_000, lambda end, _: told.append(end), cluster.now)
    cluster.advance(500)
    assert told == [{TopicPartition("t", 0): 5}]
    assert len(asked) == 2
