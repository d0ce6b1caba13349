"""Reads whose turn has come: answered from this server's tree, with the watches that they set.

Also what a session asks of this server alone: to watch, and to watch no more.  Bounds the answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nodes.coordinator.changes import page
from nodes.coordinator.context import CoordinatorContext
from nodes.coordinator.lane import PendingRequest
from nodes.core.znode.paths import is_valid
from nodes.core.znode.reads import Reader
from nodes.core.znode.watch import ANY, CHILDREN, DATA, EXISTS, KINDS, PERSISTENT, RECURSIVE
from nodes.runtime.strangers import is_stranger
from transport.wire.errors import ErrorCode
from transport.wire.ids import SessionId
from transport.wire.messages.coordination import (
    AddAuth,
    AddWatch,
    CountChildren,
    Exists,
    GetAcl,
    GetChanges,
    GetChildren,
    GetData,
    GetEphemerals,
    ReadMulti,
    ReadOperation,
    RemoveWatches,
    Result,
    Sync,
)

FRAME_BYTES_MAX = 15 * 1024 * 1024
"""Above it an answer, with what is around it, would not be taken by the codec of our own clients, who would
ask for it for ever: one znode may have more names below it than that."""
NAME_BYTES = 5
"""What a name takes beside its characters."""
LOOKED_AT_BYTES = 16
"""Counted for each znode or change that was looked at: a request of many counts has its end, too."""

READS = frozenset(
    {
        GetData,
        Exists,
        GetChildren,
        GetAcl,
        AddAuth,
        GetEphemerals,
        CountChildren,
        ReadMulti,
        Sync,
        GetChanges,
        AddWatch,
        RemoveWatches,
    }
)
"""Types of operations that any server answers by itself, once it is their turn."""

_WATCH_KINDS: dict[type, str] = {GetData: DATA, Exists: EXISTS, GetChildren: CHILDREN}


class Reads:
    """Answers reads of the sessions served here."""

    def __init__(self, context: CoordinatorContext) -> None:
        self._context = context
        self._core = context.core
        self._watches = context.watches
        self._answer_bytes_max = context.config.coordinator.answer_bytes_max
        """Of data in one answer; the rest is OVERLOADED."""
        self._handlers: dict[type, Callable[[SessionId, PendingRequest, Any], Result]] = {
            GetData: self._watching,
            Exists: self._watching,
            GetChildren: self._watching,
            GetAcl: self._plain,
            AddAuth: self._prove,
            GetEphemerals: self._plain,
            CountChildren: self._plain,
            ReadMulti: self._multi,
            GetChanges: self._changes,
            AddWatch: self._add_watch,
            RemoveWatches: self._remove_watches,
        }

    def do(self, session_id: SessionId, pending: PendingRequest, operation: Any) -> Result:
        """Answer one read of ``pending``, of the session ``session_id``."""
        if pending.answer_bytes > self._answer_bytes_max:
            return self._said(ErrorCode.OVERLOADED)
        return self._handlers[type(operation)](session_id, pending, operation)

    def _watching(
        self,
        session_id: SessionId,
        pending: PendingRequest,
        operation: GetData | Exists | GetChildren,
    ) -> Result:
        result = self._plain(session_id, pending, operation)
        if operation.watch and self._sets_watch(operation, result):
            kind = _WATCH_KINDS[type(operation)]
            if not self._watches.add(session_id, kind, operation.path):
                return self._said(ErrorCode.OVERLOADED)
        return result

    def _plain(
        self, session_id: SessionId, pending: PendingRequest, operation: ReadOperation
    ) -> Result:
        result = self._core.read(operation, Reader(session_id, pending.identities))
        size_bytes = _size_bytes(result)
        too_large = pending.answer_bytes + size_bytes > FRAME_BYTES_MAX
        if too_large and not is_stranger(pending.request.origin):
            return self._said(ErrorCode.OVERLOADED)
        pending.answer_bytes += size_bytes + LOOKED_AT_BYTES * result.count
        return result

    def _multi(
        self, session_id: SessionId, pending: PendingRequest, operation: ReadMulti
    ) -> Result:
        """Nothing is applied between these reads: they see one state."""
        limit = self._context.config.coordinator.outstanding_operations_max
        if len(operation.operations) > limit:
            return self._said(ErrorCode.BAD_ARGUMENTS)
        results = [self.do(session_id, pending, each) for each in operation.operations]
        return Result(int(ErrorCode.NONE), self._core.zxid, results=tuple(results))

    @staticmethod
    def _sets_watch(operation: GetData | Exists | GetChildren, result: Result) -> bool:
        if result.error == ErrorCode.NONE:
            return True
        return type(operation) is Exists and result.error == ErrorCode.NO_NODE

    def _prove(self, session_id: SessionId, pending: PendingRequest, operation: AddAuth) -> Result:
        """It counts since its request was admitted; here is only said whether it did."""
        proves = self._context.identities.proves(operation)
        return self._said(ErrorCode.NONE if proves else ErrorCode.AUTH_FAILED)

    def _add_watch(
        self, session_id: SessionId, pending: PendingRequest, operation: AddWatch
    ) -> Result:
        if not is_valid(operation.path):
            return self._said(ErrorCode.BAD_ARGUMENTS)
        kind = RECURSIVE if operation.recursive else PERSISTENT
        added = self._watches.add(session_id, kind, operation.path)
        return self._said(ErrorCode.NONE if added else ErrorCode.OVERLOADED)

    def _remove_watches(
        self, session_id: SessionId, pending: PendingRequest, operation: RemoveWatches
    ) -> Result:
        if operation.kind not in (*KINDS, ANY) or not is_valid(operation.path):
            return self._said(ErrorCode.BAD_ARGUMENTS)
        removed = self._watches.remove(session_id, operation.kind, operation.path)
        return self._said(ErrorCode.NONE if removed else ErrorCode.NO_WATCHER)

    def _changes(
        self, session_id: SessionId, pending: PendingRequest, operation: GetChanges
    ) -> Result:
        if not is_valid(operation.prefix) or operation.since < 0 or operation.limit < 1:
            return self._said(ErrorCode.BAD_ARGUMENTS)
        history = self._context.history
        left_bytes = self._answer_bytes_max - pending.answer_bytes
        found = page(history, operation, self._core.zxid, pending.identities, left_bytes)
        if found is None:
            return Result(int(ErrorCode.HISTORY_COMPACTED), history.begins_at)
        pending.answer_bytes += found.size_bytes + LOOKED_AT_BYTES * len(history)
        return Result(int(ErrorCode.NONE), found.through, changes=tuple(found.changes))

    def _said(self, error: ErrorCode) -> Result:
        return Result(int(error), self._core.zxid)


def _size_bytes(result: Result) -> int:
    """Return roughly what a result takes in its answer."""
    size_bytes = len(result.data) if result.data else 0
    if result.children:
        size_bytes += NAME_BYTES * len(result.children) + sum(map(_length_bytes, result.children))
    for entry in result.acl:
        size_bytes += 2 * NAME_BYTES + _length_bytes(entry.scheme) + _length_bytes(entry.id)
    return size_bytes


def _length_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def text_bytes(text: str) -> int:
    """Return how many bytes a text takes at most."""
    return len(text) if text.isascii() else 4 * len(text)
