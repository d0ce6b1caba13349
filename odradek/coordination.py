"""CoordinationClient: the znode tree for blocking programs, with kazoo's names.

A thin facade: checks arguments, hands operations to the program on its own loop, and turns results
into values or exceptions.  Sessions, retries and watches are decided elsewhere.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, InvalidStateError
from types import TracebackType
from typing import Any, NamedTuple, TypeVar

from odradek.async_result import AsyncResult
from odradek.bootstrap import Hosts, find_seeds
from odradek.coordination_program import CoordinationProgram
from odradek.engine import Engine, LoopLike
from odradek.errors import (
    ClientClosedError,
    ClientTimeoutError,
    NoClusterError,
    error_for,
)
from odradek.lane import OnResults
from odradek.recipes.attachment import Recipes
from odradek.session_view import Listener, Listeners, SessionView, Watch, Watcher
from odradek.transaction import Outcomes, Transaction, create_operation, first_of
from odradek.watches import CHILDREN, DATA, EXISTS
from odradek.znode_tasks import TreeDeletion, create_with_parents
from odradek.znode_tasks import ensure_path as ensure_path_task
from odradek.znode_values import (
    Acl,
    CoordinationState,
    EventType,
    KeeperState,
    WatchedEvent,
    ZnodeStat,
    acl_entries,
    check_path,
    check_value,
)
from transport.driver.ports import Program
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.messages import Refusal
from transport.wire.messages.coordination import (
    Delete,
    Exists,
    GetChildren,
    GetData,
    Operation,
    Result,
    SetData,
    Sync,
)

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
Begin = Callable[[CoordinationProgram, OnResults, Now], None]
Values = Callable[[Sequence[Result]], T]

START_TIMEOUT_S = 15.0
CLOSE_TIMEOUT_S = 5.0


class _Connection(NamedTuple):
    """What one start has made, until the stop."""

    engine: Engine
    program: CoordinationProgram
    view: SessionView


class CoordinationClient(Recipes):
    """A session of the znode tree. Thread-safe; blocking, with an ``_async`` twin of each call.

    hosts
        Any node's client address, as ``"host:port,host:port"`` or a list; None looks the cluster up
        (``$ODRADEK_BOOTSTRAP``, ``$ODRADEK_DATA_DIR``, the default data directory).
    timeout
        Seconds of the session: asked for, and negotiated when it opens.
    operation_timeout
        Seconds a blocking call waits before it raises ClientTimeoutError; the operation may still
        be done later.  None: for ever.

    Operations wait while there is no coordinator and are sent again after a reconnect; within a
    session a write is applied once, so no error leaves a doubt about it, except
    SessionExpiredError, ConnectionLoss (closed meanwhile) and ClientTimeoutError.  A lost session
    is followed by a new one; listeners hear LOST, then CONNECTED.  Callbacks of watches and
    listeners run one after the other on a thread of their own, where they may use the client.
    """

    def __init__(
        self,
        hosts: Hosts = None,
        timeout: float = 10.0,
        *,
        operation_timeout: float | None = 30.0,
        client_name: str = "",
        make_loop: Callable[[Program], LoopLike] | None = None,
    ) -> None:
        if timeout <= 0:
            raise ValueError("timeout is the session's, in seconds, and above 0")
        self._hosts = hosts
        self._timeout_ms = max(1, int(timeout * 1000))
        self._operation_timeout_s = operation_timeout
        self._client_name = client_name
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

    def __enter__(self) -> CoordinationClient:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
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

    def create(
        self,
        path: str,
        value: bytes = b"",
        acl: Iterable[object] | None = None,
        ephemeral: bool = False,
        sequence: bool = False,
        makepath: bool = False,
        include_data: bool = False,
    ) -> Any:
        """Create a znode and return its path (with ``include_data``: path and stat).

        ``sequence`` appends ten digits to the path; ``makepath`` creates missing parents.
        NodeExistsError, NoNodeError (no parent), NoChildrenForEphemeralsError, BadArgumentsError.
        """
        return self._wait(
            self.create_async(path, value, acl, ephemeral, sequence, makepath, include_data)
        )

    def ensure_path(self, path: str, acl: Iterable[object] | None = None) -> bool:
        """Create ``path`` and all above it where missing; returns True."""
        return self._wait(self.ensure_path_async(path, acl))

    def get(self, path: str, watch: Watch | None = None) -> tuple[bytes, ZnodeStat]:
        """Return data and stat; ``watch`` is called once, when the data changes. NoNodeError."""
        return self._wait(self.get_async(path, watch))

    def set(self, path: str, value: bytes, version: int = -1) -> ZnodeStat:
        """Replace the data of this version (-1: any). NoNodeError, BadVersionError."""
        return self._wait(self.set_async(path, value, version))

    def delete(self, path: str, version: int = -1, recursive: bool = False) -> bool:
        """Delete a znode of this version (-1: any), or with ``recursive`` all below it too.

        Returns True.  NoNodeError, BadVersionError, NotEmptyError.
        """
        return self._wait(self.delete_async(path, version, recursive))

    def exists(self, path: str, watch: Watch | None = None) -> ZnodeStat | None:
        """Return the stat, or None; ``watch`` is called once: created, changed or deleted."""
        return self._wait(self.exists_async(path, watch))

    def get_children(
        self, path: str, watch: Watch | None = None, include_data: bool = False
    ) -> Any:
        """Return the names of the children, sorted (with ``include_data``: and the stat).

        ``watch`` is called once, when one comes or goes.  NoNodeError.
        """
        return self._wait(self.get_children_async(path, watch, include_data))

    def sync(self, path: str = "/") -> str:
        """Wait until this client's coordinator has all that was written before; returns path."""
        return self._wait(self.sync_async(path))

    def transaction(self) -> Transaction:
        """Begin a transaction: several writes, all of them or none."""
        return Transaction(self._commit)

    # Asynchronous

    def create_async(
        self,
        path: str,
        value: bytes = b"",
        acl: Iterable[object] | None = None,
        ephemeral: bool = False,
        sequence: bool = False,
        makepath: bool = False,
        include_data: bool = False,
    ) -> AsyncResult[Any]:
        """See :meth:`create`."""
        create = create_operation(path, value, acl, ephemeral=ephemeral, sequence=sequence)

        def made(results: Sequence[Result]) -> Any:
            result = first_of(results, path)
            return (result.path, _stat_of(result)) if include_data else result.path

        if not makepath:
            return self._submit([create], made)

        def begin(program: CoordinationProgram, done: OnResults, now: Now) -> None:
            create_with_parents(program.submit, create, done, now)

        return self._begin(begin, made)

    def ensure_path_async(
        self, path: str, acl: Iterable[object] | None = None
    ) -> AsyncResult[bool]:
        """See :meth:`ensure_path`."""
        check_path(path)
        entries = acl_entries(acl)

        def begin(program: CoordinationProgram, done: OnResults, now: Now) -> None:
            ensure_path_task(program.submit, path, entries, done, now)

        return self._begin(begin, _true_unless_failed(path))

    def get_async(
        self, path: str, watch: Watch | None = None
    ) -> AsyncResult[tuple[bytes, ZnodeStat]]:
        """See :meth:`get`."""

        def read(results: Sequence[Result]) -> tuple[bytes, ZnodeStat]:
            result = first_of(results, path)
            return result.data or b"", _stat_of(result)

        operation = GetData(check_path(path), watch is not None)
        return self._watched(operation, DATA, watch, read)

    def set_async(self, path: str, value: bytes, version: int = -1) -> AsyncResult[ZnodeStat]:
        """See :meth:`set`."""
        operation = SetData(check_path(path), check_value(value), version)
        return self._submit([operation], lambda results: _stat_of(first_of(results, path)))

    def delete_async(
        self, path: str, version: int = -1, recursive: bool = False
    ) -> AsyncResult[bool]:
        """See :meth:`delete`."""
        check_path(path)

        if not recursive:
            return self._submit([Delete(path, version)], _true_unless_failed(path))

        def begin(program: CoordinationProgram, done: OnResults, now: Now) -> None:
            TreeDeletion(program.submit, path, done).start(now)

        return self._begin(begin, _true_unless_failed(path))

    def exists_async(self, path: str, watch: Watch | None = None) -> AsyncResult[ZnodeStat | None]:
        """See :meth:`exists`."""

        def looked(results: Sequence[Result]) -> ZnodeStat | None:
            if results[0].error == ErrorCode.NO_NODE:
                return None
            return _stat_of(first_of(results, path))

        operation = Exists(check_path(path), watch is not None)
        return self._watched(operation, EXISTS, watch, looked)

    def get_children_async(
        self, path: str, watch: Watch | None = None, include_data: bool = False
    ) -> AsyncResult[Any]:
        """See :meth:`get_children`."""

        def listed(results: Sequence[Result]) -> Any:
            result = first_of(results, path)
            names = list(result.children)
            return (names, _stat_of(result)) if include_data else names

        operation = GetChildren(check_path(path), watch is not None)
        return self._watched(operation, CHILDREN, watch, listed)

    def sync_async(self, path: str = "/") -> AsyncResult[str]:
        """See :meth:`sync`."""

        def synced(results: Sequence[Result]) -> str:
            first_of(results, path)
            return path

        return self._submit([Sync(check_path(path))], synced)

    # Inside

    def _new_connection(self) -> _Connection:
        seeds = find_seeds(self._hosts).endpoints
        view = SessionView(self._listeners)
        program = CoordinationProgram(
            seeds,
            timeout_ms=self._timeout_ms,
            on_state=view.changed,
            client_name=self._client_name,
        )
        engine = Engine(program, name="odradek-coordination", make_loop=self._make_loop)
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

    def _submit(self, operations: Sequence[Operation], value_of: Values[T]) -> AsyncResult[T]:
        def begin(program: CoordinationProgram, done: OnResults, now: Now) -> None:
            program.submit(operations, done, now)

        return self._begin(begin, value_of)

    def _watched(
        self,
        operation: GetData | Exists | GetChildren,
        kind: str,
        watch: Watch | None,
        value_of: Values[T],
    ) -> AsyncResult[T]:
        if watch is None:
            return self._submit([operation], value_of)
        if not callable(watch):
            raise TypeError(f"watch is a function of one event, not {type(watch).__name__}")
        watcher = Watcher(watch, self._connected().view.dispatcher)

        def begin(program: CoordinationProgram, done: OnResults, now: Now) -> None:
            program.session.watch(operation.path, kind, watcher)
            program.submit([operation], done, now)

        return self._begin(begin, value_of)

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

    def _commit(self, transaction: Transaction) -> AsyncResult[Outcomes]:
        if not transaction.operations:
            empty: AsyncResult[Outcomes] = AsyncResult(self._connected().view.dispatcher)
            empty.set_result([])
            return empty
        return self._submit(
            [transaction.multi()], lambda results: transaction.outcomes_of(results[0])
        )


def _settle(future: Future[T], outcome: Sequence[Result] | Refusal, value_of: Values[T]) -> None:
    """Give a future its value or exception, unless its owner has cancelled it."""
    try:
        if isinstance(outcome, Refusal):
            future.set_exception(error_for(outcome.error, outcome.text))
        else:
            future.set_result(value_of(outcome))
    except InvalidStateError:
        pass  # cancelled: nobody waits
    except Exception as error:  # noqa: BLE001 - it is the caller's
        future.set_exception(error)


def _true_unless_failed(path: str) -> Values[bool]:
    def value_of(results: Sequence[Result]) -> bool:
        first_of(results, path)
        return True

    return value_of


def _stat_of(result: Result) -> ZnodeStat:
    if result.stat is None:
        raise error_for(ErrorCode.DATA_INCONSISTENCY, "the coordinator left the stat out")
    return ZnodeStat.of(result.stat)
