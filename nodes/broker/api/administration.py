"""Requests of clients that the controller decides: any broker takes them and passes them on.

Answered when *this* broker has applied the change, so that a client that asks it next will find it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from nodes.broker.cluster.controller_channel import ControllerChannel
from nodes.broker.cluster.metadata import Metadata
from nodes.broker.context import BrokerContext, Request
from nodes.core.controller.core import VERSIONED
from nodes.core.controller.names import is_internal
from transport.kernel import Now
from transport.wire.codec import Buffer
from transport.wire.errors import ErrorCode
from transport.wire.messages import Message, Refusal
from transport.wire.messages.acls import CreateAclsRequest, DeleteAclsRequest
from transport.wire.messages.configs import AlterConfigsRequest
from transport.wire.messages.quotas import AlterClientQuotasRequest
from transport.wire.messages.reassignments import (
    AlterReassignmentsRequest,
    DrainBrokerRequest,
    ElectLeadersRequest,
    UnregisterBrokerRequest,
)
from transport.wire.messages.topics import (
    CreatePartitionsRequest,
    CreateTopicsRequest,
    DeleteTopicsRequest,
)
from transport.wire.messages.users import AlterUserScramCredentialsRequest

TIMEOUT_MAX_MS = 60_000
SUBJECTS_MAX = 1_000
"""Topics and the like in one request."""
NAME_CHARACTERS_MAX = 1_000
"""Names above this are not even carried to where they would be judged."""

PASSED_ON: dict[type[Message], Callable[[Any], Iterable[str]]] = {
    CreateTopicsRequest: lambda body: (topic.name for topic in body.topics),
    DeleteTopicsRequest: lambda body: body.topics,
    CreatePartitionsRequest: lambda body: (topic.name for topic in body.topics),
    AlterReassignmentsRequest: lambda body: (part.topic for part in body.partitions),
    ElectLeadersRequest: lambda body: (topic for topic, _ in body.partitions or ()),
    DrainBrokerRequest: lambda body: (),
    UnregisterBrokerRequest: lambda body: (),
    AlterConfigsRequest: lambda body: (resource.name for resource in body.resources),
    AlterClientQuotasRequest: lambda body: (
        name
        for entry in body.entries
        for name in (entry.entity.user, entry.entity.client_id)
        if name
    ),
    CreateAclsRequest: lambda body: (binding.name for binding in body.acls),
    DeleteAclsRequest: lambda body: (wanted.name or "" for wanted in body.filters),
    AlterUserScramCredentialsRequest: lambda body: (change.user for change in body.changes),
}
"""What is passed on, and the names in it. Each has a ``timeout_ms``."""
OF_TOPICS_ALONE = frozenset({CreateTopicsRequest, DeleteTopicsRequest, CreatePartitionsRequest})
"""What nobody may do to internal topics."""


class Administration:
    """Passes on to the controller, and waits for the image."""

    def __init__(
        self, context: BrokerContext, channel: ControllerChannel, metadata: Metadata
    ) -> None:
        self._context = context
        self._channel = channel
        self._metadata = metadata
        self.handlers: dict[type[Message], Callable[[Request, Now], None]] = dict.fromkeys(
            PASSED_ON, self._on_request
        )

    def _on_request(self, request: Request, now: Now) -> None:
        body: Any = request.envelope.body
        names = list(PASSED_ON[type(body)](body))
        if len(names) > SUBJECTS_MAX:
            text = f"{len(names)} at once; send at most {SUBJECTS_MAX}"
            self._context.reply(request, Refusal(ErrorCode.INVALID_REQUEST, text))
            return
        if any(len(name) > NAME_CHARACTERS_MAX for name in names):
            text = f"a topic name of more than {NAME_CHARACTERS_MAX} characters"
            self._context.reply(request, Refusal(ErrorCode.INVALID_TOPIC, text))
            return
        internal = [name for name in names if is_internal(name)]
        if internal and type(body) in OF_TOPICS_ALONE:
            text = f"{internal[0]} is an internal topic: it is made on first use, and stays"
            self._context.reply(request, Refusal(ErrorCode.INVALID_TOPIC, text))
            return
        timeout_ms = body.timeout_ms
        if timeout_ms <= 0:  # as some send that do not want to wait, and then would know nothing
            timeout_ms = self._context.config.broker.request_timeout_ms
        due_ms = request.due_ms(now, min(timeout_ms, TIMEOUT_MAX_MS))

        def on_answer(answer: Message, _payload: tuple[Buffer, ...], now: Now) -> None:
            self._on_decided(request, answer, due_ms, now)

        self._channel.ask_until(body, on_answer, due_ms, now)

    def _on_decided(self, request: Request, answer: Message, due_ms: int, now: Now) -> None:
        if not isinstance(answer, VERSIONED):
            self._context.reply(request, answer)
            return

        def on_applied(applied: bool, _now: Now) -> None:
            late = Refusal(ErrorCode.REQUEST_TIMED_OUT, "decided, but not yet known to this broker")
            self._context.reply(request, answer if applied else late)

        self._metadata.when_applied(answer.version, on_applied, due_ms, now)
