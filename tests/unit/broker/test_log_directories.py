"""Several log directories: where logs go, what a failed one takes with it, and what it does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from nodes.broker.logs.directories import NOTE
from nodes.broker.logs.identity import LOST_TAIL_FILE
from nodes.broker.partitions.replica import ReplicaState
from nodes.config import EXIT_CONFIG, EXIT_ENVIRONMENT, LogConfig
from nodes.runtime.ownership import META_FILE
from tests.unit.broker.partition_fleet import PartitionFleet, make_batch
from tests.unit.broker.test_reassignment import record
from transport.wire.errors import ErrorCode
from transport.wire.ids import LeaderEpoch, NodeId, PartitionKey
from transport.wire.messages.log_directories import (
    DescribeLogDirsRequest,
    DescribeLogDirsResponse,
    LogDirectory,
)
from transport.wire.messages.produce import ACKS_ALL, ProducePartition, ProduceRequest
from transport.wire.messages.reassignments import AlterReassignmentsRequest, Reassignment

ELSEWHERE = "/mnt/two"


def make_fleet(count: int = 3, **settings: Any) -> PartitionFleet:
    settings.setdefault("log_dirs", ("logs", ELSEWHERE))
    settings.setdefault("min_insync_replicas", min(2, count))
    fleet = PartitionFleet(
        count,
        replica_lag_time_max_ms=60_000,
        log=LogConfig(recovery_checkpoint_interval_ms=300),
        **settings,
    )
    fleet.settle()
    return fleet


def directories(fleet: PartitionFleet, number: int) -> tuple[LogDirectory, ...]:
    answer = fleet.ask(number, DescribeLogDirsRequest())
    assert isinstance(answer, DescribeLogDirsResponse)
    return answer.directories


def home(fleet: PartitionFleet, number: int, key: PartitionKey) -> str:
    return fleet.replica(number, key).directory.path


def parts(key: PartitionKey, count: int) -> list[PartitionKey]:
    return [PartitionKey(key.topic_id, number) for number in range(count)]


def in_sync(fleet: PartitionFleet, keys: list[PartitionKey]) -> None:
    fleet.wait(lambda: all(len(fleet.isr(key)) == 3 and fleet.in_step(key) for key in keys), 15_000)


def touch(fleet: PartitionFleet, number: int, key: PartitionKey) -> None:
    """Have something written, whatever comes of it."""
    part = ProducePartition(key.topic_id, key.partition, LeaderEpoch(-1), 0)
    request = ProduceRequest(ACKS_ALL, 500, (part,))
    fleet.post_whole(number, request, [], payload=(make_batch(b"b"),))


def restart(fleet: PartitionFleet, number: int) -> None:
    if number in fleet.alive():
        fleet.kill(number)
    fleet.start(number)


def test_new_logs_go_where_the_fewest_are_and_are_found_again() -> None:
    fleet = make_fleet()
    keys = parts(fleet.create(partitions=5), 5)
    for key in keys:
        fleet.write(key, b"a")
    in_sync(fleet, keys)
    before = {key: home(fleet, 1, key) for key in keys}
    first, second = directories(fleet, 1)
    assert (first.path, second.path) == ("logs", f"{ELSEWHERE}/broker-1")
    assert sorted((len(first.logs), len(second.logs))) == [2, 3]
    assert all(log.size_bytes > 0 for one in (first, second) for log in one.logs)
    restart(fleet, 1)
    fleet.settle()
    in_sync(fleet, keys)
    assert {key: home(fleet, 1, key) for key in keys} == before
    assert all(fleet.write(key, b"b").base_offset == 1 for key in keys)


def test_a_failed_directory_goes_offline_alone() -> None:
    fleet = make_fleet()
    keys = parts(fleet.create(partitions=4), 4)
    for key in keys:
        fleet.write(key, b"a")
    in_sync(fleet, keys)
    gone = f"{ELSEWHERE}/broker-1"
    lost = [key for key in keys if home(fleet, 1, key) == gone]
    assert len(lost) == 2
    fleet.disks[1].failed_folder = gone
    touch(fleet, fleet.leader(lost[0]), lost[0])
    fleet.wait(lambda: all(fleet.isr(key) == (2, 3) for key in lost), 2_000)
    for key in keys:
        state = ReplicaState.OFFLINE if key in lost else ReplicaState.ONLINE
        assert fleet.replica(1, key).state is state
        assert fleet.produce(fleet.leader(key), key, make_batch(b"c")).error == ErrorCode.NONE
        assert (fleet.leader(key) == 1) <= (key not in lost)
    first, second = directories(fleet, 1)
    assert (first.error, second.error) == (ErrorCode.NONE, ErrorCode.KAFKA_STORAGE_ERROR)
    assert "gone" in second.text
    assert sorted(fleet.alive()) == [1, 2, 3]
    # New logs go where it works.
    assert all(home(fleet, 1, key) == "logs" for key in parts(fleet.create("u", 3), 3))
    fleet.disks[1].failed_folder = ""
    restart(fleet, 1)
    fleet.settle()
    in_sync(fleet, keys)


def test_a_failed_sync_takes_the_directory_offline_and_another_leads_at_once() -> None:
    fleet = make_fleet()
    key = fleet.create()
    before = fleet.leader(key)
    fleet.write(key, b"a")
    fleet.disks[before].failing_sync = True
    fleet.wait(lambda: fleet.replica(before, key).state is ReplicaState.OFFLINE)
    fleet.wait(lambda: fleet.leader(key) != before, 200)
    assert fleet.write(key, b"b").base_offset == 1
    assert before not in fleet.isr(key)
    assert sorted(fleet.alive()) == [1, 2, 3]
    fleet.disks[before].failing_sync = False
    restart(fleet, before)
    in_sync(fleet, [key])
    assert fleet.logs(key) == [[b"a", b"b"]] * 3


def test_a_log_that_failed_alone_is_told_of_when_another_is_back() -> None:
    fleet = make_fleet(2)
    key = fleet.create()
    fleet.write(key, b"a")
    before = fleet.leader(key)
    (other,) = set(fleet.isr(key)) - {before}
    fleet.kill(other)
    fleet.wait(lambda: fleet.isr(key) == (before,))
    fleet.disks[before].failed_folder = home(fleet, before, key)
    touch(fleet, before, key)
    fleet.wait(lambda: fleet.replica(before, key).state is ReplicaState.OFFLINE)
    fleet.world.run_for(1_000)
    assert record(fleet, key).leader == before, "nobody else is there"
    assert "failed_replicas_told" not in fleet.server(before).context.figures
    fleet.start(other)
    fleet.wait(lambda: record(fleet, key).leader == other, 3_000)
    core = fleet.replica(other, key).core
    assert core is not None
    assert core.log_end_offset == 1


def test_with_the_last_directory_the_broker_goes() -> None:
    fleet = make_fleet(log_dirs=("logs",))
    key = fleet.create()
    fleet.write(key, b"a")
    leader = fleet.leader(key)
    process = fleet.processes[leader]
    fleet.disks[leader].failed_folder = "logs"
    touch(fleet, leader, key)
    fleet.wait(lambda: process.status == EXIT_ENVIRONMENT)
    assert "every log directory has failed" in process.fault
    # It cannot start either; nothing is begun anew in place of what is there.
    fleet.start(leader)
    fleet.wait(lambda: fleet.processes[leader].status == EXIT_ENVIRONMENT)
    fleet.disks[leader].failed_folder = ""
    fleet.start(leader)
    in_sync(fleet, [key])
    assert {log[0] for log in fleet.logs(key)} == {b"a"}


def test_what_a_failed_directory_holds_is_not_begun_anew_at_a_start_without_it() -> None:
    """The only replica has everything that was acknowledged: an empty one must not lead."""
    fleet = make_fleet(1)
    keys = parts(fleet.create(partitions=2), 2)
    for key in keys:
        fleet.write(key, b"a")
    gone = f"{ELSEWHERE}/broker-1"
    there = next(key for key in keys if home(fleet, 1, key) == gone)
    other = next(key for key in keys if key != there)
    fleet.kill(1)
    fleet.disks[1].failed_folder = gone
    fleet.start(1)
    fleet.settle()
    fleet.wait(lambda: fleet.hosted(1).replica_count() == 2)
    assert fleet.write(other, b"b").base_offset == 1
    outcome = fleet.produce(1, there, make_batch(b"b"))
    assert outcome.error == ErrorCode.KAFKA_STORAGE_ERROR
    fleet.kill(1)
    fleet.disks[1].failed_folder = ""
    fleet.start(1)
    fleet.settle()
    assert fleet.write(there, b"b").base_offset == 1


@pytest.mark.parametrize("how", ["emptied", "left out"])
def test_lost_logs_are_told_before_they_are_begun_anew(how: str) -> None:
    fleet = make_fleet()
    keys = parts(fleet.create(partitions=2), 2)
    for key in keys:
        fleet.write(key, b"a")
    in_sync(fleet, keys)
    gone = f"{ELSEWHERE}/broker-1"
    lost = next(key for key in keys if home(fleet, 1, key) == gone)
    fleet.kill(1)
    if how == "emptied":
        fleet.disks[1].wipe(gone.strip("/"))
    else:
        fleet.settings = replace(fleet.settings, log_dirs=("logs",))
    fleet.start(1)
    fleet.wait(lambda: 1 in fleet.started())
    assert not fleet.server(1).context.logs_intact
    assert fleet.server(1).context.logs_lost
    assert fleet.disks[1].exists(LOST_TAIL_FILE)
    in_sync(fleet, keys)
    assert fleet.logs(lost) == [[b"a"]] * 3
    assert home(fleet, 1, lost) == (gone if how == "emptied" else "logs")
    fleet.wait(lambda: fleet.server(1).context.logs_intact)


def test_what_only_a_lost_directory_had_is_not_begun_anew() -> None:
    """A disk that is not mounted looks like an empty one: its log may not be what all others follow."""
    fleet = make_fleet(min_insync_replicas=1)
    keys = parts(fleet.create(partitions=2), 2)
    for key in keys:
        fleet.write(key, b"a")
    in_sync(fleet, keys)
    gone = f"{ELSEWHERE}/broker-1"
    there = next(key for key in keys if home(fleet, 1, key) == gone)
    for number in (2, 3):
        fleet.kill(number)
    fleet.wait(lambda: fleet.isr(there) == (1,))
    fleet.kill(1)
    fleet.disks[1].rename(gone, "elsewhere")
    for number in fleet.numbers:
        fleet.start(number)
    fleet.settle()
    for _ in range(2):
        fleet.wait(lambda: fleet.replica(1, there).state is ReplicaState.OFFLINE)
        fleet.world.run_for(3_000)
        assert fleet.isr(there) == (1,)
        restart(fleet, 1)
        fleet.settle()
    fleet.kill(1)
    fleet.disks[1].remove(gone)
    fleet.disks[1].rename("elsewhere", gone)
    fleet.start(1)
    in_sync(fleet, keys)
    assert fleet.logs(there) == [[b"a"]] * 3


def test_a_directory_of_another_node_is_refused() -> None:
    fleet = make_fleet(1)
    fleet.kill(1)
    mark = f"{ELSEWHERE}/broker-1/{META_FILE}"
    found = fleet.disks[1].read_file(mark)
    assert found is not None
    fleet.disks[1].write_file(mark, found.replace(b"broker-1", b"broker-9"), durable=True)
    fleet.start(1)
    fleet.wait(lambda: fleet.processes[1].status == EXIT_CONFIG)
    assert "belongs to broker-9" in fleet.processes[1].fault


def test_a_note_that_cannot_be_read_costs_nothing_while_all_directories_work() -> None:
    fleet = make_fleet(1)
    keys = parts(fleet.create(partitions=2), 2)
    for key in keys:
        fleet.write(key, b"a")
    fleet.kill(1)
    fleet.disks[1].write_file(NOTE, b"{", durable=True)
    fleet.start(1)
    fleet.settle()
    assert all(fleet.write(key, b"b").base_offset == 1 for key in keys)


@pytest.mark.parametrize("again", ["topic", "topic after a restart", "replica"])
@pytest.mark.parametrize("seed", range(6))
def test_a_log_that_was_removed_takes_no_later_ones_place_after_a_loss_of_power(
    seed: int, again: str
) -> None:
    """The later one is in another directory, and what it holds is synced."""
    fleet = PartitionFleet(2, min_insync_replicas=1, log_dirs=("logs", "more"))
    fleet.same_boot = False
    fleet.settle()
    configs = {"flush.policy": "commit", "retention.ms": "-1"}
    key = fleet.create(configs=configs)
    fleet.write(key, b"old")
    for topic in ("other", "third"):
        fleet.create(topic)
    fleet.delete("other")  # the fewest logs are there now
    fleet.wait(lambda: fleet.in_step(key))
    before = fleet.replica(1, key).directory.path
    if again == "topic after a restart":
        for number in fleet.numbers:
            fleet.processes[number].job_us = (10_000_000, 10_000_001)
        fleet.delete("t")
        fleet.wait(lambda: all(fleet.hosted(number).find(key) is None for number in fleet.numbers))
        for number in fleet.numbers:
            fleet.kill(number)
        for number in fleet.numbers:
            fleet.start(number)
        fleet.settle()
        key = fleet.create(configs=configs)
    elif again == "topic":
        fleet.delete("t")
        key = fleet.create(configs=configs)
    else:
        for replicas in ((2,), (2, 1)):
            target = tuple(map(NodeId, replicas))
            moved = AlterReassignmentsRequest((Reassignment("t", 0, target),), 5_000)
            assert fleet.ask(2, moved).partitions[0].error == ErrorCode.NONE
            fleet.wait(lambda replicas=replicas: fleet.isr(key) == tuple(sorted(replicas)))  # type: ignore[misc]
    for value in (b"a", b"b", b"c"):
        fleet.write(key, value)
    fleet.wait(lambda: fleet.in_step(key))
    expected = fleet.logs(key)
    assert fleet.replica(1, key).directory.path != before
    fleet.lose_power(seed)
    fleet.wait(lambda: len(fleet.isr(key)) == 2 and fleet.in_step(key), 10_000)
    assert fleet.logs(key) == expected


def test_a_topic_of_many_partitions_is_removed_with_few_syncs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fleet = PartitionFleet(1, min_insync_replicas=1, log_dirs=("logs", "more"))
    fleet.settle()
    first = fleet.create("t", 60)
    for number in range(60):
        fleet.write(first._replace(partition=number), b"old")
    synced: list[str] = []
    disk = fleet.disks[1]
    sync_folder = disk.sync_folder

    def counted(path: str) -> None:
        synced.append(path)
        sync_folder(path)

    monkeypatch.setattr(disk, "sync_folder", counted)
    fleet.delete("t")
    fleet.world.run_for(1_000)
    assert {"logs", "more"} <= set(synced)
    assert len(synced) < 20
    assert not fleet.hosted(1)._shelf._leaving
    key = fleet.create("t", 60)
    fleet.write(key, b"new")
    assert fleet.logs(key) == [[b"new"]]
