"""A DEALER: the connection by which requests leave and their answers come back."""

from __future__ import annotations

from collections.abc import Sequence

import zmq

from transport.sockets.curve import Keys, secure_link
from transport.sockets.monitor import Change, Monitor
from transport.sockets.options import Buffer, prepare, receive, send


class DealerSocket:
    """One DEALER, connected to one ROUTER; libzmq connects it again when it breaks."""

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], endpoint: str, keys: Keys | None = None
    ) -> None:
        self.socket: zmq.Socket[bytes] = context.socket(zmq.DEALER)
        prepare(self.socket)
        self.socket.setsockopt(zmq.IMMEDIATE, 1)
        secure_link(self.socket, keys)
        self.monitor = Monitor(self.socket)
        self.endpoint = endpoint
        self.received_bytes = 0
        """On the present connection: told to the peer with each request."""
        self.up = False
        self._coming_up = False
        try:
            self.socket.connect(endpoint)
        except zmq.ZMQError:
            self.close()  # the context waits for every socket that is open
            raise

    def receive(self) -> list[bytes] | None:
        """Return the frames of the next message, or None."""
        frames = receive(self.socket)
        if frames is not None:
            self.received_bytes += sum(map(len, frames))
        return frames

    def send(self, frames: Sequence[Buffer]) -> bool:
        """Send; False when the link is down or full."""
        if not self.up:
            return False
        try:
            send(self.socket, frames)
        except zmq.Again:
            return False
        return True

    def changes(self) -> list[bool]:
        """Return the changes of the link since the last call: True up, False down.

        A link is up once it can be written to: libzmq reports the handshake before its pipe is
        attached, so an "up" may have to wait for the next turn (``unsettled``).
        """
        seen: list[bool] = []
        for change, _ in self.monitor.changes():
            if change is Change.UP:
                self._coming_up = True
            elif change is Change.DOWN:
                self._coming_up = False
                self.received_bytes = 0
                if self.up:
                    self.up = False
                    seen.append(False)
        if self._coming_up and int(self.socket.getsockopt(zmq.EVENTS)) & zmq.POLLOUT:
            self._coming_up = False
            self.up = True
            seen.append(True)
        return seen

    @property
    def unsettled(self) -> bool:
        """True while a reported handshake waits for its pipe."""
        return self._coming_up

    def close(self) -> None:
        """Close; requests still queued have ``LINGER_MS`` to leave."""
        self.monitor.close()
        self.socket.close()
