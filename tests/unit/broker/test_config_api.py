"""Configs of a running cluster: asked of brokers, changed through any of them, in force at once."""

from __future__ import annotations

from typing import Any

import pytest

from nodes.config import LogConfig
from tests.unit.broker.partition_fleet import PartitionFleet
from transport.wire.errors import ErrorCode
from transport.wire.messages import Refusal
from transport.wire.messages.configs import (
    RESOURCE_BROKER,
    RESOURCE_TOPIC,
    AlterConfigsRequest,
    AlterConfigsResponse,
    AlteredConfigs,
    ConfigChange,
    ConfigOp,
    ConfigResource,
    ConfigSource,
    ConfigType,
    DescribeConfigsRequest,
    DescribeConfigsResponse,
    DescribedConfig,
)


@pytest.fixture
def fleet() -> PartitionFleet:
    fleet = PartitionFleet(log=LogConfig(segment_ms=5_000))
    fleet.settle()
    return fleet


def alter(fleet: PartitionFleet, asked: int, kind: int, name: str, config: str, value: str) -> None:
    change = ConfigChange(config, ConfigOp.SET, value)
    request = AlterConfigsRequest((AlteredConfigs(kind, name, (change,)),), 2_000)
    answer = fleet.ask(asked, request)
    assert isinstance(answer, AlterConfigsResponse), answer
    assert answer.resources[0].error == ErrorCode.NONE


def describe(fleet: PartitionFleet, asked: int, kind: int, name: str, config: str) -> Any:
    request = DescribeConfigsRequest((ConfigResource(kind, name, (config,)),))
    answer = fleet.ask(asked, request)
    assert isinstance(answer, DescribeConfigsResponse)
    (told,) = answer.resources
    return told.configs[0] if told.error == ErrorCode.NONE else told


def sources(told: DescribedConfig) -> list[tuple[str, int]]:
    return [(told.value, told.source), *((each.value, each.source) for each in told.behind)]


def test_every_value_says_where_it_comes_from(fleet: PartitionFleet) -> None:
    fleet.create("t")
    assert sources(describe(fleet, 1, RESOURCE_TOPIC, "t", "segment.ms")) == [
        ("5000", ConfigSource.STATIC),
        (str(7 * 24 * 3_600_000), ConfigSource.DEFAULT),
    ]
    told = describe(fleet, 1, RESOURCE_TOPIC, "t", "segment.ms")
    assert told.config_type == ConfigType.LONG
    assert "milliseconds" in told.wanted
    alter(fleet, 1, RESOURCE_BROKER, "", "log.roll.ms", "6000")
    alter(fleet, 2, RESOURCE_BROKER, "2", "log.roll.ms", "7000")
    alter(fleet, 3, RESOURCE_TOPIC, "t", "segment.ms", "8000")
    fleet.settle()
    told = sources(describe(fleet, 2, RESOURCE_TOPIC, "t", "segment.ms"))
    assert told[:4] == [
        ("8000", ConfigSource.TOPIC),
        ("7000", ConfigSource.BROKER),
        ("6000", ConfigSource.CLUSTER),
        ("5000", ConfigSource.STATIC),
    ]
    assert sources(describe(fleet, 1, RESOURCE_BROKER, "1", "log.roll.ms"))[0] == (
        "6000",
        ConfigSource.CLUSTER,
    )
    assert describe(fleet, 3, RESOURCE_BROKER, "", "log.roll.ms").value == "6000"


def test_a_change_is_in_force_at_once_and_after_a_restart(fleet: PartitionFleet) -> None:
    key = fleet.create("t")

    def segment_ms(number: int) -> int:
        return fleet.replica(number, key).settings.log.segment_ms

    alter(fleet, 1, RESOURCE_BROKER, "2", "log.roll.ms", "7000")
    fleet.settle()
    assert [segment_ms(number) for number in (1, 2, 3)] == [5_000, 7_000, 5_000]
    alter(fleet, 1, RESOURCE_TOPIC, "t", "segment.ms", "8000")
    fleet.settle()
    assert [segment_ms(number) for number in (1, 2, 3)] == [8_000] * 3
    alter(fleet, 1, RESOURCE_BROKER, "", "min.insync.replicas", "2")
    fleet.settle()
    assert fleet.replica(3, key).settings.partition.min_insync_replicas == 2
    fleet.kill(3)
    fleet.settle()
    fleet.start(3)
    fleet.settle()
    assert fleet.replica(3, key).settings.partition.min_insync_replicas == 2


def test_only_a_broker_itself_tells_of_its_settings(fleet: PartitionFleet) -> None:
    other = describe(fleet, 1, RESOURCE_BROKER, "2", "log.roll.ms")
    assert other.error == ErrorCode.INVALID_REQUEST
    assert "ask broker '2'" in other.text
    unknown = describe(fleet, 1, RESOURCE_TOPIC, "nowhere", "segment.ms")
    assert unknown.error == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert describe(fleet, 1, 3, "t", "segment.ms").error == ErrorCode.INVALID_REQUEST
    static = describe(fleet, 1, RESOURCE_BROKER, "1", "broker.session_timeout_ms")
    assert static.read_only
    many = DescribeConfigsRequest((ConfigResource(RESOURCE_TOPIC, "t"),) * 1_001)
    assert isinstance(fleet.ask(1, many), Refusal)
