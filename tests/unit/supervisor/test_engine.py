"""The supervisor's program, in a world of plain values: no process, no socket, no clock."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodes.config import EXIT_BUG, EXIT_CONFIG, EXIT_ENVIRONMENT
from nodes.settings import ConfigError
from supervisor.data_dir import DataDir
from supervisor.engine import EXIT_NOT_READY
from supervisor.lives import Exited
from supervisor.status import status_json, status_text
from tests.unit.supervisor.world import KEY, KILLED, PERSON, FakeProcesses, World
from transport.kernel import Now
from transport.wire.codec import Envelope, Kind
from transport.wire.errors import ErrorCode
from transport.wire.ids import Incarnation, NodeName
from transport.wire.messages import Message, Refusal
from transport.wire.messages.cluster import (
    DeathNotice,
    DeathNoticeResponse,
    HealthRequest,
    death_notice_proof,
)
from transport.wire.messages.reassignments import HandOverRequest
from transport.wire.messages.supervision import (
    MoveRequest,
    MoveResponse,
    RebuildNodeRequest,
    RebuildNodeResponse,
    RestartNodeRequest,
    RestartNodeResponse,
    SignalNodeRequest,
    SignalNodeResponse,
    SupervisorStatusRequest,
    SupervisorStatusResponse,
)


@pytest.fixture
def world() -> World:
    return World()


def test_it_is_ready_when_every_node_serves_and_a_controller_is_active(world: World) -> None:
    world.connect_all()
    world.answer_health(silent="broker-1")
    assert not world.observer.was_ready
    world.advance(1_100)
    assert len(world.observer.was_ready) == 1
    assert world.observer.was_ready[0].ready


def test_a_node_that_says_starting_is_asked_again_soon(world: World) -> None:
    world.connect_all()
    world.answer_health(state="starting")
    world.advance(40, well=False)
    assert len(world.take(HealthRequest)) == 3


def test_a_death_is_told_before_a_disk_is_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.become_ready()
    told: list[int] = []
    monkeypatch.setattr(FakeProcesses, "reap", lambda *_: told.append(len(world.take(DeathNotice))))
    world.die("broker-1")
    assert told == [2], "the end is written down when both have been told"


def test_every_coordinator_is_told_of_a_death_at_once_with_proof(world: World) -> None:
    world.become_ready()
    world.die("broker-1")
    notices = world.take(DeathNotice)
    assert [door for door, _ in notices] == [
        world.peers["coordinator-1"],
        world.peers["coordinator-2"],
    ]
    name, number = NodeName("broker-1"), world.plan.find("broker-1").id
    proof = death_notice_proof(KEY, name, number, Incarnation(1))
    assert notices[0][1].body == DeathNotice(name, number, Incarnation(1), proof)


def test_a_notice_is_repeated_until_one_coordinator_has_acted_on_it(world: World) -> None:
    world.become_ready()
    world.ports.down.update(world.peers.values())
    world.die("broker-1")
    assert world.take(DeathNotice) == []
    world.ports.down.clear()
    world.advance(60, well=False)
    first, second = world.take(DeathNotice)
    world.answer(*first, DeathNoticeResponse(ErrorCode.NOT_RAFT_LEADER))
    world.advance(60, well=False)
    again = world.take(DeathNotice)
    assert [door for door, _ in again] == [world.peers["coordinator-1"]]
    world.answer(*second, DeathNoticeResponse(ErrorCode.NONE))
    world.answer(*again[0], DeathNoticeResponse(ErrorCode.NOT_RAFT_LEADER))
    world.advance(500, well=False)
    assert world.take(DeathNotice) == []


def test_a_notice_ends_when_the_next_process_serves(world: World) -> None:
    world.become_ready()
    world.die("broker-1")
    assert len(world.engine.notices) == 1
    world.advance(100)
    assert len(world.engine.notices) == 0


def test_a_notice_that_nobody_acts_on_ends_when_no_session_can_be_left(world: World) -> None:
    world.become_ready()
    world.processes.refuse = True
    world.die("broker-1")
    world.advance(29_000, well=False)
    assert len(world.engine.notices) == 1
    world.advance(2_000, well=False)
    assert len(world.engine.notices) == 0


def test_a_coordinator_is_not_told_of_its_own_death(world: World) -> None:
    world.become_ready()
    world.die("coordinator-1", EXIT_BUG)
    assert [door for door, _ in world.take(DeathNotice)] == [world.peers["coordinator-2"]]


def test_notices_can_be_switched_off() -> None:
    world = World(death_notices=False)
    world.become_ready()
    world.die("broker-1")
    world.advance(200)
    assert world.take(DeathNotice) == []


def test_a_killed_node_is_started_at_once_and_a_failing_one_after_a_delay(world: World) -> None:
    world.become_ready()
    world.die("broker-1")
    assert world.processes.started.count("broker-1") == 2
    assert world.state("broker-1") == "starting"
    world.die("broker-1", EXIT_ENVIRONMENT)
    assert world.state("broker-1") == "restarting"
    world.advance(190)
    assert world.processes.started.count("broker-1") == 2
    world.advance(20)
    assert world.processes.started.count("broker-1") == 3
    assert world.engine.roster[NodeName("broker-1")].restarts == 2


def test_an_exit_that_was_already_taken_is_passed_over(world: World) -> None:
    world.become_ready()
    old = Exited(NodeName("broker-1"), world.engine.roster[NodeName("broker-1")].pid, KILLED)
    world.die("broker-1")
    world.engine.on_exit(old, world.now)
    assert world.state("broker-1") == "starting"


def test_a_process_that_cannot_be_started_now_is_tried_again(world: World) -> None:
    world.become_ready()
    world.processes.refuse = True
    world.die("broker-1")
    assert world.state("broker-1") == "restarting"
    world.processes.refuse = False
    world.advance(1_010)
    assert world.processes.started.count("broker-1") == 2


def test_wrong_settings_at_the_start_end_everything_with_the_nodes_own_words(
    world: World,
) -> None:
    world.die("broker-1", EXIT_CONFIG)
    [(status, text)] = world.observer.failures
    assert status == EXIT_CONFIG
    assert "broker-1 cannot run with these settings: its last words" in text
    assert world.processes.asked_to_end == ["coordinator-1", "coordinator-2"]
    world.die("coordinator-1", 0)
    assert world.ports.status is None
    world.die("coordinator-2", 0)
    assert world.ports.status == EXIT_CONFIG


def test_wrong_settings_later_give_up_that_node_alone(world: World) -> None:
    world.become_ready()
    world.die("broker-1", EXIT_CONFIG)
    world.advance(10_000)
    assert world.state("broker-1") == "failed"
    assert world.processes.asked_to_end == []
    assert world.observer.failures == []


def test_a_start_that_somebody_waits_for_fails_in_time_and_says_what_is_missing() -> None:
    world = World(must_be_ready=True)
    world.connect_all()
    world.answer_health(silent="broker-1")
    world.advance(5_100, well=False)
    [(status, text)] = world.observer.failures
    assert status == EXIT_NOT_READY
    assert "not ready after 5 s" in text
    assert "broker-1 starting" in text
    for name in list(world.peers):
        world.die(name, 0)
    assert world.ports.status == EXIT_NOT_READY


def test_stop_ends_all_at_once_and_kills_what_hangs(world: World) -> None:
    world.become_ready()
    world.engine.stop(world.now)
    assert world.processes.asked_to_end == list(world.peers)
    world.die("coordinator-1", 0)
    world.die("broker-1", 0)
    world.advance(9_000)
    assert world.processes.signals == []
    world.advance(1_100)
    assert world.processes.signals == [("coordinator-2", 9)]
    world.die("coordinator-2")
    assert world.ports.status == 0
    assert world.processes.started == list(world.peers)


def test_a_second_stop_kills_at_once(world: World) -> None:
    world.become_ready()
    world.engine.stop(world.now)
    world.engine.stop(world.now)
    assert world.processes.signals == [(name, 9) for name in world.peers]


def test_a_node_that_waits_for_its_next_start_does_not_start_during_a_stop(world: World) -> None:
    world.become_ready()
    world.die("broker-1", EXIT_BUG)
    world.engine.stop(world.now)
    world.advance(1_000)
    assert world.processes.started.count("broker-1") == 1


def test_a_node_that_hangs_is_unresponsive_and_leads_nothing(world: World) -> None:
    world.become_ready()
    for _ in range(800):
        world.now = Now(world.now.mono_ms + 5, 0)
        world.engine.end_turn(world.now)
        world.answer_health(silent="broker-1")
    assert world.state("broker-1") == "unresponsive"
    shown = {str(node.name): node for node in world.observer.shown[-1].nodes}
    assert not shown["broker-1"].controller
    assert shown["coordinator-1"].leader
    assert not world.observer.shown[-1].ready


def test_after_a_gap_of_our_own_nobody_is_blamed(world: World) -> None:
    world.become_ready()
    world.now = Now(world.now.mono_ms + 60_000, 0)
    world.engine.on_gap(59_000, world.now)
    assert world.state("broker-1") == "ready"


def test_after_a_gap_of_our_own_a_node_that_ends_has_the_rest_of_its_time() -> None:
    world = World(must_be_ready=True)
    world.connect_all()
    world.answer_health(silent="broker-1")
    world.command(RestartNodeRequest(KEY, NodeName("coordinator-2")))
    world.advance(1_000, well=False)
    world.now = Now(world.now.mono_ms + 60_000, 0)
    world.engine.on_gap(60_000, world.now)
    world.engine.end_turn(world.now)
    assert world.processes.signals == [], "it is not killed for what we have slept"
    assert world.observer.failures == [], "nor is the start given up"
    world.advance(10_000, well=False)
    assert world.processes.signals == [("coordinator-2", 9)]
    assert len(world.observer.failures) == 1


# Commands


def test_status_is_fresh_and_has_every_key_that_programs_rely_on(world: World) -> None:
    world.become_ready()
    [status] = world.command(SupervisorStatusRequest(KEY))
    assert isinstance(status, SupervisorStatusResponse)
    table = status_json(status)
    assert list(table) == ["cluster", "mode", "ready", "supervisor", "tls", "nodes"]
    assert table["ready"] is True
    assert table["supervisor"] == {"pid": 77}
    assert table["nodes"][2] == {
        "name": "broker-1",
        "roles": ["broker"],
        "id": 1,
        "pid": 1030,
        "state": "ready",
        "leader": False,
        "controller": True,
        "restarts": 0,
        "note": "",
        "uptime_ms": 0,
        "rss_bytes": 1_030_000,
        "endpoints": {
            "peers": "tcp://127.0.0.1:30",
            "clients": "tcp://127.0.0.1:31",
            "events": "tcp://127.0.0.1:32",
        },
    }
    assert "broker (controller)" in status_text(status)


def test_status_waits_for_a_hanging_node_a_moment_only(world: World) -> None:
    world.become_ready()
    world.ports.replies = []
    request = Envelope(Kind.REQUEST, SupervisorStatusRequest(KEY), correlation_id=9)
    world.engine.on_message(PERSON, request, world.now)
    world.advance(290, well=False)
    assert world.ports.replies == []
    world.advance(20, well=False)
    assert len(world.ports.replies) == 1


@pytest.mark.parametrize(
    "body",
    [
        SupervisorStatusRequest("wrong"),
        SignalNodeRequest("wrong", NodeName("broker-1"), 9),
        RestartNodeRequest("ключ", NodeName("broker-1")),
    ],
)
def test_whoever_does_not_know_the_key_is_refused(world: World, body: Message) -> None:
    world.become_ready()
    [refusal] = world.command(body)
    assert isinstance(refusal, Refusal)
    assert refusal.error == ErrorCode.CLUSTER_AUTHORIZATION_FAILED
    assert world.processes.signals == []


def test_a_request_meant_for_nodes_is_refused(world: World) -> None:
    [refusal] = world.command(HealthRequest())
    assert isinstance(refusal, Refusal)
    assert refusal.error == ErrorCode.UNKNOWN_API


def test_a_node_killed_by_a_person_is_started_at_once_each_time(world: World) -> None:
    world.become_ready()
    for kills in range(1, 6):
        [answer] = world.command(SignalNodeRequest(KEY, NodeName("broker-1"), 9))
        assert isinstance(answer, SignalNodeResponse)
        assert answer.error == ErrorCode.NONE
        assert world.state("broker-1") == "stopping"
        world.die("broker-1")
        assert world.processes.started.count("broker-1") == kills + 1


def test_a_frozen_node_is_not_taken_for_one_that_ends(world: World) -> None:
    world.become_ready()
    world.command(SignalNodeRequest(KEY, NodeName("broker-1"), 19))
    assert world.processes.signals == [("broker-1", 19)]
    assert world.state("broker-1") == "ready"


def test_wrong_names_and_signals_are_answered_with_what_would_be_right(world: World) -> None:
    world.become_ready()
    [answer] = world.command(SignalNodeRequest(KEY, NodeName("brokr-1"), 9))
    assert isinstance(answer, SignalNodeResponse)
    assert "did you mean 'broker-1'?" in answer.text
    [answer] = world.command(SignalNodeRequest(KEY, NodeName("broker-1"), 99))
    assert isinstance(answer, SignalNodeResponse)
    assert "99 is no signal" in answer.text
    [restart] = world.command(RestartNodeRequest(KEY, NodeName("brokr-1")))
    assert isinstance(restart, RestartNodeResponse)
    assert "did you mean 'broker-1'?" in restart.text


def test_restart_answers_when_the_new_process_serves(world: World) -> None:
    world.become_ready()
    assert world.command(RestartNodeRequest(KEY, NodeName("broker-1"))) == []
    assert world.processes.asked_to_end == [], "others lead first"
    world.hand_over()
    assert world.processes.asked_to_end == ["broker-1"]
    world.die("broker-1", 0)
    assert world.ports.replies == []
    world.advance(100)
    [answer] = world.ports.replies
    assert answer == RestartNodeResponse(0, "", world.engine.roster[NodeName("broker-1")].pid)


def test_a_broker_that_does_not_hand_over_is_restarted_all_the_same(world: World) -> None:
    world.become_ready()
    world.command(RestartNodeRequest(KEY, NodeName("broker-1")))
    world.advance(4_990)
    assert world.processes.asked_to_end == []
    world.advance(20)
    assert world.processes.asked_to_end == ["broker-1"]


def test_two_nodes_are_not_emptied_at_once_while_the_first_hands_over() -> None:
    world = World(kraft=True)
    world.connect_all()
    world.answer_health()
    assert world.command(RebuildNodeRequest(KEY, NodeName("node-1"))) == []
    assert world.take(HandOverRequest), "it serves still"
    assert world.state("node-1") == "ready"
    [refused] = world.command(RebuildNodeRequest(KEY, NodeName("node-2")))
    assert isinstance(refused, RebuildNodeResponse)
    assert "node-1 is being restarted" in refused.text
    assert world.processes.marked == ["node-1"]


def test_two_voters_are_not_restarted_together() -> None:
    """As of two people who prepare a move at the same time: there would be no majority for a moment."""
    world = World(coordinators=3)
    world.become_ready()
    for number in (1, 2):
        assert world.command(RestartNodeRequest(KEY, NodeName(f"coordinator-{number}"))) == []
    assert world.processes.asked_to_end == ["coordinator-1"]
    world.die("coordinator-1", 0)
    assert world.processes.asked_to_end == ["coordinator-1"], "it does not serve yet"
    world.advance(100)
    assert world.processes.asked_to_end == ["coordinator-1", "coordinator-2"]
    world.die("coordinator-2", 0)
    world.advance(100)
    assert [answer.error for answer in world.ports.replies] == [0, 0]  # type: ignore[attr-defined]


def test_what_one_says_of_its_vote_before_it_serves_is_not_its_word(tmp_path: Path) -> None:
    """It is being filled anew, and has forgotten that it votes: another one could be restarted beside it."""
    world = World(growth=tmp_path, coordinators=2)
    added = world.engine.roster[world.add_coordinator("coordinator-3")]
    world.say_vote(added.name, votes=True)
    world.say_vote(added.name, votes=False, state="starting")
    assert added.votes
    world.say_vote(added.name, votes=False)
    assert not added.votes


def test_one_that_was_let_vote_later_is_a_voter_while_it_is_down(tmp_path: Path) -> None:
    world = World(growth=tmp_path, coordinators=2)
    added = world.add_coordinator("coordinator-3")
    world.say_vote(added, votes=True)
    world.command(RestartNodeRequest(KEY, added))
    world.die(added, 0)
    world.command(RestartNodeRequest(KEY, NodeName("coordinator-2")))
    assert world.processes.asked_to_end == [added], "two of three at once leave no majority"
    [refused] = world.command(RebuildNodeRequest(KEY, NodeName("coordinator-2")))
    assert isinstance(refused, RebuildNodeResponse)
    assert "2 of the other members of the quorum must be ready" in refused.text


def test_a_voter_is_not_restarted_after_one_that_does_not_come_back() -> None:
    world = World(coordinators=3)
    world.become_ready()
    for number in (1, 2):
        world.command(RestartNodeRequest(KEY, NodeName(f"coordinator-{number}")))
    world.die("coordinator-1", 0)
    world.die("coordinator-1", EXIT_CONFIG)
    first, second = world.ports.replies
    assert isinstance(first, RestartNodeResponse)
    assert isinstance(second, RestartNodeResponse)
    assert first.error == ErrorCode.INVALID_CONFIG
    assert "coordinator-2 is as it was: coordinator-1" in second.text
    assert world.processes.asked_to_end == ["coordinator-1"]


def test_a_voter_that_is_not_ready_is_restarted_at_once() -> None:
    world = World(coordinators=3)
    world.become_ready()
    world.die("coordinator-3", EXIT_CONFIG)
    world.command(RestartNodeRequest(KEY, NodeName("coordinator-1")))
    world.command(RestartNodeRequest(KEY, NodeName("coordinator-3")))
    world.advance(100)
    assert world.state("coordinator-3") == "ready"


def test_a_move_is_noted_and_restarts_nobody(tmp_path: Path) -> None:
    world = World(growth=tmp_path)
    world.become_ready()
    before = list(world.processes.started)
    for finished, roles in ((False, ("coordinator", "controller")), (True, ("controller",))):
        assert world.command(MoveRequest(KEY, finished)) == [MoveResponse(0)]
        world.ports.replies.clear()
        assert world.engine.roster[NodeName("coordinator-1")].endpoints.roles == roles
    assert world.processes.started == before
    assert world.plan.settings.cluster.mode == "kraft"
    [refused] = world.command(MoveRequest(KEY, False))
    assert isinstance(refused, MoveResponse)
    assert "already" in refused.text


def test_the_process_after_a_restart_is_not_killed_for_the_one_before(world: World) -> None:
    world.become_ready()
    world.command(RestartNodeRequest(KEY, NodeName("broker-1")))
    world.hand_over()
    world.die("broker-1", 0)
    world.advance(11_000)
    assert world.processes.signals == []


def test_restart_brings_back_a_node_that_was_given_up(world: World) -> None:
    world.become_ready()
    world.die("broker-1", EXIT_CONFIG)
    assert world.state("broker-1") == "failed"
    world.command(RestartNodeRequest(KEY, NodeName("broker-1")))
    world.advance(100)
    assert world.state("broker-1") == "ready"


def test_restart_of_a_node_that_cannot_run_says_why(world: World) -> None:
    world.become_ready()
    world.command(RestartNodeRequest(KEY, NodeName("broker-1")))
    world.hand_over()
    world.die("broker-1", 0)
    world.die("broker-1", EXIT_CONFIG)
    [answer] = world.ports.replies
    assert isinstance(answer, RestartNodeResponse)
    assert answer.error == ErrorCode.INVALID_CONFIG
    assert "its last words" in answer.text


def test_a_node_that_does_not_end_for_a_restart_is_killed(world: World) -> None:
    world.become_ready()
    world.command(RestartNodeRequest(KEY, NodeName("broker-1")))
    world.hand_over()
    world.advance(10_010)
    assert world.processes.signals == [("broker-1", 9)]


def test_rebuild_marks_a_coordinator_and_restarts_it() -> None:
    world = World(coordinators=3)
    world.become_ready()
    assert world.command(RebuildNodeRequest(KEY, NodeName("coordinator-2"))) == []
    assert world.processes.marked == ["coordinator-2"]
    assert world.processes.asked_to_end == ["coordinator-2"]
    world.die("coordinator-2", 0)
    world.advance(100)
    [answer] = world.ports.replies
    assert answer == RebuildNodeResponse(0, "", world.engine.roster[NodeName("coordinator-2")].pid)


def test_a_rebuild_that_the_others_are_enough_for_does_not_wait() -> None:
    """It is marked already: who restarts it later would not expect that it is emptied."""
    world = World(coordinators=5)
    world.become_ready()
    world.command(RestartNodeRequest(KEY, NodeName("coordinator-1")))
    assert world.command(RebuildNodeRequest(KEY, NodeName("coordinator-2"))) == []
    assert world.processes.marked == ["coordinator-2"]
    assert world.processes.asked_to_end == ["coordinator-1", "coordinator-2"]


def test_members_on_other_hosts_fill_one_anew_as_those_here_do() -> None:
    world = World(coordinators=1)
    world.become_ready()
    name = NodeName("coordinator-1")
    for elsewhere, text in (
        ((0, 0), "not enough peers"),
        ((2, 1), "2 of the other members of the quorum must be ready for that; 1 of other hosts"),
        ((4, 2), "2 of other hosts are not"),
    ):
        [refused] = world.command(RebuildNodeRequest(KEY, name, *elsewhere))
        assert isinstance(refused, RebuildNodeResponse)
        assert text in refused.text
    assert world.processes.marked == []
    assert world.command(RebuildNodeRequest(KEY, name, 2, 2)) == []
    assert world.processes.marked == [name]


def test_rebuild_of_what_cannot_be_rebuilt_is_refused() -> None:
    world = World(coordinators=3)
    world.become_ready()
    [answer] = world.command(RebuildNodeRequest(KEY, NodeName("broker-1")))
    assert isinstance(answer, RebuildNodeResponse)
    assert "not of the quorum" in answer.text
    world.ports.replies.clear()
    world.die("coordinator-1", 3)
    [answer] = world.command(RebuildNodeRequest(KEY, NodeName("coordinator-2")))
    assert isinstance(answer, RebuildNodeResponse)
    assert "2 of the other members of the quorum must be ready" in answer.text
    assert "coordinator-1 is restarting" in answer.text
    assert world.processes.marked == []


def test_it_is_noted_which_members_of_the_quorum_have_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise ConfigError("no space")

    world = World(growth=tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(DataDir, "write_cluster", full)
        world.become_ready()
    noted = DataDir(tmp_path).read_cluster()
    assert noted is not None
    assert noted.served == ()
    world.advance(1_100)
    noted = DataDir(tmp_path).read_cluster()
    assert noted is not None
    assert sorted(noted.served) == ["coordinator-1", "coordinator-2"], "once there is space"
    monkeypatch.setattr(DataDir, "read_cluster", full)
    world.advance(1_100)
    assert world.engine.roster.is_ready(world.now.mono_ms), "nothing is read or written again"
