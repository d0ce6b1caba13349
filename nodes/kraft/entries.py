"""The entries of the second machine: a controller's delta, a mirrored one, and a step of a migration.

A delta is written as it is; the other two begin with their tags, with which no delta begins.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from nodes.core.migration import Step
from transport.wire.ids import MetadataVersion
from transport.wire.messages.metadata import MetadataDelta
from transport.wire.messages.migration import Stage

_TAGS = range(0xA0, 0xC0)
"""First bytes of MessagePack's short texts; a delta begins with a number."""


class Mirrored(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="mirrored"):
    """A delta that is written to the znodes too, by the members that apply it."""

    wall_ms: int
    """Stamped by the leader: the time of the znodes."""
    delta: MetadataDelta


_encode = msgspec.msgpack.Encoder().encode
_deltas = msgspec.msgpack.Decoder(MetadataDelta)
_others = msgspec.msgpack.Decoder(Step | Mirrored)


def encode(entry: MetadataDelta | Mirrored | Step) -> bytes:
    """Return the data of an entry."""
    return _encode(entry)


def writes_znodes(data: bytes) -> bool:
    """Tell whether an entry counts as a write to the tree, whatever comes of it."""
    return len(data) > 1 and data[1] in _TAGS


def decode(data: bytes) -> MetadataDelta | Mirrored | Step:
    """Read the data of an entry; raises msgspec.DecodeError."""
    return _others.decode(data) if writes_znodes(data) else _deltas.decode(data)


def deltas_in(log: Iterable[bytes]) -> Iterator[MetadataDelta]:
    """Yield the deltas of a log, or of the end of one, as it was taken; raises msgspec.DecodeError.

    What a controller had on its way when the image went back to the znodes changes nothing.
    """
    newest, in_log = MetadataVersion(0), True
    for data in log:
        entry = decode(data)
        if isinstance(entry, Step):
            goes = newest in (0, entry.version)  # else a commit came in between, and it is refused
            in_log = entry.to is not Stage.ROLLED_BACK or (in_log and not goes)
            continue
        delta = entry.delta if isinstance(entry, Mirrored) else entry
        if in_log and delta.version > newest:
            newest = delta.version
            yield delta
