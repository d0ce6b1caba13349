"""One call to the disk fails, and the next goes well: a log must not take that for a success."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodes.storage.disk import DiskFull, File, StorageError
from nodes.storage.log_files import EPOCHS_NAME
from nodes.storage.log_settings import LogSettings
from nodes.storage.partition_log import PartitionLog
from nodes.storage.raft_log import RaftLog
from nodes.storage.segment import Segment
from tests.simulation.disk import SimulatedDisk
from tests.simulation.hiccup import Call
from tests.unit.storage.test_partition_log import FOLDER, batch_at
from tests.unit.storage.test_retention import make_log
from transport.wire.ids import Offset

BATCH_BYTES = len(batch_at(0).data)


def open_log(disk: SimulatedDisk, *, start: int = 0) -> PartitionLog:
    settings = LogSettings(segment_bytes=3 * BATCH_BYTES)
    return PartitionLog.open(
        disk,
        FOLDER,
        settings,
        recovery_point=Offset(0),
        clean=False,
        log_start_offset=Offset(start),
    )


def filled(disk: SimulatedDisk, count: int) -> PartitionLog:
    disk.make_folder(FOLDER.rpartition("/")[0])
    log = open_log(disk)
    for offset in range(count):
        data, header = batch_at(offset)
        log.append((data,), header, 1)
    return log


def test_no_later_sync_makes_up_for_a_folder_whose_sync_has_failed() -> None:
    """Whoever begins a segment syncs the folder, too, and may not be the one who tells of it."""
    disk = SimulatedDisk()
    log = filled(disk, 3)
    disk.hiccups.expect(Call.FOLDER_SYNC)
    with pytest.raises(StorageError, match="failed once"):
        log.roll_before(Offset(3), 1)
    with pytest.raises(StorageError, match="takes no more"):
        log.sync()
    assert log.recovery_point == 0
    data, header = batch_at(3)
    with pytest.raises(StorageError, match="takes no more"):
        log.append((data,), header, 1)


def test_a_raft_log_whose_folder_could_not_be_synced_has_it_synced_by_the_next_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    disk = SimulatedDisk()
    disk.make_folder("raft")
    disk.hiccups.expect(Call.FOLDER_SYNC)
    with pytest.raises(StorageError, match="failed once"):
        RaftLog.open(disk, "raft/log")
    disk.write_back()
    synced: list[str] = []
    monkeypatch.setattr(disk, "sync_folder", synced.append)
    RaftLog.open(disk, "raft/log").close()
    assert synced == ["raft"]


@pytest.mark.parametrize("passes", range(6))
@pytest.mark.parametrize("synced", [False, True])
def test_a_segment_that_cannot_be_set_aside_stays_whole(passes: int, synced: bool) -> None:
    """Whichever of its renames is refused, it can be synced, and goes the next time."""
    disk = SimulatedDisk()
    log = filled(disk, 9)
    if synced:
        log.sync()
    log.start_at(Offset(6))
    disk.hiccups.expect(Call.RENAME, full=True, passes=passes)
    try:
        aside = log.set_aside()
    except DiskFull:
        aside = []
    disk.hiccups.forget()
    log.sync()
    for segment in log.segments:
        assert disk.read_file(segment.path), f"{segment.path} is there, with all it has"
    aside += log.set_aside()
    for path in aside:
        disk.remove(path)
    assert disk.list(FOLDER) == [name for name in disk.list(FOLDER) if name >= f"{6:020d}"]
    log.close()
    again = open_log(disk, start=6)
    assert (again.log_start_offset, again.log_end_offset) == (6, 9)


def test_a_segment_that_is_let_go_under_a_sync_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its file is closed before it was synced; nobody needs it any more."""
    log = make_log(tmp_path)
    sync = Segment.sync

    def let_go_first(segment: Segment, handle: File) -> int:
        log.start_at(Offset(6))
        log.set_aside()
        return sync(segment, handle)

    monkeypatch.setattr(Segment, "sync", let_go_first)
    assert log.sync() == 9
    data, header = batch_at(9)
    log.append((data,), header, 1)


@pytest.mark.parametrize("end", [4, 0])
def test_a_full_disk_keeps_no_log_from_being_cut(end: int) -> None:
    """What cannot be written down then is a cache; what it had said before the cut is not believed."""
    disk = SimulatedDisk()
    log = filled(disk, 9)
    log.write_note(log.begin_note(b"", log.log_end_offset), durable=False)
    disk.hiccups.expect(Call.RENAME, full=True)
    log.truncate_to(Offset(end))
    assert disk.hiccups.failures, "the disk was full"
    assert log.recovery_point <= log.log_end_offset == end
    assert EPOCHS_NAME not in disk.list(FOLDER)
    data, header = batch_at(end)
    log.append((data,), header, 1)
    assert log.sync() == end + 1


def test_a_full_disk_keeps_no_file_of_a_log_open(tmp_path: Path) -> None:
    """As its topic is deleted, to make room: what is open takes its room on."""
    log = make_log(tmp_path)
    files = [segment.file() for segment in log.segments]
    (tmp_path / FOLDER / f"{EPOCHS_NAME}.tmp").symlink_to("/dev/full")
    with pytest.raises(DiskFull):
        log.close()
    for file in files:
        with pytest.raises(StorageError, match="closed"):
            file.read(0, 1)
