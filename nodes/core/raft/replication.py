"""The leader's side of replication: appends, heartbeats, commitment, check-quorum (Raft §5.3, §5.4).

Entries leave for the followers before this member's own disk has synced; it counts itself only up
to what is durable.  Every heartbeat is an (empty) append at the point where the follower should
be, so a lost append shows as a refusal within a heartbeat.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nodes.core.raft.events import Contact, Propose, Role, SnapshotReady
from nodes.core.raft.member import Member
from nodes.core.raft.progress import Pace, Progress
from nodes.core.raft.quorum import reached_by_majority
from nodes.core.raft.rounds import Rounds
from transport.wire.ids import LogIndex, NodeId, Term
from transport.wire.messages.raft import (
    ENTRY_DATA,
    ENTRY_NOOP,
    ENTRY_VOTERS,
    NO_ROUND,
    AppendRequest,
    AppendResponse,
    Entry,
    SnapshotRequest,
    SnapshotResponse,
    encode_voters,
)

UNCOMMITTED_ENTRIES_MAX = 100_000
"""Beyond it proposals are refused: without a quorum they would only pile up."""
NEVER_MS = -(2**62)


class Replication:
    """What a leader does for its followers; idle on everybody else."""

    __slots__ = (
        "_beat_due_ms",
        "_member",
        "_moved",
        "_rounds",
        "_snapshot",
        "_snapshot_asked",
        "closed",
        "progress",
        "term_start_index",
    )

    def __init__(self, member: Member) -> None:
        self._member = member
        self.progress: dict[NodeId, Progress] = {}
        """By peer, ascending. Empty unless leader."""
        self.closed = False
        """While leadership is handed over no proposal is taken."""
        self.term_start_index = LogIndex(0)
        """Of the no-op that opened this leadership."""
        self._rounds = Rounds()
        self._beat_due_ms = 0
        self._moved = False
        self._snapshot: SnapshotReady | None = None
        self._snapshot_asked = False

    # Terms of office

    def begin(self) -> None:
        """Take office: a no-op opens the term, and tells everybody who leads it."""
        member = self._member
        next_index = LogIndex(member.log.last_index + 1)
        self.progress = {
            peer: Progress(next_index, member.now_ms, peer in member.learners)
            for peer in member.peers
        }
        self.closed = False
        self.term_start_index = next_index
        self._rounds = Rounds()
        self._snapshot, self._snapshot_asked = None, False
        member.append([Entry(member.term, next_index, ENTRY_NOOP, b"")])
        self.begin_round()

    def end(self) -> None:
        """Leave office: nothing of it is needed any more."""
        self.progress = {}
        self._snapshot = None

    @property
    def has_committed_in_term(self) -> bool:
        """True once an entry of this term is committed: only then is the commit index the newest."""
        return self._member.commit_index >= self.term_start_index

    # Proposals

    def on_propose(self, event: Propose) -> None:
        """Append proposals and send them; refuse what cannot be taken."""
        member = self._member
        log, term = member.log, member.term
        crowded = log.last_index - member.commit_index >= UNCOMMITTED_ENTRIES_MAX
        if member.role is not Role.LEADER or self.closed or crowded:
            member.effects.rejected += event.payloads
            return
        if not event.payloads:
            return
        first = log.last_index + 1
        member.append(
            [
                Entry(term, LogIndex(index), ENTRY_DATA, payload)
                for index, payload in enumerate(event.payloads, first)
            ]
        )
        for peer, progress in self.progress.items():
            self._feed(peer, progress)

    # Sending

    def begin_round(self) -> int:
        """Contact every follower now; return the round that their answers will carry."""
        member = self._member
        self._beat_due_ms = member.now_ms + member.config.heartbeat_interval_ms
        number = self._rounds.begin(member.now_ms)
        for peer, progress in self.progress.items():
            if not self._feed(peer, progress):
                self._beat(peer, progress)
        return number

    def _feed(self, peer: NodeId, progress: Progress) -> bool:
        """Send the entries that may go now; tell whether any append left."""
        member = self._member
        log, config = member.log, member.config
        if progress.next_index <= log.base_index:
            if progress.pace is not Pace.SNAPSHOT:
                progress.await_snapshot()
                self._send_chunk(peer, progress)
            return False
        left = False
        while progress.next_index <= log.last_index and progress.may_send(
            config.appends_in_flight_max
        ):
            entries = log.slice_bytes(progress.next_index, config.append_bytes_max)
            self._append(peer, progress, LogIndex(progress.next_index - 1), entries)
            progress.sent(entries[-1].index)
            left = True
        return left

    def _beat(self, peer: NodeId, progress: Progress) -> None:
        """Send an append without entries: contact, and the newest commit index."""
        if progress.pace is Pace.SNAPSHOT:
            self._append(peer, progress, LogIndex(0), ())
            waited_ms = self._member.now_ms - progress.snapshot_sent_ms
            if waited_ms >= self._member.config.election_timeout_min_ms:
                self._send_chunk(peer, progress)
        else:
            self._append(peer, progress, LogIndex(progress.next_index - 1), ())

    def _append(
        self,
        peer: NodeId,
        progress: Progress,
        previous: LogIndex,
        entries: tuple[Entry, ...],
        number: int | None = None,
    ) -> None:
        """Send an append of the present round, or of the round that is named."""
        member = self._member
        previous_term = member.log.term_at(previous)
        if previous_term is None:  # Compacted: say nothing about the log.
            previous, previous_term = LogIndex(0), Term(0)
        progress.commit_sent = min(member.commit_index, LogIndex(previous + len(entries)))
        member.send(
            peer,
            AppendRequest(
                member.node,
                member.term,
                previous,
                previous_term,
                member.commit_index,
                self._rounds.number if number is None else number,
                entries,
                self._rejoin_index(progress),
                progress.rebuilding,
            ),
        )

    def _rejoin_index(self, progress: Progress) -> LogIndex:
        """Return what a rebuilding member must hold, once that is committed without its help."""
        committed = 0 < progress.rejoin_index <= self._member.commit_index
        return progress.rejoin_index if committed else LogIndex(0)

    # Answers

    def on_append_response(self, message: AppendResponse) -> None:
        """Take a follower's word of how far it is, or that it refuses."""
        member = self._member
        if message.term > member.term:
            member.become_follower(message.term)
            return
        progress = self._contact(message.sender, message.term, message.round)
        if progress is None:
            return
        if not self._note_rebuilding(progress, message.rebuilding, message.match_index):
            self._go_on_behind(message.sender, progress, message.match_index)
            return
        if not 0 <= message.match_index <= member.log.last_index and message.success:
            member.rejected_messages += 1
            return
        if message.success:
            if progress.pace is not Pace.SNAPSHOT:
                self._moved = self._moved or message.match_index > progress.match_index
                progress.accepted(message.match_index)
        elif progress.pace is not Pace.SNAPSHOT:
            self._back_up(progress, message)
        self._feed(message.sender, progress)

    def _go_on_behind(self, peer: NodeId, progress: Progress, held: LogIndex) -> None:
        """Send what is behind the place that a follower names, who is not known to be whole.

        What it has said before the loss, it will refuse; what is in flight says nothing any more, for
        its answers are not taken.
        """
        if progress.pace is not Pace.SNAPSHOT:
            progress.probe(min(progress.next_index, LogIndex(max(0, held) + 1)))
            self._feed(peer, progress)

    def append_voters(self, voters: tuple[NodeId, ...]) -> None:
        """Say in the log who votes, which holds at once; judged by ``change.py`` before."""
        member = self._member
        index = LogIndex(member.log.last_index + 1)
        member.append([Entry(member.term, index, ENTRY_VOTERS, encode_voters(voters))])
        for peer, progress in self.progress.items():
            progress.learner = peer in member.learners
        self._moved = True
        for peer, progress in self.progress.items():
            self._feed(peer, progress)

    def _note_rebuilding(self, progress: Progress, loss: int, holds: LogIndex) -> bool:
        """A follower lost its disk, or has made good for that (see ``rebuild.py``).

        False: it is whole, but does not hold what it is whole by.  It has said so before the loss; or
        what it has told of the loss came late, and it has yet to get what it would be whole by.
        """
        if loss == progress.rebuilding:
            return True
        if not loss and holds < progress.rejoin_index:
            self._member.rejected_messages += 1
            return False
        progress.rebuilding, progress.rejoin_index = loss, LogIndex(0)
        self._moved = True
        if loss:
            member = self._member
            progress.rejoin_index = LogIndex(member.log.last_index + 1)
            member.append([Entry(member.term, progress.rejoin_index, ENTRY_NOOP, b"")])
            for peer, each in self.progress.items():
                self._feed(peer, each)
        return True

    def _back_up(self, progress: Progress, message: AppendResponse) -> None:
        """The logs differ below ``next_index``: go back to where they may agree."""
        log = self._member.log
        hint = max(0, message.match_index)
        next_index = LogIndex(log.last_not_above(hint, message.hint_term) + 1)
        if progress.pace is Pace.REPLICATE or next_index < progress.next_index:
            progress.probe(min(next_index, progress.next_index))

    def _contact(self, peer: NodeId, term: Term, number: int) -> Progress | None:
        """Note the contact that an answer proves; None: it is none to this leadership."""
        member = self._member
        progress = self.progress.get(peer)
        if progress is None or term != member.term:
            return None
        if number > self._rounds.number:
            member.rejected_messages += 1
            return None
        began_ms = self._rounds.began_ms(number)
        if began_ms is not None and number > progress.answered_round:
            progress.answered_round = number
            progress.contact_ms = max(progress.contact_ms, began_ms)
        return progress

    def on_contact(self, event: Contact) -> None:
        """A link broke (what was in flight is lost) or came up (find out where the peer is)."""
        progress = self.progress.get(event.node)
        if progress is None:
            return
        # Who has not answered yet is asked at our end, as at the beginning: to take its log for empty
        # would send it a snapshot of what it has.
        known = progress.match_index or self._member.log.last_index
        progress.probe(LogIndex(known + 1))
        if event.up and not self._feed(event.node, progress):
            self._beat(event.node, progress)

    # Snapshots

    def on_snapshot_ready(self, event: SnapshotReady) -> None:
        """The server gave the snapshot asked for: send it to whoever waits."""
        self._snapshot_asked = False
        waiting = [p for p in self.progress.items() if p[1].pace is Pace.SNAPSHOT]
        if not waiting:
            return
        self._snapshot = event  # Should the log have moved past it, sending asks for a newer one.
        for peer, progress in waiting:
            progress.snapshot_position = 0
            self._send_chunk(peer, progress)

    def _send_chunk(self, peer: NodeId, progress: Progress) -> None:
        member, snapshot = self._member, self._snapshot
        if snapshot is None or snapshot.last_index < member.log.base_index:
            self._snapshot = None
            if not self._snapshot_asked:
                self._snapshot_asked = member.effects.snapshot_wanted = True
            return
        position = progress.snapshot_position
        end = position + member.config.append_bytes_max
        progress.snapshot_sent_ms = member.now_ms
        member.send(
            peer,
            SnapshotRequest(
                member.node,
                member.term,
                snapshot.last_index,
                snapshot.last_term,
                position,
                snapshot.data[position:end],
                end >= len(snapshot.data),
                self._rounds.number,
            ),
        )

    def on_snapshot_response(self, message: SnapshotResponse) -> None:
        """Send the next chunk, or go on with the log when the snapshot has been taken over."""
        member = self._member
        if message.term > member.term:
            member.become_follower(message.term)
            return
        progress = self._contact(message.sender, message.term, message.round)
        if progress is None:
            return
        holds = message.last_index if message.installed else LogIndex(0)
        believed = self._note_rebuilding(progress, message.rebuilding, holds)
        if progress.pace is not Pace.SNAPSHOT:
            return
        if message.installed:
            if not 0 <= message.last_index <= member.commit_index:
                member.rejected_messages += 1
                return
            progress.probe(LogIndex(message.last_index + 1))
            if believed:
                progress.accepted(message.last_index)
                self._moved = True
            self._drop_snapshot()
            self._feed(message.sender, progress)
        elif self._snapshot is not None and message.last_index == self._snapshot.last_index:
            if not 0 <= message.position_bytes <= len(self._snapshot.data):
                member.rejected_messages += 1
            elif message.position_bytes != progress.snapshot_position:
                progress.snapshot_position = message.position_bytes
                if message.position_bytes < len(self._snapshot.data):
                    self._send_chunk(message.sender, progress)

    def _drop_snapshot(self) -> None:
        if all(progress.pace is not Pace.SNAPSHOT for progress in self.progress.values()):
            self._snapshot = None

    # Commitment and contact

    def own_log_synced(self) -> None:
        """This member's own disk may count for more."""
        self._moved = True

    def commit(self) -> None:
        """Commit what a majority has on disk; called at the end of a step."""
        member = self._member
        if self._moved:
            self._moved = False
            index = self._reached(lambda one: one.match_index, member.durability.index, 0)
            # Only an entry of our own term commits by counting, and all before it with it: one of
            # an earlier term could still be overwritten (Raft §5.4.2, figure 8).
            if index > member.commit_known and member.log.term_at(index) == member.term:
                member.commit_to(index)

    def tell_commit(self) -> None:
        """Let followers know of a new commit index; called last in a step."""
        commit_index = self._member.commit_index
        for peer, progress in self.progress.items():
            # With an append in flight the next one carries the commit index anyway.
            if (
                progress.commit_sent < commit_index
                and progress.pace is Pace.REPLICATE
                and not progress.in_flight
            ):
                self._append(peer, progress, LogIndex(progress.next_index - 1), (), NO_ROUND)

    def on_tick(self) -> None:
        """Heartbeats, and the leader's own doubt: without a majority it is none (check-quorum)."""
        member = self._member
        if member.role is not Role.LEADER or not self.progress:
            return
        if member.now_ms < self._beat_due_ms:
            return
        if self.has_quorum_contact(member.now_ms):
            self.begin_round()
        else:
            member.become_follower(member.term)

    def has_quorum_contact(self, now_ms: int) -> bool:
        """Tell whether a majority still followed within the last election time-out."""
        silent_ms = now_ms - self._reached(lambda one: one.contact_ms, now_ms, NEVER_MS)
        return silent_ms < self._member.config.election_timeout_min_ms

    def silent(self, voters: Sequence[NodeId]) -> list[NodeId]:
        """Return those of ``voters`` that could decide nothing now: not heard within an election time-out
        of a round that began in this leadership, or without what they had promised."""
        member = self._member
        since_ms = member.now_ms - member.config.election_timeout_min_ms
        answer = {
            peer
            for peer, one in self.progress.items()
            if one.answered_round and one.contact_ms > since_ms and not one.rebuilding
        }
        return [node for node in voters if node != member.node and node not in answer]

    def confirmed_round(self) -> int:
        """Return the newest round that a majority has answered."""
        return self._reached(lambda one: one.answered_round, self._rounds.number, 0)

    def _reached(self, of: Callable[[Progress], int], own: int, never: int) -> int:
        """Return what a majority of the voters has reached; one that does not count: ``never``."""
        values = [
            of(one) if one.counts else never for one in self.progress.values() if not one.learner
        ]
        if self._member.node in self._member.voters:  # Not so when it has just removed itself.
            values.append(own)
        return reached_by_majority(values)

    def next_deadline_ms(self) -> int | None:
        """Return when the next heartbeat is due; None without followers."""
        return self._beat_due_ms if self.progress else None

    def check(self) -> None:
        """Assert what must hold of every follower's numbers."""
        member = self._member
        if member.role is Role.LEADER:
            assert tuple(self.progress) == member.peers, "a follower is missing"
            for progress in self.progress.values():
                progress.check(member.log.last_index, member.config.appends_in_flight_max)
        else:
            assert not self.progress, "only a leader has followers"
