"""The settings of a topic's partitions: the topic's own configs over the broker's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from nodes.broker.context import BrokerContext
from nodes.config import LogConfig, NodeConfig
from nodes.core.controller.broker_configs import topic_values
from nodes.core.partition.events import PartitionSettings
from nodes.core.topic_configs import FLUSH_COMMIT, FLUSH_POLICY, own_values
from transport.wire.ids import TopicId
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


class SettingsOfTopics:
    """The settings of all topics here, made once for all partitions of a topic."""

    def __init__(self, context: BrokerContext) -> None:
        self._context = context
        self._broker_configs: dict[str, str] = {}
        self._known: dict[TopicId, tuple[TopicRecord, TopicSettings]] = {}

    def of(self, topic: TopicRecord) -> TopicSettings:
        """Return a topic's settings as the image has them now."""
        context = self._context
        broker_configs = context.image.broker_configs(context.id)
        if broker_configs != self._broker_configs:
            self._broker_configs = broker_configs
            self._known.clear()
        known = self._known.get(topic.topic_id)
        if known is None or known[0] is not topic:
            if known is None:
                self._forget_gone()
            known = topic, topic_settings(context.config, topic, broker_configs)
            self._known[topic.topic_id] = known
        return known[1]

    def _forget_gone(self) -> None:
        topics = self._context.image.topics
        for topic_id in [one for one in self._known if one not in topics]:
            del self._known[topic_id]
