"""Bugs in listeners: what programs of other tongues are told, and in which order."""

from __future__ import annotations

from nodes.broker.kafka import produce
from nodes.broker.kafka.connection import Connection
from tests.simulation.mutations.registry import Patch, mutation

KAFKA_WRITERS = {"kafka_writers": 2}


@mutation("S62", victims="broker", clients=KAFKA_WRITERS)
def answered_as_they_come() -> list[Patch]:
    """A connection's requests are answered when they are done, whatever their order."""

    def answered(self: Connection) -> None:
        for exchange in [one for one in self._begun if one.is_done]:
            self._begun.remove(exchange)
            if exchange.frame is not None:
                self._send(exchange.frame)
        if self._has_next and not self._beginning:
            self.listener.hold_up(self)

    return [(Connection, "answered", answered)]


@mutation("S17", victims="broker", clients=KAFKA_WRITERS)
def refused_writes_told_as_done() -> list[Patch]:
    """A Kafka client is told that what was refused was written."""
    return [(produce, "foreign_code", lambda _code: 0)]
