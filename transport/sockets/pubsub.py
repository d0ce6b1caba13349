"""PUB and SUB: events that are repaired when lost."""

from __future__ import annotations

from collections.abc import Sequence

import zmq

from transport.sockets.crowd import Crowd
from transport.sockets.curve import EVENTS_DOMAIN, Guard, Keys, secure_door, secure_link
from transport.sockets.monitor import Change, Monitor
from transport.sockets.options import Buffer, bind, prepare, receive, send


class PublisherSocket:
    """One bound PUB. A subscriber that does not keep up misses events; nobody waits for it."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        endpoint: str,
        *,
        connections_max: int,
        guard: Guard | None = None,
    ) -> None:
        self.socket: zmq.Socket[bytes] = context.socket(zmq.PUB)
        prepare(self.socket)
        secure_door(self.socket, guard, EVENTS_DOMAIN)
        self.endpoint = bind(self.socket, endpoint)
        self._crowd = Crowd(self.socket, connections_max)
        self.monitor = self._crowd.monitor

    @property
    def connections(self) -> int:
        """How many are connected now, whoever they are."""
        return len(self._crowd)

    def watch_connections(self) -> None:
        """Count connections; see :class:`Crowd`."""
        self._crowd.watch()

    def send(self, topic: bytes, frames: Sequence[Buffer]) -> None:
        """Publish under ``topic``."""
        send(self.socket, [topic, *frames])

    def close(self) -> None:
        """Close."""
        self.monitor.close()
        self.socket.close()


class SubscriberSocket:
    """One SUB, connected to one PUB. Joins late, and misses what was published before."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        endpoint: str,
        topics: Sequence[bytes],
        keys: Keys | None = None,
    ) -> None:
        self.socket: zmq.Socket[bytes] = context.socket(zmq.SUB)
        prepare(self.socket)
        for topic in topics:
            self.socket.setsockopt(zmq.SUBSCRIBE, topic)
        secure_link(self.socket, keys)
        self.monitor = Monitor(self.socket)
        try:
            self.socket.connect(endpoint)
        except zmq.ZMQError:
            self.close()  # the context waits for every socket that is open
            raise

    def receive(self) -> list[bytes] | None:
        """Return the frames of the next event without its topic, or None."""
        frames = receive(self.socket)
        return None if frames is None else frames[1:]

    def changes(self) -> list[bool]:
        """Return the changes of the link since the last call: True up, False down."""
        return [change is Change.UP for change, _ in self.monitor.changes()]

    def close(self) -> None:
        """Close."""
        self.monitor.close()
        self.socket.close()
