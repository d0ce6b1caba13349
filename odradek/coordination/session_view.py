"""What a coordination client's threads see of its session, and whom it tells of changes.

Written on the loop's thread, read on any.  Knows neither the engine nor the client, so that a
client that is dropped can be collected and its thread ended.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from odradek.coordination.async_result import AsyncResult, Dispatcher
from odradek.coordination.chroot import Chroot
from odradek.coordination.session import SessionState
from odradek.coordination.watches import EndingWatch, OnEvent
from odradek.coordination.znode_values import (
    CoordinationState,
    EventType,
    KeeperState,
    WatchedEvent,
)
from transport.kernel import Now
from transport.wire.messages.coordination import WatchEvent

Watch = Callable[[WatchedEvent], object]
Listener = Callable[[str], object]

_STATES = {
    SessionState.CONNECTED: CoordinationState.CONNECTED,
    SessionState.SUSPENDED: CoordinationState.SUSPENDED,
    SessionState.LOST: CoordinationState.LOST,
    SessionState.CLOSED: CoordinationState.LOST,
}


@dataclass(frozen=True)
class Watcher(EndingWatch):
    """A user's watch callback, run on the callbacks' thread; equal for the same function."""

    function: Watch
    dispatcher: Dispatcher
    chroot: Chroot = Chroot()

    def __call__(self, event: WatchEvent, _now: Now) -> None:
        """Have the user told of the event; called on the loop's thread."""
        self.dispatcher.put(
            self.function, WatchedEvent.of(event.type, self.chroot.user(event.path))
        )

    def ended(self) -> None:
        """Tell the user that the watch went with its session."""
        event = WatchedEvent(EventType.NONE, KeeperState.EXPIRED_SESSION, None)
        self.dispatcher.put(self.function, event)

    def removed(self) -> None:
        """Tell the user that the watch was taken away."""
        event = WatchedEvent(EventType.REMOVED, KeeperState.CONNECTED, None)
        self.dispatcher.put(self.function, event)


class Listeners:
    """Who wants to hear of changes of state; outlives connections. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: list[Listener] = []

    def add(self, listener: Listener) -> None:
        """Add one, unless it is there."""
        if not callable(listener):
            raise TypeError("a listener is a function of one state")
        with self._lock:
            if listener not in self._listeners:
                self._listeners.append(listener)

    def remove(self, listener: Listener) -> None:
        """Remove one, if it is there."""
        with self._lock:
            if listener in self._listeners:
                self._listeners.remove(listener)

    def tell(self, state: str, dispatcher: Dispatcher) -> None:
        """Have each of them called, on the callbacks' thread."""
        with self._lock:
            listeners = list(self._listeners)
        for listener in listeners:
            dispatcher.put(self._call, listener, state)

    def _call(self, listener: Listener, state: str) -> None:
        if listener(state) is True:
            self.remove(listener)


class SessionView:
    """The present state, and the promise of the first connection."""

    def __init__(self, listeners: Listeners) -> None:
        self.dispatcher = Dispatcher()
        self.state = CoordinationState.LOST
        self.connected: AsyncResult[bool] = AsyncResult(self.dispatcher)
        self._listeners = listeners

    def changed(self, state: SessionState, ended: Sequence[OnEvent], _now: Now) -> None:
        """Take a change of the session; called on the loop's thread."""
        told = _STATES[state]
        if told != self.state:
            self.state = told
            self._listeners.tell(told, self.dispatcher)
        if told == CoordinationState.CONNECTED and not self.connected.done():
            self.connected.set_result(True)
        for callback in ended:
            if isinstance(callback, EndingWatch):
                callback.ended()
