"""The producer for asyncio: the blocking one's engine, awaited.

Owns what waits for room, so that the event loop is never blocked.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Self, TypeVar

from odradek.aio.threads import Threads
from odradek.arguments import wait_s
from odradek.cluster.bootstrap import Hosts
from odradek.cluster.committing import GroupMetadata, OffsetAndMetadata
from odradek.errors import (
    ClientClosedError,
    ClientTimeoutError,
    OdradekError,
    TransactionAbortableError,
)
from odradek.measures import Metrics
from odradek.producer import client as blocking
from odradek.producer.futures import WatchedFuture
from odradek.producer.partitioner import Partitioner
from odradek.producer.serialization import Serializer
from odradek.producer.transaction_calls import ABORT, BEGIN, COMMIT, INIT
from odradek.records import Headers, RecordMetadata
from transport.wire.ids import TopicPartition

T = TypeVar("T")
Begin = Callable[[], WatchedFuture[Any]]


class Producer:
    """Writes records to topics, for asyncio; see :class:`odradek.Producer`.

    ``send`` returns at once with an :class:`asyncio.Future`: await it for the record's metadata, or
    gather many.  Records go in the order of the calls.  While the memory is full they wait their
    turn, so await now and then, or ``flush``.
    """

    def __init__(
        self,
        bootstrap_servers: Hosts = None,
        *,
        key_serializer: Serializer | None = None,
        value_serializer: Serializer | None = None,
        partitioner: Partitioner | None = None,
        **settings: Any,
    ) -> None:
        """Take the arguments of :class:`odradek.Producer`."""
        self._threads = Threads()
        self._producer = blocking.Producer(
            bootstrap_servers,
            key_serializer=key_serializer,
            value_serializer=value_serializer,
            partitioner=partitioner,
            **settings,
        )
        self._transactions = self._producer.transactions
        self._backlog: deque[tuple[Begin, asyncio.Future[Any]]] = deque()
        self._drain: asyncio.Task[None] | None = None

    def send(
        self,
        topic: str,
        value: Any = None,
        key: Any = None,
        partition: int | None = None,
        headers: Headers | None = None,
        timestamp_ms: int | None = None,
    ) -> asyncio.Future[RecordMetadata]:
        """Hand over one record; awaiting the future gives its :class:`RecordMetadata`.

        It is written as it is now, however long it waits for its turn.
        """
        ready = self._producer.ready(topic, value, key, partition, headers, timestamp_ms)
        return self._begin(partial(self._producer.put, ready))

    def send_many(
        self,
        topic: str,
        pairs: Iterable[tuple[Any, Any]],
        *,
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> asyncio.Future[Sequence[RecordMetadata]]:
        """Hand over many ``(key, value)`` pairs; awaiting gives all their metadata, in order."""
        return self._queue(
            lambda: self._producer.send_many(
                topic, pairs, partition=partition, timestamp_ms=timestamp_ms
            )
        )

    # Transactions

    async def init_transactions(self) -> None:
        """Take the transactional id; see :meth:`odradek.Producer.init_transactions`."""
        await self._hear(INIT, self._transactions.init())

    async def begin_transaction(self) -> None:
        """Begin a transaction: what is sent from now on belongs to it."""
        await self._hear(BEGIN, self._transactions.begin())

    async def send_offsets_to_transaction(
        self, offsets: Mapping[TopicPartition, int | OffsetAndMetadata], group: str | GroupMetadata
    ) -> None:
        """Commit a group's offsets as part of the transaction; see the blocking producer's.

        A task that is cancelled meanwhile takes nothing back: a commit of the transaction waits for
        the offsets, and fails if they do.
        """
        await _ended(self._transactions.send_offsets(offsets, group))

    async def commit_transaction(self) -> None:
        """Commit it; raises as :meth:`odradek.Producer.commit_transaction`.

        A task that is cancelled meanwhile may have committed it: call it again, which tells.  Until
        then neither another transaction nor, once the coordinator was asked, an abort is possible.
        """
        ending = self._transactions.resumed(COMMIT)
        if ending is None:
            await self.flush()
            ending = self._transactions.end(committed=True)
        await self._hear(COMMIT, ending)

    async def abort_transaction(self) -> None:
        """Abort it: readers of committed records see nothing of it."""
        ending = self._transactions.resumed(ABORT)
        if ending is None:
            if self._drain is not None:
                await asyncio.shield(self._drain)
            await _ended(self._transactions.drop())
            await self.flush()
            ending = self._transactions.end(committed=False)
        await self._hear(ABORT, ending)

    async def _hear(self, verb: str, future: Future[None]) -> None:
        with self._transactions.hearing(verb, future):
            await _ended(future)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Producer]:
        """Begin a transaction; commit it at the end of the block, abort it if the block raises.

        A block that is cancelled in its commit is aborted unless its coordinator has been asked: then
        only ``commit_transaction()`` tells what became of it, and nothing else is possible.
        """
        await self.begin_transaction()
        try:
            yield self
        except BaseException:
            with suppress(OdradekError):
                await self.abort_transaction()
            raise
        try:
            await self.commit_transaction()
        except TransactionAbortableError:
            await self.abort_transaction()
            raise
        except Exception:
            raise
        except BaseException:
            with suppress(OdradekError):
                await self.abort_transaction()
            raise

    async def flush(self, timeout: float | None = None) -> None:
        """Wait until every record handed over before has met its end, well or not."""
        patience_s = wait_s("timeout", timeout)
        try:
            async with asyncio.timeout(patience_s):
                if self._drain is not None:
                    await asyncio.shield(self._drain)
                await _ended(self._producer.flushing())
        except TimeoutError as error:
            raise ClientTimeoutError(f"records were not acked within {timeout} s") from error

    async def partitions_for(self, topic: str) -> set[int]:
        """Return the topic's partitions; the topic is created if the cluster does that."""
        return await self._threads.run(self._producer.partitions_for, topic)

    async def metrics(self) -> Metrics:
        """Return what was counted since the client was made, by Kafka's names."""
        return await self._threads.run(self._producer.metrics)

    async def close(self, timeout: float | None = None) -> None:
        """Flush, at most for ``timeout`` seconds, and end the client's thread."""
        left_s, began_s = wait_s("timeout", timeout), time.monotonic()
        drain = self._drain
        if drain is not None:
            await asyncio.wait([drain], timeout=left_s)
            drain.cancel()
            if left_s is not None:
                left_s = max(0.0, left_s - (time.monotonic() - began_s))
        try:
            await self._threads.run(self._producer.close, left_s)
        finally:
            self._threads.end()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self.close()

    def _backlog_needed(self) -> bool:
        return bool(self._backlog) or self._drain is not None or not self._producer.has_room()

    def _begin(self, begin: Begin) -> asyncio.Future[Any]:
        if self._backlog_needed():
            return self._queue(begin)
        return asyncio.wrap_future(begin())

    def _queue(self, begin: Begin) -> asyncio.Future[Any]:
        """Let ``begin``, which may block, run on another thread after those before it."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._backlog.append((begin, future))
        if self._drain is None:
            self._drain = asyncio.get_running_loop().create_task(self._work_off())
        return future

    async def _work_off(self) -> None:
        try:
            while self._backlog:
                begin, future = self._backlog[0]
                try:
                    begun = await self._threads.run(begin)
                except Exception as error:  # noqa: BLE001 - it is the caller's
                    self._transactions.record_refused(error)
                    if not future.done():
                        future.set_exception(error)
                else:
                    _pass_on(asyncio.wrap_future(begun), future)
                self._backlog.popleft()
        finally:
            self._drain = None
            while self._backlog:  # closed before their turn came
                _, future = self._backlog.popleft()
                if not future.done():
                    future.set_exception(ClientClosedError("the producer was closed"))


async def _ended(future: Future[None]) -> None:
    """Wait for a future's end; a task that is cancelled meanwhile ends the wait and nothing else."""
    ended = asyncio.wrap_future(future)
    try:
        await asyncio.shield(ended)
    except asyncio.CancelledError:
        ended.add_done_callback(lambda end: end.exception())  # nobody else looks at it
        raise


def _pass_on(source: asyncio.Future[Any], target: asyncio.Future[Any]) -> None:
    def done(source: asyncio.Future[Any]) -> None:
        error = None if source.cancelled() else source.exception()
        if target.done() or source.cancelled():
            return
        if error is not None:
            target.set_exception(error)
        else:
            target.set_result(source.result())

    source.add_done_callback(done)
