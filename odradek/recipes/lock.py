"""Lock: one holder at a time, in the order of arrival, with a fencing token.

Owns the words a holder uses; the line it stands in is ``line``'s.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

from odradek.recipes.line import HoldState, Line, LockTimeout
from odradek.recipes.waiting import Cancelled, Client, Signal

__all__ = ["Cancelled", "HoldState", "Lock", "LockTimeout"]

LOCK = "lock-"


def identifier_bytes(identifier: str | bytes | None) -> bytes:
    """Return the identifier of a contender as its znode keeps it."""
    if identifier is None:
        return b""
    return identifier.encode() if isinstance(identifier, str) else identifier


class Hold:
    """Something that is acquired, held and released: what locks, leases and elections share."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self.path = line.folder

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Wait for it, at most ``timeout`` seconds; True when it is held.

        False: not ``blocking``, and somebody else has it.  LockTimeout: ``timeout`` is over; 0 is
        enough for what is free.
        Cancelled: :meth:`cancel` was called.  RuntimeError: this object holds it, or waits in
        another thread.  After a loss it may be acquired anew.
        """
        return self._line.enter(blocking=blocking, timeout_s=timeout)

    def release(self) -> bool:
        """Give it up; True if it was held until now. Harmless when it is not held.

        Without a coordinator it does not wait: the release is done before anything else of this
        session, or the session ends.
        """
        return self._line.leave()

    def cancel(self) -> None:
        """End the ``acquire`` of another thread with Cancelled."""
        self._line.cancel()

    @property
    def is_held(self) -> bool:
        """True while it is held and a coordinator serves the session.

        False while suspended: then it *may* be held, or be another's already (see :attr:`state`).
        True is what this client knows, not a promise about the next moment: a process that was
        paused is the last to learn of it.  Where that would do harm, have the resource compare
        :attr:`fencing_token`.
        """
        return self._line.state == HoldState.HELD

    is_acquired = is_held

    @property
    def state(self) -> str:
        """FREE, HELD, SUSPENDED (perhaps held) or LOST; see :class:`HoldState`."""
        return self._line.state

    @property
    def fencing_token(self) -> int:
        """A number that is larger for every later holder: the czxid of the holder's znode.

        Send it along with what is done under the hold, and let the resource refuse a smaller one
        than it has seen.  Stays readable after a loss, until the release.  RuntimeError: not held.
        """
        place = self._line.held_place
        if place is None:
            raise RuntimeError(f"{self.path} is not held")
        return place.czxid

    @property
    def lost(self) -> Signal:
        """An event that is set when a hold ends with its session, until the next ``acquire``."""
        return self._line.lost

    def add_listener(self, listener: Callable[[str], object]) -> None:
        """Call ``listener(state)`` on each change; it must not block the thread it runs on."""
        self._line.add_listener(listener)

    def remove_listener(self, listener: Callable[[str], object]) -> None:
        """Call it no more."""
        self._line.remove_listener(listener)

    def on_lost(self, callback: Callable[[], object]) -> None:
        """Call ``callback()`` whenever a hold has ended with its session."""
        self._line.add_listener(lambda state: callback() if state == HoldState.LOST else None)

    def contenders(self) -> list[str]:
        """Return the identifiers of those who hold or wait, in order of arrival."""
        return self._line.contenders()

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *raised: object) -> None:
        self.release()


class Lock(Hold):
    """A lock at ``path``: fair, without a herd, with fencing tokens.

    When the session is SUSPENDED, ``is_held`` is False and ``state`` SUSPENDED: the lock is kept if
    the session comes back.  When the session is LOST, the lock is gone: ``state`` is LOST,
    ``lost`` is set and ``on_lost`` callbacks run.  The servers never have two holders; a holder
    that has not yet noticed its loss can overlap with the next one, as with every lock service,
    and is told apart by its smaller ``fencing_token``.  A session that is lost while it waits costs
    the place in the line, not the attempt.

    One object is one contender, used for one attempt at a time, from any thread; it is not
    reentrant.
    """

    def __init__(self, client: Client, path: str, identifier: str | bytes | None = None) -> None:
        super().__init__(Line(client, path, LOCK, identifier_bytes(identifier)))
