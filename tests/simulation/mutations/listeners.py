"""Bugs in listeners: what programs of other tongues are told, and in which order."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from nodes.broker.kafka import produce
from nodes.broker.kafka.connection import Connection
from nodes.broker.kafka.doorkeeper import Doorkeeper
from nodes.broker.kafka.exchange import Exchange
from nodes.coordinator.zookeeper.connection import Connection as ZooKeeperConnection
from nodes.coordinator.zookeeper.connection import State
from nodes.coordinator.zookeeper.listener import Listener
from tests.simulation.mutations.registry import Patch, mutation
from transport.kernel import Now
from transport.wire.messages.produce import ACKS_LEADER, ProduceRequest

FOREIGNERS = {"foreigners": 2}
ZOOKEEPER_SETTERS = {"zookeeper_setters": 4}


@mutation("S68", clients={"lodgers": 1})
def removed_user_stays() -> list[Patch]:
    """A listener goes on to answer who has come in as a user that was removed since."""
    honest = Doorkeeper.end_turn

    def end_turn(self: Doorkeeper, now: Now) -> None:
        self._seen = self._context.image.user_changes
        honest(self, now)

    return [(Doorkeeper, "end_turn", end_turn)]


@mutation("S62", victims="broker", clients=FOREIGNERS)
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


@mutation("S17", victims="broker", clients=FOREIGNERS)
def refused_writes_told_as_done() -> list[Patch]:
    """A Kafka client is told that what was refused was written."""
    honest = produce._partition

    def told(*about: Any) -> Any:
        return replace(honest(*about), error_code=0)

    return [(produce, "_partition", told)]


@mutation("S18", victims="broker", clients=FOREIGNERS)
def acks_all_taken_for_one() -> list[Patch]:
    """A write of a Kafka client that waits for all replicas is handed over as one for its leader alone."""
    original = Exchange.ask

    def ask(self: Exchange, body: Any, then: Any, payload: Any = ()) -> None:
        if isinstance(body, ProduceRequest):
            body = replace(body, acks=ACKS_LEADER)
        original(self, body, then, payload)

    return [(Exchange, "ask", ask)]


@mutation("S13", victims="coordinator", clients=ZOOKEEPER_SETTERS)
def last_connection_not_shut_out() -> list[Patch]:
    """A session is served while what its last connection has sent is still on its way to the log."""

    def take_over(self: ZooKeeperConnection, now: Now) -> None:
        if self.state is State.TAKING_OVER:
            self._serve()

    return [
        (ZooKeeperConnection, "take_over", take_over),
        (Listener, "on_applied", lambda *_: None),
    ]
