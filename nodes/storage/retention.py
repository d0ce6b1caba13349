"""What retention lets go of: whole segments from a log's start, by age and by the log's size.

Decides only; the log carries it out.  Source: Apache Kafka, retention.ms and retention.bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from nodes.storage.segment import Segment
from transport.wire.ids import Offset


class Retention(NamedTuple):
    """How long records stay; −1: without limit."""

    age_max_ms: int = -1
    size_max_bytes: int = -1


def start_after(
    segments: Sequence[Segment], retention: Retention, now_ms: int, up_to: Offset
) -> Offset:
    """Return where the log begins without the segments that are too old, or beyond the size.

    Wall time.  A segment is as old as its newest record, and one that reaches beyond ``up_to`` (the
    high watermark) stays.  The size is kept by never going below it, so it may be exceeded by less
    than a segment.
    """
    surplus_bytes = sum(segment.size_bytes for segment in segments) - retention.size_max_bytes
    start = segments[0].base_offset if segments else Offset(0)
    for segment in segments:
        if not segment.size_bytes or segment.next_offset > up_to:
            break
        aged = 0 <= retention.age_max_ms < now_ms - segment.age_from_ms(now_ms)
        surplus_bytes -= segment.size_bytes
        surplus = retention.size_max_bytes >= 0 and surplus_bytes >= 0
        if not (aged or surplus):
            break
        start = segment.next_offset
    return start
