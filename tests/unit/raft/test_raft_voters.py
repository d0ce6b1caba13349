"""Change of the voters one at a time, and the history that loses a committed entry without care."""

from __future__ import annotations

import pytest

from nodes.config import RaftConfig
from nodes.core.raft.core import RaftCore
from nodes.core.raft.events import ChangeVoters, Propose, RaftEffects, Role
from nodes.core.raft.replication import Replication
from tests.transcripts.ensemble import Ensemble, Watcher
from transport.kernel import TICK
from transport.wire.ids import NodeId

CONFIG = RaftConfig(append_bytes_max=1024, appends_in_flight_max=2)


def core_of(ensemble: Ensemble, node: int) -> RaftCore:
    core = ensemble.hosts[NodeId(node)].core
    assert core is not None
    return core


def campaign(ensemble: Ensemble, node: int) -> None:
    core = core_of(ensemble, node)
    due_ms = core.next_deadline_ms()
    assert due_ms is not None
    ensemble.now_ms = max(ensemble.now_ms, due_ms)
    ensemble.step(NodeId(node), TICK)


def change(ensemble: Ensemble, node: int, *voters: int) -> RaftEffects:
    return ensemble.step(NodeId(node), ChangeVoters(tuple(NodeId(v) for v in voters)))


def beat(ensemble: Ensemble, node: int) -> None:
    """Let the leader's next heartbeat go out, and everything come of it."""
    ensemble.now_ms += CONFIG.heartbeat_interval_ms
    ensemble.step(NodeId(node), TICK)
    ensemble.stabilize()


def led(voters: list[int], learners: list[int]) -> Ensemble:
    ensemble = Ensemble(voters, learners=learners, config=CONFIG, watcher=Watcher())
    campaign(ensemble, 1)
    ensemble.stabilize()
    assert core_of(ensemble, 1).role is Role.LEADER
    return ensemble


def isolate(ensemble: Ensemble, *group: int) -> None:
    """Let nobody talk but the members of this group, with each other."""
    ensemble.wire.clear()
    ensemble.cut = {
        (a, b)
        for a in ensemble.members
        for b in ensemble.members
        if not (a in group and b in group)
    }


def test_a_learner_is_promoted_and_then_counts() -> None:
    ensemble = led([1, 2, 3], [4])
    assert not change(ensemble, 1, 1, 2, 3, 4).voters_refused
    ensemble.stabilize()
    beat(ensemble, 1)
    for node in (1, 2, 3, 4):
        assert core_of(ensemble, node).voters == (1, 2, 3, 4)
    isolate(ensemble, 1, 4)  # Two of four are no majority; two of three were.
    before = core_of(ensemble, 1).commit_index
    ensemble.step(NodeId(1), Propose((b"a",)))
    ensemble.stabilize()
    assert core_of(ensemble, 1).commit_index == before
    isolate(ensemble, 1, 2, 4)
    beat(ensemble, 1)
    assert core_of(ensemble, 1).commit_index > before


def test_a_voter_that_is_removed_counts_no_more_and_never_campaigns() -> None:
    ensemble = led([1, 2, 3], [])
    change(ensemble, 1, 1, 2)
    ensemble.stabilize()
    beat(ensemble, 1)
    assert core_of(ensemble, 3).voters == (1, 2)
    campaign(ensemble, 3)
    assert core_of(ensemble, 3).role is Role.FOLLOWER


def leaving() -> Ensemble:
    """3 votes no more, which it cannot know to be committed; 1, which led, is gone."""
    ensemble = led([1, 2, 3], [])
    change(ensemble, 1, 1, 2)
    while core_of(ensemble, 3).voters != (1, 2):
        ensemble.deliver(0)
    isolate(ensemble, 2, 3)
    assert not core_of(ensemble, 3).voters_committed
    return ensemble


@pytest.mark.parametrize("restarted", [False, True])
def test_who_is_about_to_leave_lets_the_voters_campaign_first(restarted: bool) -> None:
    ensemble = leaving()
    if restarted:
        ensemble.sync(NodeId(3))
        for node in (2, 3):
            ensemble.crash(NodeId(node))
            ensemble.start(NodeId(node))
    voter, leaver = (core_of(ensemble, node).next_deadline_ms() for node in (2, 3))
    assert voter is not None
    assert leaver is not None
    assert voter <= ensemble.now_ms + CONFIG.election_timeout_max_ms < leaver


def test_who_is_about_to_leave_leads_where_nobody_else_can() -> None:
    """Its log is the longest, and without 1 neither 2 nor 4 has a majority of those four."""
    ensemble = led([1, 2, 3, 4], [])
    change(ensemble, 1, 1, 2, 4)
    isolate(ensemble, 1, 3)
    beat(ensemble, 1)
    assert core_of(ensemble, 3).voters == (1, 2, 4)
    ensemble.crash(NodeId(1))
    isolate(ensemble, 2, 3, 4)
    led_then = False
    for _ in range(6):
        campaign(ensemble, 3)
        ensemble.stabilize()
        led_then = led_then or core_of(ensemble, 3).role is Role.LEADER
    assert led_then
    assert core_of(ensemble, 3).role is Role.FOLLOWER, "its removal is committed"


def test_a_leader_that_removes_itself_leads_until_that_is_committed() -> None:
    ensemble = led([1, 2, 3], [])
    change(ensemble, 1, 2, 3)
    isolate(ensemble, 1, 2)
    ensemble.stabilize()
    assert core_of(ensemble, 1).role is Role.LEADER, "2 alone is no majority of 2 and 3"
    ensemble.cut.clear()
    beat(ensemble, 1)
    beat(ensemble, 1)
    assert core_of(ensemble, 1).role is Role.FOLLOWER
    campaign(ensemble, 2)
    ensemble.stabilize()
    assert core_of(ensemble, 2).role is Role.LEADER


def test_what_cannot_be_changed_is_refused_with_the_reason() -> None:
    ensemble = led([1, 2, 3], [4, 5])
    assert change(ensemble, 2, 1, 2).voters_refused == "another member leads"
    for voters in ((1, 2, 3, 4, 5), (1, 2, 4), (1, 2, 3), ()):
        assert change(ensemble, 1, *voters).voters_refused
    assert change(ensemble, 1, 1, 2, 3, 77).voters_refused == "it is no member of this cluster"
    ensemble.cut = {(1, 2), (1, 3)}
    assert not change(ensemble, 1, 1, 2, 3, 4).voters_refused
    assert "not committed yet" in change(ensemble, 1, 1, 2, 3).voters_refused


def test_no_voter_is_removed_where_too_few_of_the_others_answer() -> None:
    """The removal would hold at once: neither it nor its opposite could ever be committed."""
    ensemble = led([1, 2, 3], [4])
    isolate(ensemble, 1, 2, 4)
    for _ in range(CONFIG.election_timeout_min_ms // CONFIG.heartbeat_interval_ms + 1):
        beat(ensemble, 1)
    assert "while 3 cannot count" in change(ensemble, 1, 1, 3).voters_refused
    assert not change(ensemble, 1, 1, 2, 3, 4).voters_refused, "three of these four answer"
    ensemble.stabilize()
    beat(ensemble, 1)
    assert not change(ensemble, 1, 1, 2, 4).voters_refused, "who is away can be removed"
    ensemble.stabilize()
    beat(ensemble, 1)
    assert not change(ensemble, 1, 1, 4).voters_refused
    ensemble.stabilize()
    assert core_of(ensemble, 1).voters_committed


def test_a_learner_that_lags_is_not_promoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nodes.core.raft.change.LAG_MAX", 2)
    ensemble = led([1, 2, 3], [4])
    ensemble.cut = {(1, 4)}
    ensemble.step(NodeId(1), Propose((b"a", b"b", b"c")))
    ensemble.stabilize()
    assert "not caught up" in change(ensemble, 1, 1, 2, 3, 4).voters_refused


def test_an_uncommitted_change_that_is_cut_off_the_log_does_not_hold_any_more() -> None:
    ensemble = led([1, 2, 3], [4])
    isolate(ensemble, 1)
    change(ensemble, 1, 1, 2, 3, 4)
    ensemble.stabilize()
    assert core_of(ensemble, 1).voters == (1, 2, 3, 4)
    isolate(ensemble, 2, 3)
    campaign(ensemble, 2)
    ensemble.now_ms += CONFIG.election_timeout_max_ms
    campaign(ensemble, 2)
    ensemble.stabilize()
    assert core_of(ensemble, 2).role is Role.LEADER
    ensemble.cut.clear()
    beat(ensemble, 2)
    beat(ensemble, 2)
    assert core_of(ensemble, 1).voters == (1, 2, 3)


def test_who_votes_outlives_a_snapshot_and_a_restart() -> None:
    ensemble = led([1, 2, 3], [4])
    change(ensemble, 1, 1, 2, 3, 4)
    ensemble.stabilize()
    beat(ensemble, 1)
    ensemble.compact(NodeId(4))
    ensemble.crash(NodeId(4))
    ensemble.start(NodeId(4))
    assert core_of(ensemble, 4).voters == (1, 2, 3, 4)
    ensemble.crash(NodeId(2))
    ensemble.start(NodeId(2))
    assert core_of(ensemble, 2).voters == (1, 2, 3, 4)


def overlapping_changes() -> tuple[Ensemble, bool]:
    """Two leaders change the voters, the second before it has committed anything of its term.

    Returns whether the second was let; then its change and what follows is committed by 2 and 3.
    """
    ensemble = led([1, 2, 3, 4], [5])
    isolate(ensemble, 1, 5)
    change(ensemble, 1, 1, 2, 3, 4, 5)
    ensemble.stabilize()  # On 1 and 5 only: two of five.
    isolate(ensemble, 2, 3, 4)
    ensemble.now_ms += CONFIG.election_timeout_max_ms
    campaign(ensemble, 2)
    while core_of(ensemble, 2).role is not Role.LEADER:
        ensemble.sync(NodeId(2))
        ensemble.sync(NodeId(3))
        ensemble.sync(NodeId(4))
        ensemble.deliver(0)
    isolate(ensemble, 2, 3)  # Its no-op reaches nobody: it has committed nothing of its term.
    taken = not change(ensemble, 2, 2, 3, 4).voters_refused
    if taken:
        beat(ensemble, 2)
        assert core_of(ensemble, 2).commit_index > 2, "2 and 3 of 2, 3 and 4"
    # Now 1 comes back, with its own change still in its log, and is elected by 4 and 5.
    isolate(ensemble, 1, 4, 5)
    ensemble.now_ms += 3 * CONFIG.election_timeout_max_ms
    for _ in range(6):
        campaign(ensemble, 1)
        ensemble.stabilize()
    return ensemble, taken


def test_a_leader_commits_in_its_term_before_it_changes_who_votes() -> None:
    _, taken = overlapping_changes()
    assert not taken


def test_without_that_rule_a_committed_change_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Replication, "has_committed_in_term", property(lambda _: True))
    monkeypatch.setattr(Replication, "silent", lambda *_: [])  # it has heard nobody yet
    ensemble, taken = overlapping_changes()
    assert taken
    assert core_of(ensemble, 1).role is Role.LEADER, "elected without what 2 and 3 committed"
    two, one = core_of(ensemble, 2), core_of(ensemble, 1)
    assert one.term_at(two.commit_index) != two.term_at(two.commit_index)
