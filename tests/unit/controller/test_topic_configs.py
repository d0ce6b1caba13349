"""The table of topic configs: what is right, what is wrong, and which setting each stands above."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from nodes.config import BrokerConfig, LogConfig
from nodes.core.topic_configs import TOPIC_CONFIGS, config_complaint, own_values
from transport.wire.messages.configs import ConfigType

RIGHT = {
    "cleanup.policy": ["delete", "compact", "compact,delete"],
    "compression.type": ["producer"],
    "delete.retention.ms": ["0"],
    "flush.policy": ["none", "commit"],
    "index.interval.bytes": ["0", "4096"],
    "max.compaction.lag.ms": ["1"],
    "max.message.bytes": ["128", "1048588"],
    "message.timestamp.after.max.ms": ["3600000"],
    "message.timestamp.before.max.ms": ["0"],
    "message.timestamp.type": ["CreateTime", "LogAppendTime"],
    "min.cleanable.dirty.ratio": ["0", "0.5", "1"],
    "min.compaction.lag.ms": ["0"],
    "min.insync.replicas": ["1", "2"],
    "retention.bytes": ["-1", "0", "9223372036854775807"],
    "retention.ms": ["-1", "604800000"],
    "segment.bytes": ["4096", "1073741824"],
    "segment.index.bytes": ["64"],
    "segment.jitter.ms": ["0"],
    "segment.ms": ["1"],
    "unclean.leader.election.enable": ["true", "false"],
}
WRONG = {
    "cleanup.policy": ["", "keep", "delete,delete"],
    "compression.type": ["brotli", "GZIP", "zstd"],
    "delete.retention.ms": ["-1"],
    "flush.policy": ["always"],
    "index.interval.bytes": ["-1", "1.5"],
    "max.compaction.lag.ms": ["0"],
    "max.message.bytes": ["0", "²"],
    "message.timestamp.after.max.ms": ["1h"],
    "message.timestamp.before.max.ms": ["-1"],
    "message.timestamp.type": ["createtime"],
    "min.cleanable.dirty.ratio": ["1.1", "-0.5", "half", "", ".", "1e-1"],
    "min.compaction.lag.ms": ["-1"],
    "min.insync.replicas": ["0", "33", "--1"],
    "retention.bytes": ["-2", "9" * 5000, "9223372036854775808"],
    "retention.ms": ["", "7d", "-", "-2", " 1"],
    "segment.bytes": ["10", "4294967296"],
    "segment.index.bytes": ["63"],
    "segment.jitter.ms": ["-1"],
    "segment.ms": ["0"],
    "unclean.leader.election.enable": ["yes", "True"],
}


def test_every_config_is_tried_here() -> None:
    assert set(RIGHT) == set(WRONG) == set(TOPIC_CONFIGS)


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, vs in RIGHT.items() for v in vs])
def test_right_values(name: str, value: str) -> None:
    assert config_complaint({name: value}) is None


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, vs in WRONG.items() for v in vs])
def test_wrong_values_name_the_config_and_what_is_right(name: str, value: str) -> None:
    complaint = config_complaint({name: value})
    assert complaint is not None
    assert complaint.startswith(f"{name} must be ")
    assert len(complaint) < 300


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("retention_ms", "retention.ms"),
        ("min.isr.replicas", "min.insync.replicas"),
        ("compresion.type", "compression.type"),
    ],
)
def test_an_unknown_config_names_the_nearest(typed: str, meant: str) -> None:
    assert f"did you mean {meant}?" in (config_complaint({typed: "1"}) or "")


def test_lags_of_compaction_must_fit_each_other() -> None:
    configs = {"min.compaction.lag.ms": "10", "max.compaction.lag.ms": "9"}
    assert "must not be above" in (config_complaint(configs) or "")
    assert config_complaint({**configs, "max.compaction.lag.ms": "10"}) is None


def test_every_config_says_what_its_values_are_made_of() -> None:
    kinds = {name: config.config_type for name, config in TOPIC_CONFIGS.items()}
    assert kinds["cleanup.policy"] == ConfigType.LIST
    assert kinds["min.cleanable.dirty.ratio"] == ConfigType.DOUBLE
    assert kinds["retention.ms"] == ConfigType.LONG
    assert kinds["segment.bytes"] == ConfigType.INT
    assert kinds["unclean.leader.election.enable"] == ConfigType.BOOLEAN
    assert kinds["message.timestamp.type"] == ConfigType.STRING


@pytest.mark.parametrize("name", TOPIC_CONFIGS)
def test_every_config_has_one_default_that_is_right(name: str) -> None:
    config = TOPIC_CONFIGS[name]
    if not config.setting:
        assert config.parse(config.default) == config.default
        return
    section, field_name = config.setting.split(".")
    kinds: dict[str, Any] = {"log": LogConfig, "broker": BrokerConfig}
    (found,) = [item for item in fields(kinds[section]) if item.name == field_name]
    assert config.parse(str(found.default)) == found.default
    assert not config.default


def test_a_topics_values_stand_above_the_nodes() -> None:
    configs = {
        "retention.ms": "-1",
        "cleanup.policy": "delete,compact",
        "min.cleanable.dirty.ratio": "0.1",
        "flush.policy": "commit",
        "segment.ms": "soon",
        "of.a.later.version": "1",
    }
    assert own_values(configs) == {
        "log.retention_ms": -1,
        "log.cleanup_policy": "compact,delete",
        "log.cleanable_dirty_ratio_min": 0.1,
    }
