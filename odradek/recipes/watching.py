"""A read that is repeated after each event: what every watching recipe stands on.

Owns the chain read, watch, event, read again, across lost sessions and znodes that are not there.
Knows nothing of what is read or what becomes of it.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

from odradek.coordination.async_result import AsyncResult
from odradek.coordination.znode_values import WatchedEvent, ZnodeStat
from odradek.errors import NoNodeError, OdradekError, SessionExpiredError
from odradek.recipes.waiting import Client, Watch, read

T = TypeVar("T")
_log = logging.getLogger("odradek")

Take = Callable[[T | None, WatchedEvent | None], object]
"""Gets what was read (None: the znode is not there) and the event that led to the read."""


class OneByOne:
    """Runs what it is given one after the other, on the thread that finds it idle.

    Never waits, so that a callback's thread is not held up by another one's callback.
    """

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._calls: deque[Callable[[], object]] = deque()
        self._running = False

    def run(self, call: Callable[[], object]) -> None:
        """Run ``call`` now, or have it run after those that run already."""
        with self._mutex:
            self._calls.append(call)
            if self._running:
                return
            self._running = True
        while True:
            with self._mutex:
                if not self._calls:
                    self._running = False
                    return
                call = self._calls.popleft()
            try:
                call()
            except BaseException:
                with self._mutex:
                    self._running = False
                raise


class Watching(Generic[T]):
    """Reads, hands the answer to ``take``, and reads again after each event, until stopped.

    A change is never missed, but changes that follow each other closely may be read as one.  After
    a session is lost it reads anew in the next one, also when nothing has changed.
    ``path`` is watched for its creation while a read finds no znode; None: then it ends there.
    """

    def __init__(
        self,
        client: Client,
        path: str | None,
        read: Callable[[Watch], AsyncResult[T]],
        take: Take[T],
    ) -> None:
        self._client = client
        self._path = path
        self._read = read
        self._take = take
        self._calls = OneByOne()
        self.stopped = False

    def begin(self) -> None:
        """Read for the first time and call ``take`` before this returns; what is raised is raised.

        What an event leads to meanwhile is newer, and given after it.
        """
        self._calls.run(self._read_first)

    def _read_first(self) -> None:
        while True:
            try:
                value = read(self._client, lambda: self._read(self._event))
            except NoNodeError:
                if self._path is None:
                    raise
                look = partial(self._client.exists_async, self._path, self._event)
                if read(self._client, look) is not None:
                    continue
                self._give(None, None)
            else:
                self._give(value, None)
            return

    def begin_later(self) -> None:
        """As :meth:`begin`, without waiting; fit for callbacks."""
        self._ask(None)

    def stop(self) -> None:
        """Call ``take`` no more."""
        self.stopped = True

    def _event(self, event: WatchedEvent) -> None:
        if not self.stopped:
            self._ask(event)

    def _ask(self, event: WatchedEvent | None) -> None:
        try:
            self._read(self._event).rawlink(lambda result: self._answered(result, event))
        except OdradekError:
            self.stopped = True  # the client is closed

    def _answered(self, result: AsyncResult[T], event: WatchedEvent | None) -> None:
        try:
            value = result.get_nowait()
        except SessionExpiredError:
            self._ask(event)
        except NoNodeError:
            self._missing(event)
        except OdradekError as error:
            self.stopped = True
            _log.debug("a watch has ended: %s", error)
        else:
            self._calls.run(lambda: self._give(value, event))

    def _missing(self, event: WatchedEvent | None) -> None:
        if self._path is None:
            self._calls.run(partial(self._end, event))
            return

        def looked(result: AsyncResult[ZnodeStat | None]) -> None:
            try:
                there = result.get_nowait() is not None
            except SessionExpiredError:
                there = True
            except OdradekError:
                self.stopped = True
                return
            if there:
                self._ask(event)
            else:
                self._calls.run(lambda: self._give(None, event))

        try:
            self._client.exists_async(self._path, self._event).rawlink(looked)
        except OdradekError:
            self.stopped = True

    def _end(self, event: WatchedEvent | None) -> None:
        self._give(None, event)
        self.stopped = True

    def _give(self, value: T | None, event: WatchedEvent | None) -> None:
        if not self.stopped:
            self._take(value, event)
