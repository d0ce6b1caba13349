"""What a broker holds of those who wait is bounded, whatever they have sent."""

from __future__ import annotations

import gc

import pytest

from nodes.broker.records import produce
from nodes.broker.records.produce import _Waiting
from tests.unit.broker.partition_fleet import Answer, PartitionFleet, make_batch
from transport.wire.errors import ErrorCode
from transport.wire.ids import LeaderEpoch
from transport.wire.messages.produce import (
    ACKS_ALL,
    ProducePartition,
    ProduceRequest,
    ProduceResponse,
)

LARGE = b"v" * 50_000


def waiting_fleet(requests: int) -> tuple[PartitionFleet, list[Answer]]:
    """Producers that send faster than followers take it: none of them has an answer."""
    fleet = PartitionFleet(min_insync_replicas=2, replica_lag_time_max_ms=60_000)
    fleet.settle()
    key = fleet.create()
    leader = fleet.leader(key)
    for number in fleet.numbers:
        if number != leader:
            fleet.network.part(f"broker-{leader}", f"broker-{number}")
    answers: list[Answer] = []
    part = ProducePartition(key.topic_id, key.partition, LeaderEpoch(-1), 0)
    request = ProduceRequest(ACKS_ALL, 5_000, (part,))
    for _ in range(requests):
        fleet.post_whole(leader, request, answers, payload=(make_batch(LARGE),))
    replica = fleet.replica(leader, key)
    fleet.wait(lambda: replica.core is not None and replica.core.log_end_offset == requests)
    return fleet, answers


def test_what_is_in_the_log_is_not_held_for_those_who_wait_for_followers() -> None:
    _fleet, answers = waiting_fleet(40)
    assert not answers
    gc.collect()
    waiting = [one for one in gc.get_objects() if isinstance(one, _Waiting)]
    assert len(waiting) == 40
    held = sum(len(frame) for one in waiting for frame in one.request.envelope.payload)
    assert held == 0


def test_more_than_may_wait_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    fleet, answers = waiting_fleet(20)
    monkeypatch.setattr(produce, "WAITING_MAX", 20)
    (key,) = [one.key for one in fleet.hosted(1)._all()]
    outcome, _ = fleet.ask_whole(
        fleet.leader(key),
        ProduceRequest(
            ACKS_ALL,
            1_000,
            (ProducePartition(key.topic_id, key.partition, LeaderEpoch(-1), 0),),
        ),
        payload=(make_batch(LARGE),),
    )
    assert isinstance(outcome, ProduceResponse)
    assert outcome.error == ErrorCode.OVERLOADED
    assert not answers


def test_batches_that_wait_for_a_coordinator_have_a_budget(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(produce, "UNVERIFIED_BYTES_MAX", 0)
    fleet = PartitionFleet(1)
    fleet.settle()
    key = fleet.create()
    batch = make_batch(b"x", producer=3, sequence=0, transactional=True)
    part = ProducePartition(key.topic_id, key.partition, LeaderEpoch(-1), 0)
    request = ProduceRequest(ACKS_ALL, 1_000, (part,), transactional_id="tx")
    body, _ = fleet.ask_whole(1, request, payload=(batch,))
    assert isinstance(body, ProduceResponse)
    assert body.partitions[0].error == ErrorCode.OVERLOADED
