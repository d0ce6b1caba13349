"""What a fetch is given: of the partitions that may have something for it, what can be read now.

Owns what was read in this turn, and what is being brought into memory for readers of old records.
It must not know who else waits, nor when an answer is due.
"""

from __future__ import annotations

from collections.abc import Callable

from nodes.broker.context import BrokerContext
from nodes.broker.partitions.replica import Replica, ReplicaState
from nodes.broker.records.cold_reads import ColdReads
from nodes.broker.records.near_readers import NearReaders
from nodes.broker.records.parked_fetch import Fetch, Gathered
from nodes.broker.records.produce import FindReplica
from nodes.core.fetch_session.leader import FetchSession
from nodes.core.partition.events import NO_EPOCH, ReadVerdict
from nodes.storage.log_reading import Extent
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.ids import NO_NODE, Offset, PartitionKey, TopicId
from transport.wire.messages.fetch import (
    READ_COMMITTED,
    AbortedTransaction,
    FetchedPartition,
    FetchPartition,
    FetchRequest,
)
from transport.wire.records import iterate_headers

PARTITIONS_MAX = 4_000
"""Told of in one answer, and named in one fetch of a follower; below the wire's bound on frames."""
LOOKED_AT_MAX = 1_000
"""For one fetch in one turn: to look at a partition that has nothing takes some 20 µs, too."""
READ_MAX = 200
"""Read for one answer: a follower that must append to so many logs still comes to its heartbeats."""
GOLDEN = 2_654_435_761
"""Of 2^32 the golden section: its multiples fall everywhere (Knuth)."""
FIRST_READ_COST = 4
"""What a read from the very beginning takes of it: the follower begins a log."""

AHEAD_OF_US = frozenset(
    {
        ErrorCode.UNKNOWN_LEADER_EPOCH,
        ErrorCode.UNKNOWN_TOPIC_ID,
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    }
)
"""A follower that has heard of our leadership before we have is let wait, not sent away."""

Wanted = tuple[PartitionKey, Offset, int, Offset]
"""What to read: where from, how many bytes at most, and up to which offset."""


class FetchReads:
    """Of one broker."""

    def __init__(
        self,
        context: BrokerContext,
        find: FindReplica,
        near: NearReaders,
        wake: Callable[[FetchSession], None],
    ) -> None:
        """``wake`` hears of a session for which something has been brought into memory."""
        self._context = context
        self._find = find
        self._near = near
        self._wake = wake
        self._turn = 1
        self._cold_reads = ColdReads(context)
        self._read_now: dict[Wanted, bytes | bytearray] = {}
        """What was read in this turn: followers in step all want the same bytes."""

    def end_turn(self) -> None:
        """Forget what was read: the next turn reads anew."""
        self._turn += 1
        self._read_now.clear()

    def gather(self, fetch: Fetch, now: Now) -> Gathered:
        """Read the partitions that are ready, from another one on each turn: none is starved.

        Of very many only some are looked at in a turn, and those that have nothing not again.
        """
        config = self._context.config.broker
        cap = config.replica_fetch_bytes_max if fetch.is_follower else config.fetch_bytes_max
        limit = max(1, min(fetch.left_bytes, cap))
        session = fetch.session
        keys = list(session.ready)
        if keys:
            start = self._turn % len(keys)
            keys = keys[start:] + keys[:start]
        gathered = Gathered()
        gathered.is_whole = len(keys) <= LOOKED_AT_MAX
        for key in keys[:LOOKED_AT_MAX]:
            left = limit - gathered.size_bytes
            full = gathered.cost >= READ_MAX or len(gathered.partitions) >= PARTITIONS_MAX
            if left <= 0 or full:
                gathered.is_whole = True
                break
            self._read(fetch, key, left, gathered, now)
            if key not in gathered.partitions:
                del session.ready[key]
        return gathered

    def add_ends(self, fetch: Fetch, gathered: Gathered) -> None:
        """Tell how far what cannot be read now is committed: to a follower, where that is news."""
        session = fetch.session
        remembers = fetch.is_follower or session.is_held
        keys = list(session.behind if remembers else session.parts)
        if len(keys) > PARTITIONS_MAX and not remembers:
            # Another time the others are told of: turns are counted in steps that nobody knows.
            start = self._turn * GOLDEN % len(keys)
            keys = keys[start:] + keys[:start]
        for key in keys:
            if len(gathered.partitions) >= PARTITIONS_MAX:
                break
            replica = self._find(key)
            core = None if isinstance(replica, ErrorCode) else replica.core
            if isinstance(replica, ErrorCode) or core is None or key in gathered.partitions:
                continue
            if session.told.get(key) != (core.high_watermark, core.log_start_offset):
                if fetch.is_follower and not _fits(replica, fetch, key):
                    continue  # What is committed here may be other records than it has.
                gathered.partitions[key] = FetchedPartition(
                    *_describe(replica, fetch),
                    last_stable_offset=_stable(replica, fetch),
                )
            else:
                session.behind.pop(key, None)

    def _read(
        self, fetch: Fetch, key: PartitionKey, left_bytes: int, gathered: Gathered, now: Now
    ) -> None:
        part = fetch.session.parts[key]
        replica = self._find(key)
        if isinstance(replica, ErrorCode):
            verdict = ReadVerdict(replica)
        else:
            verdict = judge(replica, fetch.body, part)
        if isinstance(replica, ErrorCode) or verdict.error is not ErrorCode.NONE:
            if not (fetch.is_follower and _is_early(replica, verdict.error)):
                self._add_error(key, verdict.error, gathered, replica)
            return
        if verdict.diverging is not None:
            gathered.urgent = True
            told = _describe(replica, fetch)
            gathered.partitions[key] = FetchedPartition(*told, diverging=verdict.diverging)
            return
        nearest = self._near.nearest_to(fetch.body, replica, part.offset, now)
        if nearest != NO_NODE:
            gathered.urgent = True
            told = _describe(replica, fetch)
            gathered.partitions[key] = FetchedPartition(*told, preferred_replica=nearest)
            return
        if verdict.up_to <= part.offset:
            if fetch.is_follower and _begins_later(fetch, replica):
                gathered.urgent = True
                gathered.partitions[key] = FetchedPartition(*_describe(replica, fetch))
            return
        wanted = (key, part.offset, max(0, min(part.max_bytes, left_bytes)), verdict.up_to)
        data = self._read_now.get(wanted) or self._bytes_at(fetch, replica, wanted, now)
        if data is None:
            self._add_error(key, ErrorCode.KAFKA_STORAGE_ERROR, gathered, replica)
        elif data:
            self._read_now[wanted] = data
            told = _describe(replica, fetch)
            aborted = _aborted(replica, fetch, part.offset, data)
            gathered.partitions[key] = FetchedPartition(
                *told,
                frame=len(gathered.frames),
                last_stable_offset=_stable(replica, fetch),
                aborted=aborted,
            )
            gathered.frames.append(data)
            gathered.cost += 1 if part.offset else FIRST_READ_COST
            gathered.size_bytes += len(data)

    def _bytes_at(
        self, fetch: Fetch, replica: Replica, wanted: Wanted, now: Now
    ) -> bytes | bytearray | None:
        """Return what is wanted; nothing while it is waited for; None: the log has failed."""
        found = replica.read_recent(*wanted[1:], now)
        if not isinstance(found, Extent):
            return found
        is_warm = self._cold_reads.take(found)
        if is_warm or fetch.is_follower or self._cold_reads.is_free(now):
            data = replica.read_cached(found, now)
            if not isinstance(data, Extent):
                return data
        if is_warm:
            # Brought and not there: the file system cannot tell, or memory is short.
            return replica.read(*wanted[1:], now)
        self._read_later(fetch, wanted[0], found, now)
        return b""

    def _read_later(self, fetch: Fetch, key: PartitionKey, extent: Extent, now: Now) -> None:
        """Look at this partition again once it is its turn, and what it holds there is in memory."""
        session = fetch.session

        def warmed(_now: Now) -> None:
            if key in session.parts:
                session.ready[key] = None
            self._wake(session)

        self._cold_reads.order(extent, session, warmed, now, by_follower=fetch.is_follower)

    def _add_error(
        self,
        key: PartitionKey,
        error: ErrorCode,
        gathered: Gathered,
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


def _describe(replica: Replica, fetch: Fetch) -> tuple[TopicId, int, int, Offset, Offset]:
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


def _stable(replica: Replica, fetch: Fetch) -> Offset:
    core = replica.core
    assert core is not None, "it was judged"
    told = not fetch.is_follower and core.is_high_watermark_sure()
    return core.last_stable_offset if told else Offset(-1)


def _fits(replica: Replica, fetch: Fetch, key: PartitionKey) -> bool:
    """Tell whether a follower follows us, and its log is a part of ours."""
    verdict = judge(replica, fetch.body, fetch.session.parts[key])
    return verdict.error is ErrorCode.NONE and verdict.diverging is None


def _begins_later(fetch: Fetch, replica: Replica) -> bool:
    """Tell whether the log begins later than this follower was told, or has told itself."""
    core, key = replica.core, replica.key
    assert core is not None, "it was judged"
    known = fetch.session.told.get(key)
    start = fetch.session.parts[key].log_start_offset if known is None else known[1]
    return max(0, start) < core.log_start_offset


def _is_early(replica: Replica | ErrorCode, error: ErrorCode) -> bool:
    """The follower knows more than this broker, which will know it in a moment."""
    return error in AHEAD_OF_US or (
        isinstance(replica, Replica) and replica.state is ReplicaState.OPENING
    )


def _aborted(
    replica: Replica, fetch: Fetch, offset: Offset, data: bytes | bytearray
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


def judge(replica: Replica, body: FetchRequest, part: FetchPartition) -> ReadVerdict:
    """Return whether a reader may go on there, and up to where."""
    core = replica.core
    if core is None:
        return ReadVerdict(replica.absence)
    if body.replica_id == NO_NODE:
        return core.read_as_consumer(
            part.leader_epoch, part.offset, body.isolation, nearby=bool(body.rack)
        )
    return core.read_as_replica(
        body.replica_id, part.leader_epoch, part.offset, part.last_fetched_epoch
    )
