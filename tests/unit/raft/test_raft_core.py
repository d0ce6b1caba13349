"""Single steps of the core: what a driver or a peer may do to it, and what it must answer."""

from __future__ import annotations

from random import Random

import pytest

from nodes.config import RaftConfig
from nodes.core.raft.core import RaftCore
from nodes.core.raft.events import (
    Compacted,
    Contact,
    DiskSynced,
    HardState,
    Membership,
    PeerDied,
    Propose,
    RaftEffects,
    ReadIndex,
    Received,
    Role,
    SnapshotInstalled,
    SnapshotReady,
    Stored,
)
from tests.transcripts.ensemble import serves
from transport.kernel import TICK, Now
from transport.wire.ids import NO_NODE, LogIndex, NodeId, Term
from transport.wire.messages.raft import (
    ENTRY_DATA,
    ENTRY_VOTERS,
    NO_ROUND,
    AppendRequest,
    AppendResponse,
    Entry,
    RaftMessage,
    ReadIndexRequest,
    ReadIndexResponse,
    SnapshotRequest,
    SnapshotResponse,
    TimeoutNow,
    VoteRequest,
    VoteResponse,
    encode_voters,
)

CONFIG = RaftConfig(append_bytes_max=1024, appends_in_flight_max=2)
ONE, TWO, THREE = NodeId(1), NodeId(2), NodeId(3)
VOTERS = (ONE, TWO, THREE)


def entry(term: int, index: int, data: bytes = b"x") -> Entry:
    return Entry(Term(term), LogIndex(index), ENTRY_DATA, data)


def append(
    term: int,
    previous: tuple[int, int],
    *entries: Entry,
    commit: int = 0,
    sender: NodeId = TWO,
    number: int = 1,
) -> AppendRequest:
    """An append after ``previous`` (term, index), of the round ``number``."""
    return AppendRequest(
        sender,
        Term(term),
        LogIndex(previous[1]),
        Term(previous[0]),
        LogIndex(commit),
        number,
        tuple(entries),
    )


class Member:
    """A core with a clock, and a disk that has always synced already unless told otherwise."""

    def __init__(
        self, stored: Stored | None = None, voters: tuple[NodeId, ...] = VOTERS, seed: int = 1
    ) -> None:
        self.now_ms = 1_000
        members = Membership(voters)
        self.core = RaftCore(ONE, members, CONFIG, stored or Stored(), Random(seed), self.now)

    @property
    def now(self) -> Now:
        return Now(self.now_ms, 0)

    def step(self, event: object, *, sync: bool = True) -> RaftEffects:
        effects = self.core.step(event, self.now)  # type: ignore[arg-type]
        self.core.check()
        if sync and effects.sequence:
            synced = self.step(DiskSynced(effects.sequence))
            effects.committed += synced.committed
            effects.send_now += synced.send_now
        return effects

    def hear(self, message: RaftMessage, *, sync: bool = True) -> RaftEffects:
        return self.step(Received(message), sync=sync)

    def wait(self) -> RaftEffects:
        """Let the next deadline pass."""
        due_ms = self.core.next_deadline_ms()
        assert due_ms is not None
        self.now_ms = max(self.now_ms, due_ms)
        return self.step(TICK)

    def commit_all(self) -> list[Entry]:
        """Let it go on with what it knows to be committed, without any time; returns that."""
        committed: list[Entry] = []
        while not self.core.has_caught_up:
            before, effects = self.now_ms, self.wait()
            assert self.now_ms == before
            assert effects.committed
            committed += effects.committed
        return committed

    def lead(self) -> int:
        """Win an election; returns the term. Its no-op is committed, 2 and 3 have it."""
        self.wait()
        self.hear(VoteResponse(TWO, Term(self.core.term + 1), True, True))
        self.hear(VoteResponse(TWO, self.core.term, True, False))
        assert self.core.role is Role.LEADER
        for peer in (TWO, THREE):
            self.answer(peer, self.core.last_index)
        return self.core.term

    def answer(self, peer: NodeId, match: int, number: int = 1) -> RaftEffects:
        return self.hear(AppendResponse(peer, self.core.term, True, LogIndex(match), number))


def messages(effects: RaftEffects, kind: type) -> list[RaftMessage]:
    both = [*effects.send_now, *effects.send_after_sync]
    return [o.message for o in both if isinstance(o.message, kind)]  # type: ignore[misc]


def test_the_first_election_of_a_new_ensemble_is_quick() -> None:
    for seed in range(50):
        due_ms = Member(seed=seed).core.next_deadline_ms()
        assert due_ms is not None
        assert 20 <= due_ms - 1_000 <= 120


def test_a_member_with_a_log_waits_its_whole_time_out() -> None:
    member = Member(Stored(HardState(Term(3), NO_NODE), entries=[entry(3, 1)]))
    due_ms = member.core.next_deadline_ms()
    assert due_ms is not None
    assert 300 <= due_ms - 1_000 <= 600


def test_once_a_leader_is_known_the_time_out_is_the_long_one() -> None:
    member = Member()
    member.hear(append(1, (0, 0)))
    due_ms = member.core.next_deadline_ms()
    assert due_ms is not None
    assert due_ms - 1_000 >= 300


def test_a_quorum_of_one_commits_on_its_own_sync() -> None:
    member = Member(voters=(ONE,))
    member.wait()
    assert serves(member.core, member.now)
    effects = member.step(Propose((b"a",)), sync=False)
    assert not effects.committed
    committed = member.step(DiskSynced(effects.sequence)).committed
    assert [entry.data for entry in committed] == [b"a"]
    assert member.step(ReadIndex(5)).reads == [(5, 2)]
    assert member.core.next_deadline_ms() is None


def test_a_quorum_of_one_waits_for_a_slow_disk_instead_of_campaigning_anew() -> None:
    member = Member(voters=(ONE,))
    effects = member.step(TICK, sync=False)
    for _ in range(5):
        member.now_ms += 1
        again = member.step(TICK, sync=False)
        assert again.hard_state is None, "another term would put the vote off again"
    member.step(DiskSynced(effects.sequence))
    assert member.core.role is Role.LEADER
    assert member.core.term == 1


def test_a_restarted_member_votes_only_once_in_a_term() -> None:
    member = Member(Stored(HardState(Term(7), THREE)))
    request = VoteRequest(TWO, Term(7), LogIndex(9), Term(6))
    (refused,) = messages(member.hear(request), VoteResponse)
    assert refused == VoteResponse(ONE, Term(7), False, False)
    again = VoteRequest(THREE, Term(7), LogIndex(9), Term(6))
    assert messages(member.hear(again), VoteResponse) == [VoteResponse(ONE, Term(7), True, False)]


def test_a_vote_leaves_after_the_sync_only() -> None:
    effects = Member().hear(VoteRequest(TWO, Term(1), LogIndex(0), Term(0)), sync=False)
    assert effects.hard_state == HardState(Term(1), TWO)
    assert not effects.send_now
    assert len(effects.send_after_sync) == 1


def test_every_answer_waits_for_a_new_term_to_be_durable() -> None:
    member = Member()
    member.hear(append(3, (0, 0)), sync=False)
    for message in (append(3, (0, 0)), VoteRequest(THREE, Term(2), LogIndex(0), Term(0))):
        effects = member.hear(message, sync=False)
        assert not effects.send_now
        assert effects.send_after_sync


def test_contact_is_answered_at_once_with_what_is_durable() -> None:
    member = Member()
    member.hear(append(1, (0, 0), entry(1, 1)))
    member.hear(append(1, (1, 1), entry(1, 2), entry(1, 3)), sync=False)
    effects = member.hear(append(1, (1, 3)), sync=False)
    assert effects.send_now[0].message == AppendResponse(ONE, Term(1), True, LogIndex(1), 1)


def test_a_word_of_commits_is_answered_only_where_the_logs_differ() -> None:
    member = Member()
    member.hear(append(1, (0, 0), entry(1, 1), entry(1, 2)))
    effects = member.hear(append(1, (1, 2), commit=2, number=NO_ROUND))
    assert [e.index for e in effects.committed] == [1, 2]
    assert not messages(effects, AppendResponse)
    refused = messages(member.hear(append(1, (1, 3), commit=3, number=NO_ROUND)), AppendResponse)
    assert refused == [AppendResponse(ONE, Term(1), False, LogIndex(2), NO_ROUND, Term(1))]
    assert messages(member.hear(append(0, (0, 0), number=NO_ROUND)), AppendResponse)


def test_a_follower_commits_no_further_than_the_message_reaches() -> None:
    member = Member(Stored(HardState(Term(1), NO_NODE), entries=[entry(1, i) for i in (1, 2, 3)]))
    effects = member.hear(append(2, (1, 1), entry(2, 2), commit=3))
    assert [e.index for e in effects.committed] == [1, 2]
    assert effects.truncate_from == 2


def test_a_stale_append_does_not_shorten_the_log() -> None:
    member = Member()
    member.hear(append(1, (0, 0), *(entry(1, i) for i in (1, 2, 3))))
    effects = member.hear(append(1, (0, 0), entry(1, 1)))
    assert effects.truncate_from is None
    assert member.core.last_index == 3


def test_a_leader_of_the_past_is_told() -> None:
    member = Member(Stored(HardState(Term(5), NO_NODE)))
    response = messages(member.hear(append(3, (0, 0))), AppendResponse)
    assert response == [AppendResponse(ONE, Term(5), False, LogIndex(0), 1)]


def test_pipelining_is_bounded_and_refills() -> None:
    member = Member()
    term = member.lead()
    sent = [messages(member.step(Propose((b"p" * 600,))), AppendRequest) for _ in range(4)]
    assert [len(batch) for batch in sent] == [2, 2, 0, 0]
    more = messages(member.answer(TWO, 2), AppendRequest)
    assert [e.index for m in more if isinstance(m, AppendRequest) for e in m.entries] == [4]
    assert member.core.commit_index == 2
    assert member.core.term == term


def test_an_entry_of_an_earlier_term_commits_only_with_one_of_this_term() -> None:
    member = Member(Stored(HardState(Term(4), NO_NODE), entries=[entry(2, 1), entry(2, 2)]))
    member.wait()
    member.hear(VoteResponse(TWO, Term(5), True, True))
    member.hear(VoteResponse(TWO, Term(5), True, False))
    assert not member.answer(TWO, 2).committed
    assert not serves(member.core, member.now)
    assert [e.index for e in member.answer(TWO, 3).committed] == [1, 2, 3]
    assert serves(member.core, member.now)


def test_a_lost_append_shows_in_the_next_heartbeat() -> None:
    member = Member()
    term = Term(member.lead())
    member.step(Propose((b"lost",)))
    beat = [m for m in messages(member.wait(), AppendRequest) if isinstance(m, AppendRequest)]
    assert beat[0].previous_index == 2
    refused = AppendResponse(TWO, term, False, LogIndex(1), 2, term)
    again = messages(member.hear(refused), AppendRequest)
    assert [e.data for m in again if isinstance(m, AppendRequest) for e in m.entries] == [b"lost"]


def test_a_follower_whose_disk_was_replaced_is_filled_anew() -> None:
    member = Member()
    term = Term(member.lead())
    member.step(Propose((b"a", b"b")))
    member.answer(TWO, 3)
    commit = member.core.commit_index
    effects = member.hear(AppendResponse(TWO, term, False, LogIndex(0), 1))
    first = messages(effects, AppendRequest)[0]
    assert isinstance(first, AppendRequest)
    assert [e.index for e in first.entries] == [1, 2, 3]
    assert member.core.commit_index == commit


def test_contact_is_dated_by_the_round_and_not_by_the_arrival() -> None:
    member = Member()
    member.lead()
    member.wait()  # Begins round 2.
    member.now_ms += 5_000  # Stopped, with the answer waiting to be read.
    member.answer(TWO, 1, number=2)
    assert not member.core.has_quorum_contact(member.now)
    assert member.step(TICK).role is Role.FOLLOWER


def test_a_follower_knows_whether_it_hears_its_leader() -> None:
    member = Member()
    assert not member.core.has_quorum_contact(member.now)
    member.hear(append(1, (0, 0)))
    assert member.core.has_quorum_contact(member.now)
    member.now_ms += 300
    assert not member.core.has_quorum_contact(member.now)


def test_survivors_campaign_one_after_another_from_the_moment_of_a_death() -> None:
    """No two of them at once: they would split the votes, whatever chance says."""
    voters = tuple(NodeId(number) for number in range(1, 6))
    waits_ms: dict[int, set[int]] = {}
    for dead in voters[1:]:
        for seed in range(5):
            member = Member(voters=voters, seed=seed)
            member.hear(append(1, (0, 0), entry(1, 1), sender=dead))
            member.step(PeerDied(next(v for v in voters if v not in (ONE, dead))))
            assert member.core.raft_leader == dead
            assert member.step(PeerDied(dead)).raft_leader == NO_NODE
            due_ms = member.core.next_deadline_ms()
            assert due_ms is not None
            waits_ms.setdefault(dead, set()).add(due_ms - member.now_ms)
            requests = messages(member.wait(), VoteRequest)
            assert len(requests) == 4
            assert all(isinstance(r, VoteRequest) and r.forced for r in requests)
    assert waits_ms == {2: {60}, 3: {40}, 4: {20}, 5: {0}}


def test_the_last_words_of_a_dead_leader_are_kept_and_do_not_revive_it() -> None:
    member = Member()
    member.hear(append(1, (0, 0), entry(1, 1)))
    member.step(PeerDied(TWO))
    due_ms = member.core.next_deadline_ms()
    effects = member.hear(append(1, (1, 1), entry(1, 2), commit=1))
    assert member.core.last_index == 2
    assert [e.index for e in effects.committed] == [1]
    assert member.core.raft_leader == NO_NODE
    assert member.core.next_deadline_ms() == due_ms
    member.wait()
    member.hear(append(1, (1, 2)))
    assert member.core.role is Role.PRE_CANDIDATE
    member.now_ms += 300  # The notice was wrong after all.
    member.hear(append(1, (1, 2)))
    assert member.core.raft_leader == TWO


def test_a_survivor_gives_way_to_a_quicker_one() -> None:
    member = Member()
    member.hear(append(1, (0, 0), entry(1, 1)))
    member.step(PeerDied(TWO))
    request = VoteRequest(THREE, Term(2), LogIndex(1), Term(1), True, True)
    assert messages(member.hear(request), VoteResponse) == [VoteResponse(ONE, Term(2), True, True)]
    due_ms = member.core.next_deadline_ms()
    assert due_ms is not None
    assert due_ms - member.now_ms >= 40


def test_a_link_that_comes_up_in_a_campaign_is_used() -> None:
    member = Member()
    member.wait()
    assert member.core.role is Role.PRE_CANDIDATE
    assert len(messages(member.step(Contact(THREE, True)), VoteRequest)) == 1
    assert not messages(member.step(Contact(THREE, False)), VoteRequest)


def test_a_link_that_breaks_fails_the_reads_on_it() -> None:
    member = Member()
    member.hear(append(1, (0, 0)))
    member.step(ReadIndex(1))
    assert member.step(Contact(TWO, False)).reads_failed == [1]


def test_a_late_answer_to_an_earlier_request_serves_no_later_read() -> None:
    member = Member()
    member.hear(append(1, (0, 0)))
    (first,) = messages(member.step(ReadIndex(1)), ReadIndexRequest)
    member.now_ms += 300
    assert member.step(TICK).reads_failed == [1]
    member.hear(append(1, (0, 0)))
    (second,) = messages(member.step(ReadIndex(2)), ReadIndexRequest)
    assert isinstance(first, ReadIndexRequest)
    assert isinstance(second, ReadIndexRequest)
    late = ReadIndexResponse(TWO, Term(1), first.token, LogIndex(5))
    assert member.hear(late).reads == []
    answer = ReadIndexResponse(TWO, Term(1), second.token, LogIndex(8))
    assert member.hear(answer).reads == [(2, 8)]


def snapshot(data: bytes, position: int, *, done: bool, last: int = 10) -> SnapshotRequest:
    return SnapshotRequest(TWO, Term(3), LogIndex(last), Term(2), position, data, done, 4)


def test_a_snapshot_is_gathered_in_order_and_installed_once() -> None:
    member = Member()
    member.hear(snapshot(b"one", 0, done=False))
    (state,) = messages(member.hear(snapshot(b"three", 6, done=True)), SnapshotResponse)
    assert state == SnapshotResponse(ONE, Term(3), LogIndex(10), 3, False, 4)
    effects = member.hear(snapshot(b"two", 3, done=True))
    assert effects.install == (10, 2, b"onetwo")
    assert member.hear(snapshot(b"two", 3, done=True)).install is None
    # Nothing may touch the log that is about to be replaced, and a member without one leads nobody.
    assert not member.hear(append(3, (0, 0), entry(3, 1))).append
    assert not messages(member.wait(), VoteRequest)
    member.hear(TimeoutNow(TWO, Term(3)))
    assert member.core.role is Role.FOLLOWER
    done = member.step(SnapshotInstalled(LogIndex(10), Term(2)))
    assert messages(done, SnapshotResponse) == [
        SnapshotResponse(ONE, Term(3), LogIndex(10), 0, True, 4)
    ]
    assert member.core.commit_index == member.core.last_index == 10
    assert member.core.term_at(LogIndex(10)) == 2


def test_a_change_that_is_cut_off_leaves_the_voters_of_the_snapshot() -> None:
    member = Member()
    member.hear(snapshot(b"all", 0, done=True))
    voters: tuple[NodeId, ...] = (ONE, TWO, THREE, NodeId(4))
    member.step(SnapshotInstalled(LogIndex(10), Term(2), voters))
    assert (member.core.voters, member.core.voters_at(LogIndex(10))) == (voters, voters)
    fewer: tuple[NodeId, ...] = (ONE, THREE, NodeId(4))
    change = Entry(Term(3), LogIndex(11), ENTRY_VOTERS, encode_voters(fewer))
    member.hear(append(3, (2, 10), change, commit=10))
    assert member.core.voters == fewer
    member.hear(append(4, (2, 10), entry(4, 11), commit=10, sender=THREE))
    assert member.core.voters == voters


def test_a_snapshot_of_what_is_in_the_log_takes_nothing_away() -> None:
    member = Member(
        Stored(HardState(Term(2), NO_NODE), entries=[entry(2, i) for i in range(1, 13)])
    )
    effects = member.hear(snapshot(b"state", 0, done=True))
    assert effects.install is None
    assert member.core.last_index == 12
    assert member.core.commit_index == 10


def test_what_a_snapshot_covers_is_reported_when_it_is_durable() -> None:
    member = Member()
    member.hear(append(2, (0, 0), *(entry(2, i) for i in range(1, 11))))
    member.hear(append(2, (2, 10), entry(2, 11), commit=11), sync=False)
    effects = member.hear(SnapshotRequest(TWO, Term(2), LogIndex(11), Term(2), 0, b"s", True, 4))
    assert not effects.send_now
    assert [o.message for o in effects.send_after_sync] == [
        SnapshotResponse(ONE, Term(2), LogIndex(11), 0, True, 4)
    ]


def test_a_leader_asks_for_a_snapshot_once_and_sends_it_in_chunks() -> None:
    stored = Stored(HardState(Term(4), NO_NODE), LogIndex(20), Term(4), [entry(4, 21)])
    member = Member(stored)
    term = Term(member.lead())
    refused = AppendResponse(THREE, term, False, LogIndex(3), 1, Term(1))
    assert member.hear(refused).snapshot_wanted
    assert not member.wait().snapshot_wanted
    data = b"s" * 1_500
    effects = member.step(SnapshotReady(LogIndex(21), Term(4), data))
    (first,) = messages(effects, SnapshotRequest)
    assert isinstance(first, SnapshotRequest)
    assert (len(first.data), first.done) == (1024, False)
    state = SnapshotResponse(THREE, term, LogIndex(21), 1024, False, 1)
    (second,) = messages(member.hear(state), SnapshotRequest)
    assert isinstance(second, SnapshotRequest)
    assert (first.data + second.data, second.done) == (data, True)
    installed = SnapshotResponse(THREE, term, LogIndex(21), 0, True, 1)
    (following,) = messages(member.hear(installed), AppendRequest)
    assert isinstance(following, AppendRequest)
    assert following.previous_index == 21


def test_a_follower_that_comes_back_whole_is_not_sent_a_snapshot() -> None:
    stored = Stored(HardState(Term(4), NO_NODE), LogIndex(20), Term(4), [entry(4, 21)])
    member = Member(stored)
    member.wait()
    member.hear(VoteResponse(TWO, Term(member.core.term + 1), True, True))
    member.hear(VoteResponse(TWO, member.core.term, True, False))
    assert member.core.role is Role.LEADER
    member.answer(TWO, member.core.last_index)
    member.step(Contact(THREE, False))
    effects = member.step(Contact(THREE, True))
    assert not effects.snapshot_wanted
    (asked,) = messages(effects, AppendRequest)
    assert isinstance(asked, AppendRequest)
    assert asked.previous_index == member.core.last_index


def test_compaction_keeps_a_tail_for_followers_that_are_slightly_behind() -> None:
    member = Member()
    member.lead()
    member.step(Propose(tuple(b"%d" % i for i in range(5_000))))
    member.answer(TWO, member.core.last_index)
    member.commit_all()
    member.step(Compacted(member.core.commit_index))
    assert member.core.term_at(LogIndex(900)) is None
    assert member.core.term_at(LogIndex(1_000)) == member.core.term
    member.step(Propose((b"m" * 1024 * 1024,) * 12))
    member.answer(TWO, member.core.last_index)
    member.commit_all()
    member.step(Compacted(member.core.commit_index))
    assert member.core.term_at(LogIndex(member.core.last_index - 9)) is None
    assert member.core.term_at(LogIndex(member.core.last_index - 7)) is not None


def test_a_log_that_turns_out_to_be_committed_is_gone_through_in_slices() -> None:
    entries = [entry(2, index, b"d" * 100) for index in range(1, 20_001)]
    member = Member(Stored(HardState(Term(2), NO_NODE), entries=entries))
    assert not member.core.has_caught_up
    told = member.hear(append(2, (2, 20_000), commit=20_000))
    assert 100 < len(told.committed) < 2_000
    assert not member.core.has_caught_up
    # In between it votes, and answers how far its log is, not how far it has come with it.
    asked = member.hear(VoteRequest(THREE, Term(3), LogIndex(20_000), Term(2), False, True))
    (vote,) = messages(asked, VoteResponse)
    assert isinstance(vote, VoteResponse)
    assert vote.granted
    fed = member.hear(append(3, (2, 5_000), entry(2, 5_001), sender=THREE, commit=20_000))
    (answer,) = messages(fed, AppendResponse)
    assert isinstance(answer, AppendResponse)
    assert answer.match_index == 20_000
    rest = member.commit_all()
    assert [*told.committed, *asked.committed, *fed.committed, *rest] == entries


NONSENSE: list[RaftMessage] = [
    append(9, (0, 0), sender=NodeId(77)),
    append(9, (0, 0), sender=ONE),
    append(9, (0, -5)),
    append(9, (-1, 3)),
    append(9, (1, 1), entry(1, 5)),
    append(9, (1, 1), entry(10, 2)),
    append(9, (5, 1), entry(1, 2)),
    append(9, (1, 1), entry(2, 2), entry(1, 3)),
    append(9, (1, 1), entry(1, 2), entry(1, 4)),
    append(2**60, (0, 0)),
    append(-1, (0, 0)),
    VoteRequest(NodeId(-3), Term(9), LogIndex(1), Term(1)),
    SnapshotRequest(TWO, Term(9), LogIndex(10), Term(11), 0, b"", True, 1),
]


@pytest.mark.parametrize("message", NONSENSE, ids=range(len(NONSENSE)))
def test_nonsense_is_counted_and_harms_nothing(message: RaftMessage) -> None:
    member = Member(Stored(HardState(Term(1), NO_NODE), entries=[entry(1, 1)]))
    effects = member.hear(message)
    assert member.core.rejected_messages == 1
    assert not effects.append
    assert effects.truncate_from is None
    assert member.core.last_index == 1


def test_nonsense_to_a_leader_harms_nothing() -> None:
    member = Member()
    term = Term(member.lead())
    for message in (
        AppendResponse(TWO, term, True, LogIndex(10**9), 1),
        AppendResponse(TWO, term, True, LogIndex(-2), 1),
        AppendResponse(TWO, term, True, LogIndex(1), 10**9),
        append(term, (0, 0)),
        SnapshotRequest(TWO, term, LogIndex(9), term, 0, b"", True, 1),
    ):
        before = member.core.rejected_messages
        member.hear(message)
        assert member.core.rejected_messages == before + 1
    passed_over: list[RaftMessage] = [
        AppendResponse(TWO, term, False, LogIndex(-9), 1, Term(-3)),
        SnapshotResponse(TWO, term, LogIndex(10**9), -1, True, 1),
        ReadIndexRequest(TWO, term, 2**60),
        ReadIndexResponse(TWO, term, 1, LogIndex(5)),
        TimeoutNow(TWO, term),
        VoteResponse(TWO, term, True, False),
    ]
    for odd in passed_over:
        member.hear(odd)
    assert member.core.role is Role.LEADER
    assert member.core.commit_index == 1


def test_a_peer_cannot_fill_the_memory_with_reads() -> None:
    member = Member()
    term = Term(member.lead())
    answers = [
        messages(member.hear(ReadIndexRequest(TWO, term, token)), ReadIndexResponse)
        for token in range(1_100)
    ]
    assert sum(len(batch) for batch in answers) == 1_100 - 1_024


def test_proposals_without_end_are_refused() -> None:
    member = Member()
    member.lead()
    member.step(Propose((b"",) * 100_000))
    assert member.step(Propose((b"one more",))).rejected == [b"one more"]
