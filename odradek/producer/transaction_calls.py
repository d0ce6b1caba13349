"""What callers ask of a producer's transactions: each call a future, for threads and tasks alike.

A caller may be ended while it waits (Ctrl-C, a cancelled task); what it has asked for goes on.  Owns
the memory of such a call, so that the same call made again tells how it ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import NamedTuple

from odradek.cluster.committing import Committable, GroupMetadata, offsets_to_commit
from odradek.cluster.engine import Engine, settle
from odradek.errors import ClientClosedError, ClientError, InvalidTxnStateError, OdradekError
from odradek.producer.engine import ProducerEngine
from transport.kernel import Now

INIT, BEGIN, COMMIT, ABORT = "init", "begin", "commit", "abort"


class _Unheard(NamedTuple):
    """A call whose caller was ended before it heard the end."""

    verb: str
    future: Future[None]


class TransactionCalls:
    """The transactions of one producer, asked for from any thread."""

    def __init__(self, engine: Engine, program: ProducerEngine) -> None:
        self._engine = engine
        self._program = program
        self._unheard: _Unheard | None = None

    def init(self) -> Future[None]:
        """Take the transactional id."""

        def ask(future: Future[None], now: Now) -> None:
            self._program.init_transactions(settle(future), now)

        return self.resumed(INIT) or self._engine.ask(ask)

    def begin(self) -> Future[None]:
        """Begin a transaction; one that was begun unheard is the one."""
        return self.resumed(BEGIN) or self._engine.call(lambda _: self._program.begin_transaction())

    def send_offsets(self, offsets: Committable, group: str | GroupMetadata) -> Future[None]:
        """Commit offsets in the transaction; its commit waits for them, whoever else does."""
        metadata = GroupMetadata(group) if isinstance(group, str) else group
        given = offsets_to_commit(offsets)

        def ask(future: Future[None], now: Now) -> None:
            self._program.send_offsets(given, metadata, settle(future), now)

        return self._engine.ask(ask)

    def record_refused(self, error: BaseException) -> None:
        """A record was not handed over, which only its future tells: what lacks it is not committed."""
        known = error
        if not isinstance(known, OdradekError):
            known = ClientError(f"a record could not be handed over: {error!r}")
        refused: OdradekError = known
        with suppress(ClientClosedError):
            self._engine.post(lambda _now: self._program.record_refused(refused))

    def drop(self) -> Future[None]:
        """To abort: take no more records, and end those that are not written."""
        return self._engine.call(lambda now: self._program.close_transaction(now, committed=False))

    def end(self, *, committed: bool) -> Future[None]:
        """Commit or abort, behind a flush."""

        def ask(future: Future[None], now: Now) -> None:
            self._program.end_transaction(settle(future), now, committed=committed)

        return self._engine.ask(ask)

    def resumed(self, verb: str) -> Future[None] | None:
        """Return the call of this kind that goes on, or was done, unheard; None: make it.

        InvalidTxnStateError where a commit is unheard, so that its caller cannot know what became
        of the transaction: nothing but a commit tells.
        """
        unheard = self._unheard
        if unheard is None:
            return None
        is_done = unheard.future.done()
        if is_done and unheard.future.exception() is not None:
            self._unheard = None  # what is possible now, the state tells
        elif unheard.verb == verb:
            self._unheard = None
            return unheard.future
        elif unheard.verb == COMMIT:
            text = "its commit was not answered; call commit_transaction() again"
            raise InvalidTxnStateError(f"{verb}: {text}")
        elif is_done or unheard.verb == BEGIN:
            self._unheard = None
        return None

    @contextmanager
    def hearing(self, verb: str, future: Future[None]) -> Iterator[None]:
        """Wait for ``future`` within; if the wait is ended instead, the next same call takes it up."""
        try:
            yield
        except Exception:
            raise
        except BaseException:
            self._unheard = _Unheard(verb, future)
            raise
