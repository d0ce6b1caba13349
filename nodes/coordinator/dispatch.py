"""Message type -> handler, and by which door it may come. No message is looked at anywhere else."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from nodes.coordinator.context import CoordinatorContext, Request
from nodes.coordinator.peers import misaddressed
from transport.driver.ports import Door, Origin
from transport.kernel import Now
from transport.wire.codec import Envelope, Kind
from transport.wire.errors import ErrorCode, meaning
from transport.wire.messages import Message, Refusal

ANY_DOOR = frozenset(Door)
PEERS_ONLY = frozenset({Door.PEERS})

OnRequest = Callable[[Request, Now], None]
OnTold = Callable[[Envelope, Now], None]


class Asked(NamedTuple):
    """How requests of one type are taken."""

    handler: OnRequest
    doors: frozenset[Door] = ANY_DOOR


class Dispatch:
    """The tables, and the judgement of what fits none of them."""

    def __init__(
        self,
        context: CoordinatorContext,
        requests: dict[type[Message], Asked],
        told: dict[type[Message], OnTold],
        events: dict[type[Message], OnTold],
    ) -> None:
        self._context = context
        self._requests = requests
        self._told = told
        self._events = events
        self.handles = frozenset((*requests, *told))
        """What has a handler at a door."""

    def on_message(self, origin: Origin | int, envelope: Envelope, now: Now) -> None:
        """Hand a message to its handler, or refuse it; never raises because of what it says."""
        if not isinstance(origin, Origin):
            self._on_event(envelope, now)
        elif envelope.kind == Kind.REQUEST:
            self._on_request(Request(origin, envelope), now)
        elif envelope.kind == Kind.ONE_WAY and origin.door is Door.PEERS:
            self._on_told(envelope, now)
        else:
            self._context.count("messages_unexpected")

    def _on_request(self, request: Request, now: Now) -> None:
        envelope = request.envelope
        error = misaddressed(self._context.config, envelope)
        if error is not None:
            self._refuse(request, error)
        elif self._context.stopping:
            self._refuse(request, ErrorCode.STOPPING)
        else:
            asked = self._requests.get(type(envelope.body))
            if asked is None or request.origin.door not in asked.doors:
                self._refuse(request, ErrorCode.UNKNOWN_API)
            else:
                asked.handler(request, now)

    def _on_told(self, envelope: Envelope, now: Now) -> None:
        handler = self._told.get(type(envelope.body))
        config = self._context.config
        foreign = envelope.cluster_id != config.cluster_id or misaddressed(config, envelope)
        if handler is None or foreign:
            self._context.count("peer_messages_refused")
        else:
            handler(envelope, now)

    def _on_event(self, envelope: Envelope, now: Now) -> None:
        handler = self._events.get(type(envelope.body))
        known = envelope.kind == Kind.EVENT and handler is not None
        if handler is None or not known or misaddressed(self._context.config, envelope):
            self._context.count("events_refused")
        else:
            handler(envelope, now)

    def _refuse(self, request: Request, error: ErrorCode) -> None:
        self._context.count("requests_refused")
        self._context.reply(request, Refusal(int(error), meaning(error).text))
