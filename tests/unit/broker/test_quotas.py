"""Quotas at a broker's door: who is above one is told to wait, and nobody else."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from tests.unit.broker.partition_fleet import PartitionFleet, fetch_request, make_batch
from tests.unit.broker.test_reassignment import create
from transport.wire.errors import ErrorCode
from transport.wire.ids import LeaderEpoch, Offset, PartitionKey
from transport.wire.messages.fetch import FetchRequest, FetchResponse
from transport.wire.messages.produce import (
    ACKS_ALL,
    ProducePartition,
    ProduceRequest,
    ProduceResponse,
)
from transport.wire.messages.quotas import (
    CONSUMER_BYTE_RATE,
    PRODUCER_BYTE_RATE,
    AlterClientQuotasRequest,
    DescribeClientQuotasRequest,
    QuotaEntity,
    QuotaValues,
)


def limit(fleet: PartitionFleet, entity: QuotaEntity, **values: int | None) -> None:
    request = AlterClientQuotasRequest((QuotaValues(entity, dict(values)),), 2_000)
    assert [one.error for one in fleet.ask(1, request).outcomes] == [ErrorCode.NONE]
    fleet.settle()


def write(fleet: PartitionFleet, key: PartitionKey, client_id: str, size_bytes: int) -> Any:
    part = ProducePartition(*key, LeaderEpoch(-1), 0)
    request = ProduceRequest(ACKS_ALL, 2_000, (part,), client_id=client_id)
    answer = fleet.ask(fleet.leader(key), request, payload=(make_batch(bytes(size_bytes)),))
    assert isinstance(answer, ProduceResponse)
    assert [one.error for one in answer.partitions] == [ErrorCode.NONE]
    return answer


def read(fleet: PartitionFleet, key: PartitionKey, client_id: str, **how: Any) -> FetchResponse:
    request: FetchRequest = fetch_request(key, Offset(0), **how)
    answer = fleet.ask(fleet.leader(key), replace(request, client_id=client_id))
    assert isinstance(answer, FetchResponse)
    assert answer.error == ErrorCode.NONE
    return answer


def test_who_writes_above_a_quota_is_told_to_wait() -> None:
    fleet = PartitionFleet(2)
    fleet.settle()
    key = create(fleet, 1, 2)
    assert write(fleet, key, "app", 50_000).throttle_time_ms == 0
    limit(fleet, QuotaEntity(client_id="app"), **{PRODUCER_BYTE_RATE: 1_000})
    assert fleet.ask(1, DescribeClientQuotasRequest()).entries == (
        QuotaValues(QuotaEntity(client_id="app"), {PRODUCER_BYTE_RATE: 1_000}),
    )
    assert write(fleet, key, "app", 9_000).throttle_time_ms == 0, "ten seconds' worth"
    assert 1_500 < write(fleet, key, "app", 3_000).throttle_time_ms < 2_500
    assert write(fleet, key, "other", 50_000).throttle_time_ms == 0
    limit(fleet, QuotaEntity(client_id="app"), **{PRODUCER_BYTE_RATE: None})
    assert write(fleet, key, "app", 50_000).throttle_time_ms == 0
    figures = fleet.server(fleet.leader(key)).health().figures
    assert figures["producer_byte_rate_throttles"] == 1
    assert 1_500 < figures["producer_byte_rate_throttle_ms"] < 2_500


def test_who_reads_above_a_quota_gets_nothing_until_it_has_waited() -> None:
    fleet = PartitionFleet(2)
    fleet.settle()
    key = create(fleet, 1, 2)
    write(fleet, key, "", 30_000)
    limit(fleet, QuotaEntity(user=""), **{CONSUMER_BYTE_RATE: 2_000})
    first = read(fleet, key, "app")
    assert first.partitions
    assert 4_000 < first.throttle_time_ms < 6_500
    early = read(fleet, key, "app", max_wait_ms=60_000)
    assert early.partitions == ()
    assert 0 < early.throttle_time_ms <= first.throttle_time_ms
    fleet.world.run_for(early.throttle_time_ms)
    assert read(fleet, key, "app").partitions
    fleet.network.principals["client"] = "alice"
    assert read(fleet, key, "app").partitions, "another user has a quota of its own"


def test_followers_have_no_quota() -> None:
    fleet = PartitionFleet(2)
    fleet.settle()
    key = create(fleet, 1, 2)
    limit(fleet, QuotaEntity(user=""), **{CONSUMER_BYTE_RATE: 1})
    for _ in range(3):
        write(fleet, key, "", 30_000)
    assert len(fleet.logs(key)[0]) == len(fleet.logs(key)[1]) == 3
