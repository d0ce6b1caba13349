"""Which sockets can be read now.

``zmq.Poller`` asks every socket for its state, twice for each sleep.  A socket's descriptor tells
the same for less, but only that something has come since its state was last looked at, and whatever
is done with a socket looks at it.  So whoever has done something with a socket says so (``touch``),
and before the next sleep that one is asked.

Source: the ZeroMQ reference, ``ZMQ_FD`` of zmq_getsockopt(3) (edge-triggered).
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterable

import zmq

_EVENTS, _READABLE, _DESCRIPTOR = int(zmq.EVENTS), int(zmq.POLLIN), int(zmq.FD)

LOOK_AT_ALL_S = 0.25

Socket = zmq.Socket[bytes]


class Poller:
    """Sockets, and plain descriptors, slept on together."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._sockets: dict[int, Socket] = {}
        self._touched: dict[Socket, None] = {}
        self._looked_s = time.monotonic()
        """When all of them were asked last."""

    def register(self, socket: Socket) -> None:
        """Watch a socket, until it is unregistered; that must be before it is closed."""
        descriptor = int(socket.getsockopt(_DESCRIPTOR))
        self._sockets[descriptor] = socket
        self._poll.register(descriptor, select.POLLIN)
        self.touch(socket)

    def register_descriptor(self, descriptor: int) -> None:
        """Watch a plain descriptor; it is readable again and again until it is read."""
        self._poll.register(descriptor, select.POLLIN)

    def unregister(self, socket: Socket) -> None:
        """Watch a socket no longer."""
        descriptor = int(socket.getsockopt(_DESCRIPTOR))
        del self._sockets[descriptor]
        self._poll.unregister(descriptor)
        self._touched.pop(socket, None)

    def touch(self, socket: Socket) -> None:
        """Something was done with this socket, other than reading what :meth:`wait` has returned."""
        self._touched[socket] = None

    def wait(self, sleep_ms: Callable[[], int]) -> set[Socket | int]:
        """Sleep until something can be read, or for ``sleep_ms()``; return all that can be read.

        How long is only asked when nothing can be read.  A caller that leaves some of it unread
        finds it again the next time.
        """
        now_s = time.monotonic()
        asked: Iterable[Socket] = self._touched
        if now_s - self._looked_s >= LOOK_AT_ALL_S:
            asked, self._looked_s = self._sockets.values(), now_s
        readable: set[Socket | int] = {one for one in asked if has_come(one)}
        self._touched.clear()
        self._see_signs(0, readable)
        if not readable:
            left_ms = sleep_ms()
            until_s = time.monotonic() + left_ms / 1000
            while left_ms > 0 and not readable:
                self._see_signs(left_ms, readable)
                left_ms = int((until_s - time.monotonic()) * 1000)
        for one in readable:
            if not isinstance(one, int):
                self._touched[one] = None
        return readable

    def _see_signs(self, timeout_ms: int, readable: set[Socket | int]) -> None:
        for descriptor, _ in self._poll.poll(timeout_ms):
            socket = self._sockets.get(descriptor)
            if socket is None:
                readable.add(descriptor)
            elif has_come(socket):
                readable.add(socket)


def has_come(socket: Socket) -> bool:
    """Tell whether a message can be read from this socket."""
    return bool(socket.getsockopt(_EVENTS) & _READABLE)  # type: ignore[operator]
