"""Messages of KIP-848 against bytes that Apache Kafka 4.0 has written: kafka-python has none of them."""

from __future__ import annotations

from typing import Any

import pytest

from transport.gateway.kafka.apis import ApiKey, conversation
from transport.gateway.kafka.messages.consumer_groups import (
    ConsumerGroupDescribeGroup,
    ConsumerGroupDescribeMember,
    ConsumerGroupDescribeRequest,
    ConsumerGroupDescribeResponse,
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
    DescribedAssignment,
    DescribedTopicPartitions,
    HeartbeatAssignment,
    HeartbeatTopicPartitions,
)
from transport.gateway.kafka.reader import Reader
from transport.gateway.kafka.writer import Writer

ID = bytes(range(1, 17))
PARTS = (HeartbeatTopicPartitions(topic_id=ID, partitions=(1, 2)),)
READ = DescribedAssignment(
    topic_partitions=(DescribedTopicPartitions(topic_id=ID, topic_name="t", partitions=(1,)),)
)


def _described(member_type: int) -> ConsumerGroupDescribeResponse:
    member = ConsumerGroupDescribeMember(
        member_id="m",
        instance_id="i",
        rack_id="r",
        member_epoch=3,
        client_id="c",
        client_host="h",
        subscribed_topic_names=("t",),
        subscribed_topic_regex="x",
        assignment=READ,
        target_assignment=READ,
        member_type=member_type,
    )
    group = ConsumerGroupDescribeGroup(
        error_code=2,
        error_message="e",
        group_id="g",
        group_state="Stable",
        group_epoch=3,
        assignment_epoch=4,
        assignor_name="uniform",
        members=(member,),
        authorized_operations=7,
    )
    return ConsumerGroupDescribeResponse(throttle_time_ms=1, groups=(group,))


CASES = [
    (
        ApiKey.CONSUMER_GROUP_HEARTBEAT,
        1,
        ConsumerGroupHeartbeatRequest(
            group_id="g",
            member_id="m",
            member_epoch=3,
            instance_id="i",
            rack_id="r",
            rebalance_timeout_ms=5,
            subscribed_topic_names=("t", "u"),
            subscribed_topic_regex="x.*",
            server_assignor="uniform",
            topic_partitions=PARTS,
        ),
        "0267026d000000030269027200000005030274027504782e2a08756e69666f726d02"
        "0102030405060708090a0b0c0d0e0f100300000001000000020000",
    ),
    (
        ApiKey.CONSUMER_GROUP_HEARTBEAT,
        1,
        ConsumerGroupHeartbeatRequest(group_id="g", member_id="m", member_epoch=3),
        "0267026d000000030000ffffffff0000000000",
    ),
    (
        ApiKey.CONSUMER_GROUP_HEARTBEAT,
        1,
        ConsumerGroupHeartbeatResponse(
            throttle_time_ms=1,
            error_code=2,
            error_message="e",
            member_id="m",
            member_epoch=3,
            heartbeat_interval_ms=4,
            assignment=HeartbeatAssignment(topic_partitions=PARTS),
        ),
        "0000000100020265026d0000000300000004010201020304050607"
        "08090a0b0c0d0e0f10030000000100000002000000",
    ),
    (
        ApiKey.CONSUMER_GROUP_HEARTBEAT,
        1,
        ConsumerGroupHeartbeatResponse(error_code=0),
        "00000000000000000000000000000000ff00",
    ),
    (
        ApiKey.CONSUMER_GROUP_DESCRIBE,
        0,
        ConsumerGroupDescribeRequest(group_ids=("g", "h"), include_authorized_operations=True),
        "03026702680100",
    ),
    (
        ApiKey.CONSUMER_GROUP_DESCRIBE,
        0,
        _described(-1),
        "000000010200020265026707537461626c65000000030000000408756e69666f726d02026d02690272"
        "00000003026302680202740278020102030405060708090a0b0c0d0e0f10027402000000010000"
        "020102030405060708090a0b0c0d0e0f1002740200000001000000000000070000",
    ),
    (
        ApiKey.CONSUMER_GROUP_DESCRIBE,
        1,
        _described(1),
        "000000010200020265026707537461626c65000000030000000408756e69666f726d02026d02690272"
        "00000003026302680202740278020102030405060708090a0b0c0d0e0f10027402000000010000"
        "020102030405060708090a0b0c0d0e0f100274020000000100000100000000070000",
    ),
]


@pytest.mark.parametrize(("key", "version", "message", "expected"), CASES)
def test_it_is_what_kafka_writes(key: ApiKey, version: int, message: Any, expected: str) -> None:
    spoken = conversation(key, version)
    assert spoken is not None
    codec = spoken.request if type(message).__name__.endswith("Request") else spoken.response
    writer = Writer()
    codec.write(writer, message)
    data = b"".join((*writer.pieces, writer.buffer))
    assert data.hex() == expected
    reader = Reader(memoryview(data))
    assert codec.read(reader) == message
    assert reader.left == 0
