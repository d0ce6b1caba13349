"""Bugs in the quorum."""

from __future__ import annotations

from typing import Any

from nodes.core.raft.core import RaftCore
from nodes.core.raft.follower import Follower
from nodes.core.raft.log import Log
from nodes.core.raft.member import Member
from nodes.core.raft.quorum import reached_by_majority
from nodes.core.raft.replication import Replication
from nodes.storage.raft_log import RaftLog
from tests.simulation.mutations.registry import Patch, mutation
from transport.wire.ids import NO_NODE, NodeId
from transport.wire.messages.raft import AppendRequest, AppendResponse, Entry, RaftMessage


@mutation("S1", victims="coordinator")
def vote_forgotten_at_restart() -> list[Patch]:
    """A member that restarts does not remember whom it voted for."""
    original = Member.__init__

    def init(self: Member, *args: Any) -> None:
        original(self, *args)
        self.voted_for = NO_NODE

    return [(Member, "__init__", init)]


@mutation("S5", victims="coordinator")
def hard_state_not_written() -> list[Patch]:
    """Term and vote never reach the disk."""
    original = RaftLog.write

    def write(self: RaftLog, truncate_from: Any, entries: Any, _hard_state: Any) -> None:
        original(self, truncate_from, entries, None)

    return [(RaftLog, "write", write)]


@mutation("S4", faults=("isolate_coordinator", "kill_raft_leader"))
def vote_without_the_log_rule() -> list[Patch]:
    """A vote is given to whoever asks, however short its log."""
    return [(Log, "is_behind", lambda _self, _index, _term: True)]


@mutation("S4", victims="coordinator")
def older_term_committed_by_counting() -> list[Patch]:
    """A leader commits what a majority holds, also an entry of an earlier term (figure 8)."""

    def commit(self: Replication) -> None:
        member = self._member
        if self._moved:
            self._moved = False
            matches = [progress.match_index for progress in self.progress.values()]
            matches.append(member.durability.index)
            member.commit_to(reached_by_majority(matches))

    return [(Replication, "commit", commit)]


@mutation("S32", faults=("isolate_raft_leader",), observers=2)
def learner_counted() -> list[Patch]:
    """A leader takes learners for voters when it asks what a majority has."""

    def reached(self: Replication, of: Any, own: int, _never: int) -> int:
        return reached_by_majority([own, *map(of, self.progress.values())])

    return [(Replication, "_reached", reached)]


@mutation("S6", victims="coordinator")
def acknowledged_before_the_sync() -> list[Patch]:
    """A follower acknowledges entries that its disk does not have yet."""
    original = Member.send_after_sync

    def send_after_sync(self: Member, to: NodeId, message: RaftMessage) -> None:
        if isinstance(message, AppendResponse):
            self.send(to, message)
        else:
            original(self, to, message)

    return [(Member, "send_after_sync", send_after_sync)]


@mutation("S2", victims="coordinator")
def conflicting_entries_kept() -> list[Patch]:
    """A follower keeps what it has, also where the leader has something else."""

    def new_entries(self: Follower, entries: tuple[Entry, ...]) -> tuple[Entry, ...] | None:
        last_index = self._member.log.last_index
        return tuple(entry for entry in entries if entry.index > last_index)

    return [(Follower, "_new_entries", new_entries)]


@mutation("S3", faults=("isolate_raft_leader",))
def committed_beyond_the_match() -> list[Patch]:
    """A follower takes the leader's commit index for its own log before the two were compared."""
    original = Follower.on_append

    def on_append(self: Follower, message: AppendRequest) -> None:
        member = self._member
        if message.term >= member.term:
            member.commit_to(min(message.commit_index, member.log.last_index))
        original(self, message)

    return [(Follower, "on_append", on_append)]


@mutation("S7", faults=("_slow_network", "kill_raft_leader"))
def sync_without_a_confirmed_round() -> list[Patch]:
    """A leader answers a read at once: before a majority confirms it, or its term's first commit."""
    return [
        (Replication, "confirmed_round", lambda self: self._rounds.number),
        (Replication, "has_committed_in_term", property(lambda _self: True)),
    ]


@mutation("S7", faults=("isolate_raft_leader",))
def leader_without_check_quorum() -> list[Patch]:
    """A leader that nobody follows any more goes on answering reads."""
    return [
        (Replication, "confirmed_round", lambda self: self._rounds.number),
        (Replication, "has_quorum_contact", lambda _self, _now_ms: True),
        (RaftCore, "has_quorum_contact", lambda _self, _now: True),
    ]
