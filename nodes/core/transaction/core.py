"""The door of the transaction coordinator: one shard, stepped by its host.

States, epochs and invariants are in the package's docstring; the contract of a shard is in
``nodes/core/shard.py``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from msgspec.structs import replace

from nodes.core.shard import Asked, ShardEffects, ShardEvent, ShardRecord, Told
from nodes.core.transaction.deadlines import Deadlines
from nodes.core.transaction.events import (
    FreshIds,
    FreshIdsWanted,
    InitTransactions,
    MarkersWritten,
    WriteMarkers,
)
from nodes.core.transaction.records import State, TransactionValue, decode, encode
from nodes.core.transaction.requests import added, goes_on_already, has_ended, judge, next_epoch
from transport.kernel import Answer, Now, earliest
from transport.wire.errors import ErrorCode, meaning
from transport.wire.ids import ProducerEpoch, ProducerId
from transport.wire.messages import Message, Refusal
from transport.wire.messages.produce import InitProducerIdResponse
from transport.wire.messages.transactions import (
    NO_EPOCH,
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse,
    DescribeTransactionRequest,
    DescribeTransactionResponse,
    EndTxnRequest,
    EndTxnResponse,
    TransactionPartition,
)

IDS_MAX = 100_000
"""Transactional ids in one shard: some 50 MB."""
ID_LENGTH_MAX = 1_000
EXPIRY_EVERY_MS = 3_600_000
EXPIRED_AT_ONCE_MAX = 1_000
AGAIN_MS = 100
"""A transaction whose time is up waits for a fresh producer id: so long between two looks."""

_MAY_FOLLOW: dict[State, frozenset[State]] = {
    State.EMPTY: frozenset({State.EMPTY, State.ONGOING, State.COMPLETE_ABORT}),
    State.ONGOING: frozenset({State.ONGOING, State.PREPARE_COMMIT, State.PREPARE_ABORT}),
    State.PREPARE_COMMIT: frozenset({State.COMPLETE_COMMIT}),
    State.PREPARE_ABORT: frozenset({State.COMPLETE_ABORT}),
    State.COMPLETE_COMMIT: frozenset({State.EMPTY, State.ONGOING, State.COMPLETE_ABORT}),
    State.COMPLETE_ABORT: frozenset({State.EMPTY, State.ONGOING, State.COMPLETE_ABORT}),
}


class TransactionSettings(NamedTuple):
    """What the broker's config says of transactions."""

    timeout_max_ms: int = 900_000
    id_expiration_ms: int = 7 * 24 * 3_600_000


class TransactionCore:
    """The transactional ids of one partition of ``__transaction_state``."""

    def __init__(self, settings: TransactionSettings | None = None) -> None:
        self._settings = settings or TransactionSettings()
        self._values: dict[str, TransactionValue] = {}
        # Soft: see the package.
        self._deadlines = Deadlines()
        self._unwritten: dict[str, set[TransactionPartition]] = {}
        """Of what is prepared: the partitions without their marker."""
        self._waiting: dict[str, object] = {}
        """The token of who waits for the end, one for each id."""
        self._fresh: deque[ProducerId] = deque()
        self._resume: list[str] = []
        """What earlier coordinators have decided and not carried out."""
        self._expire_at_ms: int | None = None

    # As a shard

    def apply(self, record: ShardRecord) -> None:
        """Take over one record."""
        transactional_id, value = decode(record)
        if value is None:
            self._values.pop(transactional_id, None)
        else:
            self._values[transactional_id] = value

    def loaded(self, now: Now) -> None:
        """Grant every ongoing transaction its whole time again; carry out what was decided."""
        for transactional_id, value in self._values.items():
            if value.state is State.ONGOING:
                self._deadlines.set(transactional_id, value, now.mono_ms + value.timeout_ms)
            elif value.state.is_prepared:
                self._unwritten[transactional_id] = set(value.listed())
                self._resume.append(transactional_id)
        self._expire_at_ms = now.mono_ms + EXPIRY_EVERY_MS

    def step(self, event: ShardEvent, now: Now) -> ShardEffects:
        """Decide on a request, a fact, or what is due."""
        effects = ShardEffects()
        if isinstance(event, Asked):
            _REQUESTS[type(event.body)](self, event.token, event.body, effects, now)
        elif isinstance(event, Told):
            _FACTS[type(event.fact)](self, event.fact, effects, now)
        else:
            self._tick(effects, now)
        return effects

    def delay(self, gap_ms: int) -> None:
        """Give producers the time that this loop was away."""
        self._deadlines.delay(gap_ms)

    def next_deadline_ms(self) -> int | None:
        """Return when a transaction's time is up, or something is to be carried out again."""
        resume = 0 if self._resume else None
        return earliest(resume, self._deadlines.next_ms(), self._expire_at_ms)

    def values(self) -> dict[str, TransactionValue]:
        """Return the table, for lists of it. Not to be changed."""
        return self._values

    def check(self) -> None:
        """Assert T5 and T6."""
        for transactional_id, value in self._values.items():
            state = value.state
            assert not value.partitions or not state.is_idle, "T6: only what is open has partitions"
            if state is State.ONGOING:
                assert value.partitions, "T6: an ongoing transaction names its partitions"
                assert self._deadlines.has(transactional_id, value), "T6: it has a deadline"
            if state.is_prepared:
                assert self._unwritten.get(transactional_id), "T6: it is being carried out"
            if value.ended_id == value.producer_id:
                following = value.ended_epoch + (0 if value.declares else 1)
                assert value.producer_epoch >= following, "T5: the next epoch is larger"
        assert set(self._waiting) <= set(self._unwritten), "who waits, waits for markers"

    # Requests

    def _init(self, token: object, body: InitTransactions, effects: ShardEffects, now: Now) -> None:
        """Give the producer an epoch of its own; what an earlier one has left open is aborted."""
        transactional_id = body.transactional_id or ""
        before = self._values.get(transactional_id)
        error = self._refusal(body, before)
        if error is ErrorCode.NONE and before is not None and not before.state.is_idle:
            error = ErrorCode.CONCURRENT_TRANSACTIONS
            if before.state is State.ONGOING:
                newcomer = body.producer_epoch == NO_EPOCH
                self._prepare(transactional_id, effects, now, committed=False, fence=newcomer)
        if error is not ErrorCode.NONE:
            self._refuse(token, InitProducerIdResponse(error), "", effects)
            return
        if before is not None and goes_on_already(before, body.producer_id, body.producer_epoch):
            answer = InitProducerIdResponse(error, before.producer_id, before.producer_epoch)
            self._reply(token, answer, effects)
            return
        producer_id, epoch = body.fresh_id, ProducerEpoch(0)
        if before is not None:
            following = next_epoch(before, body.fresh_id)
            assert following is not None, "there is a fresh id"
            producer_id, epoch = following
        timeout_ms = body.transaction_timeout_ms
        value = TransactionValue(producer_id, epoch, State.EMPTY, timeout_ms, now.wall_ms)
        if body.producer_epoch != NO_EPOCH:
            value = replace(value, ended_id=body.producer_id, ended_epoch=body.producer_epoch)
        self._become(transactional_id, value, effects)
        self._reply(token, InitProducerIdResponse(ErrorCode.NONE, producer_id, epoch), effects)

    def _refusal(self, body: InitTransactions, before: TransactionValue | None) -> ErrorCode:
        if not 1 <= len(body.transactional_id or "") <= ID_LENGTH_MAX:
            return ErrorCode.INVALID_REQUEST
        if not 1 <= body.transaction_timeout_ms <= self._settings.timeout_max_ms:
            return ErrorCode.INVALID_TRANSACTION_TIMEOUT
        if before is None:
            if body.producer_epoch != NO_EPOCH:
                return ErrorCode.INVALID_PRODUCER_ID_MAPPING
            return ErrorCode.NONE if len(self._values) < IDS_MAX else ErrorCode.OVERLOADED
        if body.producer_epoch == NO_EPOCH:
            return ErrorCode.NONE
        goes_on = (body.producer_id, body.producer_epoch)
        mine = [(before.producer_id, before.producer_epoch)]
        if not (before.fenced or before.state is State.ONGOING):
            # Who has begun another one knows its epoch: what asks under the last one then is late.
            mine.append((before.ended_id, before.ended_epoch))
        return ErrorCode.NONE if goes_on in mine else ErrorCode.PRODUCER_FENCED

    def _add(
        self, token: object, body: AddPartitionsToTxnRequest, effects: ShardEffects, now: Now
    ) -> None:
        """Take partitions into the ongoing transaction, which the first of them begins."""
        value = self._values.get(body.transactional_id)
        error, text = judge(value, body.producer_id, body.producer_epoch)
        if error is ErrorCode.NONE and value is not None:
            partitions = added(value.partitions, body.partitions)
            if value.state.is_prepared:
                error = ErrorCode.CONCURRENT_TRANSACTIONS
            elif value.declares and not body.declared:
                if value.state is not State.ONGOING or partitions != value.partitions:
                    error = ErrorCode.INVALID_TXN_STATE
                    text = "its producer has not added the partition to its transaction"
            elif partitions is None:
                error, text = ErrorCode.TRANSACTION_ABORTABLE, "too many partitions in it"
            elif value.state is not State.ONGOING or partitions != value.partitions:
                value = replace(value, declares=body.declared)
                self._begin(body.transactional_id, value, partitions, effects, now)
        self._reply(token, AddPartitionsToTxnResponse(error, text), effects)

    def _begin(
        self,
        transactional_id: str,
        before: TransactionValue,
        partitions: dict[Any, tuple[int, ...]],
        effects: ShardEffects,
        now: Now,
    ) -> None:
        begins = before.state is not State.ONGOING
        value = replace(
            before,
            state=State.ONGOING,
            partitions=partitions,
            updated_ms=now.wall_ms,
            started_ms=now.wall_ms if begins else before.started_ms,
        )
        if begins:
            self._deadlines.set(transactional_id, value, now.mono_ms + value.timeout_ms)
        self._become(transactional_id, value, effects)

    def _end(self, token: object, body: EndTxnRequest, effects: ShardEffects, now: Now) -> None:
        """Commit or abort; the answer waits for the markers. A repeated request is recognised."""
        value = self._values.get(body.transactional_id)
        who = (body.producer_id, body.producer_epoch)
        if value is not None and has_ended(value, *who):
            self._end_again(token, body, value, effects)
            return
        error, text = judge(value, *who)
        if error is not ErrorCode.NONE or value is None:
            self._refuse_end(token, error, text, effects)
        elif value.state is State.ONGOING:
            if self._prepare(
                body.transactional_id, effects, now, committed=body.committed, by_producer=True
            ):
                self._wait(token, body.transactional_id, effects)
            else:
                text = "the epochs of the producer id are used up; a fresh one is on its way"
                self._refuse_end(token, ErrorCode.COORDINATOR_NOT_AVAILABLE, text, effects)
        elif value.state.is_prepared:
            self._refuse_end(token, ErrorCode.CONCURRENT_TRANSACTIONS, "", effects)
        elif body.committed or value.declares:
            text = "nothing was written in it, as far as the coordinator knows"
            self._refuse_end(token, ErrorCode.INVALID_TXN_STATE, text, effects)
        else:
            self._abort_nothing(token, body.transactional_id, value, effects, now)

    def _abort_nothing(
        self,
        token: object,
        transactional_id: str,
        before: TransactionValue,
        effects: ShardEffects,
        now: Now,
    ) -> None:
        """What the producer has sent may still be on its way: the next epoch keeps it out."""
        following = self._following(transactional_id, before, effects)
        if following is None:
            self._refuse_end(token, ErrorCode.COORDINATOR_NOT_AVAILABLE, "", effects)
            return
        value = TransactionValue(
            *following,
            State.COMPLETE_ABORT,
            before.timeout_ms,
            now.wall_ms,
            ended_id=before.producer_id,
            ended_epoch=before.producer_epoch,
        )
        self._become(transactional_id, value, effects)
        self._reply(token, EndTxnResponse(ErrorCode.NONE, *following), effects)

    def _end_again(
        self, token: object, body: EndTxnRequest, value: TransactionValue, effects: ShardEffects
    ) -> None:
        committed = value.state in (State.PREPARE_COMMIT, State.COMPLETE_COMMIT)
        if value.state in (State.EMPTY, State.ONGOING):
            text = "the transaction has ended, and the next one has begun"
            self._refuse_end(token, ErrorCode.INVALID_PRODUCER_EPOCH, text, effects)
        elif body.committed and not committed:
            text = "it was aborted: transaction_timeout_ms had passed"
            self._refuse_end(token, ErrorCode.TRANSACTION_ABORTABLE, text, effects)
        elif committed and not body.committed:
            text = "it has been committed"
            self._refuse_end(token, ErrorCode.INVALID_TXN_STATE, text, effects)
        elif value.state.is_prepared:
            self._wait(token, body.transactional_id, effects)
        else:
            answer = EndTxnResponse(ErrorCode.NONE, value.producer_id, value.producer_epoch)
            self._reply(token, answer, effects)

    def _wait(self, token: object, transactional_id: str, effects: ShardEffects) -> None:
        before = self._waiting.pop(transactional_id, None)
        if before is not None:
            self._refuse_end(before, ErrorCode.CONCURRENT_TRANSACTIONS, "asked again", effects)
        self._waiting[transactional_id] = token

    def _describe(
        self, token: object, body: DescribeTransactionRequest, effects: ShardEffects, now: Now
    ) -> None:
        value = self._values.get(body.transactional_id)
        if value is None:
            text = f"no transactional id {body.transactional_id!r}"
            answer = DescribeTransactionResponse(ErrorCode.TRANSACTIONAL_ID_NOT_FOUND, text=text)
        else:
            answer = DescribeTransactionResponse(
                ErrorCode.NONE,
                value.state.title,
                value.producer_id,
                value.producer_epoch,
                value.timeout_ms,
                value.started_ms,
                value.listed(),
            )
        self._reply(token, answer, effects)

    # Decisions

    def _prepare(
        self,
        transactional_id: str,
        effects: ShardEffects,
        now: Now,
        *,
        committed: bool,
        fence: bool = False,
        by_producer: bool = False,
    ) -> bool:
        """Decide; False: there is no epoch for what follows yet.

        ``by_producer``: it is asked by who keeps its epoch, if it is one of those.
        """
        before = self._values[transactional_id]
        following: tuple[ProducerId, ProducerEpoch] | None
        if before.declares and by_producer:
            following = (before.producer_id, before.producer_epoch)
        else:
            following = self._following(transactional_id, before, effects)
        if following is None:
            return False
        value = TransactionValue(
            *following,
            State.PREPARE_COMMIT if committed else State.PREPARE_ABORT,
            before.timeout_ms,
            now.wall_ms,
            before.started_ms,
            before.partitions,
            before.producer_id,
            before.producer_epoch,
            fence,
            before.declares,
        )
        self._become(transactional_id, value, effects)
        self._deadlines.drop(transactional_id)
        self._unwritten[transactional_id] = set(value.listed())
        effects.orders.append(_markers(transactional_id, value))
        return True

    def _following(
        self, transactional_id: str, value: TransactionValue, effects: ShardEffects
    ) -> tuple[ProducerId, ProducerEpoch] | None:
        """Return the id and epoch of the next transaction; None: a fresh id is needed first."""
        following = next_epoch(value, self._fresh[0] if self._fresh else None)
        if following is not None and following.producer_id != value.producer_id:
            self._fresh.popleft()
        if not self._fresh and (following is None or following.is_nearly_the_last):
            effects.orders.append(FreshIdsWanted(transactional_id))
        return None if following is None else (following.producer_id, following.producer_epoch)

    def _become(
        self, transactional_id: str, value: TransactionValue, effects: ShardEffects
    ) -> None:
        before = self._values.get(transactional_id)
        if before is not None:
            assert value.state in _MAY_FOLLOW[before.state], "T4: a decision is carried out"
            if value.producer_id == before.producer_id:
                assert value.producer_epoch >= before.producer_epoch, "T5: epochs only grow"
        record = encode(transactional_id, value)
        self.apply(record)
        effects.append.append(record)

    # Facts

    def _on_fresh(self, fact: FreshIds, effects: ShardEffects, now: Now) -> None:
        self._fresh.extend(fact.producer_ids)

    def _on_written(self, fact: MarkersWritten, effects: ShardEffects, now: Now) -> None:
        value = self._values.get(fact.transactional_id)
        unwritten = self._unwritten.get(fact.transactional_id)
        if value is None or unwritten is None:
            return
        if (fact.producer_id, fact.producer_epoch) != (value.ended_id, value.marker_epoch):
            return  # Of an earlier transaction.
        unwritten.difference_update(fact.partitions)
        if unwritten:
            return
        del self._unwritten[fact.transactional_id]
        committed = value.state is State.PREPARE_COMMIT
        done = replace(
            value,
            state=State.COMPLETE_COMMIT if committed else State.COMPLETE_ABORT,
            partitions={},
            started_ms=-1,
            updated_ms=now.wall_ms,
        )
        self._become(fact.transactional_id, done, effects)
        token = self._waiting.pop(fact.transactional_id, None)
        if token is not None:
            answer = EndTxnResponse(ErrorCode.NONE, done.producer_id, done.producer_epoch)
            self._reply(token, answer, effects)

    # Time

    def _tick(self, effects: ShardEffects, now: Now) -> None:
        resume, self._resume = self._resume, []
        for transactional_id in resume:
            if transactional_id in self._unwritten:
                value = self._values[transactional_id]
                effects.orders.append(_markers(transactional_id, value))
        for transactional_id in self._deadlines.due(now.mono_ms):
            if not self._prepare(transactional_id, effects, now, committed=False):
                value = self._values[transactional_id]
                self._deadlines.set(transactional_id, value, now.mono_ms + AGAIN_MS)
        if self._expire_at_ms is not None and self._expire_at_ms <= now.mono_ms:
            self._expire(effects, now)

    def _expire(self, effects: ShardEffects, now: Now) -> None:
        """Forget ids that nobody has used for long."""
        limit_ms = now.wall_ms - self._settings.id_expiration_ms
        old = [
            transactional_id
            for transactional_id, value in self._values.items()
            if value.state.is_idle and value.updated_ms < limit_ms
        ]
        for transactional_id in old[:EXPIRED_AT_ONCE_MAX]:
            record = encode(transactional_id, None)
            self.apply(record)
            effects.append.append(record)
        again_ms = AGAIN_MS if len(old) > EXPIRED_AT_ONCE_MAX else EXPIRY_EVERY_MS
        self._expire_at_ms = now.mono_ms + again_ms

    # Answers

    @staticmethod
    def _reply(token: object, message: Message, effects: ShardEffects) -> None:
        effects.reply.append(Answer(token, message))

    def _refuse_end(
        self, token: object, error: ErrorCode, text: str, effects: ShardEffects
    ) -> None:
        self._refuse(token, EndTxnResponse(error, text=text), text, effects)

    def _refuse(
        self,
        token: object,
        refusal: InitProducerIdResponse | EndTxnResponse,
        text: str,
        effects: ShardEffects,
    ) -> None:
        """What is to be asked again was not answered: a Refusal says so."""
        again = meaning(refusal.error).retriable
        self._reply(token, Refusal(refusal.error, text) if again else refusal, effects)


def _markers(transactional_id: str, value: TransactionValue) -> WriteMarkers:
    return WriteMarkers(
        transactional_id,
        value.ended_id,
        value.marker_epoch,
        value.state is State.PREPARE_COMMIT,
        value.listed(),
        value.keeps_epoch,
    )


_REQUESTS: dict[type, Callable[[TransactionCore, object, Any, ShardEffects, Now], None]] = {
    InitTransactions: TransactionCore._init,
    AddPartitionsToTxnRequest: TransactionCore._add,
    EndTxnRequest: TransactionCore._end,
    DescribeTransactionRequest: TransactionCore._describe,
}
_FACTS: dict[type, Callable[[TransactionCore, Any, ShardEffects, Now], None]] = {
    FreshIds: TransactionCore._on_fresh,
    MarkersWritten: TransactionCore._on_written,
}
