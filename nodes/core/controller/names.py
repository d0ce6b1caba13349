"""Which topic names are legal (Kafka's rules), what is wrong with others, and which are internal."""

from __future__ import annotations

import re
from collections.abc import Collection

TOPIC_NAME_LENGTH_MAX = 249
CONSUMER_OFFSETS = "__consumer_offsets"
TRANSACTION_STATE = "__transaction_state"
PARTITIONS_MAX = 100_000
NAMES_BYTES_MAX = 12 * 1024 * 1024
"""Of all topics together: in mode zookeeper the next controller reads them in one answer (D8)."""
_NAME_OVERHEAD_BYTES = 5
"""What a name takes there beside its characters."""

_LEGAL_NAME = re.compile(r"[a-zA-Z0-9._-]+")


def is_internal(name: str) -> bool:
    """Tell whether coordinators keep their state in this topic; only they write to it."""
    return name in (CONSUMER_OFFSETS, TRANSACTION_STATE)


def names_complaint(names: Collection[str], name: str) -> str | None:
    """Say why ``name`` finds no room beside the names of all other topics, or None."""
    count = len(names) + 1
    if count * (TOPIC_NAME_LENGTH_MAX + _NAME_OVERHEAD_BYTES) <= NAMES_BYTES_MAX:
        return None  # whatever they are: nobody counts them each time
    size_bytes = sum(map(len, names)) + len(name) + count * _NAME_OVERHEAD_BYTES
    if size_bytes <= NAMES_BYTES_MAX:
        return None
    return f"the names of {count} topics take more than {NAMES_BYTES_MAX} bytes; delete some topics"


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
