"""One-shot watches of a session: which reads set them, which events end them.

Pure.  A watch begins when the read that asked for it is answered, not before, and ends with its
first event.  An event may overtake the answer of the read that set the watch (both travel on the
lane, but a request is answered only when its last operation is done): zxids tell the two apart.
"""

from __future__ import annotations

from collections.abc import Callable

from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.messages.coordination import (
    NODE_CHILDREN_CHANGED,
    NODE_CREATED,
    NODE_DATA_CHANGED,
    NODE_DELETED,
    Exists,
    GetChildren,
    GetData,
    Operation,
    Result,
    WatchEvent,
    WatchRegistration,
)

OnEvent = Callable[[WatchEvent, Now], None]

DATA = "data"
EXISTS = "exists"
CHILDREN = "children"

_KIND_OF_READ: dict[type, str] = {GetData: DATA, Exists: EXISTS, GetChildren: CHILDREN}

_ENDED_BY: dict[int, tuple[str, ...]] = {
    # A data watch set anew elsewhere may learn that its znode was deleted and made again.
    NODE_CREATED: (EXISTS, DATA),
    NODE_DATA_CHANGED: (DATA, EXISTS),
    NODE_DELETED: (DATA, EXISTS, CHILDREN),
    NODE_CHILDREN_CHANGED: (CHILDREN,),
}


class WatchRead:
    """A read on its way that asks for a watch."""

    __slots__ = ("callbacks", "kind", "overtaken_by", "path")

    def __init__(self, path: str, kind: str, callbacks: list[OnEvent]) -> None:
        self.path = path
        self.kind = kind
        self.callbacks = callbacks
        self.overtaken_by: list[WatchEvent] = []


class Watches:
    """The watches of one session, by path and kind; equal callbacks are kept once."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, str], list[OnEvent]] = {}
        self._reading: dict[tuple[str, str], list[WatchRead]] = {}
        self._armed: dict[tuple[str, str], list[OnEvent]] = {}

    def __len__(self) -> int:
        return sum(len(callbacks) for callbacks in self._armed.values())

    def add(self, path: str, kind: str, callback: OnEvent) -> None:
        """Tie ``callback`` to the next read of this path and kind that asks for a watch.

        If the newest such read on its way has no callback yet, it is that one.
        """
        reading = self._reading.get((path, kind))
        if reading and not reading[-1].callbacks:
            reading[-1].callbacks.append(callback)
        else:
            self._waiting.setdefault((path, kind), []).append(callback)

    def begin(self, operation: Operation) -> WatchRead | None:
        """Note that a read was handed in; None for what sets no watch."""
        kind = _KIND_OF_READ.get(type(operation))
        if kind is None or not isinstance(operation, GetData | Exists | GetChildren):
            return None
        if not operation.watch:
            return None
        key = (operation.path, kind)
        read = WatchRead(operation.path, kind, self._waiting.pop(key, []))
        self._reading.setdefault(key, []).append(read)
        return read

    def answered(self, read: WatchRead, result: Result) -> list[tuple[OnEvent, WatchEvent]]:
        """Begin the watch of an answered read; returns what has fired already, to be called now."""
        self.abandon(read)
        good = result.error == ErrorCode.NONE
        if not good and not (read.kind == EXISTS and result.error == ErrorCode.NO_NODE):
            return []
        for event in read.overtaken_by:
            if event.zxid > result.zxid:
                return [(callback, event) for callback in read.callbacks]
        # As ZooKeeper's: only an ``exists`` of no znode is set anew as such on another server, for
        # there the znode's absence would be no news to it.
        kind = DATA if good and read.kind == EXISTS else read.kind
        armed = self._armed.setdefault((read.path, kind), [])
        armed.extend(callback for callback in read.callbacks if callback not in armed)
        return []

    def abandon(self, read: WatchRead) -> None:
        """Forget a read that will set no watch."""
        key = (read.path, read.kind)
        reading = [other for other in self._reading.get(key, ()) if other is not read]
        if reading:
            self._reading[key] = reading
        else:
            self._reading.pop(key, None)

    def on_event(self, event: WatchEvent, now: Now) -> None:
        """End the watches that this event is about, and call them, in the order they were set."""
        fired: list[OnEvent] = []
        for kind in _ENDED_BY.get(event.type, ()):
            key = (event.path, kind)
            for read in self._reading.get(key, ()):
                read.overtaken_by.append(event)
            fired.extend(c for c in self._armed.pop(key, ()) if c not in fired)
        for callback in fired:
            callback(event, now)

    def lane_ended(self) -> None:
        """The connection is gone: reads on their way will be done again, elsewhere and later."""
        for reading in self._reading.values():
            for read in reading:
                read.overtaken_by.clear()

    def registrations(self) -> tuple[WatchRegistration, ...]:
        """Return the watches to set anew on another coordinator."""
        return tuple(WatchRegistration(path, kind) for path, kind in self._armed)

    def clear(self) -> list[OnEvent]:
        """Forget everything; returns the callbacks whose watches had begun, each once."""
        dropped: list[OnEvent] = []
        for callbacks in self._armed.values():
            dropped.extend(callback for callback in callbacks if callback not in dropped)
        self._armed.clear()
        self._waiting.clear()
        self._reading.clear()
        return dropped
