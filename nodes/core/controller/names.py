"""Which topic names and configs are legal, what is wrong with others, and which are internal.

Names and meanings are Kafka's, ``flush.policy`` is our own.  A complaint names the argument and the
fix; for an unknown config, the nearest known one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches

TOPIC_NAME_LENGTH_MAX = 249
CONSUMER_OFFSETS = "__consumer_offsets"
TRANSACTION_STATE = "__transaction_state"
PARTITIONS_MAX = 100_000

_LEGAL_NAME = re.compile(r"[a-zA-Z0-9._-]+")
_INT64_MAX = 2**63 - 1
_INT32_MAX = 2**31 - 1

Check = Callable[[str], str | None]
"""Returns what values are right when the given one is not."""


def is_internal(name: str) -> bool:
    """Tell whether coordinators keep their state in this topic; only they write to it."""
    return name in (CONSUMER_OFFSETS, TRANSACTION_STATE)


def topic_name_complaint(name: str) -> str | None:
    """Return what is wrong with a topic's name, or None (Kafka's rules)."""
    if not name:
        return "a topic name may not be empty"
    if name in (".", ".."):
        return f"a topic may not be named {name!r}"
    if len(name) > TOPIC_NAME_LENGTH_MAX:
        return f"a topic name has at most {TOPIC_NAME_LENGTH_MAX} characters; this has {len(name)}"
    if not _LEGAL_NAME.fullmatch(name):
        return "a topic name has only letters, digits, '.', '_' and '-' (ASCII)"
    return None


def config_complaint(configs: Mapping[str, str]) -> str | None:
    """Return what is wrong with a topic's configs (the first by name), or None."""
    for name in sorted(configs):
        check = TOPIC_CONFIGS.get(name)
        if check is None:
            return _unknown(name)
        wanted = check(configs[name])
        if wanted is not None:
            return f"{name} must be {wanted}, not {configs[name][:80]!r}"
    return None


def _unknown(name: str) -> str:
    near = get_close_matches(name[:80], TOPIC_CONFIGS, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(TOPIC_CONFIGS)}"
    return f"unknown topic config {name[:80]!r}; {hint}"


def _number(low: int, high: int, unit: str) -> Check:
    wanted = f"a whole number of {unit} from {low} to {high}"

    def check(value: str) -> str | None:
        digits = value.removeprefix("-")
        if not (digits.isascii() and digits.isdigit()) or len(digits) > 19:
            return wanted
        return None if low <= int(value) <= high else wanted

    return check


def _one_of(*values: str) -> Check:
    def check(value: str) -> str | None:
        return None if value in values else "one of " + ", ".join(values)

    return check


def _cleanup_policy(value: str) -> str | None:
    policies = [policy.strip() for policy in value.split(",")]
    known = all(policy in ("delete", "compact") for policy in policies)
    return None if known and len(set(policies)) == len(policies) else "delete, compact, or both"


TOPIC_CONFIGS: dict[str, Check] = {
    "cleanup.policy": _cleanup_policy,
    "compression.type": _one_of("producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"),
    "flush.policy": _one_of("none", "commit"),
    "index.interval.bytes": _number(0, _INT32_MAX, "bytes"),
    "max.message.bytes": _number(128, _INT32_MAX, "bytes"),
    "message.timestamp.type": _one_of("CreateTime", "LogAppendTime"),
    "min.insync.replicas": _number(1, 32, "replicas"),
    "retention.bytes": _number(-1, _INT64_MAX, "bytes (-1: without limit)"),
    "retention.ms": _number(-1, _INT64_MAX, "milliseconds (-1: for ever)"),
    "segment.bytes": _number(4096, _INT32_MAX, "bytes"),
    "segment.ms": _number(1, _INT64_MAX, "milliseconds"),
    "unclean.leader.election.enable": _one_of("true", "false"),
}
"""Every config a topic may have, with the check of its value."""


def min_insync_replicas(configs: Mapping[str, str], default: int, replication_factor: int) -> int:
    """Return how many in-sync replicas ``acks=all`` needs: never more than there are replicas."""
    return min(int(configs.get("min.insync.replicas", default)), replication_factor)
