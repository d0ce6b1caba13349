"""Snapshots: whole or passed over, the newest two kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodes.storage import snapshots
from nodes.storage.disk import Damaged, RealDisk
from transport.wire.ids import LogIndex, Term

FOLDER = "raft/snapshots"


def save(disk: RealDisk, index: int, data: bytes) -> None:
    snapshots.save(disk, FOLDER, LogIndex(index), Term(index // 10), data)


def file_of(root: Path, index: int) -> Path:
    return next((root / FOLDER).glob(f"*{index:020d}*"))


def test_none_was_ever_made(tmp_path: Path) -> None:
    assert snapshots.load_newest(RealDisk(tmp_path), FOLDER) is None


def test_the_newest_comes_back_and_two_are_kept(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path)
    for index in (9, 90, 100):
        save(disk, index, b"state %d" % index)
    assert snapshots.load_newest(disk, FOLDER) == (100, 10, b"state 100")
    assert len(disk.list(FOLDER)) == 2


def test_an_empty_state_is_a_state(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path)
    save(disk, 5, b"")
    assert snapshots.load_newest(disk, FOLDER) == (5, 0, b"")


def test_any_damage_is_seen_and_the_one_before_is_taken(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path)
    save(disk, 10, b"older")
    save(disk, 20, b"newer")
    path = file_of(tmp_path, 20)
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert snapshots.load_newest(disk, FOLDER) == (10, 1, b"older"), place
        path.write_bytes(whole[:place])
        assert snapshots.load_newest(disk, FOLDER) == (10, 1, b"older"), place


def test_when_none_is_whole_that_is_said(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path)
    save(disk, 10, b"older")
    save(disk, 20, b"newer")
    for index in (10, 20):
        path = file_of(tmp_path, index)
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(Damaged, match=r"4 bytes instead of 5.*4 bytes instead of 5"):
        snapshots.load_newest(disk, FOLDER)
