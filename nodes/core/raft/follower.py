"""The follower's side of replication: appends and snapshots of the leader (Raft §5.3, §7).

Acknowledgements of entries leave after the sync that makes them durable; contact with the leader is
answered at once, with what is durable already, so that a slow disk looks slow and not dead.
"""

from __future__ import annotations

from itertools import pairwise

from nodes.core.raft.events import Role, SnapshotInstalled
from nodes.core.raft.member import Member
from transport.wire.ids import LogIndex, NodeId, Term
from transport.wire.messages.raft import (
    ENTRY_VOTERS,
    NO_ROUND,
    AppendRequest,
    AppendResponse,
    Entry,
    SnapshotRequest,
    SnapshotResponse,
    decode_voters,
)

NO_TERM = Term(0)
SNAPSHOT_BYTES_MAX = 1024 * 1024 * 1024
"""No znode tree held in memory is larger; a peer that sends more is not believed."""


class Follower:
    """What a member does for its leader."""

    __slots__ = ("_buffer", "_coming", "_installing_round", "_member")

    def __init__(self, member: Member) -> None:
        self._member = member
        self._buffer = bytearray()
        """Of the snapshot that is coming in, so far."""
        self._coming: tuple[NodeId, Term, LogIndex, Term] | None = None
        """(leader, its term, last index, last term) of that snapshot."""
        self._installing_round = 0

    def on_append(self, message: AppendRequest) -> None:
        """Make the log as the leader's, as far as the message reaches."""
        member = self._member
        if not self._follow(message.sender, message.term):
            # Tell a leader of the past that it is one; without this it could lead on for ever.
            self._respond(message, success=False, match_index=LogIndex(0))
            return
        if not _is_well_formed(message):
            member.rejected_messages += 1
            return
        member.leader_commit = message.commit_index
        previous = message.previous_index
        if member.installing and (previous > 0 or message.entries):
            return  # The log is about to be replaced.
        if previous < member.commit_known:
            # What is committed is the same everywhere.
            self._contact(message, member.commit_known if previous > 0 else LogIndex(0))
        elif member.log.term_at(previous) != message.previous_term:
            self._refuse(message)
        else:
            self._take(message)

    def _take(self, message: AppendRequest) -> None:
        member = self._member
        new = self._new_entries(message.entries)
        if new is None:
            member.rejected_messages += 1
            return
        match_index = LogIndex(message.previous_index + len(message.entries))
        if new:
            if new[0].index <= member.log.last_index:
                member.truncate(new[0].index)
            member.append(new)
        member.commit_to(min(message.commit_index, match_index))
        if new:
            # Acknowledged when durable, and not before.
            response = self._response(message, success=True, match_index=match_index)
            member.send_after_sync(message.sender, response)
        else:
            self._contact(message, match_index)

    def _new_entries(self, entries: tuple[Entry, ...]) -> tuple[Entry, ...] | None:
        """Return what the log lacks or has otherwise; None where that was committed already."""
        log = self._member.log
        if entries and entries[0].index == log.last_index + 1:
            return entries
        for place, entry in enumerate(entries):
            if log.term_at(entry.index) != entry.term:
                return entries[place:] if entry.index > self._member.commit_known else None
        return ()

    def _contact(self, message: AppendRequest, match_index: LogIndex) -> None:
        """Answer at once, with what of the match is durable; a word of commits wants no answer."""
        if message.round == NO_ROUND:
            return
        durable = min(match_index, self._member.durability.index)
        self._respond(message, success=True, match_index=durable)

    def _refuse(self, message: AppendRequest) -> None:
        """The logs differ at ``previous_index``: hint where they may agree."""
        log = self._member.log
        hint = log.last_not_above(message.previous_index, message.previous_term)
        self._respond(
            message, success=False, match_index=hint, hint_term=log.term_at(hint) or NO_TERM
        )

    def _respond(
        self,
        message: AppendRequest,
        *,
        success: bool,
        match_index: LogIndex,
        hint_term: Term = NO_TERM,
    ) -> None:
        response = self._response(
            message, success=success, match_index=match_index, hint_term=hint_term
        )
        self._member.answer(message.sender, response)

    def _response(
        self,
        message: AppendRequest,
        *,
        success: bool,
        match_index: LogIndex,
        hint_term: Term = NO_TERM,
    ) -> AppendResponse:
        member = self._member
        return AppendResponse(
            member.node,
            member.term,
            success,
            match_index,
            message.round,
            hint_term,
            member.rebuilding,
        )

    def _follow(self, sender: NodeId, term: Term) -> bool:
        """Take ``sender`` for the leader of ``term``, unless that term is over.

        The last words of a dead leader are taken into the log, but do not make it live.
        """
        member = self._member
        if term < member.term:
            return False
        if term == member.term:
            assert member.role is not Role.LEADER, "two leaders in one term"
        member.follow(term, sender)
        return True

    # Snapshots

    def on_snapshot(self, message: SnapshotRequest) -> None:
        """Gather a chunk; hand the snapshot over for installation when it is whole."""
        member = self._member
        if not self._follow(message.sender, message.term):
            # Answered so that a leader of the past hears of the new term.
            self._report(message, 0)
            return
        if not 0 < message.last_term <= message.term:
            member.rejected_messages += 1
            return
        if member.installing:
            self._report(message, len(self._buffer))
            return
        if member.log.term_at(message.last_index) == message.last_term:
            # All of it is in the log, and acknowledged entries may follow it: keep them.
            member.commit_to(message.last_index)
        if message.last_index <= member.commit_known:
            member.send_after_sync(message.sender, self._state(message, 0, installed=True))
            return
        coming = (message.sender, message.term, message.last_index, message.last_term)
        if coming != self._coming:
            self._coming = coming
            self._buffer.clear()
        if message.position_bytes == len(self._buffer):
            if len(self._buffer) + len(message.data) > SNAPSHOT_BYTES_MAX:
                member.rejected_messages += 1
                return
            self._buffer += message.data
            if message.done:
                member.installing = True
                member.effects.install = (
                    message.last_index,
                    message.last_term,
                    bytes(self._buffer),
                )
                self._installing_round = message.round
        self._report(message, len(self._buffer))

    def on_installed(self, event: SnapshotInstalled) -> None:
        """The server stands on the snapshot now: so does the log."""
        member = self._member
        assert member.installing, "nothing was being installed"
        assert event.last_index > member.commit_known, "a snapshot of the past"
        member.installing = False
        self._buffer.clear()
        coming, self._coming = self._coming, None
        member.reset_log(event.last_index, event.last_term, event.voters)
        if coming is not None and coming[1] == member.term:
            response = SnapshotResponse(
                member.node,
                member.term,
                event.last_index,
                0,
                True,
                self._installing_round,
                member.rebuilding,
            )
            member.answer(coming[0], response)

    def _report(self, message: SnapshotRequest, position_bytes: int) -> None:
        response = self._state(message, position_bytes, installed=False)
        self._member.answer(message.sender, response)

    def _state(
        self, message: SnapshotRequest, position_bytes: int, *, installed: bool
    ) -> SnapshotResponse:
        member = self._member
        return SnapshotResponse(
            member.node,
            member.term,
            message.last_index,
            position_bytes,
            installed,
            message.round,
            member.rebuilding,
        )


def _is_well_formed(message: AppendRequest) -> bool:
    """Tell whether indexes follow each other and terms never fall, nor exceed the leader's."""
    if message.previous_index < 0 or not 0 <= message.previous_term <= message.term:
        return False
    entries = message.entries
    if not entries:
        return True
    first, last = entries[0], entries[-1]
    return (
        first.index == message.previous_index + 1
        and first.term >= message.previous_term
        and last.term <= message.term
        and all(a.index + 1 == b.index and a.term <= b.term for a, b in pairwise(entries))
        and all(e.kind != ENTRY_VOTERS or decode_voters(e.data) for e in entries)
    )
