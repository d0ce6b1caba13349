"""Reads of what is not in memory: the pool brings it, and nobody else waits meanwhile."""

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
from transport.wire.ids import PartitionKey

VALUE = b"v" * 1_000
SLOW_US = 400_000


def cold_fleet() -> tuple[PartitionFleet, PartitionKey]:
    """One broker, with a log of an earlier process: its pages are gone, and its disk is slow."""
    fleet = PartitionFleet(1, log=LogConfig(segment_bytes=50_000, recovery_note_bytes=1))
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


def test_a_cold_read_is_answered_once_it_is_warm_and_holds_nobody_up() -> None:
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
    _, (data,) = answers[0]
    values = [value.partition(b"v")[0] for value in values_of(data) if value]
    assert values == [b"%d" % number for number in range(len(values))]
    assert len(values) > 10
    assert fleet.server(1).context.figures["cold_reads"] == 1


def test_readers_of_the_same_wait_for_one_read() -> None:
    fleet, key = cold_fleet()
    answers: list[Answer] = []
    for _ in range(4):
        fleet.post_whole(1, fetch_request(key, 0, max_bytes=30_000, max_wait_ms=2_000), answers)
    fleet.wait(lambda: len(answers) == 4)
    assert fleet.server(1).context.figures["cold_reads"] == 1
    assert all(payload for _, payload in answers)


def test_a_fetch_whose_time_is_up_is_answered_empty_and_the_next_one_finds_it_warm() -> None:
    fleet, key = cold_fleet()
    body, payload = fleet.fetch(1, key, 0, max_bytes=30_000, max_wait_ms=50)
    assert not payload
    assert not any(part.error for part in body.partitions)
    fleet.world.run_for(SLOW_US // 500)
    _, payload = fleet.fetch(1, key, 0, max_bytes=30_000, max_wait_ms=0)
    assert payload


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
