"""The real disk behind the port."""

from __future__ import annotations

import os
import resource
import threading
from pathlib import Path

import pytest

from nodes.storage.disk import Disk, DiskFull, RealDisk, StorageError


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return RealDisk(tmp_path)


def test_what_is_appended_is_read_anywhere(disk: Disk) -> None:
    file = disk.open("a")
    file.append([b"one", bytearray(b"two"), memoryview(b"three")])
    file.append([])
    file.append([b""])
    assert (file.size_bytes(), file.path) == (11, "a")
    assert file.read(3, 3) == b"two"
    assert file.read(6, 100) == b"three"
    assert file.read(11, 1) == b""
    file.close()
    again = disk.open("a")
    again.append([b"!"])
    assert again.read(0, 100) == b"onetwothree!"
    again.close()


def test_many_small_buffers_are_more_than_one_call_takes(disk: Disk) -> None:
    file = disk.open("a")
    pieces = [b"%d," % number for number in range(5000)]
    file.append(pieces)
    assert file.read(0, 1 << 20) == b"".join(pieces)
    file.close()


def test_a_cut_file_goes_on_where_it_was_cut(disk: Disk) -> None:
    file = disk.open("a")
    file.append([b"0123456789"])
    file.truncate(4)
    file.append([b"x"])
    assert file.read(0, 100) == b"0123x"
    assert file.size_bytes() == 5
    file.sync()
    file.close()


def test_a_file_that_is_as_long_as_it_should_be_is_not_cut(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ext4 would write all of it out at its close."""
    cuts: list[int] = []
    monkeypatch.setattr(os, "ftruncate", lambda _fd, size_bytes: cuts.append(size_bytes))
    file = disk.open("a")
    file.truncate(0)
    file.append([b"0123"])
    file.truncate(4)
    assert not cuts
    file.truncate(3)
    assert cuts == [3]
    file.close()


def test_a_full_disk_leaves_what_was_there(disk: Disk, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    file = disk.open("a")
    file.append([b"kept"])

    # A limit on file sizes stops a write half-way, as a full disk does.
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(StorageError, match="writing a"):
            file.append([b"x" * 900, b"y" * 900])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (tmp_path / "a").read_bytes() == b"kept"
    assert file.size_bytes() == 4
    file.append([b"!"])
    assert file.read(0, 10) == b"kept!"
    file.close()


def test_no_space_has_an_error_of_its_own(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    file = disk.open("a")
    file.append([b"kept"])

    whole = os.pwritev

    def partly(fd: int, buffers: list[bytes], position: int) -> int:
        return whole(fd, [buffers[0][:1]], position)

    def full(fd: int, data: bytes, position: int) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwritev", partly)
        patched.setattr(os, "pwrite", full)
        with pytest.raises(DiskFull, match="No space left"):
            file.append([b"new"])
    assert file.read(0, 10) == b"kept"
    file.close()


def test_a_sync_for_which_there_is_no_space_is_no_refusal(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it was to save is lost, of a folder as of a file: nobody may just try again later."""
    file = disk.open("a")

    def full(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        patched.setattr("nodes.storage.disk._sync_data", full)
        for sync in (file.sync, lambda: disk.sync_folder("")):
            with pytest.raises(StorageError, match="No space left") as caught:
                sync()
            assert not isinstance(caught.value, DiskFull)
    file.close()


def test_a_partial_write_is_finished(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    file = disk.open("a")
    whole = os.pwritev

    def partly(fd: int, buffers: list[bytes], position: int) -> int:
        return whole(fd, [buffers[0][:2]], position)

    monkeypatch.setattr(os, "pwritev", partly)
    file.append([b"abc", b"def"])
    assert file.read(0, 10) == b"abcdef"
    file.close()


def test_a_closed_file_says_so(disk: Disk) -> None:
    file = disk.open("a")
    file.close()
    file.close()
    with pytest.raises(StorageError, match="closed"):
        file.sync()
    with pytest.raises(StorageError):
        file.append([b"x"])
    with pytest.raises(StorageError):
        file.read(0, 1)


def test_a_sync_under_way_survives_the_closing_of_its_file(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = disk.open("a")
    file.append([b"x"])
    began, go_on = threading.Event(), threading.Event()
    faults: list[BaseException] = []

    def slow(fd: int) -> None:
        began.set()
        go_on.wait(10)
        os.fsync(fd)

    def sync() -> None:
        try:
            file.sync()
        except StorageError as error:
            faults.append(error)

    monkeypatch.setattr("nodes.storage.disk._sync_data", slow)
    thread = threading.Thread(target=sync)
    thread.start()
    assert began.wait(10)
    file.close()
    go_on.set()
    thread.join(10)
    assert faults == []


def test_small_files_are_replaced_whole(disk: Disk, tmp_path: Path) -> None:
    assert disk.read_file("f") is None
    disk.write_file("f", b"old", durable=False)
    disk.write_file("f", b"new", durable=True)
    assert disk.read_file("f") == b"new"
    assert disk.list("") == ["f"]
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError):
        disk.write_file("folder", b"x", durable=False)
    assert disk.list("") == ["f", "folder"]


def test_folders(disk: Disk) -> None:
    assert disk.list("a/b") == []
    disk.make_folder("a/b")
    disk.make_folder("a/b")
    disk.write_file("a/b/2", b"", durable=True)
    disk.write_file("a/b/1", b"", durable=True)
    assert disk.list("a/b") == ["1", "2"]
    assert disk.exists("a/b/1")
    disk.rename("a/b", "a/c")
    disk.sync_folder("a")
    assert not disk.exists("a/b")
    disk.remove("a/c/1")
    disk.remove("a/c/1")
    disk.remove("a")
    assert disk.list("") == []
    assert disk.free_bytes() > 0


def test_errors_name_the_file(disk: Disk) -> None:
    with pytest.raises(StorageError, match="missing/file"):
        disk.open("missing/file")
    with pytest.raises(StorageError, match="missing"):
        disk.sync_folder("missing")
    with pytest.raises(StorageError, match="old"):
        disk.rename("old", "new")
