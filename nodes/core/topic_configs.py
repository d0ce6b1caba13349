"""Every config that a topic may have: its values, and the node's setting it stands above.

Names and meanings are Kafka's; ``flush.policy`` is our own.  The controller judges by this table,
brokers read by it.  A default stands once, at the node's setting that ``setting`` names (its section
and field); where no setting is named, ``default`` is it.  A complaint names the argument and the fix;
for an unknown config, the nearest known one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from transport.wire.messages.configs import ConfigType

INT64_MAX = 2**63 - 1
INT32_MAX = 2**31 - 1
_DIGITS_MAX = 19

CLEANUP_POLICY = "cleanup.policy"
FLUSH_POLICY = "flush.policy"
MAX_COMPACTION_LAG_MS = "max.compaction.lag.ms"
MIN_COMPACTION_LAG_MS = "min.compaction.lag.ms"
MIN_INSYNC_REPLICAS = "min.insync.replicas"
UNCLEAN_LEADER_ELECTION = "unclean.leader.election.enable"

FLUSH_COMMIT = "commit"
POLICY_COMPACT = "compact"
POLICY_DELETE = "delete"
LOG_APPEND_TIME = "LogAppendTime"

Value = int | float | str


@dataclass(frozen=True, slots=True)
class TopicConfig:
    """One config: how its text is read, and where its default stands."""

    setting: str
    """``section.field`` of the node's config; empty: there is none."""
    wanted: str
    """What a value must be, for people."""
    parse: Callable[[str], Value | None]
    """Returns the value of a text, or None when it is none."""
    default: str = ""
    config_type: ConfigType = ConfigType.STRING


def whole(setting: str, low: int, high: int, unit: str, default: str = "") -> TopicConfig:
    """Return a config whose values are whole numbers."""

    def parse(text: str) -> int | None:
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdigit()) or len(digits) > _DIGITS_MAX:
            return None
        value = int(text)
        return value if low <= value <= high else None

    wanted = f"a whole number of {unit} from {low} to {high}"
    kind = ConfigType.INT if high <= INT32_MAX else ConfigType.LONG
    return TopicConfig(setting, wanted, parse, default, kind)


def _share(setting: str) -> TopicConfig:
    def parse(text: str) -> float | None:
        plain = text.isascii() and text.replace(".", "", 1).isdigit()
        value = float(text) if plain and len(text) <= _DIGITS_MAX else -1.0
        return value if 0 <= value <= 1 else None

    wanted = "a number from 0 to 1"
    return TopicConfig(setting, wanted, parse, config_type=ConfigType.DOUBLE)


def one_of(setting: str, *values: str, default: str = "") -> TopicConfig:
    """Return a config with these values and no other."""

    def parse(text: str) -> str | None:
        return text if text in values else None

    wanted = values[0] if len(values) == 1 else "one of " + ", ".join(values)
    kind = ConfigType.BOOLEAN if values == ("true", "false") else ConfigType.STRING
    return TopicConfig(setting, wanted, parse, default, kind)


def _cleanup_policy(text: str) -> str | None:
    policies = [policy.strip() for policy in text.split(",")]
    known = all(policy in (POLICY_DELETE, POLICY_COMPACT) for policy in policies)
    return ",".join(sorted(policies)) if known and len(set(policies)) == len(policies) else None


TOPIC_CONFIGS: dict[str, TopicConfig] = {
    CLEANUP_POLICY: TopicConfig(
        "log.cleanup_policy",
        "delete, compact, or both with a comma between",
        _cleanup_policy,
        config_type=ConfigType.LIST,
    ),
    # Brokers never open a batch to compress it anew.
    "compression.type": one_of("", "producer", default="producer"),
    "delete.retention.ms": whole("log.delete_retention_ms", 0, INT64_MAX, "milliseconds"),
    # The controller must know it as well, and knows no node's settings.
    FLUSH_POLICY: one_of("", "none", FLUSH_COMMIT, default="none"),
    "index.interval.bytes": whole("log.index_interval_bytes", 0, INT32_MAX, "bytes"),
    MAX_COMPACTION_LAG_MS: whole("log.compaction_lag_max_ms", 1, INT64_MAX, "milliseconds"),
    "max.message.bytes": whole("log.message_bytes_max", 128, INT32_MAX, "bytes"),
    "message.timestamp.after.max.ms": whole(
        "log.timestamp_after_max_ms", 0, INT64_MAX, "milliseconds"
    ),
    "message.timestamp.before.max.ms": whole(
        "log.timestamp_before_max_ms", 0, INT64_MAX, "milliseconds"
    ),
    "message.timestamp.type": one_of("log.timestamp_type", "CreateTime", LOG_APPEND_TIME),
    "min.cleanable.dirty.ratio": _share("log.cleanable_dirty_ratio_min"),
    MIN_COMPACTION_LAG_MS: whole("log.compaction_lag_min_ms", 0, INT64_MAX, "milliseconds"),
    MIN_INSYNC_REPLICAS: whole("broker.min_insync_replicas", 1, 32, "replicas"),
    "retention.bytes": whole("log.retention_bytes", -1, INT64_MAX, "bytes (-1: without limit)"),
    "retention.ms": whole("log.retention_ms", -1, INT64_MAX, "milliseconds (-1: for ever)"),
    "segment.bytes": whole("log.segment_bytes", 4096, INT32_MAX, "bytes"),
    "segment.index.bytes": whole("log.segment_index_bytes", 64, INT32_MAX, "bytes"),
    "segment.jitter.ms": whole("log.segment_jitter_ms", 0, INT64_MAX, "milliseconds"),
    "segment.ms": whole("log.segment_ms", 1, INT64_MAX, "milliseconds"),
    UNCLEAN_LEADER_ELECTION: one_of("", "true", "false", default="false"),
}
"""By name, sorted."""


def config_complaint(configs: Mapping[str, str]) -> str | None:
    """Return what is wrong with a topic's configs (the first by name), or None."""
    for name in sorted(configs):
        config = TOPIC_CONFIGS.get(name)
        if config is None:
            return _unknown(name)
        if config.parse(configs[name]) is None:
            return f"{name} must be {config.wanted}, not {configs[name][:80]!r}"
    lag_min_ms, lag_max_ms = configs.get(MIN_COMPACTION_LAG_MS), configs.get(MAX_COMPACTION_LAG_MS)
    if lag_min_ms is not None and lag_max_ms is not None and int(lag_min_ms) > int(lag_max_ms):
        return f"{MIN_COMPACTION_LAG_MS} must not be above {MAX_COMPACTION_LAG_MS} ({lag_max_ms})"
    return None


def _unknown(name: str) -> str:
    near = get_close_matches(name[:80], TOPIC_CONFIGS, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(TOPIC_CONFIGS)}"
    return f"unknown topic config {name[:80]!r}; {hint}"


def own_values(configs: Mapping[str, str]) -> dict[str, Value]:
    """Return a topic's own values by ``section.field`` of the node's setting they stand above.

    What is unknown or cannot be read (of a later version, say) counts as not set.
    """
    found: dict[str, Value] = {}
    for name, text in configs.items():
        config = TOPIC_CONFIGS.get(name)
        value = None if config is None else config.parse(text)
        if config is not None and value is not None and config.setting:
            found[config.setting] = value
    return found
