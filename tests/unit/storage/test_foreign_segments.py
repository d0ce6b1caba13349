"""Our segments read by an independent implementation of the format (kafka-python), and the reverse."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import pytest

from nodes.storage.log_settings import LogSettings
from nodes.storage.partition_log import PartitionLog
from tests.simulation.disk import SimulatedDisk
from tests.unit.storage.test_cleaning import (
    FOLDER,
    NOW_MS,
    append,
    clean,
    content,
    end_transaction,
    headers,
    open_log,
    plan_for,
    put,
    roll,
)
from transport.wire.ids import LeaderEpoch, Offset
from transport.wire.records import BatchBuilder, check_batches, stamp_with_time

SEGMENT = f"{FOLDER}/00000000000000000000.log"

with warnings.catch_warnings():
    # Its package imports more than its records, with calls that Python deprecates.
    warnings.simplefilter("ignore", DeprecationWarning)
    from kafka.record.default_records import DefaultRecordBatchBuilder
    from kafka.record.memory_records import MemoryRecords


class Foreign(NamedTuple):
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None


def read_foreign(data: bytes) -> list[Foreign]:
    """Every record of a segment, as kafka-python reads it; control batches are left out."""
    found: list[Foreign] = []
    batches = MemoryRecords(data)
    while batches.has_next():
        batch = batches.next_batch()
        assert batch.validate_crc()
        records = list(batch)
        if not batch.is_control_batch:
            found += [Foreign(one.offset, one.timestamp, one.key, one.value) for one in records]
    return found


def segment(disk: SimulatedDisk, path: str = SEGMENT) -> bytes:
    data = disk.read_file(path)
    assert data is not None
    return data


def test_what_brokers_append_is_read_by_others() -> None:
    disk = SimulatedDisk()
    log = open_log(disk, LogSettings())
    put(log, (b"k", b"v"), (None, b"w"), (b"j", None), epoch=3, timestamp_ms=1_700_000_000_000)
    put(log, (b"k", b"packed" * 50), (b"k", b"again"), codec="gzip", epoch=3)
    put(log, (b"t", b"1"), producer=7, sequence=0, transactional=True, epoch=3)
    builder = BatchBuilder()
    builder.append(b"k", b"stamped", (("h", b"x"),), 5)
    batch = builder.build()
    ((_, header),) = check_batches(batch)
    place = log.log_end_offset, LeaderEpoch(4)
    buffers, stamped = stamp_with_time(*place, batch, header, NOW_MS)
    log.append(buffers, stamped, NOW_MS)
    data = segment(disk)
    assert read_foreign(data) == [tuple(kept) for kept in content(log)]
    batches = MemoryRecords(data)
    first = batches.next_batch()
    assert (first.base_offset, first.leader_epoch, first.last_offset) == (0, 3, 2)
    assert read_foreign(data)[-1].timestamp_ms == NOW_MS


def test_what_compaction_writes_is_read_by_others() -> None:
    disk = SimulatedDisk()
    log = open_log(disk)
    put(log, (b"k", b"old"), producer=7, sequence=0)
    put(log, (b"k", b"new"), (b"gone", None), timestamp_ms=500, epoch=0)
    put(log, (b"a", b"aborted"), producer=8, sequence=0, transactional=True)
    end_transaction(log, 8, committed=False)
    put(log, (b"z", b"z" * 40), (b"z", b"last"), codec="gzip")
    roll(log)
    clean(disk, log, plan_for(log, lasts=[0], segment_bytes=1 << 20))
    assert [header.record_count for header in headers(log)] == [0, 2, 1, 1]
    found = read_foreign(segment(disk))
    assert found == [tuple(kept) for kept in content(log)]
    assert found == [(1, 500, b"k", b"new"), (2, 501, b"gone", None), (6, 2, b"z", b"last")]


@pytest.mark.parametrize("compression", [0, 1], ids=["none", "gzip"])
def test_what_others_write_is_opened_scanned_and_appended_to(compression: int) -> None:
    disk = SimulatedDisk()
    disk.make_folder(FOLDER)
    file = disk.open(SEGMENT)
    wanted: list[Foreign] = []
    for first in (0, 3, 6):
        builder = DefaultRecordBatchBuilder(2, compression, False, -1, -1, -1, 1 << 20)
        for delta in range(3):
            record = Foreign(first + delta, 1_000 + first + delta, b"k%d" % delta, b"v" * 20)
            builder.append(delta, record.timestamp_ms, record.key, record.value, [("h", b"x")])
            wanted.append(record)
        batch = bytearray(builder.build())
        batch[:8] = first.to_bytes(8, "big")
        file.append([batch])
    log = PartitionLog.open(disk, FOLDER, LogSettings(), recovery_point=Offset(0), clean=False)
    assert [tuple(kept) for kept in content(log)] == wanted
    found = log.offset_for_timestamp(1_004, log.log_end_offset)
    assert found is not None
    assert (found.offset, found.timestamp_ms) == (4, 1_004)
    builder = BatchBuilder()
    builder.append(b"ours", b"after theirs", (), 2_000)
    append(log, builder.build())
    assert read_foreign(segment(disk))[-1] == (9, 2_000, b"ours", b"after theirs")
