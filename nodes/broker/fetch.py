"""Fetch requests of consumers and followers: answered with what there is, or parked until there is.

Owns the parked fetches, by partition and by lane (a follower, or a consumer's connection).  A fetch
is looked at once per turn, and then only at those of its partitions that have moved.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from itertools import count
from typing import NamedTuple

from nodes.broker.context import BrokerContext, Request
from nodes.broker.produce import FindReplica
from nodes.broker.replica import Replica, ReplicaState
from nodes.core.partition.events import NO_EPOCH, ReadVerdict, ReplicaFetched
from transport.driver.calls import response
from transport.driver.ports import Origin
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.ids import NO_NODE, NodeId, Offset, PartitionKey, TopicId
from transport.wire.messages.fetch import (
    READ_COMMITTED,
    AbortedTransaction,
    FetchedPartition,
    FetchPartition,
    FetchRequest,
    FetchResponse,
)
from transport.wire.records import iterate_headers

PARTITIONS_MAX = 4_000
"""In one fetch; below the wire's bound on frames."""
WAIT_MAX_MS = 30_000
PARKED_MAX = 10_000
PARKED_PER_CONSUMER_MAX = 8
"""Of one connection: a newer fetch sends the oldest back empty."""

AHEAD_OF_US = frozenset(
    {
        ErrorCode.UNKNOWN_LEADER_EPOCH,
        ErrorCode.UNKNOWN_TOPIC_ID,
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    }
)
"""A follower that has heard of our leadership before we have is let wait, not sent away."""

Lane = NodeId | Origin


class Movement(NamedTuple):
    """What changed of a replica in this turn."""

    replica: Replica
    end: bool
    """The log's end or its start: followers have more to read, or to take over."""
    committed: bool
    """The high watermark, or the last stable offset: consumers may read more."""
    role: bool
    """Everybody must be judged again."""


class _Fetch:
    """One fetch, from its arrival to its answer."""

    __slots__ = ("body", "done", "due_ms", "lane", "parked", "parts", "ready", "request")

    def __init__(self, request: Request, body: FetchRequest, due_ms: int) -> None:
        self.request = request
        self.body = body
        self.due_ms = due_ms
        self.lane: Lane = body.replica_id if body.replica_id != NO_NODE else request.origin
        self.parts = {PartitionKey(part.topic_id, part.partition): part for part in body.partitions}
        self.ready = dict.fromkeys(self.parts)
        """Partitions that may have something to tell."""
        self.parked = False
        self.done = False

    @property
    def is_follower(self) -> bool:
        """It comes from a replica."""
        return self.body.replica_id != NO_NODE


class _Gathered:
    """What an answer consists of so far."""

    __slots__ = ("frames", "partitions", "size_bytes", "urgent")

    def __init__(self) -> None:
        self.partitions: dict[PartitionKey, FetchedPartition] = {}
        self.frames: list[bytes] = []
        self.size_bytes = 0
        self.urgent = False
        """An error or a divergence: there is nothing to wait for."""


class _Told:
    """What a follower was told over its present connection."""

    __slots__ = ("ends", "origin")

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.ends: dict[PartitionKey, tuple[Offset, Offset]] = {}
        """(high watermark, log start offset) of each partition."""


class Fetches:
    """Answers FetchRequest."""

    def __init__(self, context: BrokerContext, find: FindReplica) -> None:
        self._context = context
        self._find = find
        self._fresh: list[_Fetch] = []
        self._parked: dict[Lane, list[_Fetch]] = {}
        self._by_partition: dict[PartitionKey, dict[_Fetch, None]] = {}
        self._deadlines: list[tuple[int, int, _Fetch]] = []
        self._order = count()
        self._told: dict[NodeId, _Told] = {}
        self._turn = 0
        self._read_now: dict[tuple[PartitionKey, Offset, int, Offset], bytes] = {}
        """What was read in this turn: followers in step all want the same bytes."""
        self.waiting_count = 0
        """How many fetches have no answer yet."""

    # Arrival

    def on_request(self, request: Request, now: Now) -> None:
        """Take a fetch: note a follower's progress now, answer at the end of the turn or later."""
        body = request.envelope.body
        assert isinstance(body, FetchRequest), "by the dispatch table"
        error = self._refusal(body)
        if error is not ErrorCode.NONE:
            self._context.count("fetches_refused")
            self._context.reply(request, FetchResponse(error))
            return
        wait_ms = max(0, min(body.max_wait_ms, WAIT_MAX_MS))
        fetch = _Fetch(request, body, request.due_ms(now, wait_ms))
        if fetch.is_follower:
            for key in fetch.parts:
                self._note_progress(fetch, key, now)
        self._make_room(fetch.lane)
        self.waiting_count += 1
        self._parked.setdefault(fetch.lane, []).append(fetch)
        self._fresh.append(fetch)

    def _refusal(self, body: FetchRequest) -> ErrorCode:
        if len(body.partitions) > PARTITIONS_MAX:
            return ErrorCode.INVALID_REQUEST
        known = self._context.image.brokers.get(body.replica_id)
        if known is not None and body.broker_epoch < known.epoch:
            return ErrorCode.STALE_BROKER_EPOCH
        if self.waiting_count >= PARKED_MAX:
            return ErrorCode.OVERLOADED
        return ErrorCode.NONE

    def _make_room(self, lane: Lane) -> None:
        """A newer fetch of a follower ends the one before: its assignment has changed."""
        room = PARKED_PER_CONSUMER_MAX if isinstance(lane, Origin) else 1
        parked = self._parked.get(lane, [])
        while len(parked) >= room:
            self._answer(parked[0], _Gathered())

    def _note_progress(self, fetch: _Fetch, key: PartitionKey, now: Now) -> None:
        body, part = fetch.body, fetch.parts[key]
        replica = self._find(key)
        if isinstance(replica, ErrorCode) or replica.core is None:
            return
        verdict = _judge(replica, body, part)
        if verdict.error is ErrorCode.NONE and verdict.diverging is None:
            known = self._context.image.brokers.get(body.replica_id)
            eligible = known is not None and known.alive and known.epoch == body.broker_epoch
            event = ReplicaFetched(
                body.replica_id,
                body.broker_epoch,
                part.offset,
                part.durable_offset,
                eligible,
                part.log_start_offset,
            )
            replica.step(event, now)

    # Turns

    def end_turn(self, moved: Iterable[Movement], now: Now) -> None:
        """Answer what came in this turn, what was waited for and is there, and what is due."""
        self._turn += 1
        look_at = dict.fromkeys(self._fresh)
        self._fresh = []
        for movement in moved:
            key = movement.replica.key
            for fetch in self._by_partition.get(key, ()):
                may_read = movement.end if fetch.is_follower else movement.committed
                if movement.role or may_read:
                    fetch.ready[key] = None
                    look_at[fetch] = None
                if movement.role and fetch.is_follower:
                    # It came before this broker knew that it leads: now it counts.
                    self._note_progress(fetch, key, now)
        while self._deadlines and self._deadlines[0][0] <= now.mono_ms:
            look_at[heapq.heappop(self._deadlines)[2]] = None
        for fetch in look_at:
            if not fetch.done:
                self._look_at(fetch, now)
        self._read_now.clear()

    def _look_at(self, fetch: _Fetch, now: Now) -> None:
        gathered = self._gather(fetch, now)
        body = fetch.body
        due = fetch.due_ms <= now.mono_ms
        if gathered.urgent or gathered.size_bytes >= max(1, body.min_bytes) or due:
            if due and not gathered.size_bytes:
                self._add_ends(fetch, gathered)
            self._answer(fetch, gathered)
        else:
            self._park(fetch, gathered)

    def _park(self, fetch: _Fetch, gathered: _Gathered) -> None:
        fetch.ready = dict.fromkeys(gathered.partitions)
        if not fetch.parked:
            fetch.parked = True
            for key in fetch.parts:
                self._by_partition.setdefault(key, {})[fetch] = None
            heapq.heappush(self._deadlines, (fetch.due_ms, next(self._order), fetch))

    def next_deadline_ms(self) -> int | None:
        """Return when the next parked fetch is due."""
        while self._deadlines and self._deadlines[0][2].done:
            heapq.heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else None

    # Reading

    def _gather(self, fetch: _Fetch, now: Now) -> _Gathered:
        """Read the partitions that are ready, from another one on each turn: none is starved."""
        config = self._context.config.broker
        cap = config.replica_fetch_bytes_max if fetch.is_follower else config.fetch_bytes_max
        limit = max(1, min(fetch.body.max_bytes, cap))
        keys = list(fetch.ready)
        if keys:
            start = self._turn % len(keys)
            keys = keys[start:] + keys[:start]
        gathered = _Gathered()
        for key in keys:
            left = limit - gathered.size_bytes
            if left <= 0:
                break
            self._read(fetch, key, left, gathered, now)
        return gathered

    def _read(
        self, fetch: _Fetch, key: PartitionKey, left_bytes: int, gathered: _Gathered, now: Now
    ) -> None:
        part = fetch.parts[key]
        replica = self._find(key)
        if isinstance(replica, ErrorCode):
            verdict = ReadVerdict(replica)
        else:
            verdict = _judge(replica, fetch.body, part)
        if isinstance(replica, ErrorCode) or verdict.error is not ErrorCode.NONE:
            if not (fetch.is_follower and _is_early(replica, verdict.error)):
                self._add_error(key, verdict.error, gathered, replica)
            return
        if verdict.diverging is not None:
            gathered.urgent = True
            told = self._describe(replica, fetch)
            gathered.partitions[key] = FetchedPartition(*told, diverging=verdict.diverging)
            return
        if verdict.up_to <= part.offset:
            if fetch.is_follower and self._begins_later(fetch, replica):
                gathered.urgent = True
                gathered.partitions[key] = FetchedPartition(*self._describe(replica, fetch))
            return
        wanted = (key, part.offset, max(0, min(part.max_bytes, left_bytes)), verdict.up_to)
        data = self._read_now.get(wanted)
        if data is None:
            data = replica.read(*wanted[1:], now)
        if data is None:
            self._add_error(key, ErrorCode.KAFKA_STORAGE_ERROR, gathered, replica)
        elif data:
            self._read_now[wanted] = data
            told = self._describe(replica, fetch)
            aborted = _aborted(replica, fetch, part.offset, data)
            gathered.partitions[key] = FetchedPartition(
                *told,
                frame=len(gathered.frames),
                last_stable_offset=self._stable(replica, fetch),
                aborted=aborted,
            )
            gathered.frames.append(data)
            gathered.size_bytes += len(data)

    @staticmethod
    def _describe(replica: Replica, fetch: _Fetch) -> tuple[TopicId, int, int, Offset, Offset]:
        """The first fields of an answer.  A consumer is not told a high watermark that may be
        below what the leader before has told: −1 until it is sure."""
        core = replica.core
        assert core is not None, "it was judged"
        high_watermark = core.high_watermark
        if not fetch.is_follower and not core.is_high_watermark_sure():
            high_watermark = Offset(-1)
        key = replica.key
        return (
            key.topic_id,
            key.partition,
            ErrorCode.NONE,
            high_watermark,
            core.log_start_offset,
        )

    @staticmethod
    def _stable(replica: Replica, fetch: _Fetch) -> Offset:
        core = replica.core
        assert core is not None, "it was judged"
        told = not fetch.is_follower and core.is_high_watermark_sure()
        return core.last_stable_offset if told else Offset(-1)

    def _begins_later(self, fetch: _Fetch, replica: Replica) -> bool:
        """Tell whether the log begins later than this follower was told, or has told itself."""
        core, key = replica.core, replica.key
        assert core is not None, "it was judged"
        told = self._told.get(fetch.body.replica_id)
        known = None if told is None else told.ends.get(key)
        start = fetch.parts[key].log_start_offset if known is None else known[1]
        return max(0, start) < core.log_start_offset

    def _add_error(
        self,
        key: PartitionKey,
        error: ErrorCode,
        gathered: _Gathered,
        replica: Replica | ErrorCode,
    ) -> None:
        gathered.urgent = True
        core = replica.core if isinstance(replica, Replica) else None
        start = Offset(-1) if core is None else core.log_start_offset
        record = self._context.image.partition(key)
        leader = NO_NODE if record is None else record.leader
        epoch = NO_EPOCH if record is None else record.leader_epoch
        gathered.partitions[key] = FetchedPartition(
            key.topic_id,
            key.partition,
            error,
            log_start_offset=start,
            leader=leader,
            leader_epoch=epoch,
        )

    def _add_ends(self, fetch: _Fetch, gathered: _Gathered) -> None:
        """Nothing to read in all that time: tell at least how far it is committed."""
        told = self._told.get(fetch.body.replica_id)
        known = {} if told is None else told.ends
        for key in fetch.parts:
            replica = self._find(key)
            if key in gathered.partitions or isinstance(replica, ErrorCode):
                continue
            core = replica.core
            if core is not None and known.get(key) != (core.high_watermark, core.log_start_offset):
                gathered.partitions[key] = FetchedPartition(
                    *self._describe(replica, fetch),
                    last_stable_offset=self._stable(replica, fetch),
                )

    # Answering

    def _answer(self, fetch: _Fetch, gathered: _Gathered) -> None:
        fetch.done = True
        self.waiting_count -= 1
        lane = self._parked[fetch.lane]
        lane.remove(fetch)
        if not lane:
            del self._parked[fetch.lane]
        for key in fetch.parts:
            waiting = self._by_partition.get(key)
            if waiting is not None:
                waiting.pop(fetch, None)
                if not waiting:
                    del self._by_partition[key]
        body = FetchResponse(ErrorCode.NONE, tuple(gathered.partitions.values()))
        envelope = response(fetch.request.envelope, body, tuple(gathered.frames))
        if not self._context.ports.wire.reply(fetch.request.origin, envelope):
            self._context.count("replies_dropped")
            self._told.pop(fetch.body.replica_id, None)
        elif fetch.is_follower:
            self._note_told(fetch, gathered)

    def _note_told(self, fetch: _Fetch, gathered: _Gathered) -> None:
        node = fetch.body.replica_id
        told = self._told.get(node)
        if told is None or told.origin != fetch.request.origin:
            told = self._told[node] = _Told(fetch.request.origin)
        for key, part in gathered.partitions.items():
            if part.error == ErrorCode.NONE and part.diverging is None:
                told.ends[key] = part.high_watermark, part.log_start_offset


def _is_early(replica: Replica | ErrorCode, error: ErrorCode) -> bool:
    """The follower knows more than this broker, which will know it in a moment."""
    return error in AHEAD_OF_US or (
        isinstance(replica, Replica) and replica.state is ReplicaState.OPENING
    )


def _aborted(
    replica: Replica, fetch: _Fetch, offset: Offset, data: bytes
) -> tuple[AbortedTransaction, ...]:
    """Return whose records in ``data`` a reader of committed records must pass over."""
    if fetch.is_follower or fetch.body.isolation != READ_COMMITTED:
        return ()
    core = replica.core
    assert core is not None, "it was judged"
    if not core.aborted_after(offset):
        return ()
    *_, (_, last) = iterate_headers(data)
    return tuple(core.aborted_within(offset, last.next_offset))


def _judge(replica: Replica, body: FetchRequest, part: FetchPartition) -> ReadVerdict:
    core = replica.core
    if core is None:
        return ReadVerdict(replica.absence)
    if body.replica_id == NO_NODE:
        return core.read_as_consumer(part.leader_epoch, part.offset, body.isolation)
    return core.read_as_replica(
        body.replica_id, part.leader_epoch, part.offset, part.last_fetched_epoch
    )
