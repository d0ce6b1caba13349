"""Fetching ahead: long polls to leaders, bounded in bytes, always one on its way.

Owns the fetch requests in flight and what their answers mean for a partition.  It must not know how
positions are found, nor who takes the records.

Per broker two fetches may be in flight: one long poll of the quiet partitions, and one of those
that move, so that a busy partition does not wait for a quiet one.  A fetch that is given all there
is stays with its broker, and is answered again when more comes.  A new leader is read from once the
position was checked against its log, and one of an earlier epoch than the position's is asked nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from odradek.cluster.errands import error_of
from odradek.cluster.metadata import ClusterView, Leader
from odradek.cluster.rests import Rests
from odradek.consumer.fetched_records import FetchedBatch
from odradek.consumer.isolation import ISOLATION_LEVELS, aborted_batches
from odradek.consumer.membership import GroupSettings
from odradek.consumer.offset_reset import reset_policy
from odradek.consumer.positions import Positions
from odradek.consumer.retries import Retries, leave_nearest
from odradek.consumer.subscription import Assigned, Buffered, Flight, Subscription
from odradek.errors import error_for
from odradek.measures import Latencies
from transport.driver.calls import Calls
from transport.driver.ports import LinkId
from transport.kernel import Now, earliest
from transport.wire.codec import Buffer
from transport.wire.errors import ErrorCode
from transport.wire.ids import NO_NODE, NodeId, Offset, TopicPartition
from transport.wire.messages import Message
from transport.wire.messages.fetch import (
    AbortedTransaction,
    FetchedPartition,
    FetchPartition,
    FetchRequest,
    FetchResponse,
)
from transport.wire.records import BatchHeader, RecordError, view_batches

FETCHES_IN_FLIGHT_MAX = 2
PARKED_MAX = 8
"""Those that a seek has made void included: the broker ends them after fetch_max_wait_ms."""
ROOM_SHARE = 4
"""One fetch may fill a quarter of the room there is, so that other brokers find some too."""
ANSWER_TIME_MS = 5_000
"""For a broker to answer beyond the long poll's own wait."""
NEAREST_MS = 60_000
"""For so long the leader's choice of a near replica is kept; another may be better by then."""
CORRUPT_TRIES = 3
"""A batch that is damaged on its way is fetched again; one damaged at rest stays so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerSettings:
    """How a consumer reads; Kafka's names and defaults where there is no reason given."""

    bootstrap: tuple[str, ...]
    auto_offset_reset: str = "latest"
    fetch_min_bytes: int = 1
    fetch_max_wait_ms: int = 500
    fetch_max_bytes: int = 50 * 1024 * 1024
    partition_fetch_bytes: int = 1024 * 1024
    prefetch_bytes: int = 16 * 1024 * 1024
    """Fetched and not taken, all partitions together: passed by the fetches in flight."""
    check_crcs: bool = True
    auto_create: bool = True
    isolation_level: str = "read_uncommitted"
    client_id: str = "odradek-consumer"
    client_rack: str = ""
    """Where this consumer stands: an in-sync replica there serves it in the leader's place."""
    group: GroupSettings | None = None
    """None: it reads by itself."""

    def __post_init__(self) -> None:
        reset_policy(self.auto_offset_reset)
        if self.isolation_level not in ISOLATION_LEVELS:
            raise ValueError(
                f"isolation_level={self.isolation_level!r} is not possible; "
                "use 'read_uncommitted' or 'read_committed'"
            )

    @property
    def isolation(self) -> int:
        """The level as the wire has it."""
        return ISOLATION_LEVELS[self.isolation_level]


Flights = dict[tuple[bytes, int], Flight]
"""One request: what it asks, by topic id and partition."""


class Fetcher:
    """Keeps the buffers of a subscription filled; driven by ``pump`` once per turn."""

    def __init__(
        self,
        settings: ConsumerSettings,
        subscription: Subscription,
        view: ClusterView,
        calls: Calls,
        positions: Positions,
        retries: Retries,
    ) -> None:
        self._settings = settings
        self._subscription = subscription
        self._view = view
        self._calls = calls
        self._positions = positions
        self._retries = retries
        self.latencies = Latencies()
        """Of fetches, their waiting for records included."""
        self._in_flight: dict[LinkId, list[Flights]] = {}
        self.resting = Rests()
        self._generation = -1
        self._wake_ms: int | None = None

    def next_deadline_ms(self) -> int | None:
        """Return when the next pause of a partition is over."""
        return self._wake_ms

    def pump(self, now: Now) -> None:
        """Ask for whatever there is room for."""
        self._wake_ms = None
        if self._generation != self._view.generation:
            self._generation = self._view.generation
            self._recall(now)
        lost: dict[TopicPartition, Assigned] = {}
        rounds: dict[tuple[NodeId, str], tuple[Leader, list[tuple[Assigned, Leader]]]] = {}
        for key, one in self._subscription.assigned.items():
            if one.busy or one.error is not None or self._held(one, now):
                continue
            if one.position is None:
                lost[key] = one
                continue
            leader = self._view.leader(key.topic, key.partition, now)
            if leader is None or one.paused:
                continue
            if leader.epoch < one.fetched_epoch:
                # It was replaced, as our position says, and may not know that.
                self._view.refresh_later(now)
                self._retries.retry(one, ErrorCode.UNKNOWN_LEADER_EPOCH, now)
                self._held(one, now)
            elif leader.epoch > one.leader_epoch and one.fetched_epoch >= 0:
                self._positions.check(one, leader, now)
            elif one.buffered_bytes < self._settings.partition_fetch_bytes:
                source, rack = self._source_of(one, leader, now)
                rounds.setdefault((source.node, rack), (source, []))[1].append((one, leader))
        if lost:
            self._positions.find(lost, now)
        for (_, rack), (source, ones) in rounds.items():
            self._fetch(source, rack, ones, now)

    def _source_of(self, one: Assigned, leader: Leader, now: Now) -> tuple[Leader, str]:
        """Return whom to read from, and as from which rack: empty takes the leader at its word."""
        rack = self._settings.client_rack
        over = now.mono_ms >= one.nearest_until_ms
        if one.nearest in (NO_NODE, leader.node):
            return leader, rack if over else ""
        near = self._view.replica(one.key.topic, one.key.partition, one.nearest, now)
        if near is not None and not over and leader.epoch == one.leader_epoch:
            return near, rack
        if near is None:
            leave_nearest(one, now)
            return leader, ""
        one.nearest = NO_NODE  # Time for the leader to choose anew.
        return leader, rack

    def _held(self, one: Assigned, now: Now) -> bool:
        if now.mono_ms >= one.retry_at_ms:
            return False
        self._wake_ms = earliest(self._wake_ms, one.retry_at_ms)
        return True

    def _recall(self, now: Now) -> None:
        """Take partitions back from leaders that are none any more."""
        for key, one in self._subscription.assigned.items():
            leader = self._view.leader(key.topic, key.partition, now)
            if leader is None or one.position is None:
                continue
            if one.busy and leader.epoch > one.leader_epoch:
                one.recall()

    # Fetches

    def _fetch(
        self, source: Leader, rack: str, ones: list[tuple[Assigned, Leader]], now: Now
    ) -> None:
        if self._rests(source.link, now):
            return
        parked = self._in_flight.setdefault(source.link, [])
        wanted = sum(any(flight.valid for flight in flights.values()) for flights in parked)
        if wanted >= FETCHES_IN_FLIGHT_MAX or len(parked) >= PARKED_MAX:
            return
        room_bytes = self._settings.prefetch_bytes - self._subscription.buffered_bytes
        if room_bytes <= 0:
            self._subscription.make_room()
            room_bytes = self._settings.prefetch_bytes - self._subscription.buffered_bytes
        if room_bytes <= 0:
            return
        request, flights = self._request(ones, rack, room_bytes)

        def answered(body: Message, payload: tuple[Buffer, ...], now: Now) -> None:
            if isinstance(body, FetchResponse) and body.stays:
                self._take_all(flights, body, payload, now)
                return
            parked.remove(flights)
            self.latencies.add(now.mono_ms - sent_ms)
            if isinstance(body, FetchResponse):
                self.resting.note(source.link, body.throttle_time_ms, now)
            self._answered(flights, body, payload, now)

        sent_ms = now.mono_ms
        timeout_ms = self._settings.fetch_max_wait_ms + ANSWER_TIME_MS
        if self._calls.request(source.link, request, answered, now, timeout_ms=timeout_ms):
            parked.append(flights)
            return
        self._view.links.refused(source.link, now)
        for one, _ in ones:
            one.busy = False

    def _request(
        self, ones: list[tuple[Assigned, Leader]], rack: str, room_bytes: int
    ) -> tuple[FetchRequest, Flights]:
        """Return what is to be asked, for at most so many bytes, and who waits for it."""
        settings = self._settings
        size_bytes = min(
            settings.fetch_max_bytes,
            settings.partition_fetch_bytes * len(ones),
            max(settings.partition_fetch_bytes, room_bytes // ROOM_SHARE),
        )
        parts: list[FetchPartition] = []
        flights: Flights = {}
        for one, leader in ones:
            number, offset = one.key.partition, Offset(one.next_fetch)
            limit_bytes = settings.partition_fetch_bytes
            parts.append(FetchPartition(leader.topic_id, number, leader.epoch, offset, limit_bytes))
            one.busy, one.leader_epoch = True, leader.epoch
            one.topic_id = one.topic_id or leader.topic_id
            flight = Flight(one, one.generation, leader.epoch, offset)
            flights[leader.topic_id, number] = flight
        request = FetchRequest(
            settings.fetch_max_wait_ms,
            settings.fetch_min_bytes,
            size_bytes,
            tuple(parts),
            rack=rack,
            isolation=settings.isolation,
            client_id=settings.client_id,
            stays=True,
        )
        return request, flights

    def _rests(self, link: LinkId, now: Now) -> bool:
        until_ms = self.resting.until_ms(link, now)
        self._wake_ms = earliest(self._wake_ms, until_ms)
        return until_ms is not None

    def _answered(
        self,
        flights: Flights,
        body: Message,
        payload: tuple[Buffer, ...],
        now: Now,
    ) -> None:
        for flight in flights.values():
            if flight.valid:
                flight.one.busy = False
        code = error_of(body)
        if isinstance(body, FetchResponse) and code == ErrorCode.NONE:
            self._take_all(flights, body, payload, now)
            return
        for flight in flights.values():
            if flight.valid:
                self._retries.retry(flight.one, code or ErrorCode.UNKNOWN_SERVER_ERROR, now)

    def _take_all(
        self, flights: Flights, body: FetchResponse, payload: tuple[Buffer, ...], now: Now
    ) -> None:
        for part in body.partitions:
            flight = flights.get((part.topic_id, part.partition))
            if flight is not None and flight.valid:
                self._take(flight, part, payload, now)

    def _take(
        self, flight: Flight, part: FetchedPartition, payload: tuple[Buffer, ...], now: Now
    ) -> None:
        one = flight.one
        if part.error != ErrorCode.NONE and one.nearest != NO_NODE:
            leave_nearest(one, now)
            return  # The leader is asked now, whose word counts.
        if part.error == ErrorCode.OFFSET_OUT_OF_RANGE:
            self._positions.leave(one, now)
            return
        if part.error != ErrorCode.NONE:
            self._retries.retry(one, part.error, now, part.text)
            return
        one.high_watermark = max(one.high_watermark, part.high_watermark)
        if part.preferred_replica != NO_NODE:
            one.nearest = part.preferred_replica
            one.nearest_until_ms = now.mono_ms + NEAREST_MS
            return
        if part.frame < 0:
            return
        try:
            if part.frame >= len(payload):
                raise RecordError(
                    ErrorCode.INVALID_REQUEST, f"an answer without frame {part.frame}"
                )
            self._add(one, payload[part.frame], part.aborted, part.high_watermark)
        except RecordError as error:
            one.disregard()  # a fetch that stays goes on behind what is missing here
            if one.tries >= CORRUPT_TRIES:
                one.fail(error_for(error.error, f"{one.key}: {error.text}"))
            else:
                self._retries.pause(one, now)
            return
        one.tries = 0

    def _add(
        self,
        one: Assigned,
        frame: Buffer,
        aborted: tuple[AbortedTransaction, ...],
        high_watermark: Offset,
    ) -> None:
        void = aborted_batches(frame, aborted)
        from_offset, check_crc = Offset(one.next_fetch), self._settings.check_crcs
        for view in view_batches(frame, from_offset, check_crc=check_crc):
            header = view.header
            _check_place(one, header, high_watermark)
            # The end of a transaction is for brokers; what was aborted is for nobody.
            if not header.is_control and header.base_offset not in void:
                batch = FetchedBatch(one.key.topic, one.key.partition, view)
                if batch.count:
                    one.add(Buffered(batch, view, batch.count, header.size_bytes))
                    continue
            one.pass_over(header)
        if not one.buffer:
            one.position, one.taken_epoch = one.next_fetch, one.fetched_epoch


def _check_place(one: Assigned, header: BatchHeader, high_watermark: Offset) -> None:
    """Raise where a batch cannot stand, as its offset, which no CRC covers, says."""
    into = one.is_between_batches and header.base_offset < one.next_fetch < header.next_offset
    if into or 0 <= high_watermark < header.next_offset:
        text = f"a batch at offset {header.base_offset} that cannot be there"
        raise RecordError(ErrorCode.CORRUPT_MESSAGE, text)
