"""The segments of one log, in a row: by their base offsets, each ending where the next begins.

Owns which segments there are, and what is needed to look at that from two threads: the lock and the
generation.  The log's thread alone changes the row, and holds the lock where it takes segments or
batches away; the pool syncs and cleans beside it, and asks under the lock whether what it has begun
with is there still.  Knows nothing of epochs, or of where the log begins.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Iterator, Sequence

from nodes.storage.cleaning import Group
from nodes.storage.disk import StorageError
from nodes.storage.segment import Segment
from transport.wire.ids import Offset


class SegmentRow:
    """See the module."""

    __slots__ = ("_bases", "all", "generation", "is_closed", "lock")

    def __init__(self, segments: list[Segment]) -> None:
        self.all = segments
        """To be changed here only."""
        self._bases = [segment.base_offset for segment in segments]
        self.lock = threading.Lock()
        """Held by a sync as it ends, and by whatever takes away what it has synced."""
        self.generation = 0
        """Grows with every cut: a sync that began before one must not report what it synced."""
        self.is_closed = False

    def __len__(self) -> int:
        return len(self.all)

    # Finding

    def from_offset(self, offset: Offset) -> Iterator[Segment]:
        """Give the segment that holds an offset, or would, and those after it."""
        yield from self.all[self.index_of(offset) :]

    def index_of(self, offset: Offset) -> int:
        """Return which segment holds an offset, or would."""
        return max(0, bisect_right(self._bases, offset) - 1)

    def has(self, bases: Sequence[Offset]) -> bool:
        """Tell whether segments with all these bases are there."""
        return set(self._bases).issuperset(bases)

    # Changing; but for ``add``, under the lock

    def add(self, segment: Segment) -> None:
        """Put one at the end."""
        self.all.append(segment)
        self._bases.append(segment.base_offset)

    def remove_from(self, first: int) -> bool:
        """Remove segments, the newest first; tell whether there were any."""
        if first >= len(self.all):
            return False
        while len(self.all) > first:
            self._bases.pop()
            self.all.pop().remove()
        return True

    def set_aside_before(self, start: Offset) -> list[str]:
        """Take out what lies wholly before an offset, but never the last; return the files."""
        # The oldest first: whatever of it a crash keeps, what is left has no hole.
        aside: list[str] = []
        while len(self.all) > 1 and self._bases[1] <= start:
            try:
                aside += self.all[0].set_aside()
            except StorageError:
                if not aside:
                    raise
                break  # What is aside must be removed; the rest is for the next time.
            del self.all[0]
            del self._bases[0]
        return aside

    def replace(self, group: Group) -> list[str]:
        """Put a cleaned segment in the place of others; return their files."""
        first = self._bases.index(group.replaced[0])
        place = slice(first, first + len(group.replaced))
        aside = [path for segment in self.all[place] for path in segment.set_aside()]
        group.cleaned.rename("")
        self.all[place] = [group.cleaned]
        self._bases[place] = [group.cleaned.base_offset]
        return aside

    # Syncing

    def sync(self) -> None:
        """Make durable what is written by now. In any thread, one at a time, without the lock."""
        with self.lock:
            generation = self.generation
            dirty = [segment for segment in self.all if segment.is_dirty]
            files = [segment.open_for_sync() for segment in dirty]
        for segment, file in zip(dirty, files, strict=True):
            try:
                synced_bytes = segment.sync(file)
            except StorageError:
                with self.lock:  # Whoever closes it takes it out before anybody else looks.
                    if segment in self.all:
                        raise
                continue  # One that was cut off or let go meanwhile is closed: no fault.
            with self.lock:
                # What was cut, and written anew since, is not known to be on the disk.
                if self.generation == generation:
                    segment.synced_bytes = synced_bytes

    def write_full_indexes(self) -> None:
        """Make the indexes durable of those that are not written to any more; under the lock."""
        for segment in self.all[:-1]:
            if segment.indexes.is_sealed:
                segment.indexes.write(durable=True)
