"""A partition's log: appending, reading, cutting, rolling, finding by epoch and by time."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest

from nodes.storage.disk import DiskFull, File, RealDisk, StorageError
from nodes.storage.log_opening import InconsistentTopicId
from nodes.storage.log_reading import Extent
from nodes.storage.log_settings import LogSettings
from nodes.storage.partition_log import OffsetOutOfRange, PartitionLog
from nodes.storage.segment import Batch, Segment
from nodes.storage.segment_indexes import SegmentIndexes
from transport.wire.ids import LeaderEpoch, Offset, TopicId
from transport.wire.records import (
    BatchBuilder,
    BatchHeader,
    iterate_headers,
    read_header,
    stamp,
)

FOLDER = "logs/topic-0"
SMALL = LogSettings(segment_bytes=3000, index_interval_bytes=200)
TOPIC = TopicId(bytes(range(16)))


class Made(NamedTuple):
    data: bytes
    header: BatchHeader


OPEN: list[PartitionLog] = []
"""Logs opened by a test, to be closed: a process has few descriptors."""
OPEN_MAX = 20


@pytest.fixture(autouse=True)
def _closed_logs() -> Iterator[None]:
    yield
    while OPEN:
        OPEN.pop().close()


def keep_open(log: PartitionLog) -> PartitionLog:
    OPEN.append(log)
    if len(OPEN) > OPEN_MAX:
        OPEN.pop(0).close()
    return log


def batch_at(
    offset: int, count: int = 1, *, epoch: int = 0, timestamp_ms: int = 1, size: int = 30
) -> Made:
    builder = BatchBuilder()
    for number in range(count):
        builder.append(None, b"v" * size, (), timestamp_ms + number)
    head, rest = stamp(Offset(offset), LeaderEpoch(epoch), builder.build())
    data = head + bytes(rest)
    return Made(data, read_header(data))


def open_log(
    tmp_path: Path,
    settings: LogSettings = SMALL,
    *,
    recovery_point: int = 0,
    clean: bool = False,
    topic_id: TopicId | None = None,
) -> PartitionLog:
    return keep_open(
        PartitionLog.open(
            RealDisk(tmp_path),
            FOLDER,
            settings,
            recovery_point=Offset(recovery_point),
            clean=clean,
            topic_id=topic_id,
        )
    )


def put(log: PartitionLog, made: Made, now_ms: int = 1) -> Made:
    # In two pieces, as a broker has them after stamping.
    log.append((made.data[:16], memoryview(made.data)[16:]), made.header, now_ms)
    return made


def fill(log: PartitionLog, random: Random, count: int) -> list[Made]:
    """Append batches of several sizes under rising leader epochs; return them."""
    batches = []
    epoch = max(0, log.last_epoch)
    for number in range(count):
        epoch += random.random() < 0.1
        timestamp_ms = 1000 + 10 * number + random.randrange(50)
        made = batch_at(
            log.log_end_offset,
            random.randrange(1, 5),
            epoch=epoch,
            timestamp_ms=timestamp_ms,
            size=random.choice((0, 10, 60, 300)),
        )
        batches.append(put(log, made))
    return batches


def everything(log: PartitionLog) -> bytes:
    offset, out = log.log_start_offset, b""
    while offset < log.log_end_offset:
        data = log.read(offset, 500, log.log_end_offset)
        assert data
        out += data
        for _, header in iterate_headers(data):
            offset = header.next_offset
    return out


def joined(batches: list[Made]) -> bytes:
    return b"".join(made.data for made in batches)


def epochs_of(batches: list[Made]) -> list[tuple[int, int]]:
    epochs: list[tuple[int, int]] = []
    for _, header in batches:
        if not epochs or header.leader_epoch > epochs[-1][0]:
            epochs.append((header.leader_epoch, header.base_offset))
    return epochs


def test_a_log_that_was_never_written_to_has_no_folder(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    assert (log.log_start_offset, log.log_end_offset, log.last_epoch) == (0, 0, -1)
    assert log.read(Offset(0), 100, Offset(0)) == b""
    assert list(log.headers_from(Offset(0))) == []
    assert log.offset_for_timestamp(0, Offset(0)) is None
    assert log.max_timestamp(Offset(0)) is None
    log.sync()
    log.close()
    assert not (tmp_path / "logs").exists()
    put(log, batch_at(0))
    assert (tmp_path / "logs/topic-0/00000000000000000000.log").exists()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("reopened", ["not", "clean", "not clean"])
def test_what_was_appended_is_read_from_every_offset(
    tmp_path: Path, seed: int, reopened: str
) -> None:
    random = Random(seed)
    log = open_log(tmp_path)
    batches = fill(log, random, 150)
    assert log.segment_count > 4
    assert log.size_bytes == len(joined(batches))
    assert log.epochs == epochs_of(batches)
    assert everything(log) == joined(batches)
    if reopened != "not":
        log.close()
        log = open_log(tmp_path, clean=reopened == "clean")
    for offset in range(log.log_end_offset):
        up_to = random.choice((log.log_end_offset, random.randrange(log.log_end_offset + 1)))
        size_bytes_max = random.choice((1, 100, 500, 2000, 100_000))
        data = log.read(Offset(offset), size_bytes_max, Offset(up_to))
        whole = [made for made in batches if made.header.next_offset > offset]
        allowed = [made for made in whole if made.header.next_offset <= up_to]
        if not allowed:
            assert data == b""
            continue
        assert joined(whole).startswith(data)
        found = [header for _, header in iterate_headers(data)]
        assert sum(header.size_bytes for header in found) == len(data)
        assert found[0] == whole[0].header
        assert found[-1].next_offset <= up_to
        assert len(found) == 1 or len(data) <= size_bytes_max
        # It stops early only near the limit or at the end of a segment.
        if len(found) < len(allowed):
            following = allowed[len(found)].header
            too_large = len(data) + following.size_bytes > size_bytes_max // 2
            assert too_large or (tmp_path / FOLDER / f"{following.base_offset:020d}.log").exists()


def test_offsets_outside_the_log_are_refused(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    log.reset_to(Offset(10))
    put(log, batch_at(10))
    for offset in (-1, 9, 12):
        with pytest.raises(OffsetOutOfRange, match=str(offset)):
            log.read(Offset(offset), 100, Offset(11))
    assert log.read(Offset(11), 100, Offset(11)) == b""


def test_segments_roll_by_size_and_by_age(tmp_path: Path) -> None:
    log = open_log(tmp_path, LogSettings(segment_bytes=1000, segment_ms=100))
    put(log, batch_at(0, size=800), 1)
    put(log, batch_at(1, size=800), 2)
    assert log.segment_count == 2
    put(log, batch_at(2, size=5), 102)
    assert log.segment_count == 2
    put(log, batch_at(3, size=5), 103)
    assert log.segment_count == 3
    put(log, batch_at(4, size=5000), 104)
    assert log.segment_count == 4


def test_the_age_of_a_reopened_segment_is_that_of_its_first_batch(tmp_path: Path) -> None:
    settings = LogSettings(segment_ms=100)
    log = open_log(tmp_path, settings)
    put(log, batch_at(0, timestamp_ms=5000), 5000)
    log.close()
    log = open_log(tmp_path, settings, clean=True)
    put(log, batch_at(1), 5100)
    assert log.segment_count == 1
    put(log, batch_at(2), 5101)
    assert log.segment_count == 2


@pytest.mark.parametrize("seed", range(3))
def test_a_log_is_cut_at_every_offset(tmp_path: Path, seed: int) -> None:
    random = Random(seed)
    for end in range(0, 60, 3):
        path = tmp_path / str(end)
        path.mkdir()
        log = open_log(path)
        batches = fill(log, random, 40)
        log.sync()
        if random.random() < 0.5:
            log.close()
            log = open_log(path, recovery_point=log.recovery_point, clean=True)
        log.truncate_to(Offset(end))
        kept = [made for made in batches if made.header.next_offset <= end]
        if end >= batches[-1].header.next_offset:
            kept = batches
        expected_end = kept[-1].header.next_offset if kept else 0
        assert log.log_end_offset == expected_end
        assert log.recovery_point <= expected_end
        assert everything(log) == joined(kept)
        assert log.epochs == epochs_of(kept)
        kept += fill(log, random, 20)
        assert everything(log) == joined(kept)
        if random.random() < 0.5:
            log.close()
        reopened = open_log(path, clean=random.random() < 0.5)
        assert everything(reopened) == joined(kept)
        assert reopened.epochs == epochs_of(kept)


def test_a_reset_log_begins_at_its_offset_also_when_opened_again(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    fill(log, Random(1), 50)
    log.truncate_to(Offset(0))
    assert log.log_end_offset == 0
    fill(log, Random(1), 50)
    log.reset_to(Offset(7000))
    assert (log.log_start_offset, log.log_end_offset, log.recovery_point) == (7000, 7000, 7000)
    assert log.epochs == []
    log.close()
    log = open_log(tmp_path, clean=True)
    assert (log.log_start_offset, log.log_end_offset) == (7000, 7000)
    put(log, batch_at(7000, epoch=3))
    assert log.epochs == [(3, 7000)]
    log.truncate_to(Offset(6000))
    assert (log.log_start_offset, log.log_end_offset) == (6000, 6000)


def test_headers_are_walked_from_any_offset(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    batches = fill(log, Random(4), 80)
    for offset in range(0, log.log_end_offset + 1, 7):
        expected = [made.header for made in batches if made.header.next_offset > offset]
        assert list(log.headers_from(Offset(offset))) == expected


@pytest.mark.parametrize("seed", range(4))
def test_records_are_found_by_time(tmp_path: Path, seed: int) -> None:
    random = Random(seed)
    log = open_log(tmp_path)
    batches = fill(log, random, 100)
    if seed % 2:
        log.close()
        log = open_log(tmp_path, clean=seed == 1)
    records = [
        (made.header.base_timestamp_ms + number, made.header.base_offset + number)
        for made in batches
        for number in range(made.header.record_count)
    ]
    for timestamp_ms in range(990, 2100, 13):
        up_to = random.choice((log.log_end_offset, random.randrange(log.log_end_offset)))
        expected = next((r for r in records if r[0] >= timestamp_ms and r[1] < up_to), None)
        found = log.offset_for_timestamp(timestamp_ms, Offset(up_to))
        assert (found and (found.timestamp_ms, found.offset)) == expected
    newest = log.max_timestamp(log.log_end_offset)
    assert newest is not None
    largest = max(timestamp_ms for timestamp_ms, _ in records)
    assert (newest.timestamp_ms, newest.offset) == next(r for r in records if r[0] == largest)


@pytest.mark.parametrize("seed", range(20))
def test_the_newest_of_what_is_committed_is_found(tmp_path: Path, seed: int) -> None:
    """Whatever of a segment is not committed, or was deleted; times go to and fro."""
    random = Random(seed)
    settings = LogSettings(segment_bytes=random.choice((1500, 1 << 20)), index_interval_bytes=100)
    log = open_log(tmp_path, settings)
    batches = [
        put(log, batch_at(5 * number, random.randint(1, 5), timestamp_ms=random.randrange(60)))
        for number in range(60)
    ]
    if seed % 2:
        log.close()
        log = open_log(tmp_path, settings, clean=seed % 4 == 1)
    records = [
        (made.header.base_timestamp_ms + number, made.header.base_offset + number)
        for made in batches
        for number in range(made.header.record_count)
    ]
    for _ in range(60):
        log.start_at(Offset(random.randrange(log.log_start_offset, log.log_start_offset + 6)))
        whole = [made.header.next_offset for made in batches]
        up_to = random.choice([end for end in whole if end > log.log_start_offset])
        within = [r for r in records if log.log_start_offset <= r[1] < up_to]
        largest = max((timestamp_ms for timestamp_ms, _ in within), default=-1)
        expected = next((r for r in within if r[0] == largest), None)
        found = log.max_timestamp(Offset(up_to))
        assert (found and (found.timestamp_ms, found.offset)) == expected


def test_finding_the_newest_of_what_is_committed_reads_no_whole_segment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the segment that is written to, the end is seldom committed."""
    log = open_log(tmp_path, LogSettings(index_interval_bytes=200))
    for offset in range(200):
        put(log, batch_at(offset, timestamp_ms=offset))
    walked, headers = 0, Segment.headers

    def counted(segment: Segment, *where: int) -> Iterator[tuple[int, BatchHeader]]:
        nonlocal walked
        for found in headers(segment, *where):
            walked += 1
            yield found

    monkeypatch.setattr(Segment, "headers", counted)
    assert log.max_timestamp(Offset(199)) == (198, 198, 0)
    assert walked < 20


def test_times_that_were_cut_off_are_forgotten(tmp_path: Path) -> None:
    log = open_log(tmp_path, LogSettings(index_interval_bytes=1))
    for offset in range(10):
        put(log, batch_at(offset, timestamp_ms=10 * offset))
    log.truncate_to(Offset(3))
    newest = log.max_timestamp(log.log_end_offset)
    assert newest == (2, 20, 0)
    put(log, batch_at(3, timestamp_ms=200))
    assert log.offset_for_timestamp(65, log.log_end_offset) == (3, 200, 0)


def test_a_second_sync_waits_for_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = open_log(tmp_path)
    put(log, batch_at(0))
    began, go_on = threading.Event(), threading.Event()

    def slow(fd: int) -> None:
        began.set()
        assert go_on.wait(10)

    monkeypatch.setattr("nodes.storage.disk._sync_data", slow)
    threads = [threading.Thread(target=log.sync) for _ in range(2)]
    threads[0].start()
    assert began.wait(10)
    put(log, batch_at(1))
    threads[1].start()
    log.release()
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert log.recovery_point == 2


def test_a_closed_log_is_not_synced(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    put(log, batch_at(0))
    log.close()
    assert log.sync() == 0


def test_gaps_of_compaction_are_kept_and_read_over(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    first, second = batch_at(5, 2), batch_at(50, 2)
    put(log, first)
    put(log, second)
    assert log.read(Offset(0), 10_000, Offset(52)) == joined([first, second])
    assert log.read(Offset(20), 10_000, Offset(52)) == second.data
    log.truncate_to(Offset(30))
    assert log.log_end_offset == 7


def test_a_full_disk_leaves_the_log_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = open_log(tmp_path)
    batches = [put(log, batch_at(0))]
    run = [batch_at(1), batch_at(2, size=5000), batch_at(3, size=5000)]
    pieces = [((made.data,), made.header) for made in run]
    write, calls = Segment.append, 0

    def second_is_refused(segment: Segment, batches: Sequence[Batch]) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise DiskFull("no space")
        write(segment, batches)

    with monkeypatch.context() as patched:
        patched.setattr(Segment, "append", second_is_refused)
        with pytest.raises(DiskFull):
            log.append_all(pieces, 1)
    assert (log.log_end_offset, log.segment_count) == (1, 1)
    assert everything(log) == joined(batches)
    log.append_all(pieces, 1)
    assert everything(log) == joined(batches + run)


def test_after_a_failed_sync_the_log_takes_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = open_log(tmp_path)
    made = put(log, batch_at(0))

    def fail(fd: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("nodes.storage.disk._sync_data", fail)
    with pytest.raises(StorageError, match=r"syncing .*Input/output"):
        log.sync()
    monkeypatch.undo()
    with pytest.raises(StorageError, match="takes no more"):
        put(log, batch_at(1))
    assert log.recovery_point == 0
    assert log.read(Offset(0), 1000, Offset(1)) == made.data


@contextmanager
def during_a_sync(log: PartitionLog, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Offset]]:
    """Have a sync under way for as long as this goes on; then its outcome is in the list."""
    began, go_on = threading.Event(), threading.Event()
    outcome: list[Offset] = []

    def slow(_fd: int) -> None:
        began.set()
        assert go_on.wait(10)

    monkeypatch.setattr("nodes.storage.disk._sync_data", slow)
    thread = threading.Thread(target=lambda: outcome.append(log.sync()))
    thread.start()
    assert began.wait(10)
    yield outcome
    go_on.set()
    thread.join(10)


def test_a_sync_moves_the_recovery_point_to_where_it_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = open_log(tmp_path, topic_id=TOPIC)
    put(log, batch_at(0, 3))
    with during_a_sync(log, monkeypatch):
        put(log, batch_at(3, 3))
    assert (log.recovery_point, log.log_end_offset) == (3, 6)
    assert log.sync() == 6


def test_a_cut_during_a_sync_takes_back_what_it_would_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = open_log(tmp_path)
    batches = fill(log, Random(5), 60)
    assert log.segment_count > 2
    with during_a_sync(log, monkeypatch) as results:
        log.truncate_to(batches[2].header.next_offset)
        put(log, batch_at(log.log_end_offset, 500, epoch=99))
    assert results == [0]
    assert log.recovery_point == 0
    assert log.sync() == log.log_end_offset


def test_what_is_written_after_a_cut_during_a_sync_is_synced_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is shorter by then than what the first had begun to sync."""
    log = open_log(tmp_path)
    put(log, batch_at(0))
    put(log, batch_at(1, size=1_000))
    with during_a_sync(log, monkeypatch):
        log.truncate_to(Offset(1))
        put(log, batch_at(1, epoch=1))
    assert log.segments[0].is_dirty
    assert log.sync() == 2
    assert not log.segments[0].is_dirty


def test_segments_that_go_while_they_are_synced_are_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their files are closed a moment before the log has forgotten them."""
    log = open_log(tmp_path)
    fill(log, Random(5), 60)
    assert log.segment_count > 2
    log.start_at(log.segments[1].base_offset)
    began, go_on = threading.Event(), threading.Event()
    sync, set_aside = Segment.sync, SegmentIndexes.set_aside
    results: list[Offset] = []
    thread = threading.Thread(target=lambda: results.append(log.sync()))

    def sync_in_a_while(segment: Segment, file: File) -> int:
        began.set()
        assert go_on.wait(10)
        return sync(segment, file)

    def set_aside_in_a_while(indexes: SegmentIndexes) -> list[str]:
        go_on.set()
        thread.join(0.2)
        return set_aside(indexes)

    monkeypatch.setattr(Segment, "sync", sync_in_a_while)
    monkeypatch.setattr(SegmentIndexes, "set_aside", set_aside_in_a_while)
    thread.start()
    assert began.wait(10)
    assert log.set_aside()
    thread.join(10)
    assert results == [log.log_end_offset]


def test_a_released_log_works_on_and_holds_no_descriptors(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    batches = fill(log, Random(6), 60)
    log.sync()
    log.release()
    assert all(segment._file is None for segment in log.segments)
    assert all(segment.indexes._offsets is None for segment in log.segments[:-1])
    assert everything(log) == joined(batches)
    log.release()
    batches += fill(log, Random(7), 60)
    assert everything(log) == joined(batches)


def test_a_folder_of_another_topic_is_recognised(tmp_path: Path) -> None:
    log = open_log(tmp_path, topic_id=TOPIC)
    put(log, batch_at(0))
    log.close()
    text = (tmp_path / FOLDER / "partition.metadata").read_text()
    assert text == "version: 0\ntopic_id: AAECAwQFBgcICQoLDA0ODw\n"
    assert open_log(tmp_path, topic_id=TOPIC).log_end_offset == 1
    assert open_log(tmp_path).topic_id == TOPIC
    with pytest.raises(InconsistentTopicId) as caught:
        open_log(tmp_path, topic_id=TopicId(bytes(16)))
    assert caught.value.found == TOPIC
    (tmp_path / FOLDER / "partition.metadata").write_text("version: 0\ntop")
    with pytest.raises(InconsistentTopicId):
        open_log(tmp_path, topic_id=TOPIC)


def test_the_files_are_kafkas(tmp_path: Path) -> None:
    log = open_log(tmp_path, LogSettings(index_interval_bytes=1))
    for offset, epoch, timestamp_ms in ((0, 0, 10), (2, 0, 30), (4, 3, 20), (6, 3, 40)):
        put(log, batch_at(offset, 2, epoch=epoch, timestamp_ms=timestamp_ms))
    size = len(batch_at(0, 2).data)
    log.close()
    folder = tmp_path / FOLDER
    assert sorted(path.name for path in folder.iterdir()) == [
        "00000000000000000000.index",
        "00000000000000000000.log",
        "00000000000000000000.timeindex",
        "leader-epoch-checkpoint",
    ]
    assert (folder / "leader-epoch-checkpoint").read_text() == "0\n2\n0 0\n3 4\n"
    numbers = (3, size, 5, 2 * size, 7, 3 * size)
    index = b"".join(number.to_bytes(4, "big") for number in numbers)
    assert (folder / "00000000000000000000.index").read_bytes() == index
    times = b"".join(t.to_bytes(8, "big") + o.to_bytes(4, "big") for t, o in ((31, 3), (41, 7)))
    assert (folder / "00000000000000000000.timeindex").read_bytes() == times


def test_a_log_that_nobody_uses_holds_nothing_once_it_is_durable(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    put(log, batch_at(0))

    def is_open() -> bool:
        return log.segments[0]._file is not None

    for _ in range(3):
        log.rest()
    assert is_open(), "not synced"
    log.sync()
    log.rest()
    assert not is_open()
    for _ in range(2):
        log.read(Offset(0), 100, Offset(1))
        log.rest()
        assert is_open(), "used since the call before"
    log.rest()
    assert not is_open()


def test_a_log_works_with_one_file_open_at_a_time(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path, files_max=1)
    opened = partial(PartitionLog.open, disk, FOLDER, SMALL, recovery_point=Offset(0), clean=False)
    log = opened()
    batches: list[Made] = []
    for seed in range(10):
        batches += fill(log, Random(seed), 15)
        log.sync()
        assert everything(log) == joined(batches)
        log.read(Offset(0), 1, Offset(1))
    assert log.segment_count > 4
    log.truncate_to(batches[-20].header.base_offset)
    log.close()
    log = keep_open(opened())
    assert everything(log) == joined(batches[:-20])


def test_only_the_end_of_a_log_is_read_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recent_bytes = 5_000
    log = open_log(tmp_path, replace(SMALL, recent_bytes=recent_bytes))
    batches = fill(log, Random(8), 60)
    log.close()
    log = open_log(tmp_path, replace(SMALL, recent_bytes=recent_bytes), clean=True)
    old_end = log.log_end_offset
    batches += fill(log, Random(9), 10)
    assert log.segment_count > 4
    behind_bytes = log.size_bytes
    at_once = 0
    # Nothing is in the page cache but what this process has written.
    monkeypatch.setattr("nodes.storage.disk._RealFile.read_cached", lambda *_: None)
    for made in batches:
        offset = made.header.base_offset
        found = log.read_recent(offset, 300, log.log_end_offset)
        data = log.read(offset, 300, log.log_end_offset)
        if behind_bytes <= recent_bytes and offset >= old_end:
            at_once += 1
            assert found == data
        else:
            assert isinstance(found, Extent)
            assert found.read() == data
            assert found.checked == (offset < old_end)
        behind_bytes -= made.header.size_bytes
    assert 3 < at_once < 60
    assert log.read_recent(log.log_end_offset, 300, log.log_end_offset) == b""
    fill(log, Random(10), 60)
    found = log.read_recent(old_end, 300, log.log_end_offset)
    assert isinstance(found, Extent)
    assert not found.checked


@pytest.mark.parametrize("cut", [10, 8])
def test_a_cut_behind_a_hole_leaves_no_log_that_ends_before_it_begins(
    tmp_path: Path, cut: int
) -> None:
    """Compaction left nothing between 5 and 10, and the log begins within that."""
    log = open_log(tmp_path)
    put(log, batch_at(0, 5))
    put(log, batch_at(10, 2, epoch=1))
    log.start_at(Offset(7))
    log.truncate_to(Offset(cut))
    assert (log.log_start_offset, log.log_end_offset) == (7, 7)
    put(log, batch_at(log.log_end_offset, epoch=2))
    assert log.log_end_offset == 8
    again = open_log(tmp_path)
    assert (again.log_start_offset, again.log_end_offset) == (7, 8)
