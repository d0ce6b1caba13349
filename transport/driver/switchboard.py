"""The real side of the wire port: this program's sockets, polled together.

Decoding happens here: what is no message is answered where it can be, counted, and goes no further.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence, Set
from time import monotonic_ns

import zmq

from transport.driver.cause import CAUSE
from transport.driver.descriptors import connections_max
from transport.driver.meter import RequestMeter
from transport.driver.ports import Door, LinkId, Origin
from transport.driver.streams import StreamBoard
from transport.kernel import Now
from transport.sockets.curve import Gatekeeper, Guard, Keys
from transport.sockets.dealer import DealerSocket
from transport.sockets.poller import Poller, has_come
from transport.sockets.pubsub import PublisherSocket, SubscriberSocket
from transport.sockets.router import RouterSocket
from transport.wire.codec import Envelope, Kind, Malformed, decode, encode
from transport.wire.messages import Refusal

TURN_BYTES_MAX = 8 * 1024 * 1024
"""What one door may deliver in one turn, so that heartbeats and timers come on time."""
TURN_MESSAGES_MAX = 512
TURN_NS_MAX = 3_000_000
"""So long one door, or one link, may keep a turn: a few messages can be thousands of partitions', and
what goes through several loops waits for a turn of each."""
DELIVERED = (Door.PEERS, Door.CLIENTS)
"""What comes from peers before what comes from clients."""

Deliver = Callable[[Origin | LinkId, Envelope], None]
Link = DealerSocket | SubscriberSocket


class Switchboard:
    """Every socket of one program."""

    def __init__(
        self,
        doors: Mapping[Door, str],
        events: str | None,
        wake_fd: int,
        *,
        keys: Keys | None = None,
        guard: Guard | None = None,
    ) -> None:
        """``keys`` prove us where we connect, ``guard`` says who may connect to us."""
        self._keys = keys
        self._guard = guard
        self._gatekeeper: Gatekeeper | None = None
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._poller = Poller()
        self._wake_fd = wake_fd
        self._links: dict[LinkId, Link] = {}
        self._by_socket: dict[object, LinkId] = {}
        self._by_monitor: dict[object, LinkId] = {}
        self._monitors: set[object] = set()
        """Those of the doors, too."""
        self._last_link = 0
        self._routers: dict[Door, RouterSocket] = {}
        self._in_order: list[tuple[Door, RouterSocket]] = []
        self._publisher: PublisherSocket | None = None
        self._streams: StreamBoard | None = None
        self.figures: dict[str, int] = {}
        self.meter = RequestMeter()
        self._cause_prefix = secrets.token_hex(4)
        self._last_cause = 0
        self._readable: Set[object] = frozenset()
        self._unsettled: list[LinkId] = []
        self._poller.register_descriptor(wake_fd)
        try:
            if guard is not None:
                self._gatekeeper = Gatekeeper(self._context, guard)
                self._poller.register(self._gatekeeper.socket)
            for door in sorted(doors, key=lambda door: door.value):
                self._bind(door, doors[door])
            if events is not None:
                self._publisher = PublisherSocket(
                    self._context, events, connections_max=connections_max(), guard=guard
                )
                self._poller.register(self._publisher.monitor.socket)
                self._monitors.add(self._publisher.monitor.socket)
        except BaseException:
            self.close()
            raise

    def _bind(self, door: Door, endpoint: str) -> None:
        router = RouterSocket(
            self._context,
            endpoint,
            connections_max=connections_max(),
            guard=self._guard,
            domain=door.value,
        )
        self._routers[door] = router
        self._in_order = [(one, self._routers[one]) for one in DELIVERED if one in self._routers]
        self._poller.register(router.socket)
        self._poller.register(router.monitor.socket)
        self._monitors.add(router.monitor.socket)

    @property
    def endpoints(self) -> dict[str, str]:
        """Where this program listens, with the ports it was given."""
        bound = {door.value: router.endpoint for door, router in self._routers.items()}
        if self._publisher is not None:
            bound["events"] = self._publisher.endpoint
        return bound

    @property
    def routers(self) -> Mapping[Door, RouterSocket]:
        """The bound ROUTERs, to be looked at."""
        return self._routers

    @property
    def streams(self) -> StreamBoard:
        """The stream port; there is nothing of it until somebody asks for it."""
        if self._streams is None:
            self._streams = StreamBoard(self.figures)
            self._poller.register_descriptor(self._streams.fileno())
        return self._streams

    # The wire port

    def connect(self, endpoint: str) -> LinkId:
        """Open a DEALER."""
        return self._add(DealerSocket(self._context, endpoint, self._keys))

    def subscribe(self, endpoint: str, topics: Sequence[bytes]) -> LinkId:
        """Open a SUB."""
        return self._add(SubscriberSocket(self._context, endpoint, topics, self._keys))

    def _add(self, link: Link) -> LinkId:
        self._last_link += 1
        number = LinkId(self._last_link)
        self._links[number] = link
        self._by_socket[link.socket] = self._by_monitor[link.monitor.socket] = number
        self._poller.register(link.socket)
        self._poller.register(link.monitor.socket)
        self._monitors.add(link.monitor.socket)
        return number

    def disconnect(self, link: LinkId) -> None:
        """Close a link."""
        closed = self._links.pop(link, None)
        if closed is not None:
            del self._by_socket[closed.socket], self._by_monitor[closed.monitor.socket]
            self._poller.unregister(closed.socket)
            self._poller.unregister(closed.monitor.socket)
            self._monitors.discard(closed.monitor.socket)
            closed.close()

    def send(self, link: LinkId, envelope: Envelope) -> bool:
        """Send over a DEALER; False when it is down or full."""
        dealer = self._links.get(link)
        if not isinstance(dealer, DealerSocket):
            return False
        cause_id = envelope.cause_id or CAUSE.get()
        if not cause_id and envelope.kind == Kind.REQUEST:
            self._last_cause += 1
            cause_id = f"{self._cause_prefix}-{self._last_cause}"
        self._poller.touch(dealer.socket)
        return dealer.send(encode(envelope, dealer.received_bytes, cause_id))

    def reply(self, origin: Origin, envelope: Envelope) -> bool:
        """Answer over a ROUTER; False when the peer is gone or stuck."""
        router = self._routers[origin.door]
        self._poller.touch(router.socket)
        self.meter.answered(origin, envelope)
        return router.send(origin.route, encode(envelope), envelope.size_bytes())

    def publish(self, topic: bytes, envelope: Envelope) -> None:
        """Publish to whoever subscribes."""
        assert self._publisher is not None, "this program binds no PUB"
        self._publisher.send(topic, encode(envelope))

    # The loop's side

    def wait(self, sleep_ms: Callable[[], int]) -> None:
        """Sleep until something can be read, or for ``sleep_ms()``, asked when nothing can."""
        if self._streams is not None:
            self._streams.flush()
        if self._unsettled:
            self._readable = self._poller.wait(lambda: min(1, sleep_ms()))
        else:
            self._readable = self._poller.wait(sleep_ms)

    @property
    def woken(self) -> bool:
        """The descriptor by which other threads wake the loop has something to read."""
        return self._wake_fd in self._readable

    def link_changes(self) -> list[tuple[LinkId, bool]]:
        """Return the links that came up or went down, in order."""
        if not self._unsettled and self._monitors.isdisjoint(self._readable):
            return []
        for router in self._routers.values():
            if router.monitor.socket in self._readable:
                router.watch_connections()
                self._poller.touch(router.socket)
        if self._publisher is not None and self._publisher.monitor.socket in self._readable:
            self._publisher.watch_connections()
        changed = self._unsettled + self._having_news(self._by_monitor)
        self._unsettled = []
        changes: list[tuple[LinkId, bool]] = []
        for number in dict.fromkeys(changed):
            link = self._links.get(number)
            if link is not None:
                changes.extend((number, up) for up in link.changes())
                self._poller.touch(link.socket)
                self._poller.touch(link.monitor.socket)
                if isinstance(link, DealerSocket) and link.unsettled:
                    self._unsettled.append(number)
        return changes

    def deliver(self, take: Deliver) -> None:
        """Hand over what has arrived: links and peers first, clients second, all bounded."""
        if self._gatekeeper is not None and self._gatekeeper.socket in self._readable:
            self._gatekeeper.answer_all()
            self.figures["connections_turned_away"] = self._gatekeeper.turned_away
        for number in self._having_news(self._by_socket):
            self._drain_link(number, take)
        for door, router in self._in_order:
            if router.socket in self._readable:
                self._drain_door(door, router, take)

    def deliver_streams(self, now: Now) -> None:
        """Hand over what has come by streams."""
        if self._streams is not None:
            self._streams.deliver(now, signs=self._streams.fileno() in self._readable)

    def on_gap(self, gap_ms: int) -> None:
        """This loop was away for a while."""
        if self._streams is not None:
            self._streams.on_gap(gap_ms)

    def _having_news(self, links: Mapping[object, LinkId]) -> list[LinkId]:
        return sorted(links[one] for one in self._readable if one in links)

    def _drain_link(self, number: LinkId, take: Deliver) -> None:
        link = self._links.get(number)  # a message of another link may have closed it
        if link is None:
            return
        budget_bytes, until_ns = TURN_BYTES_MAX, monotonic_ns() + TURN_NS_MAX
        for _ in range(TURN_MESSAGES_MAX):
            frames = link.receive()
            if frames is None:
                return
            try:
                envelope = decode(frames)  # type: ignore[arg-type]
            except Malformed as fault:
                self._count_malformed(fault)
                continue
            take(number, envelope)
            budget_bytes -= envelope.size_bytes()
            if budget_bytes < 0 or monotonic_ns() >= until_ns:
                return
            if number not in self._links or not has_come(link.socket):
                return  # this one has closed it, or there are no more

    def _drain_door(self, door: Door, router: RouterSocket, take: Deliver) -> None:
        budget_bytes, until_ns = TURN_BYTES_MAX, monotonic_ns() + TURN_NS_MAX
        for _ in range(TURN_MESSAGES_MAX):
            arrived = router.receive()
            if arrived is None:
                return
            route, address, principal, frames = arrived
            origin = Origin(door, route, address, principal)
            try:
                envelope = decode(frames)  # type: ignore[arg-type]
            except Malformed as fault:
                self._refuse(origin, fault)
                continue
            router.credit(route, envelope.received_bytes)
            self.meter.arrived(origin, envelope)
            take(origin, envelope)
            budget_bytes -= envelope.size_bytes()
            if budget_bytes < 0 or monotonic_ns() >= until_ns or not has_come(router.socket):
                return

    def _refuse(self, origin: Origin, fault: Malformed) -> None:
        self._count_malformed(fault)
        if fault.correlation_id is not None:
            body = Refusal(fault.error, fault.text)
            answer = Envelope(Kind.REFUSAL, body, correlation_id=fault.correlation_id)
            self.reply(origin, answer)

    def _count_malformed(self, fault: Malformed) -> None:
        name = f"malformed_messages_{fault.error.name.lower()}"
        self.figures[name] = self.figures.get(name, 0) + 1

    def close(self) -> None:
        """Close every socket; what is queued has ``LINGER_MS`` to leave."""
        if self._streams is not None:
            self._streams.close_all()
        for link in self._links.values():
            link.close()
        for router in self._routers.values():
            router.close()
        if self._publisher is not None:
            self._publisher.close()
        if self._gatekeeper is not None:
            self._gatekeeper.close()
        self._context.term()
