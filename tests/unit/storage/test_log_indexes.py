"""The index files are believed only where they are known to be those of their segment."""

from __future__ import annotations

from contextlib import suppress
from random import Random

from nodes.storage.disk import DiskFull
from nodes.storage.log_settings import LogSettings
from nodes.storage.partition_log import PartitionLog
from tests.simulation.disk import SimulatedDisk
from tests.unit.storage.test_partition_log import FOLDER, TOPIC, batch_at, put
from transport.wire.ids import Offset

SETTINGS = LogSettings(segment_bytes=40_000, index_interval_bytes=200)
LATEST_MS = 1_000
"""Of a record in the middle: of those behind it nobody can tell."""


SEEDS = 150
"""Of an index that grows by 12 bytes one part in twelve of what can be left looks whole."""


def new_disk() -> SimulatedDisk:
    disk = SimulatedDisk()
    disk.make_folder("logs")
    disk.sync_folder("")
    return disk


def open_log(
    disk: SimulatedDisk,
    *,
    clean: bool = True,
    recovery_point: int = 0,
    indexes_sum: int | None = None,
) -> PartitionLog:
    return PartitionLog.open(
        disk,
        FOLDER,
        SETTINGS,
        recovery_point=Offset(recovery_point),
        clean=clean,
        topic_id=TOPIC,
        indexes_sum=indexes_sum,
    )


def fill(log: PartitionLog, batches: int, *, latest_at: int = -1) -> None:
    for _ in range(batches):
        offset = log.log_end_offset
        put(log, batch_at(offset, timestamp_ms=LATEST_MS if offset == latest_at else 1 + offset))


def is_right(log: PartitionLog, latest_at: int) -> bool:
    """Tell whether the indexes of the first segment say what stands in it."""
    return log.segments[0].newest() == (LATEST_MS, latest_at) and all(
        log.read(Offset(offset), 1, log.log_end_offset) for offset in range(log.log_end_offset)
    )


def test_what_a_loss_of_power_leaves_of_closed_indexes_is_not_believed() -> None:
    disk = new_disk()
    log = open_log(disk)
    fill(log, 60, latest_at=50)
    log.sync()
    indexes_sum = log.close()
    assert indexes_sum is not None
    _, times = disk.files(FOLDER, "index")
    written = disk.read_file(times)
    assert written
    for kept_bytes in range(len(written)):
        disk.write_file(times, written[:kept_bytes], durable=True)
        again = open_log(disk, recovery_point=60, indexes_sum=indexes_sum)
        assert again.log_end_offset == 60
        assert is_right(again, 50), kept_bytes


def test_nor_are_those_from_before_a_cut() -> None:
    disk = new_disk()
    log = open_log(disk)
    fill(log, 60)
    log.sync()
    log.close()
    before = {path: disk.read_file(path) for path in disk.files(FOLDER, "index")}
    log = open_log(disk, recovery_point=60)
    log.truncate_to(Offset(0))
    fill(log, 60, latest_at=20)
    log.sync()
    indexes_sum = log.close()
    for path, content in before.items():
        disk.write_file(path, content or b"", durable=True)
    assert is_right(open_log(disk, recovery_point=60, indexes_sum=indexes_sum), 20)


def test_those_that_are_still_there_are() -> None:
    disk = new_disk()
    log = open_log(disk)
    fill(log, 100, latest_at=50)
    log.sync()
    indexes_sum = log.close()
    files = {path: disk.open(path) for path in disk.files(FOLDER, "index")}
    again = open_log(disk, recovery_point=100, indexes_sum=indexes_sum)
    assert is_right(again, 50)
    assert not again.segments[0].indexes.is_dirty, "they were not made anew"
    assert again.close() == indexes_sum
    assert all(disk.read_file(path) == files[path].read(0, 1 << 20) for path in files)


def test_what_a_killed_process_has_left_is_synced_before_it_is_believed() -> None:
    """Nothing has to be added to it, so that it was taken for what a sync had written."""
    for seed in range(SEEDS):
        disk = new_disk()
        log = open_log(disk)
        fill(log, 60, latest_at=50)
        log.roll_before(Offset(60), 1)
        fill(log, 10)
        log.write_note(log.begin_note(b"", log.log_end_offset), durable=False)
        again = open_log(disk)
        assert again.segments[0].indexes.size_bytes == 0, "nor has it to be held in memory for that"
        recovery_point = again.sync()
        disk.lose_power(Random(seed))
        assert is_right(open_log(disk, clean=False, recovery_point=recovery_point), 50), seed


def test_a_close_that_breaks_off_leaves_none_that_tell_of_less() -> None:
    """A largest timestamp that is too small would hide records from who looks for them by time."""
    for free_bytes in range(0, 800, 10):
        disk = new_disk()
        log = open_log(disk)
        fill(log, 30)
        log.write_note(log.begin_note(b"", log.log_end_offset), durable=False)
        fill(log, 30, latest_at=50)
        log.sync()
        disk.set_free_bytes(free_bytes)
        with suppress(DiskFull):
            log.close()
        assert is_right(open_log(disk, recovery_point=60), 50), free_bytes
