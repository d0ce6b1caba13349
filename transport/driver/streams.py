"""The real side of the stream port: listening sockets, and their connections in one epoll.

Its descriptor lies in the loop's poller, so that connections by the thousand cost a turn nothing
while they are silent.  Everything is bounded: connections, what is read in a turn, what lies unsent.
"""

from __future__ import annotations

import select
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic_ns
from typing import TYPE_CHECKING

from transport.driver import descriptors
from transport.driver.entrance import Entrance
from transport.driver.ports import Stranger, StreamHandler, StreamId
from transport.kernel import Now
from transport.sockets.certificate import TlsError, TlsFiles
from transport.sockets.stream import ListeningSocket, StreamSocket
from transport.wire.codec import Buffer

if TYPE_CHECKING:  # it comes with who asks for it
    from transport.sockets.tls import TlsSocket

READ_BYTES_MAX = 256 * 1024
"""Of one stream in one turn."""
TURN_BYTES_MAX = 8 * 1024 * 1024
TURN_NS_MAX = 3_000_000
"""As of a door: so that heartbeats and timers come on time."""
ACCEPTED_MAX = 64
"""Of one listening socket in one turn."""
UNSENT_BYTES_CALM = 256 * 1024
"""Above it a stream is not read from: who does not take its answers asks for no more. A listener that holds
its answers back itself may say more."""
UNSENT_BYTES_MAX = 64 * 1024 * 1024
UNSENT_TOTAL_MAX = 512 * 1024 * 1024
"""Of all streams together, but for UNSENT_BYTES_CALM of each."""
LOOK_MS = 1_000
"""How often the silent ones are looked for."""
CLOSE_MAX_MS = 5_000
"""A closed stream whose other end does not take what was sent is dropped then."""
HANDSHAKES_MAX = 256
"""Under way at one listening socket; then nobody is accepted until one is done, or has ended."""
HANDSHAKE_MAX_MS = 10_000
"""A busy machine and a slow network need less; whoever only holds the place has it so long."""
LATE = f"its TLS handshake was not done after {HANDSHAKE_MAX_MS // 1000} s"

_READ, _WRITE = select.EPOLLIN, select.EPOLLOUT
_BROKEN = select.EPOLLERR | select.EPOLLHUP


@dataclass(slots=True)
class _Listener:
    socket: ListeningSocket
    handler: StreamHandler
    connections_max: int
    idle_max_ms: int
    unsent_bytes_calm: int | None
    entrance: Entrance
    streams: OrderedDict[StreamId, _Stream] = field(default_factory=OrderedDict)
    """The one silent for longest first."""
    handshakes: OrderedDict[StreamId, _Stream] = field(default_factory=OrderedDict)
    """Those that are not let in yet; who has come first comes first."""


@dataclass(slots=True)
class _Stream:
    id: StreamId
    address: str
    socket: StreamSocket | TlsSocket
    listener: _Listener
    heard_ms: int
    mask: int = _READ
    paused: bool = False
    full: bool = False
    """Too much is unsent to read more."""
    broken: bool = False


class StreamBoard:
    """Every stream of one program."""

    def __init__(self, figures: dict[str, int]) -> None:
        """``figures``: counters by name, to be added to."""
        self._figures = figures
        self._epoll = select.epoll()
        self._listeners: dict[int, _Listener] = {}
        """By descriptor; so are streams."""
        self._streams: dict[StreamId, _Stream] = {}
        self._by_descriptor: dict[int, _Stream] = {}
        self._readable: dict[int, None] = {}
        self._unflushed: dict[StreamId, None] = {}
        self._closing: dict[int, int] = {}
        """Closed by us, with something unsent -> when that is given up."""
        self._last_id = 0
        self._unsent_bytes = 0
        self._away_ms = 0
        """How long this loop was away: time in which nobody was silent."""
        self._look_ms = 0
        self._crowded = False
        """No descriptor was left for a connection: nobody is accepted until the next look."""

    def fileno(self) -> int:
        """Return the descriptor that can be read when there is something to do."""
        return self._epoll.fileno()

    # The stream port

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
        """Take connections at ``endpoint``; fewer than asked for where descriptors are few."""
        socket = ListeningSocket(endpoint)
        try:
            entrance = Entrance(socket.endpoint, tls, self._figures, self._count)
        except TlsError:
            socket.close()
            raise
        descriptor = socket.socket.fileno()
        at_most = min(connections_max, descriptors.connections_max())
        listener = _Listener(socket, handler, at_most, idle_max_ms, unsent_bytes_calm, entrance)
        self._listeners[descriptor] = listener
        self._epoll.register(descriptor, _READ)
        return socket.endpoint

    def send(self, stream: StreamId, frames: Sequence[Buffer]) -> bool:
        """Queue these bytes; they leave by the end of the turn if they can."""
        known = self._streams.get(stream)
        if known is None:
            return False
        crowded = self._unsent_bytes > UNSENT_TOTAL_MAX
        before = known.socket.unsent_bytes
        if before > (UNSENT_BYTES_CALM if crowded else UNSENT_BYTES_MAX):
            self._count("streams_stuck")
            return False
        known.socket.queue(frames)
        self._unsent_bytes += known.socket.unsent_bytes - before
        self._unflushed[stream] = None
        return True

    def unsent_bytes(self, stream: StreamId) -> int:
        """Return how much of what was sent is still here."""
        known = self._streams.get(stream)
        return 0 if known is None else known.socket.unsent_bytes

    def pause(self, stream: StreamId) -> None:
        """Read no more of it."""
        self._set_paused(stream, paused=True)

    def resume(self, stream: StreamId) -> None:
        """Read of it again."""
        self._set_paused(stream, paused=False)

    def _set_paused(self, stream: StreamId, *, paused: bool) -> None:
        known = self._streams.get(stream)
        if known is not None and known.paused is not paused:
            known.paused = paused
            self._show_interest(known)

    def close(self, stream: StreamId) -> None:
        """End a stream once what was sent has left."""
        known = self._forget(stream)
        if known is not None:
            self._part_from(known)

    # The loop's side

    def on_gap(self, gap_ms: int) -> None:
        """This loop was away for a while."""
        self._away_ms += gap_ms

    def deliver(self, now: Now, *, signs: bool) -> None:
        """Hand over what has come, bounded, and send what that leads to. ``signs``: something came."""
        if signs:
            self._see_signs(now)
        budget_bytes, until_ns = TURN_BYTES_MAX, monotonic_ns() + TURN_NS_MAX
        for _ in range(len(self._readable)):
            descriptor = next(iter(self._readable))
            del self._readable[descriptor]
            stream = self._by_descriptor.get(descriptor)
            if stream is not None:
                budget_bytes -= self._read(stream, now)
            if budget_bytes < 0 or monotonic_ns() >= until_ns:
                break
        self.flush()
        if now.mono_ms >= self._look_ms:
            self._look_ms = now.mono_ms + LOOK_MS
            self._look_around(now)

    def flush(self) -> None:
        """Hand the kernel what was sent since the last time."""
        while self._unflushed:
            number, _ = self._unflushed.popitem()
            stream = self._streams.get(number)
            if stream is not None:
                self._flush(stream)

    def close_all(self) -> None:
        """End everything; what the kernel does not take at once is lost."""
        for stream in self._by_descriptor.values():
            stream.socket.end()
            stream.socket.flush()
            stream.socket.close()
        for listener in self._listeners.values():
            listener.socket.close()
        self._epoll.close()

    def _see_signs(self, now: Now) -> None:
        # Accepted last: a new connection may get the descriptor of one that ends here.
        connecting: list[_Listener] = []
        for descriptor, events in self._epoll.poll(0):
            stream = self._by_descriptor.get(descriptor)
            if stream is None:
                connecting.append(self._listeners[descriptor])
                continue
            if events & _WRITE:
                self._flush(stream)
                if descriptor in self._closing and not stream.socket.unsent_bytes:
                    self._drop(stream)
                    continue
            if events & _BROKEN:
                stream.broken = True
            if events & (_READ | _BROKEN):
                self._readable[descriptor] = None
        for listener in connecting:
            self._accept(listener, now)

    def _accept(self, listener: _Listener, now: Now) -> None:
        for _ in range(ACCEPTED_MAX):
            if len(listener.handshakes) >= HANDSHAKES_MAX:
                self._show_accepting(listener)
                return
            try:
                accepted = listener.socket.accept()
            except OSError:
                self._count("streams_out_of_descriptors")
                self._crowded = True
                for each in self._listeners.values():
                    self._show_accepting(each)
                return
            if accepted is None:
                return
            socket, address = accepted
            if len(listener.streams) + len(listener.handshakes) >= listener.connections_max:
                self._count("streams_refused")
                socket.close()
                continue
            self._take_in(listener, listener.entrance.let_in(socket, now.mono_ms), address, now)

    def _take_in(
        self, listener: _Listener, socket: StreamSocket | TlsSocket, address: str, now: Now
    ) -> None:
        self._last_id += 1
        number = StreamId(self._last_id)
        stream = _Stream(number, address, socket, listener, self._awake_ms(now))
        self._streams[number] = stream
        self._by_descriptor[socket.fileno()] = stream
        self._epoll.register(socket.fileno(), _READ)
        if socket.is_ready:
            self._introduce(stream, now)
        else:
            listener.handshakes[number] = stream

    def _introduce(self, stream: _Stream, now: Now) -> None:
        """Tell of somebody who is let in."""
        socket, listener = stream.socket, stream.listener
        self._end_handshake(stream)
        stream.heard_ms = self._awake_ms(now)
        listener.streams[stream.id] = stream
        stranger = Stranger(stream.address, socket.principal, socket.subject)
        listener.handler.on_stream(stream.id, stranger, now)

    def _end_handshake(self, stream: _Stream) -> None:
        """It is let in, or has ended."""
        listener = stream.listener
        was_full = len(listener.handshakes) >= HANDSHAKES_MAX
        listener.handshakes.pop(stream.id, None)
        if was_full:
            self._show_accepting(listener)

    def _show_accepting(self, listener: _Listener) -> None:
        accepts = not self._crowded and len(listener.handshakes) < HANDSHAKES_MAX
        self._epoll.modify(listener.socket.socket.fileno(), _READ if accepts else 0)

    def _read(self, stream: _Stream, now: Now) -> int:
        """Hand over what can be read of one stream; returns how many bytes that was."""
        if stream.id not in self._streams:
            if stream.broken:
                self._drop(stream)  # closed, and nobody is left to take what was sent
            return 0
        if (stream.paused or stream.full) and not stream.broken:
            return 0
        data = None if stream.paused else self._receive(stream)
        if stream.socket.is_ready and stream.id in stream.listener.handshakes:
            self._introduce(stream, now)
        if data and stream.id in self._streams:
            stream.heard_ms = self._awake_ms(now)
            stream.listener.streams.move_to_end(stream.id)
            stream.listener.handler.on_bytes(stream.id, data, now)
        if stream.socket.ended or (stream.broken and data is None):
            self._end(stream, now)
        return len(data or b"")

    def _receive(self, stream: _Stream) -> bytes | None:
        socket = stream.socket
        before = socket.unsent_bytes
        data = socket.receive(READ_BYTES_MAX)
        if socket.unsent_bytes != before:  # TLS itself has something to say
            self._unsent_bytes += socket.unsent_bytes - before
            self._unflushed[stream.id] = None
        return data

    def _end(self, stream: _Stream, now: Now) -> None:
        """A stream has ended by itself, if its handler has not closed it meanwhile."""
        listener, fault = stream.listener, stream.socket.fault
        was_let_in = stream.id in listener.streams
        if self._forget(stream.id) is None:
            return
        self._part_from(stream)
        if was_let_in:
            if fault:
                self._count("tls_streams_broken")
            listener.handler.on_stream_end(stream.id, now)
        elif fault:
            listener.entrance.turn_away(stream.address, "tls_handshakes_failed", fault)

    def _look_around(self, now: Now) -> None:
        """End who was silent for too long, and let in whom there was no descriptor for."""
        awake_ms = self._awake_ms(now)
        for listener in self._listeners.values():
            while listener.handshakes:
                stream = next(iter(listener.handshakes.values()))
                if stream.heard_ms + HANDSHAKE_MAX_MS > awake_ms:
                    break
                self._forget(stream.id)
                self._drop(stream)
                listener.entrance.turn_away(stream.address, "tls_handshakes_late", LATE)
            while listener.streams:
                stream = next(iter(listener.streams.values()))
                if stream.heard_ms + listener.idle_max_ms > awake_ms:
                    break
                if stream.paused:  # it may have said much
                    stream.heard_ms = awake_ms
                    listener.streams.move_to_end(stream.id)
                    continue
                self._count("streams_idle")
                self._forget(stream.id)
                self._drop(stream)
                listener.handler.on_stream_end(stream.id, now)
        for descriptor, until_ms in list(self._closing.items()):
            if until_ms <= awake_ms:
                self._drop(self._by_descriptor[descriptor])
        if self._crowded:
            self._crowded = False
            for listener in self._listeners.values():
                self._show_accepting(listener)

    # One stream

    def _flush(self, stream: _Stream) -> None:
        socket = stream.socket
        before = socket.unsent_bytes
        socket.flush()
        left = socket.unsent_bytes
        self._unsent_bytes -= before - left
        calm = stream.listener.unsent_bytes_calm or UNSENT_BYTES_CALM
        if left > calm or left <= calm // 2:
            stream.full = left > calm
        self._show_interest(stream)

    def _show_interest(self, stream: _Stream) -> None:
        reads = stream.id in self._streams and not stream.paused and not stream.full
        mask = (_READ if reads else 0) | (_WRITE if stream.socket.unsent_bytes else 0)
        if mask != stream.mask:
            stream.mask = mask
            self._epoll.modify(stream.socket.fileno(), mask)

    def _forget(self, number: StreamId) -> _Stream | None:
        """From now on it is nobody's: nothing of it is handed over."""
        stream = self._streams.pop(number, None)
        if stream is not None:
            stream.listener.streams.pop(number, None)
            self._end_handshake(stream)
        return stream

    def _part_from(self, stream: _Stream) -> None:
        """Close the socket of a forgotten stream, at the latest in a moment."""
        stream.socket.end()
        self._flush(stream)
        if stream.socket.unsent_bytes and not stream.broken:
            until_ms = monotonic_ns() // 1_000_000 - self._away_ms + CLOSE_MAX_MS
            self._closing[stream.socket.fileno()] = until_ms
        else:
            self._drop(stream)

    def _drop(self, stream: _Stream) -> None:
        descriptor = stream.socket.fileno()
        self._unsent_bytes -= stream.socket.unsent_bytes
        stream.socket.drop()
        self._epoll.unregister(descriptor)
        del self._by_descriptor[descriptor]
        self._closing.pop(descriptor, None)
        self._readable.pop(descriptor, None)
        stream.socket.close()

    def _awake_ms(self, now: Now) -> int:
        return now.mono_ms - self._away_ms

    def _count(self, figure: str) -> None:
        self._figures[figure] = self._figures.get(figure, 0) + 1
