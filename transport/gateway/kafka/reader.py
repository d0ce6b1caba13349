"""Plain values out of a frame, bounds judged before anything is made of a length."""

from __future__ import annotations

from struct import Struct as Layout

ELEMENTS_MAX = 50_000
"""Of all arrays and tagged fields of one message together: an element costs memory that its byte on the
wire did not, and to read it, to ask for it and to answer it takes up to 10 µs of one turn."""
UVARINT_BYTES_MAX = 5
TAGGED_BYTES_MIN = 2
"""Of a tagged field: its tag, and the size of its value."""


class MalformedFrame(Exception):
    """A peer's bytes are no message of this protocol. Ends its connection, and nothing else."""


class Reader:
    """Reads one frame from ``position`` on; raises :class:`MalformedFrame`, and nothing else."""

    __slots__ = ("data", "elements_left", "position")

    def __init__(self, data: memoryview, position: int = 0) -> None:
        self.data = data
        self.position = position
        self.elements_left = ELEMENTS_MAX

    @property
    def left(self) -> int:
        """Bytes that have not been read."""
        return len(self.data) - self.position

    def take(self, size: int) -> memoryview:
        """Return the next ``size`` bytes, uncopied."""
        start = self.position
        end = start + size
        if size < 0 or end > len(self.data):
            raise MalformedFrame(f"{size} bytes announced, {len(self.data) - start} are there")
        self.position = end
        return self.data[start:end]

    def fixed(self, layout: Layout) -> tuple[int, ...]:
        """Return the values of fixed size that come next."""
        start = self.position
        self.position = end = start + layout.size
        if end > len(self.data):
            raise MalformedFrame(f"cut short at byte {len(self.data)}")
        return layout.unpack_from(self.data, start)

    def claim(self, count: int, bytes_min: int) -> None:
        """Judge an array's length: so many elements, each of at least ``bytes_min`` bytes."""
        if count * bytes_min > self.left:
            raise MalformedFrame(f"{count} elements announced, {self.left} bytes are there")
        self.elements_left -= count
        if self.elements_left < 0:
            raise MalformedFrame(f"more than {ELEMENTS_MAX} elements")

    def uvarint(self) -> int:
        """Return an unsigned varint of at most 32 bits."""
        value = shift = 0
        data, position = self.data, self.position
        if position < len(data) and data[position] < 0x80:
            self.position = position + 1
            return data[position]
        for byte in data[position : position + UVARINT_BYTES_MAX]:
            value |= (byte & 0x7F) << shift
            position += 1
            if byte < 0x80:
                self.position = position
                return value
            shift += 7
        raise MalformedFrame("a varint without an end")

    def text(self, size: int) -> str:
        """Return the next ``size`` bytes as text."""
        try:
            return str(self.take(size), "utf-8")
        except UnicodeDecodeError:
            raise MalformedFrame("a string that is not UTF-8") from None
