"""What Kafka's clients are told of topics that they may not know, beside what the handlers refuse."""

from __future__ import annotations

from typing import Any

import pytest

from nodes.core.acls import Demand
from tests.unit.broker.listener_bench import ORDERS, Bench
from transport.gateway.kafka.apis import ApiKey
from transport.gateway.kafka.messages.cluster import DescribeClusterRequest
from transport.gateway.kafka.messages.configs import ListConfigResourcesRequest
from transport.gateway.kafka.messages.group_offsets import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopic,
)
from transport.gateway.kafka.messages.metadata import MetadataRequest, MetadataRequestTopic
from transport.gateway.kafka.messages.topics import DeleteTopicsRequest, DeleteTopicState
from transport.wire.errors import ErrorCode
from transport.wire.ids import Offset, TopicId
from transport.wire.messages.acls import CLUSTER_NAME, AclOperation, ResourceType
from transport.wire.messages.group_offsets import CommittedOffset, OffsetFetchResponse
from transport.wire.messages.metadata import MetadataResponse, TopicRecord
from transport.wire.messages.topics import DeleteTopicsResponse, TopicOutcome

DESCRIBE_CONFIGS = Demand(AclOperation.DESCRIBE_CONFIGS, ResourceType.CLUSTER, CLUSTER_NAME)
REFUSED = ErrorCode.TOPIC_AUTHORIZATION_FAILED
MENU = TopicId(b"menu".ljust(16, b"."))


def bench(*, hidden: str = "orders") -> Bench:
    """Of a client that may not describe one topic, and the topic ``menu`` beside ``orders``."""
    made = Bench()
    made.context.image.apply_record(TopicRecord("menu", MENU, partition_count=1))

    def allows(_origin: Any, demand: Any) -> bool:
        return not (demand.operation == AclOperation.DESCRIBE and demand.name == hidden)

    made.listener.allows = allows
    return made


def told(made: Bench) -> Any:
    [(_, answer)] = made.answers()
    return answer


def test_an_id_tells_no_name_in_metadata() -> None:
    made = bench()
    asked = MetadataRequest(
        topics=tuple(MetadataRequestTopic(topic_id=one, name=None) for one in (ORDERS, MENU))
    )
    made.send(ApiKey.METADATA, 12, asked)
    assert [question.topics for question in made.questions()] == [("menu",)]
    made.reply(MetadataResponse(ErrorCode.NONE))
    (topic,) = told(made).topics
    assert (topic.error_code, topic.name, topic.topic_id) == (REFUSED, None, ORDERS)


def test_an_id_tells_no_name_to_who_would_delete() -> None:
    made = bench()
    states = tuple(DeleteTopicState(name=None, topic_id=one) for one in (ORDERS, MENU))
    made.send(ApiKey.DELETE_TOPICS, 6, DeleteTopicsRequest(topics=states, timeout_ms=1_000))
    assert [question.topics for question in made.questions()] == [("menu",)]
    made.reply(
        DeleteTopicsResponse(ErrorCode.NONE, topics=(TopicOutcome("menu", 0, topic_id=MENU),))
    )
    hidden, gone = told(made).responses
    assert (hidden.error_code, hidden.name, hidden.topic_id) == (REFUSED, None, ORDERS)
    assert "orders" not in (hidden.error_message or "")
    assert (gone.error_code, gone.name) == (0, "menu")


@pytest.mark.parametrize("version", [7, 8])
def test_a_topic_that_may_not_be_known_hides_no_other_groups_offsets(version: int) -> None:
    made = bench()
    topics = tuple(
        OffsetFetchRequestTopic(name=name, partition_indexes=(0,)) for name in ("orders", "menu")
    )
    asked = OffsetFetchRequest(group_id="g", topics=topics)
    if version >= 8:
        asked = OffsetFetchRequest(groups=(OffsetFetchRequestGroup(group_id="g", topics=topics),))
    made.send(ApiKey.OFFSET_FETCH, version, asked)
    [question] = made.questions()
    assert [part.topic_id for part in question.partitions] == [MENU]
    made.listener.allows = lambda _origin, _demand: True  # what was not asked is not told of
    made.reply(OffsetFetchResponse(ErrorCode.NONE, offsets=(CommittedOffset(MENU, 0, Offset(5)),)))
    answer = told(made)
    found = answer.groups[0] if version >= 8 else answer
    assert found.error_code == 0
    orders, menu = [topic.partitions[0] for topic in found.topics]
    assert (orders.error_code, orders.committed_offset) == (REFUSED, -1)
    assert (menu.error_code, menu.committed_offset) == (0, 5)


@pytest.mark.parametrize("version", [0, 1])
def test_what_has_configs_is_told_to_who_may_describe_those_of_the_cluster(version: int) -> None:
    made = Bench()
    made.listener.allows = lambda _origin, demand: demand != DESCRIBE_CONFIGS
    made.send(ApiKey.LIST_CONFIG_RESOURCES, version, ListConfigResourcesRequest())
    assert made.asked == []
    answer = told(made)
    assert answer.error_code == ErrorCode.CLUSTER_AUTHORIZATION_FAILED
    assert answer.config_resources == ()


@pytest.mark.parametrize(
    ("allowed", "bits"),
    [
        ({AclOperation.DESCRIBE, AclOperation.CREATE}, (5, 8)),
        ({AclOperation.CREATE, AclOperation.IDEMPOTENT_WRITE}, ()),
        (set(AclOperation), (5, 7, 8, 9, 10, 11, 12)),
    ],
)
@pytest.mark.parametrize("api", [ApiKey.METADATA, ApiKey.DESCRIBE_CLUSTER])
def test_who_may_not_describe_the_cluster_is_told_of_no_operations(
    api: ApiKey, allowed: set[AclOperation], bits: tuple[int, ...]
) -> None:
    made = Bench()
    made.listener.allows = lambda _origin, demand: demand.operation in allowed
    how: dict[str, Any] = {"include_cluster_authorized_operations": True}
    if api is ApiKey.METADATA:
        made.send(api, 8, MetadataRequest(topics=(), **how))
    else:
        made.send(api, 0, DescribeClusterRequest(**how))
    made.reply(MetadataResponse(ErrorCode.NONE))
    assert told(made).cluster_authorized_operations == sum(1 << bit for bit in bits)
