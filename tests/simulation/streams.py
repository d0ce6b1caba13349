"""The simulated side of the stream port: connections of bytes, with the manners of TCP.

What is sent arrives in order, cut anywhere and without gaps, until the connection breaks; a netsplit
holds it back, and breaks the connection if it lasts.  A killed process's connections are ended by its
kernel; of a host without power nothing is heard.  What is drawn here is drawn from a random stream of
its own: a history without streams is what it would be without this file.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Protocol

from transport.driver.ports import Stranger, StreamHandler, StreamId
from transport.driver.streams import UNSENT_BYTES_MAX
from transport.kernel import Now
from transport.sockets.certificate import TlsFiles
from transport.wire.codec import Buffer

if TYPE_CHECKING:
    from tests.simulation.process import SimulatedProcess
    from tests.simulation.world import World

REPEAT_US = 200_000
"""A packet that nobody acknowledges is repeated."""
GIVE_UP_US = 15_000_000
"""So long at least; then the connection is broken, as TCP_USER_TIMEOUT would have it."""
PIECES_MAX = 3
AWAITED_BYTES = 64 * 1024
"""Whoever was told that more than this is unsent has a turn when some of it has left."""
"""What was sent at once may arrive in so many pieces."""


class Peer(Protocol):
    """The other end of a stream: a client of the simulation's own."""

    def on_opened(self) -> None: ...

    def on_bytes(self, data: bytes) -> None: ...

    def on_end(self) -> None: ...


class Stream:
    """One connection, from a client's host to a process."""

    def __init__(self, network: StreamNetwork, host: str, peer: Peer) -> None:
        self._network = network
        self._peer = peer
        self.host = host
        self.process: SimulatedProcess | None = None
        self.id = StreamId(0)
        self.handler: StreamHandler | None = None
        self.closed = False
        self.ended = False
        """The process's end is."""
        self.paused = False
        self.kept: list[bytes] = []
        """Read by nobody while it is paused."""
        self.to_process = _Way()
        self.to_peer = _Way()

    def send(self, data: bytes) -> None:
        """Send from the client's end."""
        if not self.closed:
            self._network.carry(self, self.to_process, data)

    def close(self) -> None:
        """End it from the client's end; what was sent arrives before."""
        if not self.closed:
            self.closed = True
            self._network.carry(self, self.to_process, None)

    def arrived(self, way: _Way, data: bytes | None) -> None:
        """Something has come to the end of its way; None: the other end's end."""
        if way is self.to_peer:
            if not self.closed:
                if data is None:
                    self.closed = True
                    self._peer.on_end()
                else:
                    self._peer.on_bytes(data)
            return
        process = self.process
        if process is None or not process.alive:
            return
        if data is None:
            process.do(self._end)
        else:
            process.do(lambda now: self._take(data, now))

    def opened(self, process: SimulatedProcess, number: StreamId, handler: StreamHandler) -> None:
        """A process has accepted it."""
        self.process, self.id, self.handler = process, number, handler
        address = process.network.address_of(self.host)
        process.do(lambda now: handler.on_stream(number, Stranger(address), now))
        self._peer.on_opened()

    def refused(self) -> None:
        """Nobody listens there."""
        self.closed = True
        self._peer.on_end()

    def resumed(self, now: Now) -> None:
        """Hand over what has waited."""
        kept, self.kept = self.kept, []
        for data in kept:
            self._take(data, now)

    def _take(self, data: bytes, now: Now) -> None:
        if self.ended or self.handler is None:
            return
        if self.paused:
            self.kept.append(data)
        else:
            self.handler.on_bytes(self.id, data, now)

    def _end(self, now: Now) -> None:
        if not self.ended and self.handler is not None and self.process is not None:
            self.ended = True
            self.process.streams.forget(self.id)
            self.handler.on_stream_end(self.id, now)


@dataclass(slots=True)
class _Way:
    queue: deque[bytes | None] = field(default_factory=deque)
    unsent_bytes: int = 0
    awaited: bool = False
    """Its process was told that something is unsent."""
    moving: bool = False
    stuck_since_us: int = -1


class StreamNetwork:
    """Every stream of the world."""

    def __init__(self, world: World, is_cut: Callable[[str, str], bool]) -> None:
        self._world = world
        self._is_cut = is_cut
        self._random = Random(f"streams of {world.seed}")
        self.delay_us = (80, 400)
        self._listeners: dict[str, tuple[SimulatedProcess, StreamHandler]] = {}

    def dial(self, host: str, endpoint: str, peer: Peer) -> Stream:
        """Connect from ``host`` to ``tcp://host:port``; ``peer`` hears whether that succeeds."""
        stream = Stream(self, host, peer)
        self._world.after(2 * self._draw(self.delay_us), self._connect, stream, endpoint, 0)
        return stream

    def _connect(self, stream: Stream, endpoint: str, waited_us: int) -> None:
        if stream.closed:
            return
        there = _host_of(endpoint)
        known = self._listeners.get(endpoint)
        if self._is_cut(stream.host, there) or self._is_cut(there, stream.host):
            if waited_us >= GIVE_UP_US:
                stream.refused()
            else:
                waited_us += REPEAT_US
                self._world.after(REPEAT_US, self._connect, stream, endpoint, waited_us)
        elif known is None or not known[0].streams.accept(stream, known[1]):
            stream.refused()

    def listen(self, endpoint: str, process: SimulatedProcess, handler: StreamHandler) -> None:
        """The process takes connections there."""
        self._listeners[endpoint] = process, handler

    def process_died(self, process: SimulatedProcess, streams: Sequence[Stream]) -> None:
        """Its kernel ends its connections; of what was sent any part is lost."""
        gone = [name for name, (who, _) in self._listeners.items() if who is process]
        for name in gone:
            del self._listeners[name]
        for stream in streams:
            queue = stream.to_peer.queue
            for _ in range(self._random.randint(0, len(queue))):
                queue.pop()
            self.carry(stream, stream.to_peer, None)

    def carry(self, stream: Stream, way: _Way, data: bytes | None) -> None:
        """Let bytes, or the end, go by this way."""
        for piece in self._pieces(data):
            way.queue.append(piece)
            way.unsent_bytes += len(piece or b"")
        if not way.moving:
            way.moving = True
            self._world.after(self._draw(self.delay_us), self._move, stream, way)

    def _pieces(self, data: bytes | None) -> list[bytes | None]:
        if data is None or len(data) < 2:
            return [data]
        cuts = sorted(self._random.randint(1, len(data) - 1) for _ in range(PIECES_MAX - 1))
        ends = [*cuts, len(data)]
        return [data[a:b] for a, b in zip([0, *cuts], ends, strict=True) if a < b]

    def _move(self, stream: Stream, way: _Way) -> None:
        now_us = self._world.now_us
        process = stream.process
        there = process.host if process is not None else ""
        pair = (there, stream.host) if way is stream.to_peer else (stream.host, there)
        if self._is_cut(*pair) or (process is not None and process.without_power):
            if way.stuck_since_us < 0:
                way.stuck_since_us = now_us
            if now_us - way.stuck_since_us < GIVE_UP_US:
                self._world.after(REPEAT_US, self._move, stream, way)
            else:
                self._break(stream)
            return
        way.stuck_since_us = -1
        data = way.queue.popleft()
        way.unsent_bytes -= len(data or b"")
        way.moving = bool(way.queue)
        if way.awaited and process is not None and way is stream.to_peer:
            way.awaited = False
            process.do(lambda _now: None)
        stream.arrived(way, data)
        if way.moving:
            self._world.after(self._draw(self.delay_us), self._move, stream, way)

    def _break(self, stream: Stream) -> None:
        for way in (stream.to_peer, stream.to_process):
            way.queue.clear()
            way.moving = False
            stream.arrived(way, None)

    def _draw(self, bounds: tuple[int, int]) -> int:
        return self._random.randint(*bounds)


class SimulatedStreams:
    """The stream port of one process."""

    def __init__(self, process: SimulatedProcess) -> None:
        self._process = process
        self._streams: dict[StreamId, Stream] = {}
        self._last = 0
        self._connections_max: dict[StreamHandler, int] = {}

    # The port

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
        assert tls is None, "the simulated network has no TLS"
        self._connections_max[handler] = connections_max
        self._process.network.streams.listen(endpoint, self._process, handler)
        return endpoint

    def send(self, stream: StreamId, frames: Sequence[Buffer]) -> bool:
        known = self._streams.get(stream)
        if known is None or known.to_peer.unsent_bytes > UNSENT_BYTES_MAX:
            return False
        data = b"".join(bytes(frame) for frame in frames)
        self._process.network.streams.carry(known, known.to_peer, data)
        return True

    def unsent_bytes(self, stream: StreamId) -> int:
        known = self._streams.get(stream)
        if known is None:
            return 0
        known.to_peer.awaited = known.to_peer.unsent_bytes > AWAITED_BYTES
        return known.to_peer.unsent_bytes

    def pause(self, stream: StreamId) -> None:
        known = self._streams.get(stream)
        if known is not None:
            known.paused = True

    def resume(self, stream: StreamId) -> None:
        known = self._streams.get(stream)
        if known is not None and known.paused:
            known.paused = False
            self._process.do(known.resumed)

    def close(self, stream: StreamId) -> None:
        known = self._streams.pop(stream, None)
        if known is not None:
            known.ended = True
            self._process.network.streams.carry(known, known.to_peer, None)

    # From the network

    def accept(self, stream: Stream, handler: StreamHandler) -> bool:
        """Take a connection, if there is room for it."""
        mine = sum(each.handler is handler for each in self._streams.values())
        if not self._process.alive or mine >= self._connections_max[handler]:
            return False
        self._last += 1
        number = StreamId(self._last)
        self._streams[number] = stream
        stream.opened(self._process, number, handler)
        return True

    def forget(self, stream: StreamId) -> None:
        """It has ended."""
        self._streams.pop(stream, None)

    def died(self) -> None:
        """The process has."""
        if self._last or self._connections_max:
            streams, self._streams = list(self._streams.values()), {}
            self._process.network.streams.process_died(self._process, streams)


def _host_of(endpoint: str) -> str:
    return endpoint.removeprefix("tcp://").rpartition(":")[0]
