"""Three coordinators and the orders people give them."""

from __future__ import annotations

from tests.unit.coordinator.ensemble import KEY, Client, Ensemble
from transport.wire.codec import Envelope
from transport.wire.errors import ErrorCode as E
from transport.wire.ids import NodeId
from transport.wire.messages.coordination import Create
from transport.wire.messages.ensemble import (
    TakeSnapshotRequest,
    TakeSnapshotResponse,
    TransferLeadershipRequest,
    TransferLeadershipResponse,
)
from transport.wire.messages.raft import TimeoutNow


def person(ensemble: Ensemble, number: int) -> Client:
    return ensemble.client(number)


def test_leadership_goes_to_whom_it_is_ordered() -> None:
    ensemble = Ensemble()
    leader = ensemble.leader()
    to = ensemble.followers()[1]
    answer = person(ensemble, leader).ask(TransferLeadershipRequest(KEY, NodeId(to)))
    assert answer == TransferLeadershipResponse(0, "", NodeId(to))
    assert ensemble.leader() == to


def test_a_follower_names_the_leader() -> None:
    ensemble = Ensemble()
    leader = ensemble.leader()
    answer = person(ensemble, ensemble.followers()[0]).ask(TransferLeadershipRequest(KEY))
    assert answer == TransferLeadershipResponse(int(E.NOT_RAFT_LEADER), "", NodeId(leader))


def test_orders_without_the_key_change_nothing() -> None:
    ensemble = Ensemble()
    leader = ensemble.leader()
    asked = person(ensemble, leader)
    for order in (TransferLeadershipRequest("guess"), TakeSnapshotRequest("")):
        assert asked.ask(order).error == E.CLUSTER_AUTHORIZATION_FAILED
    ensemble.run(100)
    assert ensemble.leader() == leader
    assert not ensemble.nodes[leader].disk.list("snapshots")


def test_nobody_can_be_ordered_to_lead_who_is_not_there() -> None:
    ensemble = Ensemble()
    leader = ensemble.leader()
    gone = ensemble.followers()[0]
    ensemble.kill(gone)
    ensemble.settle()
    asked = person(ensemble, leader)
    for to in (gone, leader, 77):
        answer = asked.ask(TransferLeadershipRequest(KEY, NodeId(to)))
        assert answer.error == E.INVALID_REQUEST
    assert ensemble.leader() == leader


def test_a_hand_over_that_fails_is_answered_and_the_leader_leads_on() -> None:
    ensemble = Ensemble()
    leader = ensemble.leader()

    def lost(_here: str, _there: str, envelope: Envelope) -> bool:
        return isinstance(envelope.body, TimeoutNow)

    ensemble.drop = lost
    asked = person(ensemble, leader)
    number = asked.send(TransferLeadershipRequest(KEY))
    ensemble.run(1_100)
    answer = asked.answer(number)
    assert isinstance(answer, TransferLeadershipResponse)
    assert answer.error == E.REQUEST_TIMED_OUT
    assert ensemble.leader() == leader


def test_a_snapshot_is_taken_when_ordered_and_holds_what_was_applied() -> None:
    ensemble = Ensemble()
    leader = ensemble.leader()
    session = ensemble.session(leader)
    session.open()
    session.operate(Create("/a", b""))
    applied = ensemble.health(leader).figures["applied_index"]
    asked = person(ensemble, leader)
    for _ in range(2):  # The second has nothing new to write, and is answered all the same.
        answer = asked.ask(TakeSnapshotRequest(KEY))
        assert isinstance(answer, TakeSnapshotResponse)
        assert answer.error == 0
        assert answer.last_index == applied
    assert len(ensemble.nodes[leader].disk.list("snapshots")) == 1
    ensemble.kill(leader)
    ensemble.start(leader)
    ensemble.run(1_000)
    assert ensemble.nodes[leader].server.next_deadline_ms() is not None


def test_two_orders_for_a_snapshot_at_once_are_both_answered() -> None:
    ensemble = Ensemble(1)
    ensemble.leader()
    first, second = person(ensemble, 1), person(ensemble, 1)
    process = ensemble.nodes[1].process
    assert process is not None
    one = first.send(TakeSnapshotRequest(KEY))
    process.turn()
    session = ensemble.session(1)
    session.open()
    session.operate(Create("/late", b""))
    two = second.send(TakeSnapshotRequest(KEY))
    ensemble.settle()
    early, late = first.answer(one), second.answer(two)
    assert isinstance(early, TakeSnapshotResponse)
    assert isinstance(late, TakeSnapshotResponse)
    assert early.last_index <= late.last_index
    assert late.last_index == ensemble.health(1).figures["applied_index"]
