"""Reading committed records only: which of the fetched batches belong to aborted transactions.

The broker sends nothing from an open transaction on, and names the aborted ones that have records
in what it sends; this finds their batches.  Pure.  Source: KIP-98, "Reading Transactional Messages".
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from transport.wire.codec import Buffer
from transport.wire.control import read_marker
from transport.wire.ids import Offset, ProducerId
from transport.wire.messages.fetch import READ_COMMITTED, READ_UNCOMMITTED, AbortedTransaction
from transport.wire.records import iterate_headers

ISOLATION_LEVELS = {"read_uncommitted": READ_UNCOMMITTED, "read_committed": READ_COMMITTED}


def aborted_batches(frame: Buffer, aborted: Iterable[AbortedTransaction]) -> set[Offset]:
    """Return the base offsets of the batches in ``frame`` that were aborted.

    A producer's batches are, from the first offset of its aborted transaction to its next marker.
    Raises RecordError for a control batch that cannot be read.
    """
    beginning = deque(sorted(aborted, key=lambda one: one.first_offset))
    found: set[Offset] = set()
    if not beginning:
        return found
    inside: set[ProducerId] = set()
    view = memoryview(frame)
    for position, header in iterate_headers(frame):
        while beginning and beginning[0].first_offset <= header.last_offset:
            inside.add(beginning.popleft().producer_id)
        if header.producer_id not in inside:
            continue
        if not header.is_control:
            if header.is_transactional:
                found.add(header.base_offset)
        elif read_marker(view[position : position + header.size_bytes]) is not None:
            inside.discard(header.producer_id)
    return found
