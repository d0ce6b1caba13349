"""Before a transactional batch begins a transaction in a partition, its coordinator is asked (KIP-890).

The leader of the partition asks, on behalf of the producer: the coordinator takes the partition into
the producer's ongoing transaction, or refuses.  So every transactional batch in a log belongs to a
transaction whose end will reach that log.
"""

from __future__ import annotations

from nodes.broker.context import BrokerContext
from nodes.broker.internal_topics import InternalTopics
from nodes.broker.peers import Peers
from nodes.broker.produce import OnVerdict
from transport.kernel import Now
from transport.wire.codec import Buffer
from transport.wire.errors import ErrorCode, meaning
from transport.wire.messages import Message, Refusal
from transport.wire.messages.coordinators import KEY_TRANSACTION
from transport.wire.messages.transactions import (
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse,
)


class Verification:
    """Asks coordinators, here or at another broker."""

    def __init__(self, context: BrokerContext, peers: Peers, topics: InternalTopics) -> None:
        self._context = context
        self._peers = peers
        self._topics = topics

    def verify(self, request: AddPartitionsToTxnRequest, on_verdict: OnVerdict, now: Now) -> None:
        """Ask; ends in one call of ``on_verdict``, perhaps at once."""

        def on_reply(body: Message, now: Now) -> None:
            on_verdict(*_verdict(body), now)

        def on_answer(body: Message, _payload: tuple[Buffer, ...], now: Now) -> None:
            on_reply(body, now)

        coordinator = self._topics.leader_of(KEY_TRANSACTION, request.transactional_id)
        if coordinator == self._context.id:
            self._topics.ask(KEY_TRANSACTION, request.transactional_id, request, on_reply, now)
            return
        link = None if coordinator is None else self._peers.link(coordinator)
        if link is None or not self._context.ask(link, request, on_answer, now):
            error = ErrorCode.COORDINATOR_NOT_AVAILABLE
            on_verdict(error, meaning(error).text, now)


def _verdict(body: Message) -> tuple[ErrorCode, str]:
    if not isinstance(body, AddPartitionsToTxnResponse | Refusal):
        return ErrorCode.UNKNOWN_SERVER_ERROR, "the transaction coordinator's answer is none"
    try:
        error = ErrorCode(body.error)
    except ValueError:
        error = ErrorCode.UNKNOWN_SERVER_ERROR
    return error, body.text or meaning(error).text
