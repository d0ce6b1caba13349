"""Following: one long poll per leader, in a session over all partitions that are followed from it.

Owns who is followed where, the polls in flight, and the pauses after errors.  An answer is written
and the next poll leaves in the same turn; a changed assignment does not wait for the poll under
way, because the leader sends an older one back when a newer one comes.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

from nodes.broker.cluster.peers import Peers
from nodes.broker.context import BrokerContext
from nodes.broker.logs.folders import batch_of
from nodes.broker.partitions.replica import FetchedBatch, Replica
from nodes.core.controller.broker_configs import FOLLOWER_THROTTLE
from nodes.core.fetch_session.follower import FollowerSession, Poll
from nodes.core.partition.events import Fetched, OutOfRange
from nodes.core.throttle import Throttle
from transport.driver.ports import LinkId
from transport.kernel import Now, earliest
from transport.wire.codec import Buffer
from transport.wire.errors import ErrorCode
from transport.wire.ids import NodeId, PartitionKey
from transport.wire.messages import Message, Refusal
from transport.wire.messages.fetch import (
    FULL_EPOCH,
    FetchedPartition,
    FetchPartition,
    FetchRequest,
    FetchResponse,
)
from transport.wire.records import RecordError, check_batches

PARTITION_BYTES_MAX = 2 * 1024 * 1024
"""Of one partition in one answer: keeps the others' share while one catches up."""
PAUSE_MIN_MS = 50
PAUSE_MAX_MS = 100
"""After an error: soon enough for a new leader, seldom enough for a dead one."""
THROTTLED_LOOK_MS = 1_000
"""Whoever waits for the rate of reassignments looks so often whether it is another one now."""
NEWER_AFTER_MS = 10
"""Changes of assignment within this time share one poll."""

Take = Callable[[int, int], int]
"""(bytes, monotonic ms) -> the milliseconds to wait before more."""


class Fetcher:
    """Follows one leader."""

    def __init__(
        self, context: BrokerContext, peers: Peers, leader: NodeId, throttle: Take
    ) -> None:
        """``throttle`` takes what reassignments add here, over all leaders."""
        self._throttle = throttle
        self._context = context
        self._peers = peers
        self.leader = leader
        self.replicas: dict[PartitionKey, Replica] = {}
        self._session = FollowerSession(context.ports.random.getrandbits(31))
        self._broker_epoch = context.broker_epoch
        self._paused: dict[PartitionKey, int] = {}
        self._pauses: list[tuple[int, PartitionKey]] = []
        """The same by time, and some that have ended otherwise."""
        self._throttled: set[PartitionKey] = set()
        """Those of them that wait for the rate of reassignments."""
        self._newest: Poll | None = None
        self._sent_ms = 0
        self._changed = False
        self._not_before_ms = 0

    def follow(self, replica: Replica) -> None:
        """Follow this one here; the poll under way asks for it no more, or not yet."""
        self.replicas[replica.key] = replica
        self._session.change(replica.key)
        self._changed = True

    def forget(self, key: PartitionKey) -> None:
        """Follow this partition here no longer."""
        self.replicas.pop(key, None)
        self._paused.pop(key, None)
        self._throttled.discard(key)
        self._session.change(key)

    def on_link(self, up: bool) -> None:
        """The way to the leader is open again: no reason to wait; or it ended."""
        if up:
            self._not_before_ms = 0
            self._throttled.clear()
            self._end_pauses(1 << 62)

    # Sending

    def end_turn(self, now: Now) -> None:
        """Poll, if there is something to ask and nothing that answers it is under way."""
        if self._pauses:
            self._end_pauses(now.mono_ms)
        if now.mono_ms >= self._due_ms():
            self._send(now)

    def _due_ms(self) -> int:
        """The moment of the next poll as far as is known now."""
        if self._newest is None:
            return self._not_before_ms
        if self._changed and self._session.is_held:
            return max(self._not_before_ms, self._sent_ms + NEWER_AFTER_MS)
        return 1 << 62

    def next_deadline_ms(self) -> int | None:
        """Return when to poll, or when a pause ends."""
        until = self._pauses[0][0] if self._pauses else None
        if len(self._paused) == len(self.replicas):
            return until
        due = self._due_ms()
        return earliest(until, due if due < 1 << 62 else None)

    def _send(self, now: Now) -> None:
        context = self._context
        config = context.config.broker
        if not self._peers.is_up(self.leader):
            self._pause_all(now)  # of a leader that is gone nothing is to be named
            return
        if self._broker_epoch != context.broker_epoch:
            self._broker_epoch = context.broker_epoch
            self._session.lose()
        self._changed = False
        poll = self._session.poll(self.replicas, self._position)
        if poll is None:
            self._pause_all(now)
            return
        body = FetchRequest(
            config.replica_fetch_wait_max_ms,
            1,
            config.replica_fetch_bytes_max,
            poll.named,
            context.id,
            context.broker_epoch,
            session_id=poll.session_id,
            session_epoch=poll.session_epoch,
            forgotten=poll.forgotten,
        )

        def on_answer(body: Message, payload: tuple[Buffer, ...], now: Now) -> None:
            self._answered(poll, body, payload, now)

        link = self._peers.link(self.leader)
        timeout_ms = config.replica_fetch_wait_max_ms + config.request_timeout_ms
        calls = context.calls
        if link is not None and calls.request(link, body, on_answer, now, timeout_ms=timeout_ms):
            self._newest, self._sent_ms = poll, now.mono_ms
            self._changed = self._session.has_changes  # more than one poll may name
        else:
            self._session.failed(poll)
            self._pause_all(now)

    def _position(self, key: PartitionKey) -> FetchPartition | None:
        replica = self.replicas.get(key)
        core = None if replica is None else replica.core
        position = None if core is None else core.fetch_position()
        if position is None or position.leader != self.leader or key in self._paused:
            return None
        return FetchPartition(
            key.topic_id,
            key.partition,
            position.leader_epoch,
            position.offset,
            PARTITION_BYTES_MAX,
            position.last_fetched_epoch,
            position.durable_offset,
            position.log_start_offset,
        )

    # Answers

    def _answered(self, poll: Poll, body: Message, payload: tuple[Buffer, ...], now: Now) -> None:
        newest = poll is self._newest
        if newest:
            self._newest = None
        if not isinstance(body, FetchResponse) or body.error != ErrorCode.NONE:
            self._session.failed(poll)
            if newest:
                code = body.error if isinstance(body, Refusal | FetchResponse) else -1
                self._context.count(f"polls_refused_{code}")
                self._pause_all(now)
            return
        self._session.answered(poll, body.session_id)
        for part in body.partitions:
            key = PartitionKey(part.topic_id, part.partition)
            replica, asked = self.replicas.get(key), self._session.asked(poll, key)
            if asked is None:
                continue
            if not part.only_ends:
                self._session.take_out(key)
            if replica is not None:
                self._take(replica, asked, part, payload, now)
        # One that begins a session is answered at once.
        empty = not body.partitions and poll.session_epoch != FULL_EPOCH
        if newest and empty and now.mono_ms - self._sent_ms < PAUSE_MIN_MS:
            # Neither news nor waiting: never ask such a leader as fast as it answers.
            self._pause_all(now)

    def _take(
        self,
        replica: Replica,
        asked: FetchPartition,
        part: FetchedPartition,
        payload: tuple[Buffer, ...],
        now: Now,
    ) -> None:
        if part.error == ErrorCode.OFFSET_OUT_OF_RANGE:
            beyond = OutOfRange(asked.leader_epoch, asked.offset, part.log_start_offset)
            if replica.take_fetched(beyond, (), now):
                return
        if part.error != ErrorCode.NONE:
            self._context.count("partitions_not_fetched")
            self._pause(replica.key, now)
            return
        try:
            batches = _batches(part, payload)
            heads = tuple(batch_of(header, body) for header, body in batches)
        except RecordError:
            self._context.count("batches_damaged_on_the_way")
            self._pause(replica.key, now)
            return
        event = Fetched(
            asked.leader_epoch,
            asked.offset,
            part.high_watermark,
            heads,
            part.diverging,
            part.log_start_offset,
        )
        if not replica.take_fetched(event, batches, now):
            self._pause(replica.key, now)
        elif self._context.id in replica.record.adding:
            size_bytes = sum(header.size_bytes for header, _ in batches)
            self._wait_for_rate(replica.key, size_bytes, now.mono_ms)

    # Pauses

    def _pause(self, key: PartitionKey, now: Now) -> None:
        self._pause_until(key, now.mono_ms + self._pause_ms())

    def _pause_until(self, key: PartitionKey, until_ms: int) -> None:
        self._paused[key] = until_ms
        heapq.heappush(self._pauses, (until_ms, key))
        self._session.change(key)

    def _wait_for_rate(self, key: PartitionKey, size_bytes: int, now_ms: int) -> bool:
        """Pause as long as the rate asks for after so many bytes; False: it asks for nothing."""
        wait_ms = self._throttle(size_bytes, now_ms)
        if wait_ms:
            self._throttled.add(key)
            self._pause_until(key, now_ms + min(wait_ms, THROTTLED_LOOK_MS))
        return wait_ms > 0

    def _end_pauses(self, now_ms: int) -> None:
        while self._pauses and self._pauses[0][0] <= now_ms:
            until_ms, key = heapq.heappop(self._pauses)
            if self._paused.get(key) == until_ms:
                if key in self._throttled:
                    self._throttled.discard(key)
                    if self._wait_for_rate(key, 0, now_ms):
                        continue
                del self._paused[key]
                self._session.change(key)
                self._changed = True

    def _pause_all(self, now: Now) -> None:
        self._not_before_ms = now.mono_ms + self._pause_ms()

    def _pause_ms(self) -> int:
        return self._context.ports.random.randint(PAUSE_MIN_MS, PAUSE_MAX_MS)

    def check(self) -> None:
        """Assert that everything here follows this leader."""
        for replica in self.replicas.values():
            assert not replica.is_leader, "a leader follows nobody"
        assert set(self._paused) <= set(self.replicas), "only what is followed is paused"
        assert self._throttled <= set(self._paused), "who waits for the rate is paused"
        self._session.check(self.replicas, self._position)


class Fetchers:
    """All leaders that this broker follows."""

    def __init__(self, context: BrokerContext, peers: Peers) -> None:
        self._context = context
        self._peers = peers
        self._fetchers: dict[NodeId, Fetcher] = {}
        self._leaders: dict[PartitionKey, NodeId] = {}
        self._throttle = Throttle()

    def _take(self, size_bytes: int, now_ms: int) -> int:
        return self._throttle.take(size_bytes, self._throttled_rate(), now_ms)

    def _throttled_rate(self) -> int | None:
        text = self._context.image.broker_configs(self._context.id).get(FOLLOWER_THROTTLE)
        return None if text is None else int(text)

    def assign(self, replica: Replica) -> None:
        """Follow the replica's leader from now on, or nobody, as its core says."""
        position = None if replica.core is None else replica.core.fetch_position()
        self.drop(replica)
        if position is None:
            return
        leader = position.leader
        fetcher = self._fetchers.get(leader)
        if fetcher is None:
            fetcher = Fetcher(self._context, self._peers, leader, self._take)
            self._fetchers[leader] = fetcher
        fetcher.follow(replica)
        self._leaders[replica.key] = leader

    def drop(self, replica: Replica) -> None:
        """Follow nobody for this replica; another one of the same partition goes on."""
        leader = self._leaders.get(replica.key)
        if leader is None or self._fetchers[leader].replicas[replica.key] is not replica:
            return
        del self._leaders[replica.key]
        self._fetchers[leader].forget(replica.key)

    def on_link(self, link: LinkId, up: bool) -> bool:
        """Tell the fetcher whose link this is."""
        owner = self._peers.owner(link)
        fetcher = None if owner is None else self._fetchers.get(owner)
        if fetcher is None:
            return False
        fetcher.on_link(up)
        return True

    def end_turn(self, now: Now) -> None:
        """Send the polls that are due."""
        for fetcher in self._fetchers.values():
            fetcher.end_turn(now)

    def next_deadline_ms(self) -> int | None:
        """Return when the next poll is due."""
        return earliest(*[fetcher.next_deadline_ms() for fetcher in self._fetchers.values()])

    def check(self) -> None:
        """Assert that the two tables agree."""
        followed = {key: f.leader for f in self._fetchers.values() for key in f.replicas}
        assert followed == self._leaders, "one fetcher per followed partition"
        for fetcher in self._fetchers.values():
            fetcher.check()


def _batches(part: FetchedPartition, payload: tuple[Buffer, ...]) -> list[FetchedBatch]:
    if part.frame < 0:
        return []
    if part.frame >= len(payload):
        raise RecordError(ErrorCode.INVALID_REQUEST, f"no frame {part.frame}")
    view = memoryview(payload[part.frame])
    found = check_batches(view)
    return [(header, view[position : position + header.size_bytes]) for position, header in found]
