"""A command that adds a coordinator, given once more: what is there already is not made again."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from supervisor import coordinators, ensemble
from supervisor.data_dir import Cluster, DataDir
from supervisor.settings import new_cluster_id
from transport.wire.errors import ErrorCode
from transport.wire.ids import Incarnation, NodeId, NodeName
from transport.wire.messages import Message, Refusal
from transport.wire.messages.cluster import HealthResponse, NodeEndpoints
from transport.wire.messages.ensemble import ChangeVotersRequest, ChangeVotersResponse
from transport.wire.messages.supervision import (
    AddNodeRequest,
    AddNodeResponse,
    RebuildNodeRequest,
    RebuildNodeResponse,
    RemoveNodeRequest,
    RemoveNodeResponse,
)

ADDED = NodeName("coordinator-4")
NEXT = NodeName("coordinator-5")


def node(name: str, *roles: str) -> NodeEndpoints:
    return NodeEndpoints(NodeId(1), NodeName(name), roles, "tcp://h:1", "tcp://h:2", "tcp://h:3")


class Cast:
    """The supervisor and the coordinators, as a command finds them."""

    def __init__(self, data_dir: DataDir) -> None:
        self.data_dir = data_dir
        self.words: list[HealthResponse | None] = []
        """What those who were added say, from one look to the next; the last one goes on."""
        self.begun = 0
        self.voting: list[str] = []
        nodes = tuple(node(f"coordinator-{number}", "coordinator") for number in (1, 2, 3))
        more = (node(ADDED, "coordinator", "observer"), node("broker-4", "broker"))
        added = (ADDED, NodeName("broker-4"))
        whole = Cluster("c", new_cluster_id(), "zookeeper", (*nodes, *more), added=added)
        data_dir.write_cluster(whole)

    def ask(self, _: DataDir, body: object, **__: object) -> AddNodeResponse:
        """Start one more."""
        assert isinstance(body, AddNodeRequest)
        self.begun += 1
        before = self.data_dir.read_cluster()
        assert before is not None
        made = node(NEXT, "coordinator", "observer")
        self.data_dir.write_cluster(before._replace(nodes=(*before.nodes, made)))
        return AddNodeResponse(ErrorCode.NONE, name=NEXT)

    def health(self, _: DataDir, members: list[NodeEndpoints]) -> list[HealthResponse | None]:
        """Answer for those who were added."""
        assert [member.name for member in members] == [ADDED], "nobody else is asked"
        return [self.words.pop(0) if len(self.words) > 1 else self.words[0]]

    def change(self, _: DataDir, name: str, *, votes: bool) -> int:
        """Let one vote."""
        assert votes
        self.voting.append(name)
        return 0


@pytest.fixture
def cast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cast:
    made = Cast(DataDir(tmp_path))
    monkeypatch.setattr(coordinators, "ask", made.ask)
    monkeypatch.setattr(coordinators, "change", made.change)
    monkeypatch.setattr(coordinators, "ask_all_health", made.health)
    monkeypatch.setattr(coordinators, "_introduce", lambda *_: True)
    monkeypatch.setattr(coordinators, "settled", lambda _: True)
    monkeypatch.setattr(coordinators, "LOOK_AGAIN_S", 0.0)
    monkeypatch.setattr(coordinators, "BEGIN_MAX_S", 0.2)
    return made


def word(**figures: int) -> HealthResponse:
    return HealthResponse(0, ADDED, Incarnation(1), "starting", False, False, figures=figures)


@pytest.mark.parametrize("silent", [0, 2], ids=["begun", "beginning"])
def test_a_command_that_broke_off_goes_on_with_who_was_started(
    cast: Cast, silent: int, capsys: pytest.CaptureFixture[str]
) -> None:
    cast.words = [None] * silent + [word(raft_voter=0)]
    assert coordinators.add(cast.data_dir, "") == 0
    assert (cast.begun, cast.voting) == (0, [ADDED])
    assert "coordinator-4 was added before and does not vote" in capsys.readouterr().out


@pytest.mark.parametrize("said", [word(raft_voter=1), word(), None], ids=["votes", "old", "down"])
def test_where_everybody_votes_one_more_is_started(cast: Cast, said: HealthResponse | None) -> None:
    cast.words = [said]
    assert coordinators.add(cast.data_dir, "") == 0
    assert (cast.begun, cast.voting) == (1, [NEXT])


def test_who_is_named_is_asked_for_nothing_first(cast: Cast) -> None:
    assert coordinators.add(cast.data_dir, "coordinator-2") == 0
    assert (cast.begun, cast.voting) == (0, ["coordinator-2"])


def test_who_takes_no_orders_from_here_is_named_with_the_command_for_its_host(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def health(_: DataDir, members: list[NodeEndpoints]) -> list[HealthResponse | None]:
        leads = HealthResponse(0, members[0].name, Incarnation(1), "ready", True, False)
        return [leads, *(word(raft_voter=1) for _ in members[1:])]

    forbidden = ChangeVotersResponse(int(ErrorCode.CLUSTER_AUTHORIZATION_FAILED))
    monkeypatch.setattr(ensemble, "ask_all_health", health)
    monkeypatch.setattr("odradek.cluster.question.ask_one", lambda *_, **__: forbidden)
    for votes, told in ((True, "add coordinator-4`"), (False, "remove coordinator-4 --observe`")):
        assert ensemble.change(cast.data_dir, ADDED, votes=votes) == 1
        said = capsys.readouterr().err
        assert "takes orders from its own host alone" in said
        assert f"coordinator-1 does it, there: `odradek ensemble {told}" in said


@pytest.mark.parametrize(
    "gone", [ChangeVotersResponse(int(ErrorCode.NOT_RAFT_LEADER)), Refusal(ErrorCode.DISCONNECTED)]
)
def test_whoever_leads_next_is_asked_where_the_leader_of_a_moment_ago_does_not(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, gone: Message
) -> None:
    answers = [gone, ChangeVotersResponse(0, "", NodeId(1), (NodeId(1),))]
    monkeypatch.setattr(ensemble, "ask_all_health", lambda *_: [])
    monkeypatch.setattr(ensemble, "leader_of", lambda *_: "coordinator-1")
    monkeypatch.setattr("odradek.cluster.question.ask_one", lambda *_, **__: answers.pop(0))
    assert ensemble.change(cast.data_dir, ADDED, votes=True) == 0
    assert not answers


@pytest.mark.parametrize("text", ["", "it is so already"])
def test_whether_somebody_votes_is_the_leaders_to_say_and_not_its_own(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    """Who was just let vote may not have heard of it: ended for good, it would be missed as a voter."""

    def health(_: DataDir, members: list[NodeEndpoints]) -> list[HealthResponse | None]:
        leads = HealthResponse(0, members[0].name, Incarnation(1), "ready", True, False)
        return [leads, *(word(raft_voter=0) for _ in members[1:])]

    orders: list[ChangeVotersRequest] = []

    def ask_one(_door: str, body: ChangeVotersRequest, **_: object) -> ChangeVotersResponse:
        orders.append(body)
        return ChangeVotersResponse(0, text, NodeId(1), (NodeId(1),))

    monkeypatch.setattr(ensemble, "ask_all_health", health)
    monkeypatch.setattr("odradek.cluster.question.ask_one", ask_one)
    assert ensemble.change(cast.data_dir, ADDED, votes=False) == 0
    assert [order.votes for order in orders] == [False]
    assert ("observes already" in capsys.readouterr().out) == bool(text)


@pytest.mark.parametrize("answers", [True, False], ids=["runs", "ended"])
def test_a_coordinator_of_another_host_is_ended_there_and_then_forgotten_here(
    cast: Cast,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answers: bool,
) -> None:
    before = cast.data_dir.read_cluster()
    assert before is not None
    [there] = [one for one in before.nodes if one.name == ADDED]
    nodes = tuple(one for one in before.nodes if one.name != ADDED)
    cast.data_dir.write_cluster(before._replace(nodes=nodes, elsewhere=(there,)))
    cast.words = [word(raft_voter=0) if answers else None]
    orders: list[object] = []

    def ask(_: DataDir, order: object, **__: object) -> RemoveNodeResponse:
        orders.append(order)
        return RemoveNodeResponse(0)

    monkeypatch.setattr(coordinators, "ask", ask)
    monkeypatch.setattr(coordinators, "change", lambda *_, **__: 0)
    assert coordinators.remove(cast.data_dir, ADDED, observe=False) == (2 if answers else 0)
    told = capsys.readouterr()
    if answers:
        assert "coordinator-4 runs on another host: give the command there, once" in told.err
        assert not orders
    else:
        assert "coordinator-4 is forgotten on this host" in told.out
        assert orders == [RemoveNodeRequest("", ADDED, observes=True)]


def test_a_node_that_is_a_broker_too_keeps_its_vote_where_it_was_to_be_ended(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = cast.data_dir.read_cluster()
    assert before is not None
    both = node("node-3", "broker", "controller")
    cast.data_dir.write_cluster(before._replace(mode="kraft", nodes=(both,)))
    votes: list[str] = []

    def change(_: DataDir, name: str, **__: object) -> int:
        votes.append(name)
        return 0

    monkeypatch.setattr(coordinators, "change", change)
    assert coordinators.remove(cast.data_dir, "node-3", observe=False) == 2
    assert "`odradek ensemble remove node-3 --observe` ends its vote" in capsys.readouterr().err
    assert not votes
    assert coordinators.remove(cast.data_dir, "node-3", observe=True) == 0
    assert votes == ["node-3"]


def test_who_could_fill_one_anew_is_counted_on_other_hosts_too(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = cast.data_dir.read_cluster()
    assert before is not None
    cast.data_dir.write_cluster(before._replace(nodes=before.nodes[:1], elsewhere=before.nodes[1:]))

    def health(_: DataDir, members: list[NodeEndpoints]) -> list[HealthResponse | None]:
        assert [one.name for one in members] == ["coordinator-2", "coordinator-3", ADDED]
        ready = HealthResponse(0, members[2].name, Incarnation(1), "ready", False, False)
        return [None, *(msgspec.structs.replace(ready, figures={"raft_voter": n}) for n in (0, 1))]

    orders: list[object] = []

    def ask(_: DataDir, order: object, **__: object) -> RebuildNodeResponse:
        orders.append(order)
        return RebuildNodeResponse(0)

    monkeypatch.setattr(ensemble, "ask_all_health", health)
    monkeypatch.setattr("supervisor.control.ask", ask)
    assert ensemble.rebuild(cast.data_dir, "coordinator-1") == 0
    assert orders == [RebuildNodeRequest("", NodeName("coordinator-1"), 2, 1)]
