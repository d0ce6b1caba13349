"""Requests that are larger than a piece: deaths come in between, and the rest goes by the image then."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeGuard

import pytest

from nodes.core.controller.events import (
    Asked,
    Committed,
    ControllerEvent,
    ControllerSettings,
    LiveBrokers,
    Resigned,
)
from tests.unit.controller.cluster import NOW, Cluster, begin, broker, epoch_of, finish, three
from transport.wire.errors import ErrorCode
from transport.wire.ids import BrokerEpoch, NodeId, TopicId
from transport.wire.messages import Message, Refusal
from transport.wire.messages.configs import (
    RESOURCE_BROKER,
    RESOURCE_TOPIC,
    AlterConfigsRequest,
    AlteredConfigs,
    ConfigChange,
    ConfigOp,
)
from transport.wire.messages.metadata import (
    MetadataDelta,
    MetadataRecord,
    PartitionRecord,
    RemoveTopicRecord,
)
from transport.wire.messages.reassignments import (
    ELECT_PREFERRED,
    ControlledShutdownRequest,
    ControlledShutdownResponse,
    DrainBrokerRequest,
    DrainBrokerResponse,
    ElectLeadersRequest,
    ElectLeadersResponse,
)
from transport.wire.messages.topics import (
    CreatePartitionsRequest,
    CreatePartitionsResponse,
    CreateTopicsRequest,
    CreateTopicsResponse,
    DeleteTopicsRequest,
    NewPartitions,
    NewTopic,
    TopicOutcome,
)

PIECE = 4
SMALL_PIECES = ControllerSettings(piece_records=PIECE)


def creation(partitions: int, name: str = "t") -> CreateTopicsRequest:
    return CreateTopicsRequest((NewTopic(name, partitions, 3),), 1_000)


def addition(count: int, name: str = "t") -> CreatePartitionsRequest:
    return CreatePartitionsRequest((NewPartitions(name, count),), 1_000)


def deletion(name: str = "t") -> DeleteTopicsRequest:
    return DeleteTopicsRequest((name,), 1_000)


def least_in_sync(value: int) -> AlterConfigsRequest:
    change = ConfigChange("min.insync.replicas", ConfigOp.SET, str(value))
    return AlterConfigsRequest((AlteredConfigs(RESOURCE_BROKER, "", (change,)),), 1_000)


def outcome(cluster: Cluster, token: object) -> TopicOutcome:
    answer = cluster.replies[token]
    assert isinstance(answer, CreateTopicsResponse | CreatePartitionsResponse)
    (only,) = answer.topics
    return only


def meanwhile(cluster: Cluster, request: Message, *events: ControllerEvent) -> list[MetadataDelta]:
    """Ask for it; let events come while its first piece is being committed; return what came of all."""
    before = len(cluster.deltas)
    delta = begin(cluster, Asked(request, "asked"))
    for event in events:
        assert not cluster.step(event).append, "one commit at a time"
    finish(cluster, delta)
    return cluster.deltas[before:]


def skewed(partitions: int) -> tuple[Cluster, TopicId]:
    """Return a cluster of small pieces in which broker 2 leads nothing of what it is preferred for."""
    cluster = three(SMALL_PIECES)
    topic_id = cluster.create("t", partitions, 3)
    for draining in (True, False):
        cluster.ask(DrainBrokerRequest(NodeId(2), draining, 1_000))
    return cluster, topic_id


def below_least(partitions: int) -> Cluster:
    """Return a cluster in which one broker of three is left, and the others are electable."""
    cluster = three(ControllerSettings(piece_records=PIECE, min_insync_replicas=2))
    cluster.create("t", partitions, 3)
    cluster.live(broker(1))
    return cluster


LARGE: dict[str, Callable[[], tuple[Cluster, Message]]] = {
    "creation": lambda: (three(SMALL_PIECES), creation(60)),
    "creations": lambda: (
        three(SMALL_PIECES),
        CreateTopicsRequest(tuple(NewTopic(f"t{n}", 2, 3) for n in range(30)), 1_000),
    ),
    "addition": lambda: (with_topic(6), addition(66)),
    "drain": lambda: (with_topic(180), DrainBrokerRequest(NodeId(1), True, 1_000)),
    "departure": lambda: (
        with_topic(180),
        ControlledShutdownRequest(NodeId(1), BrokerEpoch(101)),
    ),
    "elections": lambda: (skewed(180)[0], ElectLeadersRequest(ELECT_PREFERRED, None, 1_000)),
    "configs": lambda: (below_least(60), least_in_sync(1)),
}


def with_topic(partitions: int) -> Cluster:
    cluster = three(SMALL_PIECES)
    cluster.create("t", partitions, 3)
    return cluster


@pytest.mark.parametrize("name", LARGE)
def test_a_death_waits_for_a_piece_of_a_request_and_not_for_all(name: str) -> None:
    cluster, request = LARGE[name]()
    dead = cluster.image.live_brokers()[-1].id
    rest = tuple(broker for broker in cluster.image.live_brokers() if broker.id != dead)
    commits = meanwhile(cluster, request, LiveBrokers(rest))
    sizes = [len(delta.records) for delta in commits]
    (known,) = [
        number
        for number, delta in enumerate(commits)
        if any(getattr(record, "id", None) == dead for record in delta.records)
    ]
    assert sum(sizes[:known]) <= 2 * (PIECE + 1), "a piece before it has come, and one more"
    assert max(sizes) <= PIECE + 1
    assert "asked" in cluster.replies
    for partitions in cluster.image.partitions.values():
        for record in partitions.values():
            assert dead not in record.isr or not rest, record


def test_what_is_smaller_than_a_piece_is_decided_together() -> None:
    cluster = three(SMALL_PIECES)
    for number in range(4):
        cluster.core.step(Asked(creation(2, f"t{number}"), number), NOW)
    (delta,) = cluster.step(Asked(creation(2, "t"), "t")).append
    assert len(delta.records) == 5 * 3
    cluster.commit(delta)
    assert set(cluster.replies) >= {0, 1, 2, 3, "t"}


# Partitions to make


def test_what_is_made_after_a_death_is_on_those_who_are_alive_then() -> None:
    cluster = Cluster(settings=SMALL_PIECES)
    everybody = [broker(node) for node in range(1, 6)]
    cluster.live(*everybody, takeover=True)
    commits = meanwhile(cluster, creation(60), LiveBrokers(tuple(everybody[:4])))
    later = [record for delta in commits[3:] for record in delta.records if _is_new(record)]
    assert len(later) > 40
    assert not any(5 in record.replicas for record in later)
    leaders = [record.leader for record in cluster.image.partitions[_id(cluster)].values()]
    assert {leaders.count(NodeId(node)) for node in range(1, 5)} == {15}, "evenly, as a whole"
    assert outcome(cluster, "asked").error == ErrorCode.NONE


def _id(cluster: Cluster, name: str = "t") -> TopicId:
    return cluster.image.topic_ids[name]


def test_who_has_joined_meanwhile_gets_its_share_of_the_rest() -> None:
    cluster = three(SMALL_PIECES)
    everybody = tuple(broker(node) for node in range(1, 5))
    meanwhile(cluster, creation(60), LiveBrokers(everybody))
    leaders = [record.leader for record in cluster.image.partitions[_id(cluster)].values()]
    assert {leaders.count(NodeId(node)) for node in range(1, 5)} == {15}


def test_who_dies_is_among_the_replicas_of_the_rest_where_the_others_are_too_few() -> None:
    cluster = three(SMALL_PIECES)
    meanwhile(cluster, creation(30), LiveBrokers((broker(1), broker(3))))
    records = cluster.image.partitions[_id(cluster)].values()
    assert len(records) == 30
    assert all(set(record.replicas) == {1, 2, 3} for record in records)
    assert all(set(record.isr) == {1, 3} for record in records)


def test_a_topic_deleted_while_it_is_being_made_stays_deleted() -> None:
    cluster = three(SMALL_PIECES)
    commits = meanwhile(cluster, creation(60), Asked(deletion(), "deleted"))
    assert "t" not in cluster.image.topic_ids
    assert not cluster.image.partitions
    assert sum(len(delta.records) for delta in commits) < 20, "the rest is not made at all"
    assert any(
        [type(record) for record in delta.records] == [RemoveTopicRecord] for delta in commits
    )
    assert outcome(cluster, "asked").error == ErrorCode.NONE, "it was made, and deleted since"


@pytest.mark.parametrize("request_", [creation(60), addition(60)])
def test_a_topic_made_anew_under_the_name_of_a_deleted_one_gets_nothing_of_it(
    request_: Message,
) -> None:
    cluster = three(SMALL_PIECES)
    if isinstance(request_, CreatePartitionsRequest):
        cluster.create("t", 3, 3)
    meanwhile(cluster, request_, Asked(deletion(), "deleted"), Asked(creation(2), "anew"))
    anew = outcome(cluster, "anew")
    assert anew.error == ErrorCode.NONE
    assert _id(cluster) == anew.topic_id
    assert set(cluster.image.partitions[anew.topic_id]) == {0, 1}
    assert cluster.image.topics[anew.topic_id].partition_count == 2
    if isinstance(request_, CreatePartitionsRequest):
        assert outcome(cluster, "asked").error == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


def test_an_addition_changes_nothing_else_of_its_topic() -> None:
    cluster = three(SMALL_PIECES)
    topic_id = cluster.create("t", 3, 3)
    change = ConfigChange("retention.ms", ConfigOp.SET, "60000")
    altered = AlterConfigsRequest((AlteredConfigs(RESOURCE_TOPIC, "t", (change,)),), 1_000)
    meanwhile(cluster, addition(40), Asked(altered, "altered"))
    topic = cluster.image.topics[topic_id]
    assert (topic.partition_count, dict(topic.configs)) == (40, {"retention.ms": "60000"})


def test_of_two_additions_of_the_same_one_is_told_that_it_has_been_done() -> None:
    cluster = three(SMALL_PIECES)
    topic_id = cluster.create("t", 3, 3)
    commits = meanwhile(cluster, addition(40), Asked(addition(40), "again"))
    assert cluster.image.topics[topic_id].partition_count == 40
    assert sorted(cluster.image.partitions[topic_id]) == list(range(40))
    made = [record for delta in commits for record in delta.records]
    assert len(made) == 37 + 1, "each once, and the count"
    errors = {outcome(cluster, token).error for token in ("asked", "again")}
    assert errors == {ErrorCode.NONE, ErrorCode.INVALID_PARTITIONS}


def test_an_addition_never_makes_a_topic_smaller() -> None:
    cluster = three(SMALL_PIECES)
    topic_id = cluster.create("t", 3, 3)
    explicit = NewPartitions("t", 60, ((NodeId(1), NodeId(2), NodeId(3)),) * 57)
    larger = CreatePartitionsRequest((explicit,), 1_000)
    meanwhile(cluster, addition(40), Asked(larger, "larger"))
    assert outcome(cluster, "larger").error == ErrorCode.NONE
    assert outcome(cluster, "asked").error == ErrorCode.INVALID_PARTITIONS
    assert cluster.image.topics[topic_id].partition_count == 60
    assert sorted(cluster.image.partitions[topic_id]) == list(range(60))


def test_where_nobody_is_left_the_rest_is_made_when_somebody_is_back() -> None:
    cluster = three(SMALL_PIECES)
    meanwhile(cluster, creation(30), LiveBrokers(()))
    told = outcome(cluster, "asked")
    assert told.error == ErrorCode.REQUEST_TIMED_OUT
    assert len(cluster.image.partitions[told.topic_id]) < 30
    cluster.live(broker(2, 202))
    assert sorted(cluster.image.partitions[told.topic_id]) == list(range(30))
    cluster.live(broker(1, 201), broker(2, 202), broker(3, 203))
    assert all(record.leader > 0 for record in cluster.image.partitions[told.topic_id].values())


def test_an_addition_that_nobody_is_left_for_is_refused_and_can_be_asked_for_again() -> None:
    cluster = three(SMALL_PIECES)
    topic_id = cluster.create("t", 3, 3)
    meanwhile(cluster, addition(30), LiveBrokers(()))
    assert outcome(cluster, "asked").error == ErrorCode.INVALID_REPLICATION_FACTOR
    assert cluster.image.topics[topic_id].partition_count == 3, "nobody is shown what is there"
    cluster.live(broker(1, 201), broker(2, 202), broker(3, 203))
    answer = cluster.ask(addition(30))
    assert answer.topics[0].error == ErrorCode.NONE
    assert sorted(cluster.image.partitions[topic_id]) == list(range(30))


@pytest.mark.parametrize("piece_records", [PIECE, 10_000])
def test_what_is_placed_by_hand_is_one_commit_whatever_else_is_asked_for(
    piece_records: int,
) -> None:
    cluster = three(ControllerSettings(piece_records=piece_records, commit_bytes_max=20_000))
    by_hand = NewTopic("by-hand", assignments=((NodeId(1), NodeId(2)),) * 20)
    topics = NewTopic("first", 30, 3), by_hand, NewTopic("last", 30, 3)
    commits = meanwhile(
        cluster, CreateTopicsRequest(topics, 1_000), LiveBrokers((broker(1), broker(2)))
    )
    topic_id = _id(cluster, "by-hand")
    made = [
        sum(record.topic_id == topic_id for record in delta.records if _is_new(record))
        for delta in commits
    ]
    assert [count for count in made if count] == [20], made
    answer = cluster.replies["asked"]
    assert isinstance(answer, CreateTopicsResponse)
    assert [one.name for one in answer.topics] == ["first", "by-hand", "last"], "as it was asked"


def _is_new(record: MetadataRecord) -> TypeGuard[PartitionRecord]:
    return isinstance(record, PartitionRecord) and record.partition_epoch == 0


def test_a_successor_lets_deaths_come_while_it_finishes_what_was_left() -> None:
    before = three(SMALL_PIECES)
    delta = begin(before, Asked(creation(60), "lost"))
    before.image.apply(delta)
    heir = Cluster(before.image, SMALL_PIECES, epoch=2)
    delta = begin(heir, LiveBrokers((broker(1), broker(2), broker(3)), takeover=True))
    heir.step(LiveBrokers((broker(1), broker(3))))
    finish(heir, delta)
    known = next(
        number
        for number, delta in enumerate(heir.deltas)
        if any(getattr(record, "id", None) == 2 for record in delta.records)
    )
    assert known <= 2
    records = heir.image.partitions[_id(heir)].values()
    assert len(records) == 60
    assert all(set(record.isr) == {1, 3} for record in records)


def test_a_creation_between_two_pieces_ends_with_the_reign() -> None:
    cluster = three(SMALL_PIECES)
    delta = begin(cluster, Asked(creation(60), "asked"))
    effects = cluster.step(Resigned())
    (answer,) = effects.reply
    unknown = Refusal(ErrorCode.REQUEST_TIMED_OUT, "resigned; the outcome is not known")
    assert (answer.token, answer.message) == ("asked", unknown)
    assert not cluster.step(Committed(delta.version)).append


# Leaders to move


def test_who_is_to_lead_again_is_drained_no_further() -> None:
    cluster = with_topic(90)
    undone = DrainBrokerRequest(NodeId(1), False, 1_000)
    meanwhile(cluster, DrainBrokerRequest(NodeId(1), True, 1_000), Asked(undone, "undone"))
    answer = cluster.replies["asked"]
    assert isinstance(answer, DrainBrokerResponse)
    assert answer.error == ErrorCode.NONE
    led = [record.leader for record in cluster.image.partitions[_id(cluster)].values()]
    assert led.count(NodeId(1)) > 15
    assert not cluster.image.brokers[NodeId(1)].draining


def test_who_registers_anew_hands_nothing_over_for_its_predecessor() -> None:
    cluster = with_topic(90)
    request = ControlledShutdownRequest(NodeId(1), epoch_of(cluster, 1))
    anew = LiveBrokers((broker(1, 201), broker(2), broker(3)))
    meanwhile(cluster, request, anew)
    answer = cluster.replies["asked"]
    assert isinstance(answer, ControlledShutdownResponse)
    assert answer.error == ErrorCode.STALE_BROKER_EPOCH
    assert not cluster.image.brokers[NodeId(1)].leaving


def test_of_a_topic_deleted_meanwhile_nobody_hears_who_asked_for_all() -> None:
    cluster, _ = skewed(60)
    cluster.create("u", 9, 3)
    commits = meanwhile(
        cluster, ElectLeadersRequest(ELECT_PREFERRED, None, 1_000), Asked(deletion(), "deleted")
    )
    assert commits
    answer = cluster.replies["asked"]
    assert isinstance(answer, ElectLeadersResponse)
    assert {one.error for one in answer.partitions} == {ErrorCode.NONE}
    assert len(answer.partitions) < 10


def test_what_is_settled_by_a_config_goes_by_who_is_alive_then() -> None:
    cluster = below_least(30)
    meanwhile(cluster, least_in_sync(1), LiveBrokers((broker(2, 202),)))
    for record in cluster.image.partitions[_id(cluster)].values():
        assert record.leader in (-1, 2), record
    cluster.core.check()
