"""S56: while a cluster moves to mode kraft, the znodes hold the image that the log holds, at every entry."""

from __future__ import annotations

from nodes.kraft import mirror
from nodes.kraft.machine import MetadataMachine
from tests.simulation.checkers.violation import require
from transport.wire.ids import MetadataPosition
from transport.wire.messages.migration import Stage

NUMBER = "S56"


class Mirrors:
    """Compares on each member, where its image is another one than at the last look."""

    def __init__(self) -> None:
        self._looked: dict[str, tuple[MetadataMachine, MetadataPosition]] = {}

    def look(self, host: str, machine: MetadataMachine) -> None:
        """Take a member of the quorum after a turn."""
        image = machine._metadata.image
        if machine.migration.stage is not Stage.MIRRORING:
            return
        if self._looked.get(host) == (machine, image.position):
            return
        self._looked[host] = (machine, image.position)
        held = machine.held_in_znodes()
        story = f"on {host} the znodes hold version {held.position}, the log {image.position}"
        require(held.position == image.position, NUMBER, story)
        same = mirror.digest(held.records) == mirror.digest(tuple(image.records()))
        require(same, NUMBER, f"on {host} the znodes hold another image {image.position}")
