"""Notes: what a start after a kill reads, and that nothing of them is believed that is not so."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodes.storage.disk import File, RealDisk
from nodes.storage.log_settings import LogSettings
from nodes.storage.partition_log import PartitionLog
from tests.unit.storage.test_partition_log import FOLDER, TOPIC, batch_at, put
from transport.wire.ids import Offset

SETTINGS = LogSettings(segment_bytes=200_000, index_interval_bytes=4_096)


class CountingDisk(RealDisk):
    """Counts what is read of logs."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.read_bytes = 0

    def open(self, path: str, *, create: bool = True) -> File:
        file = super().open(path, create=create)
        read = file.read

        class Counted:
            def __getattr__(self, name: str) -> object:
                return getattr(file, name)

            def read(_self, position_bytes: int, size_bytes: int) -> bytes:  # noqa: N805
                data = read(position_bytes, size_bytes)
                self.read_bytes += len(data)
                return data

        return Counted()  # type: ignore[return-value]


def open_log(disk: RealDisk, *, clean: bool = True, recovery_point: int = 0) -> PartitionLog:
    return PartitionLog.open(
        disk,
        FOLDER,
        SETTINGS,
        recovery_point=Offset(recovery_point),
        clean=clean,
        topic_id=TOPIC,
    )


def fill(log: PartitionLog, batches: int) -> None:
    for _ in range(batches):
        put(log, batch_at(log.log_end_offset, size=1_000, timestamp_ms=log.log_end_offset))


def note(log: PartitionLog, text: bytes, *, high_watermark: int | None = None) -> None:
    committed = log.log_end_offset if high_watermark is None else Offset(high_watermark)
    log.write_note(log.begin_note(text, committed), durable=False)


def killed(tmp_path: Path, *, noted_at: int, batches: int) -> CountingDisk:
    """Leave a log behind as a kill would: nothing closed."""
    log = open_log(RealDisk(tmp_path))
    fill(log, noted_at)
    note(log, b"producers")
    fill(log, batches - noted_at)
    return CountingDisk(tmp_path)


def test_a_start_after_a_kill_reads_what_came_after_the_note(tmp_path: Path) -> None:
    disk = killed(tmp_path, noted_at=160, batches=180)
    log = open_log(disk)
    noted = log.noted_producers()
    assert noted == (160, b"producers")
    headers = list(log.headers_from(noted[0]))
    assert [header.base_offset for header in headers] == list(range(160, 180))
    assert disk.read_bytes < 3 * 30 * 1_100
    # And the indexes are as they would have been: a read in the middle is found by them.
    disk.read_bytes = 0
    assert log.read(Offset(90), 1, Offset(180))
    assert disk.read_bytes < 90_000
    log.close()


def test_without_a_note_all_is_read(tmp_path: Path) -> None:
    """What the test above would see, were notes of no use."""
    log = open_log(RealDisk(tmp_path))
    fill(log, 180)
    disk = CountingDisk(tmp_path)
    again = open_log(disk)
    assert again.noted_producers() is None
    assert again.unnoted_bytes == again.size_bytes
    assert disk.read_bytes > 150 * 1_000


def test_indexes_of_a_killed_process_are_those_of_one_that_was_not(tmp_path: Path) -> None:
    for folder in ("killed", "closed"):
        (tmp_path / folder).mkdir()
    killed(tmp_path / "killed", noted_at=100, batches=170)
    open_log(RealDisk(tmp_path / "killed")).close()
    log = open_log(RealDisk(tmp_path / "closed"))
    fill(log, 170)
    log.close()
    for name in ("00000000000000000000.index", "00000000000000000000.timeindex"):
        one, other = (
            (tmp_path / folder / FOLDER / name).read_bytes() for folder in ("killed", "closed")
        )
        assert one == other


@pytest.mark.parametrize("noted_at", [100, *range(170, 190)])
def test_a_segment_that_was_filled_after_the_note_is_found_by_its_times(
    tmp_path: Path, noted_at: int
) -> None:
    """A process that is killed before the next sync has written none of the last entries."""
    killed(tmp_path, noted_at=noted_at, batches=200)
    log = open_log(RealDisk(tmp_path))
    first, second = log.segments
    end = second.base_offset
    assert first.newest() == (end - 1, end - 1)
    for offset in (noted_at - 1, noted_at, end - 1, end):
        assert log.offset_for_timestamp(offset, Offset(200)) == (offset, offset, 0)
    fill(log, 1)
    log.sync()
    log.close()
    again = open_log(RealDisk(tmp_path), recovery_point=201)
    assert again.segments[0].newest() == (end - 1, end - 1), "and that is kept"
    again.close()


def test_a_note_is_gone_with_the_cut_below_it(tmp_path: Path) -> None:
    log = open_log(RealDisk(tmp_path))
    fill(log, 10)
    note(log, b"ten")
    log.sync()
    fill(log, 10)
    note(log, b"twenty")
    assert log.noted_producers() == (20, b"twenty")
    log.truncate_to(Offset(15))
    assert log.noted_producers() == (10, b"ten")
    late = log.begin_note(b"fifteen", Offset(15))
    log.truncate_to(Offset(5))
    log.write_note(late, durable=False)
    assert log.noted_producers() is None


def test_a_note_of_what_is_committed_outlives_the_cut_of_what_is_not(tmp_path: Path) -> None:
    """A leader that is cut off goes on taking records and syncing them, and none is committed."""
    log = open_log(RealDisk(tmp_path))
    fill(log, 10)
    note(log, b"ten")
    for text in (b"twenty", b"thirty", b"forty"):
        fill(log, 10)
        log.sync()
        note(log, text, high_watermark=10)
    log.truncate_to(Offset(12))
    assert log.noted_producers() == (10, b"ten")


def test_only_what_is_synced_is_believed_after_a_loss_of_power(tmp_path: Path) -> None:
    log = open_log(RealDisk(tmp_path))
    fill(log, 10)
    note(log, b"ten")
    log.sync()
    fill(log, 10)
    note(log, b"twenty")
    again = open_log(RealDisk(tmp_path), clean=False, recovery_point=15)
    assert again.noted_producers() == (10, b"ten")
    assert not (tmp_path / FOLDER / "00000000000000000020.snapshot").exists()


@pytest.mark.parametrize("damage", [b"", b"abc", b"\0\0\0\0producers"])
def test_a_torn_note_is_passed_over(tmp_path: Path, damage: bytes) -> None:
    log = open_log(RealDisk(tmp_path))
    fill(log, 10)
    note(log, b"producers")
    (tmp_path / FOLDER / "00000000000000000010.snapshot").write_bytes(damage)
    assert open_log(RealDisk(tmp_path)).noted_producers() is None
