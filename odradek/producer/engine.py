"""The producer as a program: takes records, has them placed and sent, tells each one's end.

The blocking and the asyncio producer are thin facades over it, and the simulator drives it as it
is.  Owns what waits for a topic to be known.  It must not know of threads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from odradek.cluster.client_program import ClientProgram
from odradek.cluster.committing import GroupMetadata, GroupOffsets, Offsets
from odradek.cluster.coordinator_link import CoordinatorLink
from odradek.cluster.topic_map import TopicView
from odradek.errors import (
    BufferFullError,
    ClientClosedError,
    ClientError,
    ClientTimeoutError,
    InvalidTxnStateError,
    NoClusterError,
    OdradekError,
    topic_error,
)
from odradek.measures import Metrics
from odradek.producer.accumulator import Accumulator, OnDone, Outcome, Run
from odradek.producer.partitioner import Partitioner
from odradek.producer.placement import RECORD_OVERHEAD_BYTES, Placement, Single
from odradek.producer.sender import ProducerSettings, Sender
from odradek.producer.transaction import ProducerTransaction
from odradek.records import Headers
from transport.kernel import Now, earliest
from transport.wire.errors import ErrorCode, meaning
from transport.wire.messages.coordinators import KEY_GROUP, KEY_TRANSACTION
from transport.wire.records import Parts

OnEnd = Callable[[OdradekError | None, Now], None]
OnTopic = Callable[[TopicView | OdradekError, Now], None]


class _Parked(NamedTuple):
    """Something that waits for its topic to be known."""

    deadline_ms: int
    size_bytes: int
    on_topic: OnTopic


class ProducerEngine(ClientProgram):
    """A producer, pure of I/O. All methods are called on the loop's thread.

    A record's end comes by ``on_done(outcome, index, positions)``: see ``accumulator.OnDone``.
    """

    def __init__(self, settings: ProducerSettings, partitioner: Partitioner | None = None) -> None:
        super().__init__(settings.bootstrap, client_id=settings.client_id)
        self.settings = settings
        self.on_room: Callable[[Now], bool] | None = None
        """Called once a turn while there is room; True: there is more to come at once."""
        self._accumulator = Accumulator(
            batch_size_bytes=settings.batch_size_bytes,
            delivery_timeout_ms=settings.delivery_timeout_ms,
        )
        self._links: dict[str, CoordinatorLink] = {}
        """To the coordinators of the groups whose offsets this producer commits."""
        self.transaction: ProducerTransaction | None = None
        self._coordinator: CoordinatorLink | None = None
        if settings.transactional_id is not None:
            name = settings.transactional_id
            self._coordinator = CoordinatorLink(
                self.view, self.calls, self.timers, self.errands, KEY_TRANSACTION, name
            )
            self.transaction = ProducerTransaction(
                name, settings.transaction_timeout_ms, self._coordinator
            )
        self._sender = Sender(
            settings, self.view, self.calls, self.errands, self._accumulator, self.transaction
        )
        self._placement = Placement(
            self.view,
            self._accumulator,
            record_bytes_max=settings.request_bytes_max,
            partitioner=partitioner,
            on_refused=self.record_refused,
        )
        self._parked: dict[str, deque[_Parked]] = {}
        self._parked_bytes = 0
        self._flushes: list[tuple[int, Callable[[Now], None]]] = []
        self._generation = -1
        self._more = False

    # What a caller may ask

    @property
    def buffered_bytes(self) -> int:
        """What is held for records whose end is not known, in bytes."""
        return self._accumulator.buffered_bytes + self._parked_bytes

    def metrics(self) -> Metrics:
        """Return what was counted, by Kafka's names."""
        sender = self._sender
        memory_bytes = self.settings.buffer_memory_bytes
        return sender.measures.metrics(
            sender.latencies,
            sender.resting.throttles,
            sender.in_flight,
            self.buffered_bytes,
            memory_bytes,
        )

    def has_room(self) -> bool:
        """Return whether another record is taken: the bound is passed by one piece at most."""
        return self.buffered_bytes < self.settings.buffer_memory_bytes

    def gathers(self, topic: str) -> bool:
        """Tell whether a record without a key would wait for an answer that is on its way.

        May be asked on any thread: in the turn that takes the answer, more is taken after it.
        """
        lane = self._placement.sticky(topic)
        return lane is not None and lane.flying

    def send(
        self,
        topic: str,
        partition: int | None,
        key: bytes | None,
        value: bytes | None,
        on_done: OnDone,
        now: Now,
        *,
        headers: Headers = (),
        timestamp_ms: int | None = None,
    ) -> None:
        """Take one record; ``on_done`` is called exactly once, perhaps before this returns.

        It is refused with BufferFullError when ``has_room()`` is False.
        """
        stamp_ms = now.wall_ms if timestamp_ms is None else timestamp_ms
        self.take(topic, Single(partition, key, value, headers, stamp_ms, on_done), now)

    def take(self, topic: str, record: Single, now: Now) -> None:
        """Take one record, as :meth:`send`."""
        known = self.view.topic(topic)
        if known is not None and topic not in self._parked and self._open():
            self._placement.place(known, record, now)
            return

        def on_topic(told: TopicView | OdradekError, now: Now) -> None:
            if isinstance(told, OdradekError):
                record.fail(topic, told)
            else:
                self._placement.place(told, record, now)

        self._place(topic, record.size_bytes(), on_topic, now)

    def send_run(
        self,
        topic: str,
        keys: Parts,
        values: Parts,
        size_bytes: int,
        on_done: OnDone,
        now: Now,
        *,
        partition: int | None = None,
        timestamp_ms: int | Sequence[int] | None = None,
    ) -> None:
        """Take many records without headers; ``on_done`` is called once per part of them.

        ``size_bytes`` is that of all keys and values; ``positions`` says which records a part has.
        """
        count = len(values)
        record_bytes = size_bytes // max(1, count) + RECORD_OVERHEAD_BYTES
        stamp_ms = now.wall_ms if timestamp_ms is None else timestamp_ms
        run = Run(keys, values, range(count), record_bytes, stamp_ms, on_done)

        def place(known: TopicView | OdradekError, now: Now) -> None:
            if isinstance(known, OdradekError):
                on_done(Outcome(topic, -1, -1, known), 0, run.positions)
            else:
                self._placement.place_run(known, run, partition, now)

        self._place(topic, record_bytes * count, place, now)

    def record_refused(self, error: OdradekError) -> None:
        """A record comes to no batch: a transaction that lacks it can only be aborted."""
        if self.transaction is not None:
            self.transaction.record_failed(error)

    def flush(self, on_done: Callable[[Now], None], now: Now) -> None:
        """Call ``on_done`` when every record taken so far has met its end."""
        if self._parked:  # they get their batches later: look again when the last has its place
            queue = next(reversed(self._parked.values()))
            deadline_ms = queue[-1].deadline_ms
            queue.append(_Parked(deadline_ms, 0, lambda _topic, now: self.flush(on_done, now)))
            return
        self._flushes.append((self._accumulator.newest, on_done))
        self._sender.flushing = True

    def with_topic(self, topic: str, on_topic: OnTopic, now: Now) -> None:
        """Call ``on_topic`` when the topic is known, or with the error that keeps it from it."""
        self._place(topic, 0, on_topic, now)

    # Transactions

    def init_transactions(self, on_done: OnEnd, now: Now) -> None:
        """Take the transactional id; ``on_done`` gets None, or why not."""
        timeout_ms = self.settings.max_block_ms
        self._transactional().init(on_done, now, timeout_ms=timeout_ms)

    def begin_transaction(self) -> None:
        """Begin one; raises where that is not possible."""
        self._transactional().begin()

    def send_offsets(
        self, offsets: Offsets, group: GroupMetadata, on_done: OnEnd, now: Now
    ) -> None:
        """Commit a group's offsets as part of the transaction; ``on_done`` gets None, or why not."""
        transaction = self._transactional()
        try:
            within = transaction.offsets_asked()
        except OdradekError as error:
            on_done(error, now)
            return

        def committed(error: OdradekError | None, now: Now) -> None:
            transaction.offsets_answered(within, error, now)
            on_done(error, now)

        timeout_ms = self.settings.max_block_ms
        self._group_offsets(group.group_id).commit(
            offsets, group.who, committed, now, timeout_ms=timeout_ms, within=within
        )

    def _group_offsets(self, group_id: str) -> GroupOffsets:
        if group_id not in self._links:
            link = CoordinatorLink(
                self.view, self.calls, self.timers, self.errands, KEY_GROUP, group_id
            )
            link.attach(self.ports)
            self._links[group_id] = link
        return GroupOffsets(group_id, self._links[group_id], self.view, self.timers)

    def close_transaction(self, now: Now, *, committed: bool) -> None:
        """Take no more records into it; to abort, end those that were taken."""
        self._transactional().close(committed=committed)
        if not committed:
            self._drop_all(ClientError("its transaction was aborted"), now)

    def end_transaction(self, on_done: OnEnd, now: Now, *, committed: bool) -> None:
        """Commit or abort; ``on_done`` gets None, or what to do about it."""
        transaction = self._transactional()
        try:
            self.close_transaction(now, committed=committed)
        except OdradekError as error:
            on_done(error, now)
            return
        timeout_ms = self.settings.max_block_ms

        def flushed(now: Now) -> None:
            transaction.end(on_done, now, committed=committed, timeout_ms=timeout_ms)

        self.flush(flushed, now)

    def _transactional(self) -> ProducerTransaction:
        if self.transaction is None:
            raise InvalidTxnStateError("a producer without a transactional_id has no transactions")
        return self.transaction

    # Program

    def begin(self, now: Now) -> None:
        """Take the ports."""
        self._sender.attach(self.ports)
        self._placement.attach(self.ports.random)
        if self._coordinator is not None:
            self._coordinator.attach(self.ports)

    def work(self, now: Now) -> None:
        """Place what was parked, take more, send, tell."""
        if self._parked:
            self._unpark(now)
        # Without room there may be more as well, for when this very turn makes some.
        self._more = self.on_room is not None and (not self.has_room() or self.on_room(now))
        self._sender.pump(now)
        if self._flushes:
            self._end_flushes(now)

    def topics_in_use(self, since_ms: int) -> set[str]:
        """Return what is written to, or waited for."""
        return {*self._parked, *self._accumulator.topics(since_ms)}

    def own_deadline_ms(self) -> int | None:
        """Return when the next batch, pause or parked record is due."""
        parked = [queue[0].deadline_ms for queue in self._parked.values()]
        more = 0 if self._more and self.has_room() else None
        return earliest(more, self._sender.next_deadline_ms(), *parked)

    def finish(self, now: Now) -> None:
        """Fail whatever has not met its end."""
        for link in (self._coordinator, *self._links.values()):
            if link is not None:
                link.close(now)
        self.give_up(ClientClosedError("the producer was closed before the record was acked"), now)

    def give_up(self, error: OdradekError, now: Now) -> None:
        """End everything with ``error``; nothing is taken any more."""
        self._sender.failed = error
        self._drop_all(error, now)
        self._end_flushes(now)

    def _drop_all(self, error: OdradekError, now: Now) -> None:
        queues, self._parked = list(self._parked.values()), {}
        for queue in queues:  # a flush among them finds nothing parked to wait for
            for parked in queue:
                self._release(parked, error, now)
        self._sender.fail_all(error)

    def check(self) -> None:
        """Assert the invariants; for tests and the simulator."""
        self._accumulator.check()
        self._sender.check()
        parked = sum(one.size_bytes for queue in self._parked.values() for one in queue)
        assert parked == self._parked_bytes, "the account of parked bytes is wrong"

    # Waiting for a topic

    def _open(self) -> bool:
        return self._refused() is None and self.has_room()

    def _refused(self) -> OdradekError | None:
        """Return why nothing is taken, or None."""
        if self._sender.failed is not None or self.transaction is None:
            return self._sender.failed
        return self.transaction.refusal()

    def _place(self, topic: str, size_bytes: int, on_topic: OnTopic, now: Now) -> None:
        """Go on with the topic now, or when it is known; what came first goes first."""
        refused = self._refused() if size_bytes else self._sender.failed
        if refused is not None:
            on_topic(refused, now)
            return
        if size_bytes and not self.has_room():
            full = BufferFullError()
            self.record_refused(full)
            on_topic(full, now)
            return
        known = self.view.topic(topic)
        if known is not None and topic not in self._parked:
            on_topic(known, now)
            return
        self.view.watch(topic, now)
        deadline_ms = now.mono_ms + self.settings.max_block_ms
        self._parked_bytes += size_bytes
        self._parked.setdefault(topic, deque()).append(_Parked(deadline_ms, size_bytes, on_topic))

    def _unpark(self, now: Now) -> None:
        changed = self._generation != self.view.generation
        self._generation = self.view.generation
        for name in list(self._parked):
            queue = self._parked[name]
            known = self.view.topic(name) if changed else None
            refusal = self._refusal(name) if changed and known is None else None
            due = list(queue)
            verdict = known or refusal
            if verdict is None:
                verdict = self._unknown(name)
                due = [parked for parked in queue if parked.deadline_ms <= now.mono_ms]
            if len(due) == len(queue):
                del self._parked[name]
            for parked in due:
                if name in self._parked:
                    queue.popleft()
                self._release(parked, verdict, now)

    def _release(self, parked: _Parked, verdict: TopicView | OdradekError, now: Now) -> None:
        self._parked_bytes -= parked.size_bytes
        if parked.size_bytes and isinstance(verdict, OdradekError):
            self.record_refused(verdict)
        parked.on_topic(verdict, now)

    def _refusal(self, name: str) -> OdradekError | None:
        """Return the error that no waiting will cure."""
        topic = self.view.topics.get(name)
        if topic is None or not topic.asked or topic.error == ErrorCode.NONE:
            return None
        if meaning(topic.error).retriable:
            return None
        return topic_error(name, topic.error, topic.text)

    def _unknown(self, name: str) -> OdradekError:
        if not self.view.fetched:
            return NoClusterError(f"no broker could be reached: {self.view.tried()}")
        topic = self.view.topics.get(name)
        if topic is not None and topic.asked and topic.error != ErrorCode.NONE:
            return topic_error(name, topic.error, topic.text)
        time_ms = self.settings.max_block_ms
        return ClientTimeoutError(f"nothing was heard of topic {name!r} within {time_ms} ms")

    def _end_flushes(self, now: Now) -> None:
        oldest = self._accumulator.oldest
        done = [one for one in self._flushes if oldest is None or oldest > one[0]]
        self._flushes = [one for one in self._flushes if one not in done]
        self._sender.flushing = bool(self._flushes)
        for _, on_done in done:
            on_done(now)
