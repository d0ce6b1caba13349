"""What the supervisor writes for a node is what the node reads; anything else is named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nodes.config import (
    BrokerConfig,
    CoordinatorConfig,
    NodeConfig,
    RaftConfig,
    check_combination,
    encode_node_config,
    load_node_config,
)
from nodes.settings import ConfigError, read_section
from transport.wire.ids import ClusterId, Incarnation, NodeId, NodeName
from transport.wire.messages.cluster import NodeEndpoints


def node_config() -> NodeConfig:
    node = NodeEndpoints(
        NodeId(1), NodeName("broker-1"), ("broker",), "tcp://h:1", "tcp://h:2", "tcp://h:3", "r"
    )
    return NodeConfig(
        name=NodeName("broker-1"),
        id=NodeId(1),
        role="broker",
        mode="zookeeper",
        cluster_id=ClusterId("c"),
        incarnation=Incarnation(0),
        data_dir="/nowhere",
        nodes=(node,),
        supervisor_key="secret",
        broker=BrokerConfig(min_insync_replicas=2, auto_create_topics=False),
    )


def changed(tmp_path: Path, **changes: object) -> Path:
    path = tmp_path / "config.json"
    table = json.loads(encode_node_config(node_config()))
    table.update(changes)
    path.write_text(json.dumps(table))
    return path


def test_what_is_written_is_read_with_the_incarnation_of_this_start(tmp_path: Path) -> None:
    config = node_config()
    path = tmp_path / "config.json"
    path.write_bytes(encode_node_config(config))
    assert load_node_config(path, 7) == replace(config, incarnation=Incarnation(7))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"brocker": {}}, "did you mean 'broker'?"),
        ({"broker": {"min_insync_replica": 1}}, "did you mean 'min_insync_replicas'?"),
        ({"broker": {"min_insync_replicas": "2"}}, "min_insync_replicas"),
        ({"broker": {"min_insync_replicas": 0}}, "below 1; raise it"),
        ({"id": "one"}, r"\$\.id"),
        ({"role": "king"}, "role = 'king'"),
        ({"name": "broker-9"}, "not among the cluster's nodes"),
        ({"raft": {"heartbeat_interval_ms": 200}}, "heartbeat_interval_ms must be at most half"),
    ],
)
def test_what_cannot_be_is_named(tmp_path: Path, changes: dict[str, object], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        load_node_config(changed(tmp_path, **changes), 1)


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff"])
def test_a_damaged_file_is_a_config_error(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=r"config\.json"):
        load_node_config(path, 1)


def test_a_missing_file_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        load_node_config(tmp_path / "config.json", 1)


def test_a_section_takes_defaults_and_overrides() -> None:
    section = read_section(BrokerConfig, {"num_partitions": 12}, "[broker]")
    assert section == BrokerConfig(num_partitions=12)


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ({"num_partition": 3}, r"\[broker\] has no setting 'num_partition'; .*'num_partitions'"),
        ({"num_partitions": "3"}, r'num_partitions = "3" is not a whole number'),
        ({"num_partitions": True}, "num_partitions = true is not a whole number"),
        ({"num_partitions": 3.5}, "is not a whole number"),
        ({"auto_create_topics": 1}, "auto_create_topics = 1 is not true or false"),
        ({"num_partitions": 0}, r"\[broker\] num_partitions = 0 is below 1; raise it"),
        ({"num_partitions": 10**9}, "above 100000; lower it"),
    ],
)
def test_a_wrong_setting_names_key_and_fix(table: dict[str, object], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        read_section(BrokerConfig, table, "[broker]")


@pytest.mark.parametrize(
    ("raft", "coordinator", "broker", "text"),
    [
        ({"election_timeout_min_ms": 600}, {}, {}, "election_timeout_min_ms"),
        ({}, {"session_timeout_max_ms": 500}, {}, "session_timeout_min_ms"),
        ({}, {}, {"session_timeout_ms": 500}, "session_timeout_ms must lie between"),
        ({}, {}, {"heartbeat_interval_ms": 1_000}, "heartbeat_interval_ms"),
        ({}, {}, {"replica_fetch_wait_max_ms": 20_000}, "replica_fetch_wait_max_ms"),
    ],
)
def test_settings_that_cannot_work_together_are_refused(
    raft: dict[str, Any], coordinator: dict[str, Any], broker: dict[str, Any], text: str
) -> None:
    check_combination(RaftConfig(), CoordinatorConfig(), BrokerConfig())
    with pytest.raises(ConfigError, match=text):
        check_combination(
            RaftConfig(**raft), CoordinatorConfig(**coordinator), BrokerConfig(**broker)
        )
