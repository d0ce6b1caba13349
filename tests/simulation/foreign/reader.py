"""A consumer in Kafka's protocol: long polls of every leader, through changes of leaders.

A position that a new leader may not have is asked about first (KIP-320), where the versions that are
spoken know of leader epochs.  Where they do not, a leader of before that does not know yet that it
leads no more may call a position out of range that the one of now has; such a reader goes back for
no end of a log, only forward for its beginning.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from tests.simulation.foreign.connection import Tongue
from tests.simulation.foreign.fetch_session import (
    NO_SESSION,
    SESSIONS_FROM,
    WITHOUT,
    FetchSession,
    Named,
)
from tests.simulation.foreign.program import ForeignProgram, Leader
from transport.gateway.kafka.apis import ApiKey
from transport.gateway.kafka.messages.fetch import (
    FetchedPartition,
    FetchPartition,
    FetchRequest,
    FetchResponse,
    FetchTopic,
    ForgottenTopic,
)
from transport.gateway.kafka.messages.offsets import (
    EpochEnded,
    EpochPartition,
    EpochTopic,
    ListedPartition,
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsTopic,
    OffsetForLeaderEpochRequest,
)
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.ids import Offset
from transport.wire.records import RecordError, decode_batch, iterate_headers

EARLIEST = -2
UNKNOWN = -1
WAIT_MS = (0, 500, 500)
BYTES_MAX = (1, 2_000, 1024 * 1024)
"""Of a partition, in one answer; a batch is given whole, whatever its size."""
REST_MS = (20, 250)
NEAR_MS = (300, 2_000)
"""So long it stays with a near replica before it asks the leader again."""
WITHOUT_SHARE = 0.2
"""Of fetches: those that want no session, and end the one there is."""
WORK_MS = (20, 200)
"""What it does with the records of an answer, before it fetches more."""
EPOCHS_FROM = 9
"""Fetches of earlier versions do not say which leader epoch is known."""

NETWORK_EXCEPTION = 13
RETRIABLE = frozenset(
    {
        ErrorCode.CORRUPT_MESSAGE,
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        ErrorCode.LEADER_NOT_AVAILABLE,
        ErrorCode.NOT_LEADER_OR_FOLLOWER,
        ErrorCode.REQUEST_TIMED_OUT,
        ErrorCode.REPLICA_NOT_AVAILABLE,
        ErrorCode.KAFKA_STORAGE_ERROR,
        ErrorCode.FENCED_LEADER_EPOCH,
        ErrorCode.UNKNOWN_LEADER_EPOCH,
        ErrorCode.OFFSET_NOT_AVAILABLE,
        ErrorCode.UNKNOWN_TOPIC_ID,
        NETWORK_EXCEPTION,
    }
)
"""Errors that a client of Kafka's tries again after."""

QUIET = FetchedPartition(partition_index=-1, error_code=0, high_watermark=-1, records=None)
"""In place of what a session tells nothing of."""

OnRead = Callable[[int, Sequence[tuple[int, bytes]]], None]
"""(partition, (offset, value) of some records in their order)."""
OnWatermark = Callable[[int, int, int], None]
"""(partition, leader epoch or −1, the high watermark that its leader has told)."""


class Position(NamedTuple):
    """Where the next record is expected, and the leader epoch of the one before it."""

    offset: int
    epoch: int = UNKNOWN


@dataclass(eq=False)
class Place:
    """Where a reader stands in a partition."""

    partition: int
    position: Position | None = None
    """None: at the beginning, wherever that is."""
    doubted: Position | None = None
    """Where it stood when that was called out of range, by whom could not know."""
    checked_epoch: int = UNKNOWN
    """The leader of this epoch has the position."""
    asking: bool = False
    named_epoch: int = UNKNOWN
    """Of the leader that the last fetch has named."""
    rests_until_ms: int = 0
    near: int = -1
    """The broker of its rack that its leader has sent it to."""
    near_until_ms: int = 0

    def wants(self, leader: Leader) -> ApiKey:
        """Return what is to be asked of the leader next."""
        if self.position is None:
            return ApiKey.LIST_OFFSETS
        if self.position.epoch >= 0 and self.checked_epoch < leader.epoch:
            return ApiKey.OFFSET_FOR_LEADER_EPOCH
        return ApiKey.FETCH


class ForeignReader(ForeignProgram):
    """Reads some partitions of a topic from their beginnings."""

    def __init__(
        self,
        topic: str,
        partitions: Sequence[int],
        bootstrap: Sequence[str],
        tongue: Tongue,
        on_read: OnRead,
        on_watermark: OnWatermark,
        *,
        committed_only: bool = False,
        rack: str = "",
    ) -> None:
        super().__init__(topic, bootstrap, tongue)
        self._rack = rack
        self.places = {number: Place(number) for number in partitions}
        self._committed_only = committed_only
        self._on_read = on_read
        self._on_watermark = on_watermark
        self._sessions: dict[str, FetchSession] = {}
        """By endpoint; of the connection that there was when it began."""
        self._fetching: set[str] = set()
        """The endpoints of which a fetch waits for its answer."""

    def pump(self, now: Now) -> None:
        """Ask leaders about their partitions; one fetch of each at a time, whatever it lets wait."""
        ready: dict[tuple[str, ApiKey], list[Place]] = {}
        for place in self.places.values():
            leader = self.leaders.get(place.partition)
            if leader is None:
                self.refresh(now)
            elif not place.asking and now.mono_ms >= place.rests_until_ms:
                wanted = place.wants(leader)
                endpoint = self._near(place, now) if wanted is ApiKey.FETCH else ""
                ready.setdefault((endpoint or leader.endpoint, wanted), []).append(place)
        for (endpoint, wanted), places in ready.items():
            if wanted is not ApiKey.FETCH or endpoint not in self._fetching:
                self._ASK[wanted](self, endpoint, places, now)

    def _near(self, place: Place, now: Now) -> str:
        """Return the endpoint of the near replica to read from; empty: there is none."""
        if place.near >= 0 and place.near not in self.brokers:
            self.refresh(now)  # It is newer than what is known here.
            place.near = -1
        if now.mono_ms >= place.near_until_ms:
            place.near = -1
        return self.brokers.get(place.near, "")

    def _begin(self, places: list[Place]) -> None:
        for place in places:
            place.asking = True

    def _told_of(
        self, places: list[Place], told: dict[int, Any], now: Now
    ) -> list[tuple[Place, Any]]:
        """Return what was answered without an error; the others are asked about again later."""
        good = []
        for place in places:
            place.asking = False
            if self.places.get(place.partition) is not place:
                continue  # it has been left meanwhile
            one = told.get(place.partition)
            error = NETWORK_EXCEPTION if one is None else one.error_code
            if error == ErrorCode.NONE:
                good.append((place, one))
            elif place.near >= 0:
                place.near = -1  # What is true of it the leader will say.
            elif error == ErrorCode.OFFSET_OUT_OF_RANGE:
                place.doubted = place.position if place.named_epoch < 0 else None
                place.position = None
                place.rests_until_ms = self.later(REST_MS, now)
                self.refresh(now)
            else:
                assert error in RETRIABLE, f"{self.topic}-{place.partition} was answered {error}"
                place.rests_until_ms = self.later(REST_MS, now)
                self.refresh(now)
        return good

    # Where it begins

    def _list(self, endpoint: str, places: list[Place], now: Now) -> None:
        self._begin(places)
        partitions = tuple(
            ListOffsetsPartition(partition_index=place.partition, timestamp=EARLIEST)
            for place in places
        )
        topics = (ListOffsetsTopic(name=self.topic, partitions=partitions),)
        body = ListOffsetsRequest(replica_id=UNKNOWN, topics=topics)
        self.ask(endpoint, ApiKey.LIST_OFFSETS, body, partial(self._listed, places), now)

    def _listed(self, places: list[Place], response: Any, now: Now) -> None:
        told: dict[int, ListedPartition] = {}
        if response is not None:
            [topic] = response.topics
            told = {one.partition_index: one for one in topic.partitions}
        for place, one in self._told_of(places, told, now):
            doubted, place.doubted = place.doubted, None
            goes_on = doubted is not None and doubted.offset >= one.offset
            place.position = doubted if goes_on else Position(one.offset)

    # Whether a leader has it

    def _check(self, endpoint: str, places: list[Place], now: Now) -> None:
        self._begin(places)
        epochs = {place.partition: self.leaders[place.partition].epoch for place in places}
        partitions = tuple(
            EpochPartition(
                partition=place.partition,
                current_leader_epoch=epochs[place.partition],
                leader_epoch=place.position.epoch,
            )
            for place in places
            if place.position is not None
        )
        topics = (EpochTopic(topic=self.topic, partitions=partitions),)
        body = OffsetForLeaderEpochRequest(topics=topics)
        then = partial(self._checked, places, epochs)
        self.ask(endpoint, ApiKey.OFFSET_FOR_LEADER_EPOCH, body, then, now)

    def _checked(
        self, places: list[Place], epochs: dict[int, int], response: Any, now: Now
    ) -> None:
        told: dict[int, EpochEnded] = {}
        if response is not None:
            [topic] = response.topics
            told = {one.partition: one for one in topic.partitions}
        for place, one in self._told_of(places, told, now):
            assert place.position is not None
            place.checked_epoch = epochs[place.partition]
            if 0 <= one.end_offset < place.position.offset:
                place.position = Position(one.end_offset, one.leader_epoch)

    # Records

    def _fetch(self, endpoint: str, places: list[Place], now: Now) -> None:
        self._begin(places)
        self._fetching.add(endpoint)
        random = self.process.random
        epochs = {place.partition: self.leaders[place.partition].epoch for place in places}
        bytes_max = random.choice(BYTES_MAX)
        wanted = {
            place.partition: FetchPartition(
                partition=place.partition,
                current_leader_epoch=epochs[place.partition],
                fetch_offset=place.position.offset,
                partition_max_bytes=bytes_max,
            )
            for place in places
            if place.position is not None
        }
        session = self._session(endpoint, now)
        goes_on = session is not None and session.goes_on
        named = (
            Named(NO_SESSION, WITHOUT, tuple(wanted.values()))
            if session is None
            else session.name(wanted)
        )
        topic = FetchTopic(topic=self.topic, topic_id=self.topic_id, partitions=named.partitions)
        gone = ForgottenTopic(topic=self.topic, topic_id=self.topic_id, partitions=named.forgotten)
        body = FetchRequest(
            max_wait_ms=random.choice(WAIT_MS),
            min_bytes=1,
            isolation_level=int(self._committed_only),
            rack_id=self._rack,
            session_id=named.session_id,
            session_epoch=named.session_epoch,
            topics=(topic,) if named.partitions else (),
            forgotten_topics_data=(gone,) if named.forgotten else (),
        )
        then = partial(self._fetched, endpoint, places, epochs, goes_on)
        self.ask(endpoint, ApiKey.FETCH, body, then, now)

    def _session(self, endpoint: str, now: Now) -> FetchSession | None:
        """Return the session that the next fetch goes on with, or begins; None: it is of none."""
        connection = self.connection(endpoint, now)
        known = self._sessions.pop(endpoint, None)
        of_none = self.process.random.random() < WITHOUT_SHARE
        if of_none or connection.version(ApiKey.FETCH) < SESSIONS_FROM:
            return None
        if known is None or known.connection is not connection:
            known = FetchSession(connection)
        self._sessions[endpoint] = known
        return known

    def _take_session(self, endpoint: str, response: FetchResponse | None) -> None:
        session = self._sessions.get(endpoint)
        if session is not None and (response is None or not session.take(response)):
            del self._sessions[endpoint]

    def _fetched(
        self,
        endpoint: str,
        places: list[Place],
        epochs: dict[int, int],
        goes_on: bool,
        response: FetchResponse | None,
        now: Now,
    ) -> None:
        self._fetching.discard(endpoint)
        self._take_session(endpoint, response)
        told: dict[int, FetchedPartition] = {}
        if response is not None and not response.error_code:
            rows = [one for topic in response.responses for one in topic.partitions]
            told = {one.partition_index: one for one in rows}
            if goes_on:
                told = {place.partition: QUIET for place in places} | told
        knows_epochs = self.connection(endpoint, now).version(ApiKey.FETCH) >= EPOCHS_FROM
        for place in places:
            place.named_epoch = epochs[place.partition] if knows_epochs else UNKNOWN
        for place, one in self._told_of(places, told, now):
            if one is QUIET:
                continue
            epoch = place.named_epoch if place.near < 0 else UNKNOWN
            if one.preferred_read_replica >= 0:
                place.near = one.preferred_read_replica
                place.near_until_ms = self.later(NEAR_MS, now)
            self._on_watermark(place.partition, epoch, one.high_watermark)
            try:
                self._take(place, bytes(one.records or b""), self._aborted_of(one))
            except RecordError:
                place.rests_until_ms = self.later(REST_MS, now)  # damaged: another leader's is not
        due_ms = self.later(WORK_MS, now)
        for place in places:
            place.rests_until_ms = max(place.rests_until_ms, due_ms)

    def _aborted_of(self, one: FetchedPartition) -> dict[int, deque[int]]:
        """Return, by producer, where its transactions begin that were aborted; of all or of none."""
        aborted: dict[int, deque[int]] = {}
        if self._committed_only:
            for each in sorted(one.aborted_transactions or (), key=lambda each: each.first_offset):
                aborted.setdefault(each.producer_id, deque()).append(each.first_offset)
        return aborted

    def _take(self, place: Place, records: bytes, aborted: dict[int, deque[int]]) -> None:
        """Read batches; raises RecordError where one is damaged, behind the good ones before it."""
        for start, header in iterate_headers(records):
            assert place.position is not None
            batch = records[start : start + header.size_bytes]
            begun = aborted.get(header.producer_id)
            is_aborted = begun and header.is_transactional and begun[0] <= header.last_offset
            if begun and is_aborted and header.is_control:
                begun.popleft()  # its end
            found = [
                (one.offset, one.value or b"")
                for one in (() if header.is_control or is_aborted else decode_batch(batch))
                if one.offset >= place.position.offset
            ]
            if found:
                self._on_read(place.partition, found)
                if self.places.get(place.partition) is not place:
                    return
            if header.next_offset > place.position.offset:
                place.position = Position(Offset(header.next_offset), header.leader_epoch)

    _ASK = {
        ApiKey.LIST_OFFSETS: _list,
        ApiKey.OFFSET_FOR_LEADER_EPOCH: _check,
        ApiKey.FETCH: _fetch,
    }
