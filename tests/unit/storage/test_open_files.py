"""A bounded number of files is open, whichever are used."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from nodes.storage.disk import File, RealDisk, StorageError
from nodes.storage.log_files import CLEANED_SUFFIX
from nodes.storage.segment import Segment
from transport.wire.ids import Offset


def open_in(folder: Path) -> set[str]:
    """Return the names of the files in a folder that this process has open."""
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        try:
            path = link.readlink()
        except FileNotFoundError:  # that of the listing itself
            continue
        if path.parent == folder:
            found.add(path.name)
    return found


def made(disk: RealDisk, count: int) -> list[File]:
    """Return so many files, named after what is in them."""
    files = [disk.open(f"{number}") for number in range(count)]
    for number, file in enumerate(files):
        file.append([b"%d" % number])
    return files


def test_the_least_recently_used_give_their_descriptors_back(tmp_path: Path) -> None:
    files = made(RealDisk(tmp_path, files_max=3), 9)
    for file in files:
        file.sync()
    for _ in range(6):
        files[4].read(0, 1)
    for number, file in enumerate(files):
        files[4].read(0, 1)
        assert file.read(0, 9) == b"%d" % number
        assert len(open_in(tmp_path)) <= 3
        assert {"4", f"{number}"} <= open_in(tmp_path)
    assert open_in(tmp_path) == {"4", "7", "8"}
    for file in files:
        file.close()
    assert not open_in(tmp_path)


def test_a_file_works_on_where_it_was_closed_meanwhile(tmp_path: Path) -> None:
    one, other = made(RealDisk(tmp_path, files_max=1), 2)
    for round_number in range(1, 4):
        one.append([b"+"])
        one.sync()
        other.truncate(0)
        other.append([b"x"])
        other.sync()
        assert one.size_bytes() == len(one.read(0, 99)) == 1 + round_number
        assert other.read(0, 99) == b"x"
    one.sync()
    one.close()
    other.close()


def test_what_is_not_synced_stays_open(tmp_path: Path) -> None:
    files = made(RealDisk(tmp_path, files_max=2), 6)
    assert len(open_in(tmp_path)) == 6
    for file in files[:5]:
        file.sync()
    for _ in range(6):
        files[0].read(0, 1)
    assert open_in(tmp_path) == {"0", "5"}
    files[5].sync()
    files[1].read(0, 1)
    assert open_in(tmp_path) == {"0", "1"}
    for file in files:
        file.close()


def test_a_closed_file_is_not_opened_again(tmp_path: Path) -> None:
    (file,) = made(RealDisk(tmp_path), 1)
    file.close()
    with pytest.raises(StorageError, match="0 is closed"):
        file.read(0, 1)
    with pytest.raises(StorageError, match="0 is closed"):
        file.append([b"x"])
    with pytest.raises(StorageError, match="0 is closed"):
        file.sync()
    assert not open_in(tmp_path)


def test_another_thread_takes_no_descriptor_away(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path, files_max=1)
    (file,) = made(disk, 1)
    file.sync()

    def use_another() -> None:
        other = disk.open("other")
        other.append([b"x"])
        assert open_in(tmp_path) == {"0", "other"}
        other.close()

    failed: list[BaseException] = []

    def run() -> None:
        try:
            use_another()
        except BaseException as error:  # noqa: BLE001 - it is raised below
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(10)
    assert not failed
    assert open_in(tmp_path) == {"0"}
    file.close()


def test_a_sync_elsewhere_finds_a_file_that_was_given_back(tmp_path: Path) -> None:
    one, other = made(RealDisk(tmp_path, files_max=1), 2)
    one.sync()
    other.sync()
    one.read(0, 1)
    one.read(0, 1)
    assert open_in(tmp_path) == {"0"}
    thread = threading.Thread(target=other.sync)
    thread.start()
    thread.join(10)
    assert open_in(tmp_path) == {"0"}
    for file in (one, other):
        file.close()


def test_a_segment_that_is_given_its_name_is_found_under_it(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path, files_max=1)
    segment = Segment(disk, ".", Offset(7), 4096)
    segment.create_cleaned()
    (other,) = made(disk, 1)
    segment.sync(segment.file())
    segment.rename("")
    assert segment.file().size_bytes() == 0
    assert open_in(tmp_path) == {"0", f"{7:020d}.log"}
    assert not list(tmp_path.glob(f"*{CLEANED_SUFFIX}"))
    segment.close()
    other.close()
