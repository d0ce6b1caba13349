"""A leader and a follower that lost its disk: what late words do, and do not."""

from __future__ import annotations

from nodes.core.raft.events import ChangeVoters, HardState, Propose, SnapshotReady, Stored
from tests.unit.raft.test_raft_core import ONE, THREE, TWO, Member, entry, messages
from transport.wire.ids import NO_NODE, LogIndex, Term
from transport.wire.messages.raft import (
    AppendRequest,
    AppendResponse,
    SnapshotRequest,
    SnapshotResponse,
)


def test_what_a_follower_said_before_it_lost_its_disk_does_not_make_it_whole() -> None:
    """Its last words may come late, when it has told of the loss already by another connection."""
    leader = Member()
    term = Term(leader.lead())
    leader.step(Propose((b"a",)))
    committed, held = leader.core.commit_index, leader.core.last_index
    leader.hear(AppendResponse(TWO, term, False, LogIndex(0), 1, rebuilding=7))
    leader.answer(TWO, held)
    leader.hear(AppendResponse(TWO, term, False, held, 1))
    assert leader.core.commit_index == committed, "nobody but the leader holds it"
    leader.answer(TWO, leader.core.last_index)
    assert leader.core.commit_index == leader.core.last_index, "it is whole again"


def test_a_whole_follower_of_whose_loss_is_heard_late_gets_what_it_lacks() -> None:
    """What it says is not taken until it holds what it is whole by: that is to be sent all the same."""
    leader = Member()
    term = Term(leader.lead())
    for _ in range(3):
        leader.step(Propose((b"p" * 600,)))
    leader.hear(AppendResponse(TWO, term, True, LogIndex(1), 1, rebuilding=7))
    told = leader.answer(TWO, 3)
    sent = [one for one in messages(told, AppendRequest) if isinstance(one, AppendRequest)]
    assert [[each.index for each in one.entries] for one in sent] == [[4, 5]]
    assert leader.core.commit_index == 1
    leader.answer(TWO, 5)
    assert leader.core.commit_index == leader.core.last_index == 5


def test_a_whole_follower_of_whose_loss_is_heard_late_gets_a_snapshot() -> None:
    stored = Stored(HardState(Term(4), NO_NODE), LogIndex(20), Term(4), [entry(4, 21)])
    leader = Member(stored)
    term = Term(leader.lead())
    leader.hear(AppendResponse(THREE, term, False, LogIndex(3), 1, Term(1), rebuilding=7))
    leader.step(SnapshotReady(LogIndex(21), Term(4), b"s" * 1_500))
    state = SnapshotResponse(THREE, term, LogIndex(21), 1024, False, 1)
    (second,) = messages(leader.hear(state), SnapshotRequest)
    assert isinstance(second, SnapshotRequest)
    assert second.done
    installed = SnapshotResponse(THREE, term, LogIndex(21), 0, True, 1)
    (following,) = messages(leader.hear(installed), AppendRequest)
    assert isinstance(following, AppendRequest)
    assert following.previous_index == 21
    committed, last = leader.core.commit_index, leader.core.last_index
    leader.answer(THREE, last - 1)
    assert leader.core.commit_index == committed < last
    leader.answer(THREE, last)
    assert leader.core.commit_index == last


def test_no_voter_is_removed_without_which_a_lost_one_could_never_be_whole_again() -> None:
    """That takes an entry which a majority holds without it: of two voters there is none."""
    leader = Member()
    term = Term(leader.lead())
    leader.hear(AppendResponse(THREE, term, False, LogIndex(0), 1, rebuilding=7))
    leader.answer(TWO, leader.core.last_index)
    told = leader.step(ChangeVoters((ONE, THREE)))
    assert f"while {THREE} cannot count" in told.voters_refused
    assert leader.core.voters == (ONE, TWO, THREE)
    leader.answer(THREE, leader.core.last_index)
    assert not leader.step(ChangeVoters((ONE, THREE))).voters_refused
