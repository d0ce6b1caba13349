"""CoordinationClient for asyncio: the blocking client's engine, awaited.

Callbacks of watches and listeners run on the event loop that was running when they were given;
they may be functions or coroutine functions.  Knows nothing of sessions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, TypeVar

from odradek import coordination
from odradek.async_result import AsyncResult
from odradek.bootstrap import Hosts
from odradek.coordination import START_TIMEOUT_S
from odradek.errors import ClientTimeoutError, NoClusterError
from odradek.transaction import Outcomes
from odradek.transaction import Transaction as BlockingTransaction
from odradek.znode_values import WatchedEvent, ZnodeStat

T = TypeVar("T")
Watch = Callable[[WatchedEvent], object]
Listener = Callable[[str], object]


class CoordinationClient:
    """A session of the znode tree, for asyncio; see :class:`odradek.CoordinationClient`.

    Calls wait at most ``operation_timeout`` seconds and then raise ClientTimeoutError; a call that
    is cancelled may still be done.
    """

    def __init__(
        self,
        hosts: Hosts = None,
        timeout: float = 10.0,
        *,
        operation_timeout: float | None = 30.0,
        client_name: str = "",
    ) -> None:
        self._operation_timeout_s = operation_timeout
        self._client = coordination.CoordinationClient(hosts, timeout, client_name=client_name)
        self._on_loop: dict[Callable[..., object], Callable[[Any], None]] = {}
        self._tasks: dict[asyncio.Task[object], None] = {}

    # Life

    async def start(self, timeout: float = START_TIMEOUT_S) -> None:
        """Connect; NoClusterError says what was tried, and the client is then stopped."""
        connected = self._client.start_async()
        try:
            await self._settled(connected, timeout)
        except ClientTimeoutError:
            trouble = self._client.trouble()
            await self.stop()
            raise NoClusterError(f"not connected within {timeout} s: {trouble}") from None

    async def stop(self) -> None:
        """Close the session, and with it its ephemerals."""
        await asyncio.to_thread(self._client.stop)

    async def close(self) -> None:
        """As :meth:`stop`."""
        await self.stop()

    async def __aenter__(self) -> CoordinationClient:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    @property
    def connected(self) -> bool:
        """True while a coordinator serves the session."""
        return self._client.connected

    @property
    def state(self) -> str:
        """One of ``CoordinationState``."""
        return self._client.state

    @property
    def client_id(self) -> tuple[int, bytes] | None:
        """The session's id and password; None while there is none."""
        return self._client.client_id

    def add_listener(self, listener: Listener) -> None:
        """Call ``listener(state)`` on the running event loop on each change of state."""
        if listener not in self._on_loop:
            self._on_loop[listener] = self._calling(listener)
            self._client.add_listener(self._on_loop[listener])

    def remove_listener(self, listener: Listener) -> None:
        """Call it no more."""
        wrapped = self._on_loop.pop(listener, None)
        if wrapped is not None:
            self._client.remove_listener(wrapped)

    # Znodes

    async def create(
        self,
        path: str,
        value: bytes = b"",
        acl: Iterable[object] | None = None,
        ephemeral: bool = False,
        sequence: bool = False,
        makepath: bool = False,
        include_data: bool = False,
    ) -> Any:
        """Create a znode and return its path (with ``include_data``: path and stat)."""
        return await self._settled(
            self._client.create_async(path, value, acl, ephemeral, sequence, makepath, include_data)
        )

    async def ensure_path(self, path: str, acl: Iterable[object] | None = None) -> bool:
        """Create ``path`` and all above it where missing."""
        return await self._settled(self._client.ensure_path_async(path, acl))

    async def get(self, path: str, watch: Watch | None = None) -> tuple[bytes, ZnodeStat]:
        """Return data and stat; ``watch`` is called once, when the data changes."""
        return await self._settled(self._client.get_async(path, self._watch(watch)))

    async def set(self, path: str, value: bytes, version: int = -1) -> ZnodeStat:
        """Replace the data of this version (-1: any)."""
        return await self._settled(self._client.set_async(path, value, version))

    async def delete(self, path: str, version: int = -1, recursive: bool = False) -> bool:
        """Delete a znode of this version (-1: any), or with ``recursive`` all below it too."""
        return await self._settled(self._client.delete_async(path, version, recursive))

    async def exists(self, path: str, watch: Watch | None = None) -> ZnodeStat | None:
        """Return the stat, or None; ``watch`` is called once: created, changed or deleted."""
        return await self._settled(self._client.exists_async(path, self._watch(watch)))

    async def get_children(
        self, path: str, watch: Watch | None = None, include_data: bool = False
    ) -> Any:
        """Return the names of the children, sorted (with ``include_data``: and the stat)."""
        return await self._settled(
            self._client.get_children_async(path, self._watch(watch), include_data)
        )

    async def sync(self, path: str = "/") -> str:
        """Wait until this client's coordinator has all that was written before."""
        return await self._settled(self._client.sync_async(path))

    def transaction(self) -> Transaction:
        """Begin a transaction: several writes, all of them or none."""
        return Transaction(self._client.transaction(), self._settled)

    # Inside

    async def _settled(self, result: AsyncResult[T], timeout_s: float | None = None) -> T:
        limit_s = self._operation_timeout_s if timeout_s is None else timeout_s
        try:
            return await asyncio.wait_for(asyncio.wrap_future(result), limit_s)
        except TimeoutError as error:
            if isinstance(error, ClientTimeoutError):
                raise
            raise ClientTimeoutError(f"not done within {limit_s} s") from None

    def _watch(self, watch: Watch | None) -> Watch | None:
        return None if watch is None else self._calling(watch)

    def _calling(self, function: Callable[..., object]) -> Callable[[Any], None]:
        """Return what calls ``function`` on the event loop that runs now."""
        loop = asyncio.get_running_loop()

        def call(argument: Any) -> None:
            outcome = function(argument)
            if asyncio.iscoroutine(outcome):
                task = loop.create_task(outcome)
                self._tasks[task] = None  # or it might be collected before it is done
                task.add_done_callback(lambda done: self._tasks.pop(done, None))

        def hand_over(argument: Any) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(call, argument)

        return hand_over


class Transaction:
    """As the blocking one, with ``await commit()`` and ``async with``."""

    def __init__(
        self, inner: BlockingTransaction, settled: Callable[[AsyncResult[Outcomes]], Any]
    ) -> None:
        self._inner = inner
        self._settled = settled
        self.outcomes: Outcomes = []
        self.create = inner.create
        self.delete = inner.delete
        self.set_data = inner.set_data
        self.check = inner.check

    async def commit(self) -> Outcomes:
        """Do it and return an outcome per step, as the blocking ``commit`` does."""
        outcomes: Outcomes = await self._settled(self._inner.commit_async())
        self.outcomes = outcomes
        return outcomes

    async def __aenter__(self) -> Transaction:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None and not self._inner.committed:
            await self.commit()
