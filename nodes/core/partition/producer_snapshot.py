"""What a log remembers of its producers and their transactions, as bytes and back.

Written down now and then, so that whoever opens the log need read no header before that.
"""

from __future__ import annotations

from array import array

import msgspec

from nodes.core.partition.producer_state import ProducerEntry, Producers, WrittenBatch
from nodes.core.partition.transactions import Ended, Transactions
from transport.wire.ids import Offset, ProducerEpoch, ProducerId

_VERSION = 1


class _Producer(msgspec.Struct, frozen=True, array_like=True, gc=False):
    producer_id: ProducerId
    epoch: ProducerEpoch
    coordinator_epoch: int
    marker_offset: Offset
    whole: bool
    batches: list[WrittenBatch]
    last_timestamp_ms: int = -1


class _Snapshot(msgspec.Struct, frozen=True, array_like=True, gc=False):
    version: int
    forgot: bool
    producers: list[_Producer]
    open: list[tuple[ProducerId, Offset]]
    ended: list[Ended]
    last_marker: Offset
    aborted: tuple[bytes, bytes, bytes, bytes]
    """Columns of little-endian i64."""


def encode_producers(producers: Producers) -> bytes:
    """Return everything that :func:`decode_producers` needs."""
    known = producers.transactions
    return msgspec.msgpack.encode(
        _Snapshot(
            _VERSION,
            producers.forgot,
            [
                _Producer(
                    producer_id,
                    entry.epoch,
                    entry.coordinator_epoch,
                    entry.marker_offset,
                    entry.whole,
                    list(entry.batches),
                    entry.last_timestamp_ms,
                )
                for producer_id, entry in producers.entries().items()
            ],
            list(known.open_ones().items()),
            list(known.ended),
            known.last_marker,
            tuple(column.tobytes() for column in known.aborted_columns()),  # type: ignore[arg-type]
        )
    )


def decode_producers(data: bytes) -> Producers | None:
    """Read them again; None for what this version has not written."""
    try:
        found = msgspec.msgpack.decode(data, type=_Snapshot)
        columns = [array("q", column) for column in found.aborted]
    except (msgspec.DecodeError, ValueError):
        return None
    if found.version != _VERSION or len({len(column) for column in columns}) != 1:
        return None
    producers = Producers()
    entries: dict[ProducerId, ProducerEntry] = {}
    for one in found.producers:
        entries[one.producer_id] = entry = ProducerEntry(one.epoch, one.batches, whole=one.whole)
        entry.coordinator_epoch, entry.marker_offset = one.coordinator_epoch, one.marker_offset
        entry.last_timestamp_ms = one.last_timestamp_ms
    producers.restore(entries, forgot=found.forgot)
    producers.transactions = Transactions()
    producers.transactions.restore(dict(found.open), found.ended, found.last_marker, columns)
    return producers
