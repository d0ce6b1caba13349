"""Read operation type -> how it is answered from the tree as it is. Changes nothing.

Watches are not known here: setting one is the server's part.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from nodes.core.znode.acl import allows, shown
from nodes.core.znode.modes import NO_SESSION
from nodes.core.znode.paths import ROOT, is_valid, is_valid_prefix
from nodes.core.znode.reserved import may_read
from nodes.core.znode.tree import Tree
from transport.wire.errors import ErrorCode
from transport.wire.ids import SessionId, Zxid
from transport.wire.messages.coordination import (
    ADMIN,
    READ,
    CountChildren,
    Exists,
    GetAcl,
    GetChildren,
    GetData,
    GetEphemerals,
    Identity,
    Result,
    Sync,
)

NONE = int(ErrorCode.NONE)
NO_AUTH = int(ErrorCode.NO_AUTH)


class Reader(NamedTuple):
    """Who asks."""

    session_id: SessionId = NO_SESSION
    identities: tuple[Identity, ...] = ()


NOBODY = Reader()


def read(tree: Tree, operation: Any, zxid: Zxid, reader: Reader) -> Result:
    """Answer one read from the tree as it is, ``zxid`` being the newest write applied."""
    path = getattr(operation, "path", "")
    if path.startswith(ROOT) and not may_read(path, reader.identities):
        return Result(NO_AUTH, zxid)
    return _READ[type(operation)](tree, operation, zxid, reader)


def _read_data(tree: Tree, operation: GetData, zxid: Zxid, reader: Reader) -> Result:
    path = operation.path
    znode = tree.get(path)
    if znode is None:
        return _missing(path, zxid)
    if znode.acl and not allows(znode.acl, READ, reader.identities):
        return Result(NO_AUTH, zxid)
    znode = tree.as_read(path, znode)
    return Result(NONE, zxid, "", znode.data, tree.stat(path, znode))


def _read_exists(tree: Tree, operation: Exists, zxid: Zxid, reader: Reader) -> Result:
    path = operation.path
    znode = tree.get(path)
    if znode is None:
        return _missing(path, zxid)
    if znode.acl and not allows(znode.acl, READ, reader.identities):
        return Result(NO_AUTH, zxid)
    znode = tree.as_read(path, znode)
    return Result(NONE, zxid, "", None, tree.stat(path, znode))


def _read_children(tree: Tree, operation: GetChildren, zxid: Zxid, reader: Reader) -> Result:
    path = operation.path
    znode = tree.get(path)
    if znode is None:
        return _missing(path, zxid)
    if znode.acl and not allows(znode.acl, READ, reader.identities):
        return Result(NO_AUTH, zxid)
    return Result(NONE, zxid, "", None, tree.stat(path, znode), tree.children(path))


def _read_acl(tree: Tree, operation: GetAcl, zxid: Zxid, reader: Reader) -> Result:
    path = operation.path
    znode = tree.get(path)
    if znode is None:
        return _missing(path, zxid)
    if not allows(znode.acl, READ | ADMIN, reader.identities):
        return Result(NO_AUTH, zxid)
    full = allows(znode.acl, ADMIN, reader.identities)
    return Result(
        NONE, zxid, "", None, tree.stat(path, znode), acl=shown(znode.acl, with_secrets=full)
    )


def _read_ephemerals(tree: Tree, operation: GetEphemerals, zxid: Zxid, reader: Reader) -> Result:
    """Text is compared, not segments, as ZooKeeper does."""
    prefix = operation.prefix
    if not is_valid_prefix(prefix):
        return Result(int(ErrorCode.BAD_ARGUMENTS), zxid)
    owned = tree.ephemerals_of(reader.session_id)
    paths = sorted(path for path in owned if path.startswith(prefix))
    # All were looked at, however few are told.
    return Result(NONE, zxid, children=tuple(paths), count=len(owned))


def _count_children(tree: Tree, operation: CountChildren, zxid: Zxid, reader: Reader) -> Result:
    path = operation.path
    znode = tree.get(path)
    if znode is None:
        return _missing(path, zxid)
    if znode.acl and not allows(znode.acl, READ, reader.identities):
        return Result(NO_AUTH, zxid)
    return Result(NONE, zxid, count=sum(1 for _ in tree.below(path)))


def _read_sync(tree: Tree, operation: Sync, zxid: Zxid, reader: Reader) -> Result:
    if not is_valid(operation.path):
        return Result(int(ErrorCode.BAD_ARGUMENTS), zxid)
    return Result(NONE, zxid, operation.path)


def _missing(path: str, zxid: Zxid) -> Result:
    return Result(int(ErrorCode.NO_NODE if is_valid(path) else ErrorCode.BAD_ARGUMENTS), zxid)


_READ: dict[type, Callable[[Tree, Any, Zxid, Reader], Result]] = {
    GetData: _read_data,
    Exists: _read_exists,
    GetChildren: _read_children,
    GetAcl: _read_acl,
    GetEphemerals: _read_ephemerals,
    CountChildren: _count_children,
    Sync: _read_sync,
}
