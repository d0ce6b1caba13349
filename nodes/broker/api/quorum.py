"""DESCRIBE_QUORUM: how the members of the quorum are, told by the one that leads it."""

from __future__ import annotations

from collections.abc import Callable

from nodes.broker.cluster.controller_channel import ASK_AGAIN_MS, ControllerChannel
from nodes.broker.context import BrokerContext, Request
from transport.kernel import Now
from transport.wire.codec import Buffer
from transport.wire.errors import ErrorCode, meaning
from transport.wire.messages import Message, Refusal
from transport.wire.messages.ensemble import DescribeQuorumRequest, DescribeQuorumResponse

DescribeHere = Callable[[Now], DescribeQuorumResponse]
PATIENCE_MS = 10_000


class QuorumApi:
    """Asks the active controller, which in mode ``kraft`` leads the quorum."""

    def __init__(self, context: BrokerContext, channel: ControllerChannel) -> None:
        self._context = context
        self._channel = channel
        self.describe_here: DescribeHere | None = None
        """Of the member of the quorum in this process; None: there is none."""
        self.clients: dict[type[Message], Callable[[Request, Now], None]] = {
            DescribeQuorumRequest: self._on_client
        }
        self.peers: dict[type[Message], Callable[[Request, Now], None]] = {
            DescribeQuorumRequest: self._on_peer
        }

    def _on_client(self, request: Request, now: Now) -> None:
        if self._context.config.mode != "kraft":
            text = "in mode zookeeper no quorum of brokers keeps the metadata; ask the coordinators"
            self._context.reply(request, Refusal(ErrorCode.UNSUPPORTED_VERSION, text))
            return
        due_ms = request.due_ms(now, PATIENCE_MS)

        def take(answer: Message, _payload: tuple[Buffer, ...], now: Now) -> None:
            again = isinstance(answer, Refusal) and meaning(answer.error).retriable
            if again and now.mono_ms + ASK_AGAIN_MS < due_ms:
                # Nothing is changed by asking: whoever leads by then is asked.
                self._context.timers.after(now, ASK_AGAIN_MS, ask)
            else:
                self._context.reply(request, answer)

        def ask(now: Now) -> None:
            if self._channel.controller == self._context.id:
                take(self._here(now), (), now)
            else:
                self._channel.ask(DescribeQuorumRequest(), take, now)

        ask(now)

    def _on_peer(self, request: Request, now: Now) -> None:
        self._context.reply(request, self._here(now))

    def _here(self, now: Now) -> Message:
        told = None if self.describe_here is None else self.describe_here(now)
        if told is None or told.error != ErrorCode.NONE:
            return Refusal(ErrorCode.NOT_CONTROLLER, "this broker does not lead the quorum")
        return told
