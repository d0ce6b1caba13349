"""Reads of what is not in memory, or old: the pool brings it, and nobody else waits meanwhile."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nodes.config import LogConfig
from nodes.storage.disk import RealDisk
from tests.simulation.disk import SimulatedFile
from tests.unit.broker.partition_fleet import (
    Answer,
    PartitionFleet,
    fetch_request,
    make_batch,
    values_of,
)
from transport.wire.errors import ErrorCode
from transport.wire.ids import LeaderEpoch, Offset, PartitionKey
from transport.wire.messages.fetch import FetchPartition, FetchRequest, FetchResponse

VALUE = b"v" * 1_000
SLOW_US = 400_000


def cold_fleet(**settings: int) -> tuple[PartitionFleet, PartitionKey]:
    """One broker, with a log of an earlier process: its pages are gone, and its disk is slow."""
    log = LogConfig(segment_bytes=50_000, recovery_note_bytes=1, recent_bytes=10_000)
    fleet = PartitionFleet(1, log=log, **settings)
    fleet.settle()
    key = fleet.create()
    for number in range(100):
        fleet.write(key, b"%d" % number + VALUE)
    fleet.kill(1)
    fleet.start(1)
    fleet.settle()
    fleet.leader(key)
    fleet.disks[1].forget_pages()
    fleet.processes[1].job_us = (SLOW_US, SLOW_US)
    return fleet, key


def numbers_of(answer: Answer) -> list[bytes]:
    """Return which of the values of ``cold_fleet`` are in an answer."""
    return [value.partition(b"v")[0] for data in answer[1] for value in values_of(data) if value]


def cold_reads(fleet: PartitionFleet, number: int = 1) -> int:
    return fleet.server(number).context.figures.get("cold_reads", 0)


def test_a_cold_read_is_answered_once_it_is_done_and_holds_nobody_up() -> None:
    fleet, key = cold_fleet()
    answers: list[Answer] = []
    fleet.post_whole(1, fetch_request(key, 0, max_bytes=30_000, max_wait_ms=2_000), answers)
    began_us = fleet.world.now_us
    outcome = fleet.produce(1, key, make_batch(b"new"))
    assert outcome.error == ErrorCode.NONE
    assert fleet.world.now_us - began_us < SLOW_US // 10
    assert not answers
    fleet.wait(lambda: bool(answers))
    assert fleet.world.now_us - began_us >= SLOW_US // 2
    numbers = numbers_of(answers[0])
    assert numbers == [b"%d" % number for number in range(len(numbers))]
    assert len(numbers) > 10
    assert cold_reads(fleet) == 1


def test_what_was_written_just_now_is_read_at_once() -> None:
    fleet, key = cold_fleet()
    offset = fleet.produce(1, key, make_batch(b"new")).base_offset
    began_us = fleet.world.now_us
    _, (data,) = fleet.fetch(1, key, offset, max_wait_ms=2_000)
    assert values_of(data) == [b"new"]
    assert fleet.world.now_us - began_us < SLOW_US // 10
    assert cold_reads(fleet) == 0


def test_who_looks_again_and_again_while_it_waits_is_remembered_once() -> None:
    """Each write to the partition makes its readers look."""
    fleet, key = cold_fleet()
    answers: list[Answer] = []
    fleet.post_whole(1, fetch_request(key, 0, max_bytes=30_000, max_wait_ms=2_000), answers)
    for _ in range(20):
        fleet.produce(1, key, make_batch(b"new"))
    assert not answers
    cold = fleet.hosted(1)._fetches._reads._cold_reads
    assert [len(thens) for queue in cold._waiting for _, thens in queue.values()] == [1]
    fleet.wait(lambda: bool(answers))
    assert numbers_of(answers[0])[:2] == [b"0", b"1"]


def test_readers_of_the_same_wait_for_one_read() -> None:
    fleet, key = cold_fleet()
    answers: list[Answer] = []
    for _ in range(4):
        fleet.post_whole(1, fetch_request(key, 0, max_bytes=30_000, max_wait_ms=2_000), answers)
    fleet.wait(lambda: len(answers) == 4)
    assert cold_reads(fleet) == 1
    assert all(payload for _, payload in answers)


def test_a_fetch_whose_time_is_up_is_answered_empty_and_the_next_one_finds_it_warm() -> None:
    fleet, key = cold_fleet()
    body, payload = fleet.fetch(1, key, 0, max_bytes=30_000, max_wait_ms=50)
    assert not payload
    assert not any(part.error for part in body.partitions)
    fleet.world.run_for(SLOW_US // 1_000)
    _, payload = fleet.fetch(1, key, 0, max_bytes=30_000, max_wait_ms=0)
    assert payload
    assert cold_reads(fleet) == 1


def test_a_partition_that_moves_does_not_starve_one_that_is_cold() -> None:
    """Each fetch is answered with what was just written, long before the other has been read."""
    fleet, key = cold_fleet()
    busy = fleet.create("busy")
    offset, found = Offset(0), list[bytes]()
    while not found:
        fleet.produce(1, busy, make_batch(b"new"))
        parts = tuple(
            FetchPartition(one.topic_id, one.partition, LeaderEpoch(-1), at, 30_000)
            for one, at in ((busy, offset), (key, Offset(0)))
        )
        body, payload = fleet.ask_whole(1, FetchRequest(2_000, 1, 100_000, parts))
        assert isinstance(body, FetchResponse)
        assert payload
        told = {part.topic_id: payload[part.frame] for part in body.partitions if part.frame >= 0}
        offset = Offset(offset + (busy.topic_id in told))
        found = [b"x"] if key.topic_id in told else []
        assert fleet.world.now_us < 60_000_000
    assert offset > 2
    assert cold_reads(fleet) == 1


def test_consumers_are_given_so_many_bytes_a_second_while_something_is_written() -> None:
    fleet, key = cold_fleet(cold_read_byte_rate=30_000)
    fleet.processes[1].job_us = (1, 1)

    def read_ms(written: bytes = b"") -> int:
        """Read some 60,000 bytes, while so much is written every ten milliseconds."""
        offset, began_us = 0, fleet.world.now_us
        while offset < 60:
            answers: list[Answer] = []
            request = fetch_request(key, offset, max_bytes=10_000, max_wait_ms=2_000)
            fleet.post_whole(1, request, answers)
            while not answers:
                if written:
                    fleet.produce(1, key, make_batch(written))
                fleet.world.run_for(10)
            offset += len(numbers_of(answers[0]))
        return (fleet.world.now_us - began_us) // 1_000

    fleet.world.run_for(1_000)
    assert read_ms() < 300
    fleet.world.run_for(3_000)
    assert 800 < read_ms(b"new") < 3_000
    fleet.world.run_for(3_000)
    assert read_ms(b"new" * 2_000) < 400, "whoever is behind may get as much as is written"


@pytest.mark.parametrize("in_memory", [True, False])
def test_followers_are_not_held_back(in_memory: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in memory they take at once, also while something is written."""
    log = LogConfig(segment_bytes=50_000, recovery_note_bytes=1, recent_bytes=0)
    fleet = PartitionFleet(2, log=log, cold_read_byte_rate=1_024)
    fleet.settle()
    key = fleet.create()
    leader = fleet.leader(key)
    other = 3 - leader
    fleet.kill(other)
    fleet.wait(lambda: fleet.isr(key) == (leader,))
    for number in range(200):
        fleet.write(key, b"%d" % number + VALUE)
    monkeypatch.setattr(fleet.disks[leader], "is_warm", lambda *_: in_memory)
    fleet.start(other)
    fleet.wait(lambda: fleet.replica(leader, key).log is not None)
    began_us = fleet.world.now_us
    while len(fleet.isr(key)) < 2:
        fleet.produce(leader, key, make_batch(b"new"), acks=1)
        fleet.world.run_for(10)
        assert fleet.world.now_us - began_us < 4_000_000
    assert (cold_reads(fleet, leader) == 0) == in_memory


def test_a_damaged_batch_is_found_however_it_is_read() -> None:
    fleet, key = cold_fleet()
    log = fleet.replica(1, key).log
    assert log is not None
    fleet.disks[1].flip(log.segments[0].path, 500, 1)
    body, payload = fleet.fetch(1, key, 0, max_bytes=30_000, max_wait_ms=2_000)
    assert not payload
    assert body.partitions[0].error == ErrorCode.KAFKA_STORAGE_ERROR
    assert fleet.replica(1, key).is_damaged


def test_where_nothing_stays_in_memory_reads_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was brought and is gone again is read all the same: nobody is kept waiting for ever."""
    fleet, key = cold_fleet()
    monkeypatch.setattr(SimulatedFile, "read_cached", lambda *_: None)
    _, payload = fleet.fetch(1, key, 0, max_bytes=30_000, max_wait_ms=2_000)
    assert payload


def test_a_real_disk_tells_what_is_in_memory(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path)
    file = disk.open("f")
    file.append([bytes(1 << 20)])
    assert file.read_cached(100, 1 << 16) == bytes(1 << 16)
    assert file.read_cached((1 << 20) - 10, 11) is None, "there is no more"
    file.sync()
    with (tmp_path / "f").open("rb") as other:
        os.posix_fadvise(other.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    # Some file systems, such as tmpfs, have nothing but memory.
    assert file.read_cached(0, 1 << 20) in (None, bytes(1 << 20))
    assert file.read(0, 1 << 20) == bytes(1 << 20)
    file.close()
