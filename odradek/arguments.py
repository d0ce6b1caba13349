"""What people give to the methods of log clients: topics, partitions, offsets, times.

Told at the call, before anything is sent: what was given, and how to write it instead.  Pure.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import TypeVar

from odradek.records import Headers
from odradek.settings import INT_MAX, Bounds, check_number, check_text
from transport.wire.ids import TopicPartition

T = TypeVar("T")
KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")

OFFSETS = Bounds(0, (1 << 63) - 1)
"""Records are counted in signed 64-bit numbers."""
PARTITIONS = Bounds(0, INT_MAX)
BROKERS = Bounds(0, INT_MAX)
PRODUCERS = Bounds(0, (1 << 63) - 1)
LEADER_EPOCHS = Bounds(-1, INT_MAX)
"""−1: it is not known."""
FOREVER_S = 1e9
"""Thirty years; what waits for an event overflows at nine times that."""
TIMESTAMPS_MS = Bounds(0, (1 << 62) - 1)
"""Since the Unix epoch."""


def topic_name(given: object) -> str:
    """Return the name; TypeError for what is none, ValueError for what no message can carry."""
    if not isinstance(given, str):
        raise TypeError(f"a topic's name must be str, not {type(given).__name__}")
    check_text("topic", given)
    return given


def topic_names(given: Iterable[str]) -> list[str]:
    """Return the names; TypeError for one string, which would be read letter by letter."""
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise TypeError(f"a list of topic names is needed; write [{given!r}]")
    return [topic_name(name) for name in given]


def texts_of(name: str, given: Iterable[str]) -> list[str]:
    """Return the texts; TypeError for a single one, or for what is none; ValueError without UTF-8."""
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise TypeError(f"{name}: a list of texts is needed; write [{given!r}]")
    texts = list(given)
    for text in texts:
        check_text(name, text)
    return texts


def all_of(kind: type[T], given: Iterable[T]) -> list[T]:
    """Return them; TypeError for a single one, or where one is of another kind."""
    if isinstance(given, kind | str) or not isinstance(given, Iterable):
        raise TypeError(f"a list of {kind.__name__} is needed; write [{given!r}]")
    ones = list(given)
    for one in ones:
        if not isinstance(one, kind):
            raise TypeError(f"a list of {kind.__name__} is needed, not of {one!r}")
    return ones


def brokers_of(name: str, given: Iterable[int]) -> list[int]:
    """Return the ids of brokers; TypeError or ValueError for what is none."""
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise TypeError(f"{name}: a list of broker ids is needed, not {given!r}")
    ids = list(given)
    for one in ids:
        check_number(name, one, BROKERS)
    return ids


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
    """Return a partition for ``(topic, number)``; TypeError or ValueError for what is none."""
    topic, number = given if isinstance(given, tuple) and len(given) == 2 else (None, None)
    if not isinstance(topic, str) or not isinstance(number, int) or isinstance(number, bool):
        raise TypeError(f"a partition is TopicPartition(topic, number), not {given!r}")
    check_number("partition", number, PARTITIONS)
    return TopicPartition(topic_name(topic), number)


def partitions_of(given: Iterable[object]) -> list[TopicPartition]:
    """Return the partitions; TypeError for a single one, or for what is none."""
    if isinstance(given, str | TopicPartition) or not isinstance(given, Iterable):
        raise TypeError(f"a list of partitions is needed, not {given!r}; write [TopicPartition(…)]")
    return [partition_of(one) for one in given]


def mapping_of(given: Mapping[KeyT, ValueT]) -> Mapping[KeyT, ValueT]:
    """Return the mapping; TypeError for what is none."""
    if not isinstance(given, Mapping):
        raise TypeError(f"a dict is needed, not {given!r}")
    return given


def check_time(name: str, given: object) -> None:
    """Raise TypeError for a time that is no number, ValueError for one that is not comparable."""
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise TypeError(f"{name}={given!r} is not a number")
    if math.isnan(given):
        raise ValueError(f"{name}={given!r} is no time")


def wait_ms(name: str, given: float) -> int:
    """Return how long to wait, from 0 to INT_MAX; TypeError or ValueError for what is no time."""
    check_time(name, given)
    return max(0, int(min(given, INT_MAX)))


def wait_s(name: str, given: float | None) -> float | None:
    """Return how long to wait at most; None is for ever, and so is what no clock can count."""
    if given is None:
        return None
    check_time(name, given)
    return None if given > FOREVER_S else max(0.0, given)


def check_record(topic: object, partition: int | None, timestamp_ms: int | None) -> None:
    """Raise TypeError or ValueError for what no record can have beside key, value and headers."""
    topic_name(topic)
    if partition is not None:
        check_number("partition", partition, PARTITIONS)
    if timestamp_ms is not None:
        check_number("timestamp_ms", timestamp_ms, TIMESTAMPS_MS)


def headers_of(given: object) -> Headers:
    """Return headers of one's own, as they are encoded later; TypeError or ValueError for others."""
    if isinstance(given, str | bytes | Mapping) or not isinstance(given, Iterable):
        raise TypeError(f"headers are a list of (str, bytes or None), not {given!r}")
    return tuple(map(_header_of, given))


def _header_of(given: object) -> tuple[str, bytes | None]:
    name, content = given if isinstance(given, tuple | list) and len(given) == 2 else (None, None)
    if not isinstance(name, str) or not isinstance(content, bytes | None):
        raise TypeError(f"a header is (str, bytes or None), not {given!r}")
    check_text("a header's name", name)
    return name, content
