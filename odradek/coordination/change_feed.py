"""A stream of changes under a prefix: what to ask next, and when there may be something new.

Pure, apart from its lock: events come on the loop's thread, the user asks on another.  The blocking
and the asyncio stream ask it what to do and do it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

from odradek.coordination.chroot import Chroot
from odradek.coordination.watches import EndingWatch
from odradek.coordination.znode_transaction import error_of
from odradek.coordination.znode_values import event_type
from odradek.errors import HistoryCompactedError, OdradekError, SessionExpiredError
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.messages.coordination import Result, WatchEvent

PAGE_CHANGES = 500
LOOK_AGAIN_S = 5.0
"""A quiet stream asks this often, so that its place stays within what servers still know."""


class Change(NamedTuple):
    """What one write did to one znode."""

    zxid: int
    """Of the write; the changes of one transaction have the same."""
    type: str
    """CREATED, DELETED or CHANGED, as in :class:`EventType`."""
    path: str
    data: bytes | None
    """After the change; None for a deletion."""
    version: int


class Page(NamedTuple):
    """Some changes in order, and the zxid up to which they are complete."""

    changes: list[Change]
    zxid: int

    @classmethod
    def of(cls, result: Result, chroot: Chroot, since: int) -> Page:
        """Return what a coordinator has answered; HistoryCompactedError, NoAuthError."""
        if result.error == ErrorCode.HISTORY_COMPACTED:
            text = f"changes after zxid {since} are no longer known, only those after {result.zxid}"
            error = HistoryCompactedError(text)
            error.oldest = result.zxid
            raise error
        if result.error != ErrorCode.NONE:
            raise error_of(result, "changes")
        changes = [
            Change(one.zxid, event_type(one.type), chroot.user(one.path), one.data, one.version)
            for one in result.changes
        ]
        return cls(changes, result.zxid)


class Step(Enum):
    """What the stream has to do next."""

    TAKE = "take"
    """A change is there."""
    WATCH = "watch"
    """Set the watch that wakes the stream."""
    READ = "read"
    WAIT = "wait"
    END = "end"


class Waker(EndingWatch):
    """The watch of a stream: wakes it, and knows the first zxid since it was read."""

    def __init__(self, feed: ChangeFeed) -> None:
        self._feed = feed

    def __call__(self, event: WatchEvent, _now: Now) -> None:
        """Take an event; called on the loop's thread."""
        self._feed.on_event(event.zxid)

    def ended(self) -> None:
        """The watch went with its session."""
        self._feed.on_watch_ended()

    removed = ended


class ChangeFeed:
    """One stream's place, its changes that nobody has taken yet, and whether to look for more."""

    def __init__(self, since: int | None, wake: Callable[[], object]) -> None:
        self.waker = Waker(self)
        self._wake = wake
        self._lock = threading.Lock()
        self._since = since
        self._place = since
        self._waiting: deque[Change] = deque()
        self._watching = False
        self._dirty = True
        self._first_zxid: int | None = None
        self._unbroken = False
        """All was read, and the connection has not changed since: the first event is the first change."""
        self._ended = False

    @property
    def position(self) -> int | None:
        """The zxid to give as ``since`` to go on after the change taken last."""
        return self._place

    def step(self) -> Step:
        """Return what to do next."""
        with self._lock:
            if self._ended:
                return Step.END
            if self._waiting:
                return Step.TAKE
            if not self._watching:
                return Step.WATCH
            return Step.READ if self._dirty else Step.WAIT

    def take(self) -> Change:
        """Return the oldest change; there must be one."""
        with self._lock:
            change = self._waiting.popleft()
            following = self._waiting[0].zxid if self._waiting else None
            whole = following != change.zxid
            self._place = change.zxid if whole else change.zxid - 1
            return change

    def watching(self, zxid: int) -> None:
        """The watch is set since ``zxid``: where a stream without a ``since`` begins."""
        with self._lock:
            self._watching = self._dirty = True
            if self._since is None:
                self._since = self._place = zxid

    def begin_read(self) -> int:
        """Return the zxid to read from; what happens from now on asks for another read."""
        with self._lock:
            assert self._since is not None
            if self._unbroken and self._first_zxid is not None:
                # Nothing happened before the event that woke us, so nothing before it is needed.
                self._since = max(self._since, self._first_zxid - 1)
            self._dirty, self._first_zxid, self._unbroken = False, None, True
            return self._since

    def read(self, page: Page) -> None:
        """Take what was read; a page with changes may have another behind it."""
        with self._lock:
            self._waiting.extend(page.changes)
            self._since = max(self._since or 0, page.zxid)
            if page.changes:
                self._dirty, self._unbroken = True, False
            else:
                self._place = self._since

    def failed(self, error: OdradekError) -> bool:
        """Take the failure of a watch or a read; True: it passes, go on."""
        self.abandoned()
        with self._lock:
            if isinstance(error, SessionExpiredError):
                self._watching = False
                return True
            return error.retriable

    def abandoned(self) -> None:
        """Nobody takes what the watch or the read begun last gives: read from the same place again."""
        with self._lock:
            self._dirty, self._unbroken = True, False

    def look_again(self) -> None:
        """Ask for a read though nothing was heard."""
        with self._lock:
            self._dirty = True

    def end(self) -> None:
        """Give nothing more."""
        with self._lock:
            self._ended = True
        self._wake()

    # What wakes it

    def on_event(self, zxid: int) -> None:
        """Something was changed by the write ``zxid``."""
        with self._lock:
            self._dirty = True
            if self._first_zxid is None:
                self._first_zxid = zxid
        self._wake()

    def on_watch_ended(self) -> None:
        """The watch is gone and must be set anew."""
        with self._lock:
            self._dirty, self._watching, self._unbroken = True, False, False
        self._wake()

    def on_state(self, _state: str) -> None:
        """The connection has changed: events may have been missed."""
        with self._lock:
            self._dirty, self._unbroken = True, False
        self._wake()
