"""Control batches: the marker that ends a transaction in one partition.

A batch of one record with the control and the transactional bit.  Key: version i16, type i16 (0
abort, 1 commit); value: version i16, coordinator epoch i32.  Source: KIP-98, "Control Messages".
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from transport.wire.batch import RecordError
from transport.wire.batch_builder import BatchBuilder
from transport.wire.batch_reader import decode_rows
from transport.wire.codec import Buffer
from transport.wire.errors import ErrorCode
from transport.wire.ids import ProducerEpoch, ProducerId

_KEY = struct.Struct(">hh")
_VALUE = struct.Struct(">hi")
_VERSION = 0
_ABORT, _COMMIT = 0, 1


class Marker(NamedTuple):
    """How a transaction has ended, and by whose word."""

    committed: bool
    coordinator_epoch: int
    """Of the transaction coordinator: the leader epoch of its partition of __transaction_state."""


def build_marker(
    marker: Marker, producer_id: ProducerId, producer_epoch: ProducerEpoch, timestamp_ms: int
) -> bytes:
    """Return the control batch that says so."""
    builder = BatchBuilder()
    key = _KEY.pack(_VERSION, _COMMIT if marker.committed else _ABORT)
    builder.append(key, _VALUE.pack(_VERSION, marker.coordinator_epoch), (), timestamp_ms)
    return builder.build(
        producer_id=producer_id, producer_epoch=producer_epoch, transactional=True, control=True
    )


def read_marker(batch: Buffer) -> Marker | None:
    """Read a whole control batch; None for a kind of control record that is no marker.

    Raises RecordError for bytes that are none at all.
    """
    rows = decode_rows(batch, check_crc=False)
    try:
        _, kind = _KEY.unpack_from(rows[0][2] or b"")
        if kind not in (_ABORT, _COMMIT):
            return None
        _, coordinator_epoch = _VALUE.unpack_from(rows[0][3] or b"")
    except (IndexError, struct.error):
        text = "a control batch without a marker that can be read"
        raise RecordError(ErrorCode.INVALID_RECORD, text) from None
    return Marker(kind == _COMMIT, coordinator_epoch)
