"""Logs that begin later: what retention lets go of, and what stays of it on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodes.storage.disk import RealDisk
from nodes.storage.log_settings import LogSettings
from nodes.storage.partition_log import OffsetOutOfRange, PartitionLog
from nodes.storage.retention import Retention
from tests.unit.storage.test_partition_log import FOLDER, Made, batch_at, keep_open, open_log, put
from transport.wire.ids import LeaderEpoch, Offset
from transport.wire.records import BatchBuilder, read_header, stamp

DAY_MS = 86_400_000
KEEP_ALL = Retention()
BATCH_BYTES = len(batch_at(0).data)


def make_log(
    path: Path,
    retention: Retention = KEEP_ALL,
    *,
    batches: int = 9,
    in_segment: int = 3,
    **how: int,
) -> PartitionLog:
    """A log of one-record batches at offsets 0…, a second of time apart."""
    settings = LogSettings(segment_bytes=in_segment * BATCH_BYTES, retention=retention)
    log = open_again(path, settings, **how)
    for offset in range(log.log_end_offset, batches):
        data, header = batch_at(offset, timestamp_ms=1_000 * (offset + 1))
        log.append((data,), header, DAY_MS)
    return log


def open_again(path: Path, settings: LogSettings, log_start_offset: int = 0) -> PartitionLog:
    return keep_open(
        PartitionLog.open(
            RealDisk(path),
            FOLDER,
            settings,
            recovery_point=Offset(0),
            clean=False,
            log_start_offset=Offset(log_start_offset),
        )
    )


def files(path: Path) -> list[str]:
    return sorted(found.name for found in (path / FOLDER).iterdir() if found.suffix == ".log")


@pytest.mark.parametrize(
    ("age_max_ms", "now_ms", "start"),
    [(-1, 10**12, 0), (1_000, 4_000, 0), (1_000, 4_001, 3), (1_000, 10_000, 6), (0, 9_001, 9)],
)
def test_segments_go_when_their_newest_record_is_too_old(
    tmp_path: Path, age_max_ms: int, now_ms: int, start: int
) -> None:
    log = make_log(tmp_path, Retention(age_max_ms))
    assert log.retained_start(now_ms, log.log_end_offset) == start


@pytest.mark.parametrize(
    ("batches_kept", "start"), [(-1, 0), (9, 0), (7, 0), (6, 3), (4, 3), (3, 6), (1, 6), (0, 9)]
)
def test_segments_go_while_the_log_is_large_enough_without_them(
    tmp_path: Path, batches_kept: int, start: int
) -> None:
    log = make_log(tmp_path, Retention(-1, max(-1, batches_kept * BATCH_BYTES)))
    assert log.retained_start(DAY_MS, log.log_end_offset) == start


def test_nothing_goes_that_reaches_above_the_high_watermark(tmp_path: Path) -> None:
    log = make_log(tmp_path, Retention(0, 0))
    assert [log.retained_start(DAY_MS, Offset(up_to)) for up_to in (0, 2, 3, 5, 8, 9)] == [
        0,
        0,
        3,
        3,
        6,
        9,
    ]


def test_a_log_that_begins_later_is_not_read_before(tmp_path: Path) -> None:
    log = make_log(tmp_path)
    log.start_at(Offset(4))
    assert log.log_start_offset == 4
    with pytest.raises(OffsetOutOfRange):
        log.read(Offset(3), 1, log.log_end_offset)
    assert log.read(Offset(4), 1, log.log_end_offset) == batch_at(4, timestamp_ms=5_000).data
    found = log.offset_for_timestamp(0, log.log_end_offset)
    assert found is not None
    assert found.offset == 4
    assert log.max_timestamp(log.log_end_offset) is not None


def test_the_newest_record_is_one_that_is_still_there(tmp_path: Path) -> None:
    builder = BatchBuilder()
    for timestamp_ms in (30, 10, 20):
        builder.append(None, b"v", (), timestamp_ms)
    head, rest = stamp(Offset(0), LeaderEpoch(0), builder.build())
    data = head + bytes(rest)
    log = open_log(tmp_path)
    put(log, Made(data, read_header(data)))
    assert log.max_timestamp(log.log_end_offset) == (0, 30, 0)
    log.start_at(Offset(1))
    assert log.max_timestamp(log.log_end_offset) == (2, 20, 0)


def test_files_before_the_start_are_set_aside_and_gone_after_a_restart(tmp_path: Path) -> None:
    log = make_log(tmp_path)
    log.start_at(Offset(6))
    aside = log.set_aside()
    assert len([name for name in aside if ".log" in name]) == 2
    assert files(tmp_path) == ["00000000000000000006.log"]
    assert log.set_aside() == []
    log.close()
    again = make_log(tmp_path)
    assert (again.log_start_offset, again.log_end_offset) == (6, 9)
    assert not list((tmp_path / FOLDER).glob("*.deleted"))


def test_the_segment_that_is_written_to_goes_only_once_it_is_full(tmp_path: Path) -> None:
    log = make_log(tmp_path, batches=8)
    log.start_at(Offset(8))
    log.set_aside()
    assert files(tmp_path) == ["00000000000000000006.log"]
    log.roll_before(Offset(8), DAY_MS)
    log.set_aside()
    assert files(tmp_path) == ["00000000000000000008.log"]
    assert (log.log_start_offset, log.log_end_offset) == (8, 8)
    log.append((batch_at(8).data,), batch_at(8).header, DAY_MS)
    assert log.log_end_offset == 9


def test_a_noted_start_within_a_segment_holds_after_a_restart(tmp_path: Path) -> None:
    make_log(tmp_path).close()
    log = make_log(tmp_path, log_start_offset=5)
    assert log.log_start_offset == 5
    assert files(tmp_path)[0] == "00000000000000000000.log", "of which some is deleted"


def test_a_noted_start_beyond_what_a_power_loss_left_is_where_the_log_goes_on(
    tmp_path: Path,
) -> None:
    make_log(tmp_path).close()
    log = make_log(tmp_path, log_start_offset=20)
    assert (log.log_start_offset, log.log_end_offset) == (20, 20)


def test_a_noted_start_without_a_segment_is_of_another_log(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir(parents=True)
    assert open_again(tmp_path, LogSettings(), 20).log_start_offset == 0


def test_an_index_that_is_full_ends_a_segment(tmp_path: Path) -> None:
    settings = LogSettings(index_interval_bytes=1, segment_index_bytes=64)
    log = open_again(tmp_path, settings)
    for offset in range(30):
        data, header = batch_at(offset, timestamp_ms=offset)
        log.append((data,), header, DAY_MS)
    assert log.segment_count > 3


def test_jitter_ends_segments_of_one_age_at_different_times(tmp_path: Path) -> None:
    ages = set()
    for number in range(4):
        settings = LogSettings(segment_ms=10_000, segment_jitter_ms=5_000)
        log = keep_open(
            PartitionLog.open(
                RealDisk(tmp_path),
                f"logs/t-{number}",
                settings,
                recovery_point=Offset(0),
                clean=True,
            )
        )
        now_ms = 100_000
        while log.segment_count < 2:
            data, header = batch_at(log.log_end_offset, timestamp_ms=now_ms)
            log.append((data,), header, now_ms)
            now_ms += 100
        ages.add(now_ms - 100_000)
    assert len(ages) > 1
    assert all(5_000 <= age <= 10_500 for age in ages)
