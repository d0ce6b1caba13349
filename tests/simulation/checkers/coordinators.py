"""Watches the coordinators after each of their turns, and feeds the checkers with what they are.

Looks from outside at live servers and changes nothing.  What has not changed since the last turn is
not looked at again; what is costly is sampled.
"""

from __future__ import annotations

from nodes.coordinator.server import CoordinatorServer
from nodes.core.raft.events import Role
from nodes.core.raft.member import Member
from tests.simulation.checkers.acknowledged_durable import check_acknowledged
from tests.simulation.checkers.committed_kept import CommittedKept
from tests.simulation.checkers.ephemerals import check_owners
from tests.simulation.checkers.leader_completeness import LeaderCompleteness
from tests.simulation.checkers.log_matching import LogMatching
from tests.simulation.checkers.multi_whole import check_pair
from tests.simulation.checkers.one_controller import check_fenced
from tests.simulation.checkers.one_leader_per_term import OneLeaderPerTerm
from tests.simulation.checkers.same_state import EVERY_ENTRIES, SameState
from tests.simulation.checkers.session_grace import check_grace
from tests.simulation.checkers.session_model import SessionModel
from tests.simulation.checkers.swept import check_forest
from tests.simulation.checkers.terms_forward import TermsForward
from tests.simulation.checkers.truly_synced import TrulySynced
from tests.simulation.checkers.voters import VotersDecide
from tests.simulation.cluster import coordinator_of
from tests.simulation.process import SimulatedProcess
from tests.simulation.world import World
from transport.wire.ids import NodeId
from transport.wire.messages.raft import Entry


class CoordinatorWatch:
    """All that is checked of the coordinators."""

    def __init__(self, world: World, synced: TrulySynced) -> None:
        self._world = world
        self._synced = synced
        self._leaders = OneLeaderPerTerm()
        self._terms = TermsForward()
        self._voters = VotersDecide()
        self._matching = LogMatching(self._on_entry)
        self.model = SessionModel()
        self._committed = CommittedKept(self.model.apply)
        self._completeness = LeaderCompleteness(self._committed)
        self._state = SameState()
        self._emptied: set[NodeId] = set()
        """Members with a new disk, of which their leader may not know yet."""
        self._processes: dict[str, SimulatedProcess] = {}
        self._seen: dict[str, tuple[object, ...]] = {}
        self._hosts: dict[NodeId, str] = {}
        self._members: dict[NodeId, Member] = {}
        """Of the live processes, by number."""

    def look(self, process: SimulatedProcess, server: CoordinatorServer) -> None:
        """Take a coordinator after a turn."""
        host = process.host
        if not server._started:
            return
        member = server._quorum._raft._member
        if self._processes.get(host) is not process:
            self._processes[host] = process
            self._restarted(host, member)
        self._synced.look_at_journal(host, server._quorum)
        self._members[member.node] = member
        self._hosts[member.node] = host
        self._voters.look(member)
        if member.role is Role.LEADER:
            progress = server._quorum._raft._replication.progress
            if self._emptied:
                self._emptied -= {node for node, one in progress.items() if one.match_index == 0}
            check_acknowledged(member, progress, self._members, self._lives)
        log = member.log
        state = (
            member.term,
            member.voted_for,
            member.role,
            member.commit_index,
            log.last_index,
            log.last_term,
            member.durability.hard_state_pending,
            server._replica.applied_index,
        )
        if self._seen.get(host) != state:
            self._seen[host] = state
            self._look_at_member(host, member)
            self._look_at_state(host, int(server._replica.applied_index), server)

    def finish(self) -> None:
        """After everything has healed."""
        for host, process in self._processes.items():
            server = coordinator_of(process)
            if process.alive and server is not None and server._started:
                now_ms = self._world.now_us // 1_000
                self._committed.finish(host, server._quorum._raft._member, now_ms)
                index = int(server._replica.applied_index)
                self._state.compare(host, index, server._context.core, server._machine)

    def _restarted(self, host: str, member: Member) -> None:
        self._seen.pop(host, None)
        if member.term == 0 and member.log.last_index == 0:
            self._leaders.forget(member.node)
            self._voters.forget(member.node)
            self._emptied.add(member.node)
            self._terms.forget(host)
        for checker in (self._terms, self._matching, self._committed, self._state):
            checker.restarted(host)

    def _lives(self, node: NodeId) -> bool:
        if node in self._emptied:
            return False
        process = self._processes.get(self._hosts.get(node, ""))
        return process is not None and process.alive

    def _look_at_member(self, host: str, member: Member) -> None:
        self._leaders.look(member, self._world.now_us // 1_000)
        self._terms.look(host, member)
        self._matching.look(host, member.log)
        self._completeness.look(member)
        self._committed.look(host, member, self._world.now_us // 1_000)

    def _on_entry(self, entry: Entry) -> None:
        check_grace(entry, self._leaders, self.model, self._world.now_us // 1_000)

    def _look_at_state(self, host: str, index: int, server: CoordinatorServer) -> None:
        core = server._context.core
        self._state.look(host, index, core, server._machine)
        check_pair(host, core.tree)
        check_fenced(host, core.tree)
        check_owners(host, core.tree, core.sessions._sessions)
        if index == self.model.index:
            check_forest(host, core.tree, self.model.forest)
        if index % EVERY_ENTRIES == 0:
            self.model.check(host, index, core.zxid, core.sessions._sessions)
