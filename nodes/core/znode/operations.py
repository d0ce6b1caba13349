"""Write operation type -> how it is applied to the tree.

Each function judges first and changes afterwards, so that a refused operation has changed nothing.
The order of the judgements, and so which of several errors is named, is ZooKeeper's
(PrepRequestProcessor).  Sessions and watches are not known here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from nodes.core.znode.acl import OPEN, Acls, allows, normalized
from nodes.core.znode.modes import CONTAINER_OWNER, mode_of, owner_of, ttl_ms_of
from nodes.core.znode.paths import ROOT, is_valid, is_valid_prefix, parent_of
from nodes.core.znode.reserved import RESERVED, may_write
from nodes.core.znode.tree import Tree, Znode, new_znode
from nodes.core.znode.watch import TreeChange
from transport.wire.errors import ErrorCode
from transport.wire.ids import SessionId, Zxid
from transport.wire.messages.coordination import (
    ADMIN,
    ANY_VERSION,
    CREATE,
    DELETE,
    NODE_CREATED,
    NODE_DATA_CHANGED,
    NODE_DELETED,
    READ,
    WRITE,
    Check,
    CloseSession,
    Create,
    Delete,
    Identity,
    Multi,
    Refused,
    Result,
    SetAcl,
    SetData,
    WriteOperation,
)

NONE = int(ErrorCode.NONE)
LONG_ACL_ENTRIES = 16
"""What shorter ones say is found as fast as remembered."""


@dataclass(slots=True)
class Attempt:
    """One write operation on its way: under which zxid, when, for whom; and what came of it."""

    zxid: Zxid
    wall_ms: int
    """As stamped by the leader."""
    session_id: SessionId
    identities: tuple[Identity, ...] = ()
    """Whom ACLs are to allow it."""
    changes: list[TreeChange] = field(default_factory=list)
    quotas_passed: list[str] = field(default_factory=list)
    """Paths whose soft quota it passed."""
    ends_session: bool = False
    verdicts: dict[tuple[int, int], tuple[Acls, bool]] = field(default_factory=dict)
    """What long ACLs say, by which one it is and the permission: each is kept, so that it stays that one."""

    def may(self, acl: Acls, permission: int) -> bool:
        """Tell whether an ACL allows it. A long one is gone through once: a multi may ask it ten thousand
        times, on every member at once."""
        if len(acl) < LONG_ACL_ENTRIES:
            return not acl or allows(acl, permission, self.identities)
        known = self.verdicts.get((id(acl), permission))
        if known is None:
            known = acl, allows(acl, permission, self.identities)
            self.verdicts[id(acl), permission] = known
        return known[1]


# Writes


def apply(tree: Tree, operation: WriteOperation, attempt: Attempt) -> Result:
    """Apply one write operation, or answer why not; then the tree is as before."""
    if isinstance(operation, Create | Delete | SetData | SetAcl | Check):
        about_acl = isinstance(operation, SetAcl)
        if operation.path.startswith(ROOT) and not may_write(
            operation.path, attempt.identities, acl=about_acl
        ):
            return _refuse(ErrorCode.NO_AUTH, attempt)
    return _APPLY[type(operation)](tree, operation, attempt)


def _create(tree: Tree, operation: Create, attempt: Attempt) -> Result:
    path = operation.path
    mode = mode_of(operation.mode, operation.ttl_ms)
    if mode is None:
        return _refuse(ErrorCode.BAD_ARGUMENTS, attempt)
    if not (is_valid_prefix(path) if mode.sequential else is_valid(path)):
        return _refuse(ErrorCode.BAD_ARGUMENTS, attempt)
    acl = normalized(operation.acl, attempt.identities) if operation.acl else OPEN
    if acl is None:
        return _refuse(ErrorCode.INVALID_ACL, attempt)
    parent_path = parent_of(path)
    parent = tree.get(parent_path)
    if parent is None:
        return _refuse(ErrorCode.NO_NODE, attempt)
    if not attempt.may(parent.acl, CREATE):
        return _refuse(ErrorCode.NO_AUTH, attempt)
    if mode.sequential:
        path = f"{path}{parent.creates:010d}"
    if tree.get(path) is not None:
        return _refuse(ErrorCode.NODE_EXISTS, attempt)
    if parent.owner > 0:
        return _refuse(ErrorCode.NO_CHILDREN_FOR_EPHEMERALS, attempt)
    if tree.quotas.by_path and not _fits(tree, path, 1, len(operation.data), attempt):
        return _refuse(ErrorCode.QUOTA_EXCEEDED, attempt)
    owner = owner_of(mode, attempt.session_id, operation.ttl_ms)
    znode = new_znode(operation.data, tree.shared_acl(acl), attempt.zxid, attempt.wall_ms, owner)
    tree.create(path, znode, parent_path)
    attempt.changes.append(TreeChange(NODE_CREATED, path, attempt.zxid, znode, parent.acl))
    return Result(NONE, attempt.zxid, path, None, tree.stat(path, znode))


def _delete(tree: Tree, operation: Delete, attempt: Attempt) -> Result:
    path = operation.path
    if path in RESERVED or not is_valid(path):
        return _refuse(ErrorCode.BAD_ARGUMENTS, attempt)
    znode, parent = tree.get(path), tree.get(parent_of(path))
    if parent is not None and not attempt.may(parent.acl, DELETE):
        return _refuse(ErrorCode.NO_AUTH, attempt)
    if znode is None:
        return _refuse(ErrorCode.NO_NODE, attempt)
    if operation.version not in (ANY_VERSION, znode.version):
        return _refuse(ErrorCode.BAD_VERSION, attempt)
    if tree.children_count(path):
        return _refuse(ErrorCode.NOT_EMPTY, attempt)
    remove(tree, path, attempt)
    return Result(NONE, attempt.zxid)


def remove(tree: Tree, path: str, attempt: Attempt) -> None:
    """Remove a childless znode that is there: by a delete, with its session, or when it is due."""
    znode = tree.delete(path, attempt.zxid)
    parent_acl = tree.znodes[parent_of(path)].acl
    attempt.changes.append(TreeChange(NODE_DELETED, path, attempt.zxid, znode, parent_acl))


def is_due(tree: Tree, path: str, wall_ms: int) -> bool:
    """Tell whether a container or a znode with a TTL should go: judged alike by leader and log.

    A container once its last child has gone; a znode with a TTL once it has no child and was not
    set for so long.
    """
    znode = tree.get(path)
    if znode is None or znode.owner >= 0 or tree.children_count(path):
        return False
    if znode.owner == CONTAINER_OWNER:
        return znode.creates > 0
    ttl_ms = ttl_ms_of(znode.owner)
    return ttl_ms is not None and wall_ms - znode.mtime > ttl_ms


def _set_data(tree: Tree, operation: SetData, attempt: Attempt) -> Result:
    path = operation.path
    znode = tree.get(path)
    error = _judge(path, znode, WRITE, operation.version, attempt)
    if znode is None or error is not None:
        return _refuse(error or ErrorCode.NO_NODE, attempt)
    more_bytes = len(operation.data) - len(znode.data)
    if tree.quotas.by_path and not _fits(tree, path, 0, more_bytes, attempt):
        return _refuse(ErrorCode.QUOTA_EXCEEDED, attempt)
    znode = znode.with_data(operation.data, attempt.zxid, attempt.wall_ms)
    tree.replace(path, znode)
    attempt.changes.append(TreeChange(NODE_DATA_CHANGED, path, attempt.zxid, znode))
    return Result(NONE, attempt.zxid, "", None, tree.stat(path, znode))


def _fits(tree: Tree, path: str, count: int, size_bytes: int, attempt: Attempt) -> bool:
    """Judge by the quotas; to be asked last, when nothing else refuses."""
    if tree.quotas.refuses(path, count, size_bytes):
        return False
    attempt.quotas_passed += tree.quotas.soft_passed(path, count, size_bytes)
    return True


def _set_acl(tree: Tree, operation: SetAcl, attempt: Attempt) -> Result:
    path = operation.path
    if not is_valid(path):
        return _refuse(ErrorCode.BAD_ARGUMENTS, attempt)
    acl = normalized(operation.acl, attempt.identities)
    if acl is None:
        return _refuse(ErrorCode.INVALID_ACL, attempt)
    znode = tree.get(path)
    if znode is None:
        return _refuse(ErrorCode.NO_NODE, attempt)
    if not attempt.may(znode.acl, ADMIN):
        return _refuse(ErrorCode.NO_AUTH, attempt)
    if operation.version not in (ANY_VERSION, znode.aversion):
        return _refuse(ErrorCode.BAD_VERSION, attempt)
    znode = znode.with_acl(tree.shared_acl(acl))
    tree.replace(path, znode)
    return Result(NONE, attempt.zxid, "", None, tree.stat(path, znode))


def _check(tree: Tree, operation: Check, attempt: Attempt) -> Result:
    path = operation.path
    error = _judge(path, tree.get(path), READ, operation.version, attempt)
    return Result(NONE, attempt.zxid) if error is None else _refuse(error, attempt)


def _multi(tree: Tree, operation: Multi, attempt: Attempt) -> Result:
    """All or nothing. After a failure: 0 before it, its code, RUNTIME_INCONSISTENCY behind it."""
    results: list[Result] = []
    tree.begin()
    for step in operation.operations:
        result = apply(tree, step, attempt)
        if result.error:
            tree.roll_back()
            attempt.changes.clear()
            attempt.quotas_passed.clear()
            return _failed_multi(result.error, len(results), operation, attempt)
        results.append(result)
    tree.commit()
    return Result(NONE, attempt.zxid, results=tuple(results))


def _failed_multi(error: int, done: int, operation: Multi, attempt: Attempt) -> Result:
    behind = len(operation.operations) - done - 1
    errors = [NONE] * done + [error] + [int(ErrorCode.RUNTIME_INCONSISTENCY)] * behind
    return Result(error, attempt.zxid, results=tuple([Result(each) for each in errors]))


def _close_session(tree: Tree, operation: CloseSession, attempt: Attempt) -> Result:
    attempt.ends_session = True
    return Result(NONE, attempt.zxid)


def _refused(tree: Tree, operation: Refused, attempt: Attempt) -> Result:
    return Result(operation.error or int(ErrorCode.BAD_ARGUMENTS), attempt.zxid)


def _judge(
    path: str, znode: Znode | None, permission: int, version: int, attempt: Attempt
) -> ErrorCode | None:
    if znode is None:
        return ErrorCode.NO_NODE if is_valid(path) else ErrorCode.BAD_ARGUMENTS
    if not attempt.may(znode.acl, permission):
        return ErrorCode.NO_AUTH
    return None if version in (ANY_VERSION, znode.version) else ErrorCode.BAD_VERSION


def _refuse(error: ErrorCode, attempt: Attempt) -> Result:
    return Result(int(error), attempt.zxid)


_APPLY: dict[type, Callable[[Tree, Any, Attempt], Result]] = {
    Create: _create,
    Delete: _delete,
    SetData: _set_data,
    SetAcl: _set_acl,
    Check: _check,
    Multi: _multi,
    CloseSession: _close_session,
    Refused: _refused,
}

WRITES = frozenset(_APPLY)
"""Types of operations that take a request id and a place in the log."""
