"""A program in the simulated world that asks nodes something, until it is done."""

from __future__ import annotations

from transport.driver.calls import Calls
from transport.driver.ports import LinkId, Origin, Ports
from transport.driver.timers import Timers
from transport.kernel import Now, earliest
from transport.wire.codec import Envelope


class Asker:
    """Connected to some endpoints from its start on; what it asks is a subclass's."""

    def __init__(self, endpoints: list[str]) -> None:
        self.calls = Calls()
        self.timers = Timers()
        self.links: list[LinkId] = []
        """One per endpoint, in the same order."""
        self.ports: Ports
        self._endpoints = endpoints

    def start(self, ports: Ports, now: Now) -> None:
        self.ports = ports
        self.calls.attach(ports.wire)
        self.links = [ports.wire.connect(endpoint) for endpoint in self._endpoints]

    def on_message(self, origin: Origin | LinkId, envelope: Envelope, now: Now) -> None:
        if not isinstance(origin, Origin):
            self.calls.on_message(origin, envelope, now)

    def on_link(self, link: LinkId, up: bool, now: Now) -> None:
        if not up:
            self.calls.on_link_down(link, now)

    def on_gap(self, gap_ms: int, now: Now) -> None:
        self.calls.delay(gap_ms)

    def end_turn(self, now: Now) -> None:
        self.timers.fire(now)
        self.calls.expire(now)

    def next_deadline_ms(self) -> int | None:
        return earliest(self.timers.next_deadline_ms(), self.calls.next_deadline_ms())

    def stop(self, now: Now) -> None:
        self.ports.exit(0)
