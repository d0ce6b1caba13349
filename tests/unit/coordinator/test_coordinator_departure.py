"""Three coordinators: a planned stop of the leader hands over first; a stop of all is quick."""

from __future__ import annotations

from nodes.config import EXIT_STOPPED
from tests.unit.coordinator.ensemble import Ensemble
from transport.wire.codec import Envelope
from transport.wire.messages.coordination import Create, SetData
from transport.wire.messages.raft import TimeoutNow


def ask_to_stop(ensemble: Ensemble, number: int) -> None:
    process = ensemble.nodes[number].process
    assert process is not None
    process.posted.append(process.server.stop)


def status(ensemble: Ensemble, number: int) -> int | None:
    process = ensemble.nodes[number].process
    assert process is not None
    return process.status


def test_a_leader_that_is_stopped_hands_over_before_it_ends() -> None:
    ensemble = Ensemble()
    leader = ensemble.leader()
    other = ensemble.followers()[0]
    session = ensemble.session(other)
    session.open()
    session.operate(Create("/a", b""))
    before_ms = ensemble.now.mono_ms
    ask_to_stop(ensemble, leader)
    ensemble.settle()
    assert status(ensemble, leader) == EXIT_STOPPED
    assert ensemble.now.mono_ms == before_ms, "nobody had to wait for a time-out"
    ensemble.kill(leader)
    assert session.operate(SetData("/a", b"1"))[0].error == 0
    assert ensemble.now.mono_ms == before_ms
    assert ensemble.leader() != leader


def test_a_write_that_comes_while_leadership_is_handed_over_is_done_by_the_next_leader() -> None:
    ensemble = Ensemble()
    leader = ensemble.leader()
    session = ensemble.session(ensemble.followers()[0])
    session.open()
    ask_to_stop(ensemble, leader)
    number = session.send(session.request(Create("/a", b"")))
    ensemble.run(100)
    answer = session.answer(number)
    assert answer is not None
    assert answer.error == 0  # type: ignore[attr-defined]


def test_a_leader_whose_successor_does_not_come_forward_ends_all_the_same() -> None:
    ensemble = Ensemble()
    leader = ensemble.leader()

    def lost(_here: str, _there: str, envelope: Envelope) -> bool:
        return isinstance(envelope.body, TimeoutNow)

    ensemble.drop = lost
    ask_to_stop(ensemble, leader)
    ensemble.run(250)
    assert status(ensemble, leader) is None
    ensemble.run(100)
    assert status(ensemble, leader) == EXIT_STOPPED


def test_a_leader_stopped_twice_does_not_wait() -> None:
    ensemble = Ensemble()
    leader = ensemble.leader()
    ensemble.drop = lambda _here, _there, envelope: isinstance(envelope.body, TimeoutNow)
    ask_to_stop(ensemble, leader)
    ask_to_stop(ensemble, leader)
    ensemble.settle()
    assert status(ensemble, leader) == EXIT_STOPPED


def test_a_stop_of_the_whole_ensemble_waits_for_nobody() -> None:
    ensemble = Ensemble()
    leader = ensemble.leader()
    followers = ensemble.followers()
    ensemble.drop = lambda _here, _there, envelope: isinstance(envelope.body, TimeoutNow)
    before_ms = ensemble.now.mono_ms
    for number in (leader, *followers):
        ask_to_stop(ensemble, number)
    ensemble.settle()
    for number in followers:
        assert status(ensemble, number) == EXIT_STOPPED
        ensemble.kill(number)
    ensemble.settle()
    assert status(ensemble, leader) == EXIT_STOPPED
    assert ensemble.now.mono_ms == before_ms


def test_a_lone_coordinator_has_nobody_to_hand_over_to() -> None:
    ensemble = Ensemble(1)
    leader = ensemble.leader()
    ask_to_stop(ensemble, leader)
    ensemble.settle()
    assert status(ensemble, leader) == EXIT_STOPPED
