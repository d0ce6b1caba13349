"""The watches of a session: which operations set them, which events they are about.

Pure.  A watch begins when the operation that asked for it is answered, not before; a one-shot one
ends with its first event, a persistent one with its removal or its session.  An event may overtake
the answer of the read that set the watch (both travel on the lane, but a request is answered only
when its last operation is done): zxids tell the two apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.messages.coordination import (
    NODE_CHILDREN_CHANGED,
    NODE_CREATED,
    NODE_DATA_CHANGED,
    NODE_DELETED,
    AddWatch,
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
PERSISTENT = "persistent"
RECURSIVE = "recursive"
ANY = "any"
_LASTING = (PERSISTENT, RECURSIVE)

_KIND_OF_READ: dict[type, str] = {GetData: DATA, Exists: EXISTS, GetChildren: CHILDREN}

_ENDED_BY: dict[int, tuple[str, ...]] = {
    # A data watch set anew elsewhere may learn that its znode was deleted and made again.
    NODE_CREATED: (EXISTS, DATA),
    NODE_DATA_CHANGED: (DATA, EXISTS),
    NODE_DELETED: (DATA, EXISTS, CHILDREN),
    NODE_CHILDREN_CHANGED: (CHILDREN,),
}


class EndingWatch:
    """A watch callback that also hears of the end of its watch, on the loop's thread."""

    def __call__(self, event: WatchEvent, now: Now) -> None:
        """Take an event."""
        raise NotImplementedError

    def ended(self) -> None:
        """The watch went with its session."""

    def removed(self) -> None:
        """The watch was taken away."""


_REMOVALS: dict[object, tuple[str, tuple[str, ...]]] = {
    DATA: (DATA, (DATA, EXISTS)),
    EXISTS: (EXISTS, (DATA, EXISTS)),
    CHILDREN: (CHILDREN, (CHILDREN,)),
    PERSISTENT: (PERSISTENT, (PERSISTENT,)),
    RECURSIVE: (RECURSIVE, (RECURSIVE,)),
    ANY: (ANY, (DATA, EXISTS, CHILDREN, PERSISTENT, RECURSIVE)),
    # ZooKeeper's numbers
    1: (CHILDREN, (CHILDREN,)),
    2: (DATA, (DATA, EXISTS)),
    3: (ANY, (DATA, EXISTS, CHILDREN, PERSISTENT, RECURSIVE)),
}


def kind_of_removal(kind: object) -> str:
    """Return what a removal of ``kind`` (or of ZooKeeper's number for it) is called on the wire."""
    try:
        return _REMOVALS[kind][0]
    except (KeyError, TypeError):
        names = ", ".join(name for name in _REMOVALS if isinstance(name, str))
        raise ValueError(f"{kind!r} is no kind of watch; there are {names}") from None


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
        if isinstance(operation, AddWatch):
            kind = RECURSIVE if operation.recursive else PERSISTENT
        elif isinstance(operation, GetData | Exists | GetChildren) and operation.watch:
            kind = _KIND_OF_READ[type(operation)]
        else:
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
        news = [event for event in read.overtaken_by if event.zxid > result.zxid]
        if news and read.kind not in _LASTING:
            return [(callback, news[0]) for callback in read.callbacks]
        # As ZooKeeper's: only an ``exists`` of no znode is set anew as such on another server, for
        # there the znode's absence would be no news to it.
        kind = DATA if good and read.kind == EXISTS else read.kind
        armed = self._armed.get((read.path, kind), [])
        begun = [callback for callback in read.callbacks if callback not in armed]
        if begun:
            self._armed[read.path, kind] = [*armed, *begun]
        return [(callback, event) for event in news for callback in begun]

    def abandon(self, read: WatchRead) -> None:
        """Forget a read that will set no watch."""
        key = (read.path, read.kind)
        reading = [other for other in self._reading.get(key, ()) if other is not read]
        if reading:
            self._reading[key] = reading
        else:
            self._reading.pop(key, None)

    def refused(self, operations: Iterable[Operation]) -> None:
        """Untie what waits for these reads, which will not be done: no other read is meant."""
        for operation in operations:
            read = self.begin(operation)
            if read is not None:
                self.abandon(read)

    def on_event(self, event: WatchEvent, now: Now) -> None:
        """Call the watches that this event is about, in the order they were set, each once."""
        fired: list[OnEvent] = []
        for kind in _ENDED_BY.get(event.type, ()):
            self._overtake((event.path, kind), event)
            fired.extend(c for c in self._armed.pop((event.path, kind), ()) if c not in fired)
        for key in _lasting_keys(event):
            self._overtake(key, event)
            fired.extend(c for c in self._armed.get(key, ()) if c not in fired)
        for callback in fired:
            callback(event, now)

    def _overtake(self, key: tuple[str, str], event: WatchEvent) -> None:
        for read in self._reading.get(key, ()):
            read.overtaken_by.append(event)

    def forget(self, path: str, kind: str) -> list[OnEvent]:
        """Drop the watches of a path that begun as ``kind`` (or any); returns their callbacks."""
        dropped: list[OnEvent] = []
        for each in _REMOVALS[kind][1]:
            gone = self._armed.pop((path, each), ())
            dropped.extend(callback for callback in gone if callback not in dropped)
        return dropped

    def remove(self, path: str, kind: str, callback: OnEvent) -> bool:
        """Call ``callback`` no more; True: the session needs this watch for nobody else.

        Nor is it called by a watch whose setting is under way.
        """
        key = (path, kind)
        needed = False
        for read in self._reading.get(key, ()):
            others = [other for other in read.callbacks if other != callback]
            needed = needed or bool(others) or not read.callbacks
            read.callbacks = others
        for callbacks in (self._armed, self._waiting):
            kept = [other for other in callbacks.pop(key, ()) if other != callback]
            if kept:
                callbacks[key] = kept
        return not (needed or key in self._armed or key in self._waiting)

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


def _lasting_keys(event: WatchEvent) -> list[tuple[str, str]]:
    """Return where persistent watches of this event would be: at its path, and above it."""
    keys = [(event.path, PERSISTENT)]
    if event.type == NODE_CHILDREN_CHANGED:  # recursive ones hear of the children themselves
        return keys
    path = event.path
    while path and path != "/":
        keys.append((path, RECURSIVE))
        path = path.rpartition("/")[0]
    keys.append(("/", RECURSIVE))
    return keys
