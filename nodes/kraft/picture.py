"""The second machine's part of a snapshot: the image's records, and the stage of a migration."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import msgspec

from nodes.core.controller.image import ClusterImage
from nodes.core.migration import Migration
from nodes.core.znode.snapshot import BadSnapshot
from transport.wire.ids import ControllerEpoch, MetadataVersion
from transport.wire.messages.metadata import MetadataRecord

FORMAT = 1
SLICE_RECORDS = 1_000
"""Encoded in a millisecond or two."""

_ARRAY = struct.Struct(">BI")
_ARRAY_32 = 0xDD
"""MessagePack's array with its length in 32 bits."""
_encode = msgspec.msgpack.Encoder().encode


class Picture(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The image at one version, as it is kept in snapshots."""

    format: int
    controller_epoch: ControllerEpoch
    version: MetadataVersion
    records: list[MetadataRecord]
    migration: Migration = Migration()


_pictures = msgspec.msgpack.Decoder(Picture)


def picture_of(data: bytes) -> Picture:
    """Read one; raises BadSnapshot when it is none."""
    try:
        picture = _pictures.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadSnapshot(
            f"not a snapshot of the metadata, or a later version's: {error}"
        ) from None
    if picture.format != FORMAT:
        raise BadSnapshot(f"metadata format {picture.format}; this version reads {FORMAT}")
    return picture


class ImageSlices:
    """An image on its way into bytes: its records are immutable, so it stays as it was."""

    def __init__(self, image: ClusterImage, migration: Migration) -> None:
        records = list(image.records())
        fields = (FORMAT, *image.position)
        self._last = [] if migration == Migration() else [_encode(migration)]
        self._parts = [
            bytes((0x90 | len(fields) + 1 + len(self._last),)),
            *map(_encode, fields),
            _ARRAY.pack(_ARRAY_32, len(records)),
        ]
        self._slices = self._write(records)

    def step(self) -> bool:
        """Encode one slice; False when there was none left."""
        return next(self._slices, False)

    def finish(self) -> bytes:
        """Encode what is left, and return all bytes."""
        while self.step():
            pass
        return b"".join((*self._parts, *self._last))

    def _write(self, records: list[MetadataRecord]) -> Iterator[bool]:
        for start in range(0, len(records), SLICE_RECORDS):
            self._parts += [_encode(record) for record in records[start : start + SLICE_RECORDS]]
            yield True
