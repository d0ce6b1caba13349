"""Producer ids, out of blocks that the controller gives to this broker alone.

A block that is not used up when the process ends is lost; there are 2⁶³ ids.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from nodes.broker.cluster.controller_channel import ControllerChannel
from nodes.broker.context import BrokerContext, Request
from transport.kernel import Now
from transport.wire.codec import Buffer
from transport.wire.errors import ErrorCode
from transport.wire.ids import ProducerEpoch, ProducerId
from transport.wire.messages import Message, Refusal
from transport.wire.messages.metadata import (
    AllocateProducerIdsRequest,
    AllocateProducerIdsResponse,
)
from transport.wire.messages.produce import InitProducerIdResponse

WAITING_MAX = 1_000
AGAIN_MS = 50
FIRST_EPOCH = ProducerEpoch(0)

OnId = Callable[[ProducerId | Refusal, Now], None]


class ProducerIds:
    """Hands out producer ids, each once."""

    def __init__(self, context: BrokerContext, channel: ControllerChannel) -> None:
        self._context = context
        self._channel = channel
        self._next = 0
        self._end = 0
        self._asking = False
        self._waiting: deque[tuple[OnId, int]] = deque()

    def on_request(self, request: Request, now: Now) -> None:
        """Answer an idempotent producer: a new id with epoch 0.

        A producer that has an id and asks for a new epoch gets a new id instead: without a
        transactional id nobody else could hold the old one (KIP-360).
        """

        def on_id(fresh: ProducerId | Refusal, _now: Now) -> None:
            if isinstance(fresh, Refusal):
                self._context.reply(request, fresh)
            else:
                answer = InitProducerIdResponse(ErrorCode.NONE, fresh, FIRST_EPOCH)
                self._context.reply(request, answer)

        due_ms = request.due_ms(now, self._context.config.broker.request_timeout_ms)
        self.take(on_id, due_ms, now)

    def take(self, on_id: OnId, due_ms: int, now: Now) -> None:
        """Take an id that nobody has; ends in one call of ``on_id``, perhaps at once."""
        if self._next < self._end:
            self._give(on_id, now)
        elif len(self._waiting) >= WAITING_MAX:
            on_id(Refusal(ErrorCode.OVERLOADED, "too many producers wait for an id"), now)
        else:
            self._waiting.append((on_id, due_ms))
            self._ask(now)

    def _give(self, on_id: OnId, now: Now) -> None:
        fresh = ProducerId(self._next)
        self._next += 1
        on_id(fresh, now)

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
        for on_id, due_ms in waiting:
            if due_ms <= now.mono_ms:
                late = Refusal(ErrorCode.REQUEST_TIMED_OUT, "no block of producer ids in time")
                on_id(late, now)
            elif self._next < self._end:
                self._give(on_id, now)
            else:
                self._waiting.append((on_id, due_ms))
        if self._waiting:
            again_ms = 0 if got else AGAIN_MS
            self._context.timers.after(now, again_ms, self._ask)
