"""Programs of another tongue, as a node's handlers see them: origins like any other.

A listener hands a stranger's request, translated, to the node's own dispatch; what is replied to the
stranger's origin comes back to the listener instead of leaving by ZeroMQ.  Nothing else can tell.
"""

from __future__ import annotations

from collections.abc import Callable

from nodes.config import NodeConfig
from nodes.runtime.relay import Relay
from transport.driver.ports import Door, Origin, Ports, Stranger
from transport.sockets.certificate import TlsFiles
from transport.wire.codec import Envelope

_ROUTE = b"stranger-"
"""ZeroMQ's routes have five bytes."""


def is_stranger(origin: Origin) -> bool:
    """Tell whether answers to this origin go to a listener: they have no frame of ours."""
    return origin.route.startswith(_ROUTE)


def tls_files(config: NodeConfig) -> TlsFiles | None:
    """Return what this node's listeners speak TLS with; None: they speak none."""
    if not config.tls_certificate:
        return None
    return TlsFiles(config.tls_certificate, config.tls_key, config.tls_client_ca)


OnReply = Callable[[Envelope], bool]
"""Takes an answer or an event; False: the stranger is gone or stuck, as ``Wire.reply``."""


class Strangers(Relay):
    """A node's ports, with a wire that knows the strangers. For nodes that have a listener only."""

    def __init__(self, ports: Ports) -> None:
        super().__init__(ports)
        self._known: dict[bytes, OnReply] = {}
        self._last = 0

    def admit(self, stranger: Stranger, on_reply: OnReply) -> Origin:
        """Return the origin of a stranger: it comes by the clients' door.

        ``on_reply`` may be called from within the handing over of a request.
        """
        self._last += 1
        route = _ROUTE + b"%d" % self._last
        self._known[route] = on_reply
        return Origin(Door.CLIENTS, route, stranger.address, stranger.principal, stranger.subject)

    def dismiss(self, origin: Origin) -> None:
        """Know a stranger no more: replies to it are refused."""
        self._known.pop(origin.route, None)

    def reply(self, origin: Origin, envelope: Envelope) -> bool:
        """Answer whoever asked: a stranger through its listener, others over their ROUTER."""
        on_reply = self._known.get(origin.route)
        if on_reply is not None:
            return on_reply(envelope)
        return not is_stranger(origin) and super().reply(origin, envelope)
