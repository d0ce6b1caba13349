"""The blocking producer: a thin, thread-safe facade over :mod:`odradek.producer.engine`.

Owns the futures that callers hold, and the life of the client's thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Self

from odradek.arguments import check_record, headers_of, topic_name, wait_s
from odradek.cluster.bootstrap import Hosts, KeysFile, find_seeds
from odradek.cluster.committing import Committable, GroupMetadata
from odradek.cluster.engine import Engine, give_end
from odradek.cluster.topic_map import TopicView
from odradek.errors import (
    ClientClosedError,
    ClientTimeoutError,
    OdradekError,
    SerializationError,
    TransactionAbortableError,
)
from odradek.interceptors import ProducerInterceptor, ProducerRecord, checked, guarded
from odradek.measures import Metrics
from odradek.producer.accumulator import OnDone
from odradek.producer.engine import ProducerEngine
from odradek.producer.futures import ManyFuture
from odradek.producer.inbox import FlushItem, Inbox, RunItem
from odradek.producer.partitioner import Partitioner
from odradek.producer.placement import RECORD_OVERHEAD_BYTES, headers_bytes
from odradek.producer.serialization import (
    Serializer,
    Serializers,
    check_bytes,
    chunks_of,
    columns_of,
)
from odradek.producer.settings import KINDS, SETTINGS, producer_settings
from odradek.producer.sheaf import RecordFuture
from odradek.producer.transaction_calls import ABORT, BEGIN, COMMIT, INIT, TransactionCalls
from odradek.records import Headers, RecordMetadata
from odradek.settings import check_function, check_settings
from transport.kernel import Now

_NAMED = (
    "key_serializer",
    "value_serializer",
    "partitioner",
    "interceptors",
    "bootstrap_servers",
    "security",
)


ABORT_TIME_S = 5.0
"""For the coordinator of a transaction that is open when its producer is closed."""
ReadyRecord = tuple[str, int | None, bytes | None, bytes | None, Headers, int, int]
"""Topic, partition, key, value, headers, time and size in bytes: as the inbox takes a record."""


class Producer:
    """Writes records to topics. Thread-safe; use one per process, from as many threads as you like.

    ``enable_idempotence`` (on with ``acks='all'``, its default) writes each record once and in
    order, whatever is retried.  ``bootstrap_servers`` may name any node of the cluster; without it
    ``$ODRADEK_BOOTSTRAP``, ``$ODRADEK_DATA_DIR`` and the default data directory are looked at.
    A key decides the partition as Kafka's clients do (murmur2); records without a key stay with
    one partition per batch.

    With a ``transactional_id``, which no two producers may use at a time, records are written in
    transactions: consumers with ``isolation_level='read_committed'`` see all of one or nothing.
    ``init_transactions`` once, then ``with producer.transaction(): …``.  See docs/transactions.md.
    """

    def __init__(
        self,
        bootstrap_servers: Hosts = None,
        *,
        key_serializer: Serializer | None = None,
        value_serializer: Serializer | None = None,
        partitioner: Partitioner | None = None,
        interceptors: Iterable[ProducerInterceptor] = (),
        security: KeysFile = None,
        **settings: Any,
    ) -> None:
        """Take the arguments of :func:`producer_settings`, serializers and a partitioner.

        ``security`` names the file of keys (``odradek keys create``) that a secured cluster asks for;
        without it, ``$ODRADEK_KEYS`` counts.
        """
        check_settings("Producer", settings, SETTINGS | set(_NAMED), KINDS)
        check_function("key_serializer", key_serializer)
        check_function("value_serializer", value_serializer)
        check_function("partitioner", partitioner)
        self._interceptors = checked(interceptors, ProducerInterceptor)
        seeds = find_seeds(bootstrap_servers, security)
        self._settings = producer_settings(seeds, **settings)
        self._serializers = Serializers(key_serializer, value_serializer)
        self._serializes = not self._serializers.are_none
        program = ProducerEngine(self._settings, partitioner)
        self._inbox = inbox = Inbox(
            program, self._settings.buffer_memory_bytes, self._settings.max_block_ms
        )
        self._engine = Engine(program, name="odradek-producer", keys=seeds.keys)
        self.transactions = TransactionCalls(self._engine, program)
        self._closed = False
        # Open as long as the loop runs: how we hear that it ended, in order or not.
        end: Future[None] = self._engine.ask(_leave_open)
        end.add_done_callback(lambda ended: _loop_ended(program, inbox, ended))

    def send(
        self,
        topic: str,
        value: Any = None,
        key: Any = None,
        partition: int | None = None,
        headers: Headers | None = None,
        timestamp_ms: int | None = None,
    ) -> RecordFuture:
        """Hand over one record; the future gives its :class:`RecordMetadata`.

        Blocks only while ``buffer_memory`` is full, at most ``max_block_ms``; then
        :class:`BufferFullError`.  TypeError for what is not bytes and was not made so.
        """
        ready = self.ready(topic, value, key, partition, headers, timestamp_ms)
        if self._interceptors:
            return self.put(ready)
        return self._inbox.put_record(*ready, self)

    def ready(
        self,
        topic: str,
        value: Any,
        key: Any,
        partition: int | None,
        headers: Headers | None,
        timestamp_ms: int | None,
    ) -> ReadyRecord:
        """Return one record as it is now, for :meth:`put`; raises as :meth:`send`."""
        intercepted = self._interceptors
        if headers is not None:
            headers = headers_of(headers)
        if intercepted:
            record = ProducerRecord(topic, value, key, partition, headers or (), timestamp_ms)
            for interceptor in intercepted:
                record = interceptor.on_send(record)
            topic, value, key, partition, headers, timestamp_ms = record
            headers = headers_of(headers)
        if self._serializes:
            key, value = self._serializers.one(key, value)
        if type(value) is not bytes or (key is not None and type(key) is not bytes):
            check_bytes(key, value)
        if type(topic) is not str or not (partition is timestamp_ms is None):
            check_record(topic, partition, timestamp_ms)
        if timestamp_ms is None:
            timestamp_ms = time.time_ns() // 1_000_000
        size_bytes = RECORD_OVERHEAD_BYTES
        if key is not None:
            size_bytes += len(key)
        if value is not None:
            size_bytes += len(value)
        if headers:
            size_bytes += headers_bytes(headers)
        return topic, partition, key, value, headers or (), timestamp_ms, size_bytes

    def put(self, ready: ReadyRecord) -> RecordFuture:
        """Hand over what :meth:`ready` has returned; blocks as :meth:`send`."""
        future = self._inbox.put_record(*ready, self)
        if self._interceptors:
            future.add_done_callback(self._acknowledged)
        return future

    def _acknowledged(self, future: Future[RecordMetadata]) -> None:
        error = future.exception()
        metadata = None if error is not None else future.result()
        for interceptor in self._interceptors:
            guarded(interceptor.on_acknowledgement, metadata, error)

    def has_room(self) -> bool:
        """Return whether ``send`` would take a record now without blocking."""
        return self._inbox.has_room()

    def send_many(
        self,
        topic: str,
        pairs: Iterable[tuple[Any, Any]],
        *,
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> ManyFuture:
        """Hand over many ``(key, value)`` pairs; one future of all their metadata, in order.

        The quickest way in: about a microsecond per record.  Blocks as :meth:`send` does, and takes
        an iterator as it comes.  The future fails if any record does.
        """
        check_record(topic, partition, timestamp_ms)
        if self._interceptors:
            return self._send_many_intercepted(topic, pairs, partition, timestamp_ms)
        stamp_ms = time.time_ns() // 1_000_000 if timestamp_ms is None else timestamp_ms
        many = ManyFuture(topic, stamp_ms, self)
        count = 0
        try:
            for chunk in chunks_of(pairs):
                ready = chunk
                if self._serializes:
                    ready = [self._serializers.one(key, value) for key, value in chunk]
                keys, values, size_bytes = columns_of(ready)
                part = many.part(count)
                run = RunItem(topic, keys, values, size_bytes, stamp_ms, part, partition)
                self._inbox.put(run, self)
                count += len(ready)
        except SerializationError:
            raise
        except OdradekError as error:
            self.transactions.record_refused(error)
            many.abandon(count, error)
            return many
        many.expect(count)
        return many

    def _send_many_intercepted(
        self,
        topic: str,
        pairs: Iterable[tuple[Any, Any]],
        partition: int | None,
        timestamp_ms: int | None,
    ) -> ManyFuture:
        """Hand them over one by one: interceptors see single records, and may change each."""
        stamp_ms = time.time_ns() // 1_000_000 if timestamp_ms is None else timestamp_ms
        many = ManyFuture(topic, stamp_ms, self)
        count = 0
        for key, value in pairs:
            future = self.send(topic, value, key, partition, timestamp_ms=stamp_ms)
            future.add_done_callback(partial(_pass_on, many.part(count)))
            count += 1
        many.expect(count)
        return many

    # Transactions

    def init_transactions(self) -> None:
        """Take the transactional id: its earlier producer is fenced, what that left open aborted.

        :class:`ClientTimeoutError` after ``max_block_ms``; may then be called again.
        """
        self._hear(INIT, self.transactions.init)

    def begin_transaction(self) -> None:
        """Begin a transaction: what is sent from now on belongs to it."""
        self._hear(BEGIN, self.transactions.begin)

    def send_offsets_to_transaction(self, offsets: Committable, group: str | GroupMetadata) -> None:
        """Commit a group's offsets (of the next records to read) as part of the transaction.

        ``group``: ``consumer.group_metadata()``, so that a member which has lost its partitions is
        refused; or a group's id, where only this producer's own fence counts.
        """
        self._engine.check_may_wait()
        self._engine.wait(self.transactions.send_offsets(offsets, group))

    def commit_transaction(self) -> None:
        """Write what was sent, then commit all of it; returns once every reader may see it.

        :class:`TransactionAbortableError`: something was not written, or the time was up; abort it.
        :class:`ClientTimeoutError`: nobody knows yet; call it again.  :class:`ProducerFencedError`:
        another producer has the transactional id; close this one.  Where Ctrl-C ends the call, call
        it again too: that tells what became of it.
        """

        def ask() -> Future[None]:
            if (resumed := self.transactions.resumed(COMMIT)) is not None:
                return resumed
            self.flush()
            return self.transactions.end(committed=True)

        self._hear(COMMIT, ask)

    def abort_transaction(self) -> None:
        """Drop what was not written, and have readers of committed records see none of the rest."""

        def ask() -> Future[None]:
            if (resumed := self.transactions.resumed(ABORT)) is not None:
                return resumed
            self._engine.wait(self.transactions.drop())
            self.flush()
            return self.transactions.end(committed=False)

        self._hear(ABORT, ask)

    @contextmanager
    def transaction(self) -> Iterator[Producer]:
        """Begin a transaction; commit it at the end of the block, abort it if the block raises.

        A block that is ended in its commit is aborted unless its coordinator has been asked: then
        only ``commit_transaction()`` tells what became of it, and nothing else is possible.
        """
        self.begin_transaction()
        try:
            yield self
        except BaseException:
            # Whatever keeps it from being aborted here, its coordinator aborts it in time.
            with suppress(OdradekError):
                self.abort_transaction()
            raise
        try:
            self.commit_transaction()
        except TransactionAbortableError:
            self.abort_transaction()
            raise
        except Exception:
            raise
        except BaseException:
            with suppress(OdradekError):
                self.abort_transaction()
            raise

    def _hear(self, verb: str, ask: Callable[[], Future[None]]) -> None:
        self._engine.check_may_wait()
        future = ask()
        with self.transactions.hearing(verb, future):
            self._engine.wait(future)

    def flush(self, timeout: float | None = None) -> None:
        """Wait until every record handed over before has met its end, well or not.

        :class:`ClientTimeoutError` after ``timeout`` seconds.  Not from a callback: what it would
        wait for happens on the callback's own thread.
        """
        patience_s = wait_s("timeout", timeout)
        self._engine.check_may_wait()
        flushed = threading.Event()
        self._inbox.put(FlushItem(flushed.set), self)
        if not flushed.wait(patience_s):
            raise ClientTimeoutError(f"records were not acked within {timeout} s")

    def flushing(self) -> Future[None]:
        """As :meth:`flush`, and do not wait: the future ends with it."""
        flushed: Future[None] = Future()
        self._inbox.put(FlushItem(partial(give_end, flushed)), self)
        return flushed

    def partitions_for(self, topic: str) -> set[int]:
        """Return the topic's partitions; the topic is created if the cluster does that."""
        topic_name(topic)

        def ask(future: Future[set[int]], now: Now) -> None:
            def told(known: TopicView | OdradekError, _now: Now) -> None:
                if isinstance(known, OdradekError):
                    future.set_exception(known)
                else:
                    future.set_result(set(known.partitions))

            self._program().with_topic(topic, told, now)

        return self._engine.wait(self._engine.ask(ask))

    def metrics(self) -> Metrics:
        """Return what was counted since the client was made, by Kafka's names."""
        return self._engine.run(lambda _now: self._program().metrics())

    def close(self, timeout: float | None = None) -> None:
        """Flush, at most for ``timeout`` seconds (for ever if None), and end the client's thread.

        What was not acked by then fails with :class:`ClientClosedError`.  A transaction that is open
        is aborted, if its coordinator can be asked in what the flush has left of that time, in
        ABORT_TIME_S at most.  May be called again, and from a callback: then it flushes and aborts
        nothing, and does not wait.
        """
        patience_s = wait_s("timeout", timeout)
        if not self.on_loop:
            began_s = time.monotonic()
            with suppress(
                ClientTimeoutError, ClientClosedError
            ):  # their futures say so, one by one
                self.flush(timeout)
            left_s = ABORT_TIME_S
            if patience_s is not None:
                left_s = min(left_s, max(0.0, patience_s - (time.monotonic() - began_s)))
            self._abort_what_is_open(left_s)
        self._engine.close()
        if not self._closed:
            self._closed = True
            for interceptor in self._interceptors:  # they have heard of every record's end
                guarded(interceptor.close)

    def _abort_what_is_open(self, patience_s: float) -> None:
        """Left open, it would hold back readers of committed records until its time-out."""
        if self._settings.transactional_id is None:
            return
        with suppress(OdradekError):  # nothing is open, or nothing that close could do about it
            self._engine.wait(self.transactions.drop(), patience_s)
            self._engine.wait(self.transactions.end(committed=False), patience_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def _program(self) -> ProducerEngine:
        return self._inbox.program

    @property
    def on_loop(self) -> bool:
        """True on the client's own thread, as in a callback: nothing may wait for the client there."""
        return self._engine.on_loop

    def wake(self) -> None:
        """Have the client's thread look for what was handed over: it does when it is needed."""
        self._engine.post(_nothing)


def _pass_on(settle: OnDone, future: Future[RecordMetadata]) -> None:
    assert isinstance(future, RecordFuture), "of a send"
    assert future.end is not None, "it was told because it has ended"
    settle(future.end.outcome, future.end.rank, (0,))


def _leave_open(_future: Future[None], _now: Now) -> None:
    """Settled only by the end of the loop."""


def _nothing(_now: Now) -> None:
    """Only to wake the loop."""


def _loop_ended(program: ProducerEngine, inbox: Inbox, ended: Future[None]) -> None:
    """Fail whatever is left when the loop has ended, in order or by a failure."""
    error = ended.exception()
    closed = error if isinstance(error, ClientClosedError) else ClientClosedError()
    inbox.close(closed)
    program.give_up(closed, Now(0, 0))
