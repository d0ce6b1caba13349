"""INIT_PRODUCER_ID: ids out of blocks that the controller gives to this broker alone.

A block that is not used up when the process ends is lost; there are 2⁶³ ids.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from nodes.broker.context import BrokerContext, Request
from nodes.broker.controller_channel import ControllerChannel
from transport.kernel import Now
from transport.wire.codec import Buffer
from transport.wire.errors import ErrorCode
from transport.wire.ids import ProducerEpoch, ProducerId
from transport.wire.messages import Message, Refusal
from transport.wire.messages.metadata import (
    AllocateProducerIdsRequest,
    AllocateProducerIdsResponse,
)
from transport.wire.messages.produce import InitProducerIdRequest, InitProducerIdResponse

WAITING_MAX = 1_000
AGAIN_MS = 50
FIRST_EPOCH = ProducerEpoch(0)


class ProducerIds:
    """Hands out producer ids, each once."""

    def __init__(self, context: BrokerContext, channel: ControllerChannel) -> None:
        self._context = context
        self._channel = channel
        self._next = 0
        self._end = 0
        self._asking = False
        self._waiting: deque[tuple[Request, int]] = deque()
        self.handlers: dict[type[Message], Callable[[Request, Now], None]] = {
            InitProducerIdRequest: self._on_request
        }

    def _on_request(self, request: Request, now: Now) -> None:
        """Give a new id with epoch 0.

        A producer that has an id and asks for a new epoch gets a new id instead: without a
        transactional id nobody else could hold the old one (KIP-360).
        """
        body = request.envelope.body
        assert isinstance(body, InitProducerIdRequest)
        if body.transactional_id is not None:
            text = "transactional_id: transactions are not offered by this cluster; leave it out"
            self._context.reply(request, Refusal(ErrorCode.INVALID_REQUEST, text))
        elif self._next < self._end:
            self._give(request)
        elif len(self._waiting) >= WAITING_MAX:
            text = "too many producers wait for an id"
            self._context.reply(request, Refusal(ErrorCode.OVERLOADED, text))
        else:
            due_ms = request.due_ms(now, self._context.config.broker.request_timeout_ms)
            self._waiting.append((request, due_ms))
            self._ask(now)

    def _give(self, request: Request) -> None:
        answer = InitProducerIdResponse(ErrorCode.NONE, ProducerId(self._next), FIRST_EPOCH)
        self._next += 1
        self._context.reply(request, answer)

    def _ask(self, now: Now) -> None:
        if self._asking:
            return
        self._asking = True
        request = AllocateProducerIdsRequest(self._context.id, self._context.broker_epoch)
        self._channel.ask(request, self._on_block, now)

    def _on_block(self, body: Message, _payload: tuple[Buffer, ...], now: Now) -> None:
        self._asking = False
        got = isinstance(body, AllocateProducerIdsResponse) and body.error == ErrorCode.NONE
        if got and isinstance(body, AllocateProducerIdsResponse):
            self._next, self._end = body.first, body.first + body.count
        waiting, self._waiting = self._waiting, deque()
        for request, due_ms in waiting:
            if due_ms <= now.mono_ms:
                late = Refusal(ErrorCode.REQUEST_TIMED_OUT, "no block of producer ids in time")
                self._context.reply(request, late)
            elif self._next < self._end:
                self._give(request)
            else:
                self._waiting.append((request, due_ms))
        if self._waiting:
            again_ms = 0 if got else AGAIN_MS
            self._context.timers.after(now, again_ms, self._ask)
