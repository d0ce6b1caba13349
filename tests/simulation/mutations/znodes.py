"""Bugs in the znode tree, its sessions and watches."""

from __future__ import annotations

import sys
from typing import Any

import msgspec

from nodes.coordinator import changes, reads, rewatching
from nodes.coordinator.guests import Guests
from nodes.coordinator.lane import Lane, PendingRequest
from nodes.coordinator.lanes import Lanes
from nodes.coordinator.liveness import SessionLiveness
from nodes.coordinator.openings import Openings
from nodes.coordinator.reads import Reads
from nodes.coordinator.replica import Replica
from nodes.coordinator.server import CoordinatorServer
from nodes.core.znode import operations
from nodes.core.znode.core import Applied, ZnodeCore
from nodes.core.znode.modes import CONTAINER_OWNER, ttl_ms_of
from nodes.core.znode.operations import Attempt
from nodes.core.znode.session import Session
from nodes.core.znode.tree import Tree, Znode
from odradek.coordination import lane
from odradek.coordination import session as sessions
from tests.simulation.mutations.registry import Patch, mutation
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.ids import Zxid
from transport.wire.messages.coordination import (
    Exists,
    GetChildren,
    GetData,
    Owner,
    ProposedWrite,
    Result,
    SessionOperation,
    SetData,
)


@mutation("S14", victims="coordinator")
def watch_after_the_answer() -> list[Patch]:
    """The event of a watch is sent after the answers that the write makes due."""
    original = CoordinatorServer.on_applied

    def on_applied(
        self: CoordinatorServer, write: ProposedWrite, applied: Applied, now: Now
    ) -> None:
        changes, applied.changes = applied.changes, []
        original(self, write, applied, now)
        for change in changes:
            self._lanes.tell(self._context.watches.fire(change), change)

    return [(CoordinatorServer, "on_applied", on_applied)]


@mutation("S14", victims="coordinator")
def missed_watch_not_told() -> list[Patch]:
    """A session that moves is not told what its watches have missed in between."""
    return [(rewatching, "missed", lambda *_: 0)]


@mutation("S13", victims="coordinator", answer_bytes_max=1)
def read_again_behind_what_was_written() -> list[Patch]:
    """A read that found no room in an answer is asked for again behind a write that is done already."""
    return [(lane, "_is_repeatable", lambda _entry: True)]


@mutation("S9", victims="coordinator")
def stored_result_not_replayed() -> list[Patch]:
    """A write that comes to the log twice is applied twice."""
    original = ZnodeCore._apply_operations

    def apply_operations(self: ZnodeCore, write: ProposedWrite, applied: Applied) -> None:
        session = self.sessions.get(write.session_id)
        last = 0 if session is None else session.last_request_id
        for item in write.operations:
            if session is not None and item.request_id <= last:
                attempt = Attempt(self._next_zxid(), write.wall_ms, session.id)
                operations.apply(self.tree, item.operation, attempt)  # type: ignore[arg-type]
                applied.changes += attempt.changes
        original(self, write, applied)

    return [(ZnodeCore, "_apply_operations", apply_operations)]


@mutation("S9", victims="coordinator")
def repeated_write_takes_a_zxid() -> list[Patch]:
    """A write that comes to the log twice changes nothing the second time, but counts."""
    original = ZnodeCore.write_result

    def write_result(self: ZnodeCore, session: Session, request_id: Any) -> Any:
        result = original(self, session, request_id)
        applying = sys._getframe(1).f_code is ZnodeCore._apply_operations.__code__
        if applying and result is not None:
            self._next_zxid()
        return result

    return [(ZnodeCore, "write_result", write_result)]


@mutation("S12", victims="")
def ephemeral_kept_after_its_session() -> list[Patch]:
    """The end of a session leaves its ephemerals behind."""
    return [(Tree, "ephemerals", lambda _self, _session_id: [])]


@mutation("S15", victims="coordinator")
def sequence_number_reused() -> list[Patch]:
    """The deletion of a child gives its sequence number back."""
    original = Znode.after_child

    def after_child(self: Znode, zxid: Any, *, created: bool) -> Znode:
        after = original(self, zxid, created=created)
        return after if created else msgspec.structs.replace(after, creates=after.creates - 1)

    return [(Znode, "after_child", after_child)]


@mutation("S11", victims="coordinator")
def no_grace_from_a_new_leader() -> list[Patch]:
    """A new leader counts the silence before its own time against every session."""
    original = SessionLiveness.begin

    def begin(self: SessionLiveness, sessions: Any, beating: Any, now_ms: int) -> None:
        original(self, [(each, timeout_ms // 2) for each, timeout_ms in sessions], beating, now_ms)

    return [(SessionLiveness, "begin", begin)]


@mutation("S10", victims="broker")
def death_ends_any_incarnation() -> list[Patch]:
    """The notice of a process's death also ends the session of the one started after it."""

    def is_of(self: Session, died: Owner) -> bool:
        return self.owner is not None and self.owner.name == died.name

    return [(Session, "is_of", is_of)]


@mutation(
    "S13",
    victims="coordinator",
    faults=("kill_coordinator", "slow_follower"),
    clients={"members": 9, "setters": 6},
)
def stale_attachment() -> list[Patch]:
    """A server takes over a session without asking whether it has seen what the client has."""

    def attach(self: Openings, request: Any, now: Now) -> None:
        body = request.envelope.body
        session = self._core.sessions.get(body.session_id)
        if session is None:
            self._refuse(request, ErrorCode.SESSION_EXPIRED)
        else:
            self._serve(request, session, now)

    return [(Openings, "_attach", attach)]


@mutation("S13", victims="coordinator")
def read_before_its_turn() -> list[Patch]:
    """A read is done when its request is first looked at, not after the writes before it."""
    early: dict[int, tuple[PendingRequest, dict[int, Any]]] = {}
    advance, do = Lanes._advance, Reads.do

    def advance_early(self: Lanes, lane: Lane, session: Session, pending: PendingRequest) -> Any:
        if id(pending) not in early:
            found = {
                number: do(self._reads, lane.session_id, pending, item.operation)
                for number, item in enumerate(pending.operations)
                if _is_plain_read(item)
            }
            early[id(pending)] = (pending, found)
        return advance(self, lane, session, pending)

    def do_early(self: Reads, session_id: Any, pending: PendingRequest, operation: Any) -> Any:
        known = early.get(id(pending), (pending, {}))[1].get(len(pending.results))
        return known or do(self, session_id, pending, operation)

    return [(Lanes, "_advance", advance_early), (Reads, "do", do_early)]


def _is_plain_read(item: SessionOperation) -> bool:
    operation = item.operation
    return isinstance(operation, GetData | Exists | GetChildren) and not operation.watch


@mutation("S16", victims="coordinator")
def half_a_multi() -> list[Patch]:
    """A multi that fails leaves behind what it had done before."""
    return [(Tree, "roll_back", Tree.commit)]


@mutation("S8", victims="coordinator")
def own_clock_when_applying() -> list[Patch]:
    """A write is stamped with the clock of whoever applies it, not of the leader."""
    original = Replica.apply

    def apply(self: Replica, entries: Any, now: Now) -> None:
        core = self._core

        def applied(write: ProposedWrite) -> Applied:
            return ZnodeCore.apply(core, msgspec.structs.replace(write, wall_ms=now.wall_ms))

        core.apply = applied  # type: ignore[method-assign]
        original(self, entries, now)

    return [(Replica, "apply", apply)]


@mutation("S50", victims="coordinator")
def reads_of_two_states() -> list[Patch]:
    """A multi of reads shows its first znode as the multi before has shown it."""
    multi = Reads._multi
    last: dict[int, Result] = {}

    def stale(self: Reads, *args: Any) -> Result:
        result = multi(self, *args)
        before = last.get(id(self), result).results[0]
        last[id(self)] = result
        return msgspec.structs.replace(result, results=(before, *result.results[1:]))

    return [(Reads, "_multi", stale)]


@mutation("S51", victims="coordinator", clients={"foresters": 3})
def ttl_from_creation() -> list[Patch]:
    """A znode with a TTL goes that long after it was made, though it was set since."""
    is_due = operations.is_due

    def due(tree: Tree, path: str, wall_ms: int) -> bool:
        znode = tree.get(path)
        if znode is not None and ttl_ms_of(znode.owner) is not None:
            wall_ms += znode.mtime - znode.ctime
        return is_due(tree, path, wall_ms)

    return [(operations, "is_due", due)]


@mutation("S51", victims="coordinator", clients={"foresters": 3})
def new_container_swept() -> list[Patch]:
    """A container goes as soon as it is seen to have no child."""
    is_due = operations.is_due

    def due(tree: Tree, path: str, wall_ms: int) -> bool:
        znode = tree.get(path)
        empty = znode is not None and not tree.children_count(path)
        is_container = znode is not None and znode.owner == CONTAINER_OWNER
        return is_due(tree, path, wall_ms) or (empty and is_container)

    return [(operations, "is_due", due)]


@mutation("S52", victims="coordinator", clients={"foresters": 3})
def lasting_watch_not_caught_up() -> list[Patch]:
    """A recursive watch that moves hears nothing of what happened in between."""
    return [(rewatching, "missed_by_lasting", lambda *_: ())]


@mutation("S53", clients={"foresters": 3})
def page_ends_within_a_write() -> list[Patch]:
    """A page of changes that is full is said to reach one write further than it does."""
    original: Any = changes.page

    def page(*args: Any) -> Any:
        found = original(*args)
        short = found is not None and found.through < args[2]
        return found._replace(through=found.through + 1) if short else found

    return [(reads, "page", page)]


@mutation("S54", faults=("scatter_coordinators",), clients={"foresters": 4})
def guest_writes() -> list[Patch]:
    """A coordinator without a quorum does the writes of read-only sessions on its own tree."""
    original = Guests._do

    def do(self: Guests, session_id: Any, pending: Any, item: SessionOperation) -> Result:
        if isinstance(item.operation, SetData):
            attempt = Attempt(Zxid(self._core.zxid + 1), 0, session_id)
            return operations.apply(self._core.tree, item.operation, attempt)
        return original(self, session_id, pending, item)

    return [(Guests, "_do", do), (sessions, "is_read", lambda _operation: True)]


@mutation("S55", clients={"guards": 3})
def acl_not_asked() -> list[Patch]:
    """A write of a znode's data does not ask its ACL."""
    return [(operations, "allows", lambda *_: True)]
