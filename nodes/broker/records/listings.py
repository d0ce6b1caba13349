"""ListOffsets: where a partition begins and ends, and which record is the first of a time.

Owns the requests that are not through.  To find a record by its time is to open the batch it is in,
which takes a millisecond and more: so many are looked for in a turn, of each request in its turn.
"""

from __future__ import annotations

from collections import deque

from nodes.broker.context import BrokerContext, Request
from nodes.broker.partitions.replica import Replica
from nodes.broker.records.produce import FindReplica
from nodes.core.partition.core import PartitionCore
from nodes.storage.disk import StorageError
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.ids import LeaderEpoch, Offset, PartitionKey
from transport.wire.messages.fetch import (
    READ_COMMITTED,
    TIMESTAMP_EARLIEST,
    TIMESTAMP_LATEST,
    TIMESTAMP_MAX,
    ListedOffset,
    ListOffset,
    ListOffsetsRequest,
    ListOffsetsResponse,
)

LOOKED_FOR_A_TURN = 10
LOOKED_FOR_MAX = 10_000
"""By time, in one request."""
LISTED_MAX = 50_000
"""In one request: some tenths of a second of one turn."""
WAITING_MAX = 1_000
"""Requests that are not through; further ones are refused."""
WAIT_MAX_MS = 60_000
"""Nobody waits longer."""

Found = tuple[ErrorCode, Offset, int]
"""(error, offset or −1, timestamp in wall milliseconds or −1)"""

NOT_YET: Found = (ErrorCode.OFFSET_NOT_AVAILABLE, Offset(-1), -1)


class _Listing:
    """A request, as far as it is through."""

    __slots__ = ("body", "due_ms", "found", "listed", "request")

    def __init__(self, request: Request, body: ListOffsetsRequest, due_ms: int) -> None:
        self.request = request
        self.body = body
        self.due_ms = due_ms
        """Then its client waits no more."""
        self.listed: list[ListedOffset] = []
        self.found: dict[ListOffset, ListedOffset] = {}
        """By time: what is asked again is not looked for again."""


class Listings:
    """Answers ListOffsetsRequest."""

    def __init__(self, context: BrokerContext, find: FindReplica) -> None:
        self._context = context
        self._find = find
        self._listings: deque[_Listing] = deque()
        self._room = LOOKED_FOR_A_TURN

    def on_request(self, request: Request, now: Now) -> None:
        """Answer: at once where nothing, or little, is to be looked for by its time."""
        body = request.envelope.body
        assert isinstance(body, ListOffsetsRequest), "by the dispatch table"
        is_too_long = len(body.partitions) > LISTED_MAX
        if is_too_long or sum(map(_is_by_time, body.partitions)) > LOOKED_FOR_MAX:
            self._context.reply(request, ListOffsetsResponse(ErrorCode.INVALID_REQUEST))
        elif len(self._listings) >= WAITING_MAX:
            self._context.reply(request, ListOffsetsResponse(ErrorCode.OVERLOADED))
        else:
            listing = _Listing(request, body, request.due_ms(now, WAIT_MAX_MS))
            if not self._has_answered(listing, now):
                self._listings.append(listing)

    def end_turn(self, now: Now) -> None:
        """Go on with what this turn has room for."""
        for _ in range(len(self._listings)):
            listing = self._listings.popleft()
            if listing.due_ms <= now.mono_ms:
                late = ListOffsetsResponse(ErrorCode.REQUEST_TIMED_OUT)
                self._context.reply(listing.request, late)
            elif not self._has_answered(listing, now):
                self._listings.append(listing)
        self._room = LOOKED_FOR_A_TURN

    def next_deadline_ms(self) -> int | None:
        """Return when this wants a turn."""
        return 0 if self._listings else None

    def check(self) -> None:
        """Assert D7 of those that wait."""
        assert len(self._listings) <= WAITING_MAX, "D7"

    def _has_answered(self, listing: _Listing, now: Now) -> bool:
        """Go on with a request; False: there was no room for all of it."""
        partitions = listing.body.partitions
        while len(listing.listed) < len(partitions):
            part = partitions[len(listing.listed)]
            known = listing.found.get(part)
            if known is None and _is_by_time(part):
                if self._room <= 0:
                    return False
                self._room -= 1
                known = listing.found[part] = self._list(part, listing.body.isolation, now)
            listing.listed.append(known or self._list(part, listing.body.isolation, now))
        answer = ListOffsetsResponse(ErrorCode.NONE, tuple(listing.listed))
        self._context.reply(listing.request, answer)
        return True

    def _list(self, part: ListOffset, isolation: int, now: Now) -> ListedOffset:
        replica = self._find(PartitionKey(part.topic_id, part.partition))
        if isinstance(replica, ErrorCode):
            return ListedOffset(part.topic_id, part.partition, replica)
        core = replica.core
        if core is None:
            return ListedOffset(part.topic_id, part.partition, replica.absence)
        error = core.judge_leadership(part.leader_epoch)
        if error is not ErrorCode.NONE:
            return ListedOffset(part.topic_id, part.partition, error)
        committed = isolation == READ_COMMITTED
        up_to = core.last_stable_offset if committed else core.high_watermark
        error, offset, timestamp_ms = self._find_offset(
            replica, core, part.timestamp_ms, up_to, now
        )
        epoch = LeaderEpoch(-1) if core.record is None else core.record.leader_epoch
        return ListedOffset(part.topic_id, part.partition, error, offset, timestamp_ms, epoch)

    @staticmethod
    def _find_offset(
        replica: Replica, core: PartitionCore, timestamp_ms: int, up_to: Offset, now: Now
    ) -> Found:
        """As Kafka's: a new leader names the end only once it is sure of it (KIP-207)."""
        if timestamp_ms == TIMESTAMP_EARLIEST:
            return ErrorCode.NONE, core.log_start_offset, -1
        if timestamp_ms == TIMESTAMP_LATEST:
            if not core.is_high_watermark_sure():
                return NOT_YET
            return ErrorCode.NONE, up_to, -1
        if timestamp_ms < 0 and timestamp_ms != TIMESTAMP_MAX:
            return ErrorCode.INVALID_REQUEST, Offset(-1), -1
        log = replica.log
        assert log is not None, "it has a core that leads"
        try:
            if timestamp_ms == TIMESTAMP_MAX:
                found = log.max_timestamp(up_to)
            else:
                found = log.offset_for_timestamp(timestamp_ms, up_to)
        except StorageError as error:
            replica.fail(error, now)
            return ErrorCode.KAFKA_STORAGE_ERROR, Offset(-1), -1
        if found is not None:
            return ErrorCode.NONE, found.offset, found.timestamp_ms
        if not core.is_high_watermark_sure():
            return NOT_YET
        return ErrorCode.NONE, Offset(-1), -1


def _is_by_time(part: ListOffset) -> bool:
    return part.timestamp_ms >= 0 or part.timestamp_ms == TIMESTAMP_MAX
