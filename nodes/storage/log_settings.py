"""What a partition log goes by, and when a segment is full by that."""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

from nodes.storage.compaction import Compaction
from nodes.storage.retention import Retention
from nodes.storage.segment import OFFSETS_MAX, Segment
from transport.wire.batch import BatchHeader

_SEGMENT_BYTES_MAX = 0x7FFFFFFF
"""The indexes hold positions in 31 bits."""


@dataclass(frozen=True, slots=True)
class LogSettings:
    """A partition log's settings, as its topic has them; defaults are Kafka's."""

    segment_bytes: int = 1024 * 1024 * 1024
    segment_ms: int = 7 * 24 * 3600 * 1000
    index_interval_bytes: int = 4096
    segment_jitter_ms: int = 0
    """A segment is rolled earlier by up to this much, each log by another part of it."""
    segment_index_bytes: int = 10 * 1024 * 1024
    recent_bytes: int = 4 * 1024 * 1024
    """What stands so near the end of a log is read at once: it was written just now."""
    retention: Retention = Retention()
    compaction: Compaction | None = None
    """How the log is compacted, if it is."""

    def must_roll(
        self, segment: Segment, size_bytes: int, header: BatchHeader, now_ms: int
    ) -> bool:
        """Tell whether a batch begins the next segment; this one would hold ``size_bytes`` before it."""
        if size_bytes == 0:
            return False
        if size_bytes + header.size_bytes > min(self.segment_bytes, _SEGMENT_BYTES_MAX):
            return True
        if header.last_offset - segment.base_offset >= OFFSETS_MAX:
            return True
        if segment.indexes.size_bytes >= self.segment_index_bytes:
            return True
        assert segment.opened_ms is not None
        return now_ms - segment.opened_ms > self.segment_ms - self._jitter_ms(segment)

    def _jitter_ms(self, segment: Segment) -> int:
        """The same for one segment at every start, without a source of chance."""
        jitter_ms = min(self.segment_jitter_ms, self.segment_ms - 1)
        return crc32(segment.path.encode()) % jitter_ms if jitter_ms > 0 else 0
