"""The simulated disk keeps what a real one must, and forgets what one may."""

from __future__ import annotations

from random import Random

import pytest

from nodes.storage.disk import DiskFull, StorageError
from tests.simulation.disk import SimulatedDisk


def disk_with(path: str, *parts: bytes) -> SimulatedDisk:
    """Return a disk with a file of which all but the last part is synced."""
    disk = SimulatedDisk()
    disk.make_folder("logs")
    disk.sync_folder("")
    file = disk.open(path)
    disk.sync_folder("logs")
    for part in parts[:-1]:
        file.append([part])
        file.sync()
    file.append([parts[-1]])
    return disk


def test_a_power_loss_keeps_what_was_synced_and_tears_the_rest() -> None:
    kept = set()
    for seed in range(50):
        disk = disk_with("logs/a", b"synced", b"written")
        disk.lose_power(Random(seed))
        data = disk.read_file("logs/a")
        assert data is not None
        assert data.startswith(b"synced")
        assert b"syncedwritten".startswith(data)
        kept.add(len(data))
    assert {6, 13} < kept, "everything from nothing to all of it"


def test_a_file_whose_folder_was_not_synced_may_be_gone() -> None:
    found = set()
    for seed in range(20):
        disk = SimulatedDisk()
        disk.open("a").sync()
        disk.lose_power(Random(seed))
        found.add(disk.exists("a"))
    assert found == {True, False}


def test_a_renamed_folder_takes_its_files_along_and_leaves_none_to_its_successor() -> None:
    for seed in range(20):
        disk = disk_with("logs/a", b"old", b"")
        disk.rename("logs", "aside")
        disk.sync_folder("")
        disk.make_folder("logs")
        disk.sync_folder("")
        disk.open("logs/b")
        disk.lose_power(Random(seed))
        assert disk.read_file("aside/a") == b"old"
        assert disk.list("logs") in ([], ["b"])


def test_a_rename_that_was_not_synced_is_undone() -> None:
    disk = disk_with("logs/a", b"old", b"")
    disk.rename("logs", "aside")
    disk.make_folder("logs")
    disk.lose_power(Random(1))
    assert disk.read_file("logs/a") == b"old"
    assert not disk.exists("aside")


def test_a_failed_sync_saves_nothing() -> None:
    disk = disk_with("logs/a", b"synced", b"")
    file = disk.open("logs/a")
    disk.failing_sync = True
    file.append([b"x" * 1000])
    with pytest.raises(StorageError, match="failed a sync"):
        file.sync()
    sizes = set()
    for _ in range(2):
        disk.lose_power(Random(3))
        sizes.add(len(disk.read_file("logs/a") or b""))
    assert max(sizes) < 1006


def test_a_full_disk_takes_nothing_and_keeps_all() -> None:
    disk = disk_with("logs/a", b"kept", b"")
    disk.set_free_bytes(3)
    with pytest.raises(DiskFull):
        disk.open("logs/a").append([b"more"])
    assert disk.read_file("logs/a") == b"kept"


def test_a_flipped_bit_is_read_and_survives_a_power_loss() -> None:
    disk = disk_with("logs/a", b"\x00\x00", b"")
    disk.flip("logs/a", 1, 4)
    disk.lose_power(Random(1))
    assert disk.read_file("logs/a") == b"\x00\x10"
    assert disk.has_flipped("logs/a")
