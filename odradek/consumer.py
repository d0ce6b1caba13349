"""The blocking consumer: a thin, thread-safe facade over :mod:`odradek.consumer_engine`.

Owns the iterator's place within what was polled.  Consumer groups will come to this class; today a
consumer reads all partitions of its topics, or those it is assigned.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, InvalidStateError
from types import TracebackType
from typing import Any, NamedTuple

from odradek.bootstrap import Hosts, find_seeds
from odradek.consumer_engine import ConsumerEngine
from odradek.engine import Engine
from odradek.errands import failure_of
from odradek.errors import OdradekError, error_for
from odradek.fetching import ConsumerSettings
from odradek.offsets import Found
from odradek.records import ConsumerRecord, Deserializer, Reading
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.ids import TopicPartition
from transport.wire.messages import Message
from transport.wire.messages.fetch import TIMESTAMP_EARLIEST, TIMESTAMP_LATEST
from transport.wire.messages.metadata import MetadataResponse

MAX_POLL_RECORDS = 500
QUESTION_TIMEOUT_MS = 30_000
WAIT_SLICE_MS = 3_600_000
"""An iterator that waits for ever asks again each hour."""

Polled = dict[TopicPartition, Sequence[ConsumerRecord]]


class OffsetAndTimestamp(NamedTuple):
    """What ``offsets_for_times`` finds: the first record at or after a time."""

    offset: int
    timestamp: int
    leader_epoch: int


def consumer_settings(  # noqa: PLR0913 - the arguments of Consumer
    bootstrap_servers: Hosts = None,
    *,
    auto_offset_reset: str = "latest",
    fetch_max_bytes: int = 50 * 1024 * 1024,
    max_partition_fetch_bytes: int = 1024 * 1024,
    fetch_min_bytes: int = 1,
    fetch_max_wait_ms: int = 500,
    prefetch_bytes: int = 16 * 1024 * 1024,
    check_crcs: bool = True,
    allow_auto_create_topics: bool = True,
    isolation_level: str = "read_uncommitted",
    client_id: str = "odradek-consumer",
) -> ConsumerSettings:
    """Return the settings that these arguments mean; ValueError for one that cannot be."""
    return ConsumerSettings(
        bootstrap=find_seeds(bootstrap_servers).endpoints,
        auto_offset_reset=auto_offset_reset,
        fetch_min_bytes=fetch_min_bytes,
        fetch_max_wait_ms=fetch_max_wait_ms,
        fetch_max_bytes=fetch_max_bytes,
        partition_fetch_bytes=max_partition_fetch_bytes,
        prefetch_bytes=prefetch_bytes,
        check_crcs=check_crcs,
        auto_create=allow_auto_create_topics,
        isolation_level=isolation_level,
        client_id=client_id,
    )


class Consumer:
    """Reads records of topics, in order within each partition, while it fetches the next ahead.

    Its questions may be asked from any thread; poll or iterate from one at a time.

    ``Consumer("t")`` reads all partitions of ``t``, those to come included.  It begins where
    ``auto_offset_reset`` says: ``latest`` (only what is new; partitions and topics made later are
    read from their beginning, as all of that is new), ``earliest``, or ``none`` (an error unless
    you seek).  With the same policy it goes on when its position has left the log.
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
        """Take topics, the arguments of :func:`consumer_settings`, and deserializers.

        ``consumer_timeout_ms``: iteration ends when nothing has come for so long.
        """
        self._max_poll_records = max_poll_records
        self._consumer_timeout_ms = consumer_timeout_ms
        self._program = ConsumerEngine(
            consumer_settings(bootstrap_servers, **settings),
            Reading(key_deserializer, value_deserializer),
        )
        self._engine = Engine(self._program, name="odradek-consumer")
        self._left: deque[tuple[TopicPartition, Sequence[ConsumerRecord]]] = deque()
        self._current: Iterator[ConsumerRecord] = iter(())
        self._current_key: TopicPartition | None = None
        self._next_offset = 0
        self._taken: Future[Polled] | None = None
        if topics:
            self.subscribe(topics)

    # What is read

    def subscribe(self, topics: str | Iterable[str]) -> None:
        """Read these topics instead of whatever was read before."""
        names = [topics] if isinstance(topics, str) else list(topics)
        self._drop_polled()
        self._engine.run(lambda now: self._program.subscribe(names, now))

    def assign(self, partitions: Iterable[TopicPartition | tuple[str, int]]) -> None:
        """Read exactly these partitions; those that were read before keep their place."""
        keys = [TopicPartition(*key) for key in partitions]
        self._drop_polled()
        self._engine.run(lambda now: self._program.assign(keys, now))

    def unsubscribe(self) -> None:
        """Read nothing."""
        self.assign(())

    def subscription(self) -> set[str]:
        """Return the topics subscribed to."""
        return self._engine.run(lambda _now: set(self._program.subscription.topics))

    def assignment(self) -> set[TopicPartition]:
        """Return the partitions that are read now."""
        return self._engine.run(lambda _now: set(self._program.subscription.assigned))

    def pause(self, *partitions: TopicPartition) -> None:
        """Give nothing of these partitions until ``resume``."""
        self._engine.run(lambda _now: self._program.pause(partitions, True))

    def resume(self, *partitions: TopicPartition) -> None:
        """Give records of these partitions again."""
        self._engine.run(lambda _now: self._program.pause(partitions, False))

    def paused(self) -> set[TopicPartition]:
        """Return the partitions that are paused."""
        return self._engine.run(
            lambda _now: {
                key for key, one in self._program.subscription.assigned.items() if one.paused
            }
        )

    # Records

    def poll(
        self, timeout_ms: float = 0, max_records: int | None = None
    ) -> dict[TopicPartition, Sequence[ConsumerRecord]]:
        """Return the next records by partition, waiting up to ``timeout_ms`` for the first.

        The sequences are lazy: batches are taken apart when they are touched.  Raises what keeps a
        partition from being read (:class:`OffsetOutOfRangeError`, …) when nothing else is left.
        """
        records_max = self._max_poll_records if max_records is None else max_records
        if records_max < 1:
            raise ValueError("max_records must be at least 1")
        left = self.take_polled()
        if left:
            return left
        return self._poll(records_max, timeout_ms)

    def _poll(self, records_max: int, timeout_ms: float) -> Polled:
        taken, self._taken = self._taken, None
        future = taken or self.begin_poll(records_max, timeout_ms)
        try:
            return self._engine.wait(future)
        except BaseException:
            if not future.done() and not future.cancel():
                self._taken = future  # interrupted, and the records are taken: for the next poll
            raise

    def begin_poll(self, records_max: int, timeout_ms: float) -> Future[Polled]:
        """Ask the loop for records; cancelled before any were taken, the future takes none."""
        wait_ms = int(min(timeout_ms, WAIT_SLICE_MS))

        def ask(future: Future[Polled], now: Now) -> None:
            claim = future.set_running_or_notify_cancel
            self._program.poll(records_max, wait_ms, settle(future), now, claim)

        return self._engine.ask(ask)

    def __iter__(self) -> Consumer:
        return self

    def __next__(self) -> ConsumerRecord:
        while True:
            record = self.next_polled()
            if record is not None:
                return record
            polled = self._poll(self._max_poll_records, self._consumer_timeout_ms)
            if not polled and self._consumer_timeout_ms < WAIT_SLICE_MS:
                raise StopIteration
            self.keep_polled(polled)

    def next_polled(self) -> ConsumerRecord | None:
        """Return the next of the records kept for iteration; None when there are no more."""
        while True:
            for record in self._current:
                self._next_offset = record.offset + 1
                return record
            self._current_key = None
            if not self._left:
                return None
            self._current_key, records = self._left.popleft()
            self._current = iter(records)

    def keep_polled(self, polled: Polled) -> None:
        """Keep what was polled for iteration."""
        self._left.extend(polled.items())

    def take_polled(self) -> Polled:
        """Return what the iteration was to give next."""
        left: Polled = {}
        if self._current_key is not None:
            rest = list(self._current)
            if rest:
                left[self._current_key] = rest
        left.update(self._left)
        self._drop_polled()
        return left

    def _drop_polled(self, keys: Sequence[TopicPartition] | None = None) -> None:
        if keys is None or self._current_key in keys:
            self._current, self._current_key = iter(()), None
        self._left = deque(one for one in self._left if keys is not None and one[0] not in keys)

    # Positions

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Go on at ``offset``: the next record given is the first at or after it."""
        if offset < 0:
            raise ValueError("an offset is at least 0; see seek_to_beginning and seek_to_end")
        self._drop_polled([partition])
        self._engine.run(lambda _now: self._program.seek(partition, offset))

    def seek_to_beginning(self, *partitions: TopicPartition) -> None:
        """Go on at the oldest record of these partitions, or of all that are assigned."""
        self._seek_to(partitions, TIMESTAMP_EARLIEST)

    def seek_to_end(self, *partitions: TopicPartition) -> None:
        """Go on with what comes from now on, in these partitions or in all that are assigned."""
        self._seek_to(partitions, TIMESTAMP_LATEST)

    def _seek_to(self, partitions: Sequence[TopicPartition], timestamp_ms: int) -> None:
        self._drop_polled(partitions or None)
        self._engine.run(lambda _now: self._program.seek_to(partitions, timestamp_ms))

    def position(self, partition: TopicPartition, timeout_ms: int = QUESTION_TIMEOUT_MS) -> int:
        """Return the offset of the next record that will be given."""
        if partition == self._current_key:
            return self._next_offset
        for key, records in self._left:
            if key == partition:
                return records[0].offset

        def ask(future: Future[int], now: Now) -> None:
            self._program.position(partition, timeout_ms, settle(future), now)

        return self._engine.wait(self._engine.ask(ask))

    def beginning_offsets(
        self, partitions: Iterable[TopicPartition], timeout_ms: int = QUESTION_TIMEOUT_MS
    ) -> dict[TopicPartition, int]:
        """Return the offset of the oldest record of each partition."""
        wanted = {TopicPartition(*key): TIMESTAMP_EARLIEST for key in partitions}
        return {key: part.offset for key, part in self._find(wanted, timeout_ms).items()}

    def end_offsets(
        self, partitions: Iterable[TopicPartition], timeout_ms: int = QUESTION_TIMEOUT_MS
    ) -> dict[TopicPartition, int]:
        """Return the offset after the newest record that can be read, of each partition."""
        wanted = {TopicPartition(*key): TIMESTAMP_LATEST for key in partitions}
        return {key: part.offset for key, part in self._find(wanted, timeout_ms).items()}

    def offsets_for_times(
        self, timestamps: dict[TopicPartition, int], timeout_ms: int = QUESTION_TIMEOUT_MS
    ) -> dict[TopicPartition, OffsetAndTimestamp | None]:
        """Return the first record at or after each time (in milliseconds), or None."""
        if any(timestamp_ms < 0 for timestamp_ms in timestamps.values()):
            raise ValueError("a timestamp is at least 0, in milliseconds since the Unix epoch")
        found = self._find({TopicPartition(*k): t for k, t in timestamps.items()}, timeout_ms)
        return {
            key: OffsetAndTimestamp(part.offset, part.timestamp_ms, part.leader_epoch)
            if part.offset >= 0
            else None
            for key, part in found.items()
        }

    def _find(self, wanted: dict[TopicPartition, int], timeout_ms: int) -> Found:
        def ask(future: Future[Found], now: Now) -> None:
            self._program.offsets(wanted, timeout_ms, settle(future), now)

        return self._engine.wait(self._engine.ask(ask))

    # Topics

    def topics(self) -> set[str]:
        """Return the names of all topics."""
        return {topic.name for topic in self._metadata(None).topics}

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        """Return the topic's partitions, or None if there is no such topic."""
        told = self._metadata((topic,)).topics
        if not told or told[0].error == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION:
            return None
        if told[0].error != ErrorCode.NONE:
            raise error_for(told[0].error, f"topic {topic!r}")
        return {part.partition for part in told[0].partitions}

    def _metadata(self, topics: tuple[str, ...] | None) -> MetadataResponse:
        def ask(future: Future[Message], now: Now) -> None:
            self._program.metadata(topics, QUESTION_TIMEOUT_MS, settle(future), now)

        return metadata_told(self._engine.wait(self._engine.ask(ask)))

    # End

    def close(self) -> None:
        """End the client's thread. May be called again."""
        self._drop_polled()
        self._engine.close()

    def __enter__(self) -> Consumer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def metadata_told(answer: Message) -> MetadataResponse:
    """Return the answer to a METADATA request, or raise what it says instead."""
    if isinstance(answer, MetadataResponse) and answer.error == ErrorCode.NONE:
        return answer
    raise failure_of(answer)


def settle(future: Future[Any]) -> Callable[[Any, Now], None]:
    """Return a callback that settles ``future``, unless nobody waits for it any more."""

    def done(result: Any, _now: Now) -> None:
        with contextlib.suppress(InvalidStateError):
            if isinstance(result, OdradekError):
                future.set_exception(result)
            else:
                future.set_result(result)

    return done
