"""The consumer for asyncio: the blocking one's engine, awaited.

A poll that is cancelled loses no record: what it had taken already is given by the next one.
"""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from functools import partial
from typing import Any, Self, TypeVar

from odradek.aio.threads import Threads
from odradek.aio.waiting import on_a_thread
from odradek.arguments import partitions_of
from odradek.cluster.bootstrap import Hosts
from odradek.cluster.committing import Committable, GroupMetadata, OffsetAndMetadata
from odradek.consumer import client as blocking
from odradek.consumer.client import (
    MAX_POLL_RECORDS,
    QUESTION_TIMEOUT_MS,
    OffsetAndTimestamp,
)
from odradek.consumer.deserialization import Deserializer
from odradek.consumer.iteration import Polled
from odradek.consumer.listener import ConsumerRebalanceListener
from odradek.consumer.polling import WAIT_SLICE_MS
from odradek.consumer.rebalancing import Change
from odradek.measures import Metrics
from odradek.records import ConsumerRecord
from transport.wire.ids import TopicPartition

T = TypeVar("T")


class Consumer:
    """Reads records of topics, for asyncio; see :class:`odradek.Consumer`.

    ::

        async with Consumer("t", auto_offset_reset="earliest") as consumer:
            async for record in consumer:
                ...
    """

    def __init__(
        self,
        *topics: str,
        bootstrap_servers: Hosts = None,
        max_poll_records: int = MAX_POLL_RECORDS,
        key_deserializer: Deserializer | None = None,
        value_deserializer: Deserializer | None = None,
        consumer_timeout_ms: float = float("inf"),
        **settings: Any,
    ) -> None:
        """Take the arguments of :class:`odradek.Consumer`."""
        self._threads = Threads()
        self._consumer = blocking.Consumer(
            *topics,
            bootstrap_servers=bootstrap_servers,
            max_poll_records=max_poll_records,
            key_deserializer=key_deserializer,
            value_deserializer=value_deserializer,
            consumer_timeout_ms=consumer_timeout_ms,
            **settings,
        )
        self._polling = self._consumer.polling
        self._consumer_timeout_ms = consumer_timeout_ms

    # Records

    async def poll(self, timeout_ms: float = 0, max_records: int | None = None) -> Polled:
        """Return the next records by partition, waiting up to ``timeout_ms`` for the first."""
        records_max = self._polling.records_max(max_records)
        left = self._polling.iteration.take(records_max)
        if left:
            return left
        return await self._poll(records_max, timeout_ms)

    async def _poll(self, records_max: int, timeout_ms: float) -> Polled:
        polling = self._polling
        while True:
            future: Future[Polled | Change] = Future()
            try:
                polling.begin(future, records_max, timeout_ms)
                polled = await asyncio.shield(asyncio.wrap_future(future))
                if not isinstance(polled, Change):
                    polling.came = bool(polled)
                    if polling.gives_as_polled:
                        return polled
                    return await on_a_thread(partial(polling.given, polled))
            except BaseException:
                polling.give_back(future)
                raise
            await self._tell(polled)
            await self._call(polling.heard, polled)

    async def _tell(self, change: Change) -> None:
        with self._polling.listening.telling(change) as told:
            if inspect.isawaitable(told):
                await told

    async def _take_leave(self, *, autocommit: bool = True) -> None:
        for change in await self._threads.run(self._polling.farewell, autocommit=autocommit):
            await self._tell(change)

    def __aiter__(self) -> Consumer:
        return self

    async def __anext__(self) -> ConsumerRecord:
        while (record := self._polling.iteration.next()) is None:
            polled = await self._poll(self._polling.records_max(None), self._consumer_timeout_ms)
            if not self._polling.came and self._consumer_timeout_ms < WAIT_SLICE_MS:
                raise StopAsyncIteration
            self._polling.iteration.keep(polled)
        return record

    # What is read

    async def subscribe(
        self,
        topics: str | Iterable[str] = (),
        *,
        pattern: str | re.Pattern[str] | None = None,
        listener: ConsumerRebalanceListener | None = None,
    ) -> None:
        """Read these topics, or those that match, instead of whatever was read before."""
        await self._threads.run(
            self._consumer.subscribe, topics, pattern=pattern, listener=listener
        )

    async def assign(self, partitions: Iterable[TopicPartition | tuple[str, int]]) -> None:
        """Read exactly these partitions."""
        keys = partitions_of(partitions)
        try:
            await self._take_leave()
        finally:
            await self._call(self._consumer.end_membership, keys)

    async def unsubscribe(self) -> None:
        """Read nothing."""
        await self.assign(())

    async def subscription(self) -> set[str]:
        """Return the topics subscribed to."""
        return await self._call(self._consumer.subscription)

    async def assignment(self) -> set[TopicPartition]:
        """Return the partitions that are read now."""
        return await self._call(self._consumer.assignment)

    async def pause(self, *partitions: TopicPartition) -> None:
        """Give nothing of these partitions until ``resume``."""
        await self._call(self._consumer.pause, *partitions)

    async def resume(self, *partitions: TopicPartition) -> None:
        """Give records of these partitions again."""
        await self._call(self._consumer.resume, *partitions)

    async def paused(self) -> set[TopicPartition]:
        """Return the partitions that are paused."""
        return await self._call(self._consumer.paused)

    # Positions

    async def seek(self, partition: TopicPartition, offset: int) -> None:
        """Go on at ``offset``."""
        await self._call(self._consumer.seek, partition, offset)

    async def seek_to_beginning(self, *partitions: TopicPartition) -> None:
        """Go on at the oldest record."""
        await self._call(self._consumer.seek_to_beginning, *partitions)

    async def seek_to_end(self, *partitions: TopicPartition) -> None:
        """Go on with what comes from now on."""
        await self._call(self._consumer.seek_to_end, *partitions)

    async def position(
        self, partition: TopicPartition, timeout_ms: int = QUESTION_TIMEOUT_MS
    ) -> int:
        """Return the offset of the next record that will be given."""
        return await self._call(self._consumer.position, partition, timeout_ms)

    async def beginning_offsets(
        self, partitions: Iterable[TopicPartition], timeout_ms: int = QUESTION_TIMEOUT_MS
    ) -> dict[TopicPartition, int]:
        """Return the offset of the oldest record of each partition."""
        return await self._call(self._consumer.beginning_offsets, partitions, timeout_ms)

    async def end_offsets(
        self, partitions: Iterable[TopicPartition], timeout_ms: int = QUESTION_TIMEOUT_MS
    ) -> dict[TopicPartition, int]:
        """Return the offset after the newest record of each partition."""
        return await self._call(self._consumer.end_offsets, partitions, timeout_ms)

    async def offsets_for_times(
        self, timestamps: dict[TopicPartition, int], timeout_ms: int = QUESTION_TIMEOUT_MS
    ) -> dict[TopicPartition, OffsetAndTimestamp | None]:
        """Return the first record at or after each time (in milliseconds), or None."""
        return await self._call(self._consumer.offsets_for_times, timestamps, timeout_ms)

    # Commits

    async def commit(
        self, offsets: Committable | None = None, timeout_ms: int = QUESTION_TIMEOUT_MS
    ) -> None:
        """Commit these offsets, or where reading stands."""
        await asyncio.wrap_future(self._consumer.commit_async(offsets, timeout_ms=timeout_ms))

    async def committed(
        self, partition: TopicPartition, timeout_ms: int = QUESTION_TIMEOUT_MS
    ) -> int | None:
        """Return what the group has committed for a partition, or None."""
        return await self._call(self._consumer.committed, partition, timeout_ms)

    async def committed_offsets(
        self, partitions: Iterable[TopicPartition], timeout_ms: int = QUESTION_TIMEOUT_MS
    ) -> dict[TopicPartition, OffsetAndMetadata]:
        """Return what the group has committed, with metadata."""
        return await self._call(self._consumer.committed_offsets, partitions, timeout_ms)

    async def lag(self, timeout_ms: int = QUESTION_TIMEOUT_MS) -> dict[TopicPartition, int]:
        """Return how many offsets are left to read in each assigned partition."""
        return await self._call(self._consumer.lag, timeout_ms)

    async def metrics(self) -> Metrics:
        """Return what was counted since the client was made, by Kafka's names."""
        return await self._call(self._consumer.metrics)

    async def group_metadata(self) -> GroupMetadata:
        """Return as whom the group is committed for: for ``send_offsets_to_transaction``."""
        return await self._call(self._consumer.group_metadata)

    # Topics

    async def topics(self) -> set[str]:
        """Return the names of all topics."""
        return await self._call(self._consumer.topics)

    async def partitions_for_topic(self, topic: str) -> set[int] | None:
        """Return the topic's partitions, or None if there is no such topic."""
        return await self._call(self._consumer.partitions_for_topic, topic)

    # End

    async def close(self, autocommit: bool = True) -> None:
        """Leave the group, with auto commit after a last commit; end the client's thread."""
        try:
            await self._take_leave(autocommit=autocommit)
        finally:
            try:
                await self._threads.run(self._consumer.end, autocommit=autocommit)
            finally:
                self._threads.end()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self.close()

    async def _call(self, method: Callable[..., T], *arguments: Any) -> T:
        return await self._threads.run(method, *arguments)
