"""A log's copy in another folder: filled in steps while the log is used, then put in its place.

Every step but the last is for the disk pool: one piece is read, checked and written at a time, and
synced before the next.  What a step is to do is decided on the log's own thread, where the log may
have been cut since, or begin later.  Only appends may change it otherwise: it must not be cleaned
meanwhile, or the copy would have records of which the log has let the tombstones go.

Source: KIP-113; Apache Kafka, ReplicaAlterLogDirsThread.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from functools import partial
from itertools import islice
from typing import NamedTuple

from nodes.storage.disk import Damaged, Disk, StorageError
from nodes.storage.partition_log import PartitionLog
from nodes.storage.segment import Batch, Segment
from transport.wire.batch import RecordError, check_batches, iterate_headers, read_header
from transport.wire.ids import Offset

BATCHES_A_STEP = 500
"""A few milliseconds, in which the loop has half of the interpreter at most."""
REST_PIECES = 8
"""An eighth of a piece may be left for the last step, which nothing may come in between: of the
smallest batches, a few milliseconds on the loop."""

_UNCUT = Offset(1 << 62)

Step = Callable[[], None]


class SourceFailed(Exception):
    """The log that is copied cannot be read: its own error is the cause."""

    def __init__(self, error: StorageError) -> None:
        super().__init__(str(error))
        self.error = error


class _Piece(NamedTuple):
    """Batches that stand together in a segment of the log, as it was when the step was decided."""

    path: str
    position: int
    end: int
    end_offset: Offset


class LogCopy:
    """Of one log. A piece is of ``piece_bytes`` at most, unless one batch is larger.

    ``next_step`` and ``finish`` on the log's thread, and not beside a step; ``cut`` at any time.
    """

    def __init__(
        self, disk: Disk, source: PartitionLog, folder: str, *, piece_bytes: int = 1024 * 1024
    ) -> None:
        self._disk = disk
        self._source = source
        self._folder = folder
        self._piece_bytes = piece_bytes
        self._log: PartitionLog | None = None
        self._segment: Segment | None = None
        """Of the source: where the next piece is, if nothing has changed."""
        self._position = 0
        self._cut_to = _UNCUT
        self._is_void = False
        """What it has is of a log that was forgotten."""
        self._cleaned_to = source.cleaned_to
        self.size_bytes = 0
        """At the end of the last step."""
        self.end_offset = Offset(0)
        """What is before was copied."""

    # On the log's thread

    def cut(self) -> None:
        """The log was cut, to where it ends now, or forgotten as a whole."""
        source = self._source
        self._is_void |= source.log_end_offset == source.log_start_offset
        self._cut_to = min(self._cut_to, source.log_end_offset)
        self._cleaned_to = min(self._cleaned_to, source.log_end_offset)
        self._segment = None

    @property
    def is_close(self) -> bool:
        """Little enough is left for ``finish``."""
        source = self._source
        if not source.segment_count:
            return self._log is None
        if self._must_begin() or self._cut_to < self.end_offset:
            return False
        index, position = self._place()
        left_bytes = sum(segment.size_bytes for segment in source.segments[index:]) - position
        return left_bytes * REST_PIECES <= self._piece_bytes

    @property
    def is_durable(self) -> bool:
        """All that is durable in the log is in the copy."""
        return self._log is None or self._log.recovery_point >= self._source.recovery_point

    def next_step(self, now_ms: int) -> Step | None:
        """Return what to do next in the pool; None: nothing is left.  Wall time.

        A step raises SourceFailed, or StorageError of its own folder.
        """
        if not self._source.segment_count:
            return None if self._log is None else self.discard
        if self._must_begin():
            self._segment, self._cut_to, self._is_void = None, _UNCUT, False
            self._cleaned_to = self._source.cleaned_to
            return partial(self._begin, self._first_base())
        if self._cut_to < self.end_offset:
            cut_to, self._cut_to = self._cut_to, _UNCUT
            self._segment = None
            return partial(self._cut, cut_to)
        self._cut_to = _UNCUT
        piece = self._next_piece()
        return None if piece is None else partial(self._copy, piece, now_ms)

    def is_there(self) -> bool:
        """Tell whether the segment that the last step has read is in the log still."""
        return self._segment is not None and self._segment in self._source.segments

    def finish(self, folder: str, now_ms: int) -> PartitionLog:
        """Copy the rest and give the copy its name; return the log that takes the other's place.

        Of what it has nothing is taken for durable that was not in the other log; its name is once
        it is synced the next time.  Raises as a step.
        """
        source = self._source
        while (piece := self._next_piece()) is not None:
            self._write(piece, now_ms)
        log = self._log
        if log is None:
            log = PartitionLog.begin(self._disk, folder, source.settings, source.topic_id)
            log.reset_to(source.log_start_offset)
        assert log.log_end_offset == source.log_end_offset, "they are alike"
        log.settings = source.settings
        log.start_at(source.log_start_offset)
        log.cleaned_to = min(self._cleaned_to, log.log_end_offset)
        log.recovery_point = source.recovery_point
        log.relocate(folder)
        return log

    def _must_begin(self) -> bool:
        return self._log is None or self._is_void or self._first_base() > self.end_offset

    def _first_base(self) -> Offset:
        """Return the base of the segment in which the log begins."""
        source = self._source
        return source.segments[self._index_of(source.log_start_offset)].base_offset

    def _index_of(self, offset: Offset) -> int:
        found = bisect_right(self._source.segments, offset, key=lambda one: one.base_offset)
        return max(0, found - 1)

    def _place(self) -> tuple[int, int]:
        """Return which segment has what follows in the copy, and where; at the end, the last one."""
        segments, index = self._source.segments, self._index_of(self.end_offset)
        segment = segments[index]
        if segment is not self._segment:
            try:
                begins = self.end_offset <= segment.base_offset
                self._position = 0 if begins else segment.position_of(self.end_offset)
            except StorageError as error:
                raise SourceFailed(error) from error
        if self._position >= segment.size_bytes and segment is not segments[-1]:
            index, self._position = index + 1, 0
        self._segment = segments[index]
        return index, self._position

    def _next_piece(self) -> _Piece | None:
        if not self._source.segment_count:
            return None
        index, position = self._place()
        segment = self._source.segments[index]
        if position >= segment.size_bytes:
            return None
        return _Piece(segment.path, position, segment.size_bytes, segment.next_offset)

    # In the pool

    def discard(self) -> None:
        """Remove the copy; again does nothing."""
        if self._log is not None:
            self._log.close()
            self._log = None
        self._disk.remove(self._folder)
        self.size_bytes, self.end_offset = 0, Offset(0)

    def _begin(self, base: Offset) -> None:
        self.discard()
        self._disk.make_folder(self._folder)
        source = self._source
        self._log = PartitionLog.open(
            self._disk,
            self._folder,
            source.settings,
            recovery_point=base,
            clean=True,
            topic_id=source.topic_id,
        )
        self._log.reset_to(base)
        self._settle()

    def _cut(self, offset: Offset) -> None:
        assert self._log is not None, "it was begun"
        self._log.truncate_to(offset)
        self._settle()

    def _copy(self, piece: _Piece, now_ms: int) -> None:
        self._write(piece, now_ms)
        self._settle()

    def _settle(self) -> None:
        assert self._log is not None, "it was begun"
        self._log.sync()
        self._log.release()
        self.size_bytes, self.end_offset = self._log.size_bytes, self._log.log_end_offset

    def _write(self, piece: _Piece, now_ms: int) -> None:
        assert self._log is not None, "it was begun"
        try:
            batches = self._read(piece)
        except StorageError as error:
            raise SourceFailed(error) from error
        self._log.append_all(batches, now_ms)
        self._position = piece.position + sum(header.size_bytes for _, header in batches)
        self.end_offset = self._log.log_end_offset

    def _read(self, piece: _Piece) -> list[Batch]:
        """Return whole batches from where the piece begins on; Damaged where one is not sound."""
        assert self._log is not None, "it was begun"
        file = self._disk.open(piece.path, create=False)
        try:
            left_bytes = piece.end - piece.position
            data = memoryview(file.read(piece.position, min(self._piece_bytes, left_bytes)))
            first_bytes = read_header(data).size_bytes
            if len(data) < first_bytes <= left_bytes:
                data = memoryview(file.read(piece.position, first_bytes))
            whole = islice(iterate_headers(data), BATCHES_A_STEP)
            whole_bytes = sum(header.size_bytes for _, header in whole)
            found = check_batches(data[:whole_bytes] or data)
        except RecordError as error:
            raise Damaged(f"{piece.path} at position {piece.position}: {error.text}") from None
        finally:
            file.close()
        # No CRC covers the offset, nor the leader epoch.
        first, last = found[0][1], found[-1][1]
        fits = self.end_offset <= first.base_offset and last.next_offset <= piece.end_offset
        if not fits or first.leader_epoch < self._log.last_epoch:
            raise Damaged(
                f"{piece.path} at position {piece.position}: offset {first.base_offset} of leader"
                f" epoch {first.leader_epoch} follows offset {self.end_offset - 1}"
            )
        return [
            ((data[position : position + header.size_bytes],), header) for position, header in found
        ]
