"""Every config that a broker may have while it runs, and what it means for its topics.

Names are Kafka's.  Most are the default of a topic's config (``TOPIC_DEFAULTS``): what a topic does
not say for itself, its broker says, then the default of all brokers, then the node's settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

from nodes.core.topic_configs import INT64_MAX, TOPIC_CONFIGS, TopicConfig, one_of, whole

AUTO_REBALANCE = "auto.leader.rebalance.enable"
FOLLOWER_THROTTLE = "follower.replication.throttled.rate"
"""Of what reassignments add on a broker, and of nothing else: whoever is in sync stays so."""
MOVE_THROTTLE = "replica.alter.log.dirs.io.max.bytes.per.second"
"""Of what a broker copies from one of its log directories to another."""

TOPIC_DEFAULTS: dict[str, str] = {
    "log.cleaner.delete.retention.ms": "delete.retention.ms",
    "log.cleaner.max.compaction.lag.ms": "max.compaction.lag.ms",
    "log.cleaner.min.cleanable.ratio": "min.cleanable.dirty.ratio",
    "log.cleaner.min.compaction.lag.ms": "min.compaction.lag.ms",
    "log.cleanup.policy": "cleanup.policy",
    "log.index.interval.bytes": "index.interval.bytes",
    "log.index.size.max.bytes": "segment.index.bytes",
    "log.message.timestamp.after.max.ms": "message.timestamp.after.max.ms",
    "log.message.timestamp.before.max.ms": "message.timestamp.before.max.ms",
    "log.message.timestamp.type": "message.timestamp.type",
    "log.retention.bytes": "retention.bytes",
    "log.retention.ms": "retention.ms",
    "log.roll.jitter.ms": "segment.jitter.ms",
    "log.roll.ms": "segment.ms",
    "log.segment.bytes": "segment.bytes",
    "message.max.bytes": "max.message.bytes",
    "min.insync.replicas": "min.insync.replicas",
    "unclean.leader.election.enable": "unclean.leader.election.enable",
}
"""A broker's config -> the topic's config that it is the default of."""

BROKER_DEFAULT_OF = {topic: broker for broker, topic in TOPIC_DEFAULTS.items()}

BROKER_CONFIGS: dict[str, TopicConfig] = {
    **{broker: TOPIC_CONFIGS[topic] for broker, topic in TOPIC_DEFAULTS.items()},
    AUTO_REBALANCE: one_of("", "true", "false", default="true"),
    FOLLOWER_THROTTLE: whole("", 1, INT64_MAX, "bytes a second", str(INT64_MAX)),
    MOVE_THROTTLE: whole("", 1, INT64_MAX, "bytes a second", str(INT64_MAX)),
}
"""By name."""

CLUSTER_WIDE = frozenset({AUTO_REBALANCE, "unclean.leader.election.enable", "min.insync.replicas"})
"""What the controller goes by: one value for all brokers, the default of all."""


def broker_config_complaint(configs: Mapping[str, str], *, one_broker: bool) -> str | None:
    """Return what is wrong with a broker's configs (the first by name), or None."""
    for name in sorted(configs):
        config = BROKER_CONFIGS.get(name)
        if config is None:
            near = get_close_matches(name[:80], BROKER_CONFIGS, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else "see `odradek config get broker`"
            return f"{name[:80]!r} cannot be set for a running broker; {hint}"
        if one_broker and name in CLUSTER_WIDE:
            return f"{name} is one for all brokers; set it for the cluster"
        if config.parse(configs[name]) is None:
            return f"{name} must be {config.wanted}, not {configs[name][:80]!r}"
    return None


def topic_values(broker: Mapping[str, str]) -> dict[str, str]:
    """Return what a broker's configs say for topics that do not say it themselves."""
    return {TOPIC_DEFAULTS[name]: text for name, text in broker.items() if name in TOPIC_DEFAULTS}
