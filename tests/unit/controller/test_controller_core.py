"""The controller's core, by values: events in, records and answers out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from nodes.core.controller.core import estimated_bytes
from nodes.core.controller.events import (
    Asked,
    Committed,
    ControllerSettings,
    LiveBrokers,
    Resigned,
)
from tests.unit.controller.cluster import NOW, Cluster, broker, three
from transport.kernel import TICK, Answer, Now
from transport.wire.errors import ErrorCode
from transport.wire.ids import (
    BrokerEpoch,
    LeaderEpoch,
    MetadataVersion,
    NodeId,
    PartitionEpoch,
    TopicId,
)
from transport.wire.messages import Message, Refusal
from transport.wire.messages.metadata import (
    AllocateProducerIdsRequest,
    AllocateProducerIdsResponse,
    AlterPartitionRequest,
    AlterPartitionResponse,
    IsrMember,
    PartitionChange,
    PartitionRecord,
    ProducerIdsRecord,
    ReplicasFailedRequest,
    ReplicasFailedResponse,
    TopicRecord,
)
from transport.wire.messages.topics import (
    CreateTopicsRequest,
    CreateTopicsResponse,
    DeleteTopicsRequest,
    DeleteTopicsResponse,
    NewTopic,
)


def outcome(answer: CreateTopicsResponse | DeleteTopicsResponse) -> tuple[int, str]:
    (only,) = answer.topics
    return only.error, only.text


# Topics


def test_a_topic_is_spread_evenly_and_starts_in_sync() -> None:
    cluster = three()
    topic_id = cluster.create("t", 6, 3)
    records = [cluster.partition(topic_id, number) for number in range(6)]
    assert sorted(record.leader for record in records) == [1, 1, 2, 2, 3, 3]
    for record in records:
        assert record.isr == record.replicas
        assert len(set(record.replicas)) == 3
        assert (record.leader_epoch, record.partition_epoch) == (0, 0)
    assert cluster.image.topics[topic_id] == TopicRecord("t", topic_id, {}, 6, 3)


def test_the_answer_comes_only_after_the_commit_and_names_its_version() -> None:
    cluster = three()
    request = CreateTopicsRequest((NewTopic("t"),), 1000)
    effects = cluster.step(Asked(request, "a"))
    assert not effects.reply
    assert not effects.publish
    (delta,) = effects.append
    after = cluster.commit(delta)
    (answer,) = after.reply
    assert isinstance(answer.message, CreateTopicsResponse)
    assert answer.message.version == delta.version == cluster.image.position.version


@pytest.mark.parametrize(
    ("topic", "clamp", "error", "text"),
    [
        (NewTopic(""), False, ErrorCode.INVALID_TOPIC, "empty"),
        (NewTopic(".."), False, ErrorCode.INVALID_TOPIC, ".."),
        (NewTopic("a/b"), False, ErrorCode.INVALID_TOPIC, "letters"),
        (NewTopic("x" * 250), False, ErrorCode.INVALID_TOPIC, "249"),
        (NewTopic("t", 0), False, ErrorCode.INVALID_PARTITIONS, "partitions"),
        (NewTopic("t", -2), False, ErrorCode.INVALID_PARTITIONS, "partitions"),
        (NewTopic("t", 100_001), False, ErrorCode.INVALID_PARTITIONS, "100000"),
        (NewTopic("t", 1, 4), False, ErrorCode.INVALID_REPLICATION_FACTOR, "there are 3"),
        (NewTopic("t", 1, 0), False, ErrorCode.INVALID_REPLICATION_FACTOR, "replication factor 0"),
        (NewTopic("t", 1, 0), True, ErrorCode.INVALID_REPLICATION_FACTOR, "replication factor 0"),
        (
            NewTopic("t", 1, 1, {"retension.ms": "1"}),
            False,
            ErrorCode.INVALID_CONFIG,
            "retention.ms",
        ),
        (NewTopic("t", 1, 1, {"retention.ms": "x"}), False, ErrorCode.INVALID_CONFIG, "'x'"),
        (NewTopic("old", 1, 1), False, ErrorCode.TOPIC_ALREADY_EXISTS, "old"),
    ],
)
def test_a_topic_that_may_not_be(topic: NewTopic, clamp: bool, error: ErrorCode, text: str) -> None:
    cluster = three()
    cluster.create("old")
    version = cluster.image.position.version
    answer = cluster.ask(CreateTopicsRequest((topic,), 1000, clamp))
    got, complaint = outcome(answer)
    assert got == error
    assert text in complaint
    assert cluster.image.position.version == version


def test_a_topic_named_twice_in_a_request_is_not_made() -> None:
    cluster = three()
    request = CreateTopicsRequest((NewTopic("t"), NewTopic("u"), NewTopic("t")), 1000)
    answer: CreateTopicsResponse = cluster.ask(request)
    assert [topic.error for topic in answer.topics] == [
        ErrorCode.INVALID_REQUEST,
        ErrorCode.NONE,
        ErrorCode.INVALID_REQUEST,
    ]
    assert sorted(cluster.image.topic_ids) == ["u"]


def test_defaults_and_clamping_follow_the_live_brokers() -> None:
    settings = ControllerSettings(num_partitions=3, default_replication_factor=3)
    cluster = Cluster(settings=settings)
    cluster.live(broker(1), broker(2), takeover=True)
    (told,) = cluster.ask(CreateTopicsRequest((NewTopic("defaults"),), 1000)).topics
    assert (told.partitions, told.replication_factor) == (3, 2)
    cluster.ask(CreateTopicsRequest((NewTopic("clamped", 1, 3),), 1000, clamp=True))
    made = {topic.name: topic for topic in cluster.image.topics.values()}
    assert (made["defaults"].partition_count, made["defaults"].replication_factor) == (3, 2)
    assert (made["clamped"].partition_count, made["clamped"].replication_factor) == (1, 2)


def test_no_topic_without_a_live_broker() -> None:
    cluster = Cluster()
    cluster.live(takeover=True)
    answer = cluster.ask(CreateTopicsRequest((NewTopic("t"),), 1000, clamp=True))
    assert outcome(answer)[0] == ErrorCode.INVALID_REPLICATION_FACTOR


def test_two_creations_of_one_name_in_one_batch() -> None:
    cluster = three()
    first = cluster.step(Asked(CreateTopicsRequest((NewTopic("a"),), 1000), "a"))
    for token in ("b", "c"):
        assert not cluster.step(Asked(CreateTopicsRequest((NewTopic("t"),), 1000), token)).append
    effects = cluster.commit(first.append[0])
    (delta,) = effects.append
    assert {"b", "c"}.isdisjoint(cluster.replies), "an error about the uncommitted waits as well"
    cluster.commit(delta)
    b, c = cluster.replies["b"], cluster.replies["c"]
    assert isinstance(b, CreateTopicsResponse)
    assert isinstance(c, CreateTopicsResponse)
    assert outcome(b)[0] == ErrorCode.NONE
    assert outcome(c)[0] == ErrorCode.TOPIC_ALREADY_EXISTS


def test_what_comes_in_one_turn_is_one_commit() -> None:
    cluster = three()
    for name in ("a", "b"):
        effects = cluster.core.step(Asked(CreateTopicsRequest((NewTopic(name),), 1000), name), NOW)
        assert not effects.append
    assert cluster.core.next_deadline_ms() == 0
    (delta,) = cluster.core.step(TICK, NOW).append
    assert [r.name for r in delta.records if isinstance(r, TopicRecord)] == ["a", "b"]


def test_whoever_waits_hears_of_a_commit_before_the_next_is_made() -> None:
    cluster = three()
    first = cluster.step(Asked(CreateTopicsRequest((NewTopic("a"),), 1000), "a")).append[0]
    cluster.step(Asked(CreateTopicsRequest((NewTopic("b"),), 1000), "b"))
    cluster.image.apply(first)
    effects = cluster.core.step(Committed(first.version), NOW)
    assert [answer.token for answer in effects.reply] == ["a"]
    assert not effects.append
    assert cluster.core.step(TICK, NOW).append


def test_deletion_and_creation_anew_are_commits_of_their_own() -> None:
    cluster = three()
    old = cluster.create("t")
    effects = cluster.step(Asked(CreateTopicsRequest((NewTopic("x"),), 1000), "x"))
    cluster.step(Asked(CreateTopicsRequest((NewTopic("y"),), 1000), "y"))
    cluster.step(Asked(DeleteTopicsRequest(("t", "nope"), 1000), "delete"))
    cluster.step(Asked(CreateTopicsRequest((NewTopic("t"),), 1000), "again"))
    kinds = []
    while effects.append:
        kinds.append([type(record).__name__ for record in effects.append[0].records])
        effects = cluster.commit(effects.append[0])
    assert kinds == [
        ["TopicRecord", "PartitionRecord"],
        ["TopicRecord", "PartitionRecord"],
        ["RemoveTopicRecord"],
        ["TopicRecord", "PartitionRecord"],
    ]
    deleted = cluster.replies["delete"]
    assert isinstance(deleted, DeleteTopicsResponse)
    assert [topic.error for topic in deleted.topics] == [
        ErrorCode.NONE,
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    ]
    new = cluster.image.topic("t")
    assert new is not None
    assert new.topic_id != old
    (told,) = cluster.ask(DeleteTopicsRequest(("t",), 1000, {"t": old})).topics
    assert told.error == ErrorCode.UNKNOWN_TOPIC_ID
    (told,) = cluster.ask(DeleteTopicsRequest(("t",), 1000, {"t": new.topic_id})).topics
    assert told.error == ErrorCode.NONE


# Deaths and returns


def test_a_dead_leader_is_replaced_by_the_first_live_member() -> None:
    cluster = three()
    topic_id = cluster.create("t", 3, 3)
    before = {n: cluster.partition(topic_id, n) for n in range(3)}
    cluster.live(broker(2), broker(3))
    assert not cluster.image.is_alive(NodeId(1))
    for number, old in before.items():
        new = cluster.partition(topic_id, number)
        assert new.isr == tuple(node for node in old.replicas if node != 1)
        assert new.partition_epoch == 1
        assert new.leader == (new.isr[0] if old.leader == 1 else old.leader)
        assert new.leader_epoch == (1 if old.leader == 1 else 0)


def test_the_last_member_of_the_isr_stays_in_it_and_alone_may_lead() -> None:
    cluster = three()
    topic_id = cluster.create("t", 1, 2)
    leader, follower = cluster.partition(topic_id).replicas
    by_id = {node: broker(node) for node in (1, 2, 3)}
    other = next(node for node in by_id if node not in (leader, follower))
    cluster.live(by_id[leader], by_id[other])
    assert cluster.partition(topic_id).isr == (leader,)
    cluster.live(by_id[other])
    gone = cluster.partition(topic_id)
    assert (gone.leader, gone.isr, gone.leader_epoch) == (-1, (leader,), 1)
    cluster.live(by_id[other], broker(follower, 500))
    assert cluster.partition(topic_id) == gone, "a follower out of sync may not lead"
    cluster.live(by_id[other], broker(follower, 500), broker(leader, 501))
    back = cluster.partition(topic_id)
    assert (back.leader, back.isr, back.leader_epoch) == (leader, (leader,), 2)


def test_when_all_die_at_once_each_of_them_stays_eligible() -> None:
    cluster = three()
    topic_id = cluster.create("t", 1, 2)
    first, second = cluster.partition(topic_id).replicas
    cluster.live()
    assert cluster.partition(topic_id).isr == (first, second)
    assert cluster.partition(topic_id).leader == -1
    cluster.live(broker(second, 600))
    back = cluster.partition(topic_id)
    assert (back.leader, back.isr) == (second, (second,))


def test_a_broker_that_may_have_lost_its_tail_waits_for_whoever_has_not() -> None:
    cluster = three()
    topic_id = cluster.create("t", 1, 2)
    one, two = cluster.partition(topic_id).replicas
    rest = [broker(node) for node in (1, 2, 3) if node not in (one, two)]
    cluster.live(*rest)
    assert cluster.partition(topic_id).isr == (one, two)
    lost = replace(broker(one, 500), intact=False)
    cluster.live(*rest, lost)
    waiting = cluster.partition(topic_id)
    assert (waiting.leader, waiting.isr) == (-1, (two,)), "the other may have what it has lost"
    cluster.live(*rest, lost, broker(two, 501))
    back = cluster.partition(topic_id)
    assert (back.leader, back.isr) == (two, (two,))


def test_the_last_member_leads_though_it_may_have_lost_its_tail() -> None:
    cluster = three()
    topic_id = cluster.create("t", 1, 2)
    one, two = cluster.partition(topic_id).replicas
    rest = [broker(node) for node in (1, 2, 3) if node not in (one, two)]
    cluster.live(*rest)
    lost = [replace(broker(node, 500 + node), intact=False) for node in (one, two)]
    cluster.live(*rest, lost[0])
    cluster.live(*rest, *lost)
    back = cluster.partition(topic_id)
    assert (back.leader, back.isr) == (two, (two,)), "nobody has more"


def test_a_new_registration_means_a_death_in_between() -> None:
    cluster = three()
    shared = cluster.create("shared", 3, 3)
    alone = cluster.create("alone", 3, 1)
    cluster.live(broker(1, 700), broker(2), broker(3))
    assert cluster.image.brokers[NodeId(1)].epoch == 700
    assert cluster.image.is_alive(NodeId(1))
    for number in range(3):
        record = cluster.partition(shared, number)
        assert 1 not in record.isr
        assert record.leader != 1
    mine = next(
        record for n in range(3) if (record := cluster.partition(alone, n)).replicas == (1,)
    )
    assert (mine.leader, mine.leader_epoch) == (1, 2), "the same leader, but a new reign"


def test_what_is_known_already_changes_nothing() -> None:
    cluster = three()
    cluster.create("t", 3, 3)
    version = cluster.image.position.version
    cluster.live(broker(1), broker(2), broker(3))
    cluster.live(broker(1, 3), broker(2), broker(3))
    assert cluster.image.position.version == version


def test_a_dead_registration_does_not_come_back_by_an_old_list() -> None:
    cluster = three()
    cluster.live(broker(2), broker(3))
    cluster.live(broker(1), broker(2), broker(3))
    assert not cluster.image.is_alive(NodeId(1))


def test_a_death_with_a_thousand_leaders_is_a_handful_of_small_commits() -> None:
    cluster = three()
    for number in range(3):
        cluster.create(f"topic-{number}", 1_000, 3)
    cluster.deltas.clear()
    cluster.live(broker(2), broker(3))
    assert 1 < len(cluster.deltas) <= 18
    for delta in cluster.deltas:
        assert sum(estimated_bytes(record) for record in delta.records) < 600 * 1024
        assert len(msgspec.msgpack.encode(delta)) < 1024 * 1024
    led_by_dead = [
        record
        for parts in cluster.image.partitions.values()
        for record in parts.values()
        if record.leader == 1 or 1 in record.isr
    ]
    assert not led_by_dead
    epochs = [
        record.leader_epoch
        for delta in cluster.deltas
        for record in delta.records
        if isinstance(record, PartitionRecord)
    ]
    assert epochs == [1] * 1_000 + [0] * 2_000, "elections before shrinking"


def test_what_was_left_half_done_is_finished_once_somebody_is_there() -> None:
    cluster = three(ControllerSettings(commit_bytes_max=2_000))
    request = CreateTopicsRequest((NewTopic("t", 20, 2),), 1000)
    effects = cluster.step(Asked(request, "a"))
    cluster.image.apply(effects.append[0])
    topic_id = cluster.image.topic_ids["t"]
    placed = len(cluster.image.partitions[topic_id])
    assert 0 < placed < 20
    heir = Cluster(cluster.image, epoch=2)
    heir.live(takeover=True)
    assert len(heir.image.partitions[topic_id]) == placed, "nobody was registered"
    heir.live(broker(2, 200))
    records = heir.image.partitions[topic_id]
    assert len(records) == 20
    assert all(len(record.replicas) == 2 for record in records.values())
    assert all(records[number].leader == 2 for number in range(placed, 20))


def test_a_successor_finishes_what_was_left_half_done() -> None:
    settings = ControllerSettings(commit_bytes_max=4_000)
    cluster = three(settings)
    topic_id = cluster.create("t", 60, 3)
    effects = cluster.step(LiveBrokers((broker(2), broker(3))))
    cluster.image.apply(effects.append[0])
    assert not cluster.image.is_alive(NodeId(1)), "marked dead"
    assert any(cluster.partition(topic_id, n).leader == 1 for n in range(60)), "still leading"
    successor = Cluster(cluster.image, settings, epoch=2)
    successor.live(broker(2), broker(3), takeover=True)
    for number in range(60):
        assert 1 not in successor.partition(topic_id, number).isr


@pytest.mark.parametrize("factor", [1, 3])
def test_who_is_back_at_a_takeover_first_loses_what_a_death_left_half_done_has_left_it(
    factor: int,
) -> None:
    settings = ControllerSettings(piece_records=2)
    cluster = three(settings)
    topic_id = cluster.create("t", 30, factor)
    led = [n for n in range(30) if cluster.partition(topic_id, n).leader == 1]
    effects = cluster.step(LiveBrokers((broker(2), broker(3))))
    cluster.image.apply(effects.append[0])
    assert not cluster.image.is_alive(NodeId(1)), "marked dead"
    assert len([n for n in led if cluster.partition(topic_id, n).leader == 1]) == len(led) - 1
    successor = Cluster(cluster.image, settings, epoch=2)
    successor.live(broker(1, 201), broker(2), broker(3), takeover=True)
    for number in led:
        record = successor.partition(topic_id, number)
        assert record.leader_epoch >= 1, "its new process knows nothing of leader epoch 0"
        assert record.leader == (1 if factor == 1 else record.isr[0])


def test_a_registration_during_a_takeover_of_several_commits_waits() -> None:
    settings = ControllerSettings(commit_bytes_max=4_000)
    cluster = three(settings)
    cluster.create("t", 60, 3)
    successor = Cluster(cluster.image, settings, epoch=2)
    effects = successor.step(LiveBrokers((broker(2), broker(3)), takeover=True))
    assert not successor.step(LiveBrokers((broker(1, 201), broker(2), broker(3)))).append
    while effects.append:
        (delta,) = effects.append
        effects = successor.commit(delta)
    assert len(successor.deltas) > 1
    assert successor.image.brokers[NodeId(1)].epoch == 201


def test_a_successor_completes_a_topic() -> None:
    settings = ControllerSettings(commit_bytes_max=4_000)
    cluster = three(settings)
    request = CreateTopicsRequest((NewTopic("t", 60, 2),), 1000)
    effects = cluster.step(Asked(request, "a"))
    cluster.image.apply(effects.append[0])
    successor = Cluster(cluster.image, settings, epoch=2)
    successor.live(broker(1), broker(2), broker(3), takeover=True)
    (partitions,) = successor.image.partitions.values()
    assert sorted(partitions) == list(range(60))
    leaders = [record.leader for record in partitions.values()]
    assert [leaders.count(NodeId(node)) for node in (1, 2, 3)] == [20, 20, 20]


# AlterPartition


def change(record: PartitionRecord, *members: tuple[int, int], **other: Any) -> PartitionChange:
    isr = tuple(IsrMember(NodeId(node), BrokerEpoch(epoch)) for node, epoch in members)
    proposal = PartitionChange(
        record.topic_id, record.partition, record.leader_epoch, record.partition_epoch, isr
    )
    return msgspec.structs.replace(proposal, **other)


def in_sync(record: PartitionRecord) -> list[tuple[int, int]]:
    return [(node, 100 + node) for node in record.replicas]


def alter(cluster: Cluster, node: int, *changes: PartitionChange) -> AlterPartitionResponse:
    request = AlterPartitionRequest(NodeId(node), BrokerEpoch(100 + node), changes)
    answer: AlterPartitionResponse = cluster.ask(request)
    return answer


def test_a_leader_shrinks_and_expands_its_isr() -> None:
    cluster = three()
    record = cluster.partition(cluster.create("t", 1, 3))
    members = in_sync(record)
    answer = alter(cluster, record.leader, change(record, members[2], members[0]))
    (done,) = answer.changes
    assert done.record is not None
    assert done.record.isr == (record.replicas[0], record.replicas[2]), "in the replicas' order"
    assert (done.record.partition_epoch, done.record.leader_epoch) == (1, 0)
    assert cluster.partition(record.topic_id) == done.record
    answer = alter(cluster, record.leader, change(done.record, *members))
    assert cluster.partition(record.topic_id).isr == record.replicas
    assert cluster.partition(record.topic_id).partition_epoch == 2


@pytest.mark.parametrize(
    ("case", "error"),
    [
        ("unknown id", ErrorCode.UNKNOWN_TOPIC_ID),
        ("unknown partition", ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        ("newer leader epoch", ErrorCode.UNKNOWN_LEADER_EPOCH),
        ("older leader epoch", ErrorCode.FENCED_LEADER_EPOCH),
        ("other asker", ErrorCode.NOT_LEADER_OR_FOLLOWER),
        ("partition epoch", ErrorCode.INVALID_UPDATE_VERSION),
        ("a joiner to lead", ErrorCode.INVALID_REQUEST),
        ("stranger", ErrorCode.INVALID_REQUEST),
        ("twice", ErrorCode.INVALID_REQUEST),
        ("empty", ErrorCode.INVALID_REQUEST),
        ("dead member", ErrorCode.INELIGIBLE_REPLICA),
        ("old registration", ErrorCode.INELIGIBLE_REPLICA),
    ],
)
def test_a_proposal_that_is_wrong(case: str, error: ErrorCode) -> None:
    cluster = Cluster()
    cluster.live(broker(1), broker(2), broker(3), broker(4), takeover=True)
    record = cluster.partition(cluster.create("t", 1, 3))
    stranger = next(n for n in (1, 2, 3, 4) if n not in record.replicas)
    members = in_sync(record)
    asker: int = record.leader
    if case in ("dead member", "older leader epoch"):
        gone = record.leader if case == "older leader epoch" else record.replicas[1]
        cluster.live(*(broker(node) for node in (1, 2, 3, 4) if node != gone))
        stale, record = record, cluster.partition(record.topic_id)
    proposals: dict[str, PartitionChange] = {
        "unknown id": change(record, *members, topic_id=TopicId(b"?" * 16)),
        "unknown partition": change(record, *members, partition=9),
        "newer leader epoch": change(record, *members, leader_epoch=LeaderEpoch(5)),
        "other asker": change(record, *members),
        "partition epoch": change(record, *members, partition_epoch=PartitionEpoch(7)),
        "a joiner to lead": change(record, *members[1:]),
        "stranger": change(record, *members, (stranger, 100 + stranger)),
        "twice": change(record, *members, members[0]),
        "empty": change(record),
        "dead member": change(record, *members),
        "old registration": change(record, members[0], (members[1][0], 99)),
    }
    if case == "older leader epoch":
        proposals[case] = change(stale, *members)
        asker = record.leader
    if case == "a joiner to lead":
        alter(cluster, asker, change(record, *members[:2]))
        record = cluster.partition(record.topic_id)
        proposals[case] = change(record, *members[1:])
    if case == "other asker":
        asker = record.replicas[1]
    (refused,) = alter(cluster, asker, proposals[case]).changes
    assert refused.error == error
    assert refused.record is None
    assert cluster.partition(record.topic_id) == record


def failed(cluster: Cluster, node: int, *records: PartitionRecord) -> ReplicasFailedResponse:
    parts = tuple((record.topic_id, record.partition) for record in records)
    answer = cluster.ask(ReplicasFailedRequest(NodeId(node), BrokerEpoch(100 + node), parts))
    assert isinstance(answer, ReplicasFailedResponse)
    return answer


def test_whose_log_has_failed_neither_leads_nor_is_counted_on() -> None:
    cluster = three()
    record = cluster.partition(cluster.create("t", 1, 3))
    first, second, third = record.replicas
    assert failed(cluster, first, record).error == ErrorCode.NONE
    after = cluster.partition(record.topic_id)
    assert (after.leader, after.isr, after.elr) == (second, (second, third), ())
    assert (after.leader_epoch, after.partition_epoch) == (1, 1)
    failed(cluster, third, after)
    last = cluster.partition(record.topic_id)
    assert (last.leader, last.isr) == (second, (second,))
    assert (last.leader_epoch, last.partition_epoch) == (1, 2)


def test_the_last_replica_in_sync_stays_though_its_log_has_failed() -> None:
    cluster = three()
    record = cluster.partition(cluster.create("t", 1, 1))
    assert failed(cluster, record.leader, record).error == ErrorCode.NONE
    assert cluster.partition(record.topic_id) == record


def test_where_unclean_elections_are_allowed_another_one_leads() -> None:
    cluster = three()
    topic_id = cluster.create("t", 1, 2, unclean_leader_election_enable="true")
    record = cluster.partition(topic_id)
    first, second = record.replicas
    alter(cluster, first, change(record, in_sync(record)[0]))
    failed(cluster, first, cluster.partition(topic_id))
    after = cluster.partition(topic_id)
    assert (after.leader, after.isr, after.elr) == (second, (second,), ())


def test_a_failed_replica_is_not_eligible_and_an_eligible_one_takes_its_place() -> None:
    cluster = three(ControllerSettings(min_insync_replicas=2))
    record = cluster.partition(cluster.create("t", 1, 2))
    first, second = record.replicas
    alter(cluster, first, change(record, in_sync(record)[0]))
    shrunk = cluster.partition(record.topic_id)
    assert (shrunk.isr, shrunk.elr) == ((first,), (second,))
    failed(cluster, first, shrunk)
    after = cluster.partition(record.topic_id)
    assert (after.leader, after.isr, after.elr) == (second, (second,), ())


def test_a_report_of_an_earlier_registration_or_of_nothing_changes_nothing() -> None:
    cluster = three()
    record = cluster.partition(cluster.create("t", 1, 3))
    parts = ((record.topic_id, 0),)
    late = ReplicasFailedRequest(record.leader, BrokerEpoch(1), parts)
    assert cluster.ask(late) == ReplicasFailedResponse(ErrorCode.STALE_BROKER_EPOCH)
    nowhere = ((TopicId(b"x" * 16), 0), (record.topic_id, 9))
    request = ReplicasFailedRequest(record.leader, BrokerEpoch(100 + record.leader), nowhere)
    assert cluster.ask(request) == ReplicasFailedResponse(ErrorCode.NONE)
    assert cluster.partition(record.topic_id) == record


def test_a_stale_asker_is_refused_as_a_whole() -> None:
    cluster = three()
    record = cluster.partition(cluster.create("t", 1, 3))
    request = AlterPartitionRequest(record.leader, BrokerEpoch(1), (change(record),))
    assert cluster.ask(request) == AlterPartitionResponse(ErrorCode.STALE_BROKER_EPOCH)


def test_the_second_of_two_proposals_on_one_partition_epoch_is_refused() -> None:
    cluster = three()
    record = cluster.partition(cluster.create("t", 1, 3))
    members = in_sync(record)
    answer = alter(cluster, record.leader, change(record, *members[:2]), change(record, members[0]))
    assert [done.error for done in answer.changes] == [
        ErrorCode.NONE,
        ErrorCode.INVALID_UPDATE_VERSION,
    ]


def test_an_alteration_queued_behind_a_death_is_judged_after_it() -> None:
    cluster = three()
    record = cluster.partition(cluster.create("t", 1, 3))
    members = in_sync(record)
    busy = cluster.step(Asked(CreateTopicsRequest((NewTopic("x"),), 1000), "x"))
    cluster.step(LiveBrokers(tuple(broker(n) for n in (1, 2, 3) if n != record.leader)))
    request = AlterPartitionRequest(
        record.leader, BrokerEpoch(members[0][1]), (change(record, *members),)
    )
    cluster.step(Asked(request, "late"))
    effects = cluster.commit(busy.append[0])
    cluster.commit(effects.append[0])
    assert cluster.replies["late"] == AlterPartitionResponse(ErrorCode.STALE_BROKER_EPOCH)


# Producer ids, queue, end


def test_blocks_of_producer_ids_never_overlap() -> None:
    cluster = three(ControllerSettings(producer_id_block=10))
    request = AllocateProducerIdsRequest(NodeId(1), BrokerEpoch(101))
    assert cluster.ask(request) == AllocateProducerIdsResponse(ErrorCode.NONE, 0, 10)  # type: ignore[arg-type]
    assert cluster.ask(request) == AllocateProducerIdsResponse(ErrorCode.NONE, 10, 10)  # type: ignore[arg-type]
    assert cluster.image.next_producer_id == 20
    stale = AllocateProducerIdsRequest(NodeId(1), BrokerEpoch(9))
    assert cluster.ask(stale).error == ErrorCode.STALE_BROKER_EPOCH


def test_one_commit_at_a_time_and_the_rest_in_the_next() -> None:
    cluster = three()
    allocate = AllocateProducerIdsRequest(NodeId(1), BrokerEpoch(101))
    first = cluster.step(Asked(allocate, 0))
    for token in range(1, 6):
        assert not cluster.step(Asked(allocate, token)).append
    effects = cluster.commit(first.append[0])
    (delta,) = effects.append
    assert len(delta.records) == 1, "five blocks, one record"
    assert isinstance(delta.records[0], ProducerIdsRecord)
    assert not cluster.commit(delta).append
    firsts = [
        m.first for m in cluster.replies.values() if isinstance(m, AllocateProducerIdsResponse)
    ]
    assert firsts == [0, 1000, 2000, 3000, 4000, 5000]


def test_what_waited_too_long_is_not_done() -> None:
    cluster = three()
    busy = cluster.step(Asked(CreateTopicsRequest((NewTopic("x"),), 1000), "x"))
    cluster.step(Asked(CreateTopicsRequest((NewTopic("late"),), 10), "late", 1_010))
    delta = busy.append[0]
    cluster.image.apply(delta)
    effects = cluster.step(Committed(delta.version), Now(1_010, 0))
    assert not effects.append
    (late,) = [answer for answer in effects.reply if answer.token == "late"]
    assert isinstance(late.message, Refusal)
    assert late.message.error == ErrorCode.REQUEST_TIMED_OUT
    assert cluster.image.topic("late") is None


def test_the_queue_is_bounded_and_strangers_are_refused() -> None:
    cluster = three(ControllerSettings(waiting_max=1))
    request = CreateTopicsRequest((NewTopic("x"),), 1000)
    cluster.step(Asked(request, "commits"))
    cluster.step(Asked(request, "waits"))
    cluster.step(Asked(request, "refused"))
    refused = cluster.replies["refused"]
    assert isinstance(refused, Refusal)
    assert refused.error == ErrorCode.OVERLOADED
    cluster.step(Asked(ProducerRequest(), "stranger"))
    stranger = cluster.replies["stranger"]
    assert isinstance(stranger, Refusal)
    assert stranger.error == ErrorCode.UNKNOWN_API


def ProducerRequest() -> Message:  # noqa: N802 - stands for any other request
    return Refusal(0)


def test_on_resignation_each_asker_learns_what_is_known() -> None:
    cluster = three(ControllerSettings(commit_bytes_max=4_000))
    small = CreateTopicsRequest((NewTopic("small"),), 1000)
    cluster.step(Asked(small, "committing"))
    cluster.step(Asked(small, "waiting"))
    effects = cluster.step(Resigned())
    errors = {a.token: a.message.error for a in effects.reply if isinstance(a.message, Refusal)}
    assert errors == {
        "committing": ErrorCode.REQUEST_TIMED_OUT,
        "waiting": ErrorCode.NOT_CONTROLLER,
    }
    assert not cluster.step(LiveBrokers(())).append
    assert not cluster.step(Asked(small, "after")).reply


def test_a_request_half_committed_at_resignation_is_in_doubt() -> None:
    cluster = three(ControllerSettings(commit_bytes_max=4_000))
    cluster.step(Asked(CreateTopicsRequest((NewTopic("big", 60),), 1000), "big"))
    (answer,) = cluster.step(Resigned()).reply
    assert answer == Answer("big", Refusal(ErrorCode.REQUEST_TIMED_OUT, answer.message.text))  # type: ignore[attr-defined]


def test_a_tick_changes_nothing() -> None:
    cluster = three()
    effects = cluster.step(TICK)
    assert (effects.append, effects.reply, cluster.core.next_deadline_ms()) == ([], [], None)


def test_versions_follow_each_other() -> None:
    cluster = three()
    for number in range(5):
        cluster.create(f"t{number}")
    versions: Iterable[MetadataVersion] = [delta.version for delta in cluster.deltas]
    assert list(versions) == [1, 2, 3, 4, 5, 6]
