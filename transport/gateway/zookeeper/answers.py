"""What a client reads: the answer to its ConnectRequest, results of its requests, watch events.

Every function returns a whole frame.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable

import msgspec

from transport.gateway.zookeeper import jute
from transport.gateway.zookeeper.requests import EVENT_XID, ClientRequest, OpCode
from transport.wire.errors import ErrorCode
from transport.wire.messages.coordination import (
    Identity,
    Multi,
    ReadMulti,
    Result,
    Stat,
    WatchEvent,
)

PASSWORD_BYTES = 16
SYNC_CONNECTED = 3
"""``KeeperState`` of every event that is sent: whoever reads it is connected."""
FOREIGN_ERRORS: dict[int, int] = {
    ErrorCode.RESULT_FORGOTTEN: ErrorCode.DATA_INCONSISTENCY,
    ErrorCode.OVERLOADED: ErrorCode.OPERATION_TIMEOUT,
}
"""Codes of our own that can be an operation's result -> what comes nearest of ZooKeeper's."""

_TOLD_AS: dict[int, int] = {
    OpCode.CREATE_CONTAINER: OpCode.CREATE2,
    OpCode.CREATE_TTL: OpCode.CREATE2,
}
"""Types of steps of a multi that its answer has under another one: clients know no result of theirs."""

_STAT = struct.Struct(">qqqqiiiqiiq")
_HEADER = struct.Struct(">iqi")
_STEP = struct.Struct(">i?i")
_END_OF_STEPS = _STEP.pack(-1, True, -1)


def encode_connected(
    timeout_ms: int, session_id: int, password: bytes, *, read_only: bool | None
) -> bytes:
    """Answer a ConnectRequest; ``read_only`` None: its client does not know of it."""
    parts = [jute.int32(0), jute.int32(timeout_ms), jute.int64(session_id), jute.buffer(password)]
    if read_only is not None:
        parts.append(b"\1" if read_only else b"\0")
    return jute.framed(*parts)


def encode_expired(*, read_only: bool | None) -> bytes:
    """Answer a ConnectRequest for a session that has ended, or another's: no session, no time."""
    return encode_connected(0, 0, bytes(PASSWORD_BYTES), read_only=read_only)


def encode_event(event: WatchEvent) -> bytes:
    """Tell of what a watch has seen."""
    body = jute.int32(event.type) + jute.int32(SYNC_CONNECTED) + jute.string(event.path)
    return jute.framed(_HEADER.pack(EVENT_XID, -1, 0), body)


def encode_error(xid: int, zxid: int, error: int) -> bytes:
    """Answer with an error, or with nothing but that there is none (0)."""
    return jute.framed(_HEADER.pack(xid, zxid, FOREIGN_ERRORS.get(error, error)))


def encode_identities(xid: int, zxid: int, identities: Iterable[Identity]) -> bytes:
    """Answer a WhoAmI."""
    told = (jute.string(each.scheme) + jute.string(each.id) for each in identities)
    return jute.framed(_HEADER.pack(xid, zxid, 0), jute.vector(told))


def encode_result(request: ClientRequest, result: Result) -> bytes:
    """Answer an operation of the tree with its result."""
    body = request.body
    if isinstance(body, Multi) and (result.results or not result.error):
        written = _steps_of(request, result)  # a failed one, too: its steps say which
        return jute.framed(_HEADER.pack(request.xid, result.zxid, 0), *written)
    if result.error:
        return encode_error(request.xid, result.zxid, result.error)
    if isinstance(body, ReadMulti):
        written = _steps_of(request, result)
        return jute.framed(_HEADER.pack(request.xid, result.zxid, 0), *written)
    encode = _RESULTS.get(request.opcode, _nothing)
    return jute.framed(_HEADER.pack(request.xid, result.zxid, 0), encode(result))


def _steps_of(request: ClientRequest, result: Result) -> list[bytes]:
    failed = result.error  # then no step has been done
    written = []
    for opcode, each in zip(request.steps, result.results, strict=True):
        if failed or each.error:
            error = FOREIGN_ERRORS.get(each.error, each.error)
            written += [_STEP.pack(OpCode.ERROR, False, error), jute.int32(error)]
        else:
            encode = _RESULTS.get(opcode, _nothing)
            written += [_STEP.pack(_TOLD_AS.get(opcode, opcode), False, 0), encode(each)]
    return [*written, _END_OF_STEPS]


def _nothing(_result: Result) -> bytes:
    return b""


def _stat_of(result: Result) -> bytes:
    stat = result.stat
    assert stat is not None, "a result without the stat that goes with it"
    return encode_stat(stat)


def encode_stat(stat: Stat) -> bytes:
    """Write a Stat: the same fields, in the same order."""
    return _STAT.pack(*msgspec.structs.astuple(stat))


def _created(result: Result) -> bytes:
    return jute.string(result.path)


def _created_with_stat(result: Result) -> bytes:
    return jute.string(result.path) + _stat_of(result)


def _data(result: Result) -> bytes:
    return jute.buffer(result.data or b"") + _stat_of(result)


def _children(result: Result) -> bytes:
    return jute.vector(map(jute.string, result.children))


def _acl(result: Result) -> bytes:
    entries = (
        jute.int32(each.permissions) + jute.string(each.scheme) + jute.string(each.id)
        for each in result.acl
    )
    return jute.vector(entries) + _stat_of(result)


_RESULTS: dict[int, Callable[[Result], bytes]] = {
    OpCode.CREATE: _created,
    OpCode.CREATE2: _created_with_stat,
    OpCode.CREATE_TTL: _created_with_stat,
    OpCode.CREATE_CONTAINER: _created_with_stat,
    OpCode.EXISTS: _stat_of,
    OpCode.GET_DATA: _data,
    OpCode.SET_DATA: _stat_of,
    OpCode.GET_ACL: _acl,
    OpCode.SET_ACL: _stat_of,
    OpCode.GET_CHILDREN: _children,
    OpCode.GET_CHILDREN2: lambda result: _children(result) + _stat_of(result),
    OpCode.SYNC: _created,
    OpCode.GET_EPHEMERALS: _children,
    OpCode.GET_ALL_CHILDREN_NUMBER: lambda result: jute.int32(result.count),
    OpCode.ADD_WATCH: lambda _: jute.int32(0),
}
"""What is behind the header of an answer without error; nothing where a type is not named."""
