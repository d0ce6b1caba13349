"""The stream of changes for asyncio, as ``client.changes(prefix)`` returns it.

Owns the waiting; what to ask next is the feed's.
"""

from __future__ import annotations

import asyncio
from typing import Self

from odradek.coordination.async_result import AsyncResult
from odradek.coordination.change_feed import LOOK_AGAIN_S, PAGE_CHANGES, Change, ChangeFeed, Step
from odradek.coordination.changes import ANSWER_S, PAUSE_S, AnswerT, ChangesClient
from odradek.errors import ClientTimeoutError, OdradekError

__all__ = ["Change", "Changes"]


class Changes:
    """As :class:`odradek.coordination.changes.Changes`, with ``async for`` and ``await next()``."""

    def __init__(self, client: ChangesClient, prefix: str, since: int | None) -> None:
        self._client = client
        self._prefix = prefix
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()
        self._feed = ChangeFeed(since, self._wake)
        self._listener = self._feed.on_state
        client.add_listener(self._listener)

    @property
    def position(self) -> int | None:
        """The zxid to give as ``since`` to another stream, to go on after the last change here."""
        return self._feed.position

    def __aiter__(self) -> Changes:
        return self

    async def __anext__(self) -> Change:
        change = await self.next()
        if change is None:
            raise StopAsyncIteration
        return change

    async def next(self) -> Change | None:
        """Return the next change, or None once it is closed; may be cancelled at any time."""
        while True:
            self._woken.clear()
            step = self._feed.step()
            if step is Step.END:
                return None
            if step is Step.TAKE:
                return self._feed.take()
            if step is Step.WAIT:
                await self._wait()
            elif not await self._ask(step):
                await asyncio.sleep(PAUSE_S)

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(LOOK_AGAIN_S):  # wait_for of 3.11 may lose a cancellation
                await self._woken.wait()
        except TimeoutError:
            self._feed.look_again()

    async def _ask(self, step: Step) -> bool:
        """Do one step with the server; False: it failed for the moment."""
        try:
            if step is Step.WATCH:
                watching = self._client._watch_changes(self._prefix, self._feed.waker)
                self._feed.watching(await self._answer(watching))
            else:
                since = self._feed.begin_read()
                read = self._client._read_changes(self._prefix, since, PAGE_CHANGES)
                self._feed.read(await self._answer(read))
        except OdradekError as error:
            if not self._feed.failed(error):
                raise
            return False
        except BaseException:  # a cancellation
            self._feed.abandoned()
            raise
        return True

    async def _answer(self, result: AsyncResult[AnswerT]) -> AnswerT:
        try:
            async with asyncio.timeout(ANSWER_S):
                return await asyncio.wrap_future(result)
        except TimeoutError as error:
            raise ClientTimeoutError("no answer yet") from error

    def _wake(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._woken.set)

    async def close(self) -> None:
        """End it; a task that waits for the next change gets none."""
        self._client.remove_listener(self._listener)
        self._feed.end()
        try:
            self._client._unwatch_changes(self._prefix, self._feed.waker)
        except OdradekError:
            pass  # the client is closed: its session has taken the watch along

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self.close()
