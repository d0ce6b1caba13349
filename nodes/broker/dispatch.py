"""Which handler gets an arrived message: one table for each door, one for events.

Owns the judgement whether a message is meant for this node at all.  Whatever a peer sends, it gets
an error answer where one can be sent, and is counted; it never harms the node.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nodes.broker.authorization import Authorizer
from nodes.broker.context import BrokerContext, Request
from transport.driver.ports import Door, Origin
from transport.kernel import Now
from transport.wire.codec import ANY_INCARNATION, ANY_NODE, NO_CLUSTER, Envelope, Kind
from transport.wire.errors import ErrorCode
from transport.wire.ids import NO_NODE
from transport.wire.messages import Message, Refusal
from transport.wire.messages.cluster import HealthRequest
from transport.wire.messages.fetch import FetchRequest, OffsetForLeaderEpochRequest

Handler = Callable[[Request, Now], None]
Handlers = Mapping[type[Message], Handler]
OnEvent = Callable[[Any, Now], None]


class Dispatch:
    """Hands messages to the broker's parts."""

    def __init__(
        self,
        context: BrokerContext,
        *,
        clients: Handlers,
        peers: Handlers,
        events: Mapping[type[Message], OnEvent],
        knows_acls: Callable[[], bool] = lambda: True,
    ) -> None:
        """``knows_acls``: the image is one of the cluster's present."""
        self._context = context
        self._authorizer = Authorizer(context, knows_acls)
        self.allows = self._authorizer.allows
        self._clients, self._peers = clients, peers
        self._events = events
        self.handles = frozenset(clients) | frozenset(peers)
        """What has a handler at a door."""
        self.refuse_all: Refusal | None = None
        """Set while the node is stopping: the answer to every request but HEALTH."""

    def on_request(self, origin: Origin, envelope: Envelope, now: Now) -> None:
        """Handle what came over one of the doors."""
        request = Request(origin, envelope)
        if envelope.kind != Kind.REQUEST:
            self._context.count("unexpected_messages")
            return
        refusal = self._misdirected(envelope) or _impostor(origin, envelope)
        if self.refuse_all is not None and not isinstance(envelope.body, HealthRequest):
            refusal = self.refuse_all
        handlers = self._clients if origin.door is Door.CLIENTS else self._peers
        handler = handlers.get(type(envelope.body))
        if refusal is not None:
            self._refuse(request, refusal)
        elif handler is None:
            text = f"{envelope.api.name} is not answered at the {origin.door.value} door"
            self._refuse(request, Refusal(ErrorCode.UNKNOWN_API, text))
        else:
            admitted = self._authorizer.admit(request)
            if admitted is not None:
                handler(admitted, now)

    def on_event(self, envelope: Envelope, now: Now) -> None:
        """Handle an event of another broker."""
        handler = self._events.get(type(envelope.body))
        if handler is None or envelope.kind != Kind.EVENT or self._foreign(envelope):
            self._context.count("unexpected_events")
        else:
            handler(envelope.body, now)

    def _refuse(self, request: Request, refusal: Refusal) -> None:
        self._context.count("requests_refused")
        self._context.reply(request, refusal)

    def _foreign(self, envelope: Envelope) -> bool:
        return envelope.cluster_id not in (NO_CLUSTER, self._context.config.cluster_id)

    def _misdirected(self, envelope: Envelope) -> Refusal | None:
        """Return why this message is not for us, or None."""
        config = self._context.config
        if self._foreign(envelope):
            text = f"this is cluster {config.cluster_id}"
            return Refusal(ErrorCode.INCONSISTENT_CLUSTER_ID, text)
        if envelope.destination not in (ANY_NODE, config.name):
            return Refusal(ErrorCode.WRONG_NODE, f"this is {config.name}")
        if envelope.incarnation not in (ANY_INCARNATION, config.incarnation):
            text = f"this is incarnation {config.incarnation} of {config.name}"
            return Refusal(ErrorCode.WRONG_INCARNATION, text)
        return None


def _impostor(origin: Origin, envelope: Envelope) -> Refusal | None:
    """Only brokers read as replicas: by a client's word no high watermark moves."""
    body = envelope.body
    if origin.door is Door.PEERS or not isinstance(
        body, FetchRequest | OffsetForLeaderEpochRequest
    ):
        return None
    if body.replica_id == NO_NODE:
        return None
    return Refusal(ErrorCode.INVALID_REQUEST, "replica_id: a client reads without one (-1)")
