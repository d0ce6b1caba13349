"""How the blocking recipes are awaited, and how their callbacks reach the event loop.

A call that may wait runs on a thread of its own meanwhile: waits may be many and long, and pools
have an end.  A task that is cancelled ends the wait, whichever recipe is waiting.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from inspect import Signature
from typing import Any, TypeVar

from odradek.recipes.waiting import Scope

T = TypeVar("T")
_log = logging.getLogger("odradek")


async def on_a_thread(call: Callable[[], T], undo: Callable[[T], object] | None = None) -> T:
    """Run ``call`` on a thread of its own and return what it returns.

    When the awaiting task is cancelled, the waits of the call end, and the task goes on when the
    call has ended: nothing of it happens later.  What it had done by then, ``undo`` takes back.
    """
    scope = Scope()

    def scoped() -> T:
        with scope:
            return call()

    called = _begun(scoped)
    try:
        return await asyncio.shield(called)
    except asyncio.CancelledError:
        scope.cancel()
        await _ended(called)
        # Judged here, not by the thread: it may have ended well before this task was cancelled.
        if undo is not None and called.exception() is None:
            done = called.result()
            await _ended(_begun(lambda: undo(done)))
        raise


async def outcome_of(result: Future[T]) -> T:
    """Await a result that others may wait for too: a cancellation ends this wait alone."""
    awaited = asyncio.wrap_future(result)
    awaited.add_done_callback(_look)
    return await asyncio.shield(awaited)


def _look(done: asyncio.Future[Any]) -> None:
    """Look at an error that nobody waits for any more, or asyncio complains of it."""
    done.cancelled() or done.exception()


def _begun(call: Callable[[], T]) -> asyncio.Future[T]:
    """Let ``call`` run on a thread of its own."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001 - it is the awaiting task's
            future.set_exception(error)

    threading.Thread(target=run, name="odradek-recipe", daemon=True).start()
    return asyncio.wrap_future(future)


async def _ended(called: asyncio.Future[Any]) -> None:
    """Wait for the end, well or not, of what runs on a thread, whoever cancels the task."""
    called.add_done_callback(_look)
    while not called.done():
        try:
            await asyncio.wait([called])
        except asyncio.CancelledError:
            continue  # asked again: it is ending already


class OnLoop:
    """Calls a function, or a coroutine function, on the event loop that ran when this was made.

    May be called from any thread, and does not wait: one call runs after the other, in order.
    ``then`` gets what the function has returned.  What it raises is logged.  Equal for the same
    function on the same loop.
    """

    def __init__(
        self, function: Callable[..., object], then: Callable[[object], object] | None = None
    ) -> None:
        if not callable(function):
            raise TypeError(f"a callback is a function, not {type(function).__name__}")
        self._function = function
        self._then = then
        self._loop = asyncio.get_running_loop()
        self._calls: deque[tuple[Any, ...]] = deque()
        if (shape := _shape_of(function)) is not None:
            self.__signature__ = shape  # some recipes go by how many arguments a callback takes
        self._task: asyncio.Task[None] | None = None

    def __call__(self, *arguments: Any) -> None:
        """Have the function called."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._take, arguments)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OnLoop) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._function)

    def _identity(self) -> tuple[object, ...]:
        return self._function, self._then, id(self._loop)

    def _take(self, arguments: tuple[Any, ...]) -> None:
        self._calls.append(arguments)
        if self._task is None:
            self._task = self._loop.create_task(self._run())

    async def _run(self) -> None:
        try:
            while self._calls:
                await self._call(self._calls.popleft())
        finally:
            self._task = None

    async def _call(self, arguments: tuple[Any, ...]) -> None:
        try:
            outcome = self._function(*arguments)
            if inspect.isawaitable(outcome):
                outcome = await outcome
            if self._then is not None:
                self._then(outcome)
        except (
            Exception,
            asyncio.CancelledError,
        ):  # whatever a user's callback raises is the user's
            if self._task is not None and self._task.cancelling():
                raise  # it is this task that is to end
            _log.exception("a callback of the user failed: %r", self._function)


def _shape_of(function: Callable[..., object]) -> Signature | None:
    try:
        return inspect.signature(function)
    except ValueError:
        return None
