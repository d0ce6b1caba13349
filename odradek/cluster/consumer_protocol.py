"""What members of the classic protocol tell each other through their coordinator, as bytes. Pure.

They are Kafka's ConsumerProtocolSubscription and ConsumerProtocolAssignment (version 1), so that
members of Kafka's own clients may be in the same group.  What others have written is not trusted:
:class:`ValueError` for what cannot be read.
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct, error
from typing import NamedTuple

from transport.wire.ids import TopicPartition

_I16 = Struct(">h")
_I32 = Struct(">i")
_VERSION = 1
_ITEMS_MAX = 1_000_000


class Subscription(NamedTuple):
    """What a member reads, and what it owns (or, having given all up, has owned last)."""

    topics: frozenset[str]
    owned: frozenset[TopicPartition]


def encode_subscription(subscription: Subscription) -> bytes:
    """Return it as it travels."""
    topics = sorted(subscription.topics)
    return b"".join(
        (
            _I16.pack(_VERSION),
            _I32.pack(len(topics)),
            *map(_string, topics),
            _I32.pack(-1),
            _partitions(subscription.owned),
        )
    )


def decode_subscription(data: bytes) -> Subscription:
    """Read what a member has sent; ValueError when it is no subscription."""
    reader = _Reader(data)
    version = reader.i16()
    topics = frozenset(reader.string() for _ in range(reader.count()))
    reader.skip_bytes()
    owned = reader.partitions() if version >= 1 else frozenset()
    return Subscription(topics, owned)


def encode_assignment(partitions: Iterable[TopicPartition]) -> bytes:
    """Return a member's part as it travels."""
    return _I16.pack(_VERSION) + _partitions(partitions) + _I32.pack(-1)


def decode_assignment(data: bytes) -> frozenset[TopicPartition]:
    """Read a member's part; empty bytes are an empty part."""
    if not data:
        return frozenset()
    reader = _Reader(data)
    reader.i16()
    return reader.partitions()


def _string(text: str) -> bytes:
    data = text.encode()
    return _I16.pack(len(data)) + data


def _partitions(partitions: Iterable[TopicPartition]) -> bytes:
    by_topic: dict[str, list[int]] = {}
    for key in sorted(partitions):
        by_topic.setdefault(key.topic, []).append(key.partition)
    pieces = [_I32.pack(len(by_topic))]
    for topic, numbers in by_topic.items():
        pieces += [_string(topic), _I32.pack(len(numbers)), *map(_I32.pack, numbers)]
    return b"".join(pieces)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def _unpack(self, struct: Struct) -> int:
        try:
            (number,) = struct.unpack_from(self._data, self._at)
        except error:
            raise ValueError("cut short") from None
        self._at += struct.size
        return int(number)

    def i16(self) -> int:
        return self._unpack(_I16)

    def i32(self) -> int:
        return self._unpack(_I32)

    def count(self) -> int:
        number = self.i32()
        if not 0 <= number <= min(_ITEMS_MAX, len(self._data)):
            raise ValueError(f"{number} items")
        return number

    def string(self) -> str:
        size = self.i16()
        if size < 0 or self._at + size > len(self._data):
            raise ValueError(f"a string of {size} bytes")
        self._at += size
        return self._data[self._at - size : self._at].decode()

    def skip_bytes(self) -> None:
        size = self.i32()
        if size > len(self._data) - self._at:
            raise ValueError(f"{size} bytes of user data")
        self._at += max(0, size)

    def partitions(self) -> frozenset[TopicPartition]:
        found: list[TopicPartition] = []
        for _ in range(self.count()):
            topic = self.string()
            found += [TopicPartition(topic, self.i32()) for _ in range(self.count())]
        return frozenset(found)
