"""The cluster image as the second state machine of the quorum's log.

An entry is a delta as the controller committed it; its snapshot is the image's records.  Whether a
delta counts is judged when it is applied, by every member alike: it must be the next version, and of
the leader in whose term it was appended.  So nothing of a deposed controller can come in between.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Protocol

import msgspec

from nodes.broker.metadata import Metadata
from nodes.broker.znodes import BROKER_IDS
from nodes.core.controller.image import ClusterImage
from nodes.core.znode.snapshot import BadSnapshot
from nodes.core.znode.watch import TreeChange
from transport.kernel import Now
from transport.wire.ids import ControllerEpoch, MetadataPosition, MetadataVersion, Term
from transport.wire.messages.metadata import MetadataDelta, MetadataRecord

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


_deltas = msgspec.msgpack.Decoder(MetadataDelta)
_pictures = msgspec.msgpack.Decoder(Picture)


class ImageSlices:
    """An image on its way into bytes: its records are immutable, so it stays as it was."""

    def __init__(self, image: ClusterImage) -> None:
        records = list(image.records())
        fields = (FORMAT, *image.position)
        self._parts = [
            bytes((0x90 | len(Picture.__struct_fields__),)),
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
        return b"".join(self._parts)

    def _write(self, records: list[MetadataRecord]) -> Iterator[bool]:
        for start in range(0, len(records), SLICE_RECORDS):
            self._parts += [_encode(record) for record in records[start : start + SLICE_RECORDS]]
            yield True


def encode_delta(delta: MetadataDelta) -> bytes:
    """Return a delta as the data of an entry."""
    return _encode(delta)


class Reigning(Protocol):
    """Who decides here, when this member's controller is the active one."""

    @property
    def epoch(self) -> ControllerEpoch:
        """Its controller epoch; −1: it is not active."""
        ...

    def on_applied(self, delta: MetadataDelta, taken: bool, now: Now) -> None:
        """A delta was applied here, or (``taken`` False) changes nothing."""
        ...

    def on_registrations(self) -> None:
        """Brokers have come or gone."""
        ...


class MetadataMachine:
    """Applies the quorum's metadata entries. A ``nodes.coordinator.machine.Machine``."""

    def __init__(self, metadata: Metadata, reigning: Reigning) -> None:
        self._metadata = metadata
        self._reigning = reigning
        self.figures = {"metadata_entries_refused": 0}

    def apply(self, data: bytes, term: Term, now: Now) -> None:
        """Take a delta, unless a controller wrote it that had already been overtaken."""
        try:
            delta = _deltas.decode(data)
        except msgspec.DecodeError:
            self.figures["metadata_entries_refused"] += 1
            return
        newest = self._metadata.image.position.version
        following = MetadataPosition(ControllerEpoch(term), MetadataVersion(newest + 1))
        taken = (delta.controller_epoch, delta.version) == following
        if not taken:
            self.figures["metadata_entries_refused"] += 1
        elif delta.controller_epoch == self._reigning.epoch:
            self._metadata.take(delta, now)
        else:
            self._metadata.follow(delta, now)
        self._reigning.on_applied(delta, taken, now)

    def begin_snapshot(self) -> ImageSlices:
        """Begin a snapshot of the image as it is now."""
        return ImageSlices(self._metadata.image)

    def restore(self, data: bytes, now: Now) -> None:
        """Become the image of a snapshot; raises BadSnapshot when it is none. Empty: none yet."""
        if not data:
            return
        try:
            picture = _pictures.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadSnapshot(f"not a snapshot of the metadata: {error}") from None
        if picture.format != FORMAT:
            raise BadSnapshot(f"metadata format {picture.format}; this version reads {FORMAT}")
        position = MetadataPosition(picture.controller_epoch, picture.version)
        self._metadata.install(position, picture.records, now)
        self._reigning.on_registrations()

    def on_changes(self, changes: Sequence[TreeChange]) -> None:
        """Note that brokers have come or gone."""
        if any(change.path.startswith(BROKER_IDS) for change in changes):
            self._reigning.on_registrations()
