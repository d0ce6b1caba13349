"""Before a transactional batch begins a transaction in a partition, its coordinator is asked (KIP-890).

The leader of the partition asks, on behalf of the producer: the coordinator takes the partition into
the producer's ongoing transaction, or refuses.  So every transactional batch in a log belongs to a
transaction whose end will reach that log.

An answer that a transaction's end has overtaken counts no more.  The epoch shows it, except for a
producer that keeps its own (``nodes/core/transaction/requests.py``): its markers end what is asked.
"""

from __future__ import annotations

from collections.abc import Iterable

from nodes.broker.cluster.peers import Peers
from nodes.broker.context import BrokerContext
from nodes.broker.coordinators.keyed_shards import KeyedShards
from nodes.broker.records.produce import OnVerdict
from transport.kernel import Now
from transport.wire.codec import Buffer
from transport.wire.errors import ErrorCode, meaning
from transport.wire.ids import ProducerId
from transport.wire.messages import Message, Refusal
from transport.wire.messages.coordinators import KEY_TRANSACTION
from transport.wire.messages.transactions import (
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse,
    TransactionMarker,
)


class _Question:
    """One that has no answer yet."""

    __slots__ = ("overtaken",)

    def __init__(self) -> None:
        self.overtaken = False


class Verification:
    """Asks coordinators, here or at another broker."""

    def __init__(self, context: BrokerContext, peers: Peers, keys: KeyedShards) -> None:
        self._context = context
        self._peers = peers
        self._keys = keys
        self._open: dict[ProducerId, set[_Question]] = {}

    def take_markers(self, markers: Iterable[TransactionMarker]) -> None:
        """Transactions have ended: what was asked about them is answered for the past."""
        for marker in markers:
            if marker.keeps_epoch:
                for question in self._open.get(marker.producer_id, ()):
                    question.overtaken = True

    def verify(self, request: AddPartitionsToTxnRequest, on_verdict: OnVerdict, now: Now) -> None:
        """Ask; ends in one call of ``on_verdict``, perhaps at once."""
        question = _Question()
        mine = self._open.setdefault(request.producer_id, set())
        mine.add(question)

        def on_reply(body: Message, now: Now) -> None:
            mine.discard(question)
            if not mine and self._open.get(request.producer_id) is mine:
                del self._open[request.producer_id]
            error, text = _verdict(body)
            if error is ErrorCode.NONE and question.overtaken:
                error, text = ErrorCode.INVALID_TXN_STATE, "the transaction has ended meanwhile"
            on_verdict(error, text, now)

        def on_answer(body: Message, _payload: tuple[Buffer, ...], now: Now) -> None:
            on_reply(body, now)

        coordinator = self._keys.leader_of(KEY_TRANSACTION, request.transactional_id)
        if coordinator == self._context.id:
            self._keys.ask(KEY_TRANSACTION, request.transactional_id, request, on_reply, now)
            return
        link = None if coordinator is None else self._peers.link(coordinator)
        if link is None or not self._context.ask(link, request, on_answer, now):
            error = ErrorCode.COORDINATOR_NOT_AVAILABLE
            on_reply(Refusal(error, meaning(error).text), now)


def _verdict(body: Message) -> tuple[ErrorCode, str]:
    if not isinstance(body, AddPartitionsToTxnResponse | Refusal):
        return ErrorCode.UNKNOWN_SERVER_ERROR, "the transaction coordinator's answer is none"
    try:
        error = ErrorCode(body.error)
    except ValueError:
        error = ErrorCode.UNKNOWN_SERVER_ERROR
    return error, body.text or meaning(error).text
