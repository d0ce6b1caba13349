"""Three coordinators and their disks: full, failing, damaged, lost and filled anew."""

from __future__ import annotations

import pytest

from nodes.config import EXIT_ENVIRONMENT, REBUILD_MARK, CoordinatorConfig
from nodes.storage.disk import Damaged
from tests.unit.coordinator.ensemble import Ensemble, SessionClient
from transport.wire.messages.coordination import Create, GetData, Sync


def opened(ensemble: Ensemble, number: int) -> SessionClient:
    session = ensemble.session(number)
    session.open()
    return session


def rebuild(ensemble: Ensemble, number: int) -> None:
    """What the supervisor does: mark, end, start."""
    ensemble.nodes[number].disk.write_file(REBUILD_MARK, b"", durable=True)
    ensemble.kill(number)
    ensemble.start(number)


def damage(ensemble: Ensemble, number: int) -> None:
    """Flip a bit in the first record of the log, with whole ones behind it."""
    disk = ensemble.nodes[number].disk
    disk.flip(f"raft/{disk.list('raft')[0]}", 20, 3)


@pytest.mark.parametrize("leading", [True, False])
def test_a_full_disk_ends_a_coordinator_with_one_clear_line(
    leading: bool, caplog: pytest.LogCaptureFixture
) -> None:
    ensemble = Ensemble()
    leader = ensemble.leader()
    session = opened(ensemble, ensemble.followers()[1])
    victim = leader if leading else ensemble.followers()[0]
    process = ensemble.nodes[victim].process
    assert process is not None
    ensemble.nodes[victim].disk.set_free_bytes(10)
    caplog.clear()
    number = session.send(session.request(Create("/a", b"x" * 1000)))
    ensemble.settle()
    assert process.status == EXIT_ENVIRONMENT
    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == 1
    assert "the log cannot be written: " in errors[0].getMessage()
    # The others go on, and the write is done.
    ensemble.kill(victim)
    ensemble.run(2_000)
    assert session.answer(number) is not None
    # With space it comes back and has everything.
    ensemble.nodes[victim].disk.set_free_bytes(1 << 30)
    ensemble.start(victim)
    ensemble.run(500)
    assert ensemble.health(victim).state == "ready"
    assert opened(ensemble, victim).operate(Sync("/"), GetData("/a"))[1].data == b"x" * 1000


def test_a_coordinator_that_failed_acknowledges_nothing_more() -> None:
    """Seed 1080: a sync reported in the very turn whose write failed was told the leader alone."""
    ensemble = Ensemble()
    leader = ensemble.nodes[ensemble.leader()].process
    session = opened(ensemble, ensemble.leader())
    node = ensemble.nodes[ensemble.followers()[0]]
    follower = node.process
    assert leader is not None
    assert follower is not None
    session.send(session.request(Create("/a", b"")))
    leader.turn()
    follower.turn()
    assert follower.work()  # Synced; the report waits for the next turn.
    node.disk.set_free_bytes(10)
    session.send(session.request(Create("/b", b"x" * 1000)))
    leader.turn()
    heard = len(leader.inbox)
    follower.turn()
    assert follower.status == EXIT_ENVIRONMENT
    assert len(leader.inbox) == heard


def test_a_full_disk_at_a_snapshot_ends_a_coordinator_too() -> None:
    ensemble = Ensemble(1, coordinator=CoordinatorConfig(snapshot_entries=10))
    ensemble.leader()
    session = opened(ensemble, 1)
    for number in range(5):
        session.operate(Create(f"/{number}", b"x" * 1000))
    ensemble.nodes[1].disk.set_free_bytes(3_000)
    for number in range(5, 12):
        session.send(session.request(Create(f"/{number}", b"")))
        ensemble.settle()
    assert session.process.status == EXIT_ENVIRONMENT


def test_a_damaged_log_stops_the_start_and_names_the_remedy() -> None:
    ensemble = Ensemble()
    session = opened(ensemble, ensemble.leader())
    session.operate(Create("/a", b""))
    session.operate(Create("/b", b""))
    victim = ensemble.followers()[0]
    ensemble.kill(victim)
    damage(ensemble, victim)
    with pytest.raises(Damaged, match=f"odradek ensemble rebuild coordinator-{victim}"):
        ensemble.start(victim)


def test_a_rebuilt_coordinator_is_filled_anew_and_keeps_what_it_held() -> None:
    ensemble = Ensemble()
    session = opened(ensemble, ensemble.leader())
    for number in range(20):
        session.operate(Create(f"/{number}", b"%d" % number))
    victim = ensemble.followers()[0]
    damage(ensemble, victim)
    rebuild(ensemble, victim)
    assert ensemble.health(victim).state != "ready"
    ensemble.run(500)
    health = ensemble.health(victim)
    assert health.state == "ready"
    assert health.figures["raft_rebuilding"] == 0
    disk = ensemble.nodes[victim].disk
    assert not disk.exists(REBUILD_MARK)
    assert disk.list("replaced-1-raft")
    assert opened(ensemble, victim).operate(Sync("/"), GetData("/7"))[1].data == b"7"
    # It counts again: with it alone the leader has a quorum.
    other = next(n for n in ensemble.nodes if n not in (victim, ensemble.leader()))
    ensemble.kill(other)
    late = opened(ensemble, ensemble.leader())
    assert late.operate(Create("/late", b""))[0].error == 0


def test_a_rebuilt_coordinator_is_filled_by_a_snapshot_where_the_log_was_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("nodes.core.raft.log.KEPT_ENTRIES_MAX", 0)
    ensemble = Ensemble(coordinator=CoordinatorConfig(snapshot_entries=10))
    session = opened(ensemble, ensemble.leader())
    for number in range(40):
        session.operate(Create(f"/{number}", b"%d" % number))
    victim = ensemble.followers()[0]
    rebuild(ensemble, victim)
    ensemble.run(1_000)
    assert ensemble.health(victim).state == "ready"
    disk = ensemble.nodes[victim].disk
    assert disk.list("snapshots")
    assert disk.list("replaced-1-snapshots")


def test_a_rebuilding_coordinator_does_not_make_a_majority() -> None:
    """Its acknowledgements from before may be all that made an entry committed."""
    ensemble = Ensemble()
    leader = ensemble.leader()
    victim, other = ensemble.followers()
    session = opened(ensemble, leader)
    session.operate(Create("/kept", b""))
    ensemble.kill(other)
    rebuild(ensemble, victim)
    ensemble.kill(leader)
    ensemble.start(other)
    ensemble.run(3_000)
    for number in (victim, other):
        assert not ensemble.health(number).leader, "elected by a member without memory"
    ensemble.start(leader)
    ensemble.run(3_000)
    assert ensemble.health(victim).state == "ready"
    assert opened(ensemble, ensemble.leader()).operate(GetData("/kept"))[0].error == 0


def test_a_crash_while_rebuilding_goes_on_with_the_same_loss() -> None:
    ensemble = Ensemble()
    leader = ensemble.leader()
    victim = ensemble.followers()[0]
    ensemble.cut(victim, *(n for n in ensemble.nodes if n != victim))
    rebuild(ensemble, victim)
    disk = ensemble.nodes[victim].disk
    loss = disk.read_file(REBUILD_MARK)
    assert loss
    ensemble.kill(victim)
    ensemble.start(victim)
    assert disk.read_file(REBUILD_MARK) == loss
    assert not disk.exists("replaced-2-raft"), "nothing is moved aside twice"
    ensemble.heal()
    ensemble.run(500)
    assert ensemble.health(victim).state == "ready"
    assert ensemble.leader() == leader
