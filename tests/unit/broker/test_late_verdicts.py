"""A coordinator has vouched for a transaction; before it is heard, the leader was another, and is again.

What the other one was told, that the transaction has ended, this one knows by its log alone: of
transactions that keep their epoch, and of a group's pending offsets, that does not tell.
"""

from __future__ import annotations

from typing import Any

import pytest

from nodes.broker.records.produce import OnVerdict, Verify, nobody_to_ask
from nodes.core.controller.names import CONSUMER_OFFSETS
from tests.unit.broker.partition_fleet import PartitionFleet, make_batch
from tests.unit.broker.test_transactions import Transactional
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.ids import (
    LeaderEpoch,
    NodeId,
    Offset,
    PartitionKey,
    ProducerEpoch,
    ProducerId,
)
from transport.wire.messages.coordinators import KEY_GROUP, FindCoordinatorRequest
from transport.wire.messages.deletion import DeleteRecordsPartition, DeleteRecordsRequest
from transport.wire.messages.group_offsets import (
    OffsetFetchRequest,
    OffsetToCommit,
    TxnOffsetCommitRequest,
)
from transport.wire.messages.produce import ACKS_ALL, ProducePartition, ProduceRequest
from transport.wire.messages.reassignments import (
    ELECT_PREFERRED,
    AlterReassignmentsRequest,
    ElectLeadersRequest,
    Reassignment,
)
from transport.wire.messages.transactions import (
    AddPartitionsToTxnRequest,
    TransactionMarker,
    TransactionPartition,
    WriteTxnMarkersRequest,
)


class Held:
    """Lets the coordinator be asked, and keeps its verdicts."""

    def __init__(self, verify: Verify) -> None:
        self._verify = verify
        self.verdicts: list[tuple[OnVerdict, ErrorCode, str]] = []

    def __call__(self, question: AddPartitionsToTxnRequest, on: OnVerdict, now: Now) -> None:
        def keep(error: ErrorCode, text: str, now: Now) -> None:
            self.verdicts.append((on, error, text))

        self._verify(question, keep, now)

    def release(self, now: Now) -> None:
        """Let them be heard: the coordinator has vouched."""
        for on_verdict, error, text in self.verdicts:
            assert error is ErrorCode.NONE
            on_verdict(error, text, now)


@pytest.fixture
def fleet() -> PartitionFleet:
    settings = {"leader_balance_interval_ms": 600_000, "offsets_topic_partitions": 1}
    fleet = PartitionFleet(min_insync_replicas=2, **settings)
    fleet.settle()
    return fleet


def lead(fleet: PartitionFleet, topic: str, key: PartitionKey, leader: int) -> None:
    """Let another in-sync replica lead."""
    order = (leader, *[number for number in fleet.numbers if number != leader])
    target = tuple(NodeId(number) for number in order)
    moved = AlterReassignmentsRequest((Reassignment(topic, key.partition, target),), 5_000)
    assert fleet.ask(1, moved).partitions[0].error == ErrorCode.NONE
    elect = ElectLeadersRequest(ELECT_PREFERRED, ((topic, key.partition),), 5_000)
    assert fleet.ask(1, elect).partitions[0].error == ErrorCode.NONE
    assert fleet.leader(key) == leader


def test_no_transaction_begins_in_a_log_by_what_was_vouched_before_another_led_it(
    fleet: PartitionFleet,
) -> None:
    key = fleet.create()
    producer = Transactional(fleet, declares=True)
    producer.init()
    assert producer.declare(key) is ErrorCode.NONE
    leader = fleet.leader(key)
    produces = fleet.hosted(leader)._produces
    held = produces.verify = Held(produces.verify)
    batch = make_batch(b"late", producer=producer.who[0], epoch=0, sequence=0, transactional=True)
    request = ProduceRequest(
        ACKS_ALL, 60_000, (ProducePartition(key.topic_id, 0, LeaderEpoch(-1), 0),), "txn"
    )
    answers: list[Any] = []
    fleet.post_whole(leader, request, answers, payload=(batch,), timeout_ms=60_000)
    fleet.wait(lambda: bool(held.verdicts))
    lead(fleet, "t", key, leader % 3 + 1)
    assert producer.end(committed=False) is ErrorCode.NONE
    lead(fleet, "t", key, leader)
    fleet.processes[leader].do(held.release)
    fleet.wait(lambda: bool(answers))
    assert answers[0][0].partitions[0].error == ErrorCode.NOT_LEADER_OR_FOLLOWER
    core = fleet.replica(leader, key).core
    assert core is not None
    assert not core.producers.transactions.open_ones(), "it would never end"


def test_no_offset_is_pending_by_what_was_vouched_before_another_kept_the_group(
    fleet: PartitionFleet,
) -> None:
    key = fleet.create()
    found = fleet.ask(1, FindCoordinatorRequest(KEY_GROUP, ("g",)))
    leader = int(found.coordinators[0].node)
    image = fleet.server(leader).context.image
    kept = PartitionKey(image.topic_ids[CONSUMER_OFFSETS], 0)
    producer = Transactional(fleet)
    producer.init()
    groups = fleet.server(leader).groups
    held = groups.verify = Held(groups.verify)
    offsets = (OffsetToCommit(key.topic_id, 0, Offset(7)),)
    answers: list[Any] = []
    fleet.post_whole(
        leader,
        TxnOffsetCommitRequest("txn", *producer.who, "g", offsets),
        answers,
        timeout_ms=60_000,
    )
    fleet.wait(lambda: bool(held.verdicts))
    lead(fleet, CONSUMER_OFFSETS, kept, leader % 3 + 1)
    assert producer.end(committed=False) is ErrorCode.NONE
    lead(fleet, CONSUMER_OFFSETS, kept, leader)
    fleet.wait(lambda: not fleet.server(leader).groups._shards.is_loading())
    fleet.processes[leader].do(held.release)
    fleet.wait(lambda: bool(answers))
    assert answers[0][0].error == ErrorCode.NOT_COORDINATOR
    stable = fleet.ask(leader, OffsetFetchRequest("g", require_stable=True))
    assert (stable.error, stable.offsets) == (ErrorCode.NONE, ())


def test_a_coordinator_of_the_past_is_told_so_by_a_groups_shard(fleet: PartitionFleet) -> None:
    found = fleet.ask(1, FindCoordinatorRequest(KEY_GROUP, ("g",)))
    leader = int(found.coordinators[0].node)
    fleet.wait(lambda: not fleet.server(leader).groups._shards.is_loading())
    image = fleet.server(leader).context.image
    where = (TransactionPartition(image.topic_ids[CONSUMER_OFFSETS], 0),)

    def written_by(coordinator_epoch: int) -> int:
        marker = TransactionMarker(
            ProducerId(7), ProducerEpoch(0), coordinator_epoch, True, where, keeps_epoch=True
        )
        answer = fleet.ask(leader, WriteTxnMarkersRequest((marker,)))
        ((code,),) = answer.outcomes
        return int(code)

    fenced = ErrorCode.TRANSACTION_COORDINATOR_FENCED
    assert [written_by(epoch) for epoch in (6, 5, 6, 7)] == [0, fenced, 0, 0]


@pytest.mark.parametrize("too_large", [False, True])
def test_what_follows_upon_the_first_batch_of_a_transaction_is_not_written_before_it(
    fleet: PartitionFleet, too_large: bool
) -> None:
    """Nobody could be asked about the first, or it was too large; the second is vouched for.  To a log
    that has lost its beginning their producer is not known."""
    key = fleet.create(configs={"max.message.bytes": "2000", "retention.ms": "-1"})
    fleet.write(key, b"gone")
    leader = fleet.leader(key)
    doomed = DeleteRecordsRequest((DeleteRecordsPartition(key.topic_id, 0, Offset(1)),), 5_000)
    assert fleet.ask(leader, doomed).partitions[0].error == ErrorCode.NONE
    producer = Transactional(fleet)
    producer.init()
    part = ProducePartition(key.topic_id, 0, LeaderEpoch(-1), 0)

    def send(sequence: int, *values: bytes) -> str:
        batch = make_batch(
            *values, producer=producer.who[0], epoch=0, sequence=sequence, transactional=True
        )
        request = ProduceRequest(ACKS_ALL, 2_000, (part,), "txn")
        answer: Any = fleet.ask_whole(leader, request, payload=(batch,))[0]
        return ErrorCode(answer.partitions[0].error).name

    produces = fleet.hosted(leader)._produces
    honest = produces.verify
    if too_large:
        assert send(0, b"v" * 1_500, b"w" * 1_500) == "MESSAGE_TOO_LARGE"
    else:
        produces.verify = nobody_to_ask
        assert send(0, b"v", b"w") == "COORDINATOR_NOT_AVAILABLE"
        produces.verify = honest
    fleet.wait(lambda: send(2, b"x") == "OUT_OF_ORDER_SEQUENCE_NUMBER")
    assert send(0, b"v") == "NONE"
    assert send(1, b"w") == "NONE"
    assert send(2, b"x") == "NONE"
