"""Who votes, changed one member at a time, through the log (thesis §4).

An entry that names the voters holds from when it is in a log, committed or not, so that any two
majorities, of the voters before and after, share a member.  For that the changes must differ by one
member, each must be committed before the next, and, as was found later ("bug in single-server
membership changes", raft-dev, 2015), a leader must have committed an entry of its own term before
its first: else its change and one that an earlier leader left uncommitted need share no member.
"""

from __future__ import annotations

from collections.abc import Sequence

from nodes.core.raft.events import ChangeVoters, Forget, Role
from nodes.core.raft.member import Member
from nodes.core.raft.progress import Pace
from nodes.core.raft.quorum import majority
from nodes.core.raft.replication import Replication
from transport.wire.ids import NodeId

LAG_MAX = 1_000
"""A member that lacks more entries than this would hold up commits once it votes."""


class Change:
    """Judges changes of the voters; ends the leadership of one that removed itself."""

    __slots__ = ("_member", "_replication")

    def __init__(self, member: Member, replication: Replication) -> None:
        self._member = member
        self._replication = replication

    def on_change(self, event: ChangeVoters) -> None:
        """Append a change, or say in ``voters_refused`` why not."""
        refusal = self._refusal(event)
        if refusal:
            self._member.effects.voters_refused = refusal
        else:
            self._replication.append_voters(tuple(sorted(event.voters)))

    def _refusal(self, event: ChangeVoters) -> str:
        member, replication = self._member, self._replication
        if member.role is not Role.LEADER or replication.closed:
            return "another member leads"
        if not replication.has_committed_in_term:
            return "this leader is too new: try again"
        if member.voters_index > member.commit_index:
            return "the change before is not committed yet: try again"
        changed = sorted(set(event.voters) ^ set(member.voters))
        if len(changed) != 1 or len(set(event.voters)) != len(event.voters):
            return "one member can be changed at a time"
        if not event.voters:
            return "somebody has to vote"
        if changed[0] in event.voters:
            progress = replication.progress.get(changed[0])
            if not member.is_known(changed[0]) or progress is None:
                return "it is no member of this cluster"
            lag = member.log.last_index - progress.match_index
            if progress.pace is not Pace.REPLICATE or progress.rebuilding or lag > LAG_MAX:
                return "it has not caught up yet: try again"
        return self._silence(event.voters)

    def _silence(self, voters: Sequence[NodeId]) -> str:
        """Return who keeps these from deciding anything together; empty: a majority of them answers."""
        silent = self._replication.silent(voters)
        if len(voters) - len(silent) >= majority(len(voters)):
            return ""
        names = " and ".join(map(str, silent))
        return f"no majority would be left while {names} cannot count: mend or remove that first, or try again"

    def on_forget(self, event: Forget) -> None:
        """Send nothing to a member any more, and take nothing of it."""
        self._member.forget(event.node)
        self._replication.progress.pop(event.node, None)

    def on_tick(self) -> None:
        """Follow, once it is committed that this member does not vote."""
        member = self._member
        committed = member.voters_index <= member.commit_index
        if member.role is Role.LEADER and committed and member.node not in member.voters:
            member.become_follower(member.term)
