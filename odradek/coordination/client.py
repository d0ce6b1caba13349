"""CoordinationClient: the znode tree for blocking programs, with kazoo's names.

A thin facade: starts and ends the connection, and waits for what the pipelined calls return.
Sessions, retries and watches are decided elsewhere.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple, Self, TypeVar

from odradek.acl import ACL
from odradek.arguments import check_time, wait_s
from odradek.cluster.bootstrap import Hosts, KeysFile, find_seeds
from odradek.cluster.engine import Engine, MakeLoop, give_end
from odradek.coordination.async_result import AsyncResult, Dispatcher
from odradek.coordination.changes import Changes
from odradek.coordination.chroot import split_chroot
from odradek.coordination.multi_read import MultiRead
from odradek.coordination.pipelined import (
    AclEntries,
    Begin,
    PipelinedCalls,
    Values,
    credential_bytes,
)
from odradek.coordination.program import CoordinationProgram, ServerInfo
from odradek.coordination.retry import Retry
from odradek.coordination.session_view import Listener, Listeners, SessionView, Watch
from odradek.coordination.znode_transaction import Transaction
from odradek.coordination.znode_values import (
    Acl,
    CoordinationState,
    EventType,
    KeeperState,
    WatchedEvent,
    ZnodeStat,
)
from odradek.errors import (
    ClientClosedError,
    ClientTimeoutError,
    NoClusterError,
    error_for,
)
from odradek.recipes.attachment import Recipes
from odradek.settings import INT_MAX, check_text
from transport.kernel import Now
from transport.wire.messages import Refusal
from transport.wire.messages.coordination import AddAuth, Result

__all__ = [
    "Acl",
    "CoordinationClient",
    "CoordinationState",
    "EventType",
    "KeeperState",
    "Transaction",
    "WatchedEvent",
    "ZnodeStat",
]

T = TypeVar("T")

START_TIMEOUT_S = 15.0
SESSION_MAX_S = INT_MAX // 1000
CLOSE_TIMEOUT_S = 5.0


class _Connection(NamedTuple):
    """What one start has made, until the stop."""

    engine: Engine
    program: CoordinationProgram
    view: SessionView


class CoordinationClient(Recipes, PipelinedCalls):
    """A session of the znode tree. Thread-safe; blocking, with an ``_async`` twin of each call.

    hosts
        Any node's client address, as ``"host:port,host:port"`` or a list; None looks the cluster up
        (``$ODRADEK_BOOTSTRAP``, ``$ODRADEK_DATA_DIR``, the default data directory).  A path behind
        the last address, as ``"host:port/app"``, is the client's root (its chroot).
    timeout
        Seconds of the session: asked for, and negotiated when it opens.
    operation_timeout
        Seconds a blocking call waits before it raises ClientTimeoutError; the operation may still
        be done later.  None: for ever.
    default_acl
        The ACL of znodes that are created without one.
    auth_data
        Pairs of scheme and credential, as ``[("digest", "user:password")]``, proved on every
        connection.
    read_only
        Let a coordinator that has no quorum serve reads while no other one can be found; writes
        then raise NotReadOnlyCallError, and ``client_state`` is CONNECTED_RO.
    command_retry
        The :class:`Retry` behind ``client.retry``, or a mapping of its arguments.

    Operations wait while there is no coordinator and are sent again after a reconnect; within a
    session a write is applied once, so no error leaves a doubt about it, except
    SessionExpiredError, ConnectionLoss (closed meanwhile) and ClientTimeoutError.  A lost session
    is followed by a new one; listeners hear LOST, then CONNECTED.  Callbacks of watches and
    listeners run one after the other on a thread of their own, where they may use the client.  As
    in kazoo a path without its first ``/`` gets it.
    """

    def __init__(  # noqa: PLR0913 - kazoo's arguments
        self,
        hosts: Hosts = None,
        timeout: float = 10.0,
        *,
        operation_timeout: float | None = 30.0,
        client_name: str = "",
        default_acl: AclEntries = None,
        auth_data: Iterable[tuple[str, str | bytes]] | None = None,
        read_only: bool = False,
        command_retry: Retry | Mapping[str, Any] | None = None,
        security: KeysFile = None,
        make_loop: MakeLoop | None = None,
    ) -> None:
        check_time("timeout", timeout)
        if not 0 < timeout <= SESSION_MAX_S:
            raise ValueError(
                f"timeout is the session's, in seconds, above 0, up to {SESSION_MAX_S}"
            )
        check_text("client_name", client_name)
        self._hosts, self._chroot = split_chroot(hosts)
        self._timeout_ms = max(1, int(timeout * 1000))
        self._operation_timeout_s = wait_s("operation_timeout", operation_timeout)
        self._client_name = client_name
        self.default_acl = None if default_acl is None else list(default_acl)
        self._auth = [
            AddAuth(scheme, credential_bytes(scheme, credential))
            for scheme, credential in auth_data or ()
        ]
        self._read_only = read_only
        self._security = security
        self.retry = (
            command_retry if isinstance(command_retry, Retry) else Retry(**(command_retry or {}))
        )
        self._make_loop = make_loop
        self._lock = threading.RLock()
        self._connection: _Connection | None = None
        self._stopped = False
        self._listeners = Listeners()

    # Life

    def start(self, timeout: float = START_TIMEOUT_S) -> None:
        """Connect, and return when the session is open. Calls that need it start by themselves.

        NoClusterError after ``timeout`` seconds says what was tried; the client is then stopped.
        """
        connected = self.start_async()
        try:
            connected.get(timeout=timeout)
        except ClientTimeoutError:
            trouble = self.trouble()
            self.stop()
            raise NoClusterError(f"not connected within {timeout} s: {trouble}") from None

    def start_async(self) -> AsyncResult[bool]:
        """Begin to connect; the result is there once the session is open for the first time."""
        with self._lock:
            self._stopped = False
            if self._connection is None:
                self._connection = self._new_connection()
            return self._connection.view.connected

    def stop(self) -> None:
        """Close the session, and with it its ephemerals; may be called again, as may ``start``."""
        with self._lock:
            connection, self._connection = self._connection, None
            self._stopped = True
        if connection is not None:
            connection.engine.close(CLOSE_TIMEOUT_S)
            connection.view.dispatcher.close()

    def close(self) -> None:
        """As :meth:`stop`."""
        self.stop()

    def restart(self) -> None:
        """Stop and start: a new session."""
        self.stop()
        self.start()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:  # Ctrl-C, too: nobody else would stop it
            self.stop()
            raise
        return self

    def __exit__(self, *raised: object) -> None:
        self.stop()

    @property
    def connected(self) -> bool:
        """True while a coordinator serves the session."""
        return self.state == CoordinationState.CONNECTED

    @property
    def state(self) -> str:
        """One of :class:`CoordinationState`; LOST also before the first connection."""
        connection = self._connection
        return CoordinationState.LOST if connection is None else connection.view.state

    @property
    def client_state(self) -> str:
        """One of :class:`KeeperState`: CONNECTED_RO where ``state`` says CONNECTED of reads only."""
        connection = self._connection
        if connection is None:
            return KeeperState.CLOSED
        if connection.view.state != CoordinationState.CONNECTED:
            return KeeperState.CONNECTING
        read_only = connection.program.session.read_only
        return KeeperState.CONNECTED_RO if read_only else KeeperState.CONNECTED

    @property
    def chroot(self) -> str:
        """The client's root in the tree; empty when it is the tree's."""
        return self._chroot.prefix

    def unchroot(self, path: str) -> str:
        """Return the client's path for the tree's."""
        return self._chroot.user(path)

    def server_info(self) -> ServerInfo | None:
        """Return which coordinator serves the session; None while none does."""
        connection = self._connection
        return None if connection is None else connection.program.server

    @property
    def client_id(self) -> tuple[int, bytes] | None:
        """The session's id and password; None while there is none."""
        connection = self._connection
        if connection is None or not connection.program.session.session_id:
            return None
        session = connection.program.session
        return session.session_id, session.password

    def trouble(self) -> str:
        """Say, for people, why there is no connection."""
        connection = self._connection
        return "not started" if connection is None else connection.program.trouble()

    def add_listener(self, listener: Listener) -> None:
        """Call ``listener(state)`` on each change of state; one that returns True is removed."""
        self._listeners.add(listener)

    def remove_listener(self, listener: Listener) -> None:
        """Call it no more; unknown ones are passed over."""
        self._listeners.remove(listener)

    # Blocking

    def create(  # noqa: PLR0913 - kazoo's arguments, and two
        self,
        path: str,
        value: bytes = b"",
        acl: AclEntries = None,
        ephemeral: bool = False,
        sequence: bool = False,
        makepath: bool = False,
        include_data: bool = False,
        *,
        container: bool = False,
        ttl: float | None = None,
    ) -> Any:
        """Create a znode and return its path (with ``include_data``: path and stat).

        ``sequence`` appends ten digits to the path; ``makepath`` creates missing parents.  A
        ``container`` is deleted some time after its last child; a znode with a ``ttl`` once it is
        childless and was not set for so many seconds.
        NodeExistsError, NoNodeError (no parent), NoChildrenForEphemeralsError, BadArgumentsError,
        InvalidACLError, NoAuthError, QuotaExceededError.
        """
        made = self.create_async(
            path,
            value,
            acl,
            ephemeral,
            sequence,
            makepath,
            include_data,
            container=container,
            ttl=ttl,
        )
        return self._wait(made)

    def ensure_path(self, path: str, acl: AclEntries = None) -> bool:
        """Create ``path`` and all above it where missing; returns True."""
        return self._wait(self.ensure_path_async(path, acl))

    def get(
        self, path: str, watch: Watch | None = None, *, linearizable: bool = False
    ) -> tuple[bytes, ZnodeStat]:
        """Return data and stat; ``watch`` is called once, when the data changes. NoNodeError.

        A ``linearizable`` read sees every write that was answered, to anybody, before it began;
        others may be a little behind, though never behind what this session has seen.
        """
        return self._wait(self.get_async(path, watch, linearizable=linearizable))

    def set(self, path: str, value: bytes, version: int = -1) -> ZnodeStat:
        """Replace the data of this version (-1: any). NoNodeError, BadVersionError."""
        return self._wait(self.set_async(path, value, version))

    def delete(self, path: str, version: int = -1, recursive: bool = False) -> bool:
        """Delete a znode of this version (-1: any), or with ``recursive`` all below it too.

        Returns True.  NoNodeError, BadVersionError, NotEmptyError.
        """
        return self._wait(self.delete_async(path, version, recursive))

    def exists(
        self, path: str, watch: Watch | None = None, *, linearizable: bool = False
    ) -> ZnodeStat | None:
        """Return the stat, or None; ``watch`` is called once: created, changed or deleted."""
        return self._wait(self.exists_async(path, watch, linearizable=linearizable))

    def get_children(
        self,
        path: str,
        watch: Watch | None = None,
        include_data: bool = False,
        *,
        linearizable: bool = False,
    ) -> Any:
        """Return the names of the children, sorted (with ``include_data``: and the stat).

        ``watch`` is called once, when one comes or goes.  NoNodeError.
        """
        listed = self.get_children_async(path, watch, include_data, linearizable=linearizable)
        return self._wait(listed)

    def get_all_children_number(self, path: str) -> int:
        """Return how many znodes there are below ``path``. NoNodeError."""
        return self._wait(self.get_all_children_number_async(path))

    def get_ephemerals(self, prefix: str = "/") -> list[str]:
        """Return the paths of this session's ephemerals that begin with ``prefix``, sorted."""
        return self._wait(self.get_ephemerals_async(prefix))

    def get_acls(self, path: str) -> tuple[list[ACL], ZnodeStat]:
        """Return the ACL and the stat. NoNodeError, NoAuthError."""
        return self._wait(self.get_acls_async(path))

    def set_acls(self, path: str, acls: Iterable[object], version: int = -1) -> ZnodeStat:
        """Replace the ACL whose version (``Stat.aversion``) is this (-1: any).

        NoNodeError, BadVersionError, InvalidACLError, NoAuthError.
        """
        return self._wait(self.set_acls_async(path, acls, version))

    def add_auth(self, scheme: str, credential: str | bytes) -> bool:
        """Prove an identity, as ``("digest", "user:password")``, for this client's whole life.

        Returns True; AuthFailedError.
        """
        return self._wait(self.add_auth_async(scheme, credential))

    def add_watch(self, path: str, watch: Watch, recursive: bool = False) -> bool:
        """Call ``watch`` at every change of ``path`` from now on; with ``recursive`` also below it.

        A recursive one hears of created, changed and deleted znodes, but not of CHILD events.  It
        moves with the session and ends with it: then it is told so, once, by an event without path.
        """
        return self._wait(self.add_watch_async(path, watch, recursive))

    def remove_watch(self, path: str, watch: Watch, recursive: bool = False) -> bool:
        """End what :meth:`add_watch` began with these arguments; other watches of the path stay."""
        return self._wait(self.remove_watch_async(path, watch, recursive))

    def remove_watches(self, path: str, kind: object = "any") -> bool:
        """Drop this session's watches of a path; their callbacks get an event of type REMOVED.

        ``kind`` is ``data``, ``exists``, ``children``, ``persistent``, ``recursive`` or ``any``.
        NoWatcherError when there is none.
        """
        return self._wait(self.remove_watches_async(path, kind))

    remove_all_watches = remove_watches

    def sync(self, path: str = "/") -> str:
        """Wait until this client's coordinator has all that was written before; returns path."""
        return self._wait(self.sync_async(path))

    def transaction(self) -> Transaction:
        """Begin a transaction: several writes, all of them or none."""
        return Transaction(self._commit, self._chroot, self.default_acl, self._wait)

    def multi_read(self) -> MultiRead:
        """Begin several reads that are done at once, on one and the same state."""
        return MultiRead(self._read_all, self._chroot, self._wait)

    def changes(self, prefix: str = "/", since: int | None = None) -> Changes:
        """Return an iterator over the changes at and under ``prefix``, oldest first.

        From the first write after the zxid ``since`` (None: from when it is first asked) on, across
        reconnects and lost sessions.  HistoryCompactedError when that is too long ago.
        """
        return Changes(self, self._chroot.full(prefix), since)

    # Inside

    def _new_connection(self) -> _Connection:
        seeds = find_seeds(self._hosts, self._security)
        view = SessionView(self._listeners)
        program = CoordinationProgram(
            seeds.endpoints,
            timeout_ms=self._timeout_ms,
            on_state=view.changed,
            client_name=self._client_name,
            auth=self._auth,
            read_only=self._read_only,
        )
        engine = Engine(
            program, name="odradek-coordination", make_loop=self._make_loop, keys=seeds.keys
        )
        engine.ask(lambda _future, _now: None, view.connected)
        return _Connection(engine, program, view)

    def _connected(self) -> _Connection:
        """Return the connection, made if this is the first use."""
        connection = self._connection
        if connection is not None:
            return connection
        with self._lock:
            if self._stopped:
                raise ClientClosedError("this client is closed; start() opens it again")
            self.start_async()
            assert self._connection is not None
            return self._connection

    def _dispatcher(self) -> Dispatcher:
        return self._connected().view.dispatcher

    def _begin(self, begin: Begin, value_of: Values[T]) -> AsyncResult[T]:
        connection = self._connected()
        program = connection.program
        result: AsyncResult[T] = AsyncResult(connection.view.dispatcher)

        def run(future: Future[T], now: Now) -> None:
            def done(outcome: Sequence[Result] | Refusal, _now: Now) -> None:
                _settle(future, outcome, value_of)

            begin(program, done, now)

        connection.engine.ask(run, result)
        return result

    def _wait(self, result: AsyncResult[T]) -> T:
        connection = self._connection
        if connection is None:  # stopped meanwhile, so it is settled or soon will be
            return result.get(timeout=self._operation_timeout_s)
        return connection.engine.wait(result, self._operation_timeout_s)


def _settle(future: Future[T], outcome: Sequence[Result] | Refusal, value_of: Values[T]) -> None:
    """Give a future its value or exception, unless its owner has cancelled it."""
    if isinstance(outcome, Refusal):
        give_end(future, error=error_for(outcome.error, outcome.text))
        return
    try:
        value = value_of(outcome)
    except Exception as error:  # noqa: BLE001 - it is the caller's
        give_end(future, error=error)
    else:
        give_end(future, result=value)
