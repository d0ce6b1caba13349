"""A transactional producer in Kafka's protocol, in either of its ways.

One question of the coordinator after the other, each asked again until it is answered.  A producer
that declares its partitions keeps its epoch, as Kafka's clients before EndTxn 5; what could not be
written aborts the transaction, and the next one has another epoch (KIP-360), so that nothing late
joins it.  One that does not leaves it to the partitions' leaders to ask, and is told another epoch
with each end (KIP-890).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from tests.simulation.foreign.connection import Tongue
from tests.simulation.foreign.coordinator import GROUP, TRANSACTION, Coordinator
from tests.simulation.foreign.group_reader import LOST
from tests.simulation.foreign.group_reader import Identity as MemberIdentity
from tests.simulation.foreign.producer import (
    FAILED,
    GAPS,
    RETRIABLE,
    RETRY_MS,
    Batch,
    ForeignProducer,
    Identity,
    Lane,
)
from transport.gateway.kafka.apis import ApiKey
from transport.gateway.kafka.fields import Struct
from transport.gateway.kafka.messages.group_offsets import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
)
from transport.gateway.kafka.messages.produce import ProducedPartition
from transport.gateway.kafka.messages.producer_ids import InitProducerIdRequest
from transport.gateway.kafka.messages.transactions import (
    AddOffsetsToTxnRequest,
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnTopic,
    EndTxnRequest,
)
from transport.kernel import Now
from transport.wire.errors import ErrorCode

DECLARING = (
    (ApiKey.PRODUCE, 11),
    (ApiKey.ADD_OFFSETS_TO_TXN, 3),
    (ApiKey.END_TXN, 3),
    (ApiKey.TXN_OFFSET_COMMIT, 3),
)
"""The versions that a producer speaks at most that declares its partitions."""
NOT_ATTEMPTED = 55
"""Of partitions that were to be added with one that is not known."""
AGAIN = frozenset(
    {ErrorCode.CONCURRENT_TRANSACTIONS, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, NOT_ATTEMPTED}
)
FENCED = frozenset(
    {
        ErrorCode.PRODUCER_FENCED,
        ErrorCode.INVALID_PRODUCER_EPOCH,
        ErrorCode.INVALID_PRODUCER_ID_MAPPING,
    }
)
"""What a coordinator tells a producer whose time is over."""
UNWRITABLE = frozenset(
    {
        *FAILED,
        *GAPS,
        ErrorCode.INVALID_PRODUCER_EPOCH,
        ErrorCode.INVALID_TXN_STATE,
        ErrorCode.TRANSACTION_ABORTABLE,
    }
)
"""What a leader tells that the transaction does not survive."""
UNPLACED = frozenset({*LOST, ErrorCode.REBALANCE_IN_PROGRESS, ErrorCode.FENCED_INSTANCE_ID})
"""Errors of a member that has lost its place: its offsets are not for it to commit."""

OnEnded = Callable[[bool | None, Now], None]
"""Told True: committed, False: aborted, None: another producer has its place, or its time was up."""


class _Question(NamedTuple):
    """Something to ask until it is answered."""

    coordinator: Coordinator
    key: ApiKey
    body: Struct
    errors: Callable[[Any], Iterable[int]]
    then: Callable[[Any, Now], None]


class _Offsets(NamedTuple):
    """What a group has read, as part of a transaction."""

    group_id: str
    who: MemberIdentity
    topic: str
    offsets: Mapping[int, int]


class ForeignTransactional(ForeignProducer):
    """One transaction after the other: ``send`` and ``send_offsets``, then ``end``."""

    def __init__(
        self,
        topic: str,
        bootstrap: Sequence[str],
        tongue: Tongue,
        transactional_id: str,
        timeout_ms: int,
        *,
        declares: bool = True,
    ) -> None:
        tongue = tongue._replace(limits=DECLARING if declares else ())
        super().__init__(topic, bootstrap, tongue, _ignore_acked, _ignore_failed)
        self._declares = declares
        self.transactional_id: str = transactional_id
        self.fenced = False
        self.on_fenced: Callable[[int], None] = lambda _lasted_ms: None
        """Told how long the longest of its transactions has lasted."""
        self._timeout_ms = timeout_ms
        self._coordinator = Coordinator(self, TRANSACTION, transactional_id)
        self._groups: dict[str, Coordinator] = {}
        self._former = Identity(-1, -1)
        """What to have the next epoch of."""
        self._question: _Question | None = None
        self._asking = False
        self._ask_at_ms = 0
        self._added: set[int] = set()
        self._begun = False
        """The coordinator knows of the transaction."""
        self._began_ms: int | None = None
        """When that may have begun."""
        self._lasted_ms = 0
        self._offsets: list[_Offsets] = []
        """To be added, the first of them next."""
        self._failed = False
        self._renews = False
        """The next transaction is to have another epoch."""
        self._ending: tuple[bool, OnEnded] | None = None

    def send_offsets(
        self, group_id: str, who: MemberIdentity, topic: str, offsets: Mapping[int, int]
    ) -> None:
        """Let a group go on from there, if the transaction is committed."""
        self._offsets.append(_Offsets(group_id, who, topic, offsets))

    def end(self, then: OnEnded, *, committed: bool) -> None:
        """Commit or abort, once everything is written; ``then`` is told what has become of it."""
        self._ending = committed, then

    def pump(self, now: Now) -> None:
        """Ask what is to be asked next, and send what may be sent."""
        if self.fenced:
            if self._ending is not None:
                self._finish(None, now)
            return
        if not self._asking and now.mono_ms >= self._ask_at_ms:
            if self._question is None:
                self._question = self._next(now)
            if self._question is not None:
                self._ask(self._question, now)
        super().pump(now)

    @property
    def is_identified(self) -> bool:
        """It has a producer id, and the epoch that it is to have."""
        return self._identity is not None

    @property
    def _aborts(self) -> bool:
        return self._failed or (self._ending is not None and not self._ending[0])

    def _note_time(self, now: Now) -> None:
        if self._began_ms is not None:
            self._lasted_ms = max(self._lasted_ms, now.mono_ms - self._began_ms)

    def _fence(self, now: Now) -> None:
        self._note_time(now)
        if not self.fenced:
            self.fenced = True
            self.on_fenced(self._lasted_ms)

    # Questions

    def _ask(self, question: _Question, now: Now) -> None:
        self._asking = True

        def answered(response: Any, now: Now) -> None:
            self._asking = False
            errors = set() if response is None else set(question.errors(response))
            if errors & FENCED:
                self._fence(now)
                return
            again = [one for one in errors if one in AGAIN or question.coordinator.is_not_yet(one)]
            if response is None or again:
                self._ask_at_ms = self.later(RETRY_MS, now)
                return
            self._question = None
            self._ask_at_ms = now.mono_ms
            if errors == {ErrorCode.NONE}:
                question.then(response, now)
                return
            survived = set() if question.key is ApiKey.END_TXN else UNPLACED
            known = {ErrorCode.NONE, ErrorCode.TRANSACTION_ABORTABLE, *survived}
            assert errors <= known, f"{question.key.name} was answered {errors}"
            self._failed = True

        question.coordinator.ask(question.key, question.body, answered, now)

    def _next(self, now: Now) -> _Question | None:
        if self._identity is None:
            return self._init()
        if not self._aborts:
            new = [
                lane.partition
                for lane in self._lanes.values()
                if lane.waiting and lane.partition not in self._added
            ]
            if self._began_ms is None and (new or self._offsets):
                self._began_ms = now.mono_ms
            if new and self._declares:
                return self._add(tuple(sorted(new)))
            self._added.update(new)
            if self._offsets:
                one = self._offsets[0]
                return self._add_offsets(one) if self._declares else self._commit_offsets(one)
        return None if self._ending is None else self._end(now)

    def _init(self) -> _Question:
        body = InitProducerIdRequest(
            transactional_id=self.transactional_id,
            transaction_timeout_ms=self._timeout_ms,
            producer_id=self._former.producer_id,
            producer_epoch=self._former.producer_epoch,
        )

        def then(response: Any, _now: Now) -> None:
            self._become(Identity(response.producer_id, response.producer_epoch))

        return _Question(self._coordinator, ApiKey.INIT_PRODUCER_ID, body, _error_of, then)

    def _become(self, identity: Identity) -> None:
        self._identity = identity
        for lane in self._lanes.values():
            lane.next_sequence = 0

    def _add(self, partitions: tuple[int, ...]) -> _Question:
        assert self._identity is not None
        body = AddPartitionsToTxnRequest(
            v3_and_below_transactional_id=self.transactional_id,
            v3_and_below_producer_id=self._identity.producer_id,
            v3_and_below_producer_epoch=self._identity.producer_epoch,
            v3_and_below_topics=(AddPartitionsToTxnTopic(name=self.topic, partitions=partitions),),
        )

        def errors(response: Any) -> Iterable[int]:
            for topic in response.results_by_topic_v3_and_below:
                for one in topic.results_by_partition:
                    yield one.partition_error_code

        def then(_response: Any, _now: Now) -> None:
            self._begun = True
            self._added.update(partitions)

        return _Question(self._coordinator, ApiKey.ADD_PARTITIONS_TO_TXN, body, errors, then)

    def _add_offsets(self, one: _Offsets) -> _Question:
        assert self._identity is not None
        body = AddOffsetsToTxnRequest(
            transactional_id=self.transactional_id,
            producer_id=self._identity.producer_id,
            producer_epoch=self._identity.producer_epoch,
            group_id=one.group_id,
        )

        def then(_response: Any, _now: Now) -> None:
            self._begun = True
            self._question = self._commit_offsets(one)

        return _Question(self._coordinator, ApiKey.ADD_OFFSETS_TO_TXN, body, _error_of, then)

    def _commit_offsets(self, one: _Offsets) -> _Question:
        assert self._identity is not None
        rows = tuple(
            TxnOffsetCommitRequestPartition(
                partition_index=number, committed_offset=offset, committed_metadata=""
            )
            for number, offset in one.offsets.items()
        )
        body = TxnOffsetCommitRequest(
            transactional_id=self.transactional_id,
            group_id=one.group_id,
            producer_id=self._identity.producer_id,
            producer_epoch=self._identity.producer_epoch,
            generation_id=one.who.epoch,
            member_id=one.who.member_id,
            group_instance_id=one.who.instance_id,
            topics=(TxnOffsetCommitRequestTopic(name=one.topic, partitions=rows),),
        )

        def errors(response: Any) -> Iterable[int]:
            return (part.error_code for topic in response.topics for part in topic.partitions)

        def then(_response: Any, _now: Now) -> None:
            self._begun = True
            self._offsets.remove(one)

        group = self._groups.setdefault(one.group_id, Coordinator(self, GROUP, one.group_id))
        return _Question(group, ApiKey.TXN_OFFSET_COMMIT, body, errors, then)

    # Ends

    def _end(self, now: Now) -> _Question | None:
        lanes = self._lanes.values()
        if any(batch.in_flight for lane in lanes for batch in lane.sent):
            return None
        committed = not self._aborts
        if committed and any(lane.waiting or lane.sent for lane in lanes):
            return None
        if not committed:
            for lane in lanes:
                self._renews = self._renews or bool(lane.sent)
                lane.waiting.clear()
                lane.sent.clear()
        if not self._begun or self._identity is None:
            self._finish(committed, now)
            return None
        self._renews = self._renews and self._declares
        body = EndTxnRequest(
            transactional_id=self.transactional_id,
            producer_id=self._identity.producer_id,
            producer_epoch=self._identity.producer_epoch,
            committed=committed,
        )

        def then(response: Any, now: Now) -> None:
            if not self._declares:
                self._become(Identity(response.producer_id, response.producer_epoch))
            self._finish(committed, now)

        return _Question(self._coordinator, ApiKey.END_TXN, body, _error_of, then)

    def _finish(self, committed: bool | None, now: Now) -> None:
        assert self._ending is not None
        _, then = self._ending
        self._ending = None
        self._note_time(now)
        self._began_ms = None
        self._added.clear()
        self._offsets.clear()
        self._begun = self._failed = False
        if self._renews and self._identity is not None:
            self._former, self._identity = self._identity, None
            self._renews = False
        then(committed, now)

    # Batches

    def _choose(self, lane: Lane, now: Now) -> Batch | None:
        if lane.partition not in self._added or self._aborts:
            return None
        batch = super()._choose(lane, now)
        self._begun = self._begun or batch is not None
        return batch

    def _is_identified(self, lane: Lane, _now: Now) -> bool:
        lane.identity = self._identity
        return self._identity is not None

    def _judge(self, lane: Lane, batch: Batch, told: ProducedPartition, now: Now) -> None:
        error = told.error_code
        if error in (ErrorCode.NONE, ErrorCode.DUPLICATE_SEQUENCE_NUMBER):
            lane.sent.remove(batch)
        elif error in UNWRITABLE:
            self._failed = self._renews = True
            self._retry(batch, now)
        elif error in FENCED:
            self._fence(now)
        else:
            assert error in RETRIABLE, f"Produce was answered {error}: {told.error_message}"
            self.refresh(now)
            self._retry(batch, now)


def _error_of(response: Any) -> Iterable[int]:
    return (response.error_code,)


def _ignore_acked(_partition: int, _offset: int, _value: bytes) -> None:
    """The end of the transaction tells what became of it."""


def _ignore_failed(_value: bytes, _error: int) -> None:
    """The same."""
