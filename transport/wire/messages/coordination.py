"""Clients of the znode tree: sessions, operations, watches.

Per session there is one ordered lane.  A request carries a *list* of operations; it is answered
when all of them are done, requests of a session are answered in order, and watch events travel on
the same lane before the answer that could reveal the change.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from transport.wire.apis import Api
from transport.wire.ids import Incarnation, NodeName, RequestId, SessionId, Zxid
from transport.wire.messages import Message, Part
from transport.wire.messages.cluster import NodeEndpoints

# Create modes: ZooKeeper's numbers.
PERSISTENT = 0
EPHEMERAL = 1
PERSISTENT_SEQUENTIAL = 2
EPHEMERAL_SEQUENTIAL = 3
CONTAINER = 4
PERSISTENT_WITH_TTL = 5
PERSISTENT_SEQUENTIAL_WITH_TTL = 6

ANY_VERSION = -1

# Watch event types: ZooKeeper's numbers.
NODE_CREATED = 1
NODE_DELETED = 2
NODE_DATA_CHANGED = 3
NODE_CHILDREN_CHANGED = 4

# Permissions of an ACL: ZooKeeper's bits.
READ = 1
WRITE = 2
CREATE = 4
DELETE = 8
ADMIN = 16
ALL_PERMISSIONS = READ | WRITE | CREATE | DELETE | ADMIN


class Owner(Part, frozen=True, array_like=True, gc=False):
    """The node's process behind a session, for sessions of the cluster's own nodes.

    Opening a session for a later incarnation ends those of earlier ones in the same entry; a death
    notice that names this process ends the session at once.
    """

    name: NodeName
    incarnation: Incarnation


class OpenSessionRequest(Message, frozen=True, array_like=True, gc=False):
    """Open a session (``session_id`` 0), or attach to one that lives, on this coordinator."""

    api: ClassVar[Api] = Api.OPEN_SESSION

    timeout_ms: int
    session_id: SessionId = SessionId(0)
    password: bytes = b""
    last_zxid: Zxid = Zxid(0)
    """The newest write this client has seen: a server behind it refuses with SERVER_BEHIND."""
    owner: Owner | None = None
    nonce: bytes = b""
    """Random, the same in each retry of one opening: a repeated opening finds its session."""
    watches: tuple[WatchRegistration, ...] = ()
    """On attaching: the watches to set anew; what was missed since ``last_zxid`` fires at once."""
    auth: tuple[AddAuth, ...] = ()
    """What the client has proved before: identities belong to a connection, not to the session."""
    read_only: bool = False
    """A coordinator without a quorum may serve this client's reads rather than refuse it."""


class WatchRegistration(Part, frozen=True, array_like=True, gc=False):
    """A watch that a client holds and sets again on another server."""

    path: str
    kind: str
    """``data``, ``exists``, ``children``, ``persistent`` or ``recursive``."""


class OpenSessionResponse(Message, frozen=True, array_like=True, gc=False):
    """``error`` SESSION_EXPIRED when the session to attach to has ended."""

    api: ClassVar[Api] = Api.OPEN_SESSION

    error: int
    session_id: SessionId = SessionId(0)
    password: bytes = b""
    timeout_ms: int = 0
    """As negotiated."""
    zxid: Zxid = Zxid(0)
    """Of this server."""
    last_request_id: RequestId = RequestId(0)
    """The newest write of this session that has been applied here."""
    read_only: bool = False
    """Served without a quorum: reads only, under a number known to this coordinator alone.
    Once there is a quorum again the lane ends with SESSION_MOVED and the client opens anew."""
    servers: tuple[str, ...] = ()
    """The clients' doors of all coordinators this one knows of: some may have come since the client
    asked, and those it knew may all go."""
    members: tuple[NodeEndpoints, ...] = ()
    """Those coordinators, or controllers, whole: for sessions of nodes, whose settings may be older."""


class Acl(Part, frozen=True, array_like=True, gc=False):
    """One entry of an access control list, as ZooKeeper's."""

    permissions: int
    scheme: str
    """``world`` (id ``anyone``), ``auth`` (whoever asks), ``digest`` (``user:base64(sha1)``)
    or ``ip`` (an address, or a network as ``10.0.0.0/8``)."""
    id: str


class Identity(Part, frozen=True, array_like=True, gc=False):
    """Who somebody was found to be: what the ids of an ACL are compared with."""

    scheme: str
    id: str


class Create(Part, frozen=True, array_like=True, gc=False, tag="create"):
    """Make a znode; a sequential one gets ten digits appended to its path."""

    path: str
    data: bytes = b""
    mode: int = PERSISTENT
    acl: tuple[Acl, ...] = ()
    """Empty: everything is allowed to everybody."""
    ttl_ms: int = 0
    """For the modes with a TTL: removed once it is childless and was not set for so long."""


class Delete(Part, frozen=True, array_like=True, gc=False, tag="delete"):
    """Remove a childless znode of this version (or any)."""

    path: str
    version: int = ANY_VERSION


class SetData(Part, frozen=True, array_like=True, gc=False, tag="set"):
    """Replace the data of a znode of this version (or any)."""

    path: str
    data: bytes
    version: int = ANY_VERSION


class SetAcl(Part, frozen=True, array_like=True, gc=False, tag="setacl"):
    """Replace the ACL of a znode whose ACL has this version (``aversion``), or any."""

    path: str
    acl: tuple[Acl, ...]
    version: int = ANY_VERSION


class Check(Part, frozen=True, array_like=True, gc=False, tag="check"):
    """Succeed only if the znode exists with this version (or any)."""

    path: str
    version: int = ANY_VERSION


class Multi(Part, frozen=True, array_like=True, gc=False, tag="multi"):
    """All of these writes, or none, under one zxid."""

    operations: tuple[Create | Delete | SetData | Check, ...]


class CloseSession(Part, frozen=True, array_like=True, gc=False, tag="close"):
    """End the session and remove its ephemerals."""


class Refused(Part, frozen=True, array_like=True, gc=False, tag="refused"):
    """Stands in the log for a write that its coordinator let no further, such as an oversized one.

    It changes nothing and answers ``error``, but takes the write's number and zxid, so that the
    writes behind it are no gap.  Never asked for by clients.
    """

    error: int


class GetData(Part, frozen=True, array_like=True, gc=False, tag="get"):
    """Read data and stat; with ``watch`` also hear once of the next change of data."""

    path: str
    watch: bool = False


class Exists(Part, frozen=True, array_like=True, gc=False, tag="exists"):
    """Read the stat, or NO_NODE; with ``watch`` also hear once of creation, change or deletion."""

    path: str
    watch: bool = False


class GetChildren(Part, frozen=True, array_like=True, gc=False, tag="children"):
    """Read the names of the children (sorted); with ``watch`` hear once of the next change."""

    path: str
    watch: bool = False


class Sync(Part, frozen=True, array_like=True, gc=False, tag="sync"):
    """Wait until this server has applied all that was committed when the request came (ReadIndex)."""

    path: str = "/"


class GetAcl(Part, frozen=True, array_like=True, gc=False, tag="acl"):
    """Read the ACL and the stat. Without ADMIN the secrets in it are shown as ``x``."""

    path: str


class AddAuth(Part, frozen=True, array_like=True, gc=False, tag="auth"):
    """Prove an identity, such as ``digest`` by ``user:password``; AUTH_FAILED if it is none.

    It counts for the whole request that carries it and for those behind it on this connection.
    """

    scheme: str
    credential: bytes


class GetEphemerals(Part, frozen=True, array_like=True, gc=False, tag="ephemerals"):
    """Read the paths (sorted, in ``children``) of this session's ephemerals with this prefix."""

    prefix: str = "/"


class CountChildren(Part, frozen=True, array_like=True, gc=False, tag="count"):
    """Count all descendants (``count``): ZooKeeper's getAllChildrenNumber."""

    path: str


class ReadMulti(Part, frozen=True, array_like=True, gc=False, tag="readmulti"):
    """Do these reads on one and the same state; each has its own result, and error, in order."""

    operations: tuple[GetData | Exists | GetChildren, ...]


class AddWatch(Part, frozen=True, array_like=True, gc=False, tag="addwatch"):
    """Hear of every change of a znode (or, recursive, of its subtree) until the watch is removed."""

    path: str
    recursive: bool = False


class RemoveWatches(Part, frozen=True, array_like=True, gc=False, tag="removewatches"):
    """Drop this session's watches of a path; NO_WATCHER when there is none of that kind."""

    path: str
    kind: str = "any"
    """A kind of :class:`WatchRegistration`, or ``any``. ``data`` and ``exists`` are one to a server."""


class GetChanges(Part, frozen=True, array_like=True, gc=False, tag="changes"):
    """Read what was written at and under ``prefix`` after ``since``, oldest first.

    Whole zxids only, about ``limit`` changes at most.  ``Result.zxid`` is where to go on from: the
    answer holds everything up to it.  HISTORY_COMPACTED when ``since`` is older than this server
    still knows; then ``Result.zxid`` is the oldest ``since`` that it can answer.
    """

    prefix: str
    since: Zxid
    limit: int = 1000


WriteOperation = Create | Delete | SetData | SetAcl | Check | Multi | CloseSession | Refused
ReadOperation = (
    GetData
    | Exists
    | GetChildren
    | Sync
    | GetAcl
    | AddAuth
    | GetEphemerals
    | CountChildren
    | ReadMulti
    | AddWatch
    | RemoveWatches
    | GetChanges
)
Operation = WriteOperation | ReadOperation


class Stat(Part, frozen=True, array_like=True, gc=False):
    """ZooKeeper's Stat. Times in wall milliseconds since the Unix epoch, sizes in bytes."""

    czxid: Zxid
    mzxid: Zxid
    ctime: int
    mtime: int
    version: int
    cversion: int
    aversion: int
    ephemeral_owner: SessionId
    """The session of an ephemeral; 0 for a lasting znode, negative for a container or one with a TTL
    (as ZooKeeper's: 0x80… for a container, 0xff… and the TTL in milliseconds below it)."""
    data_length: int
    children_count: int
    pzxid: Zxid


class Result(Part, frozen=True, array_like=True, gc=False):
    """What one operation came to."""

    error: int
    zxid: Zxid = Zxid(0)
    """Of a write: the one it was applied under. Of a read: the newest this server had applied."""
    path: str = ""
    """Of a create: the path made, with its sequence number."""
    data: bytes | None = None
    stat: Stat | None = None
    children: tuple[str, ...] = ()
    results: tuple[Result, ...] = ()
    """Of a multi: one per step; after a failure every step's ``error`` says so, as ZooKeeper's."""
    acl: tuple[Acl, ...] = ()
    """Of a GetAcl."""
    count: int = 0
    """Of a CountChildren."""
    changes: tuple[Change, ...] = ()
    """Of a GetChanges."""


class Change(Part, frozen=True, array_like=True, gc=False):
    """What one write did to one znode."""

    zxid: Zxid
    type: int
    """NODE_CREATED, NODE_DELETED or NODE_DATA_CHANGED."""
    path: str
    data: bytes | None
    """As of this change; None for a deletion."""
    version: int
    """As of this change; of a deletion: the last one."""


class SessionOperation(Part, frozen=True, array_like=True, gc=False):
    """An operation with its number: writes count from 1 without gaps, reads have 0."""

    request_id: RequestId
    operation: Operation


class OperateRequest(Message, frozen=True, array_like=True, gc=False):
    """Operations of one session, to be done in this order, after those of its earlier requests."""

    api: ClassVar[Api] = Api.OPERATE

    session_id: SessionId
    lowest_unanswered: RequestId
    """Results of writes below this one may be forgotten: their answers have arrived."""
    operations: tuple[SessionOperation, ...]


class OperateResponse(Message, frozen=True, array_like=True, gc=False):
    """One result per operation, in order, unless ``error`` refuses the request as a whole."""

    api: ClassVar[Api] = Api.OPERATE

    error: int
    results: tuple[Result, ...] = ()
    zxid: Zxid = Zxid(0)


class PingSessionRequest(Message, frozen=True, array_like=True, gc=False):
    """Keep the session alive. Sent at a third of the timeout when nothing else was said."""

    api: ClassVar[Api] = Api.PING_SESSION

    session_id: SessionId


class PingSessionResponse(Message, frozen=True, array_like=True, gc=False):
    """The answer, not the question, is what tells a client that its session lives.

    A coordinator answers only with the leader's word behind it: it has itself heard from a Raft
    leader (or is one, with a quorum) within the last election time-out.
    """

    api: ClassVar[Api] = Api.PING_SESSION

    error: int
    zxid: Zxid = Zxid(0)


class WatchEvent(Message, frozen=True, array_like=True, gc=False):
    """One-way, coordinator to client, on the session's lane."""

    api: ClassVar[Api] = Api.WATCH_EVENT

    session_id: SessionId
    type: int
    path: str
    zxid: Zxid


# Between coordinators


class ProposedWrite(Part, frozen=True, array_like=True, gc=False):
    """Writes of one session on their way to the leader, and (stamped) the entry of the log.

    ``wall_ms`` is 0 until the leader stamps it.  ``open`` marks the opening of a session: then
    ``operations`` is empty and ``session_id`` is the number proposed by the serving coordinator.
    """

    session_id: SessionId
    wall_ms: int
    lowest_unanswered: RequestId = RequestId(0)
    operations: tuple[SessionOperation, ...] = ()
    open: OpenedSession | None = None
    expire: tuple[SessionId, ...] = ()
    """Sessions the leader judged dead: ended with their ephemerals."""
    died: Owner | None = None
    """A process reported dead: sessions of that name and of no later incarnation are ended.
    Judged when applied, so that an opening on its way before this entry is ended too."""
    identities: tuple[Identity, ...] = ()
    """Who asks for ``operations``, as the serving coordinator found: ACLs are judged when applied."""
    sweep: tuple[str, ...] = ()
    """Containers and znodes with a TTL that the leader found due: judged again when applied."""


class OpenedSession(Part, frozen=True, array_like=True, gc=False):
    """The session to be: negotiated timeout, secret, and the process behind it."""

    timeout_ms: int
    password: bytes
    owner: Owner | None
    nonce: bytes


class ForwardWrites(Message, frozen=True, array_like=True, gc=False):
    """One-way, follower to Raft leader. What is lost is sent again to the next leader."""

    api: ClassVar[Api] = Api.FORWARD_WRITES

    writes: tuple[ProposedWrite, ...]


class TouchSessions(Message, frozen=True, array_like=True, gc=False):
    """One-way, follower to Raft leader: the sessions that have spoken since the last one."""

    api: ClassVar[Api] = Api.TOUCH_SESSIONS

    sessions: tuple[SessionId, ...]


def encode_write(write: ProposedWrite) -> bytes:
    """Return the log entry's bytes of a stamped write."""
    return msgspec.msgpack.encode(write)


_write_decoder: msgspec.msgpack.Decoder[ProposedWrite] | None = None


def decode_write(data: bytes) -> ProposedWrite:
    """Read a log entry; raises ``msgspec.DecodeError`` on damage."""
    global _write_decoder  # noqa: PLW0603 - building a decoder costs, reading with it does not
    if _write_decoder is None:
        _write_decoder = msgspec.msgpack.Decoder(ProposedWrite)
    return _write_decoder.decode(data)
