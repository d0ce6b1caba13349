"""A simulated network with the manners of ZeroMQ over TCP.

A connection delivers in order, without gaps or duplicates, until it breaks; a netsplit holds back
what is sent, and lets it arrive late if it heals in time.  Each end learns of a break by itself: by
the other end's last packet, or by heartbeats that go unanswered, so a connection may be half open
for long.  What arrived before a break is read after it, by the same socket.  Published events may
be dropped, and a subscription takes its time to arrive.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from tests.simulation.foreign.login import Logins
from tests.simulation.streams import StreamNetwork
from tests.simulation.wires import QUEUED_MAX, Cut, Held, Link, Pipe, Way
from transport.driver.ports import LinkId, Origin
from transport.sockets.options import (
    HEARTBEAT_MS,
    HEARTBEAT_TIMEOUT_MS,
    RECONNECT_MAX_MS,
    RECONNECT_MS,
)
from transport.wire.codec import Envelope

if TYPE_CHECKING:
    from tests.simulation.process import SimulatedProcess
    from tests.simulation.world import World

USUAL_DELAY_US = (80, 400)
RESET_MAX_US = 1_000_000
"""A host that is back answers old connections with a reset, at their next packet."""
SYN_REPEAT_US = 1_000_000
"""A first packet that nobody answers is repeated after a second; then libzmq begins anew."""

Pair = tuple[str, str]


class Network:
    """Every connection of the world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.delay_us = USUAL_DELAY_US
        """Bounds of the one-way delay between two hosts that have no other."""
        self.slow: dict[Pair, tuple[int, int]] = {}
        """Directed pairs of hosts with bounds of their own."""
        self.event_loss = 0.0
        self.streams = StreamNetwork(world, self.is_cut)
        self._listeners: dict[str, SimulatedProcess] = {}
        self._links: dict[LinkId, Link] = {}
        self._routes: dict[bytes, Pipe] = {}
        self._pipes: dict[SimulatedProcess, dict[Pipe, None]] = {}
        """By the processes at both ends."""
        self._subscribers: dict[SimulatedProcess, dict[Pipe, None]] = {}
        self._waiting: dict[SimulatedProcess, list[Link]] = {}
        """Links whose handshake waits for a frozen process."""
        self._cut: dict[Pair, int] = {}
        """Directed pairs of hosts between which nothing passes, and by how many cuts."""
        self._dark: set[str] = set()
        """Hosts without power."""
        self._unreset: dict[str, list[Way]] = {}
        """What a host that lost its power knows nothing of any more."""
        self._numbers: dict[str, int] = {}
        """Of hosts, for their addresses."""
        self.logins = Logins()
        self.principals: dict[str, str] = {}
        """Host -> whom the keys of its connections prove; others prove nothing."""
        self._last_link = 0
        self._last_route = 0

    # What processes do

    def listen(self, process: SimulatedProcess, endpoints: Sequence[str]) -> None:
        """The process accepts connections at these endpoints; its host is up."""
        for endpoint in endpoints:
            self._listeners[endpoint] = process
        self._dark.discard(process.host)
        for way in self._unreset.pop(process.host, ()):
            self.world.after(self.world.between((500, RESET_MAX_US)), self._reset, way)

    def connect(
        self, owner: SimulatedProcess, endpoint: str, topics: Sequence[bytes] | None
    ) -> LinkId:
        """Open a link; it comes up later, if at all."""
        self._last_link += 1
        address = self.address_of(owner.host)
        link = Link(LinkId(self._last_link), owner, endpoint, topics, address)
        self._links[link.id] = link
        self._attempt_later(link, 2 * self._delay(owner.host, link.host))
        return link.id

    def address_of(self, host: str) -> str:
        """Return a host's IP address."""
        number = self._numbers.setdefault(host, len(self._numbers) + 1)
        return f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"

    def is_open(self, link: LinkId) -> bool:
        """Tell whether a link was not closed by its owner, nor with it."""
        return link in self._links

    def disconnect(self, link: LinkId) -> None:
        """Close a link for good; what was sent still leaves."""
        closed = self._links.pop(link, None)
        if closed is not None:
            closed.closed = True
            if closed.pipe is not None:
                self._close_end(closed.pipe.back)

    def send(self, link_id: LinkId, envelope: Envelope) -> bool:
        """Send over a DEALER; False: it is down or full."""
        link = self._links.get(link_id)
        if link is None or link.pipe is None or link.door is None:
            return False
        way = link.pipe.out
        if way.unread >= QUEUED_MAX:
            return False
        principal = self.principals.get(link.owner.host, "")
        origin = Origin(link.door, link.pipe.route, link.address, principal)
        self._carry(way, (origin, envelope))
        return True

    def reply(self, sender: SimulatedProcess, origin: Origin, envelope: Envelope) -> bool:
        """Send back over the route a request came by; False: it is gone or full."""
        pipe = self._routes.get(origin.route)
        if pipe is None or pipe.out.receiver is not sender or pipe.back.unread >= QUEUED_MAX:
            return False
        self._carry(pipe.back, (pipe.link.id, envelope))
        return True

    def publish(self, sender: SimulatedProcess, topic: bytes, envelope: Envelope) -> None:
        """Publish to every subscriber known now whose queue has room."""
        for pipe in self._subscribers.get(sender, ()):
            topics = pipe.link.topics
            if not pipe.subscribed or topics is None or pipe.back.unread >= QUEUED_MAX:
                continue
            if not topic.startswith(topics):
                continue
            if self.event_loss and self.world.random.random() < self.event_loss:
                continue
            self._carry(pipe.back, (pipe.link.id, envelope))

    # What befalls them

    def process_died(self, process: SimulatedProcess, *, powered: bool, orderly: bool) -> None:
        """Close its sockets: peers are told by its kernel, unless the power has gone as well.

        What an orderly end had queued still leaves; of a killed process any part is lost.
        """
        self._listeners = {name: who for name, who in self._listeners.items() if who is not process}
        for link in self._waiting.pop(process, ()):
            self._attempt_later(link, self._delay(link.owner.host, link.host))
        for link in [link for link in self._links.values() if link.owner is process]:
            link.closed = True
            del self._links[link.id]
        if not powered:
            self._dark.add(process.host)
        for pipe in list(self._pipes.get(process, ())):
            incoming, outgoing = pipe.ways_of(process)
            self._close_end(incoming, tell=powered, orderly=orderly)
            if not powered and outgoing.open:
                self._hush(outgoing)
                self._unreset.setdefault(process.host, []).append(outgoing)
        self._pipes.pop(process, None)
        self._subscribers.pop(process, None)

    def process_froze(self, process: SimulatedProcess) -> None:
        """Its I/O threads stand still too: nobody answers heartbeats."""
        for pipe in self._pipes.get(process, ()):
            self._hush(pipe.ways_of(process)[1])

    def process_thawed(self, process: SimulatedProcess) -> None:
        """Everything that waited goes on; what has been silent for too long is given up."""
        for pipe in list(self._pipes.get(process, ())):
            incoming, outgoing = pipe.ways_of(process)
            self._unhush(outgoing)
            if incoming.overdue and incoming.open:
                self._close_end(incoming)
        for link in self._waiting.pop(process, ()):
            self._attempt_later(link, self._delay(link.owner.host, link.host))

    def cut(self, pairs: Iterable[Pair]) -> Cut:
        """Let nothing pass from the first to the second of each pair, until this cut is healed."""
        made = Cut(tuple(pairs))
        for pair in made.pairs:
            self._cut[pair] = self._cut.get(pair, 0) + 1
            if self._cut[pair] == 1:
                for way in self._ways(pair):
                    way.hold(self.world.now_us)
                    self._hush(way)
        return made

    def heal(self, cut: Cut) -> None:
        """Undo one cut; where no other is, what was held back arrives at a later repetition."""
        pairs, cut.pairs = cut.pairs, ()
        for pair in pairs:
            self._cut[pair] -= 1
            if self._cut[pair] == 0:
                del self._cut[pair]
                for way in self._ways(pair):
                    self._release(way)

    def part(self, one: str, other: str) -> Cut:
        """Cut two hosts off from each other, both ways."""
        return self.cut([(one, other), (other, one)])

    def heal_all(self) -> None:
        """Undo every cut there is."""
        for pair in list(self._cut):
            self._cut[pair] = 1
            self.heal(Cut((pair,)))

    def are_together(self, hosts: Sequence[str]) -> bool:
        """Tell whether each of these reaches each other one."""
        return not any(one in hosts and other in hosts for one, other in self._cut)

    def is_cut(self, one: str, other: str) -> bool:
        """Tell whether packets from ``one`` to ``other`` do not arrive."""
        return (one, other) in self._cut

    # Packets

    def _delay(self, sender: str, receiver: str) -> int:
        bounds = self.delay_us
        if self.slow:
            bounds = self.slow.get((sender, receiver), bounds)
        return self.world.between(bounds)

    def _carry(self, way: Way, what: Held) -> None:
        way.unread += 1
        if way.held is not None:
            way.held.append(what)
            return
        self._launch(way, what, self._delay(way.sender.host, way.receiver.host))

    def _launch(self, way: Way, what: Held, delay_us: int) -> None:
        due_us = self.world.now_us + delay_us
        if what is None and not way.orderly:
            self.world.at(due_us, self._arrive, way, what)  # may overtake: what it does is lost
            return
        due_us = way.ready_us = max(due_us, way.ready_us)
        self.world.at(due_us, self._arrive, way, what)

    def _arrive(self, way: Way, what: Held) -> None:
        if not way.open:
            return
        if isinstance(what, tuple):
            origin, envelope = what
            way.receiver.deliver_message(origin, envelope, way)
        elif what is None:
            self._close_end(way, tell=False)
        else:
            way.unread -= 1
            what.subscribed = True

    def _release(self, way: Way) -> None:
        held, outage_us = way.release(self.world.now_us)
        if not way.sender.frozen:
            self._unhush(way)
        late_us = self.world.between((200, max(200, outage_us)))
        for what in held:
            self._launch(way, what, late_us)

    # Connections

    def _attempt_later(self, link: Link, delay_us: int) -> None:
        self.world.after(delay_us, self._attempt, link)

    def _attempt(self, link: Link) -> None:
        if link.closed or link.pipe is not None:
            return
        owner, peer = link.owner, self._listeners.get(link.endpoint)
        pairs = ((owner.host, link.host), (link.host, owner.host))
        if owner.frozen:
            self._waiting.setdefault(owner, []).append(link)
        elif link.host in self._dark or any(pair in self._cut for pair in pairs):
            self._attempt_later(link, SYN_REPEAT_US)
        elif peer is None:
            link.attempts += 1
            pause_ms = min(RECONNECT_MAX_MS, RECONNECT_MS * 2 ** min(link.attempts, 6))
            self._attempt_later(link, pause_ms * 1_000)
        elif peer.frozen:
            self._waiting.setdefault(peer, []).append(link)
        else:
            self._join(link, peer)

    def _join(self, link: Link, peer: SimulatedProcess) -> None:
        self._last_route += 1
        route = b"%d" % self._last_route
        pipe = link.pipe = Pipe(link, peer, route)
        link.attempts = 0
        for end in (link.owner, peer):
            self._pipes.setdefault(end, {})[pipe] = None
        if link.topics is None:
            self._routes[route] = pipe
        else:
            self._subscribers.setdefault(peer, {})[pipe] = None
            self._carry(pipe.out, pipe)
        link.owner.deliver_link(link.id, up=True)

    def _close_end(self, incoming: Way, *, tell: bool = True, orderly: bool = True) -> None:
        """The receiver of a way has done with its connection, and tells the other end."""
        if not incoming.open:
            return
        incoming.close()
        pipe = incoming.pipe
        outgoing = pipe.other(incoming)
        if incoming is pipe.back:
            link = pipe.link
            link.pipe = None
            if not link.closed:
                link.owner.deliver_link(link.id, up=False)
                self._attempt_later(link, RECONNECT_MS * 1_000)
        else:
            self._routes.pop(pipe.route, None)
            self._subscribers.get(incoming.receiver, {}).pop(pipe, None)
        if not outgoing.open:
            for end in (pipe.link.owner, pipe.peer):
                self._pipes.get(end, {}).pop(pipe, None)
        elif tell:
            outgoing.orderly = orderly
            self._carry(outgoing, None)

    def _reset(self, way: Way) -> None:
        if way.open and way.held is None:
            self._close_end(way, tell=False)

    # Silence

    def _hush(self, way: Way) -> None:
        """Nothing arrives by this way from now on: its receiver gives it up in time."""
        if way.silent or not way.open:
            return
        way.silent = True
        way.silence += 1
        patience_ms = HEARTBEAT_TIMEOUT_MS + self.world.between((0, HEARTBEAT_MS))
        self.world.after(patience_ms * 1_000, self._give_up, way, way.silence)

    def _unhush(self, way: Way) -> None:
        if way.silent and way.held is None and way.sender.alive:
            way.silent = way.overdue = False
            way.silence += 1

    def _give_up(self, way: Way, silence: int) -> None:
        if way.silence != silence or not way.open:
            return
        if way.receiver.frozen:
            way.overdue = True
        else:
            self._close_end(way)

    def _ways(self, pair: Pair) -> list[Way]:
        """Return the ways of open connections from one host to another."""
        found: list[Way] = []
        for process, pipes in self._pipes.items():
            if process.host != pair[0]:
                continue
            for pipe in pipes:
                outgoing = pipe.ways_of(process)[1]
                if outgoing.receiver.host == pair[1]:
                    found.append(outgoing)
        return found
