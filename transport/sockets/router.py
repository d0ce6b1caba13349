"""A ROUTER: the door at which requests arrive and by which their answers leave.

Memory is bounded in bytes, not messages, by credit: a client's every request says how many bytes
it has received on this connection so far, and answers beyond ``UNREAD_BYTES_MAX`` are refused; so
are, while all connections together have ``UNREAD_TOTAL_MAX`` unread, those to whoever has its share.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import zmq

from transport.sockets.crowd import Crowd
from transport.sockets.curve import CLIENTS_DOMAIN, Guard, secure_door
from transport.sockets.options import (
    Buffer,
    bind,
    prepare,
    receive_first,
    receive_rest,
    send,
)

UNREAD_BYTES_MAX = 64 * 1024 * 1024
"""Answers sent to one connection that it has not yet said to have read."""
UNREAD_TOTAL_MAX = 512 * 1024 * 1024
"""The same of all connections of one door, but for ``SHARE_BYTES`` of each."""
SHARE_BYTES = 1024 * 1024
"""Whoever has no more unread than this is answered whatever others do."""
ROUTES_MAX = 16_384
"""Connections that are remembered; the one silent for longest is forgotten."""


@dataclass(slots=True)
class _Peer:
    """A connection: where it comes from, and its credit."""

    address: str
    descriptor: int
    principal: str
    """Whom its keys prove it to be; empty where nothing needs to be proved."""
    sent_bytes: int = 0
    received_bytes: int = 0

    @property
    def unread_bytes(self) -> int:
        """What it was sent and has not said to have received."""
        return self.sent_bytes - self.received_bytes


class RouterSocket:
    """One bound ROUTER."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        endpoint: str,
        *,
        connections_max: int,
        guard: Guard | None = None,
        domain: str = CLIENTS_DOMAIN,
    ) -> None:
        """``guard`` says who may come in, asked under ``domain``; None: everybody."""
        self.socket: zmq.Socket[bytes] = context.socket(zmq.ROUTER)
        prepare(self.socket)
        self.socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        secure_door(self.socket, guard, domain)
        self.endpoint = bind(self.socket, endpoint)
        self._crowd = Crowd(self.socket, connections_max)
        self.monitor = self._crowd.monitor
        self._peers: OrderedDict[bytes, _Peer] = OrderedDict()
        self._routes: dict[int, bytes] = {}
        """Who has a descriptor: what is said of one that is closed is about that one."""
        self._unread_bytes = 0
        self.replies_refused = 0
        """Answers dropped: the peer was gone, stuck, or had not read what it has."""

    @property
    def connections(self) -> int:
        """How many are connected now, whoever they are."""
        return len(self._crowd)

    @property
    def connections_refused(self) -> int:
        """How many were turned away since the start."""
        return self._crowd.refused

    def unread_bytes(self) -> int:
        """Return the answers sent that their receivers have not yet said to have read."""
        return self._unread_bytes

    def receive(self) -> tuple[bytes, str, str, list[bytes]] | None:
        """Return (route, address and principal of the peer, frames) of the next message, or None."""
        first = receive_first(self.socket)
        if first is None:
            return None
        route = first.bytes
        peer = self._peers.get(route)
        if peer is None:
            descriptor = int(first.get(zmq.SRCFD))
            self._forget(self._routes.get(descriptor, b""))  # whoever had it before has gone
            peer = _Peer(_told(first, "Peer-Address"), descriptor, _told(first, "User-Id"))
            self._peers[route], self._routes[descriptor] = peer, route
            if len(self._peers) > ROUTES_MAX:
                self._forget(next(iter(self._peers)))
        else:
            self._peers.move_to_end(route)
        return route, peer.address, peer.principal, receive_rest(self.socket, first)

    def credit(self, route: bytes, received_bytes: int) -> None:
        """Note what a connection says to have received so far."""
        peer = self._peers.get(route)
        if peer is not None:
            received_bytes = min(max(peer.received_bytes, received_bytes), peer.sent_bytes)
            self._unread_bytes -= received_bytes - peer.received_bytes
            peer.received_bytes = received_bytes

    def _forget(self, route: bytes) -> None:
        peer = self._peers.pop(route, None)
        if peer is not None:
            self._unread_bytes -= peer.unread_bytes
            if self._routes.get(peer.descriptor) == route:
                del self._routes[peer.descriptor]

    def send(self, route: bytes, frames: Sequence[Buffer], size_bytes: int) -> bool:
        """Answer; False when the peer is gone or has too much unread."""
        peer = self._peers.get(route)
        if peer is not None:
            crowded = self._unread_bytes > UNREAD_TOTAL_MAX
            if peer.unread_bytes > (SHARE_BYTES if crowded else UNREAD_BYTES_MAX):
                self.replies_refused += 1
                return False
        try:
            send(self.socket, [route, *frames])
        except zmq.Again:
            self.replies_refused += 1
            return False
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            self._forget(route)
            self.replies_refused += 1
            return False
        if peer is not None:
            peer.sent_bytes += size_bytes
            self._unread_bytes += size_bytes
        return True

    def watch_connections(self) -> None:
        """Count connections, and forget those that have ended; see :class:`Crowd`."""
        for descriptor in self._crowd.watch():
            self._forget(self._routes.get(descriptor, b""))

    def close(self) -> None:
        """Close; answers still queued have ``LINGER_MS`` to leave."""
        self.monitor.close()
        self.socket.close()


def _told(frame: zmq.Frame, what: str) -> str:
    """Return what libzmq tells of a message's connection; empty where it does not."""
    try:
        return str(frame.get(what))
    except zmq.ZMQError:
        return ""
