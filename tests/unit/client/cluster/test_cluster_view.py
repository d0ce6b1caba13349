"""The client's view of the cluster: bootstrap, announcements, gaps, brokers that die or hang."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from odradek.cluster.client_program import ClientProgram
from odradek.cluster.metadata import IDLE_MAX_MS, NAMES_AT_ONCE
from tests.unit.client.conftest import ScriptedTopic
from transport.wire.codec import Envelope
from transport.wire.errors import ErrorCode
from transport.wire.ids import NodeId
from transport.wire.messages.cluster import DescribeNodeRequest
from transport.wire.messages.metadata import MetadataRequest, RemoveTopicRecord, TopicInfo


def make(cluster: Any, *topics: str, auto_create: bool = False) -> ClientProgram:
    program = ClientProgram(cluster.bootstrap, auto_create=auto_create)
    cluster.start(program)
    for name in topics:
        program.view.watch(name, cluster.now)
    cluster.settle()
    return program


def leader(program: ClientProgram, cluster: Any, name: str = "t", partition: int = 0) -> int:
    found = program.view.leader(name, partition, cluster.now)
    return -1 if found is None else int(found.node)


def test_any_node_is_enough_to_find_the_others(cluster: Any) -> None:
    cluster.topic("t", 3)
    program = ClientProgram(cluster.bootstrap[1:2])
    cluster.start(program)
    program.view.watch("t", cluster.now)
    cluster.settle()
    assert sorted(program.view.brokers) == [1, 2, 3]
    assert [leader(program, cluster, "t", index) for index in range(3)] == [1, 2, 3]
    assert program.view.cluster_id == "scripted"


def test_a_seed_that_is_down_is_passed_over(cluster: Any) -> None:
    cluster.topic("t")
    cluster.brokers[NodeId(2)] = cluster.brokers[NodeId(3)] = False
    program = make(cluster, "t")
    cluster.advance(2_000)
    assert leader(program, cluster) == 1


def test_announcements_are_enough(cluster: Any) -> None:
    cluster.topic("t")
    program = make(cluster, "t")
    asked = cluster.count(MetadataRequest)
    for target in (2, 3, 1):
        cluster.elect("t", 0, target)
        cluster.settle()
        assert leader(program, cluster) == target
    assert cluster.count(MetadataRequest) == asked


def test_changes_of_other_topics_cost_no_request(cluster: Any) -> None:
    cluster.topic("t")
    cluster.topic("other")
    program = make(cluster, "t")
    asked = cluster.count(MetadataRequest)
    for _ in range(20):
        cluster.elect("other", 0, 2)
    cluster.advance(1_000)
    assert cluster.count(MetadataRequest) == asked
    assert program.view.position.version == cluster.version


def test_a_gap_is_repaired_by_a_request_and_the_newer_word_stands_at_once(cluster: Any) -> None:
    cluster.topic("t", 2)
    program = make(cluster, "t")
    asked = cluster.count(MetadataRequest)
    cluster.elect("t", 0, 3, lost=True)
    cluster.elect("t", 1, 3)  # heard, but one before it is missing
    cluster.settle()
    assert leader(program, cluster, "t", 1) == 3
    assert leader(program, cluster, "t", 0) == 3
    assert cluster.count(MetadataRequest) == asked + 1
    assert program.view.position.version == cluster.version


def test_an_old_word_never_wins_over_a_newer_epoch(cluster: Any) -> None:
    cluster.topic("t")
    program = make(cluster, "t")
    old = cluster._record(cluster.topics["t"], 0)
    cluster.elect("t", 0, 2)
    cluster.settle()
    cluster.announce(old)
    cluster.settle()
    assert leader(program, cluster) == 2


def test_a_broker_that_is_behind_does_not_turn_the_view_back(cluster: Any) -> None:
    cluster.topic("t")
    program = make(cluster, "t")
    stale: list[Any] = []

    def answer_old(_node: int, envelope: Any) -> Any:
        if isinstance(envelope.body, MetadataRequest) and stale:
            return stale[0]
        return None

    stale_now, _ = cluster._metadata(NodeId(1), MetadataRequest(("t",)), ())
    cluster.elect("t", 0, 2)
    cluster.settle()
    stale.append(stale_now)
    cluster.before.append(answer_old)
    asked = cluster.count(MetadataRequest)
    program.view.refresh(cluster.now)
    cluster.settle()
    assert leader(program, cluster) == 2
    assert program.view.position.version == cluster.version
    stale.clear()
    cluster.advance(100)
    assert cluster.count(MetadataRequest) > asked + 1, "asked again until it is not behind"


def test_a_broker_that_is_behind_brings_no_deleted_topic_back(cluster: Any) -> None:
    cluster.topic("t")
    program = make(cluster, "t")
    stale, _ = cluster._metadata(NodeId(1), MetadataRequest(("t",)), ())
    cluster.drop("t")
    cluster.settle()
    cluster.before.append(
        lambda _node, one: stale if isinstance(one.body, MetadataRequest) else None
    )
    program.view.refresh(cluster.now)
    cluster.settle()
    assert program.view.topic("t") is None


def test_a_topic_that_was_refused_for_a_while_has_no_earlier_leader_than_before(
    cluster: Any,
) -> None:
    cluster.topic("t")
    program = make(cluster, "t")
    stale, _ = cluster._metadata(NodeId(1), MetadataRequest(("t",)), ())
    cluster.elect("t", 0, 2)
    cluster.settle()
    refused, _ = cluster._metadata(NodeId(1), MetadataRequest(("t",)), ())
    error = TopicInfo(ErrorCode.TOPIC_AUTHORIZATION_FAILED, "t")
    answers = [stale, replace(refused, topics=(error,))]
    cluster.before.append(
        lambda _node, one: (
            answers.pop() if answers and isinstance(one.body, MetadataRequest) else None
        )
    )
    program.view.refresh(cluster.now)
    cluster.settle()
    assert program.view.topic("t") is None
    program.view.refresh(cluster.now)
    cluster.settle()
    assert leader(program, cluster) != 1
    cluster.advance(100)
    assert leader(program, cluster) == 2


def test_a_killed_announcer_is_replaced(cluster: Any) -> None:
    cluster.topic("t")
    program = make(cluster, "t")
    heard = program.view._announcements.listening_to()
    assert len(heard) == 2
    cluster.kill(heard[0], elect=False)
    cluster.advance(50)
    assert heard[0] not in program.view._announcements.listening_to()
    cluster.elect("t", 0, int(heard[1]))
    cluster.settle()
    assert leader(program, cluster) == heard[1]


def test_a_silent_announcer_is_replaced(cluster: Any) -> None:
    cluster.topic("t")
    program = make(cluster, "t")
    cluster.advance(300)
    heard = program.view._announcements.listening_to()
    cluster.held = {heard[0]}
    cluster.advance(1_500)
    assert heard[0] not in program.view._announcements.listening_to()


def test_a_hung_broker_does_not_keep_metadata_from_us(cluster: Any) -> None:
    cluster.topic("t")
    program = make(cluster, "t")
    cluster.topic("u")
    heard = program.view._announcements.listening_to()
    cluster.held = {heard[0]}
    program.view.watch("u", cluster.now)
    cluster.advance(1_500)
    assert leader(program, cluster, "u") in (1, 2, 3)


def test_a_topic_that_is_made_is_known_without_a_pause(cluster: Any) -> None:
    program = make(cluster, "t")
    cluster.advance(3_000)
    assert program.view.topic("t") is None
    assert program.view.topics["t"].error == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    cluster.topic("t", 3)
    cluster.settle()
    known = program.view.topic("t")
    assert known is not None
    assert len(known.partitions) == 3


def test_a_missing_topic_is_asked_for_ever_more_seldom(cluster: Any) -> None:
    make(cluster, "t")
    cluster.advance(5_000)
    asked = cluster.count(MetadataRequest)
    cluster.advance(5_000)
    assert cluster.count(MetadataRequest) - asked <= 12


def test_a_deleted_topic_is_not_made_again_by_looking(cluster: Any) -> None:
    cluster.auto_create = 1
    program = make(cluster, "t", auto_create=True)
    assert program.view.topic("t") is not None
    cluster.drop("t")
    cluster.advance(3_000)
    program.view.refresh(cluster.now)
    cluster.settle()
    assert "t" not in cluster.topics
    program.view.watch("t", cluster.now)
    cluster.settle()
    assert "t" in cluster.topics


def test_a_deleted_topic_is_not_made_again_where_nobody_has_told_of_its_end(cluster: Any) -> None:
    cluster.auto_create = 1
    program = make(cluster, "t", auto_create=True)
    gone = cluster.topics.pop("t")
    cluster.announce(RemoveTopicRecord(gone.id), lost=True)
    cluster.advance(3_000)
    assert program.view.topic("t") is None
    program.view.follow("t", cluster.now)
    cluster.advance(3_000)
    assert "t" not in cluster.topics
    program.view.watch("t", cluster.now)
    cluster.settle()
    assert program.view.topic("t") is not None, "somebody asks for it"


def test_a_deleted_topic_is_not_made_again_by_looking_for_another(cluster: Any) -> None:
    cluster.auto_create = 1
    program = make(cluster, "t", "u", auto_create=True)
    cluster.drop("t")
    cluster.settle()
    program.view.watch("v", cluster.now)
    cluster.settle()
    assert set(cluster.topics) == {"u", "v"}
    cluster.topic("t")
    cluster.advance(1_000)
    assert program.view.topic("t") is not None, "by somebody else it is"


def test_a_look_for_another_makes_none_again_of_whose_end_nobody_has_told(cluster: Any) -> None:
    cluster.auto_create = 1
    program = make(cluster, "t", auto_create=True)
    gone = cluster.topics.pop("t")
    cluster.announce(RemoveTopicRecord(gone.id), lost=True)
    program.view.watch("u", cluster.now)
    cluster.settle()
    assert set(cluster.topics) == {"u"}


def test_a_topic_is_made_only_for_who_uses_it(cluster: Any) -> None:
    cluster.auto_create = 1
    program = make(cluster, auto_create=True)
    program.view.follow("t", cluster.now)
    cluster.settle()
    asked = cluster.count(MetadataRequest)
    cluster.advance(5_000)
    assert cluster.topics == {}
    assert cluster.count(MetadataRequest) == asked, "it would be announced"
    program.view.watch("t", cluster.now)
    cluster.settle()
    assert program.view.topic("t") is not None


class Using(ClientProgram):
    """Uses one topic, whenever it is asked."""

    def topics_in_use(self, since_ms: int) -> set[str]:
        return {"used"}


def test_a_topic_that_nobody_has_used_for_long_is_asked_about_no_more(cluster: Any) -> None:
    for name in ("idle", "asked", "used"):
        cluster.topic(name)
    program = Using(cluster.bootstrap)
    cluster.start(program)
    for name in ("idle", "asked", "used"):
        program.view.watch(name, cluster.now)
    for _ in range(3):
        cluster.advance(IDLE_MAX_MS // 2, 500)
        program.view.follow("asked", cluster.now)
    looks = [body.topics for _, body in cluster.asked if isinstance(body, MetadataRequest)]
    assert set(looks[-1] or ()) == set(program.view.topics) == {"asked", "used"}
    program.view.watch("idle", cluster.now)
    cluster.settle()
    assert program.view.topic("idle") is not None, "it is used again"


def test_who_watches_more_topics_than_a_broker_tells_of_at_once_asks_in_pieces(
    cluster: Any,
) -> None:
    names = [f"t{number}" for number in range(12_000)]
    cluster.topics = {
        name: ScriptedTopic(name, 1 + at, 1, [NodeId(1)]) for at, name in enumerate(names)
    }
    program = ClientProgram(cluster.bootstrap, auto_create=False)
    cluster.start(program)
    for name in names:
        program.view.watch(name, cluster.now)
    cluster.settle()
    asked = [body.topics or () for _, body in cluster.asked if isinstance(body, MetadataRequest)]
    assert max(map(len, asked)) <= NAMES_AT_ONCE
    assert [name for some in asked for name in some] == names, "each is asked for once"
    assert all(program.view.topic(name) is not None for name in names)


def test_a_look_in_pieces_that_is_overtaken_by_a_change_begins_anew(cluster: Any) -> None:
    names = tuple(f"t{number}" for number in range(NAMES_AT_ONCE + 1))
    cluster.topics = {
        name: ScriptedTopic(name, 1 + at, 1, [NodeId(1)]) for at, name in enumerate(names)
    }
    program = ClientProgram(cluster.bootstrap, auto_create=False)
    cluster.start(program)
    for name in names:
        program.view.watch(name, cluster.now)
    moved: list[int] = []

    def move(_node: NodeId, asked: Envelope) -> None:
        body = asked.body
        if not moved and isinstance(body, MetadataRequest) and body.topics == names[-1:]:
            moved.append(1)  # between two pieces, and nobody hears of it
            cluster.elect(names[0], 0, 2, lost=True)

    cluster.before.append(move)
    cluster.advance(500)
    assert moved
    assert leader(program, cluster, names[0]) == 2


def test_a_cluster_that_has_moved_is_found_by_the_seeds(cluster: Any) -> None:
    program = make(cluster, "t")
    asked = cluster.count(DescribeNodeRequest)
    for node in (1, 2, 3):
        cluster.kill(node, elect=False)
    cluster.advance(6_000)
    for node in (1, 2, 3):
        cluster.revive(node)
    cluster.topic("t")
    cluster.advance(8_000)
    assert cluster.count(DescribeNodeRequest) > asked
    assert leader(program, cluster) in (1, 2, 3)
