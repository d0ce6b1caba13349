"""A producer's transactions: which epoch it writes under, and what it may do next.  Pure.

Owns the states below; what was written, and how it is sent, is the sender's.

NEW ──init──▶ READY ──begin──▶ OPEN ──commit──▶ COMMITTING ──▶ READY
                                 │ ──abort───▶ ABORTING   ──▶ READY
                                 └─a record was not written─▶ FAILED ──abort──▶ …
Whatever says that another producer has the transactional id ends in FENCED, for ever.

A commit or abort that was not answered may be asked again, and must be: nobody knows what became of
it.  Source: KIP-98, KIP-360, KIP-890; ``docs/transactions.md``.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from functools import partial

from odradek.cluster.committing import Within
from odradek.cluster.coordinator_link import CoordinatorLink
from odradek.cluster.errands import error_of, failure_of
from odradek.errors import (
    ClientTimeoutError,
    InvalidTxnStateError,
    OdradekError,
    TransactionAbortableError,
    error_for,
)
from odradek.producer.accumulator import Identity
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.messages import Message
from transport.wire.messages.produce import InitProducerIdRequest, InitProducerIdResponse
from transport.wire.messages.transactions import EndTxnRequest, EndTxnResponse

OnDone = Callable[[OdradekError | None, Now], None]


class State(Enum):
    """See the module."""

    NEW = "new"
    READY = "ready"
    OPEN = "open"
    COMMITTING = "committing"
    ABORTING = "aborting"
    FAILED = "failed"
    FENCED = "fenced"


_FENCED = frozenset({ErrorCode.PRODUCER_FENCED, ErrorCode.INVALID_PRODUCER_ID_MAPPING})

_ADVICE = {
    State.NEW: "init_transactions() comes first",
    State.READY: "begin_transaction() comes first",
    State.OPEN: "a transaction is open; commit_transaction() or abort_transaction() it first",
    State.COMMITTING: "its commit was not answered; call commit_transaction() again",
    State.ABORTING: "its abort was not answered; call abort_transaction() again",
}


class ProducerTransaction:
    """All transactions of one producer, one at a time."""

    def __init__(
        self, transactional_id: str, transaction_timeout_ms: int, coordinator: CoordinatorLink
    ) -> None:
        self.transactional_id = transactional_id
        self.state = State.NEW
        self.identity: Identity | None = None
        """What the present transaction is written under."""
        self.cause: OdradekError | None = None
        """Why the transaction cannot be committed, or the producer is fenced."""
        self._timeout_ms = transaction_timeout_ms
        self._coordinator = coordinator
        self._touched = False
        """Something was sent in it, so that its coordinator may know of it."""
        self._asking = False
        self._offsets_asked = 0
        """Commits of offsets in it that have no answer yet: they go before its own commit."""
        self._when_answered: Callable[[Now], None] | None = None
        """The commit that waits for them."""

    # The records in it

    def refusal(self) -> OdradekError | None:
        """Return why no record may be sent now, or None."""
        if self.state is State.OPEN:
            return None
        if self.state in (State.FAILED, State.FENCED):
            return self._cause()
        return InvalidTxnStateError(f"no transaction is open: {_ADVICE[self.state]}")

    def touched(self) -> None:
        """Something leaves for a broker."""
        self._touched = True

    @property
    def writes(self) -> bool:
        """What was taken may be sent."""
        return self.state in (State.OPEN, State.COMMITTING)

    @property
    def is_lost(self) -> bool:
        """Nothing that was taken will be committed any more."""
        return self.state in (State.FAILED, State.FENCED)

    def record_failed(self, error: OdradekError) -> None:
        """A record was not written: the transaction can only be aborted."""
        if error.code in _FENCED:
            self._fence(error)
        elif self.writes and not self._asking:
            self.state = State.FAILED
            self.cause = error

    def offsets_asked(self) -> Within:
        """Return the present transaction, to commit offsets in it; its coordinator will know of it.

        Raises where none is open.  The end of that is told by :meth:`offsets_answered`.
        """
        refusal = self.refusal()
        if refusal is not None:
            raise refusal
        assert self.identity is not None, "it was begun"
        self._touched = True
        self._offsets_asked += 1
        return Within(self.transactional_id, *self.identity)

    def offsets_answered(self, within: Within, error: OdradekError | None, now: Now) -> None:
        """Take the end of a commit of offsets; it says nothing of a later transaction."""
        if (within.producer_id, within.producer_epoch) != self.identity:
            return
        self._offsets_asked -= 1
        if error is not None:
            self.record_failed(error)
        if not self._offsets_asked and self._when_answered is not None:
            go_on, self._when_answered = self._when_answered, None
            go_on(now)

    # Its life

    def init(self, on_done: OnDone, now: Now, *, timeout_ms: int) -> None:
        """Take the transactional id: whoever had it is fenced, what it left open is aborted."""
        if self.state not in (State.NEW, State.READY):
            on_done(self._wrong("init_transactions"), now)
            return
        request = InitProducerIdRequest(
            self.transactional_id, transaction_timeout_ms=self._timeout_ms
        )

        def answered(body: Message, now: Now) -> None:
            if isinstance(body, InitProducerIdResponse) and body.error == ErrorCode.NONE:
                self.identity = Identity(body.producer_id, body.producer_epoch)
                self.state = State.READY
                on_done(None, now)
            else:
                on_done(failure_of(body), now)

        self._coordinator.ask(request, answered, now, timeout_ms=timeout_ms)

    def begin(self) -> None:
        """Begin one; nobody need be told. InvalidTxnStateError where that is not possible."""
        if self.state is not State.READY:
            raise self._wrong("begin_transaction")
        self.state = State.OPEN
        self.cause = None
        self._touched = False
        self._offsets_asked = 0

    def close(self, *, committed: bool) -> None:
        """Take no more records; to abort, nothing more is sent. Raises where that is not possible."""
        refusal = self._refuse_end(committed=committed)
        if refusal is not None:
            raise refusal
        self.state = State.COMMITTING if committed else State.ABORTING

    def end(self, on_done: OnDone, now: Now, *, committed: bool, timeout_ms: int) -> None:
        """Commit or abort, once it is closed and every record has met its end.

        A commit waits for the offsets that are to be part of it: if they are not, it is none.
        """
        refusal = self._refuse_end(committed=committed)
        if refusal is not None:
            on_done(refusal, now)
            return
        if not self._touched:
            self.state = State.READY
            on_done(None, now)
            return
        if committed and self._offsets_asked:
            self._when_answered = partial(
                self.end, on_done, committed=committed, timeout_ms=timeout_ms
            )
            return
        assert self.identity is not None, "it was begun"
        self._asking = True
        request = EndTxnRequest(self.transactional_id, *self.identity, committed)

        def answered(body: Message, now: Now) -> None:
            self._asking = False
            on_done(self._ended(body), now)

        self._coordinator.ask(request, answered, now, timeout_ms=timeout_ms)

    def _refuse_end(self, *, committed: bool) -> OdradekError | None:
        if self._asking or self._when_answered is not None:
            return InvalidTxnStateError("its end is being asked for by another thread")
        if self.state is State.FENCED:
            return self._cause()
        if committed and self.state is State.FAILED:
            error = TransactionAbortableError(f"abort_transaction() it: {self.cause}")
            error.__cause__ = self.cause
            return error
        able = {State.OPEN, State.COMMITTING} if committed else {State.OPEN, State.ABORTING}
        if not committed:
            able |= {State.FAILED}
        if self.state in able:
            return None
        return self._wrong("commit_transaction" if committed else "abort_transaction")

    def _ended(self, body: Message) -> OdradekError | None:
        code = error_of(body)
        if isinstance(body, EndTxnResponse) and code == ErrorCode.NONE:
            self.identity = Identity(body.producer_id, body.producer_epoch)
            self.state = State.READY
            return None
        text = getattr(body, "text", "")
        error = error_for(code or ErrorCode.UNKNOWN_SERVER_ERROR, text)
        if error.fatal:
            self._fence(error)
        elif isinstance(error, TransactionAbortableError):
            self.state, self.cause = State.FAILED, error
        elif error.retriable:
            verb = "commit" if self.state is State.COMMITTING else "abort"
            text = f"the {verb} was not answered ({error}); call {verb}_transaction() again"
            late = ClientTimeoutError(text)
            late.__cause__ = error
            return late
        return error

    def _fence(self, error: OdradekError) -> None:
        self.state, self.cause = State.FENCED, error

    def _cause(self) -> OdradekError:
        assert self.cause is not None, "there is one in this state"
        return self.cause

    def _wrong(self, call: str) -> OdradekError:
        if self.state is State.FENCED:
            return self._cause()
        if self.state is State.FAILED:
            return InvalidTxnStateError(f"{call}: abort_transaction() comes first: {self.cause}")
        return InvalidTxnStateError(f"{call}: {_ADVICE[self.state]}")
