"""Threads of one client's own, on which its calls wait.

Asyncio's own pool is its users', who may fill it with what waits for records of this very client.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

THREADS_MAX = 32
"""As many as asyncio's pool has at most. One is made when a call finds none idle."""

T = TypeVar("T")


class Threads:
    """A pool that is made with the first call, and goes at the end of its client, or with it."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None

    async def run(self, call: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """Run ``call`` on a thread, in the context of the task, and return what it returns.

        A task that is cancelled meanwhile ends the wait; the call goes on, if it has begun.
        """
        if self._pool is None:
            self._pool = ThreadPoolExecutor(THREADS_MAX, thread_name_prefix="odradek-call")
        inside = partial(contextvars.copy_context().run, call, *arguments, **named)
        return await asyncio.get_running_loop().run_in_executor(self._pool, inside)

    def end(self) -> None:
        """Let the threads go when their calls have ended; another call makes new ones."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False)
