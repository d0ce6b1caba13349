"""What a client sends: a ConnectRequest, then requests, each as the operation it asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from typing import Any, NamedTuple

from transport.gateway.zookeeper.jute import JuteReader, MalformedJute
from transport.wire.errors import ErrorCode
from transport.wire.messages.coordination import (
    CONTAINER,
    Acl,
    AddAuth,
    AddWatch,
    Check,
    CloseSession,
    CountChildren,
    Create,
    Delete,
    Exists,
    GetAcl,
    GetChildren,
    GetData,
    GetEphemerals,
    Multi,
    Operation,
    ReadMulti,
    Refused,
    RemoveWatches,
    SetAcl,
    SetData,
    Sync,
    WatchRegistration,
)

EVENT_XID = -1
PING_XID = -2
AUTH_XID = -4
SET_WATCHES_XID = -8
LASTING_KINDS = ("persistent", "recursive")
STEPS_MAX = 10_000
"""Of one multi."""


class OpCode(IntEnum):
    """Types of requests, by ZooKeeper's numbers (``ZooDefs.OpCode``)."""

    CREATE = 1
    DELETE = 2
    EXISTS = 3
    GET_DATA = 4
    SET_DATA = 5
    GET_ACL = 6
    SET_ACL = 7
    GET_CHILDREN = 8
    SYNC = 9
    PING = 11
    GET_CHILDREN2 = 12
    CHECK = 13
    MULTI = 14
    CREATE2 = 15
    RECONFIG = 16
    CHECK_WATCHES = 17
    REMOVE_WATCHES = 18
    CREATE_CONTAINER = 19
    CREATE_TTL = 21
    MULTI_READ = 22
    AUTH = 100
    SET_WATCHES = 101
    SASL = 102
    GET_EPHEMERALS = 103
    GET_ALL_CHILDREN_NUMBER = 104
    SET_WATCHES2 = 105
    ADD_WATCH = 106
    WHO_AM_I = 107
    CLOSE_SESSION = -11
    ERROR = -1
    """Of a step of a multi that failed."""


class ConnectRequest(NamedTuple):
    """The first frame of a connection."""

    last_zxid: int
    timeout_ms: int
    session_id: int
    """0: a new session is wanted."""
    password: bytes
    read_only: bool
    """It can do with a server that has no quorum."""
    knows_read_only: bool
    """A client of 3.4 or later: it reads a last byte of the answer."""


class Ping(NamedTuple):
    """Keep the session alive."""


class SetWatches(NamedTuple):
    """Set a client's watches anew, as they were at ``seen_zxid``; what was missed is told."""

    seen_zxid: int
    watches: tuple[WatchRegistration, ...]
    """Each once; those that last are the last ones."""

    def part(self, most: int) -> tuple[SetWatches, SetWatches | None]:
        """Return what of it can be done first, and the rest, if there is any.

        Those that last stay together: what they have missed is told in its order.
        """
        first = self.watches[:most]
        if len(self.watches) <= most or first[0].kind in LASTING_KINDS:
            return self, None
        once = tuple(one for one in first if one.kind not in LASTING_KINDS)
        return self._replace(watches=once), self._replace(watches=self.watches[len(once) :])


class CheckWatches(NamedTuple):
    """Is there a watch of this kind?"""

    path: str
    kind: str


class WhoAmI(NamedTuple):
    """Whom the connection has proved to be."""


class Unoffered(NamedTuple):
    """A request that is known, or not, and is answered with this error."""

    error: int


Body = Operation | Ping | SetWatches | CheckWatches | WhoAmI | Unoffered


class ClientRequest(NamedTuple):
    """One request, to be answered under its ``xid``."""

    xid: int
    opcode: int
    body: Body
    steps: tuple[int, ...] = ()
    """Of a multi: the types of its steps."""


def decode_connect(frame: bytes) -> ConnectRequest:
    """Read the first frame; raises MalformedJute."""
    reader = JuteReader(frame)
    if reader.int32() != 0:
        raise MalformedJute("another version of the protocol")
    last_zxid, timeout_ms, session_id = reader.int64(), reader.int32(), reader.int64()
    password = reader.buffer() or b""
    knows_read_only = reader.left > 0
    read_only = knows_read_only and reader.boolean()
    return ConnectRequest(last_zxid, timeout_ms, session_id, password, read_only, knows_read_only)


def decode_request(frame: bytes) -> ClientRequest:
    """Read any later frame; raises MalformedJute. What is behind the record is passed over."""
    reader = JuteReader(frame)
    xid, opcode = reader.int32(), reader.int32()
    if opcode == OpCode.MULTI:
        steps = _steps(reader, _STEPS)
        return ClientRequest(xid, opcode, _multi(steps), tuple([step for step, _ in steps]))
    if opcode == OpCode.MULTI_READ:
        steps = _steps(reader, _READ_STEPS)
        reads = ReadMulti(tuple([read for _, read in steps]))
        return ClientRequest(xid, opcode, reads, tuple([step for step, _ in steps]))
    decode = _DECODERS.get(opcode)
    body = Unoffered(int(ErrorCode.UNIMPLEMENTED)) if decode is None else decode(reader)
    return ClientRequest(xid, opcode, body)


def _create(reader: JuteReader) -> Create | Refused:
    path, data = reader.string(), reader.buffer() or b""
    acl, mode = _acl(reader), reader.int32()
    return _created(path, data, mode, acl)


def _create_container(reader: JuteReader) -> Create | Refused:
    path, data, acl = reader.string(), reader.buffer() or b"", _acl(reader)
    reader.int32()
    return _created(path, data, CONTAINER, acl)


def _create_ttl(reader: JuteReader) -> Create | Refused:
    path, data, acl = reader.string(), reader.buffer() or b"", _acl(reader)
    mode, ttl_ms = reader.int32(), reader.int64()
    return _created(path, data, mode, acl, ttl_ms)


def _created(
    path: str, data: bytes, mode: int, acl: tuple[Acl, ...], ttl_ms: int = 0
) -> Create | Refused:
    if not acl:  # here that would allow everything
        return Refused(int(ErrorCode.INVALID_ACL))
    return Create(path, data, mode, acl, ttl_ms)


def _acl(reader: JuteReader) -> tuple[Acl, ...]:
    def entry() -> Acl:
        return Acl(reader.int32(), reader.string(), reader.string())

    return tuple(reader.vector(entry, 12))


def _set_acl(reader: JuteReader) -> SetAcl:
    return SetAcl(reader.string(), _acl(reader), reader.int32())


def _set_data(reader: JuteReader) -> SetData:
    return SetData(reader.string(), reader.buffer() or b"", reader.int32())


def _multi(steps: Sequence[tuple[int, Any]]) -> Multi | Refused:
    writes = [write for _, write in steps]
    refused = [write for write in writes if isinstance(write, Refused)]
    return refused[0] if refused else Multi(tuple(writes))


def _steps(
    reader: JuteReader, decoders: Mapping[int, Callable[[JuteReader], Operation]]
) -> list[tuple[int, Any]]:
    steps: list[tuple[int, Any]] = []
    while True:
        opcode, done, _error = reader.int32(), reader.boolean(), reader.int32()
        if done:
            return steps
        decode = decoders.get(opcode)
        if decode is None or len(steps) >= STEPS_MAX:
            raise MalformedJute(f"a multi of {len(steps)} steps and one of type {opcode}")
        steps.append((opcode, decode(reader)))


def _auth(reader: JuteReader) -> AddAuth:
    reader.int32()
    return AddAuth(reader.string(), reader.buffer() or b"")


def _set_watches(reader: JuteReader) -> SetWatches:
    return _watches(reader, ("data", "exists", "children"))


def _set_watches2(reader: JuteReader) -> SetWatches:
    return _watches(reader, ("data", "exists", "children", *LASTING_KINDS))


def _watches(reader: JuteReader, kinds: tuple[str, ...]) -> SetWatches:
    seen_zxid = reader.int64()
    # Each once: to look below a path is not to be had a hundred thousand times by one request.
    watches = dict.fromkeys(
        WatchRegistration(path, kind) for kind in kinds for path in reader.vector(reader.string, 4)
    )
    return SetWatches(seen_zxid, tuple(watches))


_WATCHER_KINDS = {1: "children", 2: "data", 3: "any", 4: "persistent", 5: "recursive"}
"""``Watcher.WatcherType``; an unknown one is refused where kinds are judged."""


def _check_watches(reader: JuteReader) -> CheckWatches:
    return CheckWatches(reader.string(), _WATCHER_KINDS.get(reader.int32(), ""))


def _remove_watches(reader: JuteReader) -> RemoveWatches:
    return RemoveWatches(reader.string(), _WATCHER_KINDS.get(reader.int32(), ""))


def _add_watch(reader: JuteReader) -> AddWatch | Unoffered:
    path, mode = reader.string(), reader.int32()
    if mode not in (0, 1):
        return Unoffered(int(ErrorCode.BAD_ARGUMENTS))
    return AddWatch(path, recursive=mode == 1)


def _check(reader: JuteReader) -> Check:
    return Check(reader.string(), reader.int32())


def _delete(reader: JuteReader) -> Delete:
    return Delete(reader.string(), reader.int32())


def _get_data(reader: JuteReader) -> GetData:
    return GetData(reader.string(), reader.boolean())


def _get_children(reader: JuteReader) -> GetChildren:
    return GetChildren(reader.string(), reader.boolean())


_STEPS: dict[int, Callable[[JuteReader], Operation]] = {
    OpCode.CREATE: _create,
    OpCode.CREATE2: _create,
    OpCode.CREATE_TTL: _create_ttl,
    OpCode.CREATE_CONTAINER: _create_container,
    OpCode.DELETE: _delete,
    OpCode.SET_DATA: _set_data,
    OpCode.CHECK: _check,
}
_READ_STEPS: dict[int, Callable[[JuteReader], Operation]] = {
    OpCode.GET_DATA: _get_data,
    OpCode.GET_CHILDREN: _get_children,
}
_DECODERS: dict[int, Callable[[JuteReader], Body]] = {
    **_STEPS,
    **_READ_STEPS,
    OpCode.GET_CHILDREN2: _get_children,
    OpCode.EXISTS: lambda reader: Exists(reader.string(), reader.boolean()),
    OpCode.GET_ACL: lambda reader: GetAcl(reader.string()),
    OpCode.SET_ACL: _set_acl,
    OpCode.SYNC: lambda reader: Sync(reader.string()),
    OpCode.PING: lambda _: Ping(),
    OpCode.CHECK_WATCHES: _check_watches,
    OpCode.REMOVE_WATCHES: _remove_watches,
    OpCode.AUTH: _auth,
    OpCode.SET_WATCHES: _set_watches,
    OpCode.SET_WATCHES2: _set_watches2,
    OpCode.GET_EPHEMERALS: lambda reader: GetEphemerals(reader.string() or "/"),
    OpCode.GET_ALL_CHILDREN_NUMBER: lambda reader: CountChildren(reader.string()),
    OpCode.ADD_WATCH: _add_watch,
    OpCode.WHO_AM_I: lambda _: WhoAmI(),
    OpCode.CLOSE_SESSION: lambda _: CloseSession(),
    OpCode.RECONFIG: lambda _: Unoffered(int(ErrorCode.RECONFIG_DISABLED)),
}
