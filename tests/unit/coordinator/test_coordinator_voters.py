"""Who votes is changed by order, through the log, and outlives restarts and snapshots."""

from __future__ import annotations

from nodes.config import CoordinatorConfig
from tests.unit.coordinator.ensemble import KEY, Ensemble
from transport.driver.ports import Door
from transport.wire.errors import ErrorCode as E
from transport.wire.ids import NodeId, NodeName
from transport.wire.messages.cluster import (
    DescribeNodeRequest,
    ForgetNodeRequest,
    ForgetNodeResponse,
    removal_proof,
)
from transport.wire.messages.coordination import Create, GetData
from transport.wire.messages.ensemble import (
    ChangeVotersRequest,
    ChangeVotersResponse,
    TakeSnapshotRequest,
)

OBSERVER = 65


def change(ensemble: Ensemble, node: int, *, votes: bool, key: str = KEY) -> ChangeVotersResponse:
    asked = ensemble.client(ensemble.leader())
    answer: ChangeVotersResponse = asked.ask(ChangeVotersRequest(key, NodeId(node), votes))
    return answer


def votes(ensemble: Ensemble, number: int) -> bool:
    return bool(ensemble.health(number).figures["raft_voter"])


def test_an_observer_becomes_a_voter_and_a_voter_an_observer() -> None:
    ensemble = Ensemble(observers=1)
    leader = ensemble.leader()
    ensemble.run(200)
    answer = change(ensemble, OBSERVER, votes=True)
    assert answer.error == 0
    assert answer.voters == (1, 2, 3, OBSERVER)
    gone = next(n for n in (1, 2, 3) if n != leader)
    assert change(ensemble, gone, votes=False).error == 0
    ensemble.run(200)
    assert votes(ensemble, OBSERVER)
    assert not votes(ensemble, gone)
    # The new one makes the majority: the removed one and an old voter may be away.
    ensemble.kill(gone)
    ensemble.kill(next(n for n in (1, 2, 3) if n not in (leader, gone)))
    session = ensemble.session(leader)
    session.open()
    assert session.operate(Create("/a", b""))[0].error == 0


def test_who_votes_outlives_a_restart_from_a_snapshot_of_everybody() -> None:
    ensemble = Ensemble(observers=1, coordinator=CoordinatorConfig(snapshot_entries=10))
    ensemble.leader()
    ensemble.run(200)
    assert change(ensemble, OBSERVER, votes=True).error == 0
    session = ensemble.session(ensemble.leader())
    session.open()
    for number in range(30):
        session.operate(Create(f"/{number}", b"x"))
    ensemble.run(200)
    for number in list(ensemble.nodes):
        assert ensemble.client(number).ask(TakeSnapshotRequest(KEY)).error == 0
    for number in list(ensemble.nodes):
        ensemble.kill(number)
    for number in list(ensemble.nodes):
        ensemble.start(number)
    ensemble.leader()
    ensemble.run(200)
    assert all(votes(ensemble, number) for number in ensemble.nodes)


def test_a_rebuilt_coordinator_learns_who_votes_from_a_snapshot() -> None:
    ensemble = Ensemble(observers=1)
    leader = ensemble.leader()
    ensemble.run(200)
    assert change(ensemble, OBSERVER, votes=True).error == 0
    victim = next(n for n in (1, 2, 3) if n != leader)
    ensemble.kill(victim)
    ensemble.nodes[victim].disk.write_file("rebuilding", b"", durable=True)
    ensemble.start(victim)
    ensemble.run(1_000)
    assert ensemble.health(victim).state == "ready"
    late = ensemble.session(victim)
    late.open()
    assert late.operate(GetData("/"))[0].error == 0
    assert ensemble.nodes[victim].server.next_deadline_ms() is not None
    assert votes(ensemble, OBSERVER)


def test_orders_that_cannot_be_are_refused_with_a_reason() -> None:
    ensemble = Ensemble(observers=1)
    leader = ensemble.leader()
    ensemble.run(200)
    assert change(ensemble, OBSERVER, votes=True, key="guess").error == (
        E.CLUSTER_AUTHORIZATION_FAILED
    )
    assert "hand over first" in change(ensemble, leader, votes=False).text
    assert "no member" in change(ensemble, 99, votes=True).text
    assert change(ensemble, leader, votes=True) == ChangeVotersResponse(
        0, "it is so already", NodeId(leader), (NodeId(1), NodeId(2), NodeId(3))
    )
    follower = ensemble.client(next(n for n in (1, 2, 3) if n != leader))
    answer = follower.ask(ChangeVotersRequest(KEY, NodeId(OBSERVER), True))
    assert answer == ChangeVotersResponse(int(E.NOT_RAFT_LEADER), "", NodeId(leader))


def test_of_another_host_one_is_told_what_is_so_and_obeyed_in_nothing() -> None:
    """By that a host ends its member for good whose vote was ended where another one leads."""
    ensemble = Ensemble()
    leader = ensemble.leader()
    gone = next(number for number in (1, 2, 3) if number != leader)
    forbidden = int(E.CLUSTER_AUTHORIZATION_FAILED)
    assert change(ensemble, gone, votes=False, key="of another host").error == forbidden
    assert change(ensemble, gone, votes=False).error == 0
    so = (0, "it is so already")
    told = change(ensemble, gone, votes=False, key="of another host")
    assert (told.error, told.text) == so
    ensemble.kill(gone)
    assert forget(ensemble, leader, gone) == E.NONE
    told = change(ensemble, gone, votes=False, key="of another host")
    assert (told.error, told.text) == so, "whoever has forgotten it says so, too"
    assert change(ensemble, gone, votes=True, key="of another host").error == forbidden


def test_a_change_that_cannot_be_committed_is_answered_in_time() -> None:
    ensemble = Ensemble(observers=1)
    leader = ensemble.leader()
    ensemble.run(200)
    asked = ensemble.client(leader)
    ensemble.cut(leader, *(n for n in ensemble.nodes if n != leader))
    number = asked.send(ChangeVotersRequest(KEY, NodeId(OBSERVER), True))
    ensemble.run(6_000)
    answer = asked.answer(number)
    assert isinstance(answer, ChangeVotersResponse)
    assert answer.error in (E.REQUEST_TIMED_OUT, E.NOT_RAFT_LEADER)
    ensemble.heal()
    ensemble.run(1_000)
    assert not votes(ensemble, OBSERVER)


def forget(ensemble: Ensemble, told: int, gone: int, key: str = KEY) -> int:
    name = NodeName(f"coordinator-{gone}")
    news = ForgetNodeRequest(name, NodeId(gone), removal_proof(key, name, NodeId(gone)))
    answer = ensemble.client(told, Door.PEERS).ask(news)
    assert isinstance(answer, ForgetNodeResponse)
    return answer.error


def test_one_that_was_removed_is_forgotten_once_that_is_committed() -> None:
    ensemble = Ensemble()
    leader = ensemble.leader()
    gone, other = (number for number in (1, 2, 3) if number != leader)
    assert forget(ensemble, other, gone, "another key") == E.CLUSTER_AUTHORIZATION_FAILED
    assert forget(ensemble, leader, gone) == E.SERVER_BEHIND, "it votes"
    assert change(ensemble, gone, votes=False).error == 0
    ensemble.run(200)
    ensemble.kill(gone)
    for told in (leader, other, leader):
        assert forget(ensemble, told, gone) == E.NONE
    unsent = ensemble.health(leader).figures.get("raft_messages_unsent", 0)
    ensemble.run(1_000)
    assert ensemble.health(leader).figures.get("raft_messages_unsent", 0) == unsent
    described = ensemble.client(other).ask(DescribeNodeRequest())
    assert [node.id for node in described.nodes if "coordinator" in node.roles] == sorted(
        (leader, other)
    )
    session = ensemble.session(other)
    session.open()
    listed = session.operate(GetData("/zookeeper/config"))[0].data or b""
    assert b"server.%d=" % gone not in listed
    assert session.operate(Create("/a", b""))[0].error == 0
