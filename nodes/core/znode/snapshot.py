"""The state of the znode machine as bytes and back; knows the layout, not where it is kept.

One MessagePack array: format number, zxid, sessions, znodes by path.  Children and ephemerals are
not written: they follow from the znodes.  Integrity (checksum, whole file) is the storage's part.

A large tree is written in slices, between which its server does other things: znodes are immutable
values, so a copy of their table stays as it was.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import msgspec

from nodes.core.znode.session import Session
from nodes.core.znode.tree import Znode
from transport.wire.ids import Zxid

FORMAT = 2
"""1 had no reserved znodes, no ACLs that were judged, no containers and no TTLs; it is read, too."""
FORMATS_READ = (1, 2)
SLICE_ZNODES = 200
SLICE_BYTES = 256 * 1024
"""A slice ends at either: a blocking write, which takes several turns, waits for one in each."""


class Picture(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Everything that is replicated, at one zxid."""

    format: int
    zxid: Zxid
    sessions: tuple[Session, ...]
    znodes: list[tuple[str, Znode]]


_ARRAY = struct.Struct(">BI")
_ARRAY_32 = 0xDD
"""MessagePack's array with its length in 32 bits."""
_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Picture)


class BadSnapshot(Exception):
    """The bytes are no snapshot, or one of a format this code does not know."""


class Encoding:
    """A picture on its way into bytes. ``znodes`` is the caller's copy of the table."""

    def __init__(self, picture: Picture, znodes: dict[str, Znode]) -> None:
        """Encode all of ``picture`` but its ``znodes``, which are given as a table."""
        assert not picture.znodes, "they are given apart"
        self._parts: list[bytes] = []
        self._slices = self._encode(picture, znodes)

    def step(self) -> bool:
        """Encode one slice; False when there was none left."""
        return next(self._slices, False)

    def finish(self) -> bytes:
        """Encode what is left, and return all bytes."""
        while self.step():
            pass
        return b"".join(self._parts)

    def _encode(self, picture: Picture, znodes: dict[str, Znode]) -> Iterator[bool]:
        fields = picture.__struct_fields__
        head: dict[str, bytes] = {name: _encode(getattr(picture, name)) for name in fields}
        head["znodes"] = _ARRAY.pack(_ARRAY_32, len(znodes))
        return self._write(head, znodes)

    def _write(self, head: dict[str, bytes], znodes: dict[str, Znode]) -> Iterator[bool]:
        self._parts.append(bytes((0x90 | len(head),)))
        for name, encoded in head.items():
            self._parts.append(encoded)
            if name == "znodes":
                yield from self._write_znodes(znodes)

    def _write_znodes(self, znodes: dict[str, Znode]) -> Iterator[bool]:
        part: list[bytes] = []
        left_bytes = SLICE_BYTES
        for item in znodes.items():
            part.append(_encode(item))
            left_bytes -= len(part[-1])
            if left_bytes <= 0 or len(part) == SLICE_ZNODES:
                self._parts.append(b"".join(part))
                part.clear()
                left_bytes = SLICE_BYTES
                yield True
        self._parts.append(b"".join(part))


def from_bytes(data: bytes | memoryview) -> Picture:
    """Read a snapshot; raises :class:`BadSnapshot`."""
    try:
        picture = _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadSnapshot(f"not a snapshot of the znode tree: {error}") from None
    if picture.format not in FORMATS_READ:
        raise BadSnapshot(f"snapshot format {picture.format}; this version reads {FORMATS_READ}")
    return picture
