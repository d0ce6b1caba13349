"""A supervisor's word that a node has been removed: this one names it, calls it and hears it no more."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from nodes.broker.cluster.peers import Peers
from nodes.broker.context import BrokerContext, Request
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.messages import Message
from transport.wire.messages.cluster import (
    ForgetNodeRequest,
    ForgetNodeResponse,
    is_proven_removal,
)


class Removals:
    """Answers at the peers' door."""

    def __init__(self, context: BrokerContext, peers: Peers) -> None:
        self._context = context
        self._peers = peers
        self.handlers: dict[type[Message], Callable[[Request, Now], None]] = {
            ForgetNodeRequest: self._on_removal
        }

    def _on_removal(self, request: Request, now: Now) -> None:
        told = cast("ForgetNodeRequest", request.envelope.body)
        context, error = self._context, ErrorCode.NONE
        if not is_proven_removal(context.config.supervisor_key, told):
            context.count("removals_refused")
            error = ErrorCode.CLUSTER_AUTHORIZATION_FAILED
        elif told.name == context.config.name:
            error = ErrorCode.INVALID_REQUEST
        else:
            self.forget(told, now)
        context.reply(request, ForgetNodeResponse(int(error)))

    def forget(self, told: ForgetNodeRequest, now: Now) -> None:
        """Know a node no more; on a member of the quorum that has judged the word already."""
        self._context.config = self._context.config.without(told.name)
        self._peers.forget(told.node_id, now)
