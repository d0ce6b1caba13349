"""One coordinator: a snapshot is encoded a slice per turn, and requests are served in between."""

from __future__ import annotations

import pytest

from nodes.config import CoordinatorConfig
from nodes.core.raft import member
from nodes.core.znode import snapshot
from tests.unit.coordinator.ensemble import Ensemble
from transport.wire.messages.cluster import HealthRequest, HealthResponse
from transport.wire.messages.coordination import Create, GetData, SetData


def test_requests_are_served_between_the_slices_of_a_snapshot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(snapshot, "SLICE_ZNODES", 5)
    ensemble = Ensemble(1, coordinator=CoordinatorConfig(snapshot_entries=60))
    ensemble.leader()
    session = ensemble.session(1)
    session.open()
    for number in range(50):
        session.operate(Create(f"/n{number}", b"old"))
    assert ensemble.nodes[1].disk.list("snapshots") == []
    process = session.process
    answered = set()
    for number in range(100):
        session.send(session.request(SetData(f"/n{number % 50}", b"new")))
        asked = session.send(session.request(GetData("/n0")))
        process.turn()
        process.work()
        if ensemble.nodes[1].disk.list("snapshots"):
            break
        if session.answer(asked) is not None or session.received:
            answered.add(number)
    assert len(answered) > 50 // 5, "the loop went on while the snapshot was made"
    ensemble.settle()
    ensemble.kill(1)
    ensemble.start(1)
    ensemble.leader()
    ensemble.nodes[1].server.check()
    again = ensemble.session(1)
    again.attach(session)
    assert again.operate(GetData("/n0"))[0].data == b"new"


def test_a_coordinator_wants_its_next_turn_at_once_while_it_encodes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(snapshot, "SLICE_ZNODES", 1)
    ensemble = Ensemble(1, coordinator=CoordinatorConfig(snapshot_entries=10))
    ensemble.leader()
    session = ensemble.session(1)
    session.open()
    for number in range(20):
        session.operate(Create(f"/n{number}", b""))
    # ``settle`` runs turns only as long as one is due: the snapshot was finished by that alone.
    assert ensemble.nodes[1].disk.list("snapshots")


def test_who_goes_through_a_long_log_is_not_ready_before_its_end_but_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(member, "COMMIT_SLICE_BYTES", 1)  # one entry a step
    ensemble = Ensemble()
    session = ensemble.session(ensemble.leader())
    session.open()
    for number in range(40):
        session.operate(Create(f"/n{number}", b""))
    follower = ensemble.followers()[0]
    ensemble.kill(follower)
    ensemble.start(follower)
    asking = ensemble.client(follower)
    seen: set[tuple[str, bool]] = set()
    for _ in range(1_000):  # one turn of each at a time, and a millisecond
        number = asking.send(HealthRequest())
        ensemble.turn_each(1)
        health = asking.answer(number)
        assert isinstance(health, HealthResponse)
        seen.add((health.state, 10 < health.figures["znodes"] <= 40))
        if health.state == "ready":
            assert health.figures["znodes"] > 40
            break
    assert ("starting", True) in seen, "it answered on the way"
    assert ("ready", False) in seen
