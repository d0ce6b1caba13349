"""Compacted topics, over brokers with real replicas on a simulated disk."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from nodes.broker.records import batch_checks, produce
from nodes.config import LogConfig
from nodes.storage.disk import DiskFull, File, StorageError
from tests.unit.broker.partition_fleet import PartitionFleet, make_batch
from tests.unit.broker.test_replica_transactions import write_marker, write_own
from tests.unit.broker.test_replicas_faults import followers, whole
from transport.wire import varint
from transport.wire.batch import CRC_FROM, HEADER_BYTES, BatchHeader, encode_header
from transport.wire.checksum import crc32c
from transport.wire.compression import NONE, ZSTD, compress
from transport.wire.errors import ErrorCode
from transport.wire.ids import LeaderEpoch, Offset, PartitionKey, ProducerEpoch, ProducerId
from transport.wire.messages.produce import ProducePartition, ProduceRequest
from transport.wire.records import BatchBuilder, decode_rows, iterate_headers

COMPACT = {
    "cleanup.policy": "compact",
    "segment.bytes": "4096",
    "min.cleanable.dirty.ratio": "0.3",
    "delete.retention.ms": "0",
}
INTERVAL_MS = 200
Values = dict[bytes, tuple[int, bytes | None]]


def make_fleet(**log: Any) -> PartitionFleet:
    settings = LogConfig(cleaner_interval_ms=INTERVAL_MS, **log)
    fleet = PartitionFleet(min_insync_replicas=2, replica_lag_time_max_ms=2_000, log=settings)
    fleet.settle()
    return fleet


def write(
    fleet: PartitionFleet, key: PartitionKey, last: Values, count: int, random: Random
) -> None:
    """Write records of 100 bytes, of ten keys; keep what each key has at last."""
    for _ in range(count):
        name = b"k%d" % random.randrange(10)
        value = random.choice((None, random.randbytes(100), random.randbytes(100)))
        builder = BatchBuilder()
        builder.append(name, value, (), 1)
        outcome = fleet.produce(fleet.leader(key), key, builder.build())
        assert outcome.error == ErrorCode.NONE
        last[name] = outcome.base_offset, value


def read(fleet: PartitionFleet, number: int, key: PartitionKey) -> Values:
    """What the log of one replica says of each key."""
    log = fleet.replica(number, key).log
    assert log is not None
    found: Values = {}
    offset = log.log_start_offset
    while offset < log.log_end_offset:
        data = log.read(offset, 1 << 20, log.log_end_offset)
        for position, header in iterate_headers(data):
            for row in decode_rows(data[position : position + header.size_bytes]):
                assert row[2] is not None
                found[row[2]] = row[0], row[3]
            offset = header.next_offset
    return found


def make_keyed(key: bytes, value: bytes) -> bytes:
    builder = BatchBuilder()
    builder.append(key, value, (), 1)
    return builder.build()


def living(values: Values) -> Values:
    return {name: told for name, told in values.items() if told[1] is not None}


def size_bytes(fleet: PartitionFleet, number: int, key: PartitionKey) -> int:
    log = fleet.replica(number, key).log
    return 0 if log is None else log.size_bytes


def test_every_replica_compacts_and_all_keep_the_newest_of_each_key() -> None:
    fleet = make_fleet()
    key = fleet.create(configs=COMPACT)
    last: Values = {}
    write(fleet, key, last, 200, Random(1))
    fleet.world.run_for(3_000)
    whole(fleet, key)
    for number in fleet.numbers:
        assert fleet.server(number).context.figures["logs_cleaned"] >= 1
        assert size_bytes(fleet, number, key) < 10_000
        assert living(read(fleet, number, key)) == living(last)
        assert not fleet.disks[number].files("logs/t-0", ".deleted")


def test_what_a_marker_in_a_later_segment_aborts_supersedes_nothing() -> None:
    fleet = make_fleet()
    key = fleet.create(configs=COMPACT)
    fleet.produce(fleet.leader(key), key, make_keyed(b"k", b"committed"))
    builder = BatchBuilder()
    builder.append(b"k", b"aborted", (), 1)
    builder.append(b"large", bytes(3_800), (), 1)
    first = ProducerEpoch(0)
    write_own(fleet, key, builder.build(NONE, ProducerId(7), first, 0, transactional=True))
    fleet.produce(fleet.leader(key), key, make_keyed(b"other", bytes(3_000)))
    write_marker(fleet, key, committed=False)
    fleet.world.run_for(3_000)
    for number in fleet.numbers:
        assert fleet.server(number).context.figures["logs_cleaned"] >= 1
        found = read(fleet, number, key)
        assert found[b"k"] == (0, b"committed")
        assert b"large" not in found


def test_what_is_written_in_an_open_transaction_supersedes_nothing_yet() -> None:
    fleet = make_fleet()
    key = fleet.create(configs=COMPACT)
    fleet.produce(fleet.leader(key), key, make_keyed(b"k", b"committed"))
    builder = BatchBuilder()
    builder.append(b"k", b"open", (), 1)
    builder.append(b"large", bytes(3_800), (), 1)
    first = ProducerEpoch(0)
    write_own(fleet, key, builder.build(NONE, ProducerId(7), first, 0, transactional=True))
    for number in range(3):
        fleet.produce(fleet.leader(key), key, make_keyed(b"%d" % number, bytes(3_000)))
    fleet.world.run_for(3_000)
    write_marker(fleet, key, committed=False)
    fleet.produce(fleet.leader(key), key, make_keyed(b"last", bytes(3_000)))
    fleet.world.run_for(3_000)
    for number in fleet.numbers:
        found = read(fleet, number, key)
        assert found[b"k"] == (0, b"committed")
        assert b"large" not in found


def test_a_replica_on_a_new_disk_follows_a_compacted_log_with_its_holes() -> None:
    fleet = make_fleet()
    key = fleet.create(configs=COMPACT)
    last: Values = {}
    write(fleet, key, last, 100, Random(2))
    fleet.world.run_for(2_000)
    away = followers(fleet, key)[0]
    fleet.kill(away)
    fleet.disks[away].wipe("logs")
    fleet.start(away)
    whole(fleet, key)
    write(fleet, key, last, 20, Random(3))
    whole(fleet, key)
    assert living(read(fleet, away, key)) == living(last)


def test_a_restart_keeps_what_was_cleaned_and_goes_on_from_there() -> None:
    fleet = make_fleet()
    key = fleet.create(configs=COMPACT)
    last: Values = {}
    write(fleet, key, last, 100, Random(4))
    fleet.world.run_for(7_000)
    log = fleet.replica(1, key).log
    assert log is not None
    cleaned_to = log.cleaned_to
    assert cleaned_to > 0
    for number in fleet.numbers:
        fleet.kill(number)
    for number in fleet.numbers:
        fleet.start(number)
    fleet.settle()
    whole(fleet, key)
    log = fleet.replica(1, key).log
    assert log is not None
    assert log.cleaned_to == cleaned_to
    assert all(living(read(fleet, number, key)) == living(last) for number in fleet.numbers)


def test_many_keys_are_cleaned_in_several_passes() -> None:
    fleet = make_fleet(cleaner_keys_max=3)
    key = fleet.create(configs=COMPACT)
    last: Values = {}
    write(fleet, key, last, 120, Random(5))
    fleet.world.run_for(5_000)
    assert fleet.server(1).context.figures["logs_cleaned"] > 2
    assert living(read(fleet, 1, key)) == living(last)


def test_damage_found_by_the_cleaner_is_repaired_from_the_leader() -> None:
    fleet = make_fleet()
    key = fleet.create(configs=COMPACT)
    last: Values = {}
    write(fleet, key, last, 60, Random(6))
    damaged = followers(fleet, key)[0]
    fleet.disks[damaged].flip("logs/t-0/00000000000000000000.log", 100, 1)
    fleet.world.run_for(3_000)
    whole(fleet, key)
    assert fleet.server(damaged).context.figures["logs_fetched_anew"] == 1
    assert living(read(fleet, damaged, key)) == living(last)


@pytest.mark.parametrize("failing", ["a segment", "the swap", "a sync"])
def test_a_log_that_cannot_be_put_in_its_place_is_read_no_more(failing: str) -> None:
    fleet = make_fleet()
    key = fleet.create(configs=COMPACT)
    last: Values = {}
    write(fleet, key, last, 60, Random(8))
    victim = followers(fleet, key)[0]
    disk = fleet.disks[victim]
    rename = disk.rename

    def fail(old: str, new: str) -> None:
        if failing == "a sync":
            disk.failing_sync |= new.endswith(".swap")
        is_later = old.endswith(".log") and not old.endswith("/00000000000000000000.log")
        if (failing == "the swap" and old.endswith(".swap")) or (
            failing == "a segment" and is_later
        ):
            raise StorageError(f"{old}: the device failed")
        rename(old, new)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(disk, "rename", fail)
        fleet.world.run_for(3_000)
        assert not fleet.processes[victim].alive, "it had no other directory"
    disk.failing_sync = False
    fleet.start(victim)
    whole(fleet, key)
    assert living(read(fleet, victim, key)) == living(last)


@pytest.mark.parametrize("error", [StorageError, DiskFull])
def test_a_disk_that_fails_under_the_cleaner_serves_no_more_and_a_full_one_does(
    error: type[StorageError],
) -> None:
    fleet = make_fleet()
    key = fleet.create(configs=COMPACT)
    write(fleet, key, {}, 60, Random(8))
    victim = followers(fleet, key)[0]
    disk = fleet.disks[victim]
    begin = disk.open

    def fail(path: str, *, create: bool = True) -> File:
        if path.endswith(".cleaned"):
            raise error(f"{path}: it cannot be written")
        return begin(path, create=create)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(disk, "open", fail)
        fleet.world.run_for(3_000)
    process = fleet.processes[victim]
    assert process.alive is (error is DiskFull), "it had no other directory"
    if process.alive:
        assert fleet.server(victim).context.figures["cleanings_failed"] > 0
        whole(fleet, key)


def test_a_record_without_a_key_is_refused() -> None:
    fleet = make_fleet()
    key = fleet.create(configs=COMPACT)
    outcome = fleet.produce(fleet.leader(key), key, make_batch(b"v"))
    assert outcome.error == ErrorCode.INVALID_RECORD
    assert "without a key" in outcome.text


def test_a_record_whose_time_fits_no_64_bits_ends_nobody() -> None:
    """It is its producer's to choose, and the broker that takes it has not looked at it."""
    fleet = make_fleet()
    key = fleet.create(configs=COMPACT)
    assert fleet.produce(fleet.leader(key), key, make_beyond(b"one", b"two")).error == 0
    fleet.produce(fleet.leader(key), key, make_keyed(b"two", b"newer"))
    last: Values = {}
    write(fleet, key, last, 100, Random(1))
    fleet.world.run_for(3_000)
    for number in fleet.numbers:
        assert fleet.server(number).context.figures["logs_cleaned"] >= 1
        found = read(fleet, number, key)
        assert (found.pop(b"one"), found.pop(b"two")[1]) == ((0, b"v"), b"newer")
        assert living(found) == living(last)


def test_tombstones_may_stay_for_ever() -> None:
    fleet = make_fleet()
    for_ever = {"delete.retention.ms": str(2**63 - 1)}
    key = fleet.create(configs={**COMPACT, **for_ever})
    last: Values = {}
    write(fleet, key, last, 200, Random(1))
    fleet.world.run_for(3_000)
    for number in fleet.numbers:
        assert fleet.server(number).context.figures["logs_cleaned"] >= 1
        assert read(fleet, number, key) == last


def make_beyond(*keys: bytes) -> bytes:
    """A batch whose records are of a time that no 64 bits have room for; its header says nothing of it."""
    delta = b"\xfe" + b"\xff" * 8 + b"\x7f"
    records = b""
    for number, key in enumerate(keys):
        name = varint.encode(len(key)) + key
        body = b"\0" + delta + varint.encode(number) + name + varint.encode(1) + b"v\0"
        records += varint.encode(len(body)) + body
    return make_of(records, len(keys), base_timestamp_ms=2**63 - 1)


def many(count: int, codec: int = NONE) -> bytes:
    """A batch of so many records of the same few bytes."""
    records = bytes((16, 0, 0, 0, 2)) + b"k" + bytes((2,)) + b"v" + bytes((0,))
    return make_of(compress(codec, records * count), count, codec=codec)


def make_of(data: bytes, count: int, *, codec: int = NONE, base_timestamp_ms: int = 0) -> bytes:
    header = BatchHeader(
        Offset(0),
        HEADER_BYTES + len(data),
        LeaderEpoch(0),
        2,
        0,
        codec,
        count - 1,
        base_timestamp_ms,
        0,
        ProducerId(-1),
        ProducerEpoch(-1),
        -1,
        count,
    )
    crc = crc32c(data, crc32c(encode_header(header)[CRC_FROM:]))
    return encode_header(replace(header, crc=crc)) + data


def test_a_few_kilobytes_that_say_they_are_millions_of_records_are_refused_unopened() -> None:
    fleet = make_fleet()
    key = fleet.create(configs=COMPACT)
    leader = fleet.leader(key)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch_checks, "open_batch", None)
        outcome = fleet.produce(leader, key, many(100_001, ZSTD))
    assert outcome.error == ErrorCode.MESSAGE_TOO_LARGE
    assert "100001 records; a compacted topic takes 100000" in outcome.text
    assert fleet.produce(leader, key, many(400, ZSTD)).error == ErrorCode.NONE


@pytest.mark.parametrize("bad", [False, True])
def test_batches_that_take_long_to_open_have_a_turn_each(
    bad: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = make_fleet()
    key = fleet.create(configs=COMPACT)
    leader = fleet.leader(key)
    fleet.produce(leader, key, many(1))  # the log is made
    monkeypatch.setattr(batch_checks, "RECORDS_OPENED_AS_A_LOG", 10)
    monkeypatch.setattr(batch_checks, "DECOMPRESSED_BYTES_MAX", 100 if bad else 10_000)
    opened: list[int] = []
    open_compacted = batch_checks.open_compacted

    def counted(*batch: Any) -> batch_checks.OpenedBatch:
        opened.append(turns)
        return open_compacted(*batch)

    monkeypatch.setattr(produce, "open_compacted", counted)
    replicas: Any = fleet.server(leader).replicas
    produces = replicas._produces
    end_turn, turns = produces.end_turn, 0

    def next_turn(now: Any) -> None:
        nonlocal turns
        turns += 1
        end_turn(now)

    monkeypatch.setattr(produces, "end_turn", next_turn)
    batches = [many(300, ZSTD)] * 3
    parts = tuple(
        ProducePartition(key.topic_id, key.partition, LeaderEpoch(-1), frame) for frame in range(3)
    )
    answer = fleet.ask(leader, ProduceRequest(-1, 5_000, parts), payload=tuple(batches))
    error = ErrorCode.MESSAGE_TOO_LARGE if bad else ErrorCode.NONE
    assert [part.error for part in answer.partitions] == [error] * 3
    assert len(opened) == len(set(opened)) == 3, "one in a turn"


@pytest.mark.parametrize(("records", "parts"), [(40, 1), (1, 2)])
def test_what_waits_for_its_turn_to_be_written_is_bounded_in_bytes(
    records: int, parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of its batches, and what partitions take that have none."""
    fleet = make_fleet()
    key = fleet.create(configs=COMPACT)
    leader = fleet.leader(key)
    fleet.produce(leader, key, many(1))
    monkeypatch.setattr(produce, "BACKLOG_BYTES_MAX", 400)
    monkeypatch.setattr(produce, "LOGS_BEGUN_A_TURN", 0)
    fleet.world.run_for(100)
    part = ProducePartition(key.topic_id, key.partition, LeaderEpoch(-1), 0)
    request = ProduceRequest(-1, 5_000, (part,) * parts)
    waits: list[Any] = []
    fleet.post(leader, request, waits.append, payload=(many(records),))
    fleet.world.run_for(100)
    assert fleet.ask(leader, request, payload=(many(1),)).error == ErrorCode.OVERLOADED
    monkeypatch.setattr(produce, "LOGS_BEGUN_A_TURN", 20)
    fleet.wait(lambda: bool(waits))
    assert waits[0].partitions[0].error == ErrorCode.NONE
    assert fleet.produce(leader, key, many(1)).error == ErrorCode.NONE


def test_old_records_are_compacted_though_little_is_dirty() -> None:
    fleet = make_fleet()
    late = {**COMPACT, "min.cleanable.dirty.ratio": "1", "max.compaction.lag.ms": "1"}
    key = fleet.create(configs=late)
    last: Values = {}
    write(fleet, key, last, 100, Random(7))
    fleet.world.run_for(2_000)
    log = fleet.replica(1, key).log
    assert log is not None
    assert log.cleaned_to > Offset(90)
    assert living(read(fleet, 1, key)) == living(last)
