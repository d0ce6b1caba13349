"""A broker about to stop: others lead first, as its supervisor or the controller's word has it."""

from __future__ import annotations

from collections.abc import Callable

from nodes.broker.cluster.controller_channel import ControllerChannel
from nodes.broker.cluster.metadata import Metadata
from nodes.broker.context import BrokerContext, Request
from transport.kernel import Now
from transport.wire.codec import Buffer
from transport.wire.errors import ErrorCode
from transport.wire.messages import Message
from transport.wire.messages.reassignments import (
    ControlledShutdownRequest,
    ControlledShutdownResponse,
    HandOverRequest,
    HandOverResponse,
)

HAND_OVER_MAX_MS = 10_000


class Departure:
    """Answers HandOver once this broker knows that it leads nothing another could lead."""

    def __init__(
        self, context: BrokerContext, channel: ControllerChannel, metadata: Metadata
    ) -> None:
        self._context = context
        self._channel = channel
        self._metadata = metadata
        self.handlers: dict[type[Message], Callable[[Request, Now], None]] = {
            HandOverRequest: self._on_request
        }

    def _on_request(self, request: Request, now: Now) -> None:
        due_ms = request.due_ms(now, HAND_OVER_MAX_MS)
        body = ControlledShutdownRequest(self._context.id, self._context.broker_epoch)

        def on_answer(answer: Message, _payload: tuple[Buffer, ...], now: Now) -> None:
            if not isinstance(answer, ControlledShutdownResponse) or answer.error:
                self._context.reply(request, answer)
                return

            def on_applied(applied: bool, _now: Now) -> None:
                error = ErrorCode.NONE if applied else ErrorCode.REQUEST_TIMED_OUT
                self._context.reply(request, HandOverResponse(error, answer.remaining))

            self._context.tell(f"handed leaderships over; {answer.remaining} stay with nobody else")
            self._metadata.when_applied(answer.version, on_applied, due_ms, now)

        self._channel.ask_until(body, on_answer, due_ms, now)
