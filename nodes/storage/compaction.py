"""Which logs are to be cleaned, and what of them: by share of what is dirty, and by its age.

Decides only; ``cleaning`` does it.  Source: Apache Kafka, LogCleanerManager; KIP-58, KIP-354 (lags).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from nodes.storage.cleaning import Source
from nodes.storage.segment import Segment
from transport.wire.ids import Offset


class Compaction(NamedTuple):
    """How a log is compacted. Times are milliseconds."""

    dirty_ratio_min: float = 0.5
    """It is cleaned when so large a share of what can be cleaned is not."""
    lag_min_ms: int = 0
    """A record stays as it is for at least so long,"""
    lag_max_ms: int = 2**63 - 1
    """and is cleaned after so long, however small the share is."""
    delete_retention_ms: int = 86_400_000
    """A tombstone or marker stays so long after it was cleaned first."""


class Dirt(NamedTuple):
    """What of a log can be cleaned now."""

    sources: tuple[Source, ...]
    """All segments to write anew, those that are clean included."""
    ratio: float
    is_due: bool
    """By the share, or by its age."""


def dirt_of(
    segments: Sequence[Segment],
    compaction: Compaction,
    cleaned_to: Offset,
    up_to: Offset,
    now_ms: int,
) -> Dirt | None:
    """Return what can be cleaned of a log; None when nothing dirty can.

    The segment that is written to never is, nor what reaches beyond ``up_to`` (the last stable
    offset).  Wall time.
    """
    sources: list[Source] = []
    clean_bytes = dirty_bytes = 0
    is_late = False
    for segment in segments[:-1]:
        if segment.next_offset > up_to:
            break
        dirty = segment.next_offset > cleaned_to
        if dirty:
            age_ms = now_ms - segment.age_from_ms(now_ms)
            if age_ms < compaction.lag_min_ms:
                break
            is_late = is_late or age_ms > compaction.lag_max_ms
            dirty_bytes += segment.size_bytes
        else:
            clean_bytes += segment.size_bytes
        sources.append(
            Source(segment.path, segment.base_offset, segment.next_offset, segment.size_bytes)
        )
    if not dirty_bytes:
        return None
    ratio = dirty_bytes / (clean_bytes + dirty_bytes)
    return Dirt(tuple(sources), ratio, is_late or ratio >= compaction.dirty_ratio_min)
