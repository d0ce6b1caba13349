"""Three voters and an observer, which gets everything, serves everybody, and decides nothing."""

from __future__ import annotations

import pytest

from nodes.config import CoordinatorConfig
from tests.unit.coordinator.ensemble import KEY, Ensemble
from transport.wire.errors import ErrorCode as E
from transport.wire.ids import NodeId
from transport.wire.messages.coordination import Create, GetData, SetData, Sync
from transport.wire.messages.ensemble import TransferLeadershipRequest

OBSERVER = 65


def test_an_observer_serves_reads_and_writes_of_its_own_clients() -> None:
    ensemble = Ensemble(observers=1)
    ensemble.leader()
    ensemble.run(200)
    assert ensemble.health(OBSERVER).state == "ready"
    session = ensemble.session(OBSERVER)
    session.open()
    session.operate(Create("/a", b"1"))
    other = ensemble.session(ensemble.leader())
    other.open()
    other.operate(SetData("/a", b"2"))
    assert session.operate(Sync("/"), GetData("/a"))[1].data == b"2"


def test_observers_do_not_make_a_majority() -> None:
    ensemble = Ensemble(observers=2)
    leader = ensemble.leader()
    ensemble.run(200)
    for number in ensemble.followers():
        if number < OBSERVER:
            ensemble.kill(number)
    ensemble.run(3_000)
    assert not ensemble.health(leader).leader
    for number in (OBSERVER, OBSERVER + 1):
        health = ensemble.health(number)
        assert not health.leader
        assert health.state != "ready"


def test_an_observer_that_dies_or_stays_away_holds_up_nobody() -> None:
    ensemble = Ensemble(observers=1)
    leader = ensemble.leader()
    ensemble.kill(OBSERVER)
    session = ensemble.session(leader)
    session.open()
    assert session.operate(Create("/a", b""))[0].error == 0


def test_an_observer_never_leads_even_when_every_voter_dies_and_returns() -> None:
    ensemble = Ensemble(observers=1)
    ensemble.leader()
    ensemble.run(200)
    for number in (1, 2, 3):
        ensemble.kill(number)
    ensemble.run(5_000)
    for number in (1, 2, 3):
        ensemble.start(number)
    assert ensemble.leader() in (1, 2, 3)
    ensemble.run(500)
    assert ensemble.health(OBSERVER).state == "ready"


def test_leadership_is_not_handed_to_an_observer() -> None:
    ensemble = Ensemble(observers=1)
    leader = ensemble.leader()
    asked = ensemble.client(leader)
    answer = asked.ask(TransferLeadershipRequest(KEY, NodeId(OBSERVER)))
    assert answer.error == E.INVALID_REQUEST


def test_an_observer_that_joins_late_is_filled_by_a_snapshot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("nodes.core.raft.log.KEPT_ENTRIES_MAX", 0)
    ensemble = Ensemble(observers=1, coordinator=CoordinatorConfig(snapshot_entries=10))
    leader = ensemble.leader()
    ensemble.kill(OBSERVER)
    session = ensemble.session(leader)
    session.open()
    for number in range(30):
        session.operate(Create(f"/{number}", b"%d" % number))
    ensemble.start(OBSERVER)
    ensemble.run(1_000)
    late = ensemble.session(OBSERVER)
    late.open()
    assert late.operate(GetData("/29"))[0].data == b"29"


def test_one_voter_with_observers_commits_alone() -> None:
    ensemble = Ensemble(1, observers=2)
    assert ensemble.leader() == 1
    session = ensemble.session(OBSERVER)
    ensemble.run(200)
    session.open()
    assert session.operate(Create("/a", b""))[0].error == 0
