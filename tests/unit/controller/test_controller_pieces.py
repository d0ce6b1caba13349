"""Long decisions in pieces: whoever asks comes in between, and nothing stale is committed."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from nodes.core.controller.core import FIRST_PIECE_RECORDS
from nodes.core.controller.events import (
    Asked,
    BalanceDue,
    Committed,
    ControllerSettings,
    LiveBrokers,
    Resigned,
)
from tests.unit.controller.cluster import Cluster, begin, broker, epoch_of, finish, three
from tests.unit.controller.crowd import Crowd
from transport.wire.errors import ErrorCode
from transport.wire.ids import BrokerEpoch, NodeId, TopicId
from transport.wire.messages import Message, Refusal
from transport.wire.messages.configs import (
    RESOURCE_TOPIC,
    AlterConfigsRequest,
    AlteredConfigs,
    ConfigChange,
    ConfigOp,
)
from transport.wire.messages.metadata import (
    AlterPartitionRequest,
    AlterPartitionResponse,
    IsrMember,
    PartitionChange,
    PartitionRecord,
)
from transport.wire.messages.reassignments import (
    ELECT_PREFERRED,
    DrainBrokerRequest,
    ElectLeadersRequest,
)
from transport.wire.messages.topics import (
    DeleteTopicsRequest,
    DeleteTopicsResponse,
)

IN_PIECES = ControllerSettings(min_insync_replicas=2, piece_records=2, commit_bytes_max=1_500)
"""A commit holds a piece or two."""


def altered(value: str) -> AlterConfigsRequest:
    change = ConfigChange("retention.ms", ConfigOp.SET, value)
    return AlterConfigsRequest((AlteredConfigs(RESOURCE_TOPIC, "t", (change,)),), 1_000)


def led_by(cluster: Cluster, topic_id: TopicId, node: int) -> int:
    records = cluster.image.partitions.get(topic_id, {}).values()
    return sum(record.leader == node for record in records)


def test_who_asks_during_a_death_waits_for_a_piece_and_not_for_all() -> None:
    cluster = three(ControllerSettings(piece_records=4))
    topic_id = cluster.create("t", 100, 3)
    first = begin(cluster, LiveBrokers((broker(2), broker(3))))
    assert len(first.records) == 4, "the broker, and what it led"
    cluster.step(Asked(altered("60000"), "a"))
    (second,) = cluster.commit(first).append
    effects = cluster.commit(second)
    assert "a" in cluster.replies
    assert len(second.records) <= 1 + 4
    assert led_by(cluster, topic_id, 1), "the decision is far from its end"
    finish(cluster, *effects.append)
    assert not any(1 in record.isr for record in cluster.image.partitions[topic_id].values())


@pytest.mark.parametrize(
    "request_",
    [DrainBrokerRequest(NodeId(1), True, 1_000), ElectLeadersRequest(ELECT_PREFERRED, None, 1_000)],
)
def test_whose_death_is_being_decided_upon_is_put_into_no_isr_anew(request_: Message) -> None:
    """Seed 320: a drain that came in between moved leaders, and left the dead in those ISRs."""
    cluster = three(ControllerSettings(piece_records=4))
    cluster.create("t", 100, 3)
    for draining in (True, False):  # so that others lead what broker 2 is preferred for
        drain = DrainBrokerRequest(NodeId(2), draining, 1_000)
        finish(cluster, begin(cluster, Asked(drain, f"drain {draining}")))
    delta = begin(cluster, LiveBrokers((broker(2), broker(3))))
    cluster.step(Asked(request_, "a"))
    decided: list[PartitionRecord] = []
    while True:
        effects = cluster.commit(delta)
        decided += [record for record in delta.records if isinstance(record, PartitionRecord)]
        if not effects.append:
            break
        (delta,) = effects.append
    assert "a" in cluster.replies
    assert not [record for record in decided if 1 in record.isr]


def joins(cluster: Cluster, topic_id: TopicId, leader: int) -> AlterPartitionRequest:
    """What a leader asks for when all replicas have caught up."""
    changes = tuple(
        PartitionChange(
            topic_id,
            record.partition,
            record.leader_epoch,
            record.partition_epoch,
            tuple(IsrMember(node, epoch_of(cluster, node)) for node in record.replicas),
        )
        for record in cluster.image.partitions[topic_id].values()
        if record.leader == leader
    )
    return AlterPartitionRequest(NodeId(leader), epoch_of(cluster, leader), changes)


def rejoining(settings: ControllerSettings, partitions: int) -> tuple[Cluster, TopicId]:
    """Return a cluster in which broker 1 is back, and in sync nowhere."""
    cluster = three(settings)
    topic_id = cluster.create("t", partitions, 3)
    cluster.live(broker(2), broker(3))
    cluster.live(broker(1, 201), broker(2), broker(3))
    return cluster, topic_id


def test_who_asks_while_replicas_join_waits_for_a_piece_and_not_for_all() -> None:
    cluster, topic_id = rejoining(ControllerSettings(piece_records=10), 200)
    first = begin(cluster, Asked(joins(cluster, topic_id, 2), "joins"))
    assert len(first.records) == 10
    cluster.step(Asked(joins(cluster, topic_id, 3), "others"))
    cluster.step(Asked(altered("60000"), "a"))
    (second,) = cluster.commit(first).append
    assert len(second.records) == 1, "who asked has a commit without any of the joins"
    effects = cluster.commit(second)
    assert "a" in cluster.replies
    finish(cluster, *effects.append)
    for token in ("joins", "others"):
        answer = cluster.replies[token]
        assert isinstance(answer, AlterPartitionResponse)
        assert {change.error for change in answer.changes} == {ErrorCode.NONE}
    assert all(len(record.isr) == 3 for record in cluster.image.partitions[topic_id].values())


def test_askers_and_pieces_take_turns() -> None:
    cluster, topic_id = rejoining(ControllerSettings(piece_records=10), 200)
    delta = begin(cluster, Asked(joins(cluster, topic_id, 2), "joins"))
    sizes = []
    for number in range(8):
        cluster.step(Asked(altered(str(60_000 + number)), number))
        sizes.append(len(delta.records))
        (delta,) = cluster.commit(delta).append
    assert sizes == [10, 1] * 4
    finish(cluster, delta)


def test_who_joins_with_many_others_may_die_before_its_turn() -> None:
    cluster, topic_id = rejoining(ControllerSettings(piece_records=10), 60)
    delta = begin(cluster, Asked(joins(cluster, topic_id, 2), "joins"))
    cluster.step(LiveBrokers((broker(2), broker(3))))
    finish(cluster, delta)
    answer = cluster.replies["joins"]
    assert isinstance(answer, AlterPartitionResponse)
    errors = [change.error for change in answer.changes]
    assert errors[:10] == [ErrorCode.NONE] * 10
    assert ErrorCode.INELIGIBLE_REPLICA in errors
    assert not any(1 in record.isr for record in cluster.image.partitions[topic_id].values())


def test_a_leader_that_has_registered_anew_between_two_pieces_is_told_of_the_rest() -> None:
    cluster, topic_id = rejoining(ControllerSettings(piece_records=10), 60)
    delta = begin(cluster, Asked(joins(cluster, topic_id, 2), "joins"))
    cluster.step(LiveBrokers((broker(1, 201), broker(2, 202), broker(3))))
    finish(cluster, delta)
    answer = cluster.replies["joins"]
    assert isinstance(answer, AlterPartitionResponse)
    errors = [change.error for change in answer.changes]
    assert errors[:10] == [ErrorCode.NONE] * 10
    assert errors[-1] == ErrorCode.STALE_BROKER_EPOCH


def test_what_an_operator_wants_of_a_broker_outlives_the_news_of_its_death() -> None:
    cluster = three(ControllerSettings(piece_records=1))
    cluster.create("t", 4, 3)
    delta = begin(cluster, LiveBrokers((broker(3),)))
    cluster.step(Asked(DrainBrokerRequest(NodeId(2), True, 1_000), "drain"))
    finish(cluster, delta)
    gone = cluster.image.brokers[NodeId(2)]
    assert not gone.alive
    assert gone.draining


def test_a_successors_pieces_begin_small_and_double() -> None:
    """Whoever waited for its predecessor asks it now."""
    cluster = three()
    cluster.create("t", 1_000, 3)
    heir = Cluster(cluster.image, epoch=2)
    heir.live(broker(2), broker(3), takeover=True)
    first = FIRST_PIECE_RECORDS
    sizes = [len(delta.records) for delta in heir.deltas]
    assert sizes[:4] == [first, 2 * first, 4 * first, 8 * first]
    assert set(sizes[3:-1]) == {ControllerSettings().piece_records}
    assert sum(sizes) == 1 + 1_000, "the broker, and each partition once"


def test_who_has_asked_before_a_takeover_comes_before_it() -> None:
    before = three(IN_PIECES)
    topic_id = before.create("t", 30, 3)
    cluster = Cluster(before.image, IN_PIECES, epoch=2)
    assert not cluster.step(Asked(altered("60000"), "a")).append, "who is alive comes first"
    delta = begin(cluster, LiveBrokers((broker(2), broker(3)), takeover=True))
    assert len(delta.records) == 1
    effects = cluster.commit(delta)
    assert "a" in cluster.replies
    finish(cluster, *effects.append)
    assert not led_by(cluster, topic_id, 1)


def test_askers_without_end_do_not_hold_up_a_death() -> None:
    cluster = three(IN_PIECES)
    topic_id = cluster.create("t", 30, 3)
    delta = begin(cluster, LiveBrokers((broker(2), broker(3))))
    for number in range(60):
        cluster.step(Asked(altered(str(60_000 + number)), number))
        (delta,) = cluster.commit(delta).append
    assert not led_by(cluster, topic_id, 1)
    finish(cluster, delta)


def test_a_piece_goes_by_what_others_have_decided_before_it() -> None:
    cluster = three(IN_PIECES)
    topic_id, doomed = cluster.create("t", 12, 3), cluster.create("doomed", 12, 3)
    delta = begin(cluster, LiveBrokers((broker(2), broker(3))))
    last = next(
        record
        for record in reversed(cluster.image.partitions[topic_id].values())
        if record.leader == 2
    )
    change = PartitionChange(
        topic_id,
        last.partition,
        last.leader_epoch,
        last.partition_epoch,
        (IsrMember(NodeId(2), BrokerEpoch(102)),),
    )
    cluster.step(Asked(AlterPartitionRequest(NodeId(2), BrokerEpoch(102), (change,)), "isr"))
    cluster.step(Asked(DeleteTopicsRequest(("doomed",), 1_000), "gone"))
    finish(cluster, delta)
    answer, gone = cluster.replies["isr"], cluster.replies["gone"]
    assert isinstance(answer, AlterPartitionResponse)
    assert answer.changes[0].error == ErrorCode.NONE
    assert isinstance(gone, DeleteTopicsResponse)
    assert cluster.partition(topic_id, last.partition).isr == (2,)
    assert doomed not in cluster.image.partitions
    assert not led_by(cluster, topic_id, 1)


def test_of_lists_that_come_during_a_death_the_newest_counts() -> None:
    cluster = three(IN_PIECES)
    topic_id = cluster.create("t", 30, 3)
    delta = begin(cluster, LiveBrokers((broker(2), broker(3))))
    cluster.step(LiveBrokers((broker(1, 201), broker(2), broker(3))))
    cluster.step(LiveBrokers((broker(2), broker(3))))
    finish(cluster, delta)
    assert not cluster.image.is_alive(NodeId(1))
    assert cluster.image.brokers[NodeId(1)].epoch == 101
    assert not led_by(cluster, topic_id, 1)


def test_who_dies_while_a_death_is_decided_upon_waits_for_a_piece_and_not_for_all_of_it() -> None:
    cluster = Cluster(settings=ControllerSettings(piece_records=4))
    cluster.live(*(broker(node) for node in range(1, 6)), takeover=True)
    topic_id = cluster.create("t", 100, 3)
    cluster.deltas.clear()
    delta = begin(cluster, LiveBrokers(tuple(broker(node) for node in range(2, 6))))
    cluster.step(LiveBrokers((broker(3), broker(4), broker(5))))
    finish(cluster, delta)
    (known,) = [
        number
        for number, delta in enumerate(cluster.deltas)
        if any(getattr(record, "id", None) == 2 for record in delta.records)
    ]
    assert known == 1
    moved = {
        (number, record.partition)
        for number, delta in enumerate(cluster.deltas)
        for record in delta.records
        if isinstance(record, PartitionRecord) and record.leader_epoch > 0
    }
    assert max(number for number, _ in moved) <= 1 + (20 + 20) // 4, "both before anything else"
    records = cluster.image.partitions[topic_id].values()
    assert not any({1, 2} & set(record.isr) for record in records), "nothing of the first is left"


def test_a_takeover_overtaken_by_the_next_list_is_still_one() -> None:
    before = three(IN_PIECES)
    topic_id = before.create("t", 30, 3)
    cluster = Cluster(before.image, IN_PIECES, epoch=2)
    delta = begin(
        cluster, LiveBrokers((broker(1), broker(2)), takeover=True), LiveBrokers((broker(2),))
    )
    finish(cluster, delta)
    assert led_by(cluster, topic_id, 2) == 30
    cluster.core.check()


def test_a_takeover_overtaken_before_it_has_begun_is_still_one() -> None:
    before = three(IN_PIECES)
    topic_id = before.create("t", 30, 3)
    cluster = Cluster(before.image, IN_PIECES, epoch=2)
    cluster.step(Asked(altered("60000"), "a"))
    delta = begin(
        cluster, LiveBrokers((broker(1), broker(2)), takeover=True), LiveBrokers((broker(2),))
    )
    finish(cluster, delta)
    cluster.live(broker(2))
    assert led_by(cluster, topic_id, 2) == 30


def test_a_balance_in_pieces_leaves_alone_what_others_have_moved() -> None:
    cluster = three(IN_PIECES)
    topic_id = cluster.create("t", 30, 3)
    cluster.live(broker(2), broker(3))
    cluster.live(broker(1, 201), broker(2), broker(3))
    for record in list(cluster.image.partitions[topic_id].values()):
        cluster.propose(record, record.replicas)
    delta = begin(cluster, BalanceDue())
    assert not cluster.step(BalanceDue()).append, "one at a time"
    everything = tuple(("t", number) for number in range(30))
    cluster.step(Asked(ElectLeadersRequest(ELECT_PREFERRED, everything, 1_000), "elect"))
    finish(cluster, delta)
    records = cluster.image.partitions[topic_id].values()
    assert all(record.leader == record.replicas[0] for record in records)
    assert all(record.leader_epoch <= 2 for record in records), "each was elected once"


def test_a_decision_between_two_pieces_ends_with_the_reign() -> None:
    cluster = three(IN_PIECES)
    cluster.create("t", 30, 3)
    delta = begin(cluster, LiveBrokers((broker(2), broker(3))))
    cluster.step(Asked(altered("60000"), "a"))
    cluster.commit(delta)
    cluster.step(Asked(altered("70000"), "b"))
    effects = cluster.step(Resigned())
    answers = {answer.token: answer.message for answer in effects.reply}
    assert answers["a"] == Refusal(
        ErrorCode.REQUEST_TIMED_OUT, "resigned; the outcome is not known"
    )
    assert answers["b"] == Refusal(ErrorCode.NOT_CONTROLLER, "resigned; nothing was done")
    assert not cluster.step(Committed(delta.version)).append


# By chance


@pytest.mark.parametrize("seed", range(12))
def test_whatever_comes_in_between_the_image_ends_as_its_rules_have_it(seed: int) -> None:
    crowd = Crowd(seed)
    for _ in range(250):
        crowd.act()
    crowd.settle()
    image = crowd.cluster.image
    assert {broker.id: broker.epoch for broker in image.live_brokers()} == {
        record.id: record.epoch for record in crowd.alive.values()
    }
    assert set(crowd.cluster.replies) >= set(crowd.asked), "each is answered, in the end"
    for topic_id, partitions in image.partitions.items():
        assert len(partitions) >= image.topics[topic_id].partition_count, "each is made as a whole"
        for record in partitions.values():
            live = [node for node in record.isr if image.is_alive(node)]
            assert image.is_alive(record.leader) == bool(live), record
            assert not live or len(live) == len(record.isr), record
    crowd.cluster.core.check()


def test_the_draft_is_an_image_of_its_own() -> None:
    cluster = three()
    topic_id = cluster.create("t", 3, 3, retention_ms="60000")
    copy = cluster.image.copied()
    assert vars(copy) == vars(cluster.image)
    copy.apply_record(replace(cluster.partition(topic_id), partition_epoch=9))
    assert cluster.partition(topic_id).partition_epoch == 0
