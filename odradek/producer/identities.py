"""Under which producer id and epoch a partition is written to.

A producer asks for one id, and begins each partition under it.  Where a batch has ended without being
written, or so that nobody knows, its partition begins anew under the next *epoch* of the id: what was
sent under the last one, and waits unread on some broken connection, is fenced with the first batch
that is written, and can not come after it.  It must not know what is sent, or when.

Source: KIP-98, KIP-360.
"""

from __future__ import annotations

from collections.abc import Callable

from odradek.cluster.errands import Errands, error_of, failure_of
from odradek.errors import OdradekError
from odradek.producer.accumulator import Identity, Lane
from odradek.producer.transaction import ProducerTransaction
from transport.kernel import Now
from transport.wire.errors import ErrorCode, meaning
from transport.wire.ids import PRODUCER_EPOCH_MAX, ProducerEpoch
from transport.wire.messages import Message
from transport.wire.messages.produce import InitProducerIdRequest, InitProducerIdResponse

ASK_TIMEOUT_MS = 30_000


class Identities:
    """Gives lanes their identity; in transactions, that of the one that is open."""

    def __init__(
        self,
        errands: Errands,
        transaction: ProducerTransaction | None,
        on_failed: Callable[[OdradekError], None],
    ) -> None:
        """``on_failed`` is called when there will be no id."""
        self._errands = errands
        self._transaction = transaction
        self._on_failed = on_failed
        self._newest: Identity | None = None
        self._asking = False

    def identify(self, lane: Lane, now: Now) -> bool:
        """Return whether the lane may send: it has an identity, and its sequences have no gap."""
        if self._transaction is not None:
            return _takes_part(lane, self._transaction)
        known = lane.identity
        if known is not None and not lane.restarting:
            return True
        if lane.flying:
            return False  # an answer under the old identity is outstanding
        if known is not None and known.epoch < PRODUCER_EPOCH_MAX:
            lane.restart(known._replace(epoch=ProducerEpoch(known.epoch + 1)))
            return True
        if self._newest is None or (known and known.producer_id == self._newest.producer_id):
            self._ask(now)
            return False
        lane.restart(self._newest)
        return True

    def _ask(self, now: Now) -> None:
        self._newest = None
        if not self._asking:
            self._asking = True
            request = InitProducerIdRequest()
            self._errands.ask(request, self._answered, now, timeout_ms=ASK_TIMEOUT_MS)

    def _answered(self, body: Message, _now: Now) -> None:
        self._asking = False
        code = error_of(body)
        if isinstance(body, InitProducerIdResponse) and code == ErrorCode.NONE:
            self._newest = Identity(body.producer_id, body.producer_epoch)
        elif not meaning(code).retriable:
            self._on_failed(failure_of(body))
        # else: asked again in this turn's pump, as long as somebody wants to send


def _takes_part(lane: Lane, transaction: ProducerTransaction) -> bool:
    """Each transaction has an epoch of its own, and its sequences begin with 0."""
    if not transaction.writes:
        return False
    if lane.identity != transaction.identity:
        assert not lane.sent, "every record of a transaction ends before the next begins"
        lane.restart(transaction.identity)
    transaction.touched()
    return True
