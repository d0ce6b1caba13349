"""The Raft log on disk: what was synced survives everything, and damage never passes for data."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest

from nodes.config import RaftConfig
from nodes.core.raft.core import RaftCore
from nodes.core.raft.events import Membership
from nodes.storage.disk import Buffer, Damaged, DiskFull
from nodes.storage.raft_log import RaftLog, StoredLog
from transport.kernel import Now
from transport.wire.ids import NO_NODE, LogIndex, NodeId, Term
from transport.wire.messages.raft import Entry

FOLDER = "raft/log"


class MemoryFile:
    def __init__(self, path: str, disk: MemoryDisk) -> None:
        self._path = path
        self._disk = disk
        self.data = bytearray()
        self.synced_bytes = 0

    @property
    def path(self) -> str:
        return self._path

    def append(self, buffers: Sequence[Buffer]) -> None:
        size = sum(len(buffer) for buffer in buffers)
        if size > self._disk.room_bytes:
            raise DiskFull(f"{self._path}: full")
        for buffer in buffers:
            self.data += buffer

    def read(self, position_bytes: int, size_bytes: int) -> bytes:
        return bytes(self.data[position_bytes : position_bytes + size_bytes])

    def read_cached(self, position_bytes: int, size_bytes: int) -> bytes | None:
        return self.read(position_bytes, size_bytes)

    def size_bytes(self) -> int:
        return len(self.data)

    def truncate(self, size_bytes: int) -> None:
        del self.data[size_bytes:]
        self.synced_bytes = min(self.synced_bytes, size_bytes)

    def sync(self) -> None:
        self.synced_bytes = len(self.data)

    def close(self) -> None:
        pass


class MemoryDisk:
    """Forgets, when the power goes, what was not synced: bytes, and names of new files."""

    def __init__(self) -> None:
        self.files: dict[str, MemoryFile] = {}
        self.named: set[str] = set()
        self.room_bytes = 1 << 40

    def open(self, path: str, *, create: bool = True) -> MemoryFile:
        return self.files.setdefault(path, MemoryFile(path, self))

    def exists(self, path: str) -> bool:
        return any(name.startswith(path) for name in self.files)

    def list(self, path: str) -> list[str]:
        names = [name.removeprefix(path + "/") for name in self.files if name.startswith(path)]
        return sorted(names)

    def make_folder(self, path: str) -> None:
        pass

    def read_file(self, path: str) -> bytes | None:
        file = self.files.get(path)
        return bytes(file.data) if file else None

    def write_file(self, path: str, data: bytes, *, durable: bool) -> None:
        raise NotImplementedError

    def rename(self, old: str, new: str) -> None:
        raise NotImplementedError

    def remove(self, path: str) -> None:
        self.files.pop(path, None)
        self.named.discard(path)

    def sync_folder(self, path: str) -> None:
        self.named |= {name for name in self.files if name.startswith(path)}

    def free_bytes(self, path: str = "") -> int:
        return self.room_bytes

    def cut_power(self, chance: Random | None = None) -> None:
        """Lose what is not durable; with ``chance`` a part of each unsynced tail is there."""
        for path in list(self.files):
            file = self.files[path]
            if path not in self.named:
                del self.files[path]
                continue
            kept = file.synced_bytes
            if chance is not None:
                kept = chance.randint(kept, len(file.data))
            del file.data[kept:]
            file.synced_bytes = kept


def entries(term: int, first: int, count: int, data: bytes = b"x") -> list[Entry]:
    return [Entry(Term(term), LogIndex(i), 1, data) for i in range(first, first + count)]


def hard(term: int, vote: int = -1) -> tuple[Term, NodeId]:
    return Term(term), NodeId(vote)


def reopen(disk: MemoryDisk, index: int = 0, term: int = 0, segment_bytes: int = 400) -> RaftLog:
    return RaftLog.open(
        disk,
        FOLDER,
        snapshot_index=LogIndex(index),
        snapshot_term=Term(term),
        segment_bytes=segment_bytes,
    )


def found(disk: MemoryDisk, index: int = 0, term: int = 0) -> StoredLog:
    return reopen(disk, index, term).stored()


def segments(disk: MemoryDisk) -> list[str]:
    return disk.list(FOLDER)


def last_file(disk: MemoryDisk) -> MemoryFile:
    return disk.files[f"{FOLDER}/{segments(disk)[-1]}"]


def test_nothing_was_stored() -> None:
    assert found(MemoryDisk()) == StoredLog((Term(0), NO_NODE), LogIndex(0), Term(0), [])


def test_entries_and_the_newest_promise_come_back() -> None:
    disk = MemoryDisk()
    log = reopen(disk)
    log.write(None, entries(1, 1, 2), hard(1, 2))
    log.write(None, entries(1, 3, 1, b"payload"), None)
    log.write(None, [], hard(3, 1))
    stored = found(disk)
    assert stored.hard_state == (3, 1)
    assert stored.entries == [*entries(1, 1, 2), *entries(1, 3, 1, b"payload")]


def test_replaced_entries_stay_replaced() -> None:
    disk = MemoryDisk()
    log = reopen(disk)
    log.write(None, entries(1, 1, 5), hard(1))
    log.write(LogIndex(3), entries(2, 3, 1), hard(2))
    log.write(None, entries(2, 4, 1), None)
    assert found(disk).entries == [*entries(1, 1, 2), *entries(2, 3, 2)]


def test_what_was_found_starts_a_core() -> None:
    disk = MemoryDisk()
    reopen(disk).write(None, entries(4, 1, 3), hard(4, 1))
    stored = reopen(disk).stored()
    voters = (NodeId(1), NodeId(2), NodeId(3))
    core = RaftCore(NodeId(1), Membership(voters), RaftConfig(), stored, Random(1), Now(0, 0))
    assert (core.term, core.last_index) == (4, 3)


@pytest.mark.parametrize("damage", ["cut", "flip"])
def test_a_torn_last_record_is_cut_wherever_it_was_torn(damage: str) -> None:
    disk = MemoryDisk()
    log = reopen(disk, segment_bytes=10_000)
    log.write(None, entries(1, 1, 3), hard(1, 1))
    before = len(last_file(disk).data)
    log.write(None, entries(1, 4, 2, b"abc"), hard(2, 3))
    whole = bytes(last_file(disk).data)
    for place in range(before, len(whole)):
        file = last_file(disk)
        file.data[:] = whole[:place] if damage == "cut" else whole
        if damage == "flip":
            file.data[place] ^= 0x40
        again = reopen(disk, segment_bytes=10_000)
        assert again.stored().hard_state == (1, 1), place
        assert again.stored().entries == entries(1, 1, 3)
        again.write(None, entries(2, 4, 1), hard(2, 2))
        assert found(disk).entries == [*entries(1, 1, 3), *entries(2, 4, 1)]


def test_damage_before_whole_records_is_told_and_nothing_is_cut() -> None:
    disk = MemoryDisk()
    log = reopen(disk, segment_bytes=10_000)
    log.write(None, entries(1, 1, 1), hard(1))
    middle = len(last_file(disk).data) + 5
    log.write(None, entries(1, 2, 1), None)
    log.write(None, entries(1, 3, 1), None)
    last_file(disk).data[middle] ^= 1
    size = len(last_file(disk).data)
    with pytest.raises(Damaged, match=r"damaged at byte \d+, before records that are whole"):
        reopen(disk)
    assert len(last_file(disk).data) == size


def test_damage_at_the_end_of_an_earlier_segment_is_no_torn_tail() -> None:
    disk = MemoryDisk()
    log = reopen(disk)
    for index in range(1, 40):
        log.write(None, entries(1, index, 1), hard(1))
    assert len(segments(disk)) > 2
    first = disk.files[f"{FOLDER}/{segments(disk)[0]}"]
    del first.data[-1]
    with pytest.raises(Damaged):
        reopen(disk)


def test_a_record_is_valid_only_in_its_place() -> None:
    disk = MemoryDisk()
    log = reopen(disk, segment_bytes=10_000)
    log.write(None, entries(1, 1, 1), hard(1))
    start = len(last_file(disk).data)
    log.write(None, entries(1, 2, 1), None)
    data = last_file(disk).data
    data += data[start:]  # The same bytes once more: stale, not a record.
    assert found(disk).entries == entries(1, 1, 2)


def test_segments_are_bounded_and_compacted_whole() -> None:
    disk = MemoryDisk()
    log = reopen(disk)
    for index in range(1, 60):
        log.write(None, entries(1, index, 1, b"y" * 20), hard(1, 1))
        assert len(last_file(disk).data) < 600
    before = len(segments(disk))
    log.compact(LogIndex(30), Term(1))
    assert 1 < len(segments(disk)) < before
    stored = found(disk, 30, 1)
    assert stored.entries == entries(1, 31, 29, b"y" * 20)
    assert stored.hard_state == (1, 1)
    log.compact(LogIndex(59), Term(1))
    assert len(segments(disk)) == 1
    with pytest.raises(Damaged, match="what is between is lost"):
        reopen(disk, 3, 1)


@pytest.mark.parametrize("index", range(1, 30))
def test_compaction_drops_nothing_that_is_needed(index: int) -> None:
    disk = MemoryDisk()
    log = reopen(disk, segment_bytes=150)
    for each in range(1, 31):
        log.write(None, entries(1, each, 1), hard(1))
    log.compact(LogIndex(index), Term(1))
    assert found(disk, index, 1).entries == entries(1, index + 1, 30 - index)


def test_a_cut_below_a_dropped_segment_is_understood() -> None:
    disk = MemoryDisk()
    log = reopen(disk, segment_bytes=300)
    log.write(None, entries(1, 1, 5, b"z" * 60), hard(1))
    log.write(None, [], hard(2))  # In a second segment, which begins after entry 5.
    log.write(LogIndex(4), entries(2, 4, 3), None)
    log.compact(LogIndex(5), Term(2))
    assert len(segments(disk)) == 1
    assert found(disk, 5, 2).entries == entries(2, 6, 1)
    log.write(None, entries(2, 7, 1), None)
    assert found(disk, 5, 2).entries == entries(2, 6, 2)


def test_reset_forgets_entries_and_keeps_promises() -> None:
    disk = MemoryDisk()
    log = reopen(disk)
    for index in range(1, 30):
        log.write(None, entries(1, index, 1), hard(1, 3))
    log.reset(LogIndex(100), Term(5))
    disk.cut_power()
    stored = found(disk, 100, 5)
    assert stored == StoredLog(hard(1, 3), LogIndex(100), Term(5), [])
    log = reopen(disk, 100, 5)
    log.write(None, entries(5, 101, 2), hard(5))
    assert found(disk, 100, 5).entries == entries(5, 101, 2)


def test_a_reset_that_was_not_tidied_up() -> None:
    disk = MemoryDisk()
    log = reopen(disk)
    for index in range(1, 30):
        log.write(None, entries(1, index, 1), hard(1, 3))
    old = dict(disk.files)
    log.reset(LogIndex(100), Term(5))
    disk.files |= old
    assert found(disk, 100, 5) == StoredLog(hard(1, 3), LogIndex(100), Term(5), [])
    assert len(segments(disk)) == 1


def test_segments_left_over_from_a_compaction() -> None:
    disk = MemoryDisk()
    log = reopen(disk)
    for index in range(1, 60):
        log.write(None, entries(1, index, 1, b"y" * 20), hard(1, 1))
    first = segments(disk)[0]
    left_over = disk.files[f"{FOLDER}/{first}"]
    log.compact(LogIndex(40), Term(1))
    disk.files[f"{FOLDER}/{first}"] = left_over
    assert found(disk, 40, 1).entries == entries(1, 41, 19, b"y" * 20)
    assert first not in segments(disk)


@pytest.mark.parametrize(
    ("index", "term", "left"),
    [(3, 1, [4, 5]), (5, 1, []), (9, 1, []), (4, 2, [])],
    ids=["inside", "at the end", "overtook the log", "conflicts with the log"],
)
def test_going_on_from_a_snapshot(index: int, term: int, left: list[int]) -> None:
    disk = MemoryDisk()
    reopen(disk).write(None, entries(1, 1, 5), hard(2, 1))
    log = reopen(disk, index, term)
    assert [entry.index for entry in log.stored().entries] == left
    assert log.stored().hard_state == (2, 1)
    following = index + len(left) + 1
    log.write(None, entries(2, following, 1), None)
    assert [e.index for e in found(disk, index, term).entries] == [*left, following]


def test_a_segment_that_was_begun_and_nothing_of_it_written() -> None:
    disk = MemoryDisk()
    log = reopen(disk, segment_bytes=10)
    log.write(None, entries(1, 1, 1), hard(1))
    log.write(None, entries(1, 2, 1), None)
    del last_file(disk).data[3:]
    log = reopen(disk)
    assert log.stored().entries == entries(1, 1, 1)
    log.write(None, entries(2, 2, 1), hard(2))
    assert found(disk).entries == [*entries(1, 1, 1), *entries(2, 2, 1)]


def test_what_a_killed_process_wrote_is_durable_once_it_was_read() -> None:
    disk = MemoryDisk()
    reopen(disk).write(None, entries(1, 1, 2), hard(1, 2))
    stored = found(disk)
    disk.cut_power()
    assert found(disk) == stored
    assert stored.entries


def test_a_full_disk_is_reported_and_the_log_stays_whole() -> None:
    disk = MemoryDisk()
    log = reopen(disk)
    log.write(None, entries(1, 1, 2), hard(1))
    disk.room_bytes = 10
    with pytest.raises(DiskFull):
        log.write(None, entries(1, 3, 1), None)
    assert found(disk).entries == entries(1, 1, 2)


@pytest.mark.parametrize("seed", range(60))
def test_power_cuts_lose_only_what_was_not_synced(seed: int) -> None:
    chance = Random(seed)
    disk = MemoryDisk()
    log = reopen(disk, segment_bytes=200)
    states = [log.stored()]
    synced = 0
    state = states[0]
    for _ in range(120):
        draw = chance.random()
        last = state.entries[-1].index if state.entries else state.snapshot_index
        if draw < 0.6:
            cut = None
            kept = list(state.entries)
            term = state.hard_state[0] + chance.choice([0, 0, 1])
            if kept and chance.random() < 0.2:
                cut = chance.choice(kept).index
                kept = [entry for entry in kept if entry.index < cut]
                last = LogIndex(cut - 1)
            new = entries(term, last + 1, chance.randint(1, 3), b"d" * chance.randint(0, 30))
            promise = hard(term, chance.randint(1, 3))
            log.write(cut, new, promise)
            state = StoredLog(promise, state.snapshot_index, state.snapshot_term, [*kept, *new])
            states.append(state)
        elif draw < 0.8:
            log.sync()
            synced = len(states) - 1
        else:
            if chance.random() < 0.5:
                disk.cut_power(chance)
            log = reopen(disk, segment_bytes=200)
            state = log.stored()
            assert state in states[synced:], "a synced write is lost, or something was made up"
            states = [state]
            synced = 0
