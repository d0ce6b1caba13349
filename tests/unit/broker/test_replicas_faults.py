"""Replicas under faults: deaths, freezes, full and failing disks, damage, power cuts, restarts."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest

from nodes.broker.logs.checkpoints import (
    CLEAN_STOP,
    HIGH_WATERMARKS,
    RECOVERY_POINTS,
    read_checkpoint,
    write_checkpoint,
)
from nodes.broker.partitions import upkeep
from nodes.broker.partitions.replica import Replica, ReplicaState
from nodes.config import LogConfig
from nodes.runtime.ownership import META_FILE
from nodes.storage.disk import Damaged, Disk
from tests.unit.broker.partition_fleet import PartitionFleet, make_batch
from transport.wire.errors import ErrorCode
from transport.wire.ids import NodeId, Offset, PartitionKey, TopicPartition
from transport.wire.messages.configs import (
    RESOURCE_TOPIC,
    AlterConfigsRequest,
    AlteredConfigs,
    ConfigChange,
    ConfigOp,
)
from transport.wire.messages.produce import ACKS_LEADER
from transport.wire.messages.reassignments import AlterReassignmentsRequest, Reassignment
from transport.wire.messages.topics import CreateTopicsRequest, NewTopic
from transport.wire.records import BatchBuilder

LOG_FILE = "logs/t-0/00000000000000000000.log"
TIMES_FILE = "logs/t-0/00000000000000000000.timeindex"


def make_fleet(seed: int = 1, *, lag_ms: int = 2_000, **settings: Any) -> PartitionFleet:
    fleet = PartitionFleet(
        seed=seed, min_insync_replicas=2, replica_lag_time_max_ms=lag_ms, **settings
    )
    fleet.settle()
    return fleet


@pytest.fixture
def fleet() -> PartitionFleet:
    return make_fleet()


def followers(fleet: PartitionFleet, key: PartitionKey) -> list[int]:
    leader = fleet.leader(key)
    return [number for number in fleet.alive() if number != leader]


def whole(fleet: PartitionFleet, key: PartitionKey, *, limit_ms: int = 10_000) -> None:
    """Wait until all are in sync, and have and know everything."""
    fleet.wait(lambda: len(fleet.isr(key)) == 3 and fleet.in_step(key), limit_ms)


def folders(fleet: PartitionFleet, number: int) -> list[str]:
    """What is in a broker's log directory, but for the mark of whose it is."""
    return [name for name in fleet.disks[number].list("logs") if name != META_FILE]


# Deaths and freezes


def test_a_dead_leader_is_replaced_and_nothing_acked_is_lost(fleet: PartitionFleet) -> None:
    key = fleet.create()
    fleet.write(key, b"a")
    before = fleet.leader(key)
    fleet.kill(before)
    before_us = fleet.world.now_us
    assert fleet.write(key, b"b").base_offset == 1
    assert fleet.world.now_us - before_us < 150_000
    assert fleet.leader(key) != before
    fleet.start(before)
    whole(fleet, key)
    assert fleet.logs(key) == [[b"a", b"b"]] * 3


def test_a_tail_that_nobody_else_has_is_cut_when_its_leader_comes_back(
    fleet: PartitionFleet,
) -> None:
    key = fleet.create()
    fleet.write(key, b"a")
    leader = fleet.leader(key)
    for number in followers(fleet, key):
        fleet.network.part(f"broker-{leader}", f"broker-{number}")
    assert fleet.produce(leader, key, make_batch(b"lost"), acks=ACKS_LEADER).error == 0
    fleet.kill(leader)
    fleet.network.heal_all()
    fleet.write(key, b"b")
    fleet.start(leader)
    whole(fleet, key)
    assert fleet.logs(key) == [[b"a", b"b"]] * 3
    assert fleet.server(leader).context.figures["logs_truncated"] == 1


def dead_with_a_synced_tail() -> tuple[PartitionFleet, PartitionKey, int]:
    """Return a fleet whose leader was killed: it has noted as synced what nobody else has."""
    fleet = make_fleet(lag_ms=60_000, log=LogConfig(recovery_checkpoint_interval_ms=300))
    key = fleet.create()
    fleet.write(key, b"a")
    leader = fleet.leader(key)
    for number in followers(fleet, key):
        fleet.network.part(f"broker-{leader}", f"broker-{number}")
    assert fleet.produce(leader, key, make_batch(b"lost"), acks=ACKS_LEADER).error == 0
    fleet.wait(lambda: fleet.replica(leader, key).sync_pending is False)
    fleet.world.run_for(5_000)
    fleet.kill(leader)
    noted = read_checkpoint(fleet.disks[leader], RECOVERY_POINTS)
    assert noted == {TopicPartition("t", 0): 2}
    return fleet, key, leader


def test_a_cut_below_the_recovery_point_is_noted_before_the_next_append() -> None:
    """Else a power cut would trust bytes that were never synced."""
    fleet, _, leader = dead_with_a_synced_tail()
    name, disk = TopicPartition("t", 0), fleet.disks[leader]
    fleet.network.heal_all()
    fleet.start(leader)
    fleet.wait(lambda: leader in fleet.started())
    figures = fleet.server(leader).context.figures
    fleet.wait(lambda: figures.get("logs_truncated") == 1)
    assert read_checkpoint(disk, RECOVERY_POINTS) == {name: 1}


def test_a_frozen_follower_leaves_the_isr_and_returns(fleet: PartitionFleet) -> None:
    key = fleet.create()
    fleet.write(key, b"a")
    slow = followers(fleet, key)[0]
    leader = fleet.leader(key)
    fleet.network.part(f"broker-{leader}", f"broker-{slow}")
    outcome = fleet.produce(leader, key, make_batch(b"b"), timeout_ms=4_900)
    assert outcome.error == ErrorCode.NONE
    assert slow not in fleet.isr(key)
    fleet.network.heal_all()
    whole(fleet, key)
    assert fleet.logs(key) == [[b"a", b"b"]] * 3


def test_a_quiet_follower_that_has_everything_stays_in_the_isr(fleet: PartitionFleet) -> None:
    key = fleet.create()
    fleet.write(key, b"a")
    whole(fleet, key)
    fleet.world.run_for(10_000)
    assert len(fleet.isr(key)) == 3


def test_waiting_produces_hear_of_lost_leadership(fleet: PartitionFleet) -> None:
    key = fleet.create()
    fleet.write(key, b"a")
    leader = fleet.leader(key)
    for number in followers(fleet, key):
        fleet.network.part(f"broker-{leader}", f"broker-{number}")
    answers: list[ErrorCode] = []
    fleet.world.after(
        500_000, lambda: fleet.expire(leader)
    )  # its session ends though it still runs
    fleet.world.after(500_000, fleet.network.heal_all)
    outcome = fleet.produce(leader, key, make_batch(b"b"), timeout_ms=4_900)
    answers.append(ErrorCode(outcome.error))
    assert answers[0] in (
        ErrorCode.NOT_LEADER_OR_FOLLOWER,
        ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
    )


# Disks


def test_a_full_disk_refuses_writes_serves_reads_and_recovers(fleet: PartitionFleet) -> None:
    key = fleet.create()
    fleet.write(key, b"a")
    leader = fleet.leader(key)
    fleet.disks[leader].set_free_bytes(10)
    outcome = fleet.produce(leader, key, make_batch(b"b"))
    assert outcome.error == ErrorCode.KAFKA_STORAGE_ERROR
    _, (data,) = fleet.fetch(leader, key)
    assert data
    assert fleet.replica(leader, key).state is ReplicaState.ONLINE
    fleet.disks[leader].set_free_bytes(1 << 30)
    assert fleet.write(key, b"c").base_offset == 1
    assert fleet.logs(key) == [[b"a", b"c"]] * 3


@pytest.mark.parametrize("policy", ["commit", "none"])
def test_a_full_disk_takes_no_replica_offline_whose_indexes_have_no_room(policy: str) -> None:
    """They are written when the log is synced: what it holds was written before, and is still there."""
    log = LogConfig(segment_bytes=1_000, recovery_checkpoint_interval_ms=2_000)
    fleet = PartitionFleet(1, min_insync_replicas=1, log=log)
    fleet.settle()
    key = fleet.create(configs={"flush.policy": policy, "retention.ms": "-1"})
    value = b"v" * 300
    fleet.write(key, value)
    disk = fleet.disks[1]
    disk.set_free_bytes(1_500)
    for _ in range(8):
        fleet.produce(1, key, make_batch(value), acks=ACKS_LEADER, timeout_ms=100)
    replica = fleet.replica(1, key)
    disk.set_free_bytes(0)
    fleet.world.run_for(5_000)
    figures = fleet.server(1).context.figures
    assert figures["syncs_put_off"] > 0
    assert replica.state is ReplicaState.ONLINE
    _, (data,) = fleet.fetch(1, key)
    assert data
    disk.set_free_bytes(1 << 30)
    fleet.world.run_for(4_000)
    assert not replica.sync_pending
    count = len(fleet.logs(key)[0])
    assert fleet.write(key, b"last").base_offset == count > 3


def test_a_follower_with_a_full_disk_tries_again(fleet: PartitionFleet) -> None:
    key = fleet.create()
    fleet.write(key, b"a")
    full = followers(fleet, key)[0]
    fleet.disks[full].set_free_bytes(10)
    outcome = fleet.produce(fleet.leader(key), key, make_batch(b"b"), timeout_ms=4_900)
    assert outcome.error == ErrorCode.NONE
    assert full not in fleet.isr(key)
    assert fleet.server(full).context.figures["appends_failed"] < 100
    fleet.disks[full].set_free_bytes(1 << 30)
    whole(fleet, key)
    assert fleet.logs(key) == [[b"a", b"b"]] * 3


def test_a_leader_that_finds_damage_is_replaced_and_repaired() -> None:
    fleet = make_fleet(log=LogConfig(cleaner_interval_ms=300, segment_bytes=4096))
    key = fleet.create(configs={"cleanup.policy": "compact"})
    for number in range(60):
        builder = BatchBuilder()
        builder.append(b"k%d" % number, b"v" * 100, (), 1)
        assert fleet.produce(fleet.leader(key), key, builder.build()).error == ErrorCode.NONE
    before = fleet.leader(key)
    damage(fleet, before)
    fleet.wait(lambda: fleet.leader(key) != before)
    whole(fleet, key)
    assert len({len(log) for log in fleet.logs(key)}) == 1
    assert fleet.server(before).context.figures["logs_fetched_anew"] == 1


def damage(fleet: PartitionFleet, number: int) -> None:
    """Change a byte in the middle of a log, as a dying device would."""
    for bit in range(8):
        fleet.disks[number].flip(LOG_FILE, 70, bit)


@pytest.mark.parametrize("leads", [False, True])
def test_a_damaged_log_is_put_aside_and_fetched_again(leads: bool) -> None:
    fleet = make_fleet()
    fleet.same_boot = False
    key = fleet.create()
    other = fleet.create("u")
    for value in (b"a", b"b", b"c"):
        fleet.write(key, value)
        fleet.write(other, value)
    whole(fleet, key)
    victim = fleet.leader(key) if leads else followers(fleet, key)[0]
    fleet.kill(victim)
    fleet.write(key, b"d")
    damage(fleet, victim)
    fleet.start(victim)
    whole(fleet, key)
    whole(fleet, other)
    assert fleet.logs(key) == [[b"a", b"b", b"c", b"d"]] * 3
    figures = fleet.server(victim).context.figures
    assert (figures["logs_damaged"], figures["logs_fetched_anew"]) == (1, 1)
    assert folders(fleet, victim) == ["t-0", "t-0.0.damaged", "u-0"]


@pytest.mark.parametrize("leads", [False, True])
def test_damage_at_rest_is_found_when_it_is_read(leads: bool) -> None:
    fleet = make_fleet()
    key = fleet.create()
    for value in (b"a", b"b", b"c"):
        fleet.write(key, value)
    whole(fleet, key)
    victim = fleet.leader(key)
    fleet.kill(victim)
    fleet.start(victim)
    whole(fleet, key)
    # Same boot: sizes are trusted, and no batch is read but its header.
    fleet.disks[victim].flip(LOG_FILE, 64, 3)
    if leads:
        for number in fleet.numbers:
            if number != victim:
                fleet.kill(number)
        fleet.wait(lambda: fleet.leader(key) == victim)
        for number in fleet.numbers:
            if number != victim:
                fleet.start(number)
        whole(fleet, key)
    replica = fleet.replica(victim, key)
    log = replica.log
    assert log is not None
    with pytest.raises(Damaged, match="fails its CRC"):
        log.read(Offset(0), 1 << 20, log.log_end_offset)
    if leads:
        answer, _ = fleet.fetch(victim, key, 0)
        assert answer.partitions[0].error == ErrorCode.KAFKA_STORAGE_ERROR
        fleet.wait(lambda: fleet.leader(key) != victim)
        whole(fleet, key)
        assert fleet.logs(key) == [[b"a", b"b", b"c"]] * 3
        assert fleet.server(victim).context.figures["logs_fetched_anew"] == 1


def test_a_damaged_log_is_kept_while_its_replica_may_be_elected() -> None:
    """An empty log in its place would lead from the ELR, and everybody cut their logs to it."""
    fleet = PartitionFleet(min_insync_replicas=3)
    fleet.settle()
    key = fleet.create()
    for value in (b"a", b"b", b"c"):
        fleet.write(key, value)
    whole(fleet, key)
    victim = followers(fleet, key)[0]
    fleet.kill(victim)
    fleet.wait(lambda: len(fleet.isr(key)) == 2)
    fleet.disks[victim].flip(LOG_FILE, 3, 0)  # of the base offset: found by whoever opens it
    fleet.start(victim)

    def repaired() -> bool:
        record = fleet.server(fleet.controller()).context.image.partition(key)
        replica = fleet.hosted(victim).find(key) if fleet.server(victim)._started else None
        assert record is not None
        if victim in (*record.isr, *record.elr) and replica is not None:
            core = replica.core
            assert core is None or core.log_end_offset == 3, "who may be elected has everything"
        return victim in record.isr

    fleet.wait(repaired, 10_000)
    assert fleet.server(victim).context.figures["logs_fetched_anew"] == 1
    assert fleet.logs(key) == [[b"a", b"b", b"c"]] * 3


def test_a_damaged_log_without_a_leader_to_fetch_from_is_offline() -> None:
    fleet = PartitionFleet(1)
    fleet.same_boot = False
    fleet.settle()
    key = fleet.create()
    other = fleet.create("u")
    for value in (b"a", b"b", b"c"):
        fleet.write(key, value)
    fleet.write(other, b"x")
    fleet.kill(1)
    damage(fleet, 1)
    fleet.start(1)
    fleet.wait(lambda: fleet.server(1).is_ready() and fleet.hosted(1).replica_count() == 2)
    fleet.wait(lambda: fleet.replica(1, key).state is ReplicaState.OFFLINE)
    assert fleet.produce(1, key, make_batch()).error == ErrorCode.KAFKA_STORAGE_ERROR
    assert fleet.write(other, b"y").base_offset == 1


# Restarts


def test_a_restarted_broker_keeps_its_log_and_its_high_watermark(fleet: PartitionFleet) -> None:
    key = fleet.create()
    fleet.write(key, b"a", b"b")
    whole(fleet, key)
    fleet.world.run_for(6_000)
    for number in fleet.alive():
        noted = read_checkpoint(fleet.disks[number], HIGH_WATERMARKS)
        assert noted == {TopicPartition("t", 0): 2}
    for number in fleet.alive():
        fleet.kill(number)
    for number in fleet.numbers:
        fleet.start(number)
    fleet.settle()
    assert fleet.write(key, b"c").base_offset == 2
    whole(fleet, key)
    assert fleet.logs(key) == [[b"a", b"b", b"c"]] * 3


def test_many_logs_are_synced_and_noted_in_many_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "SYNCED_A_TURN", 2)
    monkeypatch.setattr(upkeep, "NOTED_AT_ONCE", 3)
    written: list[tuple[str, int]] = []
    synced: list[int] = []
    fleet = PartitionFleet(1, log=LogConfig(recovery_checkpoint_interval_ms=1_000))
    fleet.settle()
    checkpoint = Replica.checkpoint

    def write(disk: Disk, name: str, offsets: Any, *, durable: bool) -> None:
        written.append((name, fleet.world.now_us))
        write_checkpoint(disk, name, offsets, durable=durable)

    def look(replica: Replica) -> None:
        synced.append(fleet.world.now_us)
        checkpoint(replica)

    monkeypatch.setattr(upkeep, "write_checkpoint", write)
    monkeypatch.setattr(Replica, "checkpoint", look)
    first = fleet.create("t", 4)
    keys = [first._replace(partition=number) for number in range(4)]
    noted = {TopicPartition("t", number): 1 for number in range(4)}
    for key in keys:
        fleet.write(key, b"a")
    fleet.world.run_for(12_000)
    disk = fleet.disks[1]
    assert read_checkpoint(disk, HIGH_WATERMARKS) == read_checkpoint(disk, RECOVERY_POINTS) == noted
    assert max(Counter(synced).values()) == 2
    assert {name for name, _ in written} == {HIGH_WATERMARKS, RECOVERY_POINTS}
    moments = [at_us for _, at_us in written]
    assert len(set(moments)) == len(moments)


def test_producers_are_remembered_across_a_restart_of_all(fleet: PartitionFleet) -> None:
    key = fleet.create()
    batch = make_batch(b"a", producer=4, sequence=0)
    assert fleet.produce(fleet.leader(key), key, batch).base_offset == 0
    for number in fleet.alive():
        fleet.kill(number)
    for number in fleet.numbers:
        fleet.start(number)
    fleet.settle()
    outcome = fleet.produce(fleet.leader(key), key, batch)
    assert (outcome.error, outcome.base_offset) == (ErrorCode.NONE, 0)


def stop(fleet: PartitionFleet, number: int) -> None:
    process = fleet.processes[number]
    process.do(process.program.stop)
    fleet.wait(lambda: not process.alive)


def test_a_stop_is_not_clean_before_the_logs_of_a_killed_process_were_opened(
    fleet: PartitionFleet,
) -> None:
    key = fleet.create()
    fleet.write(key, b"a")
    whole(fleet, key)
    for _ in range(2):
        fleet.kill(3)
        fleet.start(3)
        fleet.wait(lambda: 3 in fleet.started())
        assert not fleet.hosted(3).replica_count()
        stop(fleet, 3)
        assert not fleet.disks[3].exists(CLEAN_STOP), "what was written last is not synced"
    fleet.start(3)
    fleet.settle()
    whole(fleet, key)
    for _ in range(2):
        stop(fleet, 3)
        assert fleet.disks[3].exists(CLEAN_STOP)
        fleet.start(3)
        fleet.wait(lambda: 3 in fleet.started())


def test_an_orderly_stop_is_clean_and_a_start_ends_that(fleet: PartitionFleet) -> None:
    key = fleet.create()
    fleet.write(key, b"a")
    whole(fleet, key)
    stop(fleet, 3)
    disk = fleet.disks[3]
    assert disk.exists(CLEAN_STOP)
    assert read_checkpoint(disk, RECOVERY_POINTS) == {TopicPartition("t", 0): 1}
    disk.lose_power(Random(1))
    fleet.start(3)
    fleet.settle()
    whole(fleet, key)
    assert not disk.exists(CLEAN_STOP)
    assert fleet.logs(key) == [[b"a"]] * 3


def test_indexes_that_a_power_cut_has_taken_are_made_anew_after_an_orderly_stop(
    fleet: PartitionFleet,
) -> None:
    """Nobody has waited for a sync of them, although the stop was orderly."""
    key = fleet.create()
    for _ in range(3):
        fleet.write(key, b"v" * 5_000)
    whole(fleet, key)
    log = fleet.replica(3, key).log
    assert log is not None
    newest = log.segments[0].newest()
    assert newest[0] > 0
    fleet.same_boot = False
    stop(fleet, 3)
    noted = read_checkpoint(fleet.disks[3], CLEAN_STOP)
    assert set(noted) == {TopicPartition("t", 0)}
    fleet.start(3)
    fleet.wait(lambda: 3 in fleet.started())
    assert not fleet.hosted(3).replica_count()
    stop(fleet, 3)
    assert read_checkpoint(fleet.disks[3], CLEAN_STOP) == noted, (
        "what it has not opened is as it was"
    )
    fleet.disks[3].write_file(TIMES_FILE, b"", durable=True)
    fleet.start(3)
    fleet.settle()
    whole(fleet, key)
    log = fleet.replica(3, key).log
    assert log is not None
    assert log.segments[0].newest() == newest


@pytest.mark.parametrize("seed", range(8))
def test_a_power_cut_of_one_broker_is_healed(seed: int) -> None:
    fleet = make_fleet(seed, log=LogConfig(recovery_checkpoint_interval_ms=400))
    fleet.same_boot = False
    key = fleet.create()
    for number in range(12):
        fleet.write(key, b"%d" % number)
        fleet.world.run_for(100)
    victim = fleet.alive()[seed % 3]
    fleet.kill(victim)
    fleet.disks[victim].lose_power(Random(seed))
    fleet.write(key, b"more")
    fleet.start(victim)
    whole(fleet, key)
    assert fleet.logs(key) == [[*(b"%d" % number for number in range(12)), b"more"]] * 3


@pytest.mark.parametrize("seed", range(6))
def test_flush_commit_survives_a_power_cut_everywhere(seed: int) -> None:
    fleet = make_fleet(seed)
    fleet.same_boot = False
    key = fleet.create(configs={"flush.policy": "commit"})
    for number in range(5):
        fleet.write(key, b"%d" % number)
    fleet.lose_power(seed)
    fleet.write(key, b"more")
    assert fleet.logs(key)[fleet.leader(key) - 1] == [b"0", b"1", b"2", b"3", b"4", b"more"]


def test_flush_commit_syncs_what_a_replica_finds_when_it_comes_back(
    fleet: PartitionFleet,
) -> None:
    key = fleet.create(configs={"flush.policy": "commit", "min.insync.replicas": "3"})
    fleet.write(key, b"a")
    away = followers(fleet, key)[0]
    fleet.kill(away)  # before it has noted what is synced
    fleet.settle()
    fleet.start(away)
    whole(fleet, key)  # nobody can write anything before that


def test_a_sync_from_before_a_cut_speaks_for_nothing_written_after_it(
    fleet: PartitionFleet,
) -> None:
    """Its outcome was on its way when the log was cut, and has grown again."""
    key = fleet.create(configs={"flush.policy": "commit", "min.insync.replicas": "2"})
    fleet.write(key, b"a")
    whole(fleet, key)
    replica = fleet.replica(followers(fleet, key)[0], key)
    core, log = replica.core, replica.log
    assert core is not None
    assert log is not None
    replica.hold_syncs()
    assert fleet.produce(fleet.leader(key), key, make_batch(b"b"), acks=ACKS_LEADER).error == 0
    fleet.wait(lambda: core.log_end_offset == 2)
    replica._synced(log, core.log_end_offset, fleet.now())
    position = core.fetch_position()
    assert position is not None
    assert (position.durable_offset, log.recovery_point) == (1, 1)
    replica.release_syncs()
    whole(fleet, key)


def test_flush_commit_syncs_what_was_written_before_it_was_set(fleet: PartitionFleet) -> None:
    key = fleet.create()
    fleet.write(key, b"a")
    replicas = [fleet.replica(number, key) for number in fleet.numbers]
    assert all(replica.sync_pending for replica in replicas)
    change = ConfigChange("flush.policy", ConfigOp.SET, "commit")
    alter = AlterConfigsRequest((AlteredConfigs(RESOURCE_TOPIC, "t", (change,)),), 2_000)
    assert fleet.ask(fleet.controller(), alter).error == ErrorCode.NONE
    fleet.wait(lambda: not any(replica.sync_pending for replica in replicas))


def test_a_topic_made_again_begins_empty_even_where_its_folder_was_left(
    fleet: PartitionFleet,
) -> None:
    key = fleet.create()
    fleet.write(key, b"old", b"old")
    whole(fleet, key)
    away = followers(fleet, key)[0]
    fleet.world.run_for(6_000)
    fleet.kill(away)
    fleet.settle()
    fleet.delete()
    fleet.start(away)
    fleet.settle()
    assert fleet.disks[away].exists(LOG_FILE)
    again = fleet.create()
    assert fleet.write(again, b"new").base_offset == 0
    whole(fleet, again)
    assert fleet.logs(again) == [[b"new"]] * 3
    assert read_checkpoint(fleet.disks[away], HIGH_WATERMARKS) == {}


def test_deleted_logs_are_removed_and_strays_too(fleet: PartitionFleet) -> None:
    key = fleet.create()
    fleet.write(key, b"a")
    whole(fleet, key)
    away = followers(fleet, key)[0]
    fleet.kill(away)
    fleet.settle()
    fleet.delete()
    fleet.wait(lambda: all(folders(fleet, number) == [] for number in fleet.alive()))
    fleet.start(away)
    fleet.settle()
    assert folders(fleet, away) == ["t-0"]
    fleet.world.run_for(61_000)
    assert folders(fleet, away) == []


def test_what_went_to_others_while_a_broker_was_away_is_a_stray() -> None:
    fleet = PartitionFleet(4, min_insync_replicas=2)
    fleet.settle()
    placed = tuple(NodeId(node) for node in (1, 2, 3))
    request = CreateTopicsRequest((NewTopic("t", assignments=(placed,)),), 5_000)
    (outcome,) = fleet.ask(1, request).topics
    key = PartitionKey(outcome.topic_id, 0)
    fleet.write(key, b"a")
    fleet.wait(lambda: folders(fleet, 3) == ["t-0"])
    fleet.kill(3)
    fleet.settle()
    target = tuple(NodeId(node) for node in (1, 2, 4))
    fleet.ask(1, AlterReassignmentsRequest((Reassignment("t", 0, target),), 5_000))
    fleet.wait(lambda: fleet.isr(key) == (1, 2, 4))
    fleet.start(3)
    fleet.settle()
    assert folders(fleet, 3) == ["t-0"]
    fleet.world.run_for(61_000)
    assert [folders(fleet, number) for number in fleet.numbers] == [["t-0"], ["t-0"], [], ["t-0"]]
