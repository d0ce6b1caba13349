"""The records of a group shard: keys and values, and how they are written.

A key is a MessagePack array that begins with the kind of the record and the group; a value is a
struct, to which fields are only ever added at the end, with a default.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, TypeVar

import msgspec

from nodes.core.shard import ShardRecord, UnreadableRecord
from transport.wire.ids import LeaderEpoch, MemberEpoch, MemberId, Offset, TopicId

Partitions = dict[TopicId, tuple[int, ...]]


class Kind(IntEnum):
    """What a record is about: the first element of its key."""

    GROUP = 1
    MEMBER = 2
    TARGET = 3
    OWNED = 4
    OFFSET = 5
    CLASSIC = 6
    PENDING = 7


class _Value(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Something a record holds."""


class GroupValue(_Value, frozen=True, array_like=True, gc=False):
    """A group under its present epoch, and why it has this one."""

    epoch: int
    protocol: str
    """``consumer``, ``classic``, or empty: none yet."""
    assignor: str
    known: dict[TopicId, int]
    """How many partitions a topic had when the group began to read it."""
    created_ms: int
    empty_since_ms: int
    """Wall time; −1 while there are members."""
    changed_ms: int
    reason: str
    by_member: str = ""
    protocol_type: str = ""
    """Of the classic protocol."""


class MemberValue(_Value, frozen=True, array_like=True, gc=False):
    """A member of the consumer protocol, as it has described itself."""

    instance_id: str | None
    client_id: str
    topics: tuple[str, ...]
    assignor: str
    session_timeout_ms: int
    rebalance_timeout_ms: int
    client_host: str = ""
    pattern: str = ""
    """It reads the topics that this finds, too."""


class TargetValue(_Value, frozen=True, array_like=True, gc=False):
    """What a member is meant to own in the end."""

    partitions: Partitions


class OwnedValue(_Value, frozen=True, array_like=True, gc=False):
    """What a member owns now. ``assigned``: by topic and partition, the epoch it was got under."""

    epoch: MemberEpoch
    previous_epoch: MemberEpoch
    version: int
    """Grows with every change of ``assigned``: by it a member says which one it knows."""
    assigned: dict[TopicId, dict[int, int]]
    revoking: Partitions
    """To be let go; nobody else may own it before the member has said that it has."""
    away: bool = False
    """A static member that has left and will be back within its session timeout."""


class OffsetValue(_Value, frozen=True, array_like=True, gc=False):
    """A committed offset."""

    offset: Offset
    leader_epoch: LeaderEpoch
    metadata: str
    commit_ms: int


class PendingValue(_Value, frozen=True, array_like=True, gc=False):
    """An offset committed in a transaction that has not ended; the key names its producer."""

    producer_epoch: int
    value: OffsetValue


class ClassicMember(_Value, frozen=True, array_like=True, gc=False):
    """A member of a generation of the classic protocol."""

    member_id: MemberId
    instance_id: str | None
    client_id: str
    session_timeout_ms: int
    rebalance_timeout_ms: int
    protocols: tuple[tuple[str, bytes], ...]
    assignment: bytes
    client_host: str = ""


class ClassicValue(_Value, frozen=True, array_like=True, gc=False):
    """A generation of the classic protocol whose leader has divided."""

    protocol_type: str
    protocol: str
    leader: MemberId
    members: tuple[ClassicMember, ...]


_VALUES: dict[Kind, type[_Value]] = {
    Kind.GROUP: GroupValue,
    Kind.MEMBER: MemberValue,
    Kind.TARGET: TargetValue,
    Kind.OWNED: OwnedValue,
    Kind.OFFSET: OffsetValue,
    Kind.CLASSIC: ClassicValue,
    Kind.PENDING: PendingValue,
}
_encoder = msgspec.msgpack.Encoder()
_keys = msgspec.msgpack.Decoder(list[Any])
_decoders = {kind: msgspec.msgpack.Decoder(value) for kind, value in _VALUES.items()}

ValueT = TypeVar("ValueT", bound=_Value)
Value = _Value


def encode(kind: Kind, group_id: str, *rest: object, value: _Value | None) -> ShardRecord:
    """Return the record of a value; None removes it."""
    key = _encoder.encode([int(kind), group_id, *rest])
    return ShardRecord(key, None if value is None else _encoder.encode(value))


def decode(record: ShardRecord) -> tuple[Kind, str, list[Any], _Value | None]:
    """Return kind, group, the rest of the key, and the value. Raises UnreadableRecord."""
    try:
        number, group_id, *rest = _keys.decode(record.key)
        kind = Kind(number)
        value = None if record.value is None else _decoders[kind].decode(record.value)
    except (msgspec.MsgspecError, ValueError) as error:
        raise UnreadableRecord(f"key {record.key[:80]!r}: {error}") from None
    return kind, group_id, rest, value
