"""The settings of a topic's partitions: the topic's own configs over the broker's."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from nodes.config import LogConfig, NodeConfig
from nodes.core.partition.events import PartitionSettings
from transport.wire.messages.metadata import TopicRecord

MIN_INSYNC_REPLICAS = "min.insync.replicas"
FLUSH_POLICY = "flush.policy"
FLUSH_COMMIT = "commit"
MESSAGE_BYTES_MAX = "max.message.bytes"
SEGMENT_BYTES = "segment.bytes"
SEGMENT_MS = "segment.ms"


class TopicSettings(NamedTuple):
    """What the replicas of a topic go by."""

    partition: PartitionSettings
    log: LogConfig


def topic_settings(config: NodeConfig, topic: TopicRecord) -> TopicSettings:
    """Return a topic's settings; a config that is no number counts as not set."""

    def number(name: str, default: int) -> int:
        text = topic.configs.get(name, "")
        return int(text) if text.isascii() and text.isdigit() else default

    broker, log = config.broker, config.log
    partition = PartitionSettings(
        number(MIN_INSYNC_REPLICAS, broker.min_insync_replicas),
        broker.replica_lag_time_max_ms,
        topic.configs.get(FLUSH_POLICY) == FLUSH_COMMIT,
    )
    own = {
        "message_bytes_max": number(MESSAGE_BYTES_MAX, log.message_bytes_max),
        "segment_bytes": number(SEGMENT_BYTES, log.segment_bytes),
        "segment_ms": number(SEGMENT_MS, log.segment_ms),
    }
    return TopicSettings(partition, replace(log, **own))
