"""A line of contenders: the ephemeral sequential znodes under one folder, in their order.

Owns one contender's place in such a line: taking it, waiting for those ahead, holding it, and what
becomes of it when the session is suspended or lost.  Locks, elections and leases are lines that
differ in who has to wait for whom.

Why no guid in the names: ZooKeeper's recipe needs one to find again what a create has made whose
answer was lost.  Here a write that is retried within its session is applied once and answers what
it made, and with the session the znode goes too.  Only a caller who stops waiting could leave a
znode behind; its late answer deletes it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

from odradek.coordination.async_result import AsyncResult
from odradek.coordination.znode_values import ZnodeStat
from odradek.errors import ClientTimeoutError, NoNodeError, OdradekError, SessionExpiredError
from odradek.recipes.waiting import (
    ANSWER_S,
    Bell,
    Client,
    Flag,
    Waiter,
    children_of,
    delete_quietly,
    delete_when_made,
    in_order,
    is_connected,
    joined,
    read,
    session_of,
)
from odradek.recipes.watching import OneByOne

_log = logging.getLogger("odradek")


class HoldState:
    """Where a contender stands; plain strings."""

    FREE = "FREE"
    """Not in the line, or not yet at its head."""
    HELD = "HELD"
    SUSPENDED = "SUSPENDED"
    """No coordinator at present: whether it is still held cannot be known. Stop, or be fenced."""
    LOST = "LOST"
    """The session has ended, and the hold with it; another one may hold it already."""


class LockTimeout(ClientTimeoutError):
    """It was not obtained within the time given."""


class Place(NamedTuple):
    """A znode of ours in the line."""

    path: str
    session_id: int
    czxid: int

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]


Ahead = Callable[[str, list[str]], str | None]
"""Given one's own name and the line in order: whom to wait for, or None for nobody."""
OnHold = Callable[[str], object]


def next_lower(own: str, line: list[str]) -> str | None:
    """Wait for the one just ahead: its going wakes one contender, not all of them."""
    index = line.index(own)
    return line[index - 1] if index else None


class Line:
    """One contender. Thread-safe, for one attempt at a time.

    ``kinds`` are the prefixes of the znodes that stand in this line, ``prefix`` is our own.
    ``watch_all``: any change of the line may let us in, not only the going of the one ahead.
    ``lost`` is set when a hold has ended with its session, until the next attempt.
    """

    def __init__(
        self,
        client: Client,
        folder: str,
        prefix: str,
        identifier: bytes,
        *,
        kinds: Iterable[str] = (),
        ahead: Ahead = next_lower,
        watch_all: bool = False,
    ) -> None:
        self.client = client
        self.folder = folder
        self.lost = client.waiting.signal()
        self._prefix = prefix
        self._kinds = tuple(kinds) or (prefix,)
        self._identifier = identifier
        self._ahead = ahead
        self._watch_all = watch_all
        self._mutex = threading.Lock()
        self._place: Place | None = None
        self._held = False
        self._waiter: Waiter | None = None
        self._told = HoldState.FREE
        self._listeners: list[OnHold] = []
        self._telling = OneByOne()
        self._bell = Bell()

    # What it is

    @property
    def place(self) -> Place | None:
        """The place in the line, once taken and until it is left or lost."""
        place = self._place
        return place if place is not None and self._lives(place) else None

    @property
    def state(self) -> str:
        """One of :class:`HoldState`, judged now."""
        with self._mutex:
            if not self._held or self._place is None:
                return HoldState.LOST if self.lost.is_set() else HoldState.FREE
            if not self._lives(self._place):
                return HoldState.LOST
            return HoldState.HELD if is_connected(self.client) else HoldState.SUSPENDED

    @property
    def held_place(self) -> Place | None:
        """The place from which it is or was held, until it is released."""
        return self._place if self._held else None

    def add_listener(self, listener: OnHold) -> None:
        """Call ``listener(state)`` at each change of :class:`HoldState`, on the thread that sees it."""
        with self._mutex:
            self._listeners.append(listener)

    def remove_listener(self, listener: OnHold) -> None:
        """Call it no more."""
        with self._mutex:
            if listener in self._listeners:
                self._listeners.remove(listener)

    def contenders(self) -> list[str]:
        """Return the identifiers of those in the line, the head first."""
        found: list[str] = []
        for name in in_order(children_of(self.client, self.folder), *self._kinds):
            try:
                path = joined(self.folder, name)
                data, _ = read(self.client, partial(self.client.get_async, path))
            except NoNodeError:
                continue
            found.append(data.decode(errors="replace"))
        return found

    # What is done with it

    def enter(self, *, blocking: bool, timeout_s: float | None) -> bool:
        """Take a place and wait until nobody has to be waited for.

        False: not blocking, and somebody is ahead.  With no time at all (0) it looks once, too, and
        then LockTimeout says so.  LockTimeout, Cancelled, and what the client raises: then the place
        is given up.  A session lost meanwhile costs the place in the line,
        not the attempt.  RuntimeError: it is held already, or another thread is waiting with it.
        """
        once = not blocking or timeout_s == 0
        if once and not timeout_s:
            timeout_s = ANSWER_S  # it waits for answers, and for nobody ahead
        waiter = Waiter(self.client.waiting, timeout_s)
        self._on_state()  # a loss that was not noticed yet is told before it is forgotten
        with self._mutex:
            if self._waiter is not None or (
                self._held and self._place and self._lives(self._place)
            ):
                raise RuntimeError("one object is one contender: it holds or waits already")
            self._waiter, self._held, self._place = waiter, False, None
            self.lost.clear()
            self._told = HoldState.FREE
        held = told = False
        try:
            self.client.add_listener(self._on_state)
            held = self._wait(waiter, blocking=not once)
            if blocking and not held:
                raise LockTimeout(f"{self.folder}: somebody else has it")
            self._waiter = None
            if held:
                self._on_state()
                told = True
        except LockTimeout:
            raise
        except ClientTimeoutError as error:
            raise LockTimeout(f"{self.folder}: not obtained in time") from error
        finally:
            self._waiter = None
            if not told:  # Ctrl-C in a listener included: who was not told cannot release
                self._give_up()
        return held

    def leave(self) -> bool:
        """Give the place up; says whether it was held until now, as far as is known.

        Waits for the answer as long as the session is connected.  Without a coordinator the
        deletion is on its way: done before anything else of this session, or the session ends.
        """
        held = self._held
        deleted = self._give_up()
        if deleted is None:
            return False
        try:
            waiter = Waiter(self.client.waiting)
            deleted.add_done_callback(waiter.wake)
            self.client.add_listener(waiter.wake)
            try:
                waiter.until(lambda: deleted.done() or not is_connected(self.client))
            finally:
                self.client.remove_listener(waiter.wake)
            return held and (not deleted.done() or deleted.get_nowait())
        except OdradekError:
            return False  # gone already: with its session, or by somebody's hand

    def cancel(self) -> None:
        """End the wait of another thread with :class:`Cancelled`; nothing if there is none."""
        waiter = self._waiter
        if waiter is not None:
            waiter.cancel()

    # Inside

    def _wait(self, waiter: Waiter, *, blocking: bool) -> bool:
        while True:
            try:
                held = self._look(waiter, blocking=blocking)
            except SessionExpiredError:
                self._place, held = None, None  # and with it the place: once more from the end
            if held is not None:
                return held

    def _look(self, waiter: Waiter, *, blocking: bool) -> bool | None:
        """List the line once, and wait for the one ahead; None: look again."""
        with self._bell.flag(waiter) as stirred:
            return self._look_until(stirred, waiter, blocking=blocking)

    def _look_until(self, stirred: Flag, waiter: Waiter, *, blocking: bool) -> bool | None:
        place = self._stand(waiter)
        watch = self._bell if self._watch_all else None
        line = in_order(children_of(self.client, self.folder, watch, waiter), *self._kinds)
        if place.name not in line:
            self._place = None  # lost with its session, or deleted by somebody
            return None
        ahead = self._ahead(place.name, line)
        if ahead is None:
            return self._hold(place)
        if not blocking:
            return False
        try:
            # A read of data, for it leaves no watch behind when the one ahead has just gone.
            if not self._watch_all:
                waiter.settle(self.client.get_async(joined(self.folder, ahead), self._bell))
        except NoNodeError:
            return None
        if not waiter.until(lambda: stirred.up or not self._lives(place)):
            raise LockTimeout(f"{self.folder}: not obtained in time")
        return None

    def _stand(self, waiter: Waiter) -> Place:
        place = self._place
        if place is not None and self._lives(place):
            return place
        made: AsyncResult[tuple[str, ZnodeStat]] = self.client.create_async(
            joined(self.folder, self._prefix),
            self._identifier,
            ephemeral=True,
            sequence=True,
            makepath=True,
            include_data=True,
        )
        try:
            path, stat = waiter.settle(made)
            self._place = place = Place(path, stat.ephemeralOwner, stat.czxid)
        except BaseException:
            delete_when_made(self.client, made)
            raise
        return place

    def _hold(self, place: Place) -> bool | None:
        with self._mutex:
            self._held = True
        if self._lives(place):
            return True  # and a loss from here on reaches the listener
        with self._mutex:
            self._held, self._place = False, None
        return None

    def _give_up(self) -> AsyncResult[bool] | None:
        """Forget the place, and have its znode deleted before anybody is told, who may raise.

        Returns the answer to come; None: there is nothing to delete any more.
        """
        if self.state == HoldState.LOST:
            self.lost.set()
        with self._mutex:
            place, self._place, self._held = self._place, None, False
        deleted = None
        if place is not None and self._lives(place):
            deleted = delete_quietly(self.client, place.path)
        self.client.remove_listener(self._on_state)
        self._telling.run(self._tell)
        return deleted

    def _lives(self, place: Place) -> bool:
        return session_of(self.client) == place.session_id

    def _on_state(self, _state: str = "") -> None:
        """Judge by what is so now: the word may be about a session before this one."""
        if self.state == HoldState.LOST:
            self.lost.set()
        waiter = self._waiter
        if waiter is not None:
            waiter.wake()
        else:
            self._telling.run(self._tell)

    def _tell(self) -> None:
        """Tell what is so now, so that the last word is right whoever says it."""
        state = self.state
        with self._mutex:
            if state == self._told:
                return
            self._told = state
            listeners = list(self._listeners)
        for listener in listeners:
            try:
                listener(state)
            except Exception:  # noqa: BLE001 - whatever a listener raises is the user's
                _log.exception("a listener of %s failed: %r", self.folder, listener)
