"""S26: an ISR is a part of the replicas and holds the leader, and none is decided upon that has a dead
broker in it while one of it lives.

Who died must come back into it by catching up: a registration that has ended proves nothing.  Of a
death with many partitions the controller tells in pieces, so a dead broker stays in an ISR that it
was in until the turn of that partition has come; once nothing is left to decide it is in none.
"""

from __future__ import annotations

from collections.abc import Iterable

from nodes.core.controller.core import ControllerCore
from nodes.core.controller.events import LiveBrokers
from nodes.core.controller.image import ClusterImage
from tests.simulation.checkers.violation import require
from transport.wire.ids import NodeId
from transport.wire.messages.metadata import (
    BrokerRecord,
    MetadataDelta,
    PartitionRecord,
    RemoveBrokerRecord,
)

NUMBER = "S26"


class SoundIsr:
    """Who was alive when each ISR was decided upon: goes through the deltas in their order."""

    def __init__(self) -> None:
        self._version = 0
        self._alive: set[NodeId] = set()

    def look(self, host: str, image: ClusterImage, told: Iterable[MetadataDelta]) -> None:
        """Take a broker's image, which is another than before, and the last deltas it has applied."""
        for partitions in image.partitions.values():
            for record in partitions.values():
                story = f"by {host}'s image {image.position} {record}"
                require(set(record.isr) <= set(record.replicas), NUMBER, story)
                require(record.leader < 0 or record.leader in record.isr, NUMBER, story)
        for delta in told:
            if delta.version == self._version + 1:
                self._go_on(host, delta)
        if image.position.version > self._version:
            self._version = image.position.version
            self._alive = {broker.id for broker in image.live_brokers()}

    def _go_on(self, host: str, delta: MetadataDelta) -> None:
        """A delta holds the last word of each thing, in the order of the first.

        So what stands before the return of brokers may have been decided after it: where none of the ISR
        has lived all along.  It is then judged by the whole.
        """
        self._version = delta.version
        brokers = (BrokerRecord, RemoveBrokerRecord)
        stayed = self._alive - {one.id for one in delta.records if isinstance(one, brokers)}
        doubtful: list[PartitionRecord] = []
        for record in delta.records:
            if isinstance(record, BrokerRecord):
                (self._alive.add if record.alive else self._alive.discard)(record.id)
            elif isinstance(record, RemoveBrokerRecord):
                self._alive.discard(record.id)
            elif isinstance(record, PartitionRecord) and not _is_sound(record, self._alive):
                require(stayed.isdisjoint(record.isr), NUMBER, _story(host, delta, record))
                doubtful.append(record)
        for record in doubtful:
            check_alive(record, self._alive, _story(host, delta, record))


def _story(host: str, delta: MetadataDelta, record: PartitionRecord) -> str:
    return f"decided at version {delta.version}, as {host} has it, {record}"


def _is_sound(record: PartitionRecord, alive: set[NodeId]) -> bool:
    dead = [node for node in record.isr if node not in alive]
    return not dead or len(dead) == len(record.isr)


def check_alive(record: PartitionRecord, alive: set[NodeId], story: str) -> None:
    """Judge one record by who is alive."""
    dead = [node for node in record.isr if node not in alive]
    require(_is_sound(record, alive), NUMBER, story, f"dead: {dead}")


def check_decided(host: str, controller: ControllerCore | None) -> None:
    """Judge what a controller has decided, once nothing is left of any death."""
    if controller is None or not controller._taken_over or controller._in_flight is not None:
        return
    if LiveBrokers not in controller._unasked:
        check_settled(host, controller._image)


def check_settled(host: str, image: ClusterImage) -> None:
    """Judge every partition of an image after which nothing is left to decide."""
    alive = {broker.id for broker in image.live_brokers()}
    for partitions in image.partitions.values():
        for record in partitions.values():
            check_alive(
                record,
                alive,
                f"by {host}'s image {image.position}, with nothing left to decide, {record}",
            )
