"""CoordinationClient for asyncio: the blocking client's engine, awaited.

Callbacks of watches and listeners run on the event loop that was running when they were given;
they may be functions or coroutine functions.  Knows nothing of sessions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Self, TypeVar

from odradek.acl import ACL
from odradek.aio.changes import Changes
from odradek.aio.recipes import Recipes
from odradek.aio.threads import Threads
from odradek.aio.waiting import OnLoop, outcome_of
from odradek.arguments import wait_s
from odradek.cluster.bootstrap import Hosts, KeysFile
from odradek.coordination import client as coordination
from odradek.coordination.async_result import AsyncResult
from odradek.coordination.client import START_TIMEOUT_S
from odradek.coordination.gathered import Outcomes
from odradek.coordination.multi_read import MultiRead as BlockingMultiRead
from odradek.coordination.pipelined import AclEntries
from odradek.coordination.program import ServerInfo
from odradek.coordination.retry import Retry, RetryFailedError
from odradek.coordination.znode_transaction import Transaction as BlockingTransaction
from odradek.coordination.znode_values import WatchedEvent, ZnodeStat
from odradek.errors import ClientTimeoutError, NoClusterError, OdradekError

T = TypeVar("T")
Watch = Callable[[WatchedEvent], object]
Listener = Callable[[str], object]


class CoordinationClient(Recipes):
    """A session of the znode tree, for asyncio; see :class:`odradek.CoordinationClient`.

    Calls wait at most ``operation_timeout`` seconds and then raise ClientTimeoutError; a call that
    is cancelled may still be done.
    """

    def __init__(  # noqa: PLR0913 - those of the blocking client
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
    ) -> None:
        self._operation_timeout_s = wait_s("operation_timeout", operation_timeout)
        self._threads = Threads()
        self._client = coordination.CoordinationClient(
            hosts,
            timeout,
            client_name=client_name,
            default_acl=default_acl,
            auth_data=auth_data,
            read_only=read_only,
            command_retry=command_retry,
            security=security,
        )

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
        try:
            await self._threads.run(self._client.stop)
        finally:
            self._threads.end()

    async def close(self) -> None:
        """As :meth:`stop`."""
        await self.stop()

    async def restart(self) -> None:
        """Stop and start: a new session."""
        await self.stop()
        await self.start()

    async def retry(self, func: Callable[..., Awaitable[T]], *args: Any, **kwargs: Any) -> T:
        """Await ``func(*args, **kwargs)``, again while it fails with an error that may pass.

        How often is ``command_retry``'s; RetryFailedError in the end.
        """
        retry = self._client.retry
        pauses = retry.pauses()
        while True:
            try:
                return await func(*args, **kwargs)
            except OdradekError as error:
                if not retry.again(error):
                    raise
                pause_s = next(pauses, None)
                if pause_s is None:
                    raise RetryFailedError(f"gave up: {error}") from error
                await asyncio.sleep(pause_s)

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:  # a cancellation, too: nobody else would stop it
            await self.stop()
            raise
        return self

    async def __aexit__(self, *raised: object) -> None:
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
    def client_state(self) -> str:
        """One of ``KeeperState``."""
        return self._client.client_state

    @property
    def chroot(self) -> str:
        """The client's root in the tree; empty when it is the tree's."""
        return self._client.chroot

    def server_info(self) -> ServerInfo | None:
        """Return which coordinator serves the session; None while none does."""
        return self._client.server_info()

    @property
    def client_id(self) -> tuple[int, bytes] | None:
        """The session's id and password; None while there is none."""
        return self._client.client_id

    def add_listener(self, listener: Listener) -> None:
        """Call ``listener(state)`` on the running event loop on each change of state."""
        self._client.add_listener(OnLoop(listener))

    def remove_listener(self, listener: Listener) -> None:
        """Call it no more."""
        self._client.remove_listener(OnLoop(listener))

    # Znodes

    async def create(  # noqa: PLR0913 - kazoo's arguments, and two
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
        """Create a znode and return its path (with ``include_data``: path and stat)."""
        made = self._client.create_async(
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
        return await self._settled(made)

    async def ensure_path(self, path: str, acl: AclEntries = None) -> bool:
        """Create ``path`` and all above it where missing."""
        return await self._settled(self._client.ensure_path_async(path, acl))

    async def get(
        self, path: str, watch: Watch | None = None, *, linearizable: bool = False
    ) -> tuple[bytes, ZnodeStat]:
        """Return data and stat; ``watch`` is called once, when the data changes."""
        return await self._settled(
            self._client.get_async(path, self._watch(watch), linearizable=linearizable)
        )

    async def set(self, path: str, value: bytes, version: int = -1) -> ZnodeStat:
        """Replace the data of this version (-1: any)."""
        return await self._settled(self._client.set_async(path, value, version))

    async def delete(self, path: str, version: int = -1, recursive: bool = False) -> bool:
        """Delete a znode of this version (-1: any), or with ``recursive`` all below it too."""
        return await self._settled(self._client.delete_async(path, version, recursive))

    async def exists(
        self, path: str, watch: Watch | None = None, *, linearizable: bool = False
    ) -> ZnodeStat | None:
        """Return the stat, or None; ``watch`` is called once: created, changed or deleted."""
        return await self._settled(
            self._client.exists_async(path, self._watch(watch), linearizable=linearizable)
        )

    async def get_children(
        self,
        path: str,
        watch: Watch | None = None,
        include_data: bool = False,
        *,
        linearizable: bool = False,
    ) -> Any:
        """Return the names of the children, sorted (with ``include_data``: and the stat)."""
        listed = self._client.get_children_async(
            path, self._watch(watch), include_data, linearizable=linearizable
        )
        return await self._settled(listed)

    async def get_all_children_number(self, path: str) -> int:
        """Return how many znodes there are below ``path``."""
        return await self._settled(self._client.get_all_children_number_async(path))

    async def get_ephemerals(self, prefix: str = "/") -> list[str]:
        """Return the paths of this session's ephemerals that begin with ``prefix``, sorted."""
        return await self._settled(self._client.get_ephemerals_async(prefix))

    async def get_acls(self, path: str) -> tuple[list[ACL], ZnodeStat]:
        """Return the ACL and the stat."""
        return await self._settled(self._client.get_acls_async(path))

    async def set_acls(self, path: str, acls: Iterable[object], version: int = -1) -> ZnodeStat:
        """Replace the ACL whose version (``Stat.aversion``) is this (-1: any)."""
        return await self._settled(self._client.set_acls_async(path, acls, version))

    async def add_auth(self, scheme: str, credential: str | bytes) -> bool:
        """Prove an identity, as ``("digest", "user:password")``, for this client's whole life."""
        return await self._settled(self._client.add_auth_async(scheme, credential))

    async def add_watch(self, path: str, watch: Watch, recursive: bool = False) -> bool:
        """Call ``watch`` at every change of ``path``; with ``recursive`` also below it."""
        begun = self._client.add_watch_async(path, OnLoop(watch), recursive)
        return await self._settled(begun)

    async def remove_watch(self, path: str, watch: Watch, recursive: bool = False) -> bool:
        """End what :meth:`add_watch` began with these arguments; other watches of the path stay."""
        ended = self._client.remove_watch_async(path, OnLoop(watch), recursive)
        return await self._settled(ended)

    async def remove_watches(self, path: str, kind: object = "any") -> bool:
        """Drop this session's watches of a path; their callbacks get an event of type REMOVED."""
        return await self._settled(self._client.remove_watches_async(path, kind))

    remove_all_watches = remove_watches

    async def sync(self, path: str = "/") -> str:
        """Wait until this client's coordinator has all that was written before."""
        return await self._settled(self._client.sync_async(path))

    def transaction(self) -> Transaction:
        """Begin a transaction: several writes, all of them or none."""
        return Transaction(self._client.transaction(), self._settled)

    def multi_read(self) -> MultiRead:
        """Begin several reads that are done at once, on one and the same state."""
        return MultiRead(self._client.multi_read(), self._settled)

    def changes(self, prefix: str = "/", since: int | None = None) -> Changes:
        """Return an async iterator over the changes at and under ``prefix``, oldest first."""
        return Changes(self._client, self._client._chroot.full(prefix), since)

    # Inside

    async def _settled(self, result: AsyncResult[T], timeout_s: float | None = None) -> T:
        limit_s = self._operation_timeout_s if timeout_s is None else timeout_s
        try:
            async with asyncio.timeout(limit_s):  # wait_for of 3.11 may lose a cancellation
                return await outcome_of(result)
        except TimeoutError as error:
            if isinstance(error, ClientTimeoutError):
                raise
            raise ClientTimeoutError(f"not done within {limit_s} s") from None

    def _watch(self, watch: Watch | None) -> Watch | None:
        return None if watch is None else OnLoop(watch)


class _Committed:
    """What is built step by step and then done at once: ``await commit()`` or ``async with``."""

    def __init__(
        self,
        inner: BlockingTransaction | BlockingMultiRead,
        settled: Callable[[AsyncResult[Outcomes]], Any],
    ) -> None:
        self._built = inner
        self._settled = settled
        self.outcomes: Outcomes = []

    async def commit(self) -> Outcomes:
        """Do it and return an outcome per step, as the blocking ``commit`` does."""
        outcomes: Outcomes = await self._settled(self._built.commit_async())
        self.outcomes = outcomes
        return outcomes

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: object, *raised: object) -> None:
        if kind is None and not self._built.committed:
            await self.commit()


class Transaction(_Committed):
    """As the blocking one, awaited."""

    def __init__(
        self, inner: BlockingTransaction, settled: Callable[[AsyncResult[Outcomes]], Any]
    ) -> None:
        super().__init__(inner, settled)
        self.create = inner.create
        self.delete = inner.delete
        self.set_data = inner.set_data
        self.check = inner.check


class MultiRead(_Committed):
    """As the blocking one, awaited."""

    def __init__(
        self, inner: BlockingMultiRead, settled: Callable[[AsyncResult[Outcomes]], Any]
    ) -> None:
        super().__init__(inner, settled)
        self.get = inner.get
        self.exists = inner.exists
        self.get_children = inner.get_children
