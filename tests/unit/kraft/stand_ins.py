"""Stand-ins for what the metadata machine and the store work with."""

from __future__ import annotations

from collections.abc import Iterable

from nodes.core.controller.image import ClusterImage
from transport.kernel import Now
from transport.wire.ids import ControllerEpoch, MetadataPosition, MetadataVersion, TopicId
from transport.wire.messages.metadata import MetadataDelta, MetadataRecord, TopicRecord


def delta(epoch: int, version: int) -> MetadataDelta:
    """Return a delta that makes topic ``t<version>``."""
    topic = TopicRecord(f"t{version}", TopicId(version.to_bytes(16, "big")))
    return MetadataDelta(ControllerEpoch(epoch), MetadataVersion(version), (topic,))


class StandInMetadata:
    """An image, and which versions were spread to the brokers outside."""

    def __init__(self) -> None:
        self.image = ClusterImage()
        self.spread: list[int] = []

    def take(self, delta: MetadataDelta, now: Now) -> None:
        self.spread.append(int(delta.version))
        self.image.apply(delta)

    def follow(self, delta: MetadataDelta, now: Now) -> None:
        self.image.apply(delta)

    def install(
        self, position: MetadataPosition, records: Iterable[MetadataRecord], now: Now
    ) -> None:
        self.image.load(position, records)


class StandInReign:
    """A reign under one epoch; −1: none."""

    def __init__(self, epoch: int = -1) -> None:
        self.epoch = ControllerEpoch(epoch)
        self.applied: list[MetadataDelta] = []
        self.refused: list[MetadataDelta] = []
        self.registrations = 0

    def on_applied(self, delta: MetadataDelta, taken: bool, now: Now) -> None:
        (self.applied if taken else self.refused).append(delta)

    def on_registrations(self) -> None:
        self.registrations += 1
