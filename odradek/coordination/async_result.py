"""Results that are not there yet, and the thread on which users' callbacks run.

Knows neither sessions nor sockets.  Callbacks never run on a client's loop: one that blocks would
hold up the session's pings.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, Generic, TypeVar

from odradek.arguments import wait_s
from odradek.errors import ClientTimeoutError

T = TypeVar("T")
_log = logging.getLogger("odradek")


class Dispatcher:
    """Runs callbacks one after the other on one daemon thread, made when the first one comes."""

    def __init__(self, name: str = "odradek-callbacks") -> None:
        self._name = name
        self._queue: queue.SimpleQueue[tuple[Callable[..., object], tuple[Any, ...]] | None] = (
            queue.SimpleQueue()
        )
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False

    def put(self, callback: Callable[..., object], *arguments: Any) -> None:
        """Run ``callback(*arguments)`` after all that were put before; what it raises is logged."""
        with self._lock:
            if self._closed:
                return
            if self._thread is None:
                self._thread = threading.Thread(
                    target=_run_callbacks, args=(self._queue,), name=self._name, daemon=True
                )
                self._thread.start()
            self._queue.put((callback, arguments))

    def close(self) -> None:
        """Take no more; the thread ends after what it has."""
        with self._lock:
            self._closed = True
            if self._thread is not None:
                self._queue.put(None)


def _run_callbacks(
    waiting: queue.SimpleQueue[tuple[Callable[..., object], tuple[Any, ...]] | None],
) -> None:
    while (item := waiting.get()) is not None:
        callback, arguments = item
        try:
            callback(*arguments)
        except BaseException:  # noqa: BLE001 - the user's; other callbacks are to be called yet
            _log.exception("a callback of the user failed: %r", callback)


class AsyncResult(Future[T], Generic[T]):
    """A ``concurrent.futures.Future`` with the methods that kazoo's users know besides."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        super().__init__()
        self._dispatcher = dispatcher

    def ready(self) -> bool:
        """Say whether there is a value or an exception."""
        return self.done()

    def successful(self) -> bool:
        """Say whether there is a value."""
        return self.done() and not self.cancelled() and self.exception() is None

    @property
    def value(self) -> T | None:
        """The value, or None while there is none."""
        return self.result() if self.successful() else None

    def get(self, block: bool | float = True, timeout: float | None = None) -> T:
        """Return the value or raise the exception, waiting at most ``timeout`` seconds.

        ClientTimeoutError (a TimeoutError) when it is not there by then.  As in kazoo the first
        argument says whether to wait at all; a number there is taken for the timeout.
        """
        if not isinstance(block, bool):
            block, timeout = True, block
        patience_s = wait_s("timeout", timeout) if block else 0
        try:
            return self.result(patience_s)
        except FutureTimeout as error:
            if self.done():
                raise
            raise ClientTimeoutError(f"not done within {patience_s} s") from error

    def get_nowait(self) -> T:
        """Return the value or raise the exception, without waiting."""
        return self.get(block=False)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait at most ``timeout`` seconds; says whether it is ready."""
        try:
            self.exception(wait_s("timeout", timeout))
        except FutureTimeout:
            return False
        return True

    def rawlink(self, callback: Callable[[AsyncResult[T]], object]) -> None:
        """Call ``callback(self)`` on the callbacks' thread once it is ready."""
        self.add_done_callback(lambda _future: self._dispatcher.put(callback, self))
