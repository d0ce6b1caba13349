"""Plain TCP: a socket that listens, and the connections made to it, as bytes in order.

Nothing here blocks.  What was sent and has not left yet is counted; who may have how much of that is
for the owner to say.
"""

from __future__ import annotations

import errno
import socket
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice

from transport.sockets.options import Buffer, PortInUse

BACKLOG = 512
"""Connections that the kernel keeps until they are accepted."""
FRAMES_AT_ONCE = 64
"""Handed to the kernel in one call."""
NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class ListeningSocket:
    """One bound port. ``endpoint`` names it, with the port it was given."""

    def __init__(self, endpoint: str) -> None:
        """Bind ``tcp://host:port`` (host ``*``: every address). Raises :class:`PortInUse`."""
        host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
        bare = host.strip("[]")
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                None if bare in ("", "*") else bare,
                int(port),
                type=socket.SOCK_STREAM,
                flags=socket.AI_PASSIVE,
            )[0]
            self.socket = socket.socket(family, kind, protocol)
        except OSError as error:
            raise PortInUse(endpoint, error.strerror or str(error)) from None
        try:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.socket.bind(address)
            self.socket.listen(BACKLOG)
        except OSError as error:
            self.socket.close()
            raise PortInUse(endpoint, error.strerror or str(error)) from None
        self.socket.setblocking(False)
        self.endpoint = f"tcp://{host}:{self.socket.getsockname()[1]}"

    def accept(self) -> tuple[StreamSocket, str] | None:
        """Return the next connection and the IP address it comes from; None: there is none now.

        Raises OSError when this process, or this machine, can hold no more of them.
        """
        while True:
            try:
                accepted, address = self.socket.accept()
            except BlockingIOError:
                return None
            except OSError as error:
                if error.errno in NO_DESCRIPTOR:
                    raise
                continue  # that one had gone before it was accepted
            return StreamSocket(accepted), str(address[0])

    def close(self) -> None:
        """Listen no more."""
        self.socket.close()


class StreamSocket:
    """One connection."""

    is_ready = True
    """What is received is for its reader: no handshake comes first."""
    fault = ""
    """Why it has ended, where that is the other end's fault."""
    principal = ""
    """Whom it proves the other end to be."""
    subject = ""
    """The same, as its certificate says it."""

    def __init__(self, accepted: socket.socket) -> None:
        accepted.setblocking(False)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = accepted
        self._out: deque[Buffer] = deque()
        self.unsent_bytes = 0
        self.ended = False
        """Nothing comes any more."""

    def fileno(self) -> int:
        """Return its descriptor."""
        return self._socket.fileno()

    def receive(self, bytes_max: int) -> bytes | None:
        """Return what has come; None: nothing, or nothing more (``ended``)."""
        try:
            data = self._socket.recv(bytes_max)
        except BlockingIOError:
            return None
        except OSError:
            data = b""
        self.ended = not data
        return data or None

    def acknowledge(self) -> None:
        """Have the kernel say at once that what has come is here, where it can be asked to.

        It waits some 40 ms for an answer to say it with, and so long a client without TCP_NODELAY
        sends no more.
        """
        if hasattr(socket, "TCP_QUICKACK"):
            with suppress(OSError):  # it has ended: that is told by reading
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def queue(self, frames: Sequence[Buffer]) -> None:
        """Send these behind what is queued, at the next :meth:`flush`."""
        for frame in frames:
            if len(frame):
                self._out.append(frame)
                self.unsent_bytes += len(frame)

    def flush(self) -> None:
        """Hand the kernel what it takes; what is left is in ``unsent_bytes``.

        Of a broken connection nothing is left: that it has ended is told by reading.
        """
        while self._out:
            try:
                sent = self._socket.sendmsg(list(islice(self._out, FRAMES_AT_ONCE)))
            except BlockingIOError:
                return
            except OSError:
                self.drop()
                return
            self.unsent_bytes -= sent
            while sent:
                first = self._out[0]
                if len(first) > sent:
                    self._out[0] = memoryview(first)[sent:]
                    break
                sent -= len(first)
                self._out.popleft()

    def drop(self) -> None:
        """Send nothing of what is queued."""
        self._out.clear()
        self.unsent_bytes = 0

    def end(self) -> None:
        """Say, behind what is queued, that nothing comes any more: closing says it."""

    def close(self) -> None:
        """Close; what the kernel was given still leaves."""
        self._socket.close()
