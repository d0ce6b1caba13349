"""A cleaned segment takes the place of those that it was made of, without a moment that a crash spoils.

Three steps, one group at a time: the pool *offers* the segment, which is whole and synced, and from
then on a start after a crash finishes what follows; the log's thread lets it *take over* in the row;
the pool *settles* that, and only then are the replaced ones' files removed, by whoever cleans.  A cut
in between ends it, and whoever cleans must begin anew.

Owns which segment is on its way.  Knows nothing of keys, nor of what the segment has kept.
Source: Apache Kafka, LogCleaner and its ``.swap`` files.
"""

from __future__ import annotations

from contextlib import suppress

from nodes.storage.cleaning import Group
from nodes.storage.disk import DiskFull
from nodes.storage.log_files import SWAP_SUFFIX
from nodes.storage.log_folder import LogFolder
from nodes.storage.log_notes import LogNotes
from nodes.storage.segment import Segment
from nodes.storage.segment_row import SegmentRow


class SegmentSwap:
    """Of one log. Raises StorageError as the disk does."""

    __slots__ = ("_folder", "_notes", "_offered", "_row")

    def __init__(self, folder: LogFolder, row: SegmentRow, notes: LogNotes) -> None:
        self._folder = folder
        self._row = row
        self._notes = notes
        self._offered: Segment | None = None

    @property
    def is_under_way(self) -> bool:
        """One is offered and not settled: the row and the folder may differ."""
        return self._offered is not None

    def offer(self, group: Group, generation: int) -> bool:
        """Let a cleaned segment wait to take its place, durably; in the pool.

        False: the log has been cut since that ``generation``, or has let some of it go.
        """
        row = self._row
        with row.lock:
            known = row.has(group.replaced)
            if row.is_closed or row.generation != generation or not known:
                return False
            if group.gone_markers and self._notes.forget_snapshots():
                # They know of transactions whose markers are about to go.
                self._folder.sync_names()
            group.cleaned.rename(SWAP_SUFFIX)
            self._offered = group.cleaned
        # From here on a start finishes what a crash interrupts.
        self._folder.sync_names()
        return True

    def take_over(self, group: Group, generation: int) -> list[str] | None:
        """Put an offered segment in its place; return the replaced ones' files, renamed.

        None: the log was cut meanwhile, and the offer with it.
        """
        with self._row.lock:
            if self._row.generation != generation:
                return None
            return self._row.replace(group)

    def settle(self, group: Group) -> None:
        """Make durable that the segment is in its place; in the pool."""
        self._folder.sync_names()
        with self._row.lock:
            if group.cleaned in self._row.all:
                with suppress(DiskFull):  # A start makes them anew where there are none.
                    group.cleaned.indexes.write(durable=True)
            self._offered = None

    def end(self) -> None:
        """The log is cut, under the row's lock: what has not taken over yet never will."""
        offered, self._offered = self._offered, None
        if offered is not None and offered not in self._row.all:
            offered.discard()
            # A loss of power would bring it back, and the next start put it in the place of what is there
            # by then.
            self._folder.sync_names()
