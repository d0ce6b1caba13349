"""DESCRIBE_QUORUM: how the members of the quorum are, told by the one that leads it."""

from __future__ import annotations

from collections.abc import Callable

from nodes.broker.context import BrokerContext, Request
from nodes.broker.controller_channel import ControllerChannel
from transport.kernel import Now
from transport.wire.codec import Buffer
from transport.wire.errors import ErrorCode
from transport.wire.messages import Message
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
            self._context.reply(request, DescribeQuorumResponse(ErrorCode.UNSUPPORTED_VERSION))
        elif self._channel.controller == self._context.id:
            self._on_peer(request, now)
        else:

            def on_answer(answer: Message, _payload: tuple[Buffer, ...], _now: Now) -> None:
                self._context.reply(request, answer)

            due_ms = request.due_ms(now, PATIENCE_MS)
            self._channel.ask_until(DescribeQuorumRequest(), on_answer, due_ms, now)

    def _on_peer(self, request: Request, now: Now) -> None:
        here = self.describe_here
        told = DescribeQuorumResponse(ErrorCode.NOT_RAFT_LEADER) if here is None else here(now)
        self._context.reply(request, told)
