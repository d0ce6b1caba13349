"""The consumer as a program: subscribes, keeps positions, fetches ahead, gives records.

The blocking and the asyncio consumer are thin facades over it, and the simulator drives it as it
is.  Owns what waits for records or positions.  It must not know of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from odradek.client_program import ClientProgram
from odradek.errors import ClientClosedError, ClientTimeoutError, OdradekError, error_for
from odradek.fetching import RESETS, ConsumerSettings, Fetcher
from odradek.offsets import OffsetLookups, OnFound
from odradek.records import FetchedRecords, Reading
from odradek.subscription import Assigned, Subscription
from transport.kernel import Now, earliest
from transport.wire.errors import ErrorCode, meaning
from transport.wire.ids import TopicId, TopicPartition
from transport.wire.messages import Message
from transport.wire.messages.fetch import TIMESTAMP_EARLIEST, TIMESTAMP_LATEST
from transport.wire.messages.metadata import MetadataRequest

Given = dict[TopicPartition, FetchedRecords]
OnGiven = Callable[[Given | OdradekError, Now], None]


class _Waiting(NamedTuple):
    """Somebody who waits: asked every turn, told once."""

    deadline_ms: int
    look: Callable[[], Any]
    """The result, or None to go on waiting; an OdradekError it raises is told too."""
    late: Callable[[], Any]
    """What to tell when the time is up."""
    on_done: Callable[[Any, Now], None]


class ConsumerEngine(ClientProgram):
    """A consumer, pure of I/O. All methods are called on the loop's thread.

    Results come by callbacks ``(result or OdradekError, now)``, each called exactly once.
    """

    def __init__(self, settings: ConsumerSettings, reading: Reading | None = None) -> None:
        super().__init__(
            settings.bootstrap, client_id=settings.client_id, auto_create=settings.auto_create
        )
        self.settings = settings
        self.subscription = Subscription()
        self._lookups = OffsetLookups(
            self.view, self.calls, self.timers, isolation=settings.isolation
        )
        self._fetcher = Fetcher(
            settings, self.subscription, self.view, self.calls, self._lookups, reading or Reading()
        )
        self._waiting: list[_Waiting] = []
        self._ids: dict[str, TopicId] = {}
        """Topics that have been seen, under which id."""
        self._absent: set[str] = set()
        """Topics that were not there when we first asked: all of their records are news."""
        self._generation = -1

    # What is read

    def subscribe(self, topics: Iterable[str], now: Now) -> None:
        """Read these topics as a whole, partitions to come included, instead of anything else."""
        wanted = dict.fromkeys(topics)
        for key in [key for key in self.subscription.assigned if key.topic not in wanted]:
            self.subscription.drop(key)
        if not self.subscription.topics:
            self.subscription.assign(())
        self.subscription.topics = wanted
        for name in wanted:
            self.view.watch(name, now)
        self._generation = -1

    def assign(self, partitions: Iterable[TopicPartition], now: Now) -> None:
        """Read exactly these partitions; those that were read before keep their place."""
        self.subscription.topics = {}
        for one in self.subscription.assign(partitions):
            self.view.watch(one.key.topic, now)
            self._begin_at_policy(one)

    def seek(self, key: TopicPartition, offset: int) -> None:
        """Go on at ``offset``; ValueError if the partition is not assigned."""
        self._assigned(key).seek(offset)

    def seek_to(self, keys: Iterable[TopicPartition], timestamp_ms: int) -> None:
        """Go on at the end (−1), the beginning (−2) or a time; of all partitions if none is named."""
        for key in list(keys) or list(self.subscription.assigned):
            self._assigned(key).reset(timestamp_ms)

    def pause(self, keys: Iterable[TopicPartition], paused: bool) -> None:
        """Give nothing of these partitions, or give again; what was fetched is kept."""
        for key in keys:
            self._assigned(key).paused = paused

    # What is asked

    def poll(
        self,
        records_max: int,
        timeout_ms: int,
        on_given: OnGiven,
        now: Now,
        claim: Callable[[], bool] = lambda: True,
    ) -> None:
        """Give up to ``records_max`` records as soon as there are any, or nothing in the end.

        ``claim`` is asked right before records are taken: False, nobody waits for them any more.
        """

        def look() -> Given | None:
            refused = self._refused()
            if refused is not None:
                raise refused
            if not self.subscription.ready():
                return None
            return self.subscription.take(records_max) if claim() else {}

        self._wait(_Waiting(now.mono_ms + timeout_ms, look, dict, on_given), now)

    def position(
        self,
        key: TopicPartition,
        timeout_ms: int,
        on_known: Callable[[int | OdradekError, Now], None],
        now: Now,
    ) -> None:
        """Tell the offset of the next record to be given, once it is known."""
        one = self._assigned(key)

        def look() -> int | None:
            if one.position is None and one.error is not None:
                raise one.error
            return one.position

        def late() -> OdradekError:
            return ClientTimeoutError(f"the position of {key} is not known yet")

        self._wait(_Waiting(now.mono_ms + timeout_ms, look, late, on_known), now)

    def offsets(
        self, wanted: Mapping[TopicPartition, int], timeout_ms: int, on_found: OnFound, now: Now
    ) -> None:
        """Find offsets by time, or ends (−1) or beginnings (−2), assigned or not."""
        self._lookups.find(wanted, on_found, now, timeout_ms=timeout_ms)

    def metadata(
        self,
        topics: tuple[str, ...] | None,
        timeout_ms: int,
        on_told: Callable[[Message, Now], None],
        now: Now,
    ) -> None:
        """Ask a broker for the metadata of ``topics`` (None: all)."""
        self.errands.ask(MetadataRequest(topics), on_told, now, timeout_ms=timeout_ms)

    # Program

    def begin(self, now: Now) -> None:
        """Take the ports."""
        self._lookups.attach(self.ports)
        self._fetcher.attach(self.ports)

    def work(self, now: Now) -> None:
        """Follow the topics, give what is asked for, fetch on."""
        if self._generation != self.view.generation:
            self._generation = self.view.generation
            self._follow()
        self._lookups.end_turn(now)
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            for one in waiting:
                self._wait(one, now)
        self._fetcher.pump(now)

    def own_deadline_ms(self) -> int | None:
        """Return when a pause or somebody's patience is over."""
        return earliest(
            self._fetcher.next_deadline_ms(), *(one.deadline_ms for one in self._waiting)
        )

    def finish(self, now: Now) -> None:
        """Tell whoever waits that there will be nothing."""
        error = ClientClosedError("the consumer was closed")
        self._lookups.close(error, now)
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.on_done(error, now)

    def check(self) -> None:
        """Assert the invariants; for tests and the simulator."""
        self.subscription.check()

    # Inside

    def _wait(self, one: _Waiting, now: Now) -> None:
        try:
            result = one.look()
        except OdradekError as error:
            result = error
        if result is None and now.mono_ms >= one.deadline_ms:
            result = one.late()
        if result is None:
            self._waiting.append(one)
        else:
            one.on_done(result, now)

    def _assigned(self, key: TopicPartition) -> Assigned:
        one = self.subscription.assigned.get(TopicPartition(*key))
        if one is None:
            raise ValueError(f"{key} is not assigned to this consumer; assign() it first")
        return one

    def _begin_at_policy(self, one: Assigned) -> None:
        timestamp_ms = RESETS[self.settings.auto_offset_reset]
        if timestamp_ms is not None:
            one.reset(timestamp_ms)

    def _follow(self) -> None:
        """Take up topics and partitions that have come to be."""
        for name in self.subscription.topics:
            topic = self.view.topics.get(name)
            if topic is None or not topic.usable:
                if topic is not None and topic.asked and name not in self._ids:
                    self._absent.add(name)
                continue
            known_id = self._ids.get(name)
            fresh = known_id is not None or name in self._absent
            for partition in topic.partitions:
                key = TopicPartition(name, partition)
                one = self.subscription.assigned.get(key)
                if one is None:
                    self._take_up(self.subscription.add(key), fresh=fresh)
                elif known_id is not None and known_id != topic.topic_id:
                    self._take_up(one, fresh=True)  # made anew: its offsets begin again
            self._ids[name] = topic.topic_id

    def _take_up(self, one: Assigned, *, fresh: bool) -> None:
        """Begin to read: what came to be after we began is read from its beginning."""
        timestamp_ms = RESETS[self.settings.auto_offset_reset]
        if timestamp_ms is None:
            return  # the fetcher says that there is no position, until a seek
        if fresh and timestamp_ms == TIMESTAMP_LATEST:
            timestamp_ms = TIMESTAMP_EARLIEST
        one.reset(timestamp_ms)

    def _refused(self) -> OdradekError | None:
        """Return the error of a topic that no waiting will cure."""
        for name in self.subscription.topics:
            topic = self.view.topics.get(name)
            if topic is None or not topic.asked or topic.error == ErrorCode.NONE:
                continue
            if not meaning(topic.error).retriable:
                return error_for(topic.error, f"topic {name!r}: {meaning(topic.error).text}")
        return None
