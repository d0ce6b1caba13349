"""``transaction.version`` 2 (KIP-890), as Java's producers speak it since 4.0: an epoch a transaction."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import kafka
import pytest

from odradek.testing import Cluster
from tests.conformance.hand_made import HandMade, Who, batch
from tests.conformance.test_kafka_transactions import (
    confluent_producer,
    coordinator_partition,
    make,
    read_by_ours,
)
from transport.gateway.kafka.apis import ApiKey
from transport.gateway.kafka.messages import group_offsets, produce
from transport.gateway.kafka.messages.api_versions import ApiVersionsRequest
from transport.gateway.kafka.messages.transactions import (
    DescribeTransactionsRequest,
    EndTxnRequest,
)
from transport.wire.errors import ErrorCode

BY_GROUP = 0


@pytest.fixture
def topic(cluster: Cluster, request: pytest.FixtureRequest) -> str:
    name = str(request.node.name.replace("[", "-").rstrip("]"))
    make(cluster, name)
    return name


@pytest.fixture
def client(cluster: Cluster) -> Iterator[HandMade]:
    with HandMade(cluster.kafka_bootstrap) as client:
        yield client


class Producer:
    """It names no partition of its transactions, and learns of its next epoch when one ends."""

    def __init__(self, client: HandMade, name: str) -> None:
        self.client, self.name = client, name
        self.who = client.init(name)

    def write(
        self, topic: str, partition: int, value: bytes, who: Who | None = None, sequence: int = 0
    ) -> int:
        """Write a record by topic id, and return the code; ``who``: under another epoch."""
        one = produce.ProducePartition(
            index=partition, records=batch(who or self.who, value, sequence)
        )
        parts = produce.ProduceTopic(
            topic_id=self.client.topic(topic).topic_id, partition_data=(one,)
        )
        body = produce.ProduceRequest(
            transactional_id=self.name, acks=-1, timeout_ms=5_000, topic_data=(parts,)
        )

        def attempt() -> tuple[int, Any]:
            at = self.client.leader(topic, partition)
            answer = self.client.ask(ApiKey.PRODUCE, 13, body, at)
            return answer.responses[0].partition_responses[0].error_code, answer

        return self.client.until_settled(attempt)[0]

    def commit_offset(self, group: str, topic: str, offset: int) -> int:
        """Commit an offset in the transaction, of which nobody was told before."""
        part = group_offsets.TxnOffsetCommitRequestPartition(
            partition_index=0, committed_offset=offset, committed_metadata=None
        )
        body = group_offsets.TxnOffsetCommitRequest(
            transactional_id=self.name,
            group_id=group,
            producer_id=self.who.producer_id,
            producer_epoch=self.who.producer_epoch,
            topics=(group_offsets.TxnOffsetCommitRequestTopic(name=topic, partitions=(part,)),),
        )

        def attempt() -> tuple[int, Any]:
            at = self.client.coordinator(group, BY_GROUP)
            answer = self.client.ask(ApiKey.TXN_OFFSET_COMMIT, 5, body, at)
            return answer.topics[0].partitions[0].error_code, answer

        return self.client.until_settled(attempt)[0]

    def end(self, *, committed: bool, who: Who | None = None) -> int:
        """Commit or abort, and take over the next epoch."""
        producer_id, epoch = who or self.who
        body = EndTxnRequest(
            transactional_id=self.name,
            producer_id=producer_id,
            producer_epoch=epoch,
            committed=committed,
        )

        def attempt() -> tuple[int, Any]:
            answer = self.client.ask(ApiKey.END_TXN, 5, body, self.client.coordinator(self.name))
            return answer.error_code, answer

        code, answer = self.client.until_settled(attempt)
        if not code:
            self.who = Who(answer.producer_id, answer.producer_epoch)
        return code


def test_the_features_are_told(client: HandMade) -> None:
    told = client.ask(ApiKey.API_VERSIONS, 4, ApiVersionsRequest())
    levels = {one.name: one.max_version_level for one in told.finalized_features}
    assert levels["transaction.version"] == 2
    assert levels["group.version"] == 1


def test_libraries_tell_the_features(cluster: Cluster) -> None:
    admin = kafka.KafkaAdminClient(bootstrap_servers=cluster.kafka_bootstrap)
    try:
        told = admin.describe_features()
    finally:
        admin.close()
    assert "transaction.version" in repr(told)


def test_every_transaction_has_an_epoch_and_adds_what_it_writes_to(
    cluster: Cluster, topic: str, client: HandMade
) -> None:
    producer = Producer(client, topic)
    first = producer.who
    assert producer.write(topic, 0, b"one") == 0
    assert producer.write(topic, 1, b"one") == 0
    assert producer.commit_offset(topic, topic, 7) == 0
    body = DescribeTransactionsRequest(transactional_ids=(topic,))
    (open_now,) = client.ask(
        ApiKey.DESCRIBE_TRANSACTIONS, 0, body, client.coordinator(topic)
    ).transaction_states
    assert {one.topic: sorted(one.partitions) for one in open_now.topics}[topic] == [0, 1]
    assert producer.end(committed=True) == 0
    assert producer.who == (first.producer_id, first.producer_epoch + 1)
    assert producer.write(topic, 0, b"late", who=first, sequence=1) in (
        ErrorCode.INVALID_PRODUCER_EPOCH,
        ErrorCode.PRODUCER_FENCED,
    )
    assert producer.write(topic, 0, b"void") == 0
    assert producer.end(committed=False) == 0
    assert producer.end(committed=False) == 0, "of nothing: what was sent may be on its way"
    assert producer.who.producer_epoch == first.producer_epoch + 3
    assert producer.write(topic, 0, b"two") == 0
    assert producer.end(committed=True) == 0
    assert read_by_ours(cluster, topic, "read_committed") == [b"one", b"one", b"two"]
    asked = group_offsets.OffsetFetchRequestGroup(group_id=topic, topics=None)
    fetched = client.ask(
        ApiKey.OFFSET_FETCH,
        8,
        group_offsets.OffsetFetchRequest(groups=(asked,)),
        client.coordinator(topic, BY_GROUP),
    )
    assert fetched.groups[0].topics[0].partitions[0].committed_offset == 7


def test_an_end_that_is_asked_for_again_is_told_the_same(
    cluster: Cluster, topic: str, client: HandMade
) -> None:
    producer = Producer(client, topic)
    before = producer.who
    assert producer.write(topic, 0, b"one") == 0
    assert producer.end(committed=True) == 0
    after = producer.who
    leader = cluster.leader("__transaction_state", coordinator_partition(cluster, topic))
    assert leader is not None
    cluster.kill(leader)
    assert producer.end(committed=True, who=before) == 0
    assert producer.who == after
    assert producer.write(topic, 0, b"two") == 0
    assert producer.end(committed=True) == 0
    cluster.wait_ready()
    assert read_by_ours(cluster, topic, "read_committed") == [b"one", b"two"]


def test_producers_of_both_protocols_take_over_from_each_other(
    cluster: Cluster, topic: str, client: HandMade
) -> None:
    older = confluent_producer(cluster, topic)
    older.begin_transaction()
    older.produce(topic, b"one", partition=0)
    older.commit_transaction(30)
    newer = Producer(client, topic)
    assert newer.write(topic, 0, b"two") == 0
    again = confluent_producer(cluster, topic)
    assert newer.end(committed=True) == ErrorCode.PRODUCER_FENCED
    again.begin_transaction()
    again.produce(topic, b"three", partition=0)
    again.commit_transaction(30)
    assert read_by_ours(cluster, topic, "read_committed") == [b"one", b"three"]
