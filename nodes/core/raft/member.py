"""The state that every part of the core shares, and the few ways to change it.

Owns: term, vote, role, known leader, log, commit index, durability, the election time-out, and the
effects of the step under way.  It decides nothing: the parts beside it (election, replication,
reads, transfer) do, and the door (``core.py``) sees what changed and tells the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from nodes.core.raft.durability import Durability
from nodes.core.raft.events import Found, HardState, Membership, RaftEffects, Role
from nodes.core.raft.log import Log
from nodes.core.raft.timing import Timing
from transport.kernel import Now, Outgoing
from transport.wire.ids import NO_NODE, LogIndex, NodeId, Term
from transport.wire.messages.raft import ENTRY_VOTERS, Entry, RaftMessage, decode_voters

FIRST_ELECTION_MIN_MS = 20
FIRST_ELECTION_MAX_MS = 120
"""A new ensemble has nobody to disturb: it elects as soon as it is connected."""
SECOND_ELECTION_MIN_MS = 100
SECOND_ELECTION_MAX_MS = 300
"""When the first vote split: long enough for slow disks, still far below two seconds."""
COMMIT_SLICE_BYTES = 128 * 1024
"""Of entries that are handed out in one step: some ten milliseconds of applying."""


class Member:
    """One member of the quorum: itself, without any behaviour."""

    __slots__ = (
        "_everybody",
        "_first_voters",
        "_timeout_ms",
        "_voters_since",
        "commit_index",
        "commit_known",
        "config",
        "dead_leader",
        "dead_until_ms",
        "durability",
        "effects",
        "election_due_ms",
        "heard_ms",
        "installing",
        "leader_commit",
        "learners",
        "log",
        "node",
        "now_ms",
        "peers",
        "raft_leader",
        "random",
        "rebuilding",
        "rejected_messages",
        "role",
        "term",
        "voted_for",
        "voters",
    )

    def __init__(
        self,
        node: NodeId,
        membership: Membership,
        config: Timing,
        stored: Found,
        random: Random,
        now: Now,
        rebuilding: int,
    ) -> None:
        everybody = sorted((*membership.voters, *membership.learners))
        assert node in everybody, "a member is one of the members"
        assert len(set(everybody)) == len(everybody), "a member is named once"
        self.node = node
        self._everybody = tuple(everybody)
        self.voters = self._first_voters = tuple(sorted(membership.voters))
        self.learners = frozenset(membership.learners)
        """Looked up only, never gone through."""
        self.peers = tuple(peer for peer in everybody if peer != node)
        self._voters_since: list[tuple[LogIndex, tuple[NodeId, ...]]] = [
            (stored.snapshot_index, self.voters)
        ]
        """By the index of the entry that said so, ascending; the first is the snapshot's."""
        self._take_voters(stored.entries)
        self.config = config
        self.random = random
        self.now_ms = now.mono_ms
        self.term, self.voted_for = stored.hard_state
        self.role = Role.FOLLOWER
        self.raft_leader = NO_NODE
        self.log = Log(stored.snapshot_index, stored.snapshot_term, stored.entries)
        self.commit_index = stored.snapshot_index
        self.commit_known = stored.snapshot_index
        """What is committed for certain and held; ``commit_index`` follows it a slice a step."""
        self.leader_commit: LogIndex | None = None
        """What a leader said last that it has committed; None: none was heard yet."""
        self.durability = Durability(self.log.last_index)
        self.heard_ms: int | None = None
        """When the known leader was last heard; None: never."""
        self.dead_leader: tuple[NodeId, Term] | None = None
        """Its process has ended; what it sent before may still arrive for a moment."""
        self.dead_until_ms = 0
        self.installing = False
        """A snapshot is being taken over: the log is about to be replaced."""
        self.rebuilding = rebuilding
        """The number of the loss after which log and promises are being made good; 0: none."""
        self.rejected_messages = 0
        self.effects = RaftEffects()
        self._timeout_ms = 0
        self.election_due_ms = 0
        self.draw_timeout()

    @property
    def may_campaign(self) -> bool:
        """Tell whether this member may lead: a voter, or one whose removal is not committed yet.

        The latter may be the only one with that entry in its log: nobody else could win then
        (thesis §4.2.2).
        """
        if self.rebuilding:
            return False
        leaving = self.voters_index > self.commit_index and len(self._voters_since) > 1
        return self.node in self.voters or (leaving and self.node in self._voters_since[-2][1])

    @property
    def campaign_due_ms(self) -> int:
        """When to campaign unless a leader is heard: at the end of the time-out, and a whole one later
        for who does not vote any more. It leads, till that is committed, only where no voter could.
        """
        votes = self.node in self.voters
        return self.election_due_ms + (0 if votes else self.config.election_timeout_max_ms)

    @property
    def voters_index(self) -> LogIndex:
        """The index of the entry that says who votes now."""
        return self._voters_since[-1][0]

    def voters_at(self, index: int) -> tuple[NodeId, ...]:
        """Return who voted as of the entry at ``index``, which is not before the base."""
        known = [voters for since, voters in self._voters_since if since <= index]
        return known[-1] if known else self._voters_since[0][1]

    def is_known(self, node: NodeId) -> bool:
        """Tell whether a node can be a member at all."""
        return node in self._everybody

    def _take_voters(self, entries: Sequence[Entry]) -> None:
        """Whoever an entry names votes from then on, committed or not (thesis §4.1)."""
        for entry in entries:
            if entry.kind == ENTRY_VOTERS:
                voters = tuple(sorted(decode_voters(entry.data)))
                self._voters_since.append((entry.index, voters))
                self._set_voters(voters)

    def _set_voters(self, voters: tuple[NodeId, ...]) -> None:
        self.voters = voters
        self.learners = frozenset(self._everybody) - frozenset(voters)
        everybody = sorted({*self._everybody, *voters})
        self.peers = tuple(peer for peer in everybody if peer != self.node)

    def forget(self, node: NodeId) -> None:
        """Know a node no more that has no vote, and whose end is committed."""
        assert node not in self.voters, "it votes"
        assert self.voters_index <= self.commit_index, "it may vote again"
        self._everybody = tuple(member for member in self._everybody if member != node)
        self._set_voters(self.voters)

    # Orders

    def send(self, to: NodeId, message: RaftMessage) -> None:
        """Send what promises nothing that the disk does not know."""
        self.effects.send_now.append(Outgoing(to, message))

    def send_after_sync(self, to: NodeId, message: RaftMessage) -> None:
        """Send what holds only once everything ordered so far is durable."""
        self.effects.send_after_sync.append(Outgoing(to, message))

    def answer(self, to: NodeId, message: RaftMessage) -> None:
        """Send what promises the present term and vote, and nothing about the log."""
        if self.durability.hard_state_pending or self.effects.hard_state is not None:
            self.send_after_sync(to, message)
        else:
            self.send(to, message)

    # Changes

    def append(self, entries: Sequence[Entry]) -> None:
        """Append to the log, in memory and on disk."""
        self.log.append(entries)
        self.effects.append.extend(entries)
        self._take_voters(entries)

    def truncate(self, from_index: LogIndex) -> None:
        """Drop entries from ``from_index`` on: they conflict with the leader's."""
        assert from_index > self.commit_known, "a committed entry would be dropped"
        self.log.truncate(from_index)
        self.durability.truncate(from_index)
        self.effects.truncate_from = from_index
        if self.voters_index >= from_index:
            while self.voters_index >= from_index:
                del self._voters_since[-1]
            self._set_voters(self._voters_since[-1][1])

    def reset_log(self, index: LogIndex, term: Term, voters: tuple[NodeId, ...]) -> None:
        """Stand on an installed snapshot, as of which these voted."""
        self.log.reset(index, term)
        self.durability.reset(index)
        self.commit_index = self.commit_known = index
        voters = voters or self._first_voters
        self._voters_since = [(index, voters)]
        self._set_voters(voters)

    def compact(self, last_index: LogIndex) -> None:
        """Let entries up to ``last_index`` go, as far as no follower may want them soon."""
        self.log.compact(last_index)
        while len(self._voters_since) > 1 and self._voters_since[1][0] <= self.log.base_index:
            del self._voters_since[0]

    def commit_to(self, index: int) -> None:
        """Note that everything up to ``index`` is committed; the end of each step acts on it."""
        if index > self.commit_known:
            assert index <= self.log.last_index, "a commit beyond the log"
            self.commit_known = LogIndex(index)

    def commit_slice(self) -> None:
        """Move the commit index forward (it never moves back) and hand out what to apply.

        A member that was just started learns of its whole log at once that it is committed. It goes
        through it in slices, between which it votes, and answers its leader.
        """
        if self.commit_index < self.commit_known:
            held = self.log.slice_bytes(self.commit_index + 1, COMMIT_SLICE_BYTES)
            committed = held[: self.commit_known - self.commit_index]
            self.effects.committed += committed
            self.commit_index = committed[-1].index

    def promise(self, term: Term, voted_for: NodeId) -> None:
        """Set term and vote; answers wait until they are durable."""
        assert term >= self.term, "a term goes back"
        if term == self.term and self.voted_for != NO_NODE:
            assert voted_for == self.voted_for, "a second vote in one term"
        if (term, voted_for) != (self.term, self.voted_for):
            self.term, self.voted_for = term, voted_for
            self.effects.hard_state = HardState(term, voted_for)

    def become_follower(self, term: Term) -> None:
        """Follow in ``term``; its leader is not known yet."""
        led = self.role is Role.LEADER
        if term > self.term:
            self.promise(term, NO_NODE)
        self.role = Role.FOLLOWER
        self.raft_leader = NO_NODE
        if led:
            self.draw_timeout()

    def follow(self, term: Term, leader: NodeId) -> None:
        """A message of the leader of ``term``, not below ours, was just received."""
        if self.is_dead(leader, term):
            return
        self.heard_ms = self.now_ms
        if self.raft_leader == leader and term == self.term:
            self.restart_timeout()
            return
        self.become_follower(term)
        self.raft_leader = leader
        self.draw_timeout()

    def is_dead(self, leader: NodeId, term: Term) -> bool:
        """Tell whether a message is the last words of a leader that is known to be dead."""
        return self.dead_leader == (leader, term) and self.now_ms < self.dead_until_ms

    # The election time-out

    def draw_timeout(self) -> None:
        """Draw a new time-out and start it now."""
        low, high = self.config.election_timeout_min_ms, self.config.election_timeout_max_ms
        if self.voters == (self.node,):
            low = high = 0
        elif self.log.last_index == 0 and self.raft_leader == NO_NODE:
            # Nothing was ever written: nobody can be disturbed, so the first election is quick.
            first = self.term == 0
            low = min(low, FIRST_ELECTION_MIN_MS if first else SECOND_ELECTION_MIN_MS)
            high = min(high, FIRST_ELECTION_MAX_MS if first else SECOND_ELECTION_MAX_MS)
        self._timeout_ms = self.random.randint(low, max(low, high))
        self.restart_timeout()

    def restart_timeout(self) -> None:
        """Start the drawn time-out anew: the leader was heard, or a vote was given."""
        self.election_due_ms = self.now_ms + self._timeout_ms
