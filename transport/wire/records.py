"""Record batches: everything that brokers and clients need of Kafka's RecordBatch v2, by one name.

The header and the checks a broker makes are in ``batch``, encoding in ``batch_builder``, decoding
in ``batch_reader``, the codecs in ``compression``.
"""

from __future__ import annotations

from transport.wire.batch import (
    HEADER_BYTES,
    NO_SEQUENCE,
    BatchHeader,
    RecordError,
    check_batch,
    check_batches,
    iterate_headers,
    read_header,
    stamp,
    stamp_with_time,
)
from transport.wire.batch_builder import NO_PRODUCER_EPOCH, BatchBuilder, Parts
from transport.wire.batch_reader import (
    Record,
    RecordBatchView,
    RecordHeaders,
    Row,
    decode_batch,
    decode_rows,
    decode_values,
    view_batches,
)
from transport.wire.compression import CODEC_NAMES, CODECS, DECOMPRESSED_BYTES_MAX

__all__ = [
    "CODECS",
    "CODEC_NAMES",
    "DECOMPRESSED_BYTES_MAX",
    "HEADER_BYTES",
    "NO_PRODUCER_EPOCH",
    "NO_SEQUENCE",
    "BatchBuilder",
    "BatchHeader",
    "Parts",
    "Record",
    "RecordBatchView",
    "RecordError",
    "RecordHeaders",
    "Row",
    "check_batch",
    "check_batches",
    "decode_batch",
    "decode_rows",
    "decode_values",
    "iterate_headers",
    "read_header",
    "stamp",
    "stamp_with_time",
    "view_batches",
]
