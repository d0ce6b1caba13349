"""CREATE_TOPICS and DELETE_TOPICS of clients: any broker takes them, the controller decides.

Answered when *this* broker has applied the change, so that a client that asks it next will find it.
"""

from __future__ import annotations

from collections.abc import Callable

from nodes.broker.context import BrokerContext, Request
from nodes.broker.controller_channel import ControllerChannel
from nodes.broker.metadata import Metadata
from nodes.core.controller.names import is_internal
from transport.kernel import Now
from transport.wire.codec import Buffer
from transport.wire.errors import ErrorCode
from transport.wire.messages import Message, Refusal
from transport.wire.messages.topics import (
    CreateTopicsRequest,
    CreateTopicsResponse,
    DeleteTopicsRequest,
    DeleteTopicsResponse,
)

TIMEOUT_MAX_MS = 60_000
TOPICS_AT_ONCE_MAX = 1_000
NAME_CHARACTERS_MAX = 1_000
"""Names above this are not even carried to where they would be judged."""


class TopicAdministration:
    """Forwards to the controller, and waits for the image."""

    def __init__(
        self, context: BrokerContext, channel: ControllerChannel, metadata: Metadata
    ) -> None:
        self._context = context
        self._channel = channel
        self._metadata = metadata
        self.handlers: dict[type[Message], Callable[[Request, Now], None]] = {
            CreateTopicsRequest: self._on_create,
            DeleteTopicsRequest: self._on_delete,
        }

    def _on_create(self, request: Request, now: Now) -> None:
        body = request.envelope.body
        assert isinstance(body, CreateTopicsRequest)
        self._forward(request, [topic.name for topic in body.topics], body.timeout_ms, now)

    def _on_delete(self, request: Request, now: Now) -> None:
        body = request.envelope.body
        assert isinstance(body, DeleteTopicsRequest)
        self._forward(request, list(body.topics), body.timeout_ms, now)

    def _forward(self, request: Request, names: list[str], timeout_ms: int, now: Now) -> None:
        if len(names) > TOPICS_AT_ONCE_MAX:
            text = f"{len(names)} topics at once; send at most {TOPICS_AT_ONCE_MAX}"
            self._context.reply(request, Refusal(ErrorCode.INVALID_REQUEST, text))
            return
        if any(len(name) > NAME_CHARACTERS_MAX for name in names):
            text = f"a topic name of more than {NAME_CHARACTERS_MAX} characters"
            self._context.reply(request, Refusal(ErrorCode.INVALID_TOPIC, text))
            return
        internal = [name for name in names if is_internal(name)]
        if internal:
            text = f"{internal[0]} is an internal topic: it is made on first use, and stays"
            self._context.reply(request, Refusal(ErrorCode.INVALID_TOPIC, text))
            return
        due_ms = request.due_ms(now, min(timeout_ms, TIMEOUT_MAX_MS))

        def on_answer(answer: Message, _payload: tuple[Buffer, ...], now: Now) -> None:
            self._on_decided(request, answer, due_ms, now)

        self._channel.ask_until(request.envelope.body, on_answer, due_ms, now)

    def _on_decided(self, request: Request, answer: Message, due_ms: int, now: Now) -> None:
        if not isinstance(answer, CreateTopicsResponse | DeleteTopicsResponse):
            self._context.reply(request, answer)
            return

        def on_applied(applied: bool, _now: Now) -> None:
            late = Refusal(ErrorCode.REQUEST_TIMED_OUT, "decided, but not yet known to this broker")
            self._context.reply(request, answer if applied else late)

        self._metadata.when_applied(answer.version, on_applied, due_ms, now)
