"""Whole brokers around a stand-in tree: election, liveness, metadata, topics, ids, doors."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from nodes.broker.api.metadata import MAKING_MAX
from nodes.broker.cluster.controller_channel import ASK_AGAIN_MS
from nodes.broker.logs.checkpoints import mark_clean_stop
from nodes.broker.logs.identity import note_boot, settle_loss
from tests.simulation.disk import SimulatedDisk
from tests.unit.broker.fleet import Fleet
from tests.unit.broker.stand_ins import StandInReplicas
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.ids import (
    NO_NODE,
    BrokerEpoch,
    ClusterId,
    ControllerEpoch,
    Incarnation,
    MetadataVersion,
    NodeId,
    NodeName,
    ProducerId,
    SessionId,
)
from transport.wire.messages import Message, Refusal
from transport.wire.messages.cluster import (
    DescribeNodeRequest,
    DescribeNodeResponse,
    HealthRequest,
    HealthResponse,
    Heartbeat,
)
from transport.wire.messages.coordination import (
    Create,
    Delete,
    PingSessionRequest,
    SetData,
)
from transport.wire.messages.fetch import FetchRequest
from transport.wire.messages.metadata import (
    AlterPartitionRequest,
    AlterPartitionResponse,
    FetchImageRequest,
    FetchImageResponse,
    MetadataDelta,
    MetadataRequest,
    MetadataResponse,
    ProducerIdsRecord,
    RemoveTopicRecord,
)
from transport.wire.messages.produce import InitProducerIdRequest, InitProducerIdResponse
from transport.wire.messages.topics import (
    CreateTopicsRequest,
    CreateTopicsResponse,
    DeleteTopicsRequest,
    DeleteTopicsResponse,
    NewTopic,
)


@pytest.fixture
def fleet() -> Fleet:
    fleet = Fleet(num_partitions=3, default_replication_factor=3)
    fleet.settle()
    return fleet


def create(fleet: Fleet, number: int, name: str, partitions: int = 3, factor: int = 3) -> None:
    request = CreateTopicsRequest((NewTopic(name, partitions, factor),), 2_000)
    answer = fleet.ask(number, request)
    assert isinstance(answer, CreateTopicsResponse), answer
    assert answer.topics[0].error == ErrorCode.NONE


def follower(fleet: Fleet) -> int:
    return next(number for number in fleet.alive() if number != fleet.controller())


# Control


def test_one_of_the_brokers_becomes_controller_and_all_know_all(fleet: Fleet) -> None:
    controller = fleet.controller()
    for number in fleet.numbers:
        server = fleet.server(number)
        assert server.channel.controller == controller
        assert [broker.id for broker in server.context.image.live_brokers()] == [1, 2, 3]
        health = fleet.ask(number, HealthRequest())
        assert isinstance(health, HealthResponse)
        assert (health.state, health.controller) == ("ready", number == controller)
        assert health.broker_epoch == server.context.broker_epoch > 0


def test_broker_epochs_are_the_czxids_of_registrations(fleet: Fleet) -> None:
    for number in fleet.numbers:
        czxid = fleet.tree.znodes[f"/brokers/ids/{number}"].czxid
        assert fleet.server(number).context.image.brokers[NodeId(number)].epoch == czxid


def test_what_people_find_in_the_tree(fleet: Fleet) -> None:
    create(fleet, 1, "t", 1, 3)
    znode = fleet.tree.znodes["/brokers/topics/t/0"].data.decode()
    assert '"leader_epoch":0' in znode
    assert '"isr":[' in znode
    topic_id = fleet.server(1).context.image.topic_ids["t"]
    assert topic_id.hex() in znode
    assert b'"broker":' in fleet.tree.znodes["/controller"].data
    assert b'"alive":true' in fleet.tree.znodes["/brokers/registered/1"].data


def test_a_dead_broker_is_seen_and_its_partitions_are_led_by_others(fleet: Fleet) -> None:
    create(fleet, 1, "t")
    victim = follower(fleet)
    fleet.kill(victim)
    fleet.settle()
    for number in fleet.alive():
        image = fleet.server(number).context.image
        (partitions,) = image.partitions.values()
        for record in partitions.values():
            assert record.leader in fleet.alive()
            assert victim not in record.isr
        keys, removed = fleet.replicas(number).applied[-1]
        assert keys
        assert not removed


def test_a_dead_controller_is_succeeded_and_the_change_is_fast(fleet: Fleet) -> None:
    create(fleet, 1, "t")
    victim = fleet.controller()
    before_ms = fleet.world.now_us // 1000
    fleet.kill(victim)
    fleet.settle()
    assert fleet.world.now_us // 1000 - before_ms < 100
    assert fleet.controller() != victim
    image = fleet.server(fleet.controller()).context.image
    assert image.position.controller_epoch == 2
    assert all(r.leader != victim for p in image.partitions.values() for r in p.values())


def test_a_killed_broker_comes_back_under_a_later_epoch(fleet: Fleet) -> None:
    create(fleet, 1, "t")
    victim = follower(fleet)
    epoch = fleet.server(victim).context.broker_epoch
    fleet.kill(victim)
    fleet.settle()
    fleet.start(victim)
    fleet.settle()
    assert fleet.server(victim).context.broker_epoch > epoch
    assert fleet.server(victim).context.same_boot
    assert fleet.server(victim).context.image.topic("t") is not None


def test_a_broker_that_loses_its_session_registers_anew(fleet: Fleet) -> None:
    victim = follower(fleet)
    before = fleet.server(victim).context.broker_epoch
    fleet.expire(victim)
    fleet.wait(lambda: fleet.server(victim).context.broker_epoch > before)
    fleet.settle()
    assert fleet.server(victim).context.figures["sessions_lost"] == 1


def test_a_paused_controller_changes_nothing_when_it_wakes(fleet: Fleet) -> None:
    create(fleet, 1, "t")
    old = fleet.controller()
    fleet.processes[old].freeze()
    # A request reaches it and waits; meanwhile it loses its session and its claim.
    late: list[Message] = []
    fleet.post(old, CreateTopicsRequest((NewTopic("late"),), 4_000), late.append)
    fleet.world.run_for(10)
    fleet.expire(old)
    fleet.wait(lambda: any(n != old for n in fleet.controllers()))
    new = next(n for n in fleet.controllers() if n != old)
    fleet.processes[old].thaw()
    fleet.settle()
    assert fleet.controller() == new
    fleet.wait(lambda: bool(late))
    epochs = [
        delta.controller_epoch for delta in fleet.asker.heard if isinstance(delta, MetadataDelta)
    ]
    assert epochs == sorted(epochs), "nothing of the old reign after the new one began"


def test_a_controller_that_has_heard_of_a_later_change_resigns_instead_of_committing(
    fleet: Fleet,
) -> None:
    create(fleet, 1, "t")
    old = fleet.controller()
    server = fleet.server(old)
    image = server.context.image
    topic, (epoch, version) = image.topic("t"), image.position
    assert topic is not None
    later = MetadataDelta(
        ControllerEpoch(epoch + 1),
        MetadataVersion(version + 1),
        (RemoveTopicRecord(topic.topic_id),),
    )
    answers: list[Message] = []
    fleet.processes[old].do(lambda now: server.metadata.on_delta(later, now))
    fleet.post(old, DeleteTopicsRequest(("t",), 1_000), answers.append)
    fleet.wait(lambda: "controller_failures" in server.context.figures)
    assert not server.controller.is_active


def test_what_a_later_controller_told_first_is_not_taken_twice(fleet: Fleet) -> None:
    server = fleet.server(fleet.controller())
    position = server.context.image.position
    known = server.metadata._history[-1]
    fleet.processes[fleet.controller()].do(lambda now: server.metadata.take(known, now))
    fleet.world.run_for(10)
    assert server.context.image.position == position


def test_a_commit_refused_by_the_store_ends_the_reign_and_the_next_reads_all(
    fleet: Fleet,
) -> None:
    old = fleet.controller()
    # Somebody meddles: the version is not what the controller has left there.
    fleet.tree.znodes["/metadata_version"].version += 1
    answer = fleet.ask(follower(fleet), CreateTopicsRequest((NewTopic("t"),), 3_000))
    assert isinstance(answer, Refusal | CreateTopicsResponse)
    fleet.settle()
    assert fleet.server(old).context.figures["controller_failures"] == 1
    create(fleet, 1, "again")
    fleet.kill(next(n for n in fleet.alive() if n not in (old, fleet.controller())))
    fleet.settle()
    assert not fleet.server(old).controller.is_active or fleet.controllers() == [old]


def test_a_controller_whose_session_is_lost_reigns_no_longer(fleet: Fleet) -> None:
    old = fleet.controller()
    fleet.expire(old)
    fleet.wait(lambda: "sessions_lost" in fleet.server(old).context.figures)
    assert not fleet.server(old).controller.is_active
    fleet.settle()


def test_a_controller_whose_claim_is_taken_reigns_no_longer(fleet: Fleet) -> None:
    old = fleet.controller()
    session = next(iter(fleet.tree.sessions.values()))
    fleet.tree.perform(session, SetData("/controller", b'{"broker":9,"epoch":9}'))
    fleet.wait(lambda: not fleet.controllers(), 50)
    fleet.tree.perform(session, Delete("/controller"))
    fleet.settle()
    create(fleet, old, "t")


def test_a_reign_that_ends_with_a_look_that_told_nothing_leaves_no_claim(fleet: Fleet) -> None:
    old = fleet.controller()
    election = fleet.server(old).election
    assert election is not None
    session, nothing = election._session, Refusal(ErrorCode.OVERLOADED)
    assert session is not None
    fleet.processes[old].do(partial(election._on_found, session, nothing))
    fleet.wait(lambda: not fleet.controllers(), 100)
    fleet.settle()
    create(fleet, old, "t")


def test_a_claim_that_cannot_be_read_is_waited_out(fleet: Fleet) -> None:
    session = next(iter(fleet.tree.sessions.values()))
    fleet.tree.perform(session, SetData("/controller", b"me!"))
    fleet.world.run_for(1_000)
    assert not fleet.controllers()
    fleet.tree.perform(session, Delete("/controller"))
    fleet.settle()


def test_a_heartbeat_tells_who_is_controller_to_those_who_do_not_know(fleet: Fleet) -> None:
    channel = fleet.server(follower(fleet)).channel
    channel.learn(NO_NODE, ControllerEpoch(0), fleet.now())
    fleet.wait(lambda: channel.controller == fleet.controller(), 150)


def test_a_late_heartbeat_of_an_earlier_controller_hides_no_later_one(fleet: Fleet) -> None:
    server = fleet.server(follower(fleet))
    channel, now = server.channel, fleet.now()
    epoch = ControllerEpoch(channel.epoch + 3)

    def hear(node: int, epoch: int) -> None:
        name = NodeName(f"broker-{node}")
        nothing = SessionId(1), ControllerEpoch(epoch), MetadataVersion(0), True
        server.metadata.on_beat(Heartbeat(NodeId(node), name, Incarnation(1), *nothing), now)

    channel.learn(NO_NODE, epoch, now)
    hear(1, epoch - 1)
    assert (channel.controller, channel.epoch) == (NO_NODE, epoch)
    hear(2, epoch)
    assert (channel.controller, channel.epoch) == (2, epoch)


def test_a_claim_that_was_read_late_hides_the_quorums_controller_until_the_next_is_read(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seed 153: the claim of before a move came after the heartbeat of the quorum's controller."""
    server = fleet.server(follower(fleet))
    channel, now = server.channel, fleet.now()
    before, epoch = channel.epoch, ControllerEpoch(channel.epoch + 1)
    member = server._config.quorum_members()[0].id
    monkeypatch.setattr(server.peers, "hear", lambda members: None)  # it is none of this world
    channel.learn(member, epoch, now)
    server._on_quorum(epoch, now)
    assert channel.controller == member
    claimer = next(n for n in fleet.numbers if n not in (member, server.context.id))
    server.on_controller(NodeId(claimer), before, now)
    server._on_quorum(epoch, now)
    assert (channel.controller, channel.epoch) == (NO_NODE, epoch), "beats are news again"


def test_the_first_beat_of_a_controller_is_news_though_its_image_came_before(fleet: Fleet) -> None:
    """Seed 903: a broker that was frozen read the deltas of another controller first."""
    server, now = fleet.server(follower(fleet)), fleet.now()
    metadata, channel = server.metadata, server.channel
    before, old = channel.controller, channel.epoch
    other = next(n for n in fleet.numbers if n not in (before, server.context.id))
    epoch = ControllerEpoch(old + 1)
    version = MetadataVersion(metadata.image.position.version + 1)
    ids = ProducerIdsRecord(ProducerId(metadata.image.next_producer_id + 1))
    metadata.on_delta(MetadataDelta(epoch, version, (ids,)), now)
    assert metadata.image.position == (epoch, version)

    def beat(node: int, epoch: ControllerEpoch) -> None:
        name = NodeName(f"broker-{node}")
        told = Incarnation(1), SessionId(1), epoch, version, True
        metadata.on_beat(Heartbeat(NodeId(node), name, *told), now)

    beat(before, old)
    assert (channel.controller, channel.epoch) == (before, old), "a late beat is no news"
    beat(other, epoch)
    assert (channel.controller, channel.epoch) == (other, epoch)
    beat(before, old)
    assert channel.controller == other


def test_what_waits_for_a_controller_is_asked_as_soon_as_one_is_known(fleet: Fleet) -> None:
    asking, controller = follower(fleet), fleet.controller()
    channel, answers = fleet.server(asking).channel, list[Message]()
    epoch = channel.epoch

    def learn(node: NodeId) -> None:
        fleet.processes[asking].do(lambda now: channel.learn(node, epoch, now))

    learn(NO_NODE)
    begun_ms = fleet.now().mono_ms
    fleet.post(asking, CreateTopicsRequest((NewTopic("t", 1, 1),), 5_000), answers.append)
    fleet.world.run_for(5)
    assert not answers
    learn(NodeId(controller))
    fleet.wait(lambda: bool(answers))
    assert fleet.now().mono_ms - begun_ms < ASK_AGAIN_MS
    assert not channel._retries


def test_who_is_about_to_reign_keeps_what_is_asked_until_then(fleet: Fleet) -> None:
    server = fleet.server(follower(fleet))
    answers: list[Message] = []
    request = CreateTopicsRequest((NewTopic("t", 1, 1),), 5_000)
    server.controller.expect()
    server.controller.ask_here(
        request,
        lambda body, _payload, _now: answers.append(body),
        fleet.now().mono_ms + 1_000,
        fleet.now(),
    )
    assert not answers
    server.controller.deposed(fleet.now())
    assert [answer.error for answer in answers if isinstance(answer, Refusal)] == [
        ErrorCode.NOT_CONTROLLER
    ]


def test_a_gap_is_repaired_without_waiting_for_a_heartbeat() -> None:
    fleet = Fleet(3, heartbeat_interval_ms=60_000)
    fleet.settle()
    deaf = follower(fleet)
    fleet.network.event_loss = 1.0
    create(fleet, fleet.controller(), "missed", 1, 1)
    fleet.network.event_loss = 0.0
    create(fleet, fleet.controller(), "heard", 1, 1)
    fleet.settle(20)
    assert fleet.server(deaf).context.figures["metadata_gaps"] == 1


def test_a_new_controller_reloads_what_it_has_not_heard_of(fleet: Fleet) -> None:
    create(fleet, 1, "t")
    old = fleet.controller()
    others = [number for number in fleet.alive() if number != old]
    fleet.network.event_loss = 1.0
    for number in others:
        fleet.network.part(fleet.processes[old].host, fleet.processes[number].host)
    fleet.world.run_for(5)
    for name in ("a", "b"):
        create(fleet, old, name, 2, 3)
    fleet.kill(old)
    fleet.network.heal_all()
    fleet.network.event_loss = 0.0
    fleet.settle(20_000)
    for number in fleet.alive():
        assert sorted(fleet.server(number).context.image.topic_ids) == ["a", "b", "t"]


def test_lost_deltas_are_noticed_by_the_heartbeat_and_fetched(fleet: Fleet) -> None:
    fleet.network.event_loss = 1.0
    answers: list[Message] = []
    request = CreateTopicsRequest((NewTopic("t"),), 4_000)
    fleet.post(fleet.controller(), request, answers.append)
    fleet.wait(lambda: bool(answers))
    assert not fleet.settled()
    fleet.network.event_loss = 0.0
    fleet.settle(400)
    number = follower(fleet)
    assert fleet.server(number).context.image.topic("t") is not None
    assert fleet.server(number).context.figures["image_fetches"] >= 1


# Topics


def test_any_broker_takes_a_topic_and_answers_when_it_knows_it_itself(fleet: Fleet) -> None:
    for number in fleet.numbers:
        create(fleet, number, f"topic-{number}")
        assert fleet.server(number).context.image.topic(f"topic-{number}") is not None
        (described,) = fleet.ask(number, MetadataRequest((f"topic-{number}",))).topics
        assert len(described.partitions) == 3


def test_a_topic_is_deleted_and_made_again(fleet: Fleet) -> None:
    create(fleet, 1, "t")
    first = fleet.server(1).context.image.topic_ids["t"]
    answer = fleet.ask(2, DeleteTopicsRequest(("t", "u"), 2_000))
    assert isinstance(answer, DeleteTopicsResponse)
    assert [topic.error for topic in answer.topics] == [0, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION]
    assert fleet.server(2).context.image.topic("t") is None
    create(fleet, 3, "t")
    assert fleet.server(3).context.image.topic_ids["t"] != first
    fleet.settle()
    assert any(first in removed for _, removed in fleet.replicas(1).applied)
    assert fleet.server(fleet.controller()).context.figures.get("controller_failures", 0) == 0


def test_without_a_controller_a_creation_times_out(fleet: Fleet) -> None:
    controller = fleet.controller()
    number = follower(fleet)
    fleet.processes[controller].freeze()
    answer = fleet.ask(number, CreateTopicsRequest((NewTopic("t"),), 300))
    assert isinstance(answer, Refusal)
    assert answer.error == ErrorCode.REQUEST_TIMED_OUT


def test_a_creation_during_an_election_waits_for_the_next_controller(fleet: Fleet) -> None:
    number = follower(fleet)
    fleet.kill(fleet.controller())
    create(fleet, number, "t", 1, 1)


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (CreateTopicsRequest((NewTopic("x"),) * 1_001, 1_000), ErrorCode.INVALID_REQUEST),
        (DeleteTopicsRequest(("x" * 2_000,), 1_000), ErrorCode.INVALID_TOPIC),
        (MetadataRequest(("x",) * 10_001), ErrorCode.INVALID_REQUEST),
        (InitProducerIdRequest("transactional"), ErrorCode.NOT_COORDINATOR),
    ],
)
def test_requests_beyond_the_bounds(fleet: Fleet, request_: Message, error: ErrorCode) -> None:
    answer = fleet.ask(1, request_)
    assert isinstance(answer, Refusal)
    assert answer.error == error


# Metadata


def test_a_topic_is_made_on_first_use_with_the_defaults(fleet: Fleet) -> None:
    answer = fleet.ask(2, MetadataRequest(("fresh", "bad/name"), True))
    assert isinstance(answer, MetadataResponse)
    fresh, bad = answer.topics
    assert (fresh.error, len(fresh.partitions)) == (ErrorCode.NONE, 3)
    assert all(len(partition.replicas) == 3 for partition in fresh.partitions)
    assert bad.error == ErrorCode.INVALID_TOPIC
    assert [broker.id for broker in answer.brokers] == [1, 2, 3]
    assert answer.controller_id == fleet.controller()
    assert answer.cluster_id == "fleet"


def test_many_first_users_make_a_topic_once(fleet: Fleet) -> None:
    answers: list[Any] = []
    for number in (1, 2, 3, 1, 2, 3):
        fleet.post(number, MetadataRequest(("fresh",), True), answers.append)
    fleet.wait(lambda: len(answers) == 6)
    assert {answer.topics[0].error for answer in answers} == {0}
    assert len({answer.topics[0].topic_id for answer in answers}) == 1


def test_so_many_topics_are_made_at_once_on_first_use_and_the_others_are_put_off() -> None:
    fleet = Fleet(1, num_partitions=1, default_replication_factor=1)
    fleet.settle()
    names = tuple(f"t{number:04}" for number in range(MAKING_MAX + 2))
    made: list[int] = []
    texts: set[str] = set()
    for _ in range(3):
        answer = fleet.ask(1, MetadataRequest(names, True), timeout_ms=8_000)
        made.append(sum(topic.error == ErrorCode.NONE for topic in answer.topics))
        texts |= {topic.text for topic in answer.topics if topic.error}
        errors = {topic.error for topic in answer.topics}
        assert errors <= {ErrorCode.NONE, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION}
    assert made == [MAKING_MAX, len(names), len(names)]
    (text,) = texts
    assert text == "not made yet: 1000 topics at once are made on first use; ask for it again"


def test_no_topic_is_made_unasked() -> None:
    fleet = Fleet(1, auto_create_topics=False)
    fleet.settle()
    for allowed in (True, False):
        (topic,) = fleet.ask(1, MetadataRequest(("t",), allowed)).topics
        assert topic.error == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert fleet.ask(1, MetadataRequest()).topics == ()


def test_first_use_without_a_controller_is_answered_in_time(fleet: Fleet) -> None:
    number = follower(fleet)
    fleet.processes[fleet.controller()].freeze()
    start_ms = fleet.world.now_us // 1_000
    (topic,) = fleet.ask(number, MetadataRequest(("t",), True), timeout_ms=700).topics
    assert topic.error == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert fleet.world.now_us // 1_000 - start_ms < 700


def test_clients_hear_of_each_change_from_every_broker(fleet: Fleet) -> None:
    fleet.world.run_for(5)
    fleet.asker.heard.clear()
    create(fleet, 1, "t")
    fleet.settle()
    fleet.world.run_for(5)
    version = fleet.server(1).context.image.position.version
    deltas = [delta for delta in fleet.asker.heard if isinstance(delta, MetadataDelta)]
    assert [delta.version for delta in deltas] == [version] * 3


def test_before_it_knows_the_image_a_broker_says_so() -> None:
    fleet = Fleet(2)
    fleet.settle()
    fleet.kill(2)
    fleet.settle()
    fleet.processes[1].freeze()
    fleet.start(2)
    answer = fleet.ask(2, MetadataRequest())
    assert answer.error == ErrorCode.BROKER_NOT_AVAILABLE
    assert fleet.ask(2, HealthRequest()).state == "starting"


def test_the_history_is_told_by_deltas_and_the_rest_as_a_whole(fleet: Fleet) -> None:
    for name in ("a", "b", "c"):
        create(fleet, 1, name)
    controller = fleet.controller()
    image = fleet.server(controller).context.image
    some = FetchImageRequest(NodeId(1), MetadataVersion(image.position.version - 2))
    answer = fleet.ask(controller, some, door="peers")
    assert isinstance(answer, FetchImageResponse)
    assert [delta.version for delta in answer.deltas] == [some.from_version + 1, answer.version]
    fleet.server(controller).metadata._history.popleft()
    answer = fleet.ask(controller, FetchImageRequest(NodeId(1), MetadataVersion(0)), door="peers")
    assert (answer.full, answer.deltas) == (True, ())
    assert list(answer.records) == list(image.records())
    refused = fleet.ask(follower(fleet), some, door="peers")
    assert isinstance(refused, Refusal)
    assert refused.error == ErrorCode.NOT_CONTROLLER


def test_a_broker_without_an_image_is_told_the_whole_and_not_how_it_came_to_be(
    fleet: Fleet,
) -> None:
    controller = fleet.controller()
    server = fleet.server(controller)
    assert server.metadata._history[0].version == 1, "all of it is remembered"
    answer = fleet.ask(controller, FetchImageRequest(NodeId(1), MetadataVersion(0)), door="peers")
    assert isinstance(answer, FetchImageResponse)
    assert (answer.full, answer.deltas) == (True, ())
    assert list(answer.records) == list(server.context.image.records())


# Producer ids


def test_producer_ids_are_given_once(fleet: Fleet) -> None:
    fleet = Fleet(3, producer_id_block=2)
    fleet.settle()
    answers: list[Any] = []
    for number in (1, 2, 3, 1, 2, 3, 1):
        fleet.post(number, InitProducerIdRequest(), answers.append)
    fleet.wait(lambda: len(answers) == 7)
    assert all(isinstance(answer, InitProducerIdResponse) for answer in answers)
    assert {(answer.error, answer.producer_epoch) for answer in answers} == {(0, 0)}
    assert len({answer.producer_id for answer in answers}) == 7
    assert fleet.tree.znodes["/producer_ids"].data != b'{"next_producer_id":0}'


def test_a_producer_without_a_controller_is_told_in_time(fleet: Fleet) -> None:
    number = follower(fleet)
    fleet.processes[fleet.controller()].freeze()
    answer = fleet.ask(number, InitProducerIdRequest(), timeout_ms=9_000)
    assert isinstance(answer, Refusal)
    assert answer.error == ErrorCode.REQUEST_TIMED_OUT


# Doors


def test_whoever_asks_learns_where_everybody_is(fleet: Fleet) -> None:
    answer = fleet.ask(1, DescribeNodeRequest("me"))
    assert isinstance(answer, DescribeNodeResponse)
    assert (answer.name, answer.mode, answer.incarnation) == ("broker-1", "zookeeper", 1)
    assert answer.nodes == fleet.nodes
    assert answer.api_versions


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ({"destination": NodeName("broker-2")}, ErrorCode.WRONG_NODE),
        ({"incarnation": Incarnation(9)}, ErrorCode.WRONG_INCARNATION),
    ],
)
def test_messages_for_somebody_else(fleet: Fleet, how: dict[str, Any], error: ErrorCode) -> None:
    answer = fleet.ask(1, HealthRequest(), **how)
    assert isinstance(answer, Refusal)
    assert answer.error == error


def test_messages_of_another_cluster(fleet: Fleet) -> None:
    fleet.asker.calls.cluster_id = ClusterId("other")
    answer = fleet.ask(1, HealthRequest())
    assert isinstance(answer, Refusal)
    assert answer.error == ErrorCode.INCONSISTENT_CLUSTER_ID


@pytest.mark.parametrize(
    ("body", "door"),
    [
        (PingSessionRequest(1), "clients"),  # type: ignore[arg-type]
        (AlterPartitionRequest(NodeId(1), BrokerEpoch(1), ()), "clients"),
        (FetchImageRequest(NodeId(1), MetadataVersion(0)), "clients"),
        (MetadataRequest(), "peers"),
        (InitProducerIdRequest(), "peers"),
        (
            MetadataDelta(ControllerEpoch(99), MetadataVersion(99), (ProducerIdsRecord(0),)),  # type: ignore[arg-type]
            "peers",
        ),
    ],
)
def test_what_is_not_answered_at_a_door(fleet: Fleet, body: Message, door: str) -> None:
    answer = fleet.ask(1, body, door=door)
    assert isinstance(answer, Refusal)
    assert answer.error == ErrorCode.UNKNOWN_API
    assert fleet.server(1).context.figures["requests_refused"] == 1


def test_a_client_does_not_read_as_a_replica(fleet: Fleet) -> None:
    fetch = FetchRequest(0, 1, 1, (), NodeId(2), BrokerEpoch(5))
    answer = fleet.ask(1, fetch)
    assert isinstance(answer, Refusal)
    assert answer.error == ErrorCode.INVALID_REQUEST
    fleet.post(1, fetch, lambda _answer: None, door="peers")
    fleet.wait(lambda: bool(fleet.replicas(1).fetched))


def test_the_controller_judges_broker_epochs(fleet: Fleet) -> None:
    request = AlterPartitionRequest(NodeId(1), BrokerEpoch(1), ())
    answer = fleet.ask(fleet.controller(), request, door="peers")
    assert answer == AlterPartitionResponse(ErrorCode.STALE_BROKER_EPOCH)
    refused = fleet.ask(follower(fleet), request, door="peers")
    assert isinstance(refused, Refusal)
    assert refused.error == ErrorCode.NOT_CONTROLLER


# Beginning and end


def test_a_stopped_broker_is_gone_at_once_and_ends_in_order(fleet: Fleet) -> None:
    victim = fleet.controller()
    process, server = fleet.processes[victim], fleet.server(victim)
    process.do(server.stop)
    fleet.wait(lambda: not process.alive, 100)
    assert process.status == 0
    assert isinstance(server.replicas, StandInReplicas)
    assert server.replicas.stopped
    fleet.settle(100)
    assert f"/brokers/ids/{victim}" not in fleet.tree.znodes


def test_a_stop_without_an_ensemble_ends_as_well(fleet: Fleet) -> None:
    process, server = fleet.processes[1], fleet.server(1)
    fleet.tree.world.after = lambda *_: None  # type: ignore[method-assign]
    process.do(server.stop)
    world_after = type(fleet.world).after
    fleet.world.after = world_after.__get__(fleet.world)  # type: ignore[method-assign]
    fleet.wait(lambda: not process.alive, 2_000)


def test_a_directory_of_another_node_is_refused(fleet: Fleet) -> None:
    fleet.kill(1)
    fleet.settle()
    fleet.disks[2].write_file(
        "meta.json", b'{"cluster_id":"fleet","name":"broker-7"}', durable=True
    )
    fleet.kill(2)
    fleet.start(2)
    fleet.world.run_for(1)
    assert "belongs to broker-7 of cluster fleet" in fleet.processes[2].fault


def test_a_cluster_without_coordinators_is_refused(fleet: Fleet) -> None:
    fleet.kill(1)
    fleet.nodes = fleet.nodes[1:]
    fleet.start(1)
    fleet.world.run_for(1)
    assert "at least one coordinator" in fleet.processes[1].fault


def test_another_boot_is_noticed() -> None:
    fleet = Fleet(1)
    fleet.settle()
    assert not fleet.server(1).context.same_boot, "the first start of all"
    fleet.disks[1].write_file("boot-id", b"other", durable=True)
    fleet.kill(1)
    fleet.start(1)
    fleet.settle()
    assert not fleet.server(1).context.same_boot
    assert fleet.disks[1].read_file("boot-id") == b"boot"


def test_a_tail_that_may_be_lost_is_told_until_the_controller_knows() -> None:
    disk = SimulatedDisk()
    assert note_boot(disk, "boot") == (False, False, True), "a new directory promises nothing"
    settle_loss(disk)
    assert note_boot(disk, "boot") == (True, True, False)
    assert note_boot(disk, "other") == (False, False, False)
    assert note_boot(disk, "other") == (True, False, False), "killed before the controller knew"
    settle_loss(disk)
    mark_clean_stop(disk, {})
    assert note_boot(disk, "third") == (False, True, False), (
        "stopped in order before the power went"
    )


def test_so_are_whole_logs_that_are_lost() -> None:
    disk = SimulatedDisk()
    note_boot(disk, "boot")
    assert note_boot(disk, "boot") == (True, False, True), "killed before the controller knew"
    settle_loss(disk)
    assert note_boot(disk, "other") == (False, False, False)
    assert note_boot(disk, "other", logs_lost=True) == (True, False, True)
    assert note_boot(disk, "other") == (True, False, True)


def test_a_process_that_lost_its_tail_is_intact_once_the_controller_knows() -> None:
    fleet = Fleet(1)
    fleet.settle()
    fleet.world.run_for(1_000)
    assert fleet.server(1).context.logs_intact
    assert not fleet.disks[1].exists("lost-tail")


def test_a_registration_left_over_from_this_process_is_replaced(fleet: Fleet) -> None:
    victim = follower(fleet)
    left_over = fleet.tree.znodes[f"/brokers/ids/{victim}"]
    fleet.expire(victim)
    left_over.owner = 77
    fleet.tree.znodes[f"/brokers/ids/{victim}"] = left_over
    fleet.wait(lambda: "sessions_lost" in fleet.server(victim).context.figures)
    fleet.settle()
    assert fleet.tree.znodes[f"/brokers/ids/{victim}"].owner != 77


def test_a_registration_of_a_later_process_is_respected(fleet: Fleet) -> None:
    victim = follower(fleet)
    fleet.expire(victim)
    data = b'{"name":"broker-%d","incarnation":9,"peers":"","clients":"","events":""}' % victim
    fleet.tree.znodes[f"/brokers/ids/{victim}"] = type(fleet.tree.znodes["/brokers"])(data, 10, 77)
    fleet.world.run_for(2_000)
    assert fleet.tree.znodes[f"/brokers/ids/{victim}"].data == data
    assert fleet.server(victim).context.broker_epoch == -1
    assert fleet.server(victim).context.figures["registrations_refused"] >= 2


def test_an_unreadable_registration_harms_nobody(fleet: Fleet) -> None:
    fleet.tree.perform(
        next(iter(fleet.tree.sessions.values())),
        Create("/brokers/ids/not-a-number", b"{}"),
    )
    fleet.world.run_for(50)
    create(fleet, 1, "t")
    figures = fleet.server(fleet.controller()).context.figures
    assert figures["unreadable_registrations"] >= 1


def test_a_beat_from_the_future_makes_a_broker_ask_but_not_all_the_time(fleet: Fleet) -> None:
    server = fleet.server(follower(fleet))
    beat = Heartbeat(
        NodeId(2),
        NodeName("broker-2"),
        Incarnation(1),
        SessionId(1),
        ControllerEpoch(1),
        MetadataVersion(10_000),
    )
    before = server.context.figures.get("image_fetches", 0)
    server.metadata.on_beat(beat, Now(fleet.world.now_us // 1_000, 0))
    fleet.world.run_for(1_000)
    assert 5 <= server.context.figures["image_fetches"] - before <= 11
