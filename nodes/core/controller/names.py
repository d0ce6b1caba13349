"""Which topic names are legal (Kafka's rules), what is wrong with others, and which are internal."""

from __future__ import annotations

import re

TOPIC_NAME_LENGTH_MAX = 249
CONSUMER_OFFSETS = "__consumer_offsets"
TRANSACTION_STATE = "__transaction_state"
PARTITIONS_MAX = 100_000

_LEGAL_NAME = re.compile(r"[a-zA-Z0-9._-]+")


def is_internal(name: str) -> bool:
    """Tell whether coordinators keep their state in this topic; only they write to it."""
    return name in (CONSUMER_OFFSETS, TRANSACTION_STATE)


def topic_name_complaint(name: str) -> str | None:
    """Return what is wrong with a topic's name, or None."""
    if not name:
        return "a topic name may not be empty"
    if name in (".", ".."):
        return f"a topic may not be named {name!r}"
    if len(name) > TOPIC_NAME_LENGTH_MAX:
        return f"a topic name has at most {TOPIC_NAME_LENGTH_MAX} characters; this has {len(name)}"
    if not _LEGAL_NAME.fullmatch(name):
        return "a topic name has only letters, digits, '.', '_' and '-' (ASCII)"
    return None
