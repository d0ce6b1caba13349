"""One call to a broker's disk fails, and the next goes well: nothing may rest on the one that failed."""

from __future__ import annotations

from random import Random

import pytest

from nodes.broker.logs.checkpoints import (
    CLEAN_STOP,
    RECOVERY_POINTS,
    mark_clean_stop,
    take_clean_stop,
)
from nodes.broker.logs.directories import NOTE
from nodes.broker.partitions.replica import ReplicaState
from nodes.config import LogConfig
from nodes.storage.disk import DiskFull, StorageError
from tests.simulation.disk import SimulatedDisk
from tests.simulation.hiccup import Call
from tests.unit.broker.partition_fleet import PartitionFleet, make_batch
from tests.unit.broker.test_log_directories import make_fleet as make_fleet_of_directories
from tests.unit.broker.test_replicas_cleaning import COMPACT, make_keyed
from tests.unit.broker.test_replicas_faults import (
    dead_with_a_synced_tail,
    followers,
    whole,
)
from transport.wire.messages.produce import ACKS_LEADER


def refuse(disk: SimulatedDisk, name: str) -> None:
    """Let a small file be replaced by nobody, until ``allow``."""
    write_file = disk.write_file

    def refusing(path: str, data: bytes, *, durable: bool) -> None:
        if path == name:
            raise DiskFull(f"{path}: no space left")
        write_file(path, data, durable=durable)

    disk.write_file = refusing  # type: ignore[method-assign]


def allow(disk: SimulatedDisk) -> None:
    del disk.write_file


def test_nothing_is_appended_before_a_cut_is_noted() -> None:
    """Else a power cut would trust bytes that were never synced."""
    fleet, key, leader = dead_with_a_synced_tail()
    disk = fleet.disks[leader]
    fleet.network.heal_all()
    refuse(disk, RECOVERY_POINTS)
    fleet.start(leader)
    fleet.wait(lambda: leader in fleet.started())
    figures = fleet.server(leader).context.figures
    fleet.wait(lambda: figures.get("logs_truncated") == 1)
    other = fleet.leader(key)
    assert fleet.produce(other, key, make_batch(b"b"), acks=ACKS_LEADER).error == 0
    fleet.world.run_for(1_000)
    log = fleet.replica(leader, key).log
    assert log is not None
    assert log.log_end_offset == 1
    allow(disk)
    whole(fleet, key)
    assert fleet.logs(key) == [[b"a", b"b"]] * 3
    noted = disk.durable(RECOVERY_POINTS)
    assert noted is not None
    assert b"t 0 2" not in noted


def test_nothing_is_appended_to_a_log_that_nobody_could_find_again() -> None:
    """Where a new log is must be noted before: its directory may be gone at the next start."""
    fleet = make_fleet_of_directories()
    disk = fleet.disks[1]
    refuse(disk, NOTE)
    key = fleet.create()
    fleet.produce(fleet.leader(key), key, make_batch(b"a"), acks=ACKS_LEADER)
    fleet.world.run_for(1_000)
    log = fleet.replica(1, key).log
    assert log is not None
    assert log.log_end_offset == 0
    allow(disk)
    fleet.write(key, b"b")
    whole(fleet, key)
    note = disk.read_file(NOTE)
    assert note is not None
    assert b"t-0" in note


def test_the_mark_of_an_orderly_stop_goes_for_good_although_a_start_failed() -> None:
    """Come back by a loss of power it would say that nothing was lost."""
    disk = SimulatedDisk()
    mark_clean_stop(disk, {})
    disk.hiccups.expect(Call.FOLDER_SYNC)
    with pytest.raises(StorageError):
        take_clean_stop(disk)
    disk.write_back()
    assert take_clean_stop(disk) is None
    disk.lose_power(Random(1))
    assert not disk.exists(CLEAN_STOP)


def test_a_sync_that_fails_where_a_segment_is_begun_takes_the_directory_offline() -> None:
    """Of whom nobody asks for a sync the next would find nothing to do."""
    fleet = PartitionFleet(
        min_insync_replicas=2,
        replica_lag_time_max_ms=2_000,
        log=LogConfig(cleaner_interval_ms=200, recovery_checkpoint_interval_ms=60_000),
        log_dirs=("logs", "more"),
    )
    fleet.settle()
    key = fleet.create(configs={**COMPACT, "max.compaction.lag.ms": "1000"})
    assert fleet.produce(fleet.leader(key), key, make_keyed(b"k", b"a")).error == 0
    number = followers(fleet, key)[0]
    fleet.disks[number].hiccups.expect(Call.FOLDER_SYNC)
    fleet.wait(lambda: bool(fleet.disks[number].hiccups.failures), 20_000)
    fleet.world.run_for(1_000)
    assert fleet.replica(number, key).state is ReplicaState.OFFLINE
    assert sorted(fleet.alive()) == [1, 2, 3]
