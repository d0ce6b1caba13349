"""Naming: which services are there, and where.

Owns how a registration is written down. That it stays there is ``presence``'s business.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, Self
from urllib.parse import quote, unquote
from uuid import uuid4

from odradek.coordination.async_result import AsyncResult
from odradek.coordination.znode_values import ZnodeStat
from odradek.errors import NoAuthError, NoNodeError, OdradekError
from odradek.recipes.presence import Presence
from odradek.recipes.waiting import Client, children_of, in_order, joined, read
from odradek.recipes.watching import Watching

_log = logging.getLogger("odradek")
INSTANCE = "instance-"


class Instance(NamedTuple):
    """One registered process of a service."""

    id: str
    """Of the registration: stays when it is made again after a lost session."""
    endpoint: str
    metadata: dict[str, Any]
    zxid: int
    """Under which it was registered; larger for a later registration."""


class Registration:
    """An endpoint under a name, until :meth:`unregister` or the end of the process."""

    def __init__(self, presence: Presence, instance_id: str) -> None:
        self.id = instance_id
        self._presence = presence

    @property
    def registered(self) -> bool:
        """True while its znode is there, as far as is known."""
        return bool(self._presence.path)

    def unregister(self) -> None:
        """Be found no more. May be called again."""
        self._presence.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.unregister()


class NameWatch:
    """Calls with the instances of a name, until :meth:`stop`."""

    def __init__(self, client: Client, folder: str, callback: Callable[[list[Instance]], object]):
        self._client = client
        self._folder = folder
        self._callback = callback
        self._told: list[Instance] | None = None
        self._round = 0
        self._watching: Watching[list[str]] = Watching(
            client, folder, lambda watch: client.get_children_async(folder, watch), self._listed
        )

    def begin(self) -> None:
        """Tell for the first time, soon."""
        self._watching.begin_later()

    def stop(self) -> None:
        """Call no more."""
        self._watching.stop()

    def _listed(self, names: list[str] | None, _event: object) -> None:
        """Read what each name stands for; a list that comes meanwhile takes the place of this."""
        self._round += 1
        round_ = self._round
        found: list[tuple[bytes, ZnodeStat]] = []
        lines = in_order(names or [], INSTANCE)
        open_reads = len(lines)
        whole = True
        if not lines:
            self._tell([])

        def read(result: AsyncResult[tuple[bytes, ZnodeStat]]) -> None:
            nonlocal open_reads, whole
            open_reads -= 1
            try:
                found.append(result.get_nowait())
            except (NoNodeError, NoAuthError):
                pass  # gone: a list without it follows
            except OdradekError:
                whole = False  # with its session: a list of the next one follows
            if whole and not open_reads and round_ == self._round:
                self._tell(_instances(found))

        for name in lines:
            self._client.get_async(joined(self._folder, name)).rawlink(read)

    def _tell(self, instances: list[Instance]) -> None:
        if instances == self._told or self._watching.stopped:
            return
        self._told = instances
        self._callback(list(instances))


class Naming:
    """A registry of services at ``path``: name -> the instances that live.

    A registration is ephemeral: a process that ends, or whose session is lost, is found no more, at
    the latest after the session timeout; while the process lives, its client registers it again in
    the next session by itself, under the same ``id``.  While the client is suspended, ``resolve``
    waits and watches keep silent: what was told last may be old.
    """

    def __init__(self, client: Client, path: str) -> None:
        self.path = path
        self._client = client

    def register(
        self, name: str, endpoint: str, metadata: Mapping[str, Any] | None = None
    ) -> Registration:
        """Be found under ``name``; ``metadata`` is whatever JSON can hold. Returns when it is so."""
        instance_id = uuid4().hex
        said = {"id": instance_id, "endpoint": endpoint, "metadata": dict(metadata or {})}
        value = json.dumps(said, sort_keys=True).encode()
        presence = Presence(self._client, joined(self._folder(name), INSTANCE), value)
        presence.begin()
        return Registration(presence, instance_id)

    def resolve(self, name: str) -> list[Instance]:
        """Return the instances of a name, the oldest first; none for an unknown name."""
        folder = self._folder(name)
        found: list[tuple[bytes, ZnodeStat]] = []
        for child in in_order(children_of(self._client, folder), INSTANCE):
            try:
                path = joined(folder, child)
                found.append(read(self._client, partial(self._client.get_async, path)))
            except NoNodeError:
                continue
        return _instances(found)

    def names(self) -> list[str]:
        """Return the names that were ever registered, sorted; perhaps without instances now."""
        return sorted(unquote(name) for name in children_of(self._client, self.path))

    def watch(self, name: str, callback: Callable[[list[Instance]], object]) -> NameWatch:
        """Call ``callback(instances)`` soon and after each change, on the callbacks' thread."""
        folder = self._folder(name)
        read(self._client, lambda: self._client.ensure_path_async(folder))
        watch = NameWatch(self._client, folder, callback)
        watch.begin()
        return watch

    def _folder(self, name: str) -> str:
        if not name:
            raise ValueError("a service has a name")
        return joined(self.path, quote(name, safe=""))


def _instances(found: list[tuple[bytes, ZnodeStat]]) -> list[Instance]:
    """Return what the znodes say; of two of the same id the later, for the other one's session died."""
    by_id: dict[str, Instance] = {}
    for data, stat in sorted(found, key=lambda each: each[1].czxid):
        try:
            said = json.loads(data)
            instance = Instance(
                str(said["id"]), str(said["endpoint"]), dict(said["metadata"]), stat.czxid
            )
        except (ValueError, KeyError, TypeError, RecursionError):
            _log.warning("not a registration: %r", data[:100])
            continue
        by_id[instance.id] = instance
    return list(by_id.values())
