"""Answers to strangers come back to their listener; all others leave as they always did."""

from __future__ import annotations

from random import Random
from typing import Any

from nodes.runtime.strangers import Strangers
from transport.driver.ports import Door, Origin, Stranger
from transport.wire.codec import Envelope, Kind
from transport.wire.messages.cluster import HealthRequest

STRANGER = Stranger("10.0.0.1")
ENVELOPE = Envelope(Kind.RESPONSE, HealthRequest())


class FakePorts:
    """Ports of which only the wire's replies are of interest; a stranger's is an unknown route to it."""

    def __init__(self) -> None:
        self.replies: list[Origin] = []
        self.streams: Any = None
        self.pool: Any = None
        self.random = Random(1)

    @property
    def wire(self) -> Any:
        return self

    def reply(self, origin: Origin, envelope: Envelope) -> bool:
        self.replies.append(origin)
        return True

    def exit(self, status: int) -> None: ...


def test_a_strangers_answers_come_back_until_it_is_dismissed() -> None:
    ports = FakePorts()
    strangers = Strangers(ports)
    told: list[Envelope] = []

    def take(envelope: Envelope) -> bool:
        told.append(envelope)
        return len(told) < 2

    one, two = strangers.admit(STRANGER, take), strangers.admit(STRANGER, take)
    assert one != two
    assert one.door is Door.CLIENTS
    assert one.address == "10.0.0.1"
    native = Origin(Door.CLIENTS, b"\0abcd")
    assert strangers.wire.reply(native, ENVELOPE)
    assert strangers.wire.reply(one, ENVELOPE)
    assert not strangers.wire.reply(two, ENVELOPE)  # stuck, as its listener says
    assert told == [ENVELOPE, ENVELOPE]
    strangers.dismiss(one)
    assert not strangers.wire.reply(one, ENVELOPE)
    assert ports.replies == [native]
    assert len(told) == 2
