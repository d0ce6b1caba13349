"""TreeCache, Config and Naming for asyncio: the blocking ones, awaited; callbacks on the event loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

from odradek.aio.waiting import OnLoop, on_a_thread
from odradek.recipes.config import Config as BlockingConfig
from odradek.recipes.naming import Instance, NameWatch
from odradek.recipes.naming import Naming as BlockingNaming
from odradek.recipes.naming import Registration as BlockingRegistration
from odradek.recipes.tree_cache import NodeData, TreeEvent
from odradek.recipes.tree_cache import TreeCache as BlockingTreeCache

Settings = dict[str, Any]


class TreeCache:
    """A copy of a subtree; see the blocking one."""

    def __init__(self, inner: BlockingTreeCache) -> None:
        self._inner = inner
        self.path = inner.path

    async def start(self) -> None:
        """Begin to read; the path is made if it is not there."""
        await on_a_thread(self._inner.start)

    def close(self) -> None:
        """Keep the copy up to date no more."""
        self._inner.close()

    def listen(self, listener: Callable[[TreeEvent], object]) -> None:
        """Call ``listener(event)`` on the running event loop from now on."""
        self._inner.listen(OnLoop(listener))

    async def wait(self, timeout: float | None = None) -> bool:
        """Wait until all that was there at the start has been read; False after ``timeout`` s."""
        return await on_a_thread(lambda: self._inner.wait(timeout))

    def get_data(self, path: str, default: NodeData | None = None) -> NodeData | None:
        """Return a znode of the copy, or ``default``."""
        return self._inner.get_data(path, default)

    def get_children(
        self, path: str, default: frozenset[str] | None = None
    ) -> frozenset[str] | None:
        """Return the names of the children in the copy, or ``default``."""
        return self._inner.get_children(path, default)


class Config(Mapping[str, Any]):
    """Shared settings, read from the copy in memory; see the blocking one."""

    def __init__(self, inner: BlockingConfig) -> None:
        self._inner = inner
        self.path = inner.path

    @property
    def version(self) -> int:
        """The znode's version of what is read here; -1 while nothing is stored."""
        return self._inner.version

    @property
    def problem(self) -> str:
        """What is wrong with the stored document; empty if nothing is."""
        return self._inner.problem

    def __getitem__(self, key: str) -> Any:
        """Return the value, or the default; KeyError when there is neither."""
        return self._inner[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._inner)

    def __len__(self) -> int:
        return len(self._inner)

    def on_change(self, callback: Callable[[Settings], object]) -> None:
        """Call ``callback(changed)`` on the running event loop after each change."""
        self._inner.on_change(OnLoop(callback))

    def close(self) -> None:
        """Follow no more; the copy stays."""
        self._inner.close()

    async def set(self, key: str, value: Any, *, version: int | None = None) -> int:
        """Set one key; returns the new version."""
        return await on_a_thread(lambda: self._inner.set(key, value, version=version))

    async def remove(self, key: str, *, version: int | None = None) -> int:
        """Remove one key, so that its default is read; returns the new version."""
        return await on_a_thread(lambda: self._inner.remove(key, version=version))

    async def update(
        self,
        changes: Mapping[str, Any] | Callable[[Settings], Mapping[str, Any]],
        *,
        version: int | None = None,
    ) -> int:
        """Set several keys at once; returns the new version. A function runs on another thread."""
        return await on_a_thread(lambda: self._inner.update(changes, version=version))


class Registration:
    """An endpoint under a name; see the blocking one."""

    def __init__(self, inner: BlockingRegistration) -> None:
        self._inner = inner
        self.id = inner.id

    @property
    def registered(self) -> bool:
        """True while its znode is there, as far as is known."""
        return self._inner.registered

    async def unregister(self) -> None:
        """Be found no more. May be called again."""
        await on_a_thread(self._inner.unregister)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self.unregister()


class Naming:
    """A registry of services; see the blocking one."""

    def __init__(self, inner: BlockingNaming) -> None:
        self._inner = inner
        self.path = inner.path

    async def register(
        self, name: str, endpoint: str, metadata: Mapping[str, Any] | None = None
    ) -> Registration:
        """Be found under ``name``. Returns when it is so."""
        made = await on_a_thread(
            lambda: self._inner.register(name, endpoint, metadata),
            lambda registration: registration.unregister(),
        )
        return Registration(made)

    async def resolve(self, name: str) -> list[Instance]:
        """Return the instances of a name, the oldest first; none for an unknown name."""
        return await on_a_thread(lambda: self._inner.resolve(name))

    async def names(self) -> list[str]:
        """Return the names that were ever registered, sorted."""
        return await on_a_thread(self._inner.names)

    async def watch(self, name: str, callback: Callable[[list[Instance]], object]) -> NameWatch:
        """Call ``callback(instances)`` on the running event loop, soon and after each change."""
        calling = OnLoop(callback)
        return await on_a_thread(
            lambda: self._inner.watch(name, calling), lambda watch: watch.stop()
        )
