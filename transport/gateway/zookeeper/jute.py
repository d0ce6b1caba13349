"""Jute's primitives. A string or buffer is a length and bytes (−1: null), a vector a count and items."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")

_INT = struct.Struct(">i")
_LONG = struct.Struct(">q")


class MalformedJute(Exception):
    """Bytes that are no record of this protocol: says what is wrong with them."""


class JuteReader:
    """Reads one record after the other out of a frame."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        """How many bytes are not read yet."""
        return len(self._data) - self._at

    def int32(self) -> int:
        """Read an ``int``."""
        value: int = _INT.unpack_from(self._data, self._skip(4))[0]
        return value

    def int64(self) -> int:
        """Read a ``long``."""
        value: int = _LONG.unpack_from(self._data, self._skip(8))[0]
        return value

    def boolean(self) -> bool:
        """Read a ``boolean``: one byte."""
        return self._data[self._skip(1)] != 0

    def buffer(self) -> bytes | None:
        """Read a ``buffer``; None: it was null."""
        size = self.int32()
        if size == -1:
            return None
        if size < 0:
            raise MalformedJute(f"a length of {size}")
        begin = self._skip(size)
        return self._data[begin : begin + size]

    def string(self) -> str:
        """Read a ``ustring``; null is empty."""
        data = self.buffer()
        try:
            return (data or b"").decode()
        except UnicodeDecodeError:
            raise MalformedJute("a string that is not UTF-8") from None

    def vector(self, item: Callable[[], T], item_bytes_min: int) -> list[T]:
        """Read a ``vector`` of what ``item`` reads, each of so many bytes at least; null is empty."""
        count = self.int32()
        if count < -1 or count * item_bytes_min > self.left:
            raise MalformedJute(f"a vector of {count}")
        return [item() for _ in range(count)]

    def _skip(self, size: int) -> int:
        begin = self._at
        if size > len(self._data) - begin:
            raise MalformedJute("a record is cut short")
        self._at = begin + size
        return begin


def int32(value: int) -> bytes:
    """Write an ``int``."""
    return _INT.pack(value)


def int64(value: int) -> bytes:
    """Write a ``long``."""
    return _LONG.pack(value)


def buffer(data: bytes | None) -> bytes:
    """Write a ``buffer``."""
    return _INT.pack(-1) if data is None else _INT.pack(len(data)) + data


def string(text: str) -> bytes:
    """Write a ``ustring``."""
    return buffer(text.encode())


def vector(items: Iterable[bytes]) -> bytes:
    """Write a ``vector`` of items that are written already."""
    written = list(items)
    return _INT.pack(len(written)) + b"".join(written)


def framed(*parts: bytes) -> bytes:
    """Return a frame of these parts."""
    body = b"".join(parts)
    return _INT.pack(len(body)) + body
