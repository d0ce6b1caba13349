"""One fetch from its arrival to its last answer, and what an answer consists of.

Pure.  It must not know how answers are found, nor who else waits.
"""

from __future__ import annotations

from msgspec.structs import replace

from nodes.broker.context import Request
from nodes.core.fetch_session.leader import FetchSession
from transport.driver.ports import Origin
from transport.wire.ids import NO_NODE, NodeId, Offset, PartitionKey
from transport.wire.messages.fetch import READ_COMMITTED, FetchedPartition, FetchRequest
from transport.wire.records import iterate_headers

Lane = NodeId | Origin


class Gathered:
    """What an answer consists of so far."""

    __slots__ = ("cost", "frames", "is_whole", "partitions", "size_bytes", "urgent")

    def __init__(self) -> None:
        self.partitions: dict[PartitionKey, FetchedPartition] = {}
        self.frames: list[bytes | bytearray] = []
        self.cost = 0
        """Of the reads, up to ``READ_MAX`` (``fetch_reads``)."""
        self.size_bytes = 0
        self.urgent = False
        """An error or a divergence: there is nothing to wait for."""
        self.is_whole = True
        """Every partition was looked at that may have something, or there is no room for more."""


class Fetch:
    """One fetch."""

    __slots__ = (
        "body",
        "done",
        "due_ms",
        "is_follower",
        "lane",
        "left_bytes",
        "named",
        "parked",
        "request",
        "session",
        "throttle_ms",
        "watches",
    )

    def __init__(
        self, request: Request, body: FetchRequest, session: FetchSession, due_ms: int
    ) -> None:
        self.request = request
        self.body = body
        self.session = session
        """What it asks for; of its own, unless the follower's is held."""
        self.due_ms = due_ms
        self.is_follower = body.replica_id != NO_NODE
        """It comes from a replica."""
        self.lane: Lane = body.replica_id if self.is_follower else request.origin
        self.left_bytes = body.max_bytes
        """What all answers to it may have; the first record batch comes whole all the same."""
        self.named = 0
        """So many of its partitions its session has taken in."""
        self.watches = False
        """It hears of its partitions though no session does that outlives it."""
        self.throttle_ms = 0
        """To be told so long to wait, and nothing else."""
        self.parked = False
        self.done = False

    @property
    def is_named(self) -> bool:
        """Its session has taken in all of it."""
        return self.named >= len(self.body.partitions)

    def stay(self, gathered: Gathered) -> bool:
        """Go on behind what this answer gives, if there will be another one; False: it is the last.

        Only a consumer's stays that asks for it, and has been given all there is: it is as if its
        next fetch were here already.
        """
        if not self.body.stays or self.is_follower or gathered.urgent or self.request.amend:
            return False
        self.left_bytes -= gathered.size_bytes
        if self.left_bytes <= 0:
            return False
        ends: dict[PartitionKey, Offset] = {}
        for key, told in gathered.partitions.items():
            end = self._end(told, gathered)
            if end is None:
                return False
            ends[key] = end
        session = self.session
        for key, end in ends.items():
            session.parts[key] = replace(session.parts[key], offset=end)
            session.ready.pop(key, None)
        return True

    def _end(self, told: FetchedPartition, gathered: Gathered) -> Offset | None:
        """Return the offset after the records given; None: there are more, or may be."""
        assert told.frame >= 0, "what is not urgent gives records"
        committed = self.body.isolation == READ_COMMITTED
        readable = told.last_stable_offset if committed else told.high_watermark
        *_, (_, last) = iterate_headers(gathered.frames[told.frame])
        return Offset(last.next_offset) if 0 <= readable <= last.next_offset else None
