"""The ports: all that a program (a node's server, a client's engine) ever sees of the world.

The real side of these is the loop beside this file; the simulator brings its own.  Programs cannot
tell which one they run under.  Everything here is called from, and calls back on, one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from random import Random
from typing import NamedTuple, NewType, Protocol, TypeVar

import msgspec

from transport.kernel import Now
from transport.sockets.certificate import TlsFiles
from transport.wire.codec import Buffer, Envelope

LinkId = NewType("LinkId", int)
"""An outgoing connection of this program: a DEALER or a SUB. Never used twice."""

StreamId = NewType("StreamId", int)
"""A connection that somebody made to a listening socket of this program. Never used twice."""

SLEEP_MAX_MS = 1_000
"""Until the next turn, also with nothing to do: a sleep that takes longer is how a gap is noticed."""

T = TypeVar("T")


class Door(Enum):
    """The two ROUTERs that every node binds."""

    PEERS = "peers"
    CLIENTS = "clients"

    __hash__ = object.__hash__
    """That of Enum is a call, and of every message an origin is looked up."""


class Origin(msgspec.Struct, frozen=True):
    """Where an answer to an arrived request goes: a connection of one of our ROUTERs.

    Gone when the peer disconnects; a reply to it is then dropped.
    """

    door: Door
    route: bytes
    address: str = ""
    """The peer's IP address as the kernel tells it, without a port; empty where it is not known."""
    principal: str = ""
    """Whom the connection's keys prove it to be; empty where nothing needs to be proved."""
    subject: str = ""
    """The distinguished name of its certificate; empty where it shows none."""


class Wire(Protocol):
    """Sending. Never blocks; what cannot leave now is refused with False, and it was not sent."""

    def connect(self, endpoint: str) -> LinkId:
        """Open a DEALER to a node's ROUTER. Reconnects by itself until disconnected."""
        ...

    def subscribe(self, endpoint: str, topics: Sequence[bytes]) -> LinkId:
        """Open a SUB to a node's PUB. The first events may be missed, and any may be lost."""
        ...

    def disconnect(self, link: LinkId) -> None:
        """Close a link; nothing of it arrives any more, not even its end."""
        ...

    def send(self, link: LinkId, envelope: Envelope) -> bool:
        """Send over a DEALER. False: the link is down or full."""
        ...

    def reply(self, origin: Origin, envelope: Envelope) -> bool:
        """Answer over the ROUTER the request came by. False: the peer is gone or stuck."""
        ...

    def publish(self, topic: bytes, envelope: Envelope) -> None:
        """Publish to whoever subscribes now. Events in one topic arrive in order, or not."""
        ...


class Stranger(NamedTuple):
    """Who is at the other end of a stream, as far as the connection itself tells."""

    address: str
    """The IP address it comes from."""
    principal: str = ""
    """The common name of its certificate; empty where none was asked for."""
    subject: str = ""
    """The distinguished name of its certificate (RFC 2253)."""


class StreamHandler(Protocol):
    """Who is told of the connections made to one listening socket.

    Within a turn they come after everything that came over the wire.
    """

    def on_stream(self, stream: StreamId, stranger: Stranger, now: Now) -> None:
        """Somebody has connected, with TLS where that is spoken; nothing was read yet."""
        ...

    def on_bytes(self, stream: StreamId, data: bytes, now: Now) -> None:
        """Bytes have come: in order, cut anywhere."""
        ...

    def on_stream_end(self, stream: StreamId, now: Now) -> None:
        """It has ended: by the other end, by the network, or idle for too long.

        The last that is heard of it.  Whoever closes a stream is not told of its end.
        """
        ...


class Streams(Protocol):
    """TCP connections of programs that speak another tongue, as bytes in order. Never blocks."""

    def listen(
        self,
        endpoint: str,
        handler: StreamHandler,
        *,
        connections_max: int,
        idle_max_ms: int,
        unsent_bytes_calm: int | None = None,
        tls: TlsFiles | None = None,
    ) -> str:
        """Take connections at ``tcp://host:port`` from now on; return it with the port it was given.

        Above ``connections_max`` a new connection is closed at once; one from which nothing has come
        for ``idle_max_ms`` ends.  With ``tls`` nothing else is spoken, and who does not speak it, or
        shows no certificate where one is asked for, is counted and never heard of. Raises
        ``PortInUse``, and ``TlsError`` for files that cannot be used.
        """
        ...

    def send(self, stream: StreamId, frames: Sequence[Buffer]) -> bool:
        """Send these bytes, by the end of the turn if the other end takes them.

        False, and nothing was sent: the stream is gone, or has more unsent than anybody may have
        (then close it).  While a stream has much unsent, more than its listener's ``unsent_bytes_calm``
        where that was said, nothing is read from it.
        """
        ...

    def unsent_bytes(self, stream: StreamId) -> int:
        """Return how much of what was sent has not left yet; of a stream that is gone, nothing.

        There is a turn whenever more of it can leave.
        """
        ...

    def pause(self, stream: StreamId) -> None:
        """Read no more of it until it is resumed; what is sent leaves all the same."""
        ...

    def resume(self, stream: StreamId) -> None:
        """Read of it again."""
        ...

    def close(self, stream: StreamId) -> None:
        """End it once what was sent has left, within a moment; nothing of it arrives any more."""
        ...


class Pool(Protocol):
    """The small disk pool: what may block (sync, unlink, cold reads) runs there."""

    def submit(self, job: Callable[[], T], done: Callable[[T | BaseException, Now], None]) -> None:
        """Run ``job`` elsewhere, then ``done`` here with its result or what it raised.

        Jobs of one caller may finish in any order.
        """
        ...

    def sync(self, job: Callable[[], T], done: Callable[[T | BaseException, Now], None]) -> None:
        """Run a small sync like ``submit``; where the disk answers at once, without the way to a thread.

        Of one caller, one at a time.
        """
        ...


class Ports(Protocol):
    """Everything together, given to a program before it starts."""

    @property
    def wire(self) -> Wire:
        """The network."""
        ...

    @property
    def streams(self) -> Streams:
        """Other people's connections, as bytes; costs nothing to who listens nowhere."""
        ...

    @property
    def pool(self) -> Pool:
        """The disk pool."""
        ...

    @property
    def random(self) -> Random:
        """Seeded in the simulator; the only source of chance."""
        ...

    def exit(self, status: int) -> None:
        """End the loop after this turn; a node's process then exits with ``status``."""
        ...


class Program(Protocol):
    """What the loop runs. Calls come in turns: any number of ``on_*``, then one ``end_turn``."""

    def start(self, ports: Ports, now: Now) -> None:
        """Called once, before anything else."""
        ...

    def on_message(self, origin: Origin | LinkId, envelope: Envelope, now: Now) -> None:
        """A message came: over a ROUTER (an Origin) or over one of our links.

        It is decoded and valid in itself; whether it is meant for this program (cluster,
        destination, incarnation) and makes sense to it is the program's to judge.
        """
        ...

    def on_link(self, link: LinkId, up: bool, now: Now) -> None:
        """A link came up (again) or went down; requests in flight on it then have failed."""
        ...

    def on_gap(self, gap_ms: int, now: Now) -> None:
        """The loop was away (stopped, swapped, asleep) for ``gap_ms`` more than it had asked for.

        Called before the inputs that waited are delivered: add the gap to every deadline by which
        *others* are judged, never to one's own session, check-quorum or leadership.
        """
        ...

    def end_turn(self, now: Now) -> None:
        """All inputs of this turn were delivered: expire what is due, batch what has gathered."""
        ...

    def next_deadline_ms(self) -> int | None:
        """Monotonic time of the next turn even if nothing arrives."""
        ...

    def stop(self, now: Now) -> None:
        """Asked to end in order: flush, mark clean, then ``ports.exit(0)``."""
        ...
