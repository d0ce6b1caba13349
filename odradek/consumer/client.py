"""The blocking consumer: a thin, thread-safe facade over :mod:`odradek.consumer.engine`.

Calls deserializers, interceptors and the rebalance listener on the program's own thread.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from functools import partial
from typing import Any, NamedTuple, Self

from odradek.arguments import (
    OFFSETS,
    TIMESTAMPS_MS,
    check_time,
    partition_of,
    partitions_of,
    pattern_of,
    topic_name,
    topic_names,
    wait_ms,
)
from odradek.cluster.bootstrap import Hosts, KeysFile, find_seeds
from odradek.cluster.committing import (
    Committable,
    GroupMetadata,
    OffsetAndMetadata,
    offsets_to_commit,
)
from odradek.cluster.engine import Engine, settle
from odradek.cluster.errands import failure_of
from odradek.cluster.offsets import Found
from odradek.consumer.deserialization import Deserializer, Deserializers
from odradek.consumer.engine import ConsumerEngine
from odradek.consumer.iteration import Polled
from odradek.consumer.listener import ConsumerRebalanceListener
from odradek.consumer.polling import WAIT_SLICE_MS, Polling
from odradek.consumer.rebalancing import Change
from odradek.consumer.settings import KINDS, SETTINGS, consumer_settings
from odradek.errors import (
    OdradekError,
    topic_error,
)
from odradek.interceptors import ConsumerInterceptor, checked, guarded
from odradek.measures import Metrics
from odradek.records import ConsumerRecord
from odradek.settings import check_function, check_number, check_settings
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.ids import TopicPartition
from transport.wire.messages import Message
from transport.wire.messages.fetch import TIMESTAMP_EARLIEST, TIMESTAMP_LATEST
from transport.wire.messages.metadata import MetadataResponse

MAX_POLL_RECORDS = 500
QUESTION_TIMEOUT_MS = 30_000
CLOSE_TIMEOUT_S = 5.0

_NAMED = (
    "max_poll_records",
    "key_deserializer",
    "value_deserializer",
    "consumer_timeout_ms",
    "interceptors",
    "bootstrap_servers",
    "security",
)


class OffsetAndTimestamp(NamedTuple):
    """What ``offsets_for_times`` finds: the first record at or after a time."""

    offset: int
    timestamp: int
    leader_epoch: int


class Consumer:
    """Reads records of topics, in order within each partition, while it fetches the next ahead.

    Its questions may be asked from any thread; poll or iterate from one at a time.

    ``Consumer("t")`` reads all partitions of ``t``, those to come included.  It begins where
    ``auto_offset_reset`` says: ``latest`` (only what is new; partitions and topics made later are
    read from their beginning, as all of that is new), ``earliest``, or ``none`` (an error unless
    you seek).  With the same policy it goes on when its position has left the log.

    ``Consumer("t", group_id="g")`` reads the partitions of ``t`` that group ``g`` gives to it, each
    from where the group has committed.  Auto commit commits, every ``auto_commit_interval_ms``,
    when partitions are given up and at ``close``, what *earlier* polls have given: never a record
    that the program has not yet asked beyond.  So a record may be read again after a crash, but
    none is passed over.
    """

    def __init__(
        self,
        *topics: str,
        bootstrap_servers: Hosts = None,
        max_poll_records: int = MAX_POLL_RECORDS,
        key_deserializer: Deserializer | None = None,
        value_deserializer: Deserializer | None = None,
        consumer_timeout_ms: float = float("inf"),
        interceptors: Iterable[ConsumerInterceptor] = (),
        security: KeysFile = None,
        **settings: Any,
    ) -> None:
        """Take topics, the arguments of :func:`consumer_settings`, and deserializers.

        ``security`` names the file of keys (``odradek keys create``) that a secured cluster asks for;
        without it, ``$ODRADEK_KEYS`` counts.
        ``consumer_timeout_ms``: iteration ends when nothing has come for so long.
        """
        given = {"max_poll_records": max_poll_records, **settings}
        check_settings("Consumer", given, SETTINGS | set(_NAMED), KINDS)
        check_time("consumer_timeout_ms", consumer_timeout_ms)
        check_function("key_deserializer", key_deserializer)
        check_function("value_deserializer", value_deserializer)
        self._interceptors = checked(interceptors, ConsumerInterceptor)
        seeds = find_seeds(bootstrap_servers, security)
        self._consumer_timeout_ms = consumer_timeout_ms
        self._program = ConsumerEngine(consumer_settings(seeds, **settings))
        self._engine = Engine(self._program, name="odradek-consumer", keys=seeds.keys)
        self.polling = Polling(
            self._engine,
            self._program,
            Deserializers(key_deserializer, value_deserializer),
            self._interceptors,
            max_poll_records,
        )
        self._iteration = self.polling.iteration
        if topics:
            self.subscribe(topics)

    # What is read

    def subscribe(
        self,
        topics: str | Iterable[str] = (),
        *,
        pattern: str | re.Pattern[str] | None = None,
        listener: ConsumerRebalanceListener | None = None,
    ) -> None:
        """Read these topics, or those whose whole name matches, instead of whatever was read before.

        ``listener`` hears of what its group gives to this consumer, and takes.
        """
        names = topic_names([topics] if isinstance(topics, str) else topics)
        if (pattern is None) != bool(names):
            raise ValueError("subscribe either to topics or to a pattern")
        compiled = None if pattern is None else pattern_of(pattern)
        self._leave_iteration()
        self._listen(listener)
        if compiled is None:
            self._engine.run(lambda now: self._program.subscribe(names, now))
        else:
            self._engine.run(lambda now: self._program.subscribe_pattern(compiled, now))

    def _leave_iteration(self) -> None:
        """Have the program stand where iteration does: what is read on goes on there."""
        left = self._iteration.positions()
        self._engine.run(lambda _now: self._program.go_back(left))
        self._iteration.drop()

    def _listen(self, listener: ConsumerRebalanceListener | None) -> None:
        group = self._program.rebalancing
        if listener is not None and group is None:
            raise ValueError("a listener hears of a group's changes; give a group_id")
        self.polling.listening.listener = listener
        if group is not None:
            group.has_listener = listener is not None

    def assign(self, partitions: Iterable[TopicPartition | tuple[str, int]]) -> None:
        """Read exactly these partitions; those that were read before keep their place.

        A member leaves its group by this, and its listener hears first what is revoked.
        """
        keys = partitions_of(partitions)
        try:
            self._take_leave()
        finally:
            self.end_membership(keys)

    def end_membership(self, keys: Iterable[TopicPartition]) -> None:
        """Leave the group, once the listener has heard of it, and read these by hand."""
        self._leave_iteration()
        self._engine.run(lambda now: self._program.assign(keys, now))

    def _take_leave(self, *, autocommit: bool = True) -> None:
        for change in self.polling.farewell(autocommit=autocommit):
            with self.polling.listening.telling(change):
                pass

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
        """Give nothing of these partitions until ``resume``, in iteration neither."""
        left = self._iteration.positions()

        def pause(_now: Now) -> None:
            self._program.pause(partitions, True)
            self._program.go_back({key: left[key] for key in partitions if key in left})

        self._engine.run(pause)
        self._iteration.drop(partitions)

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
        records_max = self.polling.records_max(max_records)
        left = self._iteration.take(records_max)
        if left:
            return left
        return self._poll(records_max, timeout_ms)

    def _poll(self, records_max: int, timeout_ms: float, *, iterates: bool = False) -> Polled:
        polling = self.polling
        while True:
            future: Future[Polled | Change] = Future()  # ours before the loop has it
            try:
                polling.begin(future, records_max, timeout_ms)
                polled = self._engine.wait(future)
                if not isinstance(polled, Change):
                    polling.came = bool(polled)
                    found = polling.given(polled)
                    if iterates:
                        self._iteration.keep(found)
                    return found
            except BaseException:
                polling.give_back(future)
                raise
            with polling.listening.telling(polled):
                pass
            polling.heard(polled)

    def __iter__(self) -> Iterator[ConsumerRecord]:
        iteration = self._iteration
        while True:
            record = iteration.next()
            if record is not None:
                yield record
                yield from iteration.rest()
            elif not self._poll_for_iteration():
                return

    def __next__(self) -> ConsumerRecord:
        while (record := self._iteration.next()) is None:
            if not self._poll_for_iteration():
                raise StopIteration
        return record

    def _poll_for_iteration(self) -> bool:
        """Wait for more records to iterate over; False: none have come for too long."""
        self._poll(self.polling.records_max(None), self._consumer_timeout_ms, iterates=True)
        return self.polling.came or self._consumer_timeout_ms >= WAIT_SLICE_MS

    # Positions

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Go on at ``offset``: the next record given is the first at or after it."""
        if offset in (TIMESTAMP_EARLIEST, TIMESTAMP_LATEST):
            raise ValueError("an offset is at least 0; see seek_to_beginning and seek_to_end")
        check_number("offset", offset, OFFSETS)
        self.polling.seek(partition, offset)

    def seek_to_beginning(self, *partitions: TopicPartition) -> None:
        """Go on at the oldest record of these partitions, or of all that are assigned."""
        self._seek_to(partitions, TIMESTAMP_EARLIEST)

    def seek_to_end(self, *partitions: TopicPartition) -> None:
        """Go on with what comes from now on, in these partitions or in all that are assigned."""
        self._seek_to(partitions, TIMESTAMP_LATEST)

    def _seek_to(self, partitions: Sequence[TopicPartition], timestamp_ms: int) -> None:
        self._engine.run(lambda _now: self._program.seek_to(partitions, timestamp_ms))
        self._iteration.drop(partitions or None)

    def position(self, partition: TopicPartition, timeout_ms: int = QUESTION_TIMEOUT_MS) -> int:
        """Return the offset of the next record that will be given."""
        left = self._iteration.positions().get(partition)
        if left is not None:
            return left
        patience_ms = wait_ms("timeout_ms", timeout_ms)

        def ask(future: Future[int], now: Now) -> None:
            self._program.position(partition, patience_ms, settle(future), now)

        return self._engine.wait(self._engine.ask(ask))

    def beginning_offsets(
        self, partitions: Iterable[TopicPartition], timeout_ms: int = QUESTION_TIMEOUT_MS
    ) -> dict[TopicPartition, int]:
        """Return the offset of the oldest record of each partition."""
        wanted = dict.fromkeys(partitions_of(partitions), TIMESTAMP_EARLIEST)
        return {key: part.offset for key, part in self._find(wanted, timeout_ms).items()}

    def end_offsets(
        self, partitions: Iterable[TopicPartition], timeout_ms: int = QUESTION_TIMEOUT_MS
    ) -> dict[TopicPartition, int]:
        """Return the offset after the newest record that can be read, of each partition."""
        wanted = dict.fromkeys(partitions_of(partitions), TIMESTAMP_LATEST)
        return {key: part.offset for key, part in self._find(wanted, timeout_ms).items()}

    def offsets_for_times(
        self, timestamps: dict[TopicPartition, int], timeout_ms: int = QUESTION_TIMEOUT_MS
    ) -> dict[TopicPartition, OffsetAndTimestamp | None]:
        """Return the first record at or after each time (in milliseconds), or None."""
        if not isinstance(timestamps, Mapping):
            raise TypeError(f"times are a dict of TopicPartition to time, not {timestamps!r}")
        for timestamp_ms in timestamps.values():
            check_number("timestamp", timestamp_ms, TIMESTAMPS_MS)
        wanted = {partition_of(key): time_ms for key, time_ms in timestamps.items()}
        found = self._find(wanted, timeout_ms)
        return {
            key: OffsetAndTimestamp(part.offset, part.timestamp_ms, part.leader_epoch)
            if part.offset >= 0
            else None
            for key, part in found.items()
        }

    def _find(self, wanted: dict[TopicPartition, int], timeout_ms: int) -> Found:
        patience_ms = wait_ms("timeout_ms", timeout_ms)

        def ask(future: Future[Found], now: Now) -> None:
            self._program.offsets(wanted, patience_ms, settle(future), now)

        return self._engine.wait(self._engine.ask(ask))

    # Commits

    def commit(
        self, offsets: Committable | None = None, timeout_ms: int = QUESTION_TIMEOUT_MS
    ) -> None:
        """Commit these offsets, or where reading stands, and wait until that is durable.

        Raises what keeps a partition from being committed: :class:`StaleMemberEpochError` when the
        group has given it to another member since; the others are committed all the same.
        """
        self._engine.wait(self.commit_async(offsets, timeout_ms=timeout_ms))

    def commit_async(
        self,
        offsets: Committable | None = None,
        callback: Callable[[BaseException | None], object] | None = None,
        timeout_ms: int = QUESTION_TIMEOUT_MS,
    ) -> Future[None]:
        """Commit without waiting; ``callback(error or None)`` is called on the client's thread."""
        self._need_group()
        check_function("callback", callback)
        patience_ms = wait_ms("timeout_ms", timeout_ms)
        given = None if offsets is None else offsets_to_commit(offsets)
        left = self._iteration.positions()

        def ask(future: Future[None], now: Now) -> None:
            wanted = self.polling.standing(left) if given is None else given

            def done(error: OdradekError | None, now: Now) -> None:
                if error is None:
                    self._tell_commit(wanted)
                settle(future)(error, now)

            self._program.commit(wanted, patience_ms, done, now)

        future = self._engine.ask(ask)
        if callback is not None:
            future.add_done_callback(partial(_tell_end, callback))
        return future

    def _tell_commit(self, offsets: Mapping[TopicPartition, OffsetAndMetadata]) -> None:
        for interceptor in self._interceptors:
            guarded(interceptor.on_commit, offsets)

    def committed(
        self, partition: TopicPartition, timeout_ms: int = QUESTION_TIMEOUT_MS
    ) -> int | None:
        """Return what the group has committed for a partition, or None."""
        key = partition_of(partition)
        found = self.committed_offsets([key], timeout_ms).get(key)
        return None if found is None else found.offset

    def committed_offsets(
        self, partitions: Iterable[TopicPartition], timeout_ms: int = QUESTION_TIMEOUT_MS
    ) -> dict[TopicPartition, OffsetAndMetadata]:
        """Return what the group has committed, with metadata; partitions without it are left out."""
        self._need_group()
        keys = partitions_of(partitions)
        patience_ms = wait_ms("timeout_ms", timeout_ms)

        def ask(future: Future[dict[TopicPartition, OffsetAndMetadata]], now: Now) -> None:
            self._program.committed(keys, patience_ms, settle(future), now)

        return self._engine.wait(self._engine.ask(ask))

    def lag(self, timeout_ms: int = QUESTION_TIMEOUT_MS) -> dict[TopicPartition, int]:
        """Return how many offsets are left to read in each assigned partition."""
        ends = self.end_offsets(self.assignment(), timeout_ms)
        found: dict[TopicPartition, int] = {}
        for key, end in ends.items():
            with contextlib.suppress(ValueError):  # its group has taken the partition meanwhile
                found[key] = max(0, end - self.position(key, timeout_ms))
        return found

    def metrics(self) -> Metrics:
        """Return what was counted since the client was made, by Kafka's names."""
        return self._engine.run(lambda _now: self._program.metrics())

    def group_metadata(self) -> GroupMetadata:
        """Return as whom the group is committed for: for ``send_offsets_to_transaction``."""
        self._need_group()

        def look(_now: Now) -> GroupMetadata:
            group, settings = self._program.rebalancing, self._program.settings.group
            assert group is not None, "there is a group"
            assert settings is not None, "there is a group"
            return GroupMetadata(settings.group_id, group.who)

        return self._engine.run(look)

    def _need_group(self) -> None:
        if self._program.rebalancing is None:
            raise ValueError("group_id: only a consumer with a group commits; give it one")

    # Topics

    def topics(self) -> set[str]:
        """Return the names of all topics."""
        return {topic.name for topic in self._metadata(None).topics}

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        """Return the topic's partitions, or None if there is no such topic."""
        told = self._metadata((topic_name(topic),)).topics
        if not told or told[0].error == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION:
            return None
        if told[0].error != ErrorCode.NONE:
            raise topic_error(topic, told[0].error, told[0].text)
        return {part.partition for part in told[0].partitions}

    def _metadata(self, topics: tuple[str, ...] | None) -> MetadataResponse:
        def ask(future: Future[Message], now: Now) -> None:
            self._program.metadata(topics, QUESTION_TIMEOUT_MS, settle(future), now)

        return metadata_told(self._engine.wait(self._engine.ask(ask)))

    # End

    def close(self, autocommit: bool = True) -> None:
        """Leave the group, with auto commit after a last commit; end the client's thread.

        The listener hears that what is still read is revoked.  May be called again.
        """
        try:
            self._take_leave(autocommit=autocommit)
        finally:
            self.end(autocommit=autocommit)

    def end(self, *, autocommit: bool) -> None:
        """Close, once the listener has heard of it."""
        if not self._engine.closed and self._program.rebalancing is not None:
            left = self._iteration.positions()

            def depart(future: Future[None], now: Now) -> None:
                standing = self.polling.standing(left) if autocommit else {}
                self._program.depart(standing, lambda now: settle(future)(None, now), now)

            with contextlib.suppress(OdradekError):  # nothing that close could do about it
                self._engine.wait(self._engine.ask(depart), CLOSE_TIMEOUT_S)
        self._iteration.drop()
        if not self._engine.closed:
            for interceptor in self._interceptors:
                guarded(interceptor.close)
        self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()


def _tell_end(callback: Callable[[BaseException | None], object], done: Future[None]) -> None:
    error = CancelledError() if done.cancelled() else done.exception()
    guarded(callback, error)


def metadata_told(answer: Message) -> MetadataResponse:
    """Return the answer to a METADATA request, or raise what it says instead."""
    if isinstance(answer, MetadataResponse) and answer.error == ErrorCode.NONE:
        return answer
    raise failure_of(answer)
