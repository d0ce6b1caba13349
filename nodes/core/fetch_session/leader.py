"""The leader's side: what each reader has named, and what it is to be told.

Owns the sessions and their bound.  Knows nothing of logs: who holds sessions says what has moved,
and what was answered.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from transport.wire.errors import ErrorCode
from transport.wire.ids import Offset, PartitionKey
from transport.wire.messages.fetch import (
    FULL_EPOCH,
    NO_FETCH_SESSION,
    FetchedPartition,
    FetchPartition,
    FetchRequest,
)

SESSIONS_MAX = 1_000
"""Kafka's max.incremental.fetch.session.cache.slots."""
IDLE_MAX_MS = 120_000
"""Kafka's min.incremental.fetch.session.eviction.ms: one not used for so long makes room."""
PARTITIONS_MAX = 200_000
"""In one session."""
CONSUMERS_PARTITIONS_MAX = 100_000
"""In the sessions of all consumers together: some 80 MB."""
COUNTED_EVERY_MS = 1_000
"""So often these are counted: in that time nobody names many more."""
NOTE_AGAIN_MS = 500
"""The place of a follower that is not in sync counts again: it may join by now."""
NOTED_AGAIN_MAX = 200
"""At one fetch: of a broker that is back thousands are not in sync, and no turn may be long."""


class FetchSession:
    """What one reader waits for: its session, or a single fetch without one."""

    __slots__ = (
        "again",
        "behind",
        "ends_told_ms",
        "epoch",
        "id",
        "noted_ms",
        "of_consumer",
        "parts",
        "ready",
        "told",
        "unnoted",
        "unsaid",
        "unsettled",
        "used_ms",
        "way",
    )

    def __init__(
        self,
        session_id: int = NO_FETCH_SESSION,
        way: object = None,
        now_ms: int = 0,
        *,
        of_consumer: bool = False,
    ) -> None:
        self.id = session_id
        self.way = way
        """What it was begun by, and is held for: of a follower its registration and connection."""
        self.of_consumer = of_consumer
        self.epoch = FULL_EPOCH
        """Of the last fetch."""
        self.used_ms = now_ms
        self.ends_told_ms = now_ms
        """When it was last told of all that is in ``behind``."""
        self.parts: dict[PartitionKey, FetchPartition] = {}
        """Where the reader goes on, as it has named it."""
        self.ready: dict[PartitionKey, None] = {}
        """Those that may have something to read, or an error to hear."""
        self.unnoted: dict[PartitionKey, None] = {}
        """Of a follower: those whose place is to be noted at this fetch, or at the next one."""
        self.unsettled: dict[PartitionKey, None] = {}
        """Of a follower: those whose place is to be noted again in a while, also unnamed."""
        self.again: dict[PartitionKey, None] = {}
        """Of a follower: those of which this while is over, or that may join an ISR that has
        changed; some at each fetch."""
        self.noted_ms = now_ms
        """When these were noted last."""
        self.behind: dict[PartitionKey, None] = {}
        """Those that may be committed further than it was told."""
        self.unsaid = False
        """Something was committed of which it was not told since."""
        self.told: dict[PartitionKey, tuple[Offset, Offset]] = {}
        """(high watermark, log start offset) as told since they were named, or as it has said."""

    @property
    def is_held(self) -> bool:
        """It outlives its fetch."""
        return self.id != NO_FETCH_SESSION

    def name(self, part: FetchPartition) -> PartitionKey:
        """Take a partition in, or take over where its reader goes on now."""
        key = PartitionKey(part.topic_id, part.partition)
        self.parts[key] = part
        self.ready[key] = self.unnoted[key] = self.behind[key] = None
        self.told.pop(key, None)
        if part.log_start_offset >= 0:
            # Where its own log begins it knows everything to be committed.
            self.told[key] = part.log_start_offset, part.log_start_offset
        return key

    def has_named(self, parts: Iterable[FetchPartition]) -> bool:
        """Tell whether all of these are in it already."""
        return all(PartitionKey(part.topic_id, part.partition) in self.parts for part in parts)

    def leave(self, key: PartitionKey) -> None:
        """Take a partition out, if it is in."""
        if self.parts.pop(key, None) is not None:
            for some in self._marks():
                some.pop(key, None)

    def _marks(self) -> tuple[dict[PartitionKey, Any], ...]:
        return self.ready, self.unnoted, self.unsettled, self.again, self.behind, self.told

    def take_unnoted(self, now_ms: int) -> list[PartitionKey]:
        """Return those whose place is to be noted at this fetch; each is looked at again, too.

        What ``again`` still holds then waits for the next fetch.
        """
        if now_ms - self.noted_ms >= NOTE_AGAIN_MS:
            self.noted_ms = now_ms
            self.again.update(self.unsettled)
            self.unsettled.clear()
        taken = self.unnoted
        for key in list(islice(self.again, NOTED_AGAIN_MAX)):
            del self.again[key]
            taken[key] = None
        self.unnoted = {}
        self.ready.update(taken)
        return list(taken)

    def answered(self, told: Iterable[tuple[PartitionKey, FetchedPartition]]) -> list[PartitionKey]:
        """Take over what an answer tells; return the partitions that it takes out.

        One that is only told of its ends may still have something to read; so may any of a
        consumer, which does not name it again if it has thrown away what it got.
        """
        gone = []
        for key, part in told:
            if part.only_ends or (self.of_consumer and not part.error):
                self.told[key] = part.high_watermark, part.log_start_offset
                self.behind.pop(key, None)
            elif not self.of_consumer:
                self.leave(key)
                gone.append(key)
        return gone

    def check(self) -> None:
        """Assert F1, and D7 of it."""
        assert len(self.parts) <= PARTITIONS_MAX, "D7"
        for some in self._marks():
            assert some.keys() <= self.parts.keys(), "F1: it is in the session"


class FetchSessions:
    """The sessions of all followers, or of all consumers: one of each, within bounds."""

    def __init__(
        self,
        sessions_max: int = SESSIONS_MAX,
        *,
        of_consumers: bool = False,
        consumers_partitions_max: int = CONSUMERS_PARTITIONS_MAX,
    ) -> None:
        self._sessions_max = sessions_max
        self._of_consumers = of_consumers
        self._partitions_max = consumers_partitions_max
        self._partitions = 0
        self._counted_ms = 0
        self._of: dict[object, FetchSession] = {}

    def __iter__(self) -> Iterator[FetchSession]:
        return iter(self._of.values())

    def find(
        self, request: FetchRequest, lane: object, way: object, now_ms: int
    ) -> FetchSession | ErrorCode:
        """Return the session that a fetch is of; what it names is not taken in yet.

        ``lane``: whose it is, a follower or a consumer's connection.  ``way``: what it must have
        come by from its beginning on.  A session without a number (not asked for, or no room) ends
        with its fetch.
        """
        if request.session_id == NO_FETCH_SESSION:
            return FetchSession(of_consumer=self._of_consumers)
        if request.session_epoch == FULL_EPOCH:
            return self._begin(request, lane, way, now_ms)
        session = self._of.get(lane)
        if session is None or (session.id, session.way) != (request.session_id, way):
            return ErrorCode.FETCH_SESSION_ID_NOT_FOUND
        if request.session_epoch != session.epoch + 1:
            return ErrorCode.INVALID_FETCH_SESSION_EPOCH
        if len(session.parts) + len(request.partitions) > PARTITIONS_MAX:
            return ErrorCode.INVALID_REQUEST
        if self._is_full(now_ms) and not session.has_named(request.partitions):
            return ErrorCode.FETCH_SESSION_ID_NOT_FOUND
        session.epoch = request.session_epoch
        session.used_ms = now_ms
        return session

    def _begin(self, request: FetchRequest, lane: object, way: object, now_ms: int) -> FetchSession:
        assert lane not in self._of, "the one before was dropped"
        if len(self._of) >= self._sessions_max or self._is_full(now_ms):
            return FetchSession(of_consumer=self._of_consumers)
        session = FetchSession(request.session_id, way, now_ms, of_consumer=self._of_consumers)
        self._of[lane] = session
        return session

    def _is_full(self, now_ms: int) -> bool:
        """Tell whether consumers have named as much as all of them together may."""
        if not self._of_consumers:
            return False
        if now_ms - self._counted_ms >= COUNTED_EVERY_MS:
            self._counted_ms = now_ms
            self._partitions = sum(len(session.parts) for session in self)
        return self._partitions >= self._partitions_max

    def make_room(self, lane: object, now_ms: int) -> list[FetchSession]:
        """Drop the session of this reader, and an unused one if there are too many."""
        dropped = self.drop(lane)
        if len(self._of) >= self._sessions_max:
            oldest = min(self._of, key=lambda other: self._of[other].used_ms)
            if now_ms - self._of[oldest].used_ms >= IDLE_MAX_MS:
                dropped += self.drop(oldest)
        return dropped

    def drop(self, lane: object) -> list[FetchSession]:
        """Hold the session of this reader no longer; return it, if there was one."""
        session = self._of.pop(lane, None)
        return [] if session is None else [session]
