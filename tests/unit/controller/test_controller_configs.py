"""Changes of configs, judged and committed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.controller.cluster import Cluster, broker, three
from transport.wire.errors import ErrorCode
from transport.wire.ids import NodeId
from transport.wire.messages.configs import (
    RESOURCE_BROKER,
    RESOURCE_TOPIC,
    AlterConfigsRequest,
    AlteredConfigs,
    ConfigChange,
    ConfigOp,
)


def alter(
    cluster: Cluster, kind: int, name: str, *changes: ConfigChange, only: bool = False
) -> Any:
    request = AlterConfigsRequest((AlteredConfigs(kind, name, changes),), 1000, only)
    (outcome,) = cluster.ask(request).resources
    return outcome


def put(name: str, value: str) -> ConfigChange:
    return ConfigChange(name, ConfigOp.SET, value)


def test_a_topics_configs_change_one_by_one() -> None:
    cluster = three()
    topic_id = cluster.create("t", 1, 1, retention_ms="5", segment_ms="7")
    changes = put("retention.ms", "6"), ConfigChange("segment.ms", ConfigOp.DELETE)
    assert alter(cluster, RESOURCE_TOPIC, "t", *changes).error == ErrorCode.NONE
    assert cluster.image.topics[topic_id].configs == {"retention.ms": "6"}
    append = ConfigChange("cleanup.policy", ConfigOp.APPEND, "compact,delete")
    assert alter(cluster, RESOURCE_TOPIC, "t", append).error == ErrorCode.NONE
    assert cluster.image.topics[topic_id].configs["cleanup.policy"] == "delete,compact"
    less = ConfigChange("cleanup.policy", ConfigOp.SUBTRACT, "compact")
    assert alter(cluster, RESOURCE_TOPIC, "t", less).error == ErrorCode.NONE
    assert cluster.image.topics[topic_id].configs["cleanup.policy"] == "delete"


def test_a_list_with_spaces_has_the_same_values() -> None:
    cluster = three()
    topic_id = cluster.create("t", 1, 1)
    spaced = put("cleanup.policy", "compact, delete")
    append = ConfigChange("cleanup.policy", ConfigOp.APPEND, "delete")
    less = ConfigChange("cleanup.policy", ConfigOp.SUBTRACT, " delete")
    for change, expected in (
        (spaced, "compact, delete"),
        (append, "compact,delete"),
        (less, "compact"),
    ):
        assert alter(cluster, RESOURCE_TOPIC, "t", change).error == ErrorCode.NONE
        assert cluster.image.topics[topic_id].configs["cleanup.policy"] == expected


def test_what_is_added_to_a_list_that_is_not_set_is_added_to_its_default() -> None:
    cluster = three()
    topic_id = cluster.create("t", 1, 1)
    name = "log.cleanup.policy"
    append = ConfigChange(name, ConfigOp.APPEND, "compact")
    for resource in ("", "1"):
        assert alter(cluster, RESOURCE_BROKER, resource, append).error == ErrorCode.NONE
        assert cluster.image.configs["broker", resource] == {name: "delete,compact"}
    less = ConfigChange("cleanup.policy", ConfigOp.SUBTRACT, "delete")
    assert alter(cluster, RESOURCE_TOPIC, "t", less).error == ErrorCode.NONE
    assert cluster.image.topics[topic_id].configs["cleanup.policy"] == "compact"


def test_a_broker_has_one_name() -> None:
    change = put("log.retention.ms", "1000")
    assert alter(three(), RESOURCE_BROKER, "01", change).error == ErrorCode.INVALID_REQUEST


def test_a_brokers_configs_stand_above_those_of_all() -> None:
    cluster = three()
    for name, value in (("", "1000"), ("2", "2000")):
        change = put("log.retention.ms", value)
        assert alter(cluster, RESOURCE_BROKER, name, change).error == ErrorCode.NONE
    assert cluster.image.broker_configs(NodeId(1)) == {"log.retention.ms": "1000"}
    assert cluster.image.broker_configs(NodeId(2)) == {"log.retention.ms": "2000"}
    gone = ConfigChange("log.retention.ms", ConfigOp.DELETE)
    alter(cluster, RESOURCE_BROKER, "2", gone)
    assert cluster.image.broker_configs(NodeId(2)) == {"log.retention.ms": "1000"}
    assert list(cluster.image.configs) == [("broker", "")], "what is empty is not kept"


@pytest.mark.parametrize(
    ("kind", "name", "change", "error", "text"),
    [
        (2, "u", put("retention.ms", "1"), ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, "'u'"),
        (2, "t", put("retension.ms", "1"), ErrorCode.INVALID_CONFIG, "retention.ms"),
        (2, "t", put("retention.ms", "x"), ErrorCode.INVALID_CONFIG, "'x'"),
        (2, "t", put("retention.ms", "1" * 20_000), ErrorCode.INVALID_CONFIG, "10000"),
        (2, "t", ConfigChange("retention.ms", 9), ErrorCode.INVALID_REQUEST, "9"),
        (2, "t", ConfigChange("retention.ms", 2, "1"), ErrorCode.INVALID_CONFIG, "not a list"),
        (2, "t", ConfigChange("retension", ConfigOp.DELETE), ErrorCode.INVALID_CONFIG, "retension"),
        (4, "9", put("log.retention.ms", "1"), ErrorCode.INVALID_REQUEST, "'9'"),
        (4, "x", put("log.retention.ms", "1"), ErrorCode.INVALID_REQUEST, "'x'"),
        (4, "1", put("log.retention", "1"), ErrorCode.INVALID_CONFIG, "did you mean"),
        (4, "1", put("min.insync.replicas", "2"), ErrorCode.INVALID_CONFIG, "for the cluster"),
        (4, "", put("min.insync.replicas", "0"), ErrorCode.INVALID_CONFIG, "from 1"),
        (3, "t", put("retention.ms", "1"), ErrorCode.INVALID_REQUEST, "type 3"),
    ],
)
def test_configs_that_may_not_be(
    kind: int, name: str, change: ConfigChange, error: ErrorCode, text: str
) -> None:
    cluster = three()
    cluster.create("t")
    version = cluster.image.position.version
    outcome = alter(cluster, kind, name, change)
    assert (outcome.error, cluster.image.position.version) == (error, version)
    assert text in outcome.text


def test_a_resource_is_changed_as_a_whole_or_not_at_all() -> None:
    cluster = three()
    topic_id = cluster.create("t")
    twice = put("retention.ms", "1"), put("retention.ms", "2")
    assert alter(cluster, RESOURCE_TOPIC, "t", *twice).error == ErrorCode.INVALID_REQUEST
    mixed = put("retention.ms", "1"), put("segment.ms", "x")
    assert alter(cluster, RESOURCE_TOPIC, "t", *mixed).error == ErrorCode.INVALID_CONFIG
    good = put("retention.ms", "1")
    assert alter(cluster, RESOURCE_TOPIC, "t", good, only=True).error == ErrorCode.NONE
    assert cluster.image.topics[topic_id].configs == {}


def test_a_resource_may_be_given_all_its_configs_anew() -> None:
    cluster = three()
    topic_id = cluster.create("t", 1, 1, retention_ms="5", segment_ms="7")
    anew = AlteredConfigs(RESOURCE_TOPIC, "t", (put("segment.ms", "8"),), replace=True)
    cluster.ask(AlterConfigsRequest((anew,), 1000))
    assert cluster.image.topics[topic_id].configs == {"segment.ms": "8"}
    cluster.ask(AlterConfigsRequest((AlteredConfigs(RESOURCE_TOPIC, "t", (), replace=True),), 1000))
    assert cluster.image.topics[topic_id].configs == {}
    for changes in ((put("log.retention.ms", "1"),), ()):
        anew = AlteredConfigs(RESOURCE_BROKER, "", changes, replace=True)
        cluster.ask(AlterConfigsRequest((anew,), 1000))
    assert not cluster.image.configs


def test_a_config_that_elections_go_by_counts_also_where_it_goes_unnamed() -> None:
    cluster = three()
    topic_id = cluster.create("t", 1, 3, min_insync_replicas="3")
    cluster.live(broker(1), broker(2))
    assert cluster.partition(topic_id).elr == (3,), "the ISR is below what is needed"
    anew = AlteredConfigs(RESOURCE_TOPIC, "t", (), replace=True)
    cluster.ask(AlterConfigsRequest((anew,), 1000))
    assert cluster.partition(topic_id).elr == ()
