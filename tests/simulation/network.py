"""A simulated network with ZeroMQ's manners.

A connection delivers in order, without duplicates, until it breaks; what was under way is lost
then, and a new connection has a new route.  Published events may be dropped.  A killed process's
connections break at once, those over a netsplit only after the heartbeat time-out.  A frozen
process accepts, and reads later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from transport.driver.ports import Door, LinkId, Origin
from transport.sockets.options import HEARTBEAT_TIMEOUT_MS, RECONNECT_MAX_MS, RECONNECT_MS
from transport.wire.codec import Envelope

if TYPE_CHECKING:
    from tests.simulation.process import SimulatedProcess
    from tests.simulation.world import World

EVENTS = "events"


@dataclass(slots=True)
class Connection:
    """One outgoing link of one process, with what is known at both ends."""

    link: LinkId
    owner: SimulatedProcess
    endpoint: str
    topics: tuple[bytes, ...] | None
    """Of a SUB; None for a DEALER."""
    peer: SimulatedProcess | None = None
    """Whom it is connected to, while it is."""
    route: bytes = b""
    attempts: int = 0
    closed: bool = False
    life: int = 0
    """Grows with each connection made or broken: what was sent in another life never arrives."""
    ready_us: dict[str, int] = field(default_factory=dict)
    """Per direction, when the newest message arrives: the next may not overtake it."""


class Network:
    """Every connection of the world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.delay_us = (80, 400)
        """Bounds of the one-way delay."""
        self.event_loss = 0.0
        self._listeners: dict[str, SimulatedProcess] = {}
        self._connections: dict[tuple[str, LinkId], Connection] = {}
        self._routes: dict[bytes, Connection] = {}
        self._cut: set[tuple[str, str]] = set()
        """Directed pairs of hosts between which nothing passes."""
        self._last_link = 0
        self._last_route = 0

    # What processes do

    def listen(self, process: SimulatedProcess, endpoints: Sequence[str]) -> None:
        """The process accepts connections at these endpoints."""
        for endpoint in endpoints:
            self._listeners[endpoint] = process

    def connect(
        self, owner: SimulatedProcess, endpoint: str, topics: Sequence[bytes] | None
    ) -> LinkId:
        """Open a link; it comes up later, if at all."""
        self._last_link += 1
        link = LinkId(self._last_link)
        wanted = None if topics is None else tuple(topics)
        connection = Connection(link, owner, endpoint, wanted)
        self._connections[(owner.host, link)] = connection
        self._attempt_later(connection, self._delay())
        return link

    def disconnect(self, owner: SimulatedProcess, link: LinkId) -> None:
        """Close a link for good."""
        connection = self._connections.pop((owner.host, link), None)
        if connection is not None:
            connection.closed = True
            self._break(connection)

    def send(self, owner: SimulatedProcess, link: LinkId, envelope: Envelope) -> bool:
        """Send over a DEALER."""
        connection = self._connections.get((owner.host, link))
        if connection is None or connection.peer is None or connection.topics is not None:
            return False
        door = Door(connection.endpoint.rpartition("/")[2])
        peer, origin = connection.peer, Origin(door, connection.route)
        self._carry(
            connection,
            owner.host,
            peer,
            lambda: peer.deliver_message(origin, envelope),
        )
        return True

    def reply(self, sender: SimulatedProcess, origin: Origin, envelope: Envelope) -> bool:
        """Send back over the route a request came by."""
        connection = self._routes.get(origin.route)
        if connection is None or connection.peer is not sender:
            return False
        owner, link = connection.owner, connection.link
        self._carry(
            connection,
            sender.host,
            owner,
            lambda: owner.deliver_message(link, envelope),
        )
        return True

    def publish(self, sender: SimulatedProcess, topic: bytes, envelope: Envelope) -> None:
        """Publish to every subscriber that is connected now."""
        for connection in list(self._connections.values()):
            if connection.peer is not sender or connection.topics is None:
                continue
            if not any(topic.startswith(wanted) for wanted in connection.topics):
                continue
            if self.event_loss and self.world.random.random() < self.event_loss:
                continue
            owner, link = connection.owner, connection.link
            self._carry(
                connection,
                sender.host,
                owner,
                lambda owner=owner, link=link: owner.deliver_message(link, envelope),
            )

    # What befalls them

    def process_died(self, process: SimulatedProcess) -> None:
        """The kernel closes the dead process's sockets: peers see it at once."""
        for endpoint in [name for name, who in self._listeners.items() if who is process]:
            del self._listeners[endpoint]
        for key, connection in list(self._connections.items()):
            if connection.owner is process:
                connection.closed = True
                self._break(connection)
                del self._connections[key]
            elif connection.peer is process:
                self._break(connection)
                self._attempt_later(connection, self._delay())

    def cut(self, one: str, other: str, *, both_ways: bool = True) -> None:
        """Let nothing pass from host ``one`` to ``other`` (and back)."""
        self._cut.add((one, other))
        if both_ways:
            self._cut.add((other, one))
        for connection in list(self._connections.values()):
            peer = connection.peer
            if peer is not None and {connection.owner.host, peer.host} == {one, other}:
                self._notice_silence(connection, connection.life)

    def heal(self) -> None:
        """Let everything pass again."""
        self._cut.clear()

    def is_cut(self, one: str, other: str) -> bool:
        """Tell whether packets from ``one`` to ``other`` are lost."""
        return (one, other) in self._cut

    # Inside

    def _delay(self) -> int:
        return self.world.random.randint(*self.delay_us)

    def _carry(
        self, connection: Connection, sender: str, receiver: SimulatedProcess, arrive: object
    ) -> None:
        life = connection.life
        due_us = self.world.now_us + self._delay()
        due_us = max(due_us, connection.ready_us.get(sender, 0))
        connection.ready_us[sender] = due_us

        def happen() -> None:
            if connection.life == life and not self.is_cut(sender, receiver.host):
                arrive()  # type: ignore[operator]

        self.world.at(due_us, happen)

    def _attempt_later(self, connection: Connection, delay_us: int) -> None:
        self.world.after(delay_us, lambda: self._attempt(connection))

    def _attempt(self, connection: Connection) -> None:
        if connection.closed or connection.peer is not None or not connection.owner.alive:
            return
        peer = self._listeners.get(connection.endpoint)
        here = connection.owner.host
        if peer is None or self.is_cut(here, peer.host) or self.is_cut(peer.host, here):
            connection.attempts += 1
            pause_ms = min(RECONNECT_MAX_MS, RECONNECT_MS * 2 ** min(connection.attempts, 6))
            self._attempt_later(connection, pause_ms * 1_000)
            return
        self._last_route += 1
        connection.attempts = 0
        connection.peer = peer
        connection.life += 1
        connection.ready_us = {}
        connection.route = b"%d" % self._last_route
        self._routes[connection.route] = connection
        connection.owner.deliver_link(connection.link, up=True)

    def _break(self, connection: Connection) -> None:
        if connection.peer is None:
            return
        self._routes.pop(connection.route, None)
        connection.peer = None
        connection.life += 1
        if not connection.closed:
            connection.owner.deliver_link(connection.link, up=False)

    def _notice_silence(self, connection: Connection, life: int) -> None:
        """Heartbeats over a cut connection go unanswered: both ends give it up, and try again."""

        def give_up() -> None:
            if connection.life != life or connection.peer is None:
                return
            here, there = connection.owner.host, connection.peer.host
            if self.is_cut(here, there) or self.is_cut(there, here):
                self._break(connection)
                self._attempt_later(connection, RECONNECT_MS * 1_000)

        self.world.after(HEARTBEAT_TIMEOUT_MS * 1_000, give_up)
