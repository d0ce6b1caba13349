"""The options every socket of ours has, and why.

ZeroMQ as it really behaves, each measured before it was written down here and each held by a test:

* ``IMMEDIATE=1``: without it requests for a killed peer are delivered to its successor on the port;
* ``ROUTER_MANDATORY=1``: without it a full or unknown route drops silently;
* no fixed ``ROUTING_ID``: two incarnations of one peer must never share a route;
* high-water marks count messages, not bytes: they are small, and byte budgets stand beside them;
* ``LINGER`` is set: the default keeps a process alive for ever because of one dead peer;
* ZMTP heartbeats prove only that an I/O thread lives: they are here to end half-open connections
  between hosts, and nothing is concluded from them about a loop.
"""

from __future__ import annotations

import socket as socket_module
from collections.abc import Sequence

import zmq

Buffer = bytes | bytearray | memoryview

FRAME_BYTES_MAX = 128 * 1024 * 1024
"""A frame above this ends its connection, before memory is given to it."""
MESSAGES_QUEUED_MAX = 1_000
RECONNECT_MS = 20
RECONNECT_MAX_MS = 500
CONNECT_TIMEOUT_MS = 2_000
"""A host that is cut off answers nothing: without a bound the kernel tries at ever longer intervals,
and finds out minutes after the netsplit that it has healed."""
LINGER_MS = 200
HEARTBEAT_MS = 3_000
HEARTBEAT_TIMEOUT_MS = 10_000
COPIED_BELOW_BYTES = 64 * 1024
"""A frame below this is copied into libzmq: lending it costs more."""

# Plain numbers: pyzmq's enumerations cost a microsecond each time two are put together.
_NO_WAIT = int(zmq.DONTWAIT)
_MORE_NO_WAIT = int(zmq.SNDMORE) | _NO_WAIT


class PortInUse(Exception):
    """An endpoint cannot be bound: names it, and what to do."""

    def __init__(self, endpoint: str, reason: str) -> None:
        super().__init__(
            f"cannot listen on {endpoint} ({reason}); "
            "free that port, or set it to 0 for any free one"
        )
        self.endpoint = endpoint


def prepare(socket: zmq.Socket[bytes]) -> None:
    """Set what all kinds of sockets share."""
    socket.setsockopt(zmq.LINGER, LINGER_MS)
    socket.setsockopt(zmq.SNDHWM, MESSAGES_QUEUED_MAX)
    socket.setsockopt(zmq.RCVHWM, MESSAGES_QUEUED_MAX)
    socket.setsockopt(zmq.MAXMSGSIZE, FRAME_BYTES_MAX)
    socket.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, RECONNECT_MAX_MS)
    socket.setsockopt(zmq.CONNECT_TIMEOUT, CONNECT_TIMEOUT_MS)
    socket.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS)


def bind(socket: zmq.Socket[bytes], endpoint: str) -> str:
    """Bind, and return the endpoint with its port; closes and raises :class:`PortInUse`."""
    try:
        socket.bind(endpoint)
    except zmq.ZMQError as error:
        socket.close(linger=0)
        raise PortInUse(endpoint, error.strerror or str(error)) from None
    return str(socket.get_string(zmq.LAST_ENDPOINT)).rstrip("\0")


def hang_up(descriptor: int) -> None:
    """End a connection that libzmq holds by this descriptor; libzmq hears of it as of any other end.

    Should it have closed it in this very moment, nothing happens, or what has its number by now ends
    and is connected anew.
    """
    try:
        connection = socket_module.socket(fileno=descriptor)
    except OSError:
        return  # closed, or no socket any more
    try:
        connection.shutdown(socket_module.SHUT_RDWR)
    except OSError:
        pass  # its other end was faster
    finally:
        connection.detach()  # to close it is for libzmq


def receive(socket: zmq.Socket[bytes]) -> list[bytes] | None:
    """Return the frames of the next message, or None when there is none."""
    first = receive_first(socket)
    return None if first is None else [first.bytes, *receive_rest(socket, first)]


def receive_first(socket: zmq.Socket[bytes]) -> zmq.Frame | None:
    """Return the first frame of the next message, or None when there is none."""
    try:
        return socket.recv(_NO_WAIT, copy=False)
    except zmq.Again:
        return None


def receive_rest(socket: zmq.Socket[bytes], frame: zmq.Frame) -> list[bytes]:
    """Return the frames after this one.

    A message is there as a whole or not at all: they are never waited for.
    """
    frames = []
    while frame.more:
        frame = socket.recv(_NO_WAIT, copy=False)
        frames.append(frame.bytes)
    return frames


def send(socket: zmq.Socket[bytes], frames: Sequence[Buffer]) -> None:
    """Send a message; raises ``zmq.Again`` when nothing of it could be sent."""
    for frame in frames[:-1]:
        socket.send(frame, _MORE_NO_WAIT, copy=len(frame) < COPIED_BELOW_BYTES)
    socket.send(frames[-1], _NO_WAIT, copy=len(frames[-1]) < COPIED_BELOW_BYTES)
