"""How a recipe waits, and what it needs of its client.

Recipes use the public coordination client and these few things only, so that a test can run them
on a tree in memory, and the simulator on virtual time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar
from weakref import WeakSet

from odradek.arguments import wait_s
from odradek.coordination.async_result import AsyncResult
from odradek.coordination.znode_transaction import Transaction
from odradek.coordination.znode_values import CoordinationState, WatchedEvent, ZnodeStat
from odradek.errors import ClientTimeoutError, NoNodeError, OdradekError, SessionExpiredError

T = TypeVar("T")
Watch = Callable[[WatchedEvent], object]

ANSWER_S = 30.0
"""How long an answer may take, as in the client's blocking calls. What a recipe waits *for* has the
time that its caller gives."""


class Signal(Protocol):
    """A ``threading.Event``, or the simulator's."""

    def set(self) -> None:
        """Wake who waits, now and later."""
        ...

    def clear(self) -> None:
        """Let the next one wait again."""
        ...

    def is_set(self) -> bool:
        """Say whether nobody would wait."""
        ...

    def wait(self, timeout: float | None = None) -> bool:
        """Wait at most ``timeout`` seconds; says whether it is set."""
        ...


class Waiting:
    """Signals and the clock of the real world."""

    def signal(self) -> Signal:
        """Return a new signal that is not set."""
        return threading.Event()

    def now_s(self) -> float:
        """Return seconds of a clock that never goes back."""
        return time.monotonic()


REAL = Waiting()


class Client(Protocol):
    """What recipes use of :class:`odradek.CoordinationClient`."""

    @property
    def waiting(self) -> Waiting:
        """How its recipes wait."""
        ...

    @property
    def state(self) -> str:
        """One of ``CoordinationState``."""
        ...

    @property
    def client_id(self) -> tuple[int, bytes] | None:
        """Id and password of the session."""
        ...

    def add_listener(self, listener: Callable[[str], object]) -> None:
        """Call it on each change of state."""
        ...

    def remove_listener(self, listener: Callable[[str], object]) -> None:
        """Call it no more."""
        ...

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
        """Create a znode."""
        ...

    def ensure_path_async(
        self, path: str, acl: Iterable[object] | None = None
    ) -> AsyncResult[bool]:
        """Create a path where it is missing."""
        ...

    def get_async(
        self, path: str, watch: Watch | None = None
    ) -> AsyncResult[tuple[bytes, ZnodeStat]]:
        """Read data and stat."""
        ...

    def set_async(self, path: str, value: bytes, version: int = -1) -> AsyncResult[ZnodeStat]:
        """Replace the data."""
        ...

    def delete_async(
        self, path: str, version: int = -1, recursive: bool = False
    ) -> AsyncResult[bool]:
        """Delete a znode."""
        ...

    def exists_async(self, path: str, watch: Watch | None = None) -> AsyncResult[ZnodeStat | None]:
        """Read the stat, or None."""
        ...

    def get_children_async(
        self, path: str, watch: Watch | None = None, include_data: bool = False
    ) -> AsyncResult[Any]:
        """List the children."""
        ...

    def add_watch_async(
        self, path: str, watch: Watch, recursive: bool = False
    ) -> AsyncResult[bool]:
        """Watch a path, and what is below it, until further notice."""
        ...

    def remove_watch_async(
        self, path: str, watch: Watch, recursive: bool = False
    ) -> AsyncResult[bool]:
        """End such a watch."""
        ...

    def transaction(self) -> Transaction:
        """Begin a transaction."""
        ...


class Cancelled(OdradekError):
    """The wait was ended: by ``cancel()``, or with the task that awaited it."""


class Patience:
    """How long somebody is ready to wait, for all of several steps together; None: for ever."""

    def __init__(self, waiting: Waiting, timeout_s: float | None) -> None:
        self._waiting = waiting
        patience_s = wait_s("timeout", timeout_s)
        self._end_s = None if patience_s is None else waiting.now_s() + patience_s

    def left_s(self) -> float | None:
        """Return the seconds left, 0 when it is over."""
        return None if self._end_s is None else max(0.0, self._end_s - self._waiting.now_s())

    @property
    def over(self) -> bool:
        """Say whether nothing is left."""
        return self.left_s() == 0


class Scope:
    """Ends every wait that begins on a thread within ``with scope``, whichever recipe waits."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._waiters: WeakSet[Waiter] = WeakSet()
        self.cancelled = False

    def cancel(self) -> None:
        """Have the waits end with :class:`Cancelled`, and those that are still to begin."""
        with self._mutex:
            self.cancelled = True
            waiters = list(self._waiters)
        for waiter in waiters:
            waiter.cancel()

    def enter(self, waiter: Waiter) -> None:
        """Count a wait in."""
        with self._mutex:
            self._waiters.add(waiter)
            cancelled = self.cancelled
        if cancelled:
            waiter.cancel()

    def __enter__(self) -> Scope:
        _here.scope = self
        return self

    def __exit__(self, *raised: object) -> None:
        _here.scope = None


class _Here(threading.local):
    scope: Scope | None = None


_here = _Here()


class Waiter:
    """One thread that waits for answers and events, and can be told to give up.

    Whatever may matter to it calls :meth:`wake`; it then looks at what it waits for again.
    """

    def __init__(self, waiting: Waiting, timeout_s: float | None = None) -> None:
        self._signal = waiting.signal()
        self._patience = Patience(waiting, timeout_s)
        self._cancelled = False
        if _here.scope is not None:
            _here.scope.enter(self)

    @property
    def over(self) -> bool:
        """Say whether its time is over."""
        return self._patience.over

    def wake(self, *_event: object) -> None:
        """Let it look again; fit for a watch or a listener (it asks not to be removed)."""
        self._signal.set()

    def cancel(self) -> None:
        """Have the wait end with :class:`Cancelled`."""
        self._cancelled = True
        self._signal.set()

    def until(self, condition: Callable[[], bool]) -> bool:
        """Wait until ``condition`` holds; False when the time is over first. Cancelled."""
        while True:
            self._signal.clear()
            if self._cancelled:
                raise Cancelled("the wait was cancelled")
            if condition():
                return True
            if not self._signal.wait(self._patience.left_s()) and self.over:
                return condition()

    def settle(self, result: AsyncResult[T]) -> T:
        """Wait for a result, and return or raise it; ClientTimeoutError, Cancelled."""
        result.add_done_callback(self.wake)
        if not self.until(result.done):
            raise ClientTimeoutError("not done in time; it may still be done later")
        return result.get_nowait()


class Flag:
    """Goes up with the first event after it was raised, and wakes a waiter."""

    def __init__(self, waiter: Waiter) -> None:
        self.up = False
        self._waiter = waiter

    def raise_it(self) -> None:
        """Go up."""
        self.up = True
        self._waiter.wake()


class Bell:
    """The watch of a recipe, one and the same for all of its waits.

    A wait whose time is over leaves its watch behind until the next event, which may be far: were each
    wait's another one, whoever asks again and again would gather them without end.  An event that an
    earlier wait had asked for only makes the present one look once too often.
    """

    def __init__(self) -> None:
        self._flags: dict[Flag, None] = {}

    @contextmanager
    def flag(self, waiter: Waiter) -> Iterator[Flag]:
        """Give a flag that goes up with the next event."""
        flag = Flag(waiter)
        self._flags[flag] = None
        try:
            yield flag
        finally:
            del self._flags[flag]

    def __call__(self, _event: WatchedEvent) -> None:
        """Take an event."""
        for flag in list(self._flags):
            flag.raise_it()


def settle(client: Client, result: AsyncResult[T], timeout_s: float | None = ANSWER_S) -> T:
    """Wait for one answer; ClientTimeoutError."""
    return Waiter(client.waiting, timeout_s).settle(result)


def read(
    client: Client, ask: Callable[[], AsyncResult[T]], timeout_s: float | None = ANSWER_S
) -> T:
    """Ask what does no harm when it is asked twice, again after a lost session; ClientTimeoutError."""
    waiter = Waiter(client.waiting, timeout_s)
    while True:
        try:
            return waiter.settle(ask())
        except SessionExpiredError:
            continue


def session_of(client: Client) -> int:
    """Return the id of the client's present session, 0 for none."""
    identity = client.client_id
    return 0 if identity is None else identity[0]


def is_connected(client: Client) -> bool:
    """Say whether a coordinator serves the session at present, as far as the client knows."""
    return client.state == CoordinationState.CONNECTED


def joined(folder: str, name: str) -> str:
    """Return the path of a child."""
    return f"{folder.rstrip('/')}/{name}"


def number_of(name: str) -> int:
    """Return the sequence number at the end of a name; -1 for a name without one."""
    digits = name[-10:]
    return int(digits) if len(digits) == 10 and digits.isdigit() else -1


def in_order(names: Iterable[str], *prefixes: str) -> list[str]:
    """Return the names with a sequence number that begin so, by number."""
    found = [name for name in names if name.startswith(prefixes) and number_of(name) >= 0]
    return sorted(found, key=number_of)


def children_of(
    client: Client, path: str, watch: Watch | None = None, waiter: Waiter | None = None
) -> list[str]:
    """Return the children of a path; none for one that is not there (then nothing is watched).

    Without a ``waiter`` it has ANSWER_S, and asks again after a lost session.
    """

    def ask() -> AsyncResult[list[str]]:
        return client.get_children_async(path, watch)

    try:
        names = read(client, ask) if waiter is None else waiter.settle(ask())
    except NoNodeError:
        return []
    return names


def delete_when_made(client: Client, made: AsyncResult[tuple[str, ZnodeStat]]) -> None:
    """Take back what a create makes whose caller waits no more, if it ever does."""

    def late(_future: object) -> None:
        if not made.cancelled() and made.exception() is None:
            delete_quietly(client, made.result()[0])

    made.add_done_callback(late)


def delete_quietly(client: Client, path: str) -> AsyncResult[bool] | None:
    """Have a znode deleted, and return the answer to come. One that fails tells nobody."""
    try:
        return client.delete_async(path)
    except OdradekError:
        return None  # the client is closed: its session takes its ephemerals along
