"""The consumer as a program: subscribes, keeps positions, fetches ahead, gives records.

The blocking and the asyncio consumer are thin facades over it, and the simulator drives it as it
is.  Owns what waits for records or positions.  It must not know of threads.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from odradek.arguments import partition_of
from odradek.cluster.client_program import ClientProgram
from odradek.cluster.committing import GroupOffsets, OffsetAndMetadata, OnCommitted, OnFetched
from odradek.cluster.coordinator_link import CoordinatorLink
from odradek.cluster.errands import failure_of
from odradek.cluster.offsets import OffsetLookups, OnFound
from odradek.consumer.beginnings import Beginnings
from odradek.consumer.classic_membership import ClassicMembership
from odradek.consumer.fetched_records import FetchedRecords
from odradek.consumer.fetching import ConsumerSettings, Fetcher
from odradek.consumer.followed_topics import FollowedTopics
from odradek.consumer.membership import ConsumerMembership, GroupSettings, Membership
from odradek.consumer.positions import Positions
from odradek.consumer.rebalancing import Change, Rebalancing
from odradek.consumer.retries import Retries
from odradek.consumer.subscription import Assigned, Subscription
from odradek.errors import ClientClosedError, ClientTimeoutError, OdradekError
from odradek.measures import ConsumerMeasures, Metrics
from transport.kernel import Now, earliest
from transport.wire.errors import ErrorCode
from transport.wire.ids import TopicPartition
from transport.wire.messages import Message
from transport.wire.messages.coordinators import KEY_GROUP
from transport.wire.messages.fetch import READ_COMMITTED
from transport.wire.messages.metadata import MetadataRequest, MetadataResponse

Given = dict[TopicPartition, FetchedRecords]
OnGiven = Callable[[Given | Change | OdradekError, Now], None]
"""A Change is given only to who has a listener; it comes again until ``heard`` was called."""


class _Waiting(NamedTuple):
    """Somebody who waits: asked every turn, told once."""

    deadline_ms: int
    look: Callable[[], Any]
    """The result, or None to go on waiting; an OdradekError it raises is told too."""
    late: Callable[[], Any]
    """What to tell when the time is up."""
    on_done: Callable[[Any, Now], None]
    is_poll: bool = False


class ConsumerEngine(ClientProgram):
    """A consumer, pure of I/O. All methods are called on the loop's thread.

    Results come by callbacks ``(result or OdradekError, now)``, each called exactly once.
    """

    def __init__(self, settings: ConsumerSettings) -> None:
        super().__init__(
            settings.bootstrap, client_id=settings.client_id, auto_create=settings.auto_create
        )
        self.settings = settings
        self.subscription = Subscription()
        self._lookups = OffsetLookups(
            self.view, self.calls, self.timers, isolation=settings.isolation
        )
        self._retries = Retries(self.view)
        positions = Positions(
            settings.auto_offset_reset, self.view, self.calls, self._lookups, self._retries
        )
        self._fetcher = Fetcher(
            settings, self.subscription, self.view, self.calls, positions, self._retries
        )
        self.measures = ConsumerMeasures()
        self._waiting: list[_Waiting] = []
        self.has_nothing = False
        """At the end of the last turn there was nothing that a poll could be told."""
        self._beginnings = Beginnings(
            settings.auto_offset_reset, self.subscription, self.view, self.timers
        )
        self._link: CoordinatorLink | None = None
        self._membership: Membership | None = None
        self.offsets_of_group: GroupOffsets | None = None
        self.rebalancing: Rebalancing | None = None
        if settings.group is not None:
            self._make_group(settings.group)
        self._topics = FollowedTopics(
            self.subscription, self.view, self.errands, self._beginnings, self.rebalancing
        )

    def _make_group(self, group: GroupSettings) -> None:
        self._link = CoordinatorLink(
            self.view, self.calls, self.timers, self.errands, KEY_GROUP, group.group_id
        )
        stable = self.settings.isolation == READ_COMMITTED
        self.offsets_of_group = GroupOffsets(
            group.group_id, self._link, self.view, self.timers, stable=stable
        )
        begin = self._beginnings.take_up_without_commit
        self.rebalancing = Rebalancing(
            group, self.subscription, self.offsets_of_group, self.timers, begin
        )
        if group.protocol == "classic":
            self._membership = ClassicMembership(group, self._link, self.rebalancing, self.view)
        else:
            self._membership = ConsumerMembership(group, self._link, self.rebalancing)
        self.rebalancing.membership = self._membership

    # What is read

    def subscribe(self, topics: Iterable[str], now: Now) -> None:
        """Read these topics as a whole, partitions to come included, instead of anything else.

        In a group: those partitions of them that the group gives to this member.
        """
        self._topics.subscribe(topics, now)

    def subscribe_pattern(self, pattern: re.Pattern[str], now: Now) -> None:
        """Read every topic whose whole name matches, those to come included."""
        self._topics.subscribe_pattern(pattern, now)

    def assign(self, partitions: Iterable[TopicPartition], now: Now) -> None:
        """Read exactly these partitions; those that were read before keep their place.

        With a group, new ones begin at what it has committed.
        """
        wanted = dict.fromkeys(partitions)
        self._topics.clear()
        if self.rebalancing is not None and self.rebalancing.taking_part:
            positions = self.rebalancing.positions()
            self.rebalancing.depart(positions, lambda _now: None, now, wanted)
        added = self.subscription.assign(wanted)
        for one in added:
            self.view.watch(one.key.topic, now)
        if self.offsets_of_group is None:
            for one in added:
                self._beginnings.take_up(one, now)
        elif added:
            self._beginnings.begin_at_commits(self.offsets_of_group, added, now)

    def seek(self, key: TopicPartition, offset: int) -> None:
        """Go on at ``offset``; ValueError if the partition is not assigned."""
        self._assigned(key).seek(offset)

    def seek_to(self, keys: Iterable[TopicPartition], timestamp_ms: int) -> None:
        """Go on at the end (−1), the beginning (−2) or a time; of all partitions if none is named."""
        named = list(map(self._assigned, keys))
        for one in named or self.subscription.assigned.values():
            one.reset(timestamp_ms)

    def pause(self, keys: Iterable[TopicPartition], paused: bool) -> None:
        """Give nothing of these partitions, or give again; what was fetched is kept while there is room."""
        for one in list(map(self._assigned, keys)):
            one.paused = paused

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
        In a group, polling says that what earlier polls have given is dealt with.
        """
        group = self.rebalancing
        if group is not None:
            group.entered(now)
            group.end_turn(in_poll=True, now=now)

        def look() -> Given | Change | None:
            refused = (
                self._topics.refused() if group is None else group.error or self._topics.refused()
            )
            if refused is not None:
                raise refused
            if group is not None and group.changes:
                return group.changes[0]
            if not self.subscription.ready():
                return None
            return self._take(records_max) if claim() else {}

        self._wait(_Waiting(now.mono_ms + timeout_ms, look, dict, on_given, is_poll=True), now)

    def _take(self, records_max: int) -> Given:
        given = self.subscription.take(records_max)
        self.measures.polls += 1
        self.measures.records_consumed += sum(map(len, given.values()))
        return given

    def go_back(self, positions: Mapping[TopicPartition, int]) -> None:
        """Stand again before records that were taken and not given, where they are still read."""
        for key, offset in positions.items():
            if key in self.subscription.assigned:
                self.seek(key, offset)

    def metrics(self) -> Metrics:
        """Return what was counted, by Kafka's names."""
        assigned = self.subscription.assigned.values()
        lags = [one.high_watermark - (one.position or 0) for one in assigned]
        return self.measures.metrics(
            self._fetcher.latencies,
            self._fetcher.resting.throttles,
            len(assigned),
            max(0, *lags, 0),
            self.subscription.buffered_bytes,
        )

    def heard(self, change: Change, now: Now) -> None:
        """The listener has heard of this Change that a poll has given."""
        assert self.rebalancing is not None, "only groups change"
        self.rebalancing.told(change, now)

    def commit(
        self,
        offsets: Mapping[TopicPartition, OffsetAndMetadata],
        timeout_ms: int,
        on_committed: OnCommitted,
        now: Now,
    ) -> None:
        """Commit these offsets for the group."""
        assert self.rebalancing is not None, "the facade has looked for a group"
        self.rebalancing.commit(dict(offsets), on_committed, now, timeout_ms)

    def committed(
        self, keys: Iterable[TopicPartition], timeout_ms: int, on_fetched: OnFetched, now: Now
    ) -> None:
        """Tell what the group has committed for these partitions: of no topic, nothing."""
        offsets, wanted = self.offsets_of_group, list(keys)
        assert offsets is not None, "the facade has looked for a group"
        deadline_ms = now.mono_ms + timeout_ms

        def told(body: Message, now: Now) -> None:
            if not isinstance(body, MetadataResponse) or body.error != ErrorCode.NONE:
                on_fetched(failure_of(body), now)
                return
            absent = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
            names = {topic.name for topic in body.topics if topic.error == absent}
            fetch([key for key in wanted if key.topic not in names], now)

        def fetch(some: list[TopicPartition], now: Now) -> None:
            if some:
                left_ms = max(1, deadline_ms - now.mono_ms)
                offsets.fetch(some, on_fetched, now, timeout_ms=left_ms)
            else:
                on_fetched({}, now)

        names = sorted({key.topic for key in wanted if self.view.topic(key.topic) is None})
        if names:
            self.metadata(tuple(names), timeout_ms, told, now)
        else:
            fetch(wanted, now)

    def farewell(
        self,
        positions: dict[TopicPartition, OffsetAndMetadata],
        on_told: Callable[[tuple[Change, ...], Now], None],
        now: Now,
    ) -> None:
        """Commit these (with auto commit), and tell what the listener is to hear before ``depart``."""
        if self.rebalancing is None:
            on_told((), now)
        else:
            self.rebalancing.farewell(positions, on_told, now)

    def depart(
        self,
        positions: dict[TopicPartition, OffsetAndMetadata],
        on_done: Callable[[Now], None],
        now: Now,
    ) -> None:
        """Leave the group, with auto commit after committing these; at once without a group."""
        if self.rebalancing is None:
            on_done(now)
        else:
            self.rebalancing.depart(positions, on_done, now)

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
        self._retries.attach(self.ports)
        if self._link is not None and self._membership is not None:
            self._link.attach(self.ports)
            self._membership.attach(self.ports)

    def work(self, now: Now) -> None:
        """Follow the topics, give what is asked for, fetch on."""
        self._topics.end_turn(now)
        if self.rebalancing is not None and self._membership is not None:
            in_poll = any(one.is_poll for one in self._waiting)
            self.rebalancing.end_turn(in_poll=in_poll, now=now)
            self._membership.end_turn(now)
        self._lookups.end_turn(now)
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            for one in waiting:
                self._wait(one, now)
        self._fetcher.pump(now)
        # In a group a poll has something to say, too.
        alone = self.rebalancing is None and self._topics.refused() is None
        self.has_nothing = alone and not self.subscription.ready()

    def topics_in_use(self, _since_ms: int) -> set[str]:
        """Return what is read, and what the membership looks at."""
        used = {*self.subscription.topics, *(key.topic for key in self.subscription.assigned)}
        return used if self._membership is None else used.union(self._membership.topics_seen)

    def own_deadline_ms(self) -> int | None:
        """Return when a pause or somebody's patience is over."""
        group = self.rebalancing
        return earliest(
            self._fetcher.next_deadline_ms(),
            None if group is None else group.next_deadline_ms(),
            None if self._membership is None else self._membership.next_deadline_ms(),
            self._topics.next_deadline_ms(),
            *(one.deadline_ms for one in self._waiting),
        )

    def finish(self, now: Now) -> None:
        """Tell whoever waits that there will be nothing."""
        error = ClientClosedError("the consumer was closed")
        self._lookups.close(error, now)
        if self._link is not None:
            self._link.close(now)
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
        one = self.subscription.assigned.get(partition_of(key))
        if one is None:
            raise ValueError(f"{key} is not assigned to this consumer; assign() it first")
        return one
