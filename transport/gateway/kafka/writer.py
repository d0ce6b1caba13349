"""Plain values into the pieces of a frame; what is large stays the buffer that it is."""

from __future__ import annotations

from collections.abc import Sequence

Buffer = bytes | bytearray | memoryview

COPIED_BYTES_MAX = 512
"""Below it a copy is cheaper than a piece of its own."""


class Writer:
    """Gathers a frame: small values into ``buffer``, record sets uncopied behind it."""

    __slots__ = ("buffer", "pieces")

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.pieces: list[Buffer] = []
        """What is complete, in order; ``buffer`` follows."""

    def uvarint(self, value: int) -> None:
        """Write an unsigned varint."""
        buffer = self.buffer
        while value > 0x7F:
            buffer.append(0x80 | value & 0x7F)
            value >>= 7
        buffer.append(value)

    def attach(self, data: Buffer) -> None:
        """Write bytes; large ones uncopied."""
        if len(data) <= COPIED_BYTES_MAX:
            self.buffer += data
            return
        if self.buffer:
            self.pieces.append(self.buffer)
            self.buffer = bytearray()
        self.pieces.append(data)

    def frame(self) -> Sequence[Buffer]:
        """Return the pieces of the frame, its size before them."""
        pieces = [*self.pieces, self.buffer] if self.buffer else self.pieces
        size = sum(map(len, pieces)).to_bytes(4, "big")
        if pieces and isinstance(pieces[0], bytearray):
            return (size + pieces[0], *pieces[1:])
        return (size, *pieces)
