"""What the programs of all log clients share: calls, timers, the view of the cluster, the turns.

A program sees the world only through its ports, so the same client runs on real sockets and in the
simulator.  This module must not know what a client produces, consumes or administers.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from odradek.cluster.errands import Errands
from odradek.cluster.metadata import ClusterView
from transport.driver.calls import Calls
from transport.driver.ports import LinkId, Origin, Ports
from transport.driver.timers import Timers
from transport.kernel import Now, earliest
from transport.wire.codec import Envelope


class ClientProgram:
    """A program to be extended: a client's own work is in ``begin``, ``work`` and ``finish``."""

    def __init__(
        self, bootstrap: Sequence[str], *, client_id: str = "odradek", auto_create: bool = True
    ) -> None:
        self.calls = Calls()
        self.timers = Timers()
        self.view = ClusterView(
            bootstrap,
            self.calls,
            client_name=client_id,
            auto_create=auto_create,
            in_use=self.topics_in_use,
        )
        self.errands = Errands(self.view, self.calls, self.timers)
        self._ports: Ports | None = None

    @property
    def ports(self) -> Ports:
        """The ports; there only after start."""
        assert self._ports is not None, "the program has not been started"
        return self._ports

    # What a client extends

    def begin(self, now: Now) -> None:
        """Do what comes first; the view has begun to look for the cluster."""

    def work(self, now: Now) -> None:
        """Do what the inputs of this turn have made possible; last of every turn."""

    def finish(self, now: Now) -> None:
        """End: whatever somebody still waits for fails now."""

    def topics_in_use(self, since_ms: int) -> Collection[str]:
        """Return the topics that must be known, as they are used now or were since then."""
        return ()

    def own_deadline_ms(self) -> int | None:
        """Return when ``work`` wants a turn, apart from timers."""
        return None

    # Program

    def start(self, ports: Ports, now: Now) -> None:
        """Called once by the loop."""
        self._ports = ports
        self.calls.attach(ports.wire)
        self.errands.attach(ports)
        self.view.start(ports, now)
        self.begin(now)

    def on_message(self, origin: Origin | LinkId, envelope: Envelope, now: Now) -> None:
        """Take an answer or an event; whatever is neither is dropped."""
        if isinstance(origin, Origin):
            return
        if not self.calls.on_message(origin, envelope, now):
            self.view.on_message(origin, envelope, now)

    def on_link(self, link: LinkId, up: bool, now: Now) -> None:
        """Take a change of a link."""
        if not up:
            self.calls.on_link_down(link, now)
        self.view.on_link(link, up, now)

    def on_gap(self, gap_ms: int, now: Now) -> None:
        """The loop was away: its peers are not to blame."""
        self.calls.delay(gap_ms)
        self.view.delay(gap_ms)

    def end_turn(self, now: Now) -> None:
        """Expire, fire, refresh, then the client's own work."""
        self.calls.expire(now)
        self.timers.fire(now)
        self.view.end_turn(now)
        self.work(now)

    def next_deadline_ms(self) -> int | None:
        """Return when the program wants a turn."""
        return earliest(
            self.calls.next_deadline_ms(),
            self.timers.next_deadline_ms(),
            self.view.next_deadline_ms(),
            self.own_deadline_ms(),
        )

    def stop(self, now: Now) -> None:
        """Asked to end."""
        self.finish(now)
        self.errands.close(now)
        self.ports.exit(0)
