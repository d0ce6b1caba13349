"""Compaction of a log: of each key only the newest record stays, offsets and order as they were.

One pass, in steps: it reads the headers of all that is to be cleaned (which transactions were
aborted?), maps the keys of the dirty part to their newest offsets, and writes the segments anew,
several small ones into one.  It runs in the disk pool and touches no segment of the log; the log
takes over what it has written (``segment_swap``), group by group.

What goes: records that a later one with the same key supersedes, records of aborted transactions,
records without a key; tombstones and markers once their delete horizon has passed.  What stays
as a bare header: the last batch of each segment, so that it says where it ends; the first of each
leader epoch, so that epochs can be read off batch headers alone; the last of each producer, so
that its sequence can.

Source: Apache Kafka, LogCleaner; KIP-98 (transactions), KIP-534 (delete horizon).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

from nodes.storage.disk import Damaged, Disk, File
from nodes.storage.key_map import KeyMap
from nodes.storage.segment import NO_LEADER_EPOCH, Segment, walk_headers
from transport.wire.batch import BatchHeader, RecordError, check_batches
from transport.wire.batch_filter import RECORDS_OPENED_MAX, RawRecord, filtered, raw_records
from transport.wire.control import Marker, read_marker
from transport.wire.ids import Offset, ProducerId
from transport.wire.messages.fetch import AbortedTransaction
from transport.wire.varint import INT64_MAX

RECORDS_A_STEP = 500
"""About a millisecond or two."""
_HEADER_COST = 5
"""Of a batch whose records are not looked at, in records."""


class Source(NamedTuple):
    """A segment to be cleaned, as it was when the pass began."""

    path: str
    base_offset: Offset
    next_offset: Offset
    size_bytes: int


class CleaningPlan(NamedTuple):
    """What a pass is given. Times are wall milliseconds."""

    folder: str
    sources: tuple[Source, ...]
    dirty_from: Offset
    """What is before was cleaned by earlier passes."""
    log_start_offset: Offset
    segment_bytes: int
    index_interval_bytes: int
    keys_max: int
    now_ms: int
    delete_retention_ms: int
    lasts: frozenset[Offset]
    """Last offset of the newest batch, or marker, of each producer."""
    aborted_behind: tuple[AbortedTransaction, ...] = ()
    """Transactions of these segments whose markers stand behind them, and abort them: all others are
    committed, since everything here is stable."""

    @property
    def horizon_ms(self) -> int:
        """From then on tombstones may go that are met now; it stands in 64 bits, however long they stay."""
        return min(self.now_ms + self.delete_retention_ms, INT64_MAX)


class Group(NamedTuple):
    """A cleaned segment, whole and synced, and the base offsets of those whose place it takes."""

    cleaned: Segment
    replaced: tuple[Offset, ...]
    gone_markers: tuple[Offset, ...]
    """Of aborted transactions: nobody may be told of those any more."""


class Cleaning:
    """One pass over one log. ``steps`` gives None after each step, a Group where one is ready."""

    def __init__(self, disk: Disk, plan: CleaningPlan) -> None:
        self._disk = disk
        self._plan = plan
        self._keys = KeyMap(plan.dirty_from, plan.keys_max)
        self._aborted: dict[ProducerId, list[tuple[Offset, Offset]]] = {}
        self._with_data: set[ProducerId] = set()
        self._last_epoch = NO_LEADER_EPOCH
        self._cost = 0
        self._gone_markers: list[Offset] = []
        self._has_changed = False
        """The segment that is being written differs from what it was made of."""
        self._writing: Segment | None = None

    @property
    def cleaned_to(self) -> Offset:
        """Once all steps are done: everything before is clean."""
        return self._keys.end_offset

    def steps(self) -> Iterator[Group | None]:
        """Work; raises StorageError (Damaged for a batch that fails its CRC, or cannot stand where it does)."""
        yield from self._find_aborted()
        yield from self._map_keys()
        for sources in self._groups():
            cleaned = Segment(
                self._disk,
                self._plan.folder,
                sources[0].base_offset,
                self._plan.index_interval_bytes,
            )
            self._writing = cleaned
            cleaned.create_cleaned()
            yield from self._write(cleaned, sources)
            if len(sources) == 1 and not self._has_changed:
                self.give_up()
                continue
            cleaned.seal()
            cleaned.synced_bytes = cleaned.sync(cleaned.file())
            self._writing = None
            markers, self._gone_markers = tuple(self._gone_markers), []
            yield Group(cleaned, tuple(source.base_offset for source in sources), markers)

    def give_up(self) -> None:
        """Remove what is half written."""
        if self._writing is not None:
            self._writing.close()
            self._disk.remove(self._writing.path)
            self._writing = None

    def _batches(self, source: Source) -> Iterator[tuple[File, int, BatchHeader]]:
        file = self._disk.open(source.path, create=False)
        try:
            following = source.base_offset
            for position, header in walk_headers(file, 0, source.size_bytes):
                # No CRC covers the offset.
                if not following <= header.base_offset < header.next_offset <= source.next_offset:
                    text = f"offset {header.base_offset} is not between {following} and the end"
                    raise Damaged(f"{source.path} at position {position}: {text}")
                following = header.next_offset
                yield file, position, header
        finally:
            file.close()

    def _is_time(self, cost: int) -> bool:
        """Add what was done, and tell whether that is a step."""
        self._cost += cost
        if self._cost < RECORDS_A_STEP:
            return False
        self._cost = 0
        return True

    # Transactions

    def _find_aborted(self) -> Iterator[None]:
        begun: dict[ProducerId, Offset] = {}
        for source in self._plan.sources:
            for file, position, header in self._batches(source):
                producer = header.producer_id
                if header.is_control:
                    marker = _marker_in(file, position, header)
                    first = begun.pop(producer, None)
                    if first is not None and marker is not None and not marker.committed:
                        self._note_aborted(producer, first, header.base_offset)
                elif header.is_transactional:
                    begun.setdefault(producer, header.base_offset)
                if self._is_time(1):
                    yield None
        for known in self._plan.aborted_behind:
            end = self._plan.sources[-1].next_offset
            self._note_aborted(known.producer_id, known.first_offset, end)

    def _note_aborted(self, producer: ProducerId, first: Offset, end: Offset) -> None:
        self._aborted.setdefault(producer, []).append((first, end))

    def _is_aborted(self, header: BatchHeader) -> bool:
        spans = self._aborted.get(header.producer_id, ())
        return header.is_transactional and any(
            first <= header.base_offset < end for first, end in spans
        )

    # Keys

    def _map_keys(self) -> Iterator[None]:
        for source in self._plan.sources:
            if source.next_offset <= self._plan.dirty_from:
                continue
            for file, position, header in self._batches(source):
                if header.next_offset <= self._plan.dirty_from:
                    continue
                if self._keys.is_full:
                    return
                if not (header.is_control or self._is_aborted(header)):
                    for record in self._records(file, position, header):
                        if record.key is not None:
                            self._keys.add(record.key, record.offset)
                        if self._is_time(1):
                            yield None
                self._keys.end_offset = header.next_offset
                if self._is_time(_HEADER_COST):
                    yield None

    def _records(self, file: File, position: int, header: BatchHeader) -> Iterator[RawRecord]:
        """Give the records of a batch; none of one that cannot be opened, or has too many."""
        batch = file.read(position, header.size_bytes)
        _check_undamaged(batch, file, position)
        if header.record_count <= RECORDS_OPENED_MAX:
            with suppress(RecordError):
                yield from raw_records(batch, check_crc=False)

    # Writing

    def _groups(self) -> Iterator[list[Source]]:
        """Give neighbours that fit one segment together, as far as the keys are known."""
        group: list[Source] = []
        for source in self._plan.sources:
            if source.base_offset >= self._keys.end_offset:
                break
            size_bytes = sum(one.size_bytes for one in (*group, source))
            span = source.next_offset - (group or [source])[0].base_offset
            if group and (size_bytes > self._plan.segment_bytes or span > 0x7FFFFFFF):
                yield group
                group = []
            group.append(source)
        if group:
            yield group

    def _write(self, cleaned: Segment, sources: Sequence[Source]) -> Iterator[None]:
        end = sources[-1].next_offset
        self._has_changed = False
        for source in sources:
            for file, position, header in self._batches(source):
                batch = file.read(position, header.size_bytes)
                kept, horizon_ms = self._kept(batch, header, file, position)
                if kept is None:
                    cleaned.append([((batch,), header)])
                elif kept or self._stays_bare(header, end):
                    # A marker means something only as a whole.
                    bare = header.is_control and not kept
                    whole, now = (batch, header) if bare else filtered(header, kept, horizon_ms)
                    cleaned.append([((whole,), now)])
                    # The size would not tell: a horizon can take the bytes of what has gone.
                    self._has_changed |= whole != batch
                else:
                    self._has_changed = True
                    if header.is_control:
                        self._gone_markers.append(header.base_offset)
                self._last_epoch = header.leader_epoch
                if self._is_time(_HEADER_COST + header.record_count):
                    yield None

    def _stays_bare(self, header: BatchHeader, end: Offset) -> bool:
        return (
            header.next_offset == end
            or header.leader_epoch != self._last_epoch
            or header.last_offset in self._plan.lasts
        )

    def _kept(
        self, batch: bytes, header: BatchHeader, file: File, position: int
    ) -> tuple[list[RawRecord] | None, int | None]:
        """Return the records to keep (None: all, as they are) and the horizon to set, if any."""
        if header.is_control:
            return self._kept_marker(batch, header)
        if self._is_aborted(header):
            return [], None
        kept, horizon_ms = self._kept_records(batch, header, file, position)
        if header.is_transactional and (kept is None or kept):
            self._with_data.add(header.producer_id)
        return kept, horizon_ms

    def _kept_records(
        self, batch: bytes, header: BatchHeader, file: File, position: int
    ) -> tuple[list[RawRecord] | None, int | None]:
        if header.base_offset >= self._keys.end_offset:
            return None, None
        _check_undamaged(batch, file, position)
        if not header.record_count:
            return [], None  # A header of an earlier pass: stays as long as it is wanted.
        if header.record_count > RECORDS_OPENED_MAX:
            return None, None
        try:
            records = list(raw_records(batch, check_crc=False))
        except RecordError:
            return None, None
        kept = [record for record in records if self._stays(record, header)]
        horizon_ms = None
        if header.delete_horizon_ms is None and any(record.is_tombstone for record in kept):
            horizon_ms = self._plan.horizon_ms
        if len(kept) == len(records) and horizon_ms is None:
            return None, None
        return kept, horizon_ms

    def _stays(self, record: RawRecord, header: BatchHeader) -> bool:
        if record.key is None or self._keys.supersedes(record.key, record.offset):
            return False
        horizon_ms = header.delete_horizon_ms
        return not (record.is_tombstone and horizon_ms is not None and self._has_passed(horizon_ms))

    def _has_passed(self, horizon_ms: int) -> bool:
        return horizon_ms <= self._plan.now_ms

    def _kept_marker(
        self, batch: bytes, header: BatchHeader
    ) -> tuple[list[RawRecord] | None, int | None]:
        """A marker stays while its transaction has records, and then until its horizon."""
        has_data = header.producer_id in self._with_data
        self._with_data.discard(header.producer_id)
        horizon_ms = header.delete_horizon_ms
        if has_data or header.last_offset in self._plan.lasts or not header.record_count:
            return None, None
        if horizon_ms is None:
            try:
                records = list(raw_records(batch))
            except RecordError:
                return None, None
            return records, self._plan.horizon_ms
        return ([] if self._has_passed(horizon_ms) else None), None


def _check_undamaged(batch: bytes, file: File, position: int) -> None:
    """Raise Damaged where a batch is no more what it was when it was written.

    What a producer has written that nobody can open is its fault, and not the disk's.
    """
    try:
        check_batches(batch)
    except RecordError as error:
        raise Damaged(f"{file.path} at position {position}: {error.text}") from None


def _marker_in(file: File, position: int, header: BatchHeader) -> Marker | None:
    """Read the marker that a control batch is; None: it is another kind, or a bare header."""
    if not header.record_count:
        return None
    batch = file.read(position, header.size_bytes)
    try:
        check_batches(batch)
        return read_marker(batch)
    except RecordError as error:
        raise Damaged(f"{file.path} at position {position}: {error.text}") from None
