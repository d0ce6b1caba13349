"""Nodes that come and go by command, as the supervisor's program has it."""

from __future__ import annotations

from pathlib import Path

from nodes.config import EXIT_CONFIG
from supervisor.data_dir import DataDir
from tests.unit.supervisor.world import KEY, World
from transport.wire.errors import ErrorCode
from transport.wire.ids import NodeId, NodeName
from transport.wire.messages.cluster import (
    ForgetNodeRequest,
    ForgetNodeResponse,
    NodeEndpoints,
)
from transport.wire.messages.supervision import (
    AddNodeRequest,
    AddNodeResponse,
    RemoveNodeRequest,
    RemoveNodeResponse,
)


def test_a_broker_is_added_answered_when_it_serves_and_ended_for_good(tmp_path: Path) -> None:
    world = World(growth=tmp_path)
    world.become_ready()
    assert world.command(AddNodeRequest(KEY, "cellar")) == []
    node = world.engine.roster[NodeName("broker-2")]
    assert (node.endpoints.id, node.endpoints.rack) == (2, "cellar")
    assert world.processes.started[-1] == "broker-2"
    assert [one.name for one in world.plan.nodes][-1] == "broker-2"
    world.peers["broker-2"] = node.endpoints.peers
    world.engine.on_link(world.link("broker-2"), True, world.now)
    world.advance(100)
    [answer] = world.ports.replies
    assert answer == AddNodeResponse(0, "", node.pid, NodeName("broker-2"))
    assert node.restarts == 0, "it was started, not restarted"
    world.die("broker-2")
    assert node.restarts == 1
    world.ports.replies.clear()
    assert world.command(RemoveNodeRequest(KEY, NodeName("broker-2"))) == []
    assert world.processes.asked_to_end == ["broker-2"]
    assert world.command(RemoveNodeRequest(KEY, NodeName("broker-2"))) == []
    world.die("broker-2", 0)
    assert world.ports.replies == [RemoveNodeResponse(0)] * 2, "both wait for its end"
    assert NodeName("broker-2") not in world.engine.roster.nodes
    assert world.command(RemoveNodeRequest(KEY, NodeName("broker-2"))) == [RemoveNodeResponse(0)], (
        "whoever was interrupted asks again"
    )
    assert world.processes.started.count("broker-2") == 2, "it is not started again"
    world.ports.replies.clear()
    world.command(AddNodeRequest(KEY))
    assert NodeName("broker-3") in world.engine.roster.nodes, "no number is given twice"
    [refused] = world.command(RemoveNodeRequest(KEY, NodeName("coordinator-1")))
    assert isinstance(refused, RemoveNodeResponse)
    assert "votes still" in refused.text


def test_a_coordinator_comes_as_an_observer_and_goes_without_a_vote(tmp_path: Path) -> None:
    world = World(growth=tmp_path)
    world.become_ready()
    came = NodeName("coordinator-3")
    [answer] = world.command(AddNodeRequest(KEY, coordinator=True))
    node = world.engine.roster[came]
    assert answer == AddNodeResponse(0, "", node.pid, came)
    assert (node.endpoints.id, node.endpoints.roles) == (115, ("coordinator", "observer"))
    goes = NodeName("coordinator-2")
    world.say_vote(goes, votes=False)
    assert world.command(RemoveNodeRequest(KEY, goes)) == []
    assert world.processes.asked_to_end == [goes]
    world.die(goes, 0)
    assert world.ports.replies == [RemoveNodeResponse(0)]
    assert goes not in world.engine.roster.nodes
    world.command(AddNodeRequest(KEY, coordinator=True))
    assert NodeName("coordinator-4") in world.engine.roster.nodes


def test_a_coordinator_that_is_down_goes_when_the_leader_says_that_it_has_no_vote(
    tmp_path: Path,
) -> None:
    """As one whose disk has failed, which is to be replaced: it can say nothing of that itself."""
    world = World(growth=tmp_path, coordinators=3)
    world.become_ready()
    goes = NodeName("coordinator-3")
    world.say_vote(goes, votes=True)
    [refused] = world.command(RemoveNodeRequest(KEY, goes, observes=True))
    assert isinstance(refused, RemoveNodeResponse)
    assert "votes still" in refused.text, "it serves, and will say so in a moment"
    world.die(goes, EXIT_CONFIG)
    [refused] = world.command(RemoveNodeRequest(KEY, goes))
    assert isinstance(refused, RemoveNodeResponse)
    assert "votes still" in refused.text, "nobody else has said that it does not"
    assert world.command(RemoveNodeRequest(KEY, goes, observes=True)) == [RemoveNodeResponse(0)]
    assert goes not in world.engine.roster.nodes


def test_a_coordinator_of_another_host_is_forgotten_when_the_leader_says_that_it_has_no_vote(
    tmp_path: Path,
) -> None:
    world = World(growth=tmp_path)
    world.become_ready()
    there = NodeEndpoints(
        NodeId(115),
        NodeName("coordinator-3"),
        ("coordinator",),
        "tcp://h:1",
        "tcp://h:2",
        "tcp://h:3",
    )
    before = DataDir(tmp_path).read_cluster()
    assert before is not None
    DataDir(tmp_path).write_cluster(before._replace(elsewhere=(there,)))
    world.plan.elsewhere = (there,)
    [refused] = world.command(RemoveNodeRequest(KEY, there.name))
    assert isinstance(refused, RemoveNodeResponse)
    assert "runs on another host" in refused.text
    for _ in range(2):
        order = RemoveNodeRequest(KEY, there.name, observes=True)
        assert world.command(order) == [RemoveNodeResponse(0)]
    told = world.take(ForgetNodeRequest)
    assert sorted(question.destination for _, question in told) == sorted(world.peers)
    after = DataDir(tmp_path).read_cluster()
    assert after is not None
    assert (after.elsewhere, after.removed) == ((), (there.name,))
    assert not world.plan.elsewhere


def test_all_others_are_told_of_a_removal_until_they_have_forgotten(tmp_path: Path) -> None:
    world = World(growth=tmp_path)
    gone = world.add_coordinator("coordinator-3")
    world.say_vote(gone, votes=False)
    world.command(RemoveNodeRequest(KEY, gone))
    world.die(gone, 0)
    told = world.take(ForgetNodeRequest)
    assert sorted(question.destination for _, question in told) == sorted(world.peers)
    for endpoint, question in told:
        behind = question.destination == "coordinator-2"
        error = ErrorCode.SERVER_BEHIND if behind else ErrorCode.NONE
        world.answer(endpoint, question, ForgetNodeResponse(error))
    world.advance(150)
    [(endpoint, question)] = world.take(ForgetNodeRequest)
    assert question.destination == "coordinator-2"
    world.answer(endpoint, question, ForgetNodeResponse(ErrorCode.NONE))
    world.advance(1_000)
    assert world.take(ForgetNodeRequest) == []
