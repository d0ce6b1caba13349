"""Transactional batches and markers in real replicas: what readers get, after restarts too."""

from __future__ import annotations

import pytest

from nodes.broker.partitions.replica import ProduceToken, Replica
from nodes.broker.records.produce import unplaced
from nodes.core.partition.events import Produce, Produced
from tests.unit.broker.partition_fleet import (
    Answer,
    PartitionFleet,
    fetch_request,
    make_batch,
    values_of,
)
from transport.kernel import Now
from transport.wire.control import Marker, build_marker
from transport.wire.errors import ErrorCode
from transport.wire.ids import LeaderEpoch, PartitionKey, ProducerEpoch, ProducerId
from transport.wire.messages.fetch import (
    READ_COMMITTED,
    TIMESTAMP_LATEST,
    ListOffset,
    ListOffsetsRequest,
    ListOffsetsResponse,
)
from transport.wire.messages.produce import ACKS_ALL
from transport.wire.records import iterate_headers, read_header


@pytest.fixture
def fleet() -> PartitionFleet:
    fleet = PartitionFleet(min_insync_replicas=2)
    fleet.settle()
    return fleet


class Ended(ProduceToken):
    def __init__(self) -> None:
        self.outcomes: list[Produced] = []

    def ended(self, replica: Replica, produced: Produced, now: Now) -> None:
        self.outcomes.append(produced)


def write_own(fleet: PartitionFleet, key: PartitionKey, batch: bytes) -> None:
    """Write a batch as a broker itself does, by the word of a transaction coordinator."""
    ended, leader = Ended(), fleet.leader(key)
    header = read_header(batch)

    def write(now: Now) -> None:
        event = Produce(
            ended, unplaced(header, batch), ACKS_ALL, LeaderEpoch(-1), now.mono_ms + 5_000, True
        )
        fleet.replica(leader, key).produce(event, header, batch, now)

    fleet.processes[leader].do(write)
    fleet.wait(lambda: bool(ended.outcomes))
    assert ended.outcomes[0].error is ErrorCode.NONE


def write_marker(
    fleet: PartitionFleet, key: PartitionKey, *, committed: bool, epoch: int = 1
) -> None:
    marker = build_marker(Marker(committed, 1), ProducerId(7), ProducerEpoch(epoch), 1)
    write_own(fleet, key, marker)


def test_followers_and_restarts_know_what_was_aborted_and_what_is_open(
    fleet: PartitionFleet,
) -> None:
    key = fleet.create()
    write_own(fleet, key, make_batch(b"a", b"b", producer=7, sequence=0, transactional=True))
    write_marker(fleet, key, committed=False)
    write_own(fleet, key, make_batch(b"c", producer=7, epoch=1, sequence=0, transactional=True))
    write_marker(fleet, key, committed=True, epoch=2)
    write_own(fleet, key, make_batch(b"d", producer=7, epoch=2, sequence=0, transactional=True))
    for _ in range(2):
        fleet.wait(lambda: fleet.in_step(key))
        response, (data,) = fleet.fetch(fleet.leader(key), key, isolation=READ_COMMITTED)
        (part,) = response.partitions
        assert (part.last_stable_offset, part.high_watermark) == (5, 6)
        assert [(one.producer_id, one.first_offset) for one in part.aborted] == [(7, 0)]
        assert [header.base_offset for _, header in iterate_headers(data)] == [0, 2, 3, 4]
        latest = ListOffset(key.topic_id, 0, LeaderEpoch(-1), TIMESTAMP_LATEST)
        answer = fleet.ask(fleet.leader(key), ListOffsetsRequest((latest,), READ_COMMITTED))
        assert isinstance(answer, ListOffsetsResponse)
        assert answer.partitions[0].offset == 5
        victim = fleet.leader(key)
        fleet.kill(victim)
        fleet.leader(key)
        fleet.start(victim)
        fleet.wait(lambda: fleet.started() == fleet.alive())
    write_marker(fleet, key, committed=False, epoch=3)
    response, (data,) = fleet.fetch(fleet.leader(key), key, 5, isolation=READ_COMMITTED)
    assert [(one.producer_id, one.first_offset) for one in response.partitions[0].aborted] == [
        (7, 5)
    ]


def test_a_reader_of_committed_records_waits_for_the_marker(fleet: PartitionFleet) -> None:
    key = fleet.create()
    write_own(fleet, key, make_batch(b"a", producer=7, sequence=0, transactional=True))
    answers: list[Answer] = []
    request = fetch_request(key, max_wait_ms=4_000, isolation=READ_COMMITTED)
    fleet.post_whole(fleet.leader(key), request, answers)
    fleet.world.run_for(1_000)
    assert answers == []
    write_marker(fleet, key, committed=True)
    fleet.wait(lambda: bool(answers), 20)
    assert values_of(answers[0][1][0])[0] == b"a"
