"""What one request names again: it is told of once, however much there is to tell of it."""

from __future__ import annotations

from typing import Any

import pytest

from nodes.broker.kafka import configs, quotas
from tests.unit.broker.listener_bench import ORDERS, Bench
from tests.unit.broker.partition_fleet import PartitionFleet
from tests.unit.broker.stand_in_exchange import answered
from transport.gateway.kafka.apis import ApiKey
from transport.gateway.kafka.messages import configs as foreign_configs
from transport.gateway.kafka.messages import fetch
from transport.gateway.kafka.messages import quotas as foreign_quotas
from transport.gateway.kafka.messages.consumer_groups import ConsumerGroupDescribeRequest
from transport.gateway.kafka.messages.group_administration import (
    DeleteGroupsRequest,
    DescribeGroupsRequest,
)
from transport.gateway.kafka.messages.transactions import DescribeTransactionsRequest
from transport.wire.errors import ErrorCode
from transport.wire.ids import Offset
from transport.wire.messages import Refusal
from transport.wire.messages import fetch as native
from transport.wire.messages.configs import RESOURCE_BROKER

INVALID = ErrorCode.INVALID_REQUEST
TIMES = 900
NAMES = ("a",) * TIMES + ("b",)
ABSENT = Refusal(ErrorCode.NOT_COORDINATOR)


def only(bench: Bench) -> Any:
    [(_, answer)] = bench.answers()
    return answer


@pytest.mark.parametrize(
    ("key", "version", "request_", "told"),
    [
        (ApiKey.DESCRIBE_GROUPS, 5, DescribeGroupsRequest(groups=NAMES), "groups"),
        (ApiKey.DELETE_GROUPS, 2, DeleteGroupsRequest(groups_names=NAMES), "results"),
        (
            ApiKey.CONSUMER_GROUP_DESCRIBE,
            1,
            ConsumerGroupDescribeRequest(group_ids=NAMES, include_authorized_operations=False),
            "groups",
        ),
        (
            ApiKey.DESCRIBE_TRANSACTIONS,
            0,
            DescribeTransactionsRequest(transactional_ids=NAMES),
            "transaction_states",
        ),
    ],
)
def test_a_group_or_transaction_is_asked_about_once(
    key: ApiKey, version: int, request_: Any, told: str
) -> None:
    bench = Bench()
    bench.send(key, version, request_)
    assert len(bench.asked) == 2
    bench.reply(ABSENT)
    bench.reply(ABSENT)
    codes = [one.error_code for one in getattr(only(bench), told)]
    assert codes == [ABSENT.error, *[INVALID] * (TIMES - 1), ABSENT.error]


def test_records_are_given_once() -> None:
    """Its answer would be a thousand times what a fetch may have, and others would have no room."""
    bench = Bench()
    one = fetch.FetchPartition(partition=0, fetch_offset=0, partition_max_bytes=1 << 20)
    topics = (fetch.FetchTopic(topic_id=ORDERS, partitions=(one,) * TIMES),) * 2
    bench.send(ApiKey.FETCH, 13, fetch.FetchRequest(max_wait_ms=0, min_bytes=1, topics=topics))
    found = native.FetchedPartition(ORDERS, 0, 0, Offset(9), Offset(0), 0)
    bench.reply(native.FetchResponse(0, (found,)), (bytes(100_000),))
    parts = [part for topic in only(bench).responses for part in topic.partitions]
    assert [len(part.records) for part in parts] == [100_000] + [0] * (2 * TIMES - 1)
    assert {(part.error_code, part.high_watermark) for part in parts[1:]} == {(0, -1)}


@pytest.fixture
def fleet() -> PartitionFleet:
    fleet = PartitionFleet(1)
    fleet.settle()
    return fleet


def test_configs_are_described_once(fleet: PartitionFleet) -> None:
    resource = foreign_configs.DescribeConfigsResource(
        resource_type=RESOURCE_BROKER, resource_name="1", configuration_keys=None
    )
    request = foreign_configs.DescribeConfigsRequest(resources=(resource,) * 3)
    told = answered(fleet, configs.describe_configs, request).results
    assert [one.error_code for one in told] == [0, INVALID, INVALID]
    assert [bool(one.configs) for one in told] == [True, False, False]


def test_quotas_are_filtered_by_each_type_once(fleet: PartitionFleet) -> None:
    part = foreign_quotas.ComponentData(entity_type="user", match_type=quotas.MATCH_ANY, match=None)
    for count, code in ((1, 0), (2, INVALID)):
        request = foreign_quotas.DescribeClientQuotasRequest(
            components=(part,) * count, strict=False
        )
        assert answered(fleet, quotas.describe_client_quotas, request).error_code == code
