"""Retention and deleted records, over brokers with real replicas on a simulated disk."""

from __future__ import annotations

import pytest

from nodes.broker.logs.checkpoints import LOG_STARTS, read_checkpoint
from nodes.broker.partitions import log_starts
from nodes.broker.partitions.upkeep import Upkeep
from nodes.config import LogConfig
from nodes.core.partition.events import LetGo
from nodes.storage.disk import DiskFull
from tests.simulation.clock import EPOCH_WALL_MS
from tests.unit.broker.partition_fleet import PartitionFleet, values_of
from tests.unit.broker.test_replicas_faults import followers, whole
from transport.wire.errors import ErrorCode
from transport.wire.ids import LeaderEpoch, Offset, PartitionKey, TopicPartition
from transport.wire.messages.deletion import (
    DeletedRecords,
    DeleteRecordsPartition,
    DeleteRecordsRequest,
    DeleteRecordsResponse,
)
from transport.wire.messages.fetch import (
    TIMESTAMP_EARLIEST,
    ListOffset,
    ListOffsetsRequest,
    ListOffsetsResponse,
)

ROUND_MS = 1_000
SMALL = LogConfig(retention_check_interval_ms=ROUND_MS, segment_bytes=4096)
BY_SIZE = {"retention.bytes": "5000", "retention.ms": "-1"}
VALUE = b"v" * 1000


def make_fleet() -> PartitionFleet:
    fleet = PartitionFleet(min_insync_replicas=2, replica_lag_time_max_ms=2_000, log=SMALL)
    fleet.settle()
    return fleet


def starts(fleet: PartitionFleet, key: PartitionKey) -> list[int]:
    cores = [fleet.replica(number, key).core for number in fleet.alive()]
    return [core.log_start_offset for core in cores if core is not None]


def delete(fleet: PartitionFleet, key: PartitionKey, offset: int) -> DeletedRecords:
    part = DeleteRecordsPartition(key.topic_id, key.partition, Offset(offset))
    answer = fleet.ask(fleet.leader(key), DeleteRecordsRequest((part,), 2_000))
    assert isinstance(answer, DeleteRecordsResponse)
    return answer.partitions[0]


def earliest(fleet: PartitionFleet, key: PartitionKey) -> int:
    asked = ListOffset(key.topic_id, key.partition, LeaderEpoch(-1), TIMESTAMP_EARLIEST)
    answer = fleet.ask(fleet.leader(key), ListOffsetsRequest((asked,)))
    assert isinstance(answer, ListOffsetsResponse)
    return answer.partitions[0].offset


def test_retention_by_size_ends_old_segments_everywhere() -> None:
    fleet = make_fleet()
    key = fleet.create(configs=BY_SIZE)
    for _ in range(20):
        fleet.write(key, VALUE)
    before = len(fleet.disks[1].files("logs/t-0", ".log"))
    fleet.world.run_for(2 * ROUND_MS)
    assert all(0 < start <= 20 - 5 for start in starts(fleet, key))
    for number in fleet.numbers:
        files = fleet.disks[number].files("logs/t-0", ".log")
        assert len(files) < before
        assert not fleet.disks[number].files("logs/t-0", ".deleted")
        log = fleet.replica(number, key).log
        assert log is not None
        assert 5_000 <= log.size_bytes < 5_000 + 4_096


def test_retention_by_age_goes_by_the_newest_record() -> None:
    fleet = make_fleet()
    key = fleet.create(configs={"retention.ms": "3600000", "segment.bytes": "4096"})
    wall_ms = EPOCH_WALL_MS + fleet.world.now_us // 1_000
    for _ in range(4):
        fleet.write(key, VALUE, timestamp_ms=wall_ms - 3 * 3_600_000)
    for _ in range(4):
        fleet.write(key, VALUE, timestamp_ms=wall_ms)
    fleet.world.run_for(2 * ROUND_MS)
    assert starts(fleet, key) == [3, 3, 3]


def test_a_follower_that_was_away_too_long_begins_where_its_leader_does() -> None:
    fleet = make_fleet()
    key = fleet.create(configs=BY_SIZE)
    fleet.write(key, VALUE)
    away = followers(fleet, key)[0]
    fleet.kill(away)
    fleet.wait(lambda: away not in fleet.isr(key))
    for _ in range(20):
        fleet.write(key, VALUE)
    fleet.world.run_for(2 * ROUND_MS)
    fleet.start(away)
    whole(fleet, key)
    assert fleet.server(away).context.figures["logs_begun_anew"] == 1
    assert min(starts(fleet, key)) > 1


def test_deleted_records_are_gone_on_every_replica_before_the_answer() -> None:
    fleet = make_fleet()
    key = fleet.create()
    for number in range(6):
        fleet.write(key, b"%d" % number)
    outcome = delete(fleet, key, 4)
    assert (outcome.error, outcome.low_watermark) == (ErrorCode.NONE, 4)
    assert starts(fleet, key) == [4, 4, 4]
    assert earliest(fleet, key) == 4
    assert delete(fleet, key, 7).error == ErrorCode.OFFSET_OUT_OF_RANGE
    answer, _ = fleet.fetch(fleet.leader(key), key, 3)
    assert answer.partitions[0].error == ErrorCode.OFFSET_OUT_OF_RANGE


def test_deleted_records_do_not_come_back_with_a_killed_process() -> None:
    fleet = make_fleet()
    key = fleet.create()
    for number in range(6):
        fleet.write(key, b"%d" % number)
    delete(fleet, key, -1)
    for number in fleet.numbers:
        fleet.kill(number)
    for number in fleet.numbers:
        fleet.start(number)
    fleet.settle()
    whole(fleet, key)
    assert starts(fleet, key) == [6, 6, 6]
    assert earliest(fleet, key) == 6


def test_deleted_records_do_not_come_back_with_brokers_that_stop_before_they_know_the_cluster() -> (
    None
):
    fleet = make_fleet()
    key = fleet.create()
    for number in range(6):
        fleet.write(key, b"%d" % number)
    delete(fleet, key, 4)
    for number in fleet.numbers:
        fleet.kill(number)
    for number in fleet.numbers:
        fleet.start(number)
    fleet.wait(lambda: fleet.started() == fleet.alive())
    for number in fleet.numbers:
        process = fleet.processes[number]
        assert not fleet.hosted(number).replica_count()
        process.do(process.program.stop)
    fleet.wait(lambda: not fleet.alive(), 60_000)
    for number in fleet.numbers:
        fleet.start(number)
    fleet.settle()
    whole(fleet, key)
    assert starts(fleet, key) == [4, 4, 4]


def test_what_is_noted_of_a_log_stays_until_its_replica_is_met() -> None:
    fleet = make_fleet()
    key = fleet.create()
    fleet.write(key, b"a", b"b")
    delete(fleet, key, 1)
    context, name = fleet.server(1).context, TopicPartition("t", 0)
    upkeep = Upkeep(context, lambda: ())
    upkeep.note_all()
    assert read_checkpoint(context.disk, LOG_STARTS) == {name: 1}
    upkeep.meet(name)
    upkeep.note_all()
    assert read_checkpoint(context.disk, LOG_STARTS) == {}


@pytest.mark.parametrize("seed", range(6))
def test_deleted_records_do_not_come_back_when_the_power_fails_everywhere(seed: int) -> None:
    fleet = make_fleet()
    fleet.same_boot = False
    key = fleet.create(configs={"flush.policy": "commit", "retention.ms": "-1"})
    for number in range(12):
        fleet.write(key, b"%d" % number + VALUE)
    wanted = (5, 12)[seed % 2]
    assert delete(fleet, key, wanted).low_watermark == wanted
    if seed >= 4:
        fleet.world.run_for(2 * ROUND_MS)  # the segments are taken out, which is not synced
    fleet.lose_power(seed)
    assert earliest(fleet, key) == wanted
    assert min(starts(fleet, key)) == wanted


def test_a_log_that_keeps_the_last_of_each_key_is_not_cut_short() -> None:
    fleet = make_fleet()
    key = fleet.create(configs={"cleanup.policy": "compact"})
    assert delete(fleet, key, 0).error == ErrorCode.POLICY_VIOLATION


def test_a_replica_whose_log_begins_behind_an_unclean_leaders_end_gets_all_of_that() -> None:
    fleet = PartitionFleet(2, min_insync_replicas=1, replica_lag_time_max_ms=2_000)
    fleet.settle()
    key = fleet.create(configs={"unclean.leader.election.enable": "true"})
    fleet.write(key, b"a")
    fleet.wait(lambda: fleet.in_step(key))
    ahead = fleet.leader(key)
    (behind,) = followers(fleet, key)
    fleet.kill(behind)
    fleet.wait(lambda: fleet.isr(key) == (ahead,))
    for value in (b"b", b"c", b"d"):
        fleet.write(key, value)
    assert delete(fleet, key, 3).error == ErrorCode.NONE
    fleet.kill(ahead)
    fleet.start(behind)
    fleet.settle()
    fleet.wait(lambda: fleet.leader(key) == behind)
    fleet.write(key, b"e")
    fleet.start(ahead)
    fleet.wait(lambda: len(fleet.isr(key)) == 2 and fleet.in_step(key))
    assert starts(fleet, key) == [0, 0]
    assert fleet.logs(key) == [[b"a", b"e"]] * 2
    assert TopicPartition("t", 0) not in read_checkpoint(fleet.disks[ahead], LOG_STARTS)


SLOW_US = (2_000_000, 2_000_001)
"""A job of a pool that is held up."""
KEPT = {"retention.ms": "-1"}


def test_where_a_topic_began_is_not_believed_of_the_next_one_of_its_name() -> None:
    """What the deleted one had let go of was still being written when the new one was made."""
    fleet = PartitionFleet(1, log=SMALL)
    fleet.settle()
    key = fleet.create(configs=KEPT)
    for number in range(6):
        fleet.write(key, b"%d" % number)
    process, pace_us = fleet.processes[1], fleet.processes[1].job_us
    process.job_us = SLOW_US
    process.do(lambda now: fleet.replica(1, key).step(LetGo(Offset(6)), now))
    fleet.world.run_for(10)
    fleet.delete("t")
    anew = fleet.create(configs=KEPT)
    process.job_us = pace_us
    fleet.write(anew, b"a", b"b")
    fleet.world.run_for(4_000)
    fleet.kill(1)
    fleet.start(1)
    fleet.settle()
    fleet.wait(lambda: fleet.leader(anew) == 1)
    assert earliest(fleet, anew) == 0
    assert fleet.logs(anew) == [[b"a", b"b"]]


def test_nobody_is_told_of_a_start_whose_writing_was_overtaken_by_one_that_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fleet = PartitionFleet(1, seed=4, log=SMALL)
    fleet.settle()
    key, other = fleet.create(configs=KEPT), fleet.create("other", configs=KEPT)
    for number in range(6):
        fleet.write(key, b"%d" % number)
        fleet.write(other, b"%d" % number)
    process = fleet.processes[1]
    context, upkeep = fleet.server(1).context, fleet.hosted(1)._upkeep

    def refuse(*_given: object, **_named: object) -> None:
        raise DiskFull("no")

    process.job_us = SLOW_US
    process.do(lambda now: fleet.replica(1, key).step(LetGo(Offset(3)), now))
    fleet.world.run_for(10)
    assert read_checkpoint(context.disk, LOG_STARTS) == {}, "its turn in the pool has not come"
    with monkeypatch.context() as patched:
        patched.setattr(log_starts, "write_checkpoint", refuse)
        fleet.replica(1, other).step(LetGo(Offset(2)), process.now())
        upkeep.note_all()
    fleet.world.run_for(2_500)
    core = fleet.replica(1, key).core
    assert core is not None
    assert core.settled_start <= read_checkpoint(context.disk, LOG_STARTS).get(
        TopicPartition("t", 0), 0
    )
    fleet.world.run_for(10_000)
    assert core.settled_start == 3
    noted = {TopicPartition("t", 0): 3, TopicPartition("other", 0): 2}
    assert read_checkpoint(context.disk, LOG_STARTS) == noted


def test_a_replica_without_records_follows_a_log_that_begins_within_a_batch() -> None:
    """KAFKA-6975: what the leader sends it first begins before its log does."""
    fleet = make_fleet()
    key = fleet.create(configs=KEPT)
    fleet.write(key, *(b"%d" % number for number in range(10)))
    away = followers(fleet, key)[0]
    fleet.kill(away)
    fleet.wait(lambda: away not in fleet.isr(key))
    assert delete(fleet, key, 5).error == ErrorCode.NONE
    fleet.disks[away].remove("logs/t-0")
    fleet.start(away)
    whole(fleet, key)
    assert starts(fleet, key) == [5, 5, 5]
    fleet.kill(away)
    fleet.start(away)
    whole(fleet, key)
    assert starts(fleet, key) == [5, 5, 5]
    _, (data,) = fleet.fetch(fleet.leader(key), key, 5)
    assert values_of(data) == [b"%d" % number for number in range(10)]
