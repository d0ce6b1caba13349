"""Values of declared Kafka messages: drawn from a seed, and as plain data that can be compared."""

from __future__ import annotations

from random import Random
from typing import Any, get_args, get_origin

from transport.gateway.kafka.fields import Kind, Struct
from transport.gateway.kafka.schema import _Field, _fields

_BITS = {Kind.INT8: 8, Kind.INT16: 16, Kind.INT32: 32, Kind.INT64: 64}
_UNSIGNED_BITS = {Kind.UINT16: 16, Kind.UINT32: 32}


def draw(declared: type[Struct], version: int, flexible: bool, random: Random) -> Any:
    """Return a message with every field that ``version`` has."""
    values = {
        field.name: _draw_field(field, version, flexible, random)
        for field in _fields(declared)
        if field.is_in(version) and (flexible or field.tagged is None)
    }
    return declared(**values)


def _draw_field(field: _Field, version: int, flexible: bool, random: Random) -> Any:
    may_be_null = field.nullable and field.tagged is None and version >= field.versions.null
    if may_be_null and random.random() < 0.3:
        return None
    return _draw(field.kind, version, flexible, random)


def _draw(kind: Any, version: int, flexible: bool, random: Random) -> Any:
    if not isinstance(kind, Kind) and hasattr(kind, "__metadata__"):
        kind = get_args(kind)[1]
    if get_origin(kind) is tuple:
        count = random.choice((0, 1, 2))
        element = get_args(kind)[0]
        return tuple(_draw(element, version, flexible, random) for _ in range(count))
    if not isinstance(kind, Kind):
        return draw(kind, version, flexible, random)
    if kind in _BITS:
        return random.getrandbits(_BITS[kind]) - (1 << _BITS[kind] - 1)
    if kind in _UNSIGNED_BITS:
        return random.getrandbits(_UNSIGNED_BITS[kind])
    return _DRAW[kind](random)


_DRAW = {
    Kind.BOOL: lambda random: random.random() < 0.5,
    Kind.FLOAT64: lambda random: random.random(),
    Kind.UUID: lambda random: random.randbytes(16),
    Kind.TEXT: lambda random: random.choice(("", "a", "πλ", "x" * 200)),
    Kind.BYTES: lambda random: random.randbytes(random.choice((0, 1, 300))),
    Kind.RECORDS: lambda random: random.randbytes(random.choice((0, 1, 3_000))),
}


def plain(value: Any) -> Any:
    """Return a message as dicts, lists and plain values."""
    if isinstance(value, Struct):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, tuple):
        return [plain(one) for one in value]
    return bytes(value) if isinstance(value, memoryview) else value
