"""Opening a partition's folder: which segments there are, where the log ends, its leader epochs.

After a clean stop sizes and indexes are trusted, and only what follows the last index entry is
read.  Otherwise every segment that reaches past the recovery point is scanned (``recovery``):
a torn tail is cut, and what stands in later segments goes with it, since nothing of them had been
synced; their bytes were written after the ones that are missing.
"""

from __future__ import annotations

from itertools import pairwise, zip_longest
from typing import NamedTuple

from nodes.storage.disk import Damaged, Disk, StorageError
from nodes.storage.log_files import (
    CLEANED_SUFFIX,
    DELETED_SUFFIX,
    EPOCHS_NAME,
    METADATA_NAME,
    EpochEntry,
    base_offsets,
    decode_epochs,
    decode_metadata,
    snapshot_name,
    snapshot_offsets,
)
from nodes.storage.recovery import finish_swaps, scan_segment
from nodes.storage.segment import NO_LEADER_EPOCH, Segment
from transport.wire.ids import LeaderEpoch, Offset, TopicId


class InconsistentTopicId(StorageError):
    """The folder holds records of another topic: one of the same name, deleted since.

    ``found`` is its id, or None when a power loss has taken it (nothing there was synced then).
    """

    def __init__(self, folder: str, found: TopicId | None) -> None:
        text = found.hex() if found else "unknown"
        super().__init__(f"{folder} belongs to another topic (id {text})")
        self.found = found


class Opened(NamedTuple):
    """A partition's folder as it was found, and mended."""

    segments: list[Segment]
    epochs: list[EpochEntry]
    has_folder: bool
    has_metadata: bool
    topic_id: TopicId | None
    cut_bytes: int = 0
    snapshots: tuple[Offset, ...] = ()
    """Of the producers: those of no more than what is trusted."""

    @property
    def start_offset(self) -> Offset:
        """The base of the first segment."""
        return self.segments[0].base_offset if self.segments else Offset(0)

    @property
    def end_offset(self) -> Offset:
        """The end of the last segment."""
        return self.segments[-1].next_offset if self.segments else Offset(0)


def open_segments(
    disk: Disk,
    folder: str,
    index_interval_bytes: int,
    *,
    recovery_point: Offset,
    clean: bool,
    topic_id: TopicId | None,
    indexes_sum: int | None = None,
) -> Opened:
    """Open what is in ``folder``; raises as ``PartitionLog.open``."""
    names = disk.list(folder)
    if not names:
        return Opened([], [], disk.exists(folder), False, topic_id)
    finish_swaps(disk, folder, names)
    names = disk.list(folder)
    bases = base_offsets(names)
    found = decode_metadata(disk.read_file(f"{folder}/{METADATA_NAME}"))
    if bases and topic_id is not None and found != topic_id:
        raise InconsistentTopicId(folder, found)
    if found != topic_id and topic_id is not None:
        found = None
    topic_id = topic_id or found
    if not bases:
        _snapshots(disk, folder, names, Offset(-1))
        return Opened([], [], True, found is not None, topic_id)
    for name in names:
        if name.endswith((".tmp", DELETED_SUFFIX, CLEANED_SUFFIX)):
            disk.remove(f"{folder}/{name}")
    segments = [Segment(disk, folder, base, index_interval_bytes) for base in bases]
    if clean and indexes_sum not in (None, segments[-1].indexes.checksum()):
        # Closed, but not synced: what a power loss has left of them can be of any moment before.
        segments[-1].indexes.remove_files()
    try:
        epochs, cut_bytes = _mend(disk, folder, segments, recovery_point, clean=clean)
    finally:
        for segment in segments:
            segment.close()
    end = segments[-1].next_offset
    snapshots = _snapshots(disk, folder, names, end if clean else min(end, recovery_point))
    return Opened(segments, epochs, True, found is not None, topic_id, cut_bytes, snapshots)


def _snapshots(disk: Disk, folder: str, names: list[str], trusted: Offset) -> tuple[Offset, ...]:
    """Return the offsets of the snapshots of the producers; remove those of what may be no more."""
    found = snapshot_offsets(names)
    for offset in found:
        if offset > trusted:
            disk.remove(f"{folder}/{snapshot_name(offset)}")
    return tuple(offset for offset in found if offset <= trusted)


def _mend(
    disk: Disk, folder: str, segments: list[Segment], recovery_point: Offset, *, clean: bool
) -> tuple[list[EpochEntry], int]:
    """Load or recover the segments; return their leader epochs and the bytes that were cut."""
    checkpoint = decode_epochs(disk.read_file(f"{folder}/{EPOCHS_NAME}"))
    if clean:
        cut_bytes = _trust(segments, recovery_point)
        fits = checkpoint is not None and _ends_like(checkpoint, segments)
        epochs = checkpoint if checkpoint and fits else _epochs_of(segments)
    else:
        before = len(segments)
        cut_bytes = _recover(segments, recovery_point)
        if len(segments) < before:
            disk.sync_folder(folder)
        epochs = _epochs_of(segments)
        if checkpoint != epochs:
            disk.remove(f"{folder}/{EPOCHS_NAME}")
    for segment in segments:
        # The last one may have been cut just before: its length is not known to be durable.
        known = segment is not segments[-1] and segment.next_offset <= recovery_point
        segment.synced_bytes = segment.size_bytes if known else -1
    return epochs, cut_bytes


def _trust(segments: list[Segment], recovery_point: Offset) -> int:
    """Take the segments over as they lie there; return the bytes cut from the last all the same."""
    for segment, following in pairwise(segments):
        if following.base_offset < recovery_point:
            segment.adopt_size(following.base_offset)
        else:
            # No sync has completed its indexes: a process that was killed has left them as noted.
            segment.adopt_noted(following.base_offset)
    last = segments[-1]
    try:
        whole = last.load_tail()
    except Damaged:
        whole = False
    return 0 if whole else scan_segment(last, recovery_point).cut_bytes


def _recover(segments: list[Segment], recovery_point: Offset) -> int:
    """Scan what reaches past the recovery point; drop what cannot follow. Return the bytes cut."""
    last_epoch = NO_LEADER_EPOCH
    for number, segment in enumerate(segments):
        following = segments[number + 1].base_offset if segment is not segments[-1] else None
        # Only a sync that reached the next segment has made this one's indexes durable too.
        if following is not None and following < recovery_point:
            segment.adopt_size(following)
            continue
        scanned = scan_segment(segment, recovery_point)
        if segment.size_bytes and segment.first_epoch() < last_epoch:
            # Removed by a cut, and brought back by a power loss: the log has gone on without it.
            return scanned.cut_bytes + _drop(segments, number)
        last_epoch = max(last_epoch, segment.last_epoch)
        if following is None:
            return scanned.cut_bytes
        segment.seal()
        if scanned.whole_but_wrong:
            raise Damaged(
                f"{segment.path} is damaged at position {segment.size_bytes} (its last batch fails"
                f" its CRC), and a segment at offset {following} follows"
            )
        if segment.next_offset != following:
            return scanned.cut_bytes + _drop(segments, number + 1)
    return 0


def _drop(segments: list[Segment], first: int) -> int:
    """Remove the segments from ``first`` on, the newest first; return their size."""
    size_bytes = 0
    while len(segments) > first:
        segment = segments.pop()
        size_bytes += segment.file().size_bytes()
        segment.remove()
    return size_bytes


def _ends_like(epochs: list[EpochEntry], segments: list[Segment]) -> bool:
    """Tell whether the checkpoint may be of this log: its last epoch is the last batch's."""
    filled = [segment for segment in segments if segment.size_bytes]
    if not filled or not epochs:
        return not filled and not epochs
    last = filled[-1]
    if last is not segments[-1]:
        return False
    return epochs[-1][0] == last.last_epoch and epochs[-1][1] < last.next_offset


def _epochs_of(segments: list[Segment]) -> list[EpochEntry]:
    """Return the leader epochs of the batches and where each begins.

    Epochs only grow, so a segment that begins with the epoch the next one begins with has one only:
    mostly one header per segment is read.
    """
    filled = [segment for segment in segments if segment.size_bytes]
    if not filled:
        return []
    firsts = [segment.first_epoch() for segment in filled]
    for segment, (before, first) in zip(filled[1:], pairwise(firsts), strict=True):
        if first < before:
            raise Damaged(f"{segment.path} begins with leader epoch {first}, after {before}")
    lasts = firsts[1:]
    if filled[-1].last_epoch > NO_LEADER_EPOCH:
        lasts.append(filled[-1].last_epoch)
    epochs: list[EpochEntry] = []
    last = NO_LEADER_EPOCH
    for segment, ends_with in zip_longest(filled, lasts):
        for _, header in segment.headers(0):
            if header.leader_epoch > last:
                last = LeaderEpoch(header.leader_epoch)
                epochs.append((last, header.base_offset))
            if last == ends_with:
                break
    return epochs
