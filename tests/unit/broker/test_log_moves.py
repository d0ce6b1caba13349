"""Replicas that move to another directory of their broker: who serves meanwhile, and what is left."""

from __future__ import annotations

from copy import deepcopy
from random import Random
from typing import Any

import pytest

from nodes.broker.logs.checkpoints import RECOVERY_POINTS, read_checkpoint
from nodes.broker.logs.directories import LogDirectories
from nodes.broker.logs.swap import SWAP
from nodes.broker.partitions.replica import ReplicaState
from nodes.config import LogConfig
from nodes.storage.log_settings import LogSettings
from nodes.storage.partition_log import PartitionLog
from tests.simulation.disk import SimulatedDisk
from tests.unit.broker.partition_fleet import PartitionFleet, make_batch
from tests.unit.broker.test_config_api import alter
from tests.unit.broker.test_replicas_cleaning import COMPACT, Values, living, read, write
from transport.wire.errors import ErrorCode
from transport.wire.ids import Offset, PartitionKey, TopicPartition
from transport.wire.messages.configs import RESOURCE_BROKER
from transport.wire.messages.deletion import DeleteRecordsPartition, DeleteRecordsRequest
from transport.wire.messages.log_directories import (
    AlterReplicaLogDirsRequest,
    AlterReplicaLogDirsResponse,
    DescribeLogDirsRequest,
    LogSize,
    MoveOutcome,
    ReplicaToMove,
)
from transport.wire.messages.produce import ACKS_LEADER

DIRS = ("logs", "logs-2", "logs-3")
RATE = "replica.alter.log.dirs.io.max.bytes.per.second"


def make_fleet(count: int = 1, *, seed: int = 1, **settings: Any) -> PartitionFleet:
    log = LogConfig(
        segment_bytes=4_096,
        recovery_checkpoint_interval_ms=300,
        move_piece_bytes=1_000,
        **settings.pop("log", {}),
    )
    settings.setdefault("min_insync_replicas", min(2, count))
    fleet = PartitionFleet(
        count, seed=seed, replica_lag_time_max_ms=60_000, log_dirs=DIRS, log=log, **settings
    )
    fleet.settle()
    return fleet


def ask(
    fleet: PartitionFleet, path: str, *, number: int = 1, partition: int = 0, topic: str = "t"
) -> MoveOutcome:
    request = AlterReplicaLogDirsRequest((ReplicaToMove(topic, partition, path),))
    answer = fleet.ask(number, request)
    assert isinstance(answer, AlterReplicaLogDirsResponse)
    assert answer.error == ErrorCode.NONE
    (outcome,) = answer.replicas
    return outcome


def begin(fleet: PartitionFleet, path: str, *, number: int = 1) -> None:
    outcome = ask(fleet, path, number=number)
    assert outcome.error == ErrorCode.NONE, outcome


def begin_slowly(fleet: PartitionFleet, path: str) -> None:
    """Begin a move that takes seconds; returns while it goes on."""
    slow_down(fleet)
    begin(fleet, path)
    fleet.wait(lambda: fleet.disks[1].exists(f"{path}/t-0.future"))


def home(fleet: PartitionFleet, key: PartitionKey, number: int = 1) -> str:
    return fleet.replica(number, key).directory.path


def moved(fleet: PartitionFleet, key: PartitionKey, path: str, number: int = 1) -> None:
    """Wait until it is there, and nothing is left elsewhere."""
    disk = fleet.disks[number]

    def settled() -> bool:
        left = [one for one in DIRS for name in disk.list(one) if name.startswith("t-0")]
        return home(fleet, key, number) == path and left == [path] and not disk.exists(SWAP)

    fleet.wait(settled, 20_000)


def sizes(fleet: PartitionFleet, number: int = 1) -> dict[str, tuple[LogSize, ...]]:
    answer = fleet.ask(number, DescribeLogDirsRequest())
    return {directory.path: directory.logs for directory in answer.directories}


def slow_down(fleet: PartitionFleet, rate: int = 3_000) -> None:
    alter(fleet, fleet.alive()[0], RESOURCE_BROKER, "", RATE, str(rate))


def fill(fleet: PartitionFleet, key: PartitionKey, count: int = 20) -> list[bytes]:
    values = [bytes([65 + number]) * 500 for number in range(count)]
    for value in values:
        fleet.write(key, value)
    return values


def restart(fleet: PartitionFleet, number: int = 1) -> None:
    if number in fleet.alive():
        fleet.kill(number)
    fleet.start(number)
    fleet.settle()


def figure(fleet: PartitionFleet, name: str, number: int = 1) -> int:
    return fleet.server(number).context.figures.get(name, 0)


# Moving


def test_leader_and_follower_serve_on_while_their_replicas_move() -> None:
    fleet = make_fleet(3)
    key = fleet.create()
    values = fill(fleet, key)
    for number in fleet.numbers:
        begin(fleet, "logs-2", number=number)
    at_work = 0
    while any(home(fleet, key, number) != "logs-2" for number in fleet.numbers):
        values.append(b"m%d" % len(values))
        fleet.write(key, values[-1])
        at_work += 1
        assert at_work < 500
    assert at_work > 5
    for number in fleet.numbers:
        moved(fleet, key, "logs-2", number)
    fleet.wait(lambda: fleet.in_step(key) and len(fleet.isr(key)) == 3)
    assert fleet.logs(key) == [values] * 3
    for number in fleet.numbers:
        restart(fleet, number)
    fleet.wait(lambda: fleet.in_step(key) and len(fleet.isr(key)) == 3, 15_000)
    assert fleet.logs(key) == [values] * 3
    assert [home(fleet, key, number) for number in fleet.numbers] == ["logs-2"] * 3


def test_a_move_is_described_until_it_has_ended() -> None:
    fleet = make_fleet()
    key = fleet.create()
    fill(fleet, key)
    slow_down(fleet, 4_000)
    begin(fleet, "logs-3")
    fleet.wait(lambda: sum(log.size_bytes for log in sizes(fleet)["logs-3"]) > 0)
    (now,), (future,) = sizes(fleet)["logs"], sizes(fleet)["logs-3"]
    assert (now.is_future, future.is_future) == (False, True)
    assert 0 < future.size_bytes < now.size_bytes
    assert 0 < future.offset_lag < 20
    moved(fleet, key, "logs-3")
    assert sizes(fleet) == {
        "logs": (),
        "logs-2": (),
        "logs-3": (LogSize("t", 0, now.size_bytes),),
    }
    assert figure(fleet, "replicas_moved") == 1


def test_a_move_keeps_to_its_rate() -> None:
    fleet = make_fleet()
    key = fleet.create()
    fill(fleet, key)
    slow_down(fleet, 2_500)
    began_ms = fleet.world.now_us // 1_000
    begin(fleet, "logs-2")
    moved(fleet, key, "logs-2")
    took_ms = fleet.world.now_us // 1_000 - began_ms
    assert 2_000 < took_ms < 6_000, "12 kB at 2.5 kB a second, but for the first second's"


def test_moves_follow_one_another_and_come_back() -> None:
    fleet = make_fleet()
    key = fleet.create(partitions=3)
    for number in range(3):
        fleet.write(PartitionKey(key.topic_id, number), b"a")
    for path in ("logs-2", "logs-3", "logs"):
        for number in range(3):
            assert ask(fleet, path, partition=number).error == ErrorCode.NONE
        directory = fleet.server(1).context.directories.find(path)
        assert directory is not None
        fleet.wait(lambda directory=directory: directory.log_count == 3)  # type: ignore[misc]
    restart(fleet)
    assert all(fleet.write(PartitionKey(key.topic_id, n), b"b").base_offset == 1 for n in range(3))
    assert len(sizes(fleet)["logs"]) == 3


def test_a_replica_waits_once_however_often_its_way_is_changed() -> None:
    fleet = make_fleet()
    key = fleet.create()
    other = fleet.create("u")
    fill(fleet, key)
    fleet.write(other, b"x")
    begin_slowly(fleet, "logs-2")
    for number in range(30):
        assert ask(fleet, DIRS[1 + number % 2], topic="u").error == ErrorCode.NONE
    assert [str(one.replica.name) for one in fleet.hosted(1)._moves._moves] == ["t-0", "u-0"]
    slow_down(fleet, 1_000_000)
    fleet.wait(lambda: (home(fleet, key), home(fleet, other)) == ("logs-2", "logs-3"), 20_000)
    assert fleet.logs(other) == [[b"x"]]


def test_a_log_that_was_never_written_to_moves_too() -> None:
    fleet = make_fleet()
    key = fleet.create()
    begin(fleet, "logs-2")
    fleet.wait(lambda: home(fleet, key) == "logs-2")
    fleet.write(key, b"a")
    moved(fleet, key, "logs-2")


# Who is not moved


def test_what_cannot_be_moved_is_refused_and_why() -> None:
    fleet = make_fleet(2)
    key = fleet.create()
    fleet.write(key, b"a")
    nowhere = ask(fleet, "/mnt/none")
    assert nowhere.error == ErrorCode.LOG_DIR_NOT_FOUND
    assert "'/mnt/none'; it has logs, logs-2, logs-3" in nowhere.text
    assert ask(fleet, "logs-2", topic="u").error == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert ask(fleet, "logs-2", partition=7).error == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert fleet.ask(1, AlterReplicaLogDirsRequest(())).error == ErrorCode.INVALID_REQUEST
    fleet.disks[1].failed_folder = "logs-2"
    begin(fleet, "logs-2")
    fleet.wait(lambda: figure(fleet, "moves_given_up") == 1)
    offline = ask(fleet, "logs-2")
    assert offline.error == ErrorCode.KAFKA_STORAGE_ERROR
    assert "logs-2 is offline" in offline.text
    assert fleet.write(key, b"b").base_offset == 1
    assert home(fleet, key) == "logs"


def test_a_replica_that_is_not_here_is_not_available() -> None:
    fleet = make_fleet(2)
    fleet.kill(2)
    fleet.wait(lambda: fleet.started() == [1])
    fleet.numbers = range(1, 2)
    fleet.create("alone")
    fleet.start(2)
    fleet.numbers = range(1, 3)
    fleet.settle()
    assert ask(fleet, "logs-2", number=2, topic="alone").error == ErrorCode.REPLICA_NOT_AVAILABLE


def test_where_it_is_already_leaves_it_there_and_gives_a_move_up() -> None:
    fleet = make_fleet()
    key = fleet.create()
    values = fill(fleet, key)
    begin(fleet, "logs")
    slow_down(fleet)
    begin(fleet, "logs-2")
    begin(fleet, "logs-2")
    fleet.wait(lambda: fleet.disks[1].exists("logs-2/t-0.future"))
    begin(fleet, "logs")
    moved(fleet, key, "logs")
    assert figure(fleet, "moves_given_up") == 1
    begin(fleet, "logs-2")
    fleet.wait(lambda: fleet.disks[1].exists("logs-2/t-0.future"))
    begin(fleet, "logs-3")
    moved(fleet, key, "logs-3")
    assert (figure(fleet, "moves_given_up"), figure(fleet, "replicas_moved")) == (2, 1)
    assert fleet.logs(key) == [values]


def test_a_folder_in_the_way_is_left_alone() -> None:
    fleet = make_fleet()
    key = fleet.create()
    fill(fleet, key, 3)
    fleet.disks[1].make_folder("logs-2/t-0")
    begin(fleet, "logs-2")
    fleet.wait(lambda: figure(fleet, "moves_given_up") == 1)
    assert home(fleet, key) == "logs"
    assert fleet.disks[1].exists("logs-2/t-0")


# Failures


def test_a_lost_target_ends_the_move_and_a_lost_source_the_replica() -> None:
    fleet = make_fleet()
    key = fleet.create()
    values = fill(fleet, key)
    begin_slowly(fleet, "logs-2")
    fleet.disks[1].failed_folder = "logs-2"
    fleet.wait(lambda: figure(fleet, "moves_given_up") == 1)
    fleet.write(key, b"b")
    assert figure(fleet, "log_directories_failed") == 1
    assert fleet.logs(key) == [[*values, b"b"]]
    fleet.disks[1].failed_folder = ""
    begin(fleet, "logs-3")
    fleet.wait(lambda: fleet.disks[1].exists("logs-3/t-0.future"))
    fleet.disks[1].failed_folder = "logs"
    fleet.wait(lambda: fleet.replica(1, key).state is ReplicaState.OFFLINE)
    assert fleet.produce(1, key, make_batch(b"c")).error == ErrorCode.KAFKA_STORAGE_ERROR
    fleet.wait(lambda: not fleet.disks[1].exists("logs-3/t-0.future"))
    fleet.disks[1].failed_folder = ""
    restart(fleet)
    assert fleet.logs(key) == [[*values, b"b"]]
    moved(fleet, key, "logs")


def test_a_full_disk_ends_the_move_alone() -> None:
    fleet = make_fleet()
    key = fleet.create()
    values = fill(fleet, key)
    begin_slowly(fleet, "logs-2")
    fleet.disks[1].set_free_bytes(10)
    fleet.wait(lambda: figure(fleet, "moves_given_up") == 1)
    fleet.disks[1].set_free_bytes(1 << 40)
    fleet.write(key, b"b")
    moved(fleet, key, "logs")
    assert fleet.logs(key) == [[*values, b"b"]]
    assert figure(fleet, "log_directories_failed") == 0


# Changes of the log


@pytest.mark.parametrize("what", ["topic", "records"])
def test_what_is_deleted_meanwhile_is_deleted(what: str) -> None:
    fleet = make_fleet()
    key = fleet.create()
    values = fill(fleet, key)
    begin_slowly(fleet, "logs-2")
    if what == "topic":
        fleet.delete()
        fleet.wait(lambda: not any(fleet.disks[1].list(f"{one}/t-0") for one in DIRS))
        fleet.wait(lambda: not fleet.disks[1].exists("logs-2/t-0.future"))
        return
    part = DeleteRecordsPartition(key.topic_id, 0, Offset(15))
    (outcome,) = fleet.ask(1, DeleteRecordsRequest((part,), 1_000)).partitions
    assert outcome.low_watermark == 15
    moved(fleet, key, "logs-2")
    for _ in range(2):
        log = fleet.replica(1, key).log
        assert log is not None
        assert (log.log_start_offset, log.log_end_offset) == (15, len(values))
        restart(fleet)


def test_what_is_cut_meanwhile_is_cut_from_the_copy() -> None:
    """The leader has a tail that nobody else has, and has copied it, when another one leads."""
    fleet = make_fleet(3)
    key = fleet.create()
    values = fill(fleet, key)
    fleet.wait(lambda: fleet.in_step(key))
    before = fleet.leader(key)
    others = [number for number in fleet.numbers if number != before]
    for number in others:
        fleet.network.part(f"broker-{before}", f"broker-{number}")
    assert fleet.produce(before, key, make_batch(b"lost" * 900), acks=ACKS_LEADER).error == 0
    replica = fleet.replica(before, key)
    fleet.server(before).context.image.configs["broker", ""] = {RATE: "12000"}
    begin(fleet, "logs-2", number=before)
    fleet.wait(lambda: sizes(fleet, before)["logs-2"][0].offset_lag == 0)
    assert replica.is_moving
    fleet.expire(before)
    fleet.network.heal_all()
    fleet.wait(lambda: fleet.leader(key) != before)
    fleet.write(key, b"b")
    moved(fleet, key, "logs-2", before)
    fleet.wait(lambda: fleet.in_step(key) and len(fleet.isr(key)) == 3, 15_000)
    assert figure(fleet, "logs_truncated", before) == 1
    assert fleet.logs(key) == [[*values, b"b"]] * 3


def test_a_log_that_moves_is_not_cleaned_and_is_cleaned_afterwards() -> None:
    """Else the copy would have records whose tombstones it has not."""
    fleet = make_fleet(log={"cleaner_interval_ms": 50})
    key = fleet.create(configs=COMPACT)
    last: Values = {}
    slow_down(fleet)
    write(fleet, key, last, 60, Random(1))
    begin(fleet, "logs-2")
    fleet.wait(lambda: sizes(fleet)["logs-2"][0].size_bytes > 0)
    cleaned = figure(fleet, "logs_cleaned")
    write(fleet, key, last, 60, Random(2))
    fleet.world.run_for(300)
    assert fleet.replica(1, key).is_moving
    assert figure(fleet, "logs_cleaned") == cleaned
    moved(fleet, key, "logs-2")
    fleet.wait(lambda: figure(fleet, "logs_cleaned") > cleaned)
    assert living(read(fleet, 1, key)) == living(last)


# Crashes


class WatchedDisk(SimulatedDisk):
    """Keeps what it was before each thing that is done to it."""

    moments: list[tuple[SimulatedDisk, int]] | None = None
    acked = 0

    def before(self, path: str) -> str:
        if self.moments is not None:
            moments, self.moments = self.moments, None
            moments.append((deepcopy(self), self.acked))
            self.moments = moments
        return super().before(path)

    def sync_folder(self, path: str) -> None:
        # The rest of it is no moment of its own.
        super().sync_folder(path)
        self.before(path)


def watched_move() -> tuple[PartitionFleet, list[tuple[SimulatedDisk, int]]]:
    """Move a log whose topic syncs what it acknowledges, and write to it all the time."""
    fleet = make_fleet()
    fleet.kill(1)
    disk = WatchedDisk()
    fleet.disks[1] = disk
    fleet.start(1)
    fleet.settle()
    key = fleet.create(configs={"flush.policy": "commit"})
    fill(fleet, key, 12)
    moments: list[tuple[SimulatedDisk, int]] = []
    disk.acked, disk.moments = 12, moments
    begin(fleet, "logs-2")
    disk_of = fleet.server(1).context.directories
    name = TopicPartition("t", 0)
    while disk.exists("logs/t-0") or disk.exists(SWAP) or home(fleet, key) == "logs":
        fleet.write(key, b"while it moves")
        disk.acked += 1
        assert disk.acked < 200
    disk.moments = None
    target = disk_of.find("logs-2")
    assert target is not None
    assert disk_of.is_home(name, target)
    return fleet, moments


def found_at_start(fleet: PartitionFleet, disk: SimulatedDisk, *, clean: bool) -> PartitionLog:
    """Open the log that a start would find."""
    name = TopicPartition("t", 0)
    directories = LogDirectories(disk, fleet.server(1).context.config)
    directories.examine()
    folder = directories.home(name).folder_of(name)
    there = [one for one in DIRS if disk.exists(f"{one}/t-0")]
    assert folder in {f"{one}/t-0" for one in there}
    assert len(there) - len(directories.replaced) == 1, "one of them counts"
    assert not directories.twice
    noted = read_checkpoint(disk, RECOVERY_POINTS).get(name, Offset(0))
    return PartitionLog.open(disk, folder, LogSettings(), recovery_point=noted, clean=clean)


@pytest.fixture(scope="module")
def watched() -> tuple[PartitionFleet, list[tuple[SimulatedDisk, int]]]:
    return watched_move()


def test_a_kill_at_any_moment_leaves_one_log_that_has_everything(
    watched: tuple[PartitionFleet, list[tuple[SimulatedDisk, int]]],
) -> None:
    fleet, moments = watched
    homes = set()
    for disk, acked in moments:
        log = found_at_start(fleet, deepcopy(disk), clean=True)
        assert log.log_start_offset == 0
        assert log.log_end_offset >= acked
        homes.add(log.folder)
        log.close()
    assert homes == {"logs/t-0", "logs-2/t-0"}
    assert len(moments) > 100


@pytest.mark.parametrize("seed", range(2))
def test_a_loss_of_power_at_any_moment_leaves_one_log_with_all_that_was_acknowledged(
    watched: tuple[PartitionFleet, list[tuple[SimulatedDisk, int]]], seed: int
) -> None:
    fleet, moments = watched
    random = Random(seed)
    for disk, acked in moments:
        left = deepcopy(disk)
        left.lose_power(random)
        log = found_at_start(fleet, left, clean=False)
        assert log.log_start_offset == 0
        assert log.log_end_offset >= acked
        log.close()


@pytest.mark.parametrize("after_ms", [1, 6, 15, 30, 60, 90])
def test_a_broker_that_is_killed_while_it_moves_goes_on_with_one_log(after_ms: int) -> None:
    fleet = make_fleet(seed=after_ms)
    key = fleet.create()
    values = fill(fleet, key, 8)
    begin(fleet, "logs-2")
    fleet.world.run_for(after_ms)
    restart(fleet)
    fleet.write(key, b"b")
    moved(fleet, key, home(fleet, key))
    assert fleet.logs(key) == [[*values, b"b"]]
    begin(fleet, "logs-3")
    moved(fleet, key, "logs-3")
    assert fleet.logs(key) == [[*values, b"b"]]


def test_while_the_new_directory_cannot_be_reached_the_old_one_is_not_used() -> None:
    """It may lack what was acknowledged in the new one."""
    fleet = make_fleet()
    key = fleet.create()
    values = fill(fleet, key, 8)
    begin(fleet, "logs-2")
    fleet.wait(lambda: home(fleet, key) == "logs-2")
    assert fleet.disks[1].exists("logs/t-0")
    fleet.kill(1)
    fleet.disks[1].failed_folder = "logs-2"
    fleet.start(1)
    fleet.settle()
    fleet.wait(lambda: fleet.replica(1, key).state is ReplicaState.OFFLINE)
    fleet.kill(1)
    fleet.disks[1].failed_folder = ""
    restart(fleet)
    moved(fleet, key, "logs-2")
    assert fleet.logs(key) == [values]
