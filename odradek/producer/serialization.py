"""What a program sends made into bytes, and what is none refused. Pure.

Runs on the program's own thread: a serializer may be slow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from odradek.errors import SerializationError
from transport.wire.records import Parts

Serializer = Callable[[Any], bytes]

CHUNK_RECORDS = 2048
"""Of ``send_many``, handed to the loop at once: some 200 KiB, so the first leave while the rest come."""
PAIR = 2
_ONLY_BYTES = frozenset((bytes,))
_ONLY_NONE = frozenset((type(None),))
_BYTES_OR_NONE = _ONLY_BYTES | _ONLY_NONE


class Serializers(NamedTuple):
    """What one producer makes keys and values with; None: they are bytes already."""

    of_key: Serializer | None = None
    of_value: Serializer | None = None

    @property
    def are_none(self) -> bool:
        """Keys and values are bytes already."""
        return self.of_key is None and self.of_value is None

    def one(self, key: Any, value: Any) -> tuple[Any, Any]:
        """Return the key and the value of one record, made; SerializationError."""
        return _made("key", key, self.of_key), _made("value", value, self.of_value)


def chunks_of(pairs: Iterable[tuple[Any, Any]]) -> Iterator[Sequence[tuple[Any, Any]]]:
    """Return the pairs, some at a time."""
    if isinstance(pairs, list):
        for start in range(0, len(pairs), CHUNK_RECORDS):
            yield pairs[start : start + CHUNK_RECORDS]
        return
    source = iter(pairs)
    while chunk := list(islice(source, CHUNK_RECORDS)):
        yield chunk


def columns_of(pairs: Sequence[tuple[Any, Any]]) -> tuple[Parts, Parts, int]:
    """Return keys, values, and the bytes of all; TypeError for what is not bytes."""
    keys: Parts
    values: Parts
    try:
        keys, values = zip(*pairs, strict=True)
    except (TypeError, ValueError):
        wrong = next(one for one in pairs if not isinstance(one, tuple | list) or len(one) != PAIR)
        raise TypeError(
            f"send_many takes pairs of key (or None) and value, not {wrong!r}"
        ) from None
    key_kinds, value_kinds = set(map(type, keys)), set(map(type, values))
    if not key_kinds | value_kinds <= _BYTES_OR_NONE:
        for key, value in pairs:
            check_bytes(key, value)
    return keys, values, _bytes_of(keys, key_kinds) + _bytes_of(values, value_kinds)


def check_bytes(key: object, value: object) -> None:
    """Raise TypeError for a key or value that is neither bytes nor None."""
    for name, given in (("key", key), ("value", value)):
        if given is not None and not isinstance(given, bytes):
            raise TypeError(
                f"a {name} must be bytes or None, not {type(given).__name__}; "
                f"encode it, or give the producer a {name}_serializer that returns bytes"
            )


def _bytes_of(parts: Parts, kinds: set[type]) -> int:
    if kinds == _ONLY_NONE:
        return 0
    if kinds == _ONLY_BYTES:
        return sum(map(len, parts))  # type: ignore[arg-type]
    return sum(len(part or b"") for part in parts)


def _made(what: str, given: Any, serializer: Serializer | None) -> Any:
    if given is None or serializer is None:
        return given
    try:
        return serializer(given)
    except Exception as error:
        kind = type(given).__name__
        text = f"the {what}_serializer failed for a {what} of type {kind}: {error!r}"
        raise SerializationError(text) from error
