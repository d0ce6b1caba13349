"""What is noted every few seconds: of the replicas that have moved, without a look at all others."""

from __future__ import annotations

from random import Random

import pytest

from nodes.broker.logs.checkpoints import (
    CLEANED,
    HIGH_WATERMARKS,
    RECOVERY_POINTS,
    read_checkpoint,
    write_checkpoint,
)
from nodes.broker.partitions import upkeep
from nodes.broker.partitions.upkeep import HIGH_WATERMARK_INTERVAL_MS, Upkeep
from nodes.config import LogConfig
from nodes.storage.disk import StorageError
from tests.simulation.disk import SimulatedDisk
from tests.unit.broker.partition_fleet import PartitionFleet
from tests.unit.broker.test_replicas_cleaning import COMPACT, write
from transport.wire.ids import Offset, TopicPartition

ROUND_MS = HIGH_WATERMARK_INTERVAL_MS + 100


@pytest.fixture
def looked_at_all(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """By file, each look at all replicas."""
    looks: list[str] = []
    look = Upkeep._all_of

    def counted(self: Upkeep, file: str) -> upkeep.Offsets:
        looks.append(file)
        return look(self, file)

    monkeypatch.setattr(Upkeep, "_all_of", counted)
    return looks


def high_watermarks(fleet: PartitionFleet) -> dict[TopicPartition, int]:
    return dict(read_checkpoint(fleet.disks[1], HIGH_WATERMARKS))


def test_only_what_has_moved_is_looked_at(looked_at_all: list[str]) -> None:
    fleet = PartitionFleet(1)
    fleet.settle()
    first = fleet.create("t", 3)
    keys = [first._replace(partition=number) for number in range(3)]
    for key in keys:
        fleet.write(key, b"a")
    fleet.world.run_for(2 * ROUND_MS)
    assert high_watermarks(fleet) == {TopicPartition("t", number): 1 for number in range(3)}
    looked_at_all.clear()
    fleet.world.run_for(2 * ROUND_MS)
    fleet.write(keys[1], b"b", b"c")
    fleet.world.run_for(ROUND_MS)
    assert high_watermarks(fleet)[TopicPartition("t", 1)] == 3
    assert len(high_watermarks(fleet)) == 3
    assert looked_at_all == []


def test_a_topic_that_is_gone_is_noted_no_more() -> None:
    fleet = PartitionFleet(1)
    fleet.settle()
    fleet.write(fleet.create("t"), b"a")
    fleet.write(fleet.create("u"), b"a")
    fleet.world.run_for(2 * ROUND_MS)
    assert set(high_watermarks(fleet)) == {TopicPartition("t", 0), TopicPartition("u", 0)}
    fleet.delete("t")
    fleet.world.run_for(ROUND_MS)
    assert set(high_watermarks(fleet)) == {TopicPartition("u", 0)}


def test_what_the_disk_refused_is_noted_the_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = PartitionFleet(1)
    fleet.settle()
    key = fleet.create()
    fleet.write(key, b"a")
    fleet.world.run_for(2 * ROUND_MS)

    def refuse(*_given: object, **_named: object) -> None:
        raise StorageError("no")

    fleet.write(key, b"b")
    with monkeypatch.context() as patched:
        patched.setattr(upkeep, "write_checkpoint", refuse)
        fleet.world.run_for(ROUND_MS)
    assert high_watermarks(fleet) == {TopicPartition("t", 0): 1}
    fleet.world.run_for(ROUND_MS)
    assert high_watermarks(fleet) == {TopicPartition("t", 0): 2}


def test_how_far_a_log_is_compacted_is_noted() -> None:
    fleet = PartitionFleet(1, log=LogConfig(cleaner_interval_ms=ROUND_MS + ROUND_MS // 2))
    fleet.settle()
    key = fleet.create(configs=COMPACT)
    write(fleet, key, {}, 120, Random(1))  # nothing is compacted before all this is noted
    fleet.world.run_for(3 * ROUND_MS)
    log = fleet.replica(1, key).log
    assert log is not None
    noted = read_checkpoint(fleet.disks[1], CLEANED)
    assert noted == {TopicPartition("t", 0): log.cleaned_to}
    assert log.cleaned_to > 0


def test_that_less_of_a_log_is_compacted_is_noted_before_it_is_written_to() -> None:
    """Else a process that is killed then would let tombstones go, and keep what they have deleted."""
    fleet = PartitionFleet(1, log=LogConfig(cleaner_interval_ms=ROUND_MS))
    fleet.settle()
    key = fleet.create(configs=COMPACT)
    write(fleet, key, {}, 120, Random(1))
    fleet.world.run_for(3 * ROUND_MS)
    replica = fleet.replica(1, key)
    assert replica.log is not None
    replica.log.truncate_to(Offset(10))
    assert read_checkpoint(fleet.disks[1], RECOVERY_POINTS) == {}, "that is cause enough"
    replica._host.on_cut(replica)
    assert read_checkpoint(fleet.disks[1], CLEANED) == {TopicPartition("t", 0): 10}


def test_that_less_of_a_log_is_committed_is_noted_before_it_is_written_to() -> None:
    """Only after an unclean election; what a process that is killed then had written anew would count as
    committed otherwise."""
    fleet = PartitionFleet(1)
    fleet.settle()
    key = fleet.create(configs={"retention.ms": "-1"})
    for _ in range(20):
        fleet.write(key, b"a")
    fleet.world.run_for(2 * ROUND_MS)
    assert high_watermarks(fleet) == {TopicPartition("t", 0): 20}
    replica = fleet.replica(1, key)
    assert replica.log is not None
    replica.log.truncate_to(Offset(10))
    replica._host.on_cut(replica)
    assert high_watermarks(fleet) == {TopicPartition("t", 0): 10}


def test_a_checkpoint_that_was_cut_short_counts_as_missing() -> None:
    disk, noted = (
        SimulatedDisk(),
        {TopicPartition("t", 0): Offset(7), TopicPartition("u", 1): 1_234},
    )
    write_checkpoint(disk, CLEANED, noted, durable=True)
    data = disk.read_file(CLEANED)
    assert data is not None
    assert read_checkpoint(disk, CLEANED) == noted
    for kept_bytes in range(len(data)):
        disk.write_file(CLEANED, data[:kept_bytes], durable=True)
        assert read_checkpoint(disk, CLEANED) == {}
