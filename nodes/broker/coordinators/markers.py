"""WRITE_TXN_MARKERS: the ends of transactions, written to the partitions that this broker leads.

A marker is answered once it is committed, as any write with ``acks=all``; a repeated one is
recognised by the partition core.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from nodes.broker.context import BrokerContext, Request
from nodes.broker.partitions.replica import ProduceToken, Replica
from nodes.broker.records.produce import FindReplica, unplaced
from nodes.core.controller.names import CONSUMER_OFFSETS
from nodes.core.partition.events import NO_EPOCH, Produce, Produced
from transport.kernel import Now
from transport.wire.control import Marker, build_marker
from transport.wire.errors import ErrorCode
from transport.wire.ids import PRODUCER_EPOCH_MAX, PartitionKey
from transport.wire.messages import Message
from transport.wire.messages.produce import ACKS_ALL
from transport.wire.messages.transactions import (
    TransactionMarker,
    WriteTxnMarkersRequest,
    WriteTxnMarkersResponse,
)
from transport.wire.records import read_header

PARTITIONS_MAX = 20_000
"""In one request."""
_INT32_MAX, _INT64_MAX = 2**31 - 1, 2**63 - 1

Outcomes = tuple[tuple[int, ...], ...]
OnWritten = Callable[[Outcomes, Now], None]
OnEnd = Callable[[ErrorCode, Now], None]
EndOffsets = Callable[[int, TransactionMarker, OnEnd, Now], None]
"""Ends a transaction in a shard of ``__consumer_offsets``, whose core keeps its offsets apart."""


class _Writing:
    """One request: what has become of its markers so far."""

    __slots__ = ("left", "on_written", "outcomes")

    def __init__(self, markers: tuple[TransactionMarker, ...], on_written: OnWritten) -> None:
        self.outcomes = [[int(ErrorCode.NONE)] * len(marker.partitions) for marker in markers]
        self.left = sum(map(len, self.outcomes))
        self.on_written = on_written

    def note(self, row: int, place: int, error: ErrorCode, now: Now) -> None:
        """Take one outcome; the last one ends it."""
        self.outcomes[row][place] = int(error)
        self.left -= 1
        if not self.left:
            self.on_written(tuple(map(tuple, self.outcomes)), now)


def _heed_nothing(markers: tuple[TransactionMarker, ...]) -> None:
    """Nobody asks about transactions here."""


class _Token(ProduceToken):
    """One marker in one partition."""

    __slots__ = ("_place", "_row", "_writing")

    def __init__(self, writing: _Writing, row: int, place: int) -> None:
        self._writing = writing
        self._row = row
        self._place = place

    def ended(self, replica: Replica, produced: Produced, now: Now) -> None:
        """Note the outcome."""
        self._writing.note(self._row, self._place, produced.error, now)


class Markers:
    """Writes markers."""

    def __init__(self, context: BrokerContext, find: FindReplica, end_offsets: EndOffsets) -> None:
        self._context = context
        self._find = find
        self._end_offsets = end_offsets
        self.heed: Callable[[tuple[TransactionMarker, ...]], None] = _heed_nothing
        """Hears of markers before they are written."""
        self.handlers: dict[type[Message], Callable[[Request, Now], None]] = {
            WriteTxnMarkersRequest: self._on_request
        }

    def _on_request(self, request: Request, now: Now) -> None:
        body = request.envelope.body
        assert isinstance(body, WriteTxnMarkersRequest), "by the dispatch table"
        too_many = sum(len(marker.partitions) for marker in body.markers) > PARTITIONS_MAX
        if too_many or not all(map(_can_be_written, body.markers)):
            self._context.reply(request, WriteTxnMarkersResponse(ErrorCode.INVALID_REQUEST))
            return

        def on_written(outcomes: Outcomes, _now: Now) -> None:
            self._context.reply(request, WriteTxnMarkersResponse(ErrorCode.NONE, outcomes))

        self.write(body.markers, on_written, now)

    def write(
        self, markers: tuple[TransactionMarker, ...], on_written: OnWritten, now: Now
    ) -> None:
        """Write them; ends in one call of ``on_written``, with an error code by partition."""
        self.heed(markers)
        writing = _Writing(markers, on_written)
        if not writing.left:
            on_written(tuple(map(tuple, writing.outcomes)), now)
            return
        due_ms = now.mono_ms + self._context.config.broker.request_timeout_ms
        for row, marker in enumerate(markers):
            said = Marker(marker.committed, marker.coordinator_epoch)
            batch = build_marker(said, marker.producer_id, marker.producer_epoch, now.wall_ms)
            header = read_header(batch)
            for place, part in enumerate(marker.partitions):
                token = _Token(writing, row, place)
                replica = self._find(PartitionKey(part.topic_id, part.partition))
                if isinstance(replica, ErrorCode):
                    writing.note(row, place, replica, now)
                    continue
                if replica.name.topic == CONSUMER_OFFSETS:
                    on_end = partial(writing.note, row, place)
                    self._end_offsets(part.partition, marker, on_end, now)
                    continue
                event = Produce(
                    token,
                    unplaced(header, batch),
                    ACKS_ALL,
                    NO_EPOCH,
                    due_ms,
                    keeps_epoch=marker.keeps_epoch,
                )
                replica.produce(event, header, batch, now)


def _can_be_written(marker: TransactionMarker) -> bool:
    """Tell whether its numbers have a place in a batch; a client may have made them up."""
    return (
        0 <= marker.producer_id <= _INT64_MAX
        and 0 <= marker.producer_epoch <= PRODUCER_EPOCH_MAX
        and -1 <= marker.coordinator_epoch <= _INT32_MAX
    )
