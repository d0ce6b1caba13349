"""Where records go: a partition for each, and a place in a batch of its lane.

Owns the choice of partitions (named, by key, or sticky) and how large a batch of a topic may be.
Pure.  It must not know how batches are sent.

Source: KIP-480 (sticky partitioner), KIP-794 (strictly uniform sticky partitioner).
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from operator import index
from random import Random
from typing import NamedTuple

from odradek.cluster.metadata import ClusterView
from odradek.cluster.topic_map import TopicView
from odradek.errors import ClientError, OdradekError, error_for
from odradek.producer.accumulator import Accumulator, Batch, Lane, OnDone, Outcome, Run
from odradek.producer.partitioner import MurmurPartitioner, Partitioner
from odradek.records import Headers
from transport.kernel import Now
from transport.wire.errors import ErrorCode

RECORD_OVERHEAD_BYTES = 12
"""About what a record takes beside its key, value and headers."""
BATCH_ROOM_BYTES = 64
"""What a batch's header takes from max.message.bytes, and a little more."""


class Single(NamedTuple):
    """One record on its way to a partition (None: to be chosen)."""

    partition: int | None
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int
    on_done: OnDone

    def size_bytes(self) -> int:
        """Return about what it takes in a batch."""
        size_bytes = len(self.key or b"") + len(self.value or b"") + RECORD_OVERHEAD_BYTES
        return size_bytes + headers_bytes(self.headers)

    def fail(self, topic: str, error: OdradekError) -> None:
        """End it without having been placed."""
        partition = -1 if self.partition is None else self.partition
        self.on_done(Outcome(topic, partition, -1, error), 0, None)


def headers_bytes(headers: Headers) -> int:
    """Return about what the headers of one record take in a batch."""
    return sum(len(name) + len(content or b"") for name, content in headers)


class Placement:
    """Puts records of known topics into the accumulator."""

    def __init__(
        self,
        view: ClusterView,
        accumulator: Accumulator,
        *,
        record_bytes_max: int,
        partitioner: Partitioner | None = None,
        on_refused: Callable[[OdradekError], None] = lambda _error: None,
    ) -> None:
        """``on_refused`` hears of every record that comes to no batch, before its own end is told."""
        self._view = view
        self._accumulator = accumulator
        self._record_bytes_max = record_bytes_max
        self._murmur = MurmurPartitioner()
        self._partitioner = partitioner
        self._on_refused = on_refused
        self._random: Random | None = None
        self._sticky: dict[str, tuple[Lane, int]] = {}
        """By topic: where records without a key go, and how many bytes of them still do."""

    def attach(self, random: Random) -> None:
        """Take the source of chance, once the program has its ports."""
        self._random = random

    def sticky(self, topic: str) -> Lane | None:
        """Return where records without a key went last."""
        lane, _ = self._sticky.get(topic, (None, 0))
        return lane

    def place(self, topic: TopicView, record: Single, now: Now) -> None:
        """Put one record into a batch, or fail it."""
        partition = self._partition_for(topic, record.partition, record.key)
        if isinstance(partition, OdradekError):
            self._on_refused(partition)
            record.fail(topic.name, partition)
            return
        sticky = partition is None
        lane = self._sticky_lane(topic, now) if partition is None else self._lane(topic, partition)
        batch = self._accumulator.append(
            lane,
            record.key,
            record.value,
            record.headers,
            record.timestamp_ms,
            record.on_done,
            now,
            self._limit_bytes(topic),
        )
        if sticky:
            self._stuck(lane, batch, record.size_bytes())
        self._refuse_oversized(lane, batch)

    def place_run(self, topic: TopicView, run: Run, partition: int | None, now: Now) -> None:
        """Put many records into batches; those of one partition keep their order."""
        if partition is not None:
            chosen = self._partition_for(topic, partition, None)
            if isinstance(chosen, OdradekError):
                self._on_refused(chosen)
                run.on_done(Outcome(topic.name, partition, -1, chosen), 0, run.positions)
            else:
                self._fill(topic, partition, run, now)
            return
        if run.keys.count(None) == len(run.keys):
            self._fill(topic, None, run, now)
            return
        for part, positions in self._spread(topic, run, now).items():
            self._fill(topic, part, run.of(positions), now)

    def _spread(self, topic: TopicView, run: Run, now: Now) -> dict[int, array[int]]:
        """Return which records go to which partition, of a run with keys."""
        keys = run.keys
        if self._partitioner is None and None not in keys:
            return self._spread_by_hash(topic, keys)  # type: ignore[arg-type]
        groups: dict[int, array[int]] = {}
        chosen = [self._partition_for(topic, None, key) for key in keys]
        unkeyed = chosen.count(None)
        # They go to one partition, too, and keep their places among those whose keys lead there:
        # in a topic of one partition that is all of them.
        sticky = self._sticky_for(topic, unkeyed * run.record_bytes, now) if unkeyed else -1
        for position, place in enumerate(chosen):
            if isinstance(place, OdradekError):
                self._on_refused(place)
                run.on_done(Outcome(topic.name, -1, -1, place), 0, (position,))
                continue
            partition = sticky if place is None else place
            group = groups.get(partition)
            if group is None:
                group = groups[partition] = array("i")
            group.append(position)
        return groups

    def _spread_by_hash(self, topic: TopicView, keys: Sequence[bytes]) -> dict[int, array[int]]:
        chosen = self._murmur.spread(keys, len(topic.partitions))
        groups: dict[int, list[int]] = {place: [] for place in set(chosen)}
        append = {place: group.append for place, group in groups.items()}
        for position, place in enumerate(chosen):
            append[place](position)
        return {place: array("i", group) for place, group in groups.items()}

    def _fill(self, topic: TopicView, partition: int | None, run: Run, now: Now) -> None:
        """Put a run into batches of one lane, or of wherever the sticky choice is."""
        start = 0
        limit = self._limit_bytes(topic)
        while start < len(run.values):
            sticky = partition is None
            lane = (
                self._sticky_lane(topic, now) if partition is None else self._lane(topic, partition)
            )
            taken = self._accumulator.extend(lane, run, start, now, limit)
            if sticky:
                self._stuck(lane, taken.batch, taken.records * run.record_bytes)
            self._refuse_oversized(lane, taken.batch)
            start += taken.records

    def _lane(self, topic: TopicView, partition: int) -> Lane:
        return self._accumulator.lane(topic.name, partition)

    def _partition_for(
        self, topic: TopicView, partition: int | None, key: bytes | None
    ) -> int | OdradekError | None:
        """Return the partition of one record; None: where the sticky choice is."""
        if partition is not None:
            if partition in topic.partitions:
                return partition
            return error_for(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, topic.lacks(partition))
        if key is None:
            return None
        if self._partitioner is None:
            return self._murmur.hashes[key] % len(topic.partitions)
        available = [p.partition for p in topic.partitions.values() if p.leader >= 0]
        try:
            chosen = index(self._partitioner(key, list(topic.partitions), available))
        except BaseException as error:  # noqa: BLE001 - it is the user's, and must not end the loop
            return ClientError(f"the partitioner failed: {error!r}")
        return self._partition_for(topic, chosen, None)

    def _sticky_lane(self, topic: TopicView, now: Now) -> Lane:
        """Return the lane that records without a key go to now: a batch's worth of them, however
        many requests that takes.  What waits for one of these is then in one batch, not in many."""
        assert self._random is not None, "attach() first"
        lane, left_bytes = self._sticky.get(topic.name, (None, 0))
        if lane is not None and left_bytes > 0 and self._is_able(topic, lane.partition, now):
            return lane
        able = [partition for partition in topic.partitions if self._is_able(topic, partition, now)]
        choices = able or list(topic.partitions)
        one = self._lane(topic, self._random.choice(choices))
        other = self._lane(topic, self._random.choice(choices))
        # Of two by chance the emptier one: a slow partition gets less, as KIP-794 has it.
        chosen = other if _queued(other) < _queued(one) else one
        self._sticky[topic.name] = chosen, self._accumulator.batch_size_bytes
        return chosen

    def _sticky_for(self, topic: TopicView, size_bytes: int, now: Now) -> int:
        """Return the partition of the sticky choice for so much at once."""
        lane = self._sticky_lane(topic, now)
        _, left_bytes = self._sticky[topic.name]
        self._sticky[topic.name] = lane, left_bytes - size_bytes
        return lane.partition

    def _is_able(self, topic: TopicView, partition: int, now: Now) -> bool:
        return self._view.leader(topic.name, partition, now) is not None

    def _stuck(self, lane: Lane, batch: Batch, size_bytes: int) -> None:
        """Count what the sticky choice has got; a batch that this has filled ends it too."""
        _, left_bytes = self._sticky[lane.topic]
        self._sticky[lane.topic] = lane, 0 if batch.full else left_bytes - size_bytes

    def _refuse_oversized(self, lane: Lane, batch: Batch) -> None:
        """End a record that no request can carry."""
        size_bytes = batch.builder.size_bytes
        if batch.builder.record_count == 1 and size_bytes > self._record_bytes_max:
            text = (
                f"a record of about {size_bytes} bytes is above max_request_size "
                f"({self._record_bytes_max}); raise that and the topic's max.message.bytes, "
                "or send less in one record"
            )
            batch.full = True
            error = error_for(ErrorCode.MESSAGE_TOO_LARGE, text)
            self._on_refused(error)
            self._accumulator.finish(lane, batch, Outcome(lane.topic, lane.partition, -1, error))

    def _limit_bytes(self, topic: TopicView) -> int:
        """Return how large a batch of this topic may be: its own limit wins over ours."""
        given = topic.configs.get("max.message.bytes", "")
        if not given.isdecimal():
            return self._record_bytes_max
        return max(1, min(self._record_bytes_max, int(given) - BATCH_ROOM_BYTES))


def _queued(lane: Lane) -> int:
    return len(lane.queue) + len(lane.sent)
