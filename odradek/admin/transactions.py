"""Administration of transactions: what is open, where, for how long, and how to end it.

The blocking admin client puts the answers together; it must not know of threads.  What the states
and epochs mean: ``docs/transactions.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

from odradek.admin.questions import (
    BrokerQuestions,
    LeaderQuestion,
    OnAnswer,
    OnTopics,
    PartitionVerdict,
)
from odradek.cluster.metadata import Leader
from odradek.errors import OdradekError
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.ids import PRODUCER_EPOCH_MAX, ProducerEpoch, ProducerId, TopicPartition
from transport.wire.messages import Message
from transport.wire.messages.coordinators import KEY_TRANSACTION
from transport.wire.messages.transactions import (
    ActiveProducer,
    DescribeProducersRequest,
    DescribeProducersResponse,
    ListTransactionsRequest,
    ListTransactionsResponse,
    TransactionMarker,
    TransactionPartition,
    WriteTxnMarkersRequest,
    WriteTxnMarkersResponse,
)

STATES = ("Empty", "Ongoing", "PrepareCommit", "PrepareAbort", "CompleteCommit", "CompleteAbort")
"""Of a transactional id, at its coordinator."""
OPEN_STATES = ("Ongoing", "PrepareCommit", "PrepareAbort")
"""Those in which readers of committed records wait for its end."""


class TransactionListing(NamedTuple):
    """A transactional id in the list; ``state`` is one of :data:`STATES`."""

    transactional_id: str
    producer_id: int
    state: str


class TransactionDescription(NamedTuple):
    """A transactional id, as its coordinator knows it."""

    transactional_id: str
    state: str
    producer_id: int
    producer_epoch: int
    transaction_timeout_ms: int
    start_time_ms: int | None
    """Wall milliseconds; None: no transaction is open."""
    partitions: tuple[TopicPartition, ...]
    """What it has written to so far."""


class ProducerState(NamedTuple):
    """A producer, as the leader of a partition remembers it."""

    producer_id: int
    producer_epoch: int
    last_sequence: int
    """−1: nothing since its last transaction ended."""
    coordinator_epoch: int
    """Of the last marker; −1: there was none."""
    transaction_start_offset: int | None
    """None: it has no transaction open here."""


class HangingTransaction(NamedTuple):
    """What is open in a partition, and ended by no coordinator: readers wait there for ever."""

    partition: TopicPartition
    producer_id: int
    producer_epoch: int
    coordinator_epoch: int
    start_offset: int


class TransactionAdmin:
    """Asks coordinators and leaders; results come by callbacks, each called exactly once."""

    def __init__(self, questions: BrokerQuestions) -> None:
        self._questions = questions

    def topics(self, timeout_ms: int, on_done: OnTopics, now: Now) -> None:
        """Tell all topics, for names and ids."""
        self._questions.ask_topics(timeout_ms, on_done, now)

    def ask(
        self, transactional_id: str, body: Message, timeout_ms: int, on_done: OnAnswer, now: Now
    ) -> None:
        """Ask the coordinator of a transactional id."""
        self._questions.ask_coordinator(
            KEY_TRANSACTION, transactional_id, body, timeout_ms, on_done, now
        )

    def list_all(
        self,
        states: Collection[str],
        producer_ids: Collection[int],
        timeout_ms: int,
        on_done: Callable[[list[TransactionListing] | OdradekError, Now], None],
        now: Now,
    ) -> None:
        """List what every live broker coordinates; empty filters let all pass."""

        def told(answers: list[Message] | OdradekError, now: Now) -> None:
            if isinstance(answers, OdradekError):
                on_done(answers, now)
                return
            found = {
                TransactionListing(one.transactional_id, one.producer_id, one.state)
                for answer in answers
                if isinstance(answer, ListTransactionsResponse)
                for one in answer.transactions
            }
            on_done(sorted(found), now)

        request = ListTransactionsRequest(
            tuple(states), tuple(ProducerId(one) for one in producer_ids)
        )
        self._questions.ask_every_broker(request, timeout_ms, told, now)

    def producers(
        self,
        key: TopicPartition,
        timeout_ms: int,
        on_done: Callable[[list[ProducerState] | OdradekError, Now], None],
        now: Now,
    ) -> None:
        """Tell who writes to a partition."""

        def make(leader: Leader, _left_ms: int) -> Message:
            part = TransactionPartition(leader.topic_id, key.partition)
            return DescribeProducersRequest((part,))

        def done(answer: Message | OdradekError, now: Now) -> None:
            if isinstance(answer, OdradekError):
                on_done(answer, now)
                return
            assert isinstance(answer, DescribeProducersResponse), "it was judged"
            on_done(sorted(map(_state, answer.partitions[0].producers)), now)

        question = LeaderQuestion(key, make, _judge_producers)
        self._questions.ask_leader(question, timeout_ms, done, now)

    def abort(
        self,
        hanging: HangingTransaction,
        timeout_ms: int,
        on_done: Callable[[OdradekError | None, Now], None],
        now: Now,
    ) -> None:
        """Write the marker that aborts what hangs, as its coordinator would have done."""

        def make(leader: Leader, _left_ms: int) -> Message:
            marker = TransactionMarker(
                ProducerId(hanging.producer_id),
                ProducerEpoch(min(hanging.producer_epoch + 1, PRODUCER_EPOCH_MAX)),
                max(0, hanging.coordinator_epoch),
                committed=False,
                partitions=(TransactionPartition(leader.topic_id, hanging.partition.partition),),
            )
            return WriteTxnMarkersRequest((marker,))

        def done(answer: Message | OdradekError, now: Now) -> None:
            on_done(answer if isinstance(answer, OdradekError) else None, now)

        question = LeaderQuestion(hanging.partition, make, _judge_marker)
        self._questions.ask_leader(question, timeout_ms, done, now)


def _state(told: ActiveProducer) -> ProducerState:
    start = told.transaction_start_offset
    return ProducerState(
        told.producer_id,
        told.producer_epoch,
        told.last_sequence,
        told.coordinator_epoch,
        start if start >= 0 else None,
    )


def _judge_producers(body: Message) -> PartitionVerdict:
    if isinstance(body, DescribeProducersResponse) and len(body.partitions) == 1:
        told = body.partitions[0]
        return PartitionVerdict(told.error, told.text)
    return PartitionVerdict(ErrorCode.UNKNOWN_SERVER_ERROR)


def _judge_marker(body: Message) -> PartitionVerdict:
    if isinstance(body, WriteTxnMarkersResponse) and len(body.outcomes) == 1:
        return PartitionVerdict(body.outcomes[0][0])
    return PartitionVerdict(ErrorCode.UNKNOWN_SERVER_ERROR)
