"""Config: settings shared by many processes: typed, watched, changed by compare-and-set.

One znode holds all of one application's settings as a JSON object, so that a change of several is
one change, and everybody sees the same versions in the same order.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from odradek.coordination.znode_values import WatchedEvent, ZnodeStat
from odradek.errors import BadVersionError, NodeExistsError, NoNodeError
from odradek.recipes.waiting import Client, read, settle
from odradek.recipes.watching import Watching

_log = logging.getLogger("odradek")
Settings = dict[str, Any]
OnChange = Callable[[Settings], object]
_MISSING = object()


class Config(Mapping[str, Any]):
    """The settings at ``path``, as a mapping that follows what others change.

    ``schema`` gives each key its default (``{"workers": 4}``) or its type (``{"workers": int}``);
    a value of another type, or an unknown key, is refused with TypeError or KeyError.  An int is
    fine where a float is asked for.

    Reading (``config["workers"]``) takes the copy in memory, which changes soon after each change
    in the cluster; changes that follow each other closely may be seen as one.  While the session is
    suspended the copy stays as it is, and may be old; after a lost session it is read anew.  The
    znode is persistent.  A stored document that breaks the schema (written by others) is passed
    over: the last good one stays, and :attr:`problem` says why.
    """

    def __init__(self, client: Client, path: str, schema: Mapping[str, Any] | None = None) -> None:
        self.path = path
        self._client = client
        self._types, self._defaults = _read_schema(schema or {})
        self._mutex = threading.Lock()
        self._values: Settings = {}
        self._version = -1
        self._seen = -1
        self._listeners: list[OnChange] = []
        self.problem = ""
        """What is wrong with the stored document; empty if nothing is."""
        self._watching: Watching[tuple[bytes, ZnodeStat]] = Watching(
            client, path, lambda watch: client.get_async(path, watch), self._take
        )
        self._watching.begin()

    # Reading

    @property
    def version(self) -> int:
        """The znode's version of what is read here; -1 while nothing is stored."""
        return self._version

    def __getitem__(self, key: str) -> Any:
        """Return the value, or the default; KeyError when there is neither."""
        with self._mutex:
            return self._values[key] if key in self._values else self._defaults[key]

    def __iter__(self) -> Iterator[str]:
        with self._mutex:
            return iter(list(dict.fromkeys((*self._defaults, *self._values))))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def on_change(self, callback: OnChange) -> OnChange:
        """Call ``callback(changed)`` after each change, with the new values of the changed keys.

        A key that was removed has its default, or None.  Runs on the callbacks' thread; a decorator
        too.
        """
        with self._mutex:
            self._listeners.append(callback)
        return callback

    def close(self) -> None:
        """Follow no more; the copy stays."""
        self._watching.stop()

    # Changing

    def set(self, key: str, value: Any, *, version: int | None = None) -> int:
        """Set one key; returns the new version. See :meth:`update`."""
        return self.update({key: value}, version=version)

    def remove(self, key: str, *, version: int | None = None) -> int:
        """Remove one key, so that its default is read; returns the new version."""
        return self._change(lambda values: values.pop(key, None), version)

    def update(
        self,
        changes: Mapping[str, Any] | Callable[[Settings], Mapping[str, Any]],
        *,
        version: int | None = None,
    ) -> int:
        """Set several keys at once; returns the new version.

        ``changes`` may be a function from the present settings to the changes: it is called again
        whenever somebody else was quicker.  With ``version`` the change is made to that version or
        not at all: BadVersionError.  KeyError, TypeError: the schema.
        """

        def change(values: Settings) -> None:
            wanted = changes({**self._defaults, **values}) if callable(changes) else changes
            for key, value in wanted.items():
                self._check(key, value)
                values[key] = value

        return self._change(change, version)

    # Inside

    def _change(self, change: Callable[[Settings], object], version: int | None) -> int:
        while True:
            try:
                data, stat = read(self._client, lambda: self._client.get_async(self.path))
                values, found = _settings_in(data), stat.version
            except NoNodeError:
                values, found = {}, -1
            if version is not None and version != found:
                raise BadVersionError(f"{self.path} has version {found}, not {version}")
            change(values)
            try:
                stat = self._write(json.dumps(values, sort_keys=True).encode(), found)
            except (BadVersionError, NodeExistsError, NoNodeError) as error:
                if version is not None:
                    raise BadVersionError(f"{self.path} is not version {version}") from error
                continue
            self._follow(values, stat)
            return stat.version

    def _write(self, data: bytes, version: int) -> ZnodeStat:
        if version >= 0:
            return settle(self._client, self._client.set_async(self.path, data, version))
        made = self._client.create_async(self.path, data, makepath=True, include_data=True)
        stat: ZnodeStat = settle(self._client, made)[1]
        return stat

    def _take(self, found: tuple[bytes, ZnodeStat] | None, _event: WatchedEvent | None) -> None:
        if found is None:
            self._follow({}, None)
            return
        data, stat = found
        try:
            values = _settings_in(data)
            for key, value in values.items():
                self._check(key, value)
        except (ValueError, KeyError, TypeError) as error:
            self.problem = f"{self.path}, version {stat.version}: {error}"
            _log.warning("settings passed over: %s", self.problem)
            return
        self._follow(values, stat)

    def _follow(self, values: Settings, stat: ZnodeStat | None) -> None:
        with self._mutex:
            if stat is not None and stat.mzxid <= self._seen:
                return  # read before a change of our own
            before = {**self._defaults, **self._values}
            self._values = values
            self._version = -1 if stat is None else stat.version
            self._seen = -1 if stat is None else stat.mzxid  # what is made later is newer
            self.problem = ""
            after = {**self._defaults, **values}
            listeners = list(self._listeners)
        changed = {
            key: after.get(key)
            for key in dict.fromkeys((*before, *after))
            if before.get(key, _MISSING) != after.get(key, _MISSING)
        }
        for listener in listeners if changed else ():
            try:
                listener(dict(changed))
            except Exception:  # noqa: BLE001 - whatever a listener raises is the user's
                _log.exception("a listener of %s failed", self.path)

    def _check(self, key: str, value: Any) -> None:
        if not isinstance(key, str):
            raise TypeError("a key is a string")
        if not self._types:
            return
        if key not in self._types:
            raise KeyError(f"{key!r} is not in the schema")
        wanted = self._types[key]
        if wanted is float and isinstance(value, int) and not isinstance(value, bool):
            return
        if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
            raise TypeError(f"{key} is {wanted.__name__}, not {type(value).__name__}")


def _read_schema(schema: Mapping[str, Any]) -> tuple[dict[str, type], Settings]:
    types: dict[str, type] = {}
    defaults: Settings = {}
    for key, given in schema.items():
        if isinstance(given, type):
            types[key] = given
        else:
            types[key] = type(given)
            defaults[key] = given
    return types, defaults


def _settings_in(data: bytes) -> Settings:
    """Read what a znode holds; ValueError or TypeError where that is no settings."""
    try:
        values = json.loads(data) if data else {}
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(values, dict):
        raise TypeError("settings are a JSON object")
    return values
