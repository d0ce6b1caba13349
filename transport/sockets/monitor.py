"""What a socket tells of its connections: up, down, accepted, refused."""

from __future__ import annotations

from enum import Enum
from struct import unpack_from

import zmq


class Change(Enum):
    """What became of one connection."""

    ACCEPTED = "accepted"
    """Somebody has connected to us; nothing was said yet."""
    UP = "up"
    """It speaks ZeroMQ, and is who it has to be."""
    DOWN = "down"
    """Whether it was ever up or not."""
    REFUSED = "refused"
    """A connection could not be accepted: out of descriptors."""


_CHANGES: dict[int, Change] = {
    zmq.EVENT_ACCEPTED: Change.ACCEPTED,
    zmq.EVENT_HANDSHAKE_SUCCEEDED: Change.UP,
    zmq.EVENT_DISCONNECTED: Change.DOWN,
    zmq.EVENT_ACCEPT_FAILED: Change.REFUSED,
}
_MASK = sum(_CHANGES)


class Monitor:
    """The stream of connection changes of one socket."""

    def __init__(self, watched: zmq.Socket[bytes]) -> None:
        self._watched = watched
        self.socket: zmq.Socket[bytes] = watched.get_monitor_socket(_MASK)

    def changes(self) -> list[tuple[Change, int]]:
        """Return what has happened since the last call, in order; of a connection that was accepted,
        or is down, with its descriptor."""
        seen: list[tuple[Change, int]] = []
        while True:
            try:
                frames = self.socket.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                return seen
            # zmq.utils.monitor would read this too, and import asyncio and ssl for it: 3 MB.
            event, value = unpack_from("=HI", frames[0])
            change = _CHANGES.get(event)
            if change is not None:
                seen.append((change, value))

    def close(self) -> None:
        """Stop listening."""
        self._watched.disable_monitor()
        self.socket.close(linger=0)
