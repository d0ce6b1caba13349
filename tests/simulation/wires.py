"""What the simulated network is made of: links, the connections they have, and their two ways."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from transport.driver.ports import Door, LinkId
from transport.sockets.options import MESSAGES_QUEUED_MAX

if TYPE_CHECKING:
    from tests.simulation.process import SimulatedProcess

QUEUED_MAX = 2 * MESSAGES_QUEUED_MAX
"""Messages on their way over one connection: the sender's and the receiver's high-water marks."""

Held = Any
"""What travels by a way: (origin or link, envelope), a Pipe for its subscription, None for its end."""


class Cut:
    """A netsplit: directed pairs of hosts. Each is healed by itself."""

    __slots__ = ("pairs",)

    def __init__(self, pairs: tuple[tuple[str, str], ...]) -> None:
        self.pairs = pairs


class Link:
    """One outgoing link of a process: a DEALER or a SUB, connected again and again."""

    __slots__ = (
        "address",
        "attempts",
        "closed",
        "door",
        "endpoint",
        "host",
        "id",
        "owner",
        "pipe",
        "topics",
    )

    def __init__(
        self,
        number: LinkId,
        owner: SimulatedProcess,
        endpoint: str,
        topics: Sequence[bytes] | None,
        address: str,
    ) -> None:
        self.id = number
        self.owner = owner
        self.address = address
        """Where its owner's packets come from."""
        self.endpoint = endpoint
        self.host = endpoint.split("/")[2]
        self.topics = None if topics is None else tuple(topics)
        """Of a SUB; None for a DEALER."""
        self.door = Door(endpoint.rpartition("/")[2]) if topics is None else None
        self.pipe: Pipe | None = None
        """As far as its owner knows."""
        self.attempts = 0
        self.closed = False


class Way:
    """One direction of a connection."""

    __slots__ = (
        "held",
        "held_since_us",
        "open",
        "orderly",
        "overdue",
        "pipe",
        "ready_us",
        "receiver",
        "sender",
        "silence",
        "silent",
        "unread",
    )

    def __init__(self, pipe: Pipe, sender: SimulatedProcess, receiver: SimulatedProcess) -> None:
        self.pipe = pipe
        self.sender = sender
        self.receiver = receiver
        self.open = True
        """The receiver's end is."""
        self.ready_us = 0
        """When the newest packet arrives: the next may not overtake it."""
        self.orderly = True
        """The sender's end was closed in order: what it had sent arrives before."""
        self.unread = 0
        self.held: list[Held] | None = None
        """What a netsplit holds back; None while there is none."""
        self.held_since_us = 0
        self.silent = False
        """Nothing arrives, not even a heartbeat."""
        self.silence = 0
        """Grows with each beginning and end of a silence."""
        self.overdue = False
        """The silence has been too long, but the receiver was frozen."""

    def hold(self, now_us: int) -> None:
        """A netsplit begins."""
        self.held, self.held_since_us = [], now_us

    def release(self, now_us: int) -> tuple[list[Held], int]:
        """A netsplit has ended: return what it held back, and for how long it has lasted."""
        held, self.held = self.held or [], None
        return held, now_us - self.held_since_us

    def close(self) -> None:
        """The receiver's end is gone: nothing that comes is read."""
        self.open = False
        self.held = None if self.held is None else []
        self.silence += 1
        self.silent = self.overdue = False


class Pipe:
    """One connection, with what is known at both ends."""

    __slots__ = ("back", "link", "out", "peer", "route", "subscribed")

    def __init__(self, link: Link, peer: SimulatedProcess, route: bytes) -> None:
        self.link = link
        self.peer = peer
        self.route = route
        self.out = Way(self, link.owner, peer)
        self.back = Way(self, peer, link.owner)
        self.subscribed = False
        """The publisher knows what a SUB wants."""

    def other(self, way: Way) -> Way:
        """Return the other direction."""
        return self.back if way is self.out else self.out

    def ways_of(self, process: SimulatedProcess) -> tuple[Way, Way]:
        """Return (incoming, outgoing) of a process at one end."""
        return (self.out, self.back) if process is self.peer else (self.back, self.out)
