"""The thread and the loop behind every blocking client.

A client object owns one engine; the engine owns one daemon thread, and in it the one loop that runs
the client's program.  Callers on any thread hand functions over and get futures back.  This module
must not know what the program does.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from concurrent.futures import TimeoutError as FutureTimeout
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from odradek.errors import ClientClosedError, ClientTimeoutError, NoClusterError, OdradekError
from transport.driver.ports import Program
from transport.kernel import Now

T = TypeVar("T")

EXIT_WAIT_S = 0.5
"""For all unclosed clients together, when the interpreter ends: enough to say goodbye once."""


class LoopLike(Protocol):
    """What an engine needs of the loop."""

    def post(self, fn: Callable[[Now], None]) -> None:
        """Run ``fn`` on the loop's thread soon; callable from any thread."""
        ...

    def leave(self, fn: Callable[[Now], None], has_time: Callable[[], bool]) -> None:
        """Run ``fn`` in the loop's next turn, which is not begun for it while it ``has_time``."""
        ...

    def run(self) -> int:
        """Run the program until it exits."""
        ...


MakeLoop = Callable[[Program], LoopLike]


class _Running:
    """What the thread and the engine share; apart from the engine, so that one can be collected."""

    def __init__(self, program: Program, loop: LoopLike, name: str) -> None:
        self.program = program
        self.kind = name.removeprefix("odradek-") if "-" in name else "client"
        self.loop = loop
        self.pid = os.getpid()
        self.lock = threading.RLock()  # the collector may stop an engine while this thread has it
        self.pending: dict[Future[Any], None] = {}
        self.ended = False
        self.stopping = False
        self.failure: BaseException | None = None
        self.thread: threading.Thread | None = None

    def body(self) -> None:
        """Run the loop to its end, then fail whatever still waits."""
        try:
            self.loop.run()
        except BaseException as error:  # noqa: BLE001 - it must reach the callers, whatever it is
            self.failure = error
        with self.lock:
            self.ended = True
            waiting, self.pending = list(self.pending), {}
        for future in waiting:
            give_end(future, error=self.closed_error())

    def closed_error(self) -> ClientClosedError:
        if self.failure is None:
            return ClientClosedError(f"this {self.kind} is closed; make a new one")
        error = ClientClosedError(f"this {self.kind}'s loop has failed: {self.failure!r}")
        error.__cause__ = self.failure
        return error

    def forget(self, future: Future[Any]) -> None:
        """A future was settled."""
        with self.lock:
            self.pending.pop(future, None)

    def stop(self) -> None:
        """Ask the program to end in order; said once, however often it is called."""
        if os.getpid() != self.pid:
            return  # a fork's copy: the loop and its thread are the parent's
        with self.lock:
            if self.stopping or self.ended:
                return
            self.stopping = True
        self.loop.post(self.program.stop)


_log = logging.getLogger("odradek")
_alive: weakref.WeakSet[_Running] = weakref.WeakSet()


class Engine:
    """One program on one loop on one daemon thread.

    Every method may be called from any thread.  After ``close()``, after a fork (in the child) and
    after the loop has failed, every call raises :class:`ClientClosedError` that says which.  An
    engine that is dropped without ``close()`` is stopped when it is collected, and never keeps the
    interpreter alive.
    """

    def __init__(
        self,
        program: Program,
        *,
        name: str = "odradek",
        make_loop: MakeLoop | None = None,
        keys: Path | None = None,
    ) -> None:
        """``keys``: the file of what it proves itself with; NoClusterError when it has none."""
        make = make_loop or (_real_loop if keys is None else partial(_secured_loop, keys))
        running = _Running(program, make(program), name)
        running.thread = threading.Thread(target=running.body, name=name, daemon=True)
        self._running = running
        _alive.add(running)
        running.thread.start()
        weakref.finalize(self, running.stop).atexit = False

    @property
    def closed(self) -> bool:
        """True when no call can succeed any more."""
        running = self._running
        return running.stopping or running.ended or os.getpid() != running.pid

    def post(self, fn: Callable[[Now], None]) -> None:
        """Run ``fn(now)`` on the loop's thread soon; what it raises ends the loop."""
        self._check()
        self._running.loop.post(fn)

    def call(self, fn: Callable[[Now], T]) -> Future[T]:
        """Run ``fn(now)`` on the loop's thread; the future has what it returns or raises."""

        def settle(future: Future[T], now: Now) -> None:
            give_end(future, result=fn(now))

        return self.ask(settle)

    def ask(
        self,
        fn: Callable[[Future[T], Now], None],
        future: Future[T] | None = None,
        *,
        has_time: Callable[[], bool] | None = None,
    ) -> Future[T]:
        """Run ``fn(future, now)`` on the loop's thread, which settles the future when it can.

        ``future`` is the one to settle, if its caller wants one of its own kind.  ``has_time`` tells
        whether nothing would come of it now: then the loop's next turn is not begun for it.

        What ``fn`` raises becomes the future's exception.  A future that is still open when the
        loop ends fails with :class:`ClientClosedError`: none is ever left behind.
        """
        open_future: Future[T] = Future() if future is None else future

        def run(now: Now) -> None:
            try:
                fn(open_future, now)
            except Exception as error:  # noqa: BLE001 - it is the caller's
                give_end(open_future, error=error)

        self._check()
        running = self._running
        with running.lock:
            if running.ended or running.stopping:
                raise running.closed_error()
            running.pending[open_future] = None
        open_future.add_done_callback(running.forget)
        if has_time is None:
            running.loop.post(run)
        else:
            running.loop.leave(run, has_time)
        return open_future

    def run(self, fn: Callable[[Now], T], timeout_s: float | None = None) -> T:
        """As :meth:`call`, and wait; :class:`ClientTimeoutError` after ``timeout_s``."""
        return self.wait(self.call(fn), timeout_s)

    @property
    def on_loop(self) -> bool:
        """True on the loop's own thread: where callbacks run."""
        return threading.current_thread() is self._running.thread

    def check_may_wait(self) -> None:
        """Raise RuntimeError on the loop's own thread."""
        if self.on_loop:
            raise RuntimeError("a blocking call on the client's own loop would wait for itself")

    def wait(self, future: Future[T], timeout_s: float | None = None) -> T:
        """Wait for a future of this engine; never allowed on the loop's own thread."""
        self.check_may_wait()
        try:
            return future.result(timeout_s)
        except FutureTimeout as error:
            if future.done():
                raise
            raise ClientTimeoutError(f"not done within {timeout_s} s") from error

    def close(self, timeout_s: float | None = 5.0) -> bool:
        """Stop the program in order and wait for its thread. True: the thread has ended.

        May be called again, and from the loop's own thread (then it does not wait).  In the child
        of a fork it does nothing: the thread is the parent's.
        """
        running = self._running
        if os.getpid() != running.pid:
            return True
        running.stop()
        assert running.thread is not None
        if self.on_loop:
            return False
        running.thread.join(timeout_s)
        return not running.thread.is_alive()

    def _check(self) -> None:
        running = self._running
        if os.getpid() != running.pid:
            raise ClientClosedError(
                f"this {running.kind} belongs to process {running.pid}; make a new one after a fork"
            )
        if running.ended or running.stopping:
            raise running.closed_error()


def _real_loop(program: Program) -> LoopLike:
    from transport.driver.loop import Loop

    return Loop(program)


def _secured_loop(keys: Path, program: Program) -> LoopLike:
    from transport.driver.loop import Loop
    from transport.sockets.curve import read_keys
    from transport.sockets.keys_error import KeysError

    try:
        return Loop(program, keys=read_keys(keys))
    except KeysError as error:
        raise NoClusterError(str(error)) from None


def give_end(
    future: Future[Any], *, result: object = None, error: BaseException | None = None
) -> None:
    """Give a future its end, unless its owner has cancelled it or it has one."""
    try:
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)
    except InvalidStateError:
        pass
    except SystemExit:  # futures pass on what is no Exception; it must not end the loop
        _log.exception("a callback of a future wanted to exit")


def settle(future: Future[Any]) -> Callable[[Any, Now], None]:
    """Return a callback that settles ``future``, unless nobody waits for it any more."""

    def done(result: Any, _now: Now) -> None:
        if isinstance(result, OdradekError):
            give_end(future, error=result)
        else:
            give_end(future, result=result)

    return done


def _stop_all() -> None:
    """End unclosed clients when the interpreter ends, all within EXIT_WAIT_S."""
    deadline = time.monotonic() + EXIT_WAIT_S
    running = list(_alive)
    for one in running:
        with contextlib.suppress(Exception):
            one.stop()
    for one in running:
        if one.thread is not None:
            one.thread.join(max(0.0, deadline - time.monotonic()))


atexit.register(_stop_all)
