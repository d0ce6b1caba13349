"""The blocking side of transaction administration: part of :class:`odradek.AdminClient`.

Puts the answers of coordinators and leaders together, by the names that people use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from odradek.admin.groups import told
from odradek.admin.transactions import (
    OPEN_STATES,
    STATES,
    HangingTransaction,
    ProducerState,
    TransactionAdmin,
    TransactionDescription,
    TransactionListing,
)
from odradek.arguments import PRODUCERS, partition_of, partitions_of, texts_of, topic_names
from odradek.errors import CoordinatorNotAvailableError, InvalidTxnStateError, OdradekError
from odradek.settings import check_number, check_text
from transport.kernel import Now
from transport.wire.ids import TopicPartition
from transport.wire.messages import Message
from transport.wire.messages.metadata import MetadataResponse
from transport.wire.messages.produce import InitProducerIdRequest
from transport.wire.messages.transactions import (
    DescribeTransactionRequest,
    DescribeTransactionResponse,
)

Wait = Callable[[Callable[[Callable[[Any, Now], None], Now], None]], Any]
"""Runs ``ask(done, now)`` on the loop and waits for what ``done`` is given."""
_STATE_TOPIC = "__transaction_state"


class TransactionAdministration:
    """What an admin client can do about transactions. Names as those of Kafka's admin client."""

    def __init__(self, transactions: TransactionAdmin, wait: Wait, timeout_ms: int) -> None:
        self._transactions = transactions
        self._wait_for_transactions = wait
        self._transaction_timeout_ms = timeout_ms

    def list_transactions(
        self, states: Iterable[str] = (), producer_ids: Iterable[int] = ()
    ) -> list[TransactionListing]:
        """Return the transactional ids there are, sorted; of some states or producer ids, or all.

        States: Empty, Ongoing, PrepareCommit, PrepareAbort, CompleteCommit, CompleteAbort.
        """
        chosen, ids = texts_of("states", states), list(producer_ids)
        for producer_id in ids:
            check_number("producer_ids", producer_id, PRODUCERS)
        for state in chosen:
            if state not in STATES:
                raise ValueError(f"states: there is no {state!r}; there are {', '.join(STATES)}")
        listed: list[TransactionListing] = self._wait_for_transactions(
            lambda done, now: self._transactions.list_all(
                chosen, ids, self._transaction_timeout_ms, done, now
            )
        )
        return listed

    def describe_transactions(
        self, transactional_ids: Iterable[str]
    ) -> list[TransactionDescription]:
        """Describe transactional ids; :class:`TransactionalIdNotFoundError` for the first unknown."""
        wanted = texts_of("transactional_ids", transactional_ids)
        names = {topic.topic_id: topic.name for topic in self._metadata().topics}
        found = []
        for transactional_id in wanted:
            body = self._describe(transactional_id)
            found.append(
                TransactionDescription(
                    transactional_id,
                    body.state,
                    body.producer_id,
                    body.producer_epoch,
                    body.timeout_ms,
                    body.started_ms if body.started_ms >= 0 else None,
                    tuple(
                        sorted(
                            TopicPartition(names[part.topic_id], part.partition)
                            for part in body.partitions
                            if part.topic_id in names
                        )
                    ),
                )
            )
        return found

    def describe_producers(
        self, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, list[ProducerState]]:
        """Return who writes to each partition, idempotent producers too, by its leader's word."""
        return {key: self._producers(key) for key in partitions_of(partitions)}

    def force_terminate_transaction(self, transactional_id: str) -> None:
        """Abort what a transactional id has open, and fence its producer (KIP-939).

        Returns once the abort can be seen everywhere. Raises :class:`TransactionalIdNotFoundError`.
        """
        check_text("transactional_id", transactional_id)
        known = self._describe(transactional_id)
        request = InitProducerIdRequest(transactional_id, transaction_timeout_ms=known.timeout_ms)
        self._ask_its_coordinator(transactional_id, request)

    def find_hanging_transactions(
        self, topics: Iterable[str] | None = None
    ) -> list[HangingTransaction]:
        """Return what is open in partitions (of these topics, or all) and ended by no coordinator.

        The brokers' time limit ends every transaction that its coordinator knows. Only one whose
        record was lost with ``__transaction_state`` can hang.
        """
        chosen = None if topics is None else set(topic_names(topics))
        keys = [
            TopicPartition(topic.name, part.partition)
            for topic in self._metadata().topics
            if topic.name != _STATE_TOPIC and (chosen is None or topic.name in chosen)
            for part in topic.partitions
        ]
        return self._hanging(keys)

    def abort_transaction(self, partition: TopicPartition, producer_id: int) -> None:
        """Abort what hangs in a partition, as :meth:`find_hanging_transactions` finds it.

        :class:`InvalidTxnStateError`: nothing of this producer is open there, or its coordinator
        knows of it and will end it (:meth:`force_terminate_transaction` does so at once).
        """
        key = partition_of(partition)
        check_number("producer_id", producer_id, PRODUCERS)
        ours = {one.producer_id: one for one in self._open_ones([key])}
        if producer_id not in ours:
            raise InvalidTxnStateError(
                f"producer {producer_id} has no transaction open in {key}; see describe_producers"
            )
        if ours[producer_id] not in self._hanging([key]):
            raise InvalidTxnStateError(
                f"the transaction of producer {producer_id} in {key} does not hang: its coordinator "
                "ends it; force_terminate_transaction(its transactional id) does so at once"
            )
        self._wait_for_transactions(
            lambda done, now: self._transactions.abort(
                ours[producer_id], self._transaction_timeout_ms, done, now
            )
        )

    # Inside

    def _hanging(self, keys: Iterable[TopicPartition]) -> list[HangingTransaction]:
        before = self._open_ones(keys)
        known = self._known_by_coordinators({one.producer_id for one in before})
        # What was open before and after the coordinators were asked was open meanwhile.
        still = set(self._open_ones(dict.fromkeys(one.partition for one in before)))
        return [
            one
            for one in before
            if one in still and one.partition not in known.get(one.producer_id, ())
        ]

    def _open_ones(self, partitions: Iterable[TopicPartition]) -> list[HangingTransaction]:
        return [
            HangingTransaction(
                key,
                one.producer_id,
                one.producer_epoch,
                one.coordinator_epoch,
                one.transaction_start_offset,
            )
            for key in partitions
            for one in self._producers(key)
            if one.transaction_start_offset is not None
        ]

    def _known_by_coordinators(self, producer_ids: set[int]) -> dict[int, set[TopicPartition]]:
        """Return, by producer id, the partitions in which a coordinator will end its transaction."""
        if not producer_ids:
            return {}
        states = [topic for topic in self._metadata().topics if topic.name == _STATE_TOPIC]
        if any(part.leader < 0 for topic in states for part in topic.partitions):
            raise CoordinatorNotAvailableError(
                f"a partition of {_STATE_TOPIC} has no leader: what hangs cannot be told from what "
                "its coordinator will end"
            )
        listed = self.list_transactions(OPEN_STATES, sorted(producer_ids))
        known: dict[int, set[TopicPartition]] = {}
        for one in self.describe_transactions([each.transactional_id for each in listed]):
            known.setdefault(one.producer_id, set()).update(one.partitions)
        return known

    def _producers(self, key: TopicPartition) -> list[ProducerState]:
        found: list[ProducerState] = self._wait_for_transactions(
            lambda done, now: self._transactions.producers(
                key, self._transaction_timeout_ms, done, now
            )
        )
        return found

    def _metadata(self) -> MetadataResponse:
        found: MetadataResponse = self._wait_for_transactions(
            lambda done, now: self._transactions.topics(self._transaction_timeout_ms, done, now)
        )
        return found

    def _describe(self, transactional_id: str) -> DescribeTransactionResponse:
        body = self._ask_its_coordinator(
            transactional_id, DescribeTransactionRequest(transactional_id)
        )
        assert isinstance(body, DescribeTransactionResponse), "no error"
        return body

    def _ask_its_coordinator(self, transactional_id: str, request: Message) -> Message:
        answer: Message = self._wait_for_transactions(
            lambda done, now: self._transactions.ask(
                transactional_id, request, self._transaction_timeout_ms, done, now
            )
        )
        error: OdradekError | None = told(answer, f"transactional id {transactional_id!r}")
        if error is not None:
            raise error
        return answer
