"""S66: what a node takes for synced is on its disk, also after a call to the disk has failed.

Of logs it is what stands below the recovery point, of members of the quorum what their journals hold
for durable.  A failed sync has lost what it was to save; whoever goes on as if a later one had saved it
acknowledges what a loss of power takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from nodes.broker.partitions.replica import Replica
from nodes.coordinator.quorum import Quorum
from nodes.storage.segment import Segment
from tests.simulation.checkers.violation import require
from tests.simulation.disk import SimulatedDisk
from transport.wire.batch import HEADER_BYTES, read_header

NUMBER = "S66"


class _Walked(NamedTuple):
    """How far a segment was looked at."""

    data: bytearray
    position: int
    end_offset: int


class TrulySynced:
    """Compares what servers believe with what a power loss would leave."""

    def __init__(self, disks: Mapping[str, SimulatedDisk]) -> None:
        self._disks = disks
        self._points: dict[tuple[str, str], int] = {}
        """The last recovery point seen of a log, by host and folder."""
        self._walked: dict[tuple[str, str], _Walked] = {}
        """By host and path of a segment."""
        self._journals: dict[str, tuple[Quorum, int, int]] = {}
        """By host: the quorum's log as it was last seen, up to what was durable, and in which file."""

    def look_at_log(self, host: str, replica: Replica) -> None:
        """Take a replica whose log may be synced further than before."""
        log = replica.log
        if log is None:
            return
        key, point = (host, log.folder), int(log.recovery_point)
        before = self._points.get(key, 0)
        if point == before:
            return
        self._points[key] = point
        for segment in log.segments:
            if before < segment.next_offset and segment.base_offset < point and segment.size_bytes:
                self._look_at_segment(host, segment, min(point, int(segment.next_offset)))

    def _look_at_segment(self, host: str, segment: Segment, point: int) -> None:
        disk, key = self._disks[host], (host, segment.path)
        if disk.has_flipped(segment.path):
            return
        durable, end = disk.durable(segment.path), -1
        if durable is not None:
            walked = self._walked.get(key)
            if walked is None or walked.data is not durable:
                walked = _Walked(durable, 0, 0)
            self._walked[key] = walked = _walk(walked)
            end = walked.end_offset
        require(end >= point, NUMBER, f"{host}: {segment.path} is synced to {end}, not to {point}")

    def look_at_journal(self, host: str, quorum: Quorum) -> None:
        """Take a member of the quorum after a turn."""
        journal = quorum._journal
        log = journal._log
        if not journal.is_durable or log._file is None:
            return
        seen = (quorum, journal._synced, log._number)
        if self._journals.get(host) == seen:
            return
        self._journals[host] = seen
        disk, path = self._disks[host], log._path(log._number)
        durable, written = disk.durable(path), log._file.size_bytes()
        size = 0 if durable is None else len(durable)  # of an empty file the name, too, may go
        require(
            size >= written, NUMBER, f"{host}: of {path} {size} bytes are synced, not {written}"
        )


def _walk(walked: _Walked) -> _Walked:
    """Go on to the end of the last whole batch of a segment."""
    data, position, end = walked
    while position + HEADER_BYTES <= len(data):
        header = read_header(data, position)
        if position + header.size_bytes > len(data):
            break
        position += header.size_bytes
        end = int(header.next_offset)
    return _Walked(data, position, end)
