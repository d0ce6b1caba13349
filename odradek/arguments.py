"""What people give to the methods of log clients: topics, partitions, offsets, times.

Told at the call, before anything is sent: what was given, and how to write it instead.  Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from odradek.settings import Bounds, check_number
from transport.wire.ids import TopicPartition

OFFSETS = Bounds(0, (1 << 63) - 1)
"""Records are counted in signed 64-bit numbers."""
PARTITIONS = Bounds(0, (1 << 31) - 1)
TIMESTAMPS_MS = Bounds(0, (1 << 62) - 1)
"""Since the Unix epoch."""


def topic_name(given: object) -> str:
    """Return the name; TypeError for what is none."""
    if not isinstance(given, str):
        raise TypeError(f"a topic's name must be str, not {type(given).__name__}")
    return given


def topic_names(given: Iterable[str]) -> list[str]:
    """Return the names; TypeError for one string, which would be read letter by letter."""
    if isinstance(given, str):
        raise TypeError(f"a list of topic names is needed; write [{given!r}]")
    return [topic_name(name) for name in given]


def pattern_of(given: object) -> re.Pattern[str]:
    """Return the pattern that whole names are to match; TypeError or ValueError for what is none."""
    if not isinstance(given, str | re.Pattern):
        raise TypeError(f"pattern={given!r} is no regular expression")
    try:
        compiled = re.compile(given)
    except re.error as error:
        raise ValueError(f"pattern={given!r} is no regular expression: {error}") from None
    if isinstance(compiled.pattern, bytes):
        raise TypeError(f"pattern={given!r} is of bytes; topics have names of str")
    return compiled


def partition_of(given: object) -> TopicPartition:
    """Return a partition for ``(topic, number)``; TypeError for what is none."""
    topic, number = given if isinstance(given, tuple) and len(given) == 2 else (None, None)
    if not isinstance(topic, str) or not isinstance(number, int) or isinstance(number, bool):
        raise TypeError(f"a partition is TopicPartition(topic, number), not {given!r}")
    return TopicPartition(topic, number)


def partitions_of(given: Iterable[object]) -> list[TopicPartition]:
    """Return the partitions; TypeError for a single one, or for what is none."""
    if isinstance(given, str | TopicPartition):
        raise TypeError(f"a list of partitions is needed, not {given!r}; write [TopicPartition(…)]")
    return [partition_of(one) for one in given]


def check_time(name: str, given: float | None) -> None:
    """Raise TypeError for a time that is no number; None is none."""
    if isinstance(given, bool) or not isinstance(given, int | float | None):
        raise TypeError(f"{name}={given!r} is not a number")


def check_record(
    topic: object, partition: int | None, timestamp_ms: int | None, headers: object = ()
) -> None:
    """Raise TypeError or ValueError for what no record can have beside its key and value."""
    topic_name(topic)
    if partition is not None:
        check_number("partition", partition, PARTITIONS)
    if timestamp_ms is not None:
        check_number("timestamp_ms", timestamp_ms, TIMESTAMPS_MS)
    if isinstance(headers, str | bytes | Mapping) or not isinstance(headers, Iterable):
        raise TypeError(f"headers are a list of (str, bytes or None), not {headers!r}")
    for header in headers:
        pair = header if isinstance(header, tuple | list) and len(header) == 2 else (None, None)
        name, content = pair
        if not isinstance(name, str) or not isinstance(content, bytes | None):
            raise TypeError(f"a header is (str, bytes or None), not {header!r}")
