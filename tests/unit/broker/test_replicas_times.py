"""The times of records: whose clock they bear, and which are refused."""

from __future__ import annotations

import pytest

from tests.simulation.clock import EPOCH_WALL_MS, SKEW_MAX_MS
from tests.unit.broker.partition_fleet import PartitionFleet, make_batch
from tests.unit.broker.test_replicas_cleaning import make_beyond
from transport.wire.codec import Envelope, Kind, encode
from transport.wire.compression import CODECS
from transport.wire.errors import ErrorCode
from transport.wire.ids import LeaderEpoch, Offset, ProducerEpoch, ProducerId
from transport.wire.messages.fetch import (
    TIMESTAMP_MAX,
    ListOffset,
    ListOffsetsRequest,
    ListOffsetsResponse,
)
from transport.wire.records import BatchBuilder, check_batches, decode_batch, stamp_with_time

HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def fleet() -> PartitionFleet:
    made = PartitionFleet(1)
    made.settle()
    return made


def wall_ms(fleet: PartitionFleet) -> int:
    return EPOCH_WALL_MS + fleet.world.now_us // 1_000


def test_a_topic_may_bear_the_brokers_time(fleet: PartitionFleet) -> None:
    key = fleet.create("appended", configs={"message.timestamp.type": "LogAppendTime"})
    outcome = fleet.write(key, b"a", b"b", timestamp_ms=7)
    assert abs(outcome.log_append_time_ms - wall_ms(fleet)) <= SKEW_MAX_MS + 1_000
    (batch,) = fleet.fetch(1, key)[1]
    ((_, header),) = check_batches(batch)
    assert header.is_log_append_time
    assert {record.timestamp_ms for record in decode_batch(batch)} == {outcome.log_append_time_ms}
    asked = ListOffset(key.topic_id, 0, LeaderEpoch(-1), outcome.log_append_time_ms)
    answer = fleet.ask(1, ListOffsetsRequest((asked,)))
    assert isinstance(answer, ListOffsetsResponse)
    assert answer.partitions[0].offset == 0


def test_the_producers_time_is_kept_by_default(fleet: PartitionFleet) -> None:
    key = fleet.create("created")
    outcome = fleet.write(key, b"a", timestamp_ms=7)
    assert outcome.log_append_time_ms == -1
    (batch,) = fleet.fetch(1, key)[1]
    assert decode_batch(batch)[0].timestamp_ms == 7


@pytest.mark.parametrize(("hours", "taken"), [(0, True), (2, False), (-2, True)])
def test_times_far_ahead_are_refused(fleet: PartitionFleet, hours: int, taken: bool) -> None:
    key = fleet.create(f"ahead{hours}".replace("-", "m"))
    batch = make_batch(b"v", timestamp_ms=wall_ms(fleet) + hours * HOUR_MS)
    error = fleet.produce(1, key, batch).error
    assert error == (ErrorCode.NONE if taken else ErrorCode.INVALID_TIMESTAMP)


def test_times_far_behind_are_refused_where_the_topic_says_so(fleet: PartitionFleet) -> None:
    key = fleet.create("behind", configs={"message.timestamp.before.max.ms": str(HOUR_MS)})
    late = make_batch(b"v", timestamp_ms=wall_ms(fleet) - 2 * HOUR_MS)
    outcome = fleet.produce(1, key, late)
    assert outcome.error == ErrorCode.INVALID_TIMESTAMP
    assert "behind the broker's" in outcome.text
    assert fleet.produce(1, key, make_batch(timestamp_ms=wall_ms(fleet))).error == ErrorCode.NONE


def test_a_producer_cannot_pass_its_own_time_off_as_the_brokers(fleet: PartitionFleet) -> None:
    key = fleet.create("forged")
    batch = make_batch(b"v")
    ((_, header),) = check_batches(batch)
    buffers, _ = stamp_with_time(Offset(0), LeaderEpoch(-1), batch, header, 5)
    assert fleet.produce(1, key, b"".join(buffers)).error == ErrorCode.INVALID_TIMESTAMP


def test_what_is_told_of_a_time_that_fits_no_64_bits_can_be_said(fleet: PartitionFleet) -> None:
    key = fleet.create("beyond")
    assert fleet.produce(1, key, make_beyond(b"a", b"b")).error == ErrorCode.NONE
    for wanted_ms in (0, TIMESTAMP_MAX):
        asked = ListOffset(key.topic_id, 0, LeaderEpoch(-1), wanted_ms)
        answer = fleet.ask(1, ListOffsetsRequest((asked,)))
        assert isinstance(answer, ListOffsetsResponse)
        assert answer.partitions[0].error == ErrorCode.NONE
        encode(Envelope(Kind.RESPONSE, answer))


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
@pytest.mark.parametrize("clock", ["CreateTime", "LogAppendTime"])
def test_codecs_are_kept_as_sent(fleet: PartitionFleet, codec: str, clock: str) -> None:
    key = fleet.create(f"{codec}-{clock}", configs={"message.timestamp.type": clock})
    builder = BatchBuilder()
    builder.append(b"k", b"v" * 100, (), 7)
    batch = builder.build(CODECS[codec], ProducerId(-1), ProducerEpoch(-1), -1)
    assert fleet.produce(1, key, batch).error == ErrorCode.NONE
    (read,) = fleet.fetch(1, key)[1]
    assert bytes(read)[61:] == batch[61:]
    assert decode_batch(read)[0].value == b"v" * 100


def test_a_batch_above_max_message_bytes_is_refused(fleet: PartitionFleet) -> None:
    key = fleet.create("large", configs={"max.message.bytes": "200"})
    assert fleet.produce(1, key, make_batch(b"v" * 200)).error == ErrorCode.MESSAGE_TOO_LARGE
    assert fleet.produce(1, key, make_batch(b"v" * 100)).error == ErrorCode.NONE
