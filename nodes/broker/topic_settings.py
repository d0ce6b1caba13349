"""The settings of a topic's partitions: the topic's own configs over the broker's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from nodes.config import LogConfig, NodeConfig
from nodes.core.controller.broker_configs import topic_values
from nodes.core.partition.events import PartitionSettings
from nodes.core.topic_configs import FLUSH_COMMIT, FLUSH_POLICY, own_values
from transport.wire.messages.metadata import TopicRecord


class TopicSettings(NamedTuple):
    """What the replicas of a topic go by."""

    partition: PartitionSettings
    log: LogConfig


def topic_settings(
    config: NodeConfig, topic: TopicRecord, broker_configs: Mapping[str, str]
) -> TopicSettings:
    """Return a topic's settings: its own configs over its broker's, those over the node's settings.

    A config that cannot be read counts as not set.
    """
    configs = {**topic_values(broker_configs), **topic.configs}
    own: dict[str, dict[str, Any]] = {"broker": {}, "log": {}}
    for setting, value in own_values(configs).items():
        section, name = setting.split(".")
        own[section][name] = value
    broker = replace(config.broker, **own["broker"])
    partition = PartitionSettings(
        broker.min_insync_replicas,
        broker.replica_lag_time_max_ms,
        configs.get(FLUSH_POLICY) == FLUSH_COMMIT,
    )
    return TopicSettings(partition, replace(config.log, **own["log"]))
