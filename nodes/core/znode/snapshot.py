"""The state of the znode machine as bytes and back; knows the layout, not where it is kept.

One MessagePack array: format number, zxid, sessions, znodes by path.  Children and ephemerals are
not written: they follow from the znodes.  Integrity (checksum, whole file) is the storage's part.
"""

from __future__ import annotations

import msgspec

from nodes.core.znode.session import Session
from nodes.core.znode.tree import Znode
from transport.wire.ids import Zxid

FORMAT = 1


class Picture(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Everything that is replicated, at one zxid."""

    format: int
    zxid: Zxid
    sessions: tuple[Session, ...]
    znodes: list[tuple[str, Znode]]


_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Picture)


class BadSnapshot(Exception):
    """The bytes are no snapshot, or one of a format this code does not know."""


def to_bytes(picture: Picture) -> bytes:
    """Return the bytes of ``picture``."""
    return _encode(picture)


def from_bytes(data: bytes) -> Picture:
    """Read a snapshot; raises :class:`BadSnapshot`."""
    try:
        picture = _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadSnapshot(f"not a snapshot of the znode tree: {error}") from None
    if picture.format != FORMAT:
        raise BadSnapshot(f"snapshot format {picture.format}; this version reads {FORMAT}")
    return picture
