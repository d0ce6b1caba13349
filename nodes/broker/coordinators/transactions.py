"""The transaction coordinator on this broker: its requests, its shards, and what they order.

Composes the core's shards with producer ids, markers and verification; decides nothing itself.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from nodes.broker.cluster.peers import Peers
from nodes.broker.context import BrokerContext, Request
from nodes.broker.coordinators.keyed_shards import KeyedShards
from nodes.broker.coordinators.marker_sender import Decision, MarkerSender
from nodes.broker.coordinators.markers import Markers
from nodes.broker.coordinators.producer_ids import ProducerIds
from nodes.broker.coordinators.verification import Verification
from nodes.core.controller.names import TRANSACTION_STATE, is_internal
from nodes.core.transaction.core import TransactionCore, TransactionSettings
from nodes.core.transaction.events import (
    FreshIds,
    FreshIdsWanted,
    InitTransactions,
    MarkersWritten,
    WriteMarkers,
)
from nodes.core.transaction.records import TransactionValue
from transport.kernel import Now
from transport.wire.errors import ErrorCode, meaning
from transport.wire.ids import PartitionKey, ProducerId
from transport.wire.messages import Message, Refusal
from transport.wire.messages.coordinators import KEY_GROUP, KEY_TRANSACTION
from transport.wire.messages.produce import InitProducerIdRequest
from transport.wire.messages.topics import NewTopic
from transport.wire.messages.transactions import (
    AddPartitionsToTxnRequest,
    DescribeTransactionRequest,
    EndTxnRequest,
    ListedTransaction,
    ListTransactionsRequest,
    ListTransactionsResponse,
    TransactionPartition,
)

MIN_INSYNC_REPLICAS = 2
"""Kafka's; no more than there are replicas."""

Handlers = dict[type[Message], Callable[[Request, Now], None]]


class Transactions:
    """Coordinates the transactional ids whose shards this broker leads."""

    def __init__(
        self,
        context: BrokerContext,
        peers: Peers,
        keys: KeyedShards,
        producer_ids: ProducerIds,
        markers: Markers,
    ) -> None:
        self._context = context
        self._keys = keys
        self._producer_ids = producer_ids
        config = context.config.broker
        settings = TransactionSettings(
            config.transaction_timeout_max_ms, config.transactional_id_expiration_ms
        )
        new = NewTopic(
            TRANSACTION_STATE,
            config.transaction_state_partitions,
            config.transaction_state_replication_factor,
            {
                "cleanup.policy": "compact",
                "min.insync.replicas": str(MIN_INSYNC_REPLICAS),
                "segment.bytes": str(16 * 1024 * 1024),
            },
        )
        self._shards = keys.keep(
            KEY_TRANSACTION, new, lambda _partition: TransactionCore(settings), self._carry_out
        )
        self._sender = MarkerSender(
            context,
            peers,
            markers,
            on_written=self._on_written,
            coordinates=self._coordinates,
        )
        self.verification = Verification(context, peers, keys)
        markers.heed = self.verification.take_markers
        self.clients: Handlers = {
            InitProducerIdRequest: self._on_init,
            AddPartitionsToTxnRequest: self._on_add,
            EndTxnRequest: self._on_end,
            DescribeTransactionRequest: self._on_describe,
            ListTransactionsRequest: self._on_list,
            **markers.handlers,  # an administrator ends what hangs
        }
        self.peers: Handlers = {AddPartitionsToTxnRequest: self._on_add, **markers.handlers}

    # Requests

    def _on_init(self, request: Request, now: Now) -> None:
        body = request.envelope.body
        assert isinstance(body, InitProducerIdRequest), "by the dispatch table"
        transactional_id = body.transactional_id
        if transactional_id is None:
            self._producer_ids.on_request(request, now)
            return
        timeout_ms = self._context.config.broker.request_timeout_ms

        def on_id(fresh: ProducerId | Refusal, now: Now) -> None:
            if isinstance(fresh, Refusal):
                self._context.reply(request, fresh)
                return
            question = InitTransactions(
                transactional_id,
                body.producer_id,
                body.producer_epoch,
                body.transaction_timeout_ms,
                fresh,
            )
            self._ask(request, transactional_id, question, now)

        self._producer_ids.take(on_id, request.due_ms(now, timeout_ms), now)

    def _on_add(self, request: Request, now: Now) -> None:
        body = request.envelope.body
        assert isinstance(body, AddPartitionsToTxnRequest), "by the dispatch table"
        error = self._judge_partitions(body)
        if error is not ErrorCode.NONE:
            self._context.reply(request, Refusal(error, meaning(error).text))
            return
        if body.group_id:
            place = self._keys.place(KEY_GROUP, body.group_id)
            if place is None:
                text = "find the coordinator of the group first"
                refusal = Refusal(ErrorCode.COORDINATOR_NOT_AVAILABLE, text)
                self._context.reply(request, refusal)
                return
            body = replace(body, partitions=(*body.partitions, TransactionPartition(*place)))
        self._ask(request, body.transactional_id, body, now)

    def _judge_partitions(self, body: AddPartitionsToTxnRequest) -> ErrorCode:
        """Refuse topics that this broker has not heard of: their end could not be told from that
        of a topic that is gone.  A partition that is not there would never have its marker;
        coordinators write their own."""
        image = self._context.image
        for part in body.partitions:
            topic = image.topics.get(part.topic_id)
            if topic is None:
                return ErrorCode.UNKNOWN_TOPIC_ID
            if body.declared and is_internal(topic.name):
                return ErrorCode.INVALID_TOPIC
            if image.partition(PartitionKey(part.topic_id, part.partition)) is None:
                return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        return ErrorCode.NONE

    def _on_end(self, request: Request, now: Now) -> None:
        body = request.envelope.body
        assert isinstance(body, EndTxnRequest), "by the dispatch table"
        self._ask(request, body.transactional_id, body, now)

    def _on_describe(self, request: Request, now: Now) -> None:
        body = request.envelope.body
        assert isinstance(body, DescribeTransactionRequest), "by the dispatch table"
        self._ask(request, body.transactional_id, body, now)

    def _ask(self, request: Request, transactional_id: str, question: Message, now: Now) -> None:
        def on_reply(answer: Message, _now: Now) -> None:
            self._context.reply(request, answer)

        self._keys.ask(KEY_TRANSACTION, transactional_id, question, on_reply, now)

    def _on_list(self, request: Request, now: Now) -> None:
        body = request.envelope.body
        assert isinstance(body, ListTransactionsRequest), "by the dispatch table"
        states, producer_ids = frozenset(body.states), frozenset(body.producer_ids)
        listed = [
            ListedTransaction(transactional_id, value.producer_id, value.state.title)
            for core in self._shards.cores()
            if isinstance(core, TransactionCore)
            for transactional_id, value in core.values().items()
            if not states or value.state.title in states
            if not producer_ids or value.producer_id in producer_ids
            if body.open_for_ms < 0 or _is_open_for(value, body.open_for_ms, now)
        ]
        loading = self._shards.is_loading()
        error = ErrorCode.COORDINATOR_LOAD_IN_PROGRESS if loading else ErrorCode.NONE
        self._context.reply(request, ListTransactionsResponse(error, tuple(listed)))

    # Orders

    def _carry_out(self, order: object, now: Now) -> None:
        if isinstance(order, WriteMarkers):
            place = self._keys.place(KEY_TRANSACTION, order.transactional_id)
            epoch = None if place is None else self._shards.leader_epoch(place.partition)
            if place is not None and epoch is not None:
                self._sender.add(Decision(place.partition, epoch, order))
        elif isinstance(order, FreshIdsWanted):
            self._find_fresh_ids(order.transactional_id, now)

    def _find_fresh_ids(self, transactional_id: str, now: Now) -> None:
        def on_id(fresh: ProducerId | Refusal, now: Now) -> None:
            place = self._keys.place(KEY_TRANSACTION, transactional_id)
            if place is not None and not isinstance(fresh, Refusal):
                self._shards.note(place.partition, FreshIds((fresh,)))

        due_ms = now.mono_ms + self._context.config.broker.request_timeout_ms
        self._producer_ids.take(on_id, due_ms, now)

    def _coordinates(self, decision: Decision) -> bool:
        return self._shards.leader_epoch(decision.shard) == decision.coordinator_epoch

    def _on_written(self, decision: Decision, fact: MarkersWritten) -> None:
        if self._coordinates(decision):
            self._shards.note(decision.shard, fact)

    # Turns

    def end_turn(self, now: Now) -> None:
        """Send the markers that are due."""
        self._sender.end_turn(now)

    def next_deadline_ms(self) -> int | None:
        """Return when markers are due that came after the last turn's."""
        return 0 if self._sender.has_news else None


def _is_open_for(value: TransactionValue, longer_than_ms: int, now: Now) -> bool:
    return value.started_ms >= 0 and now.wall_ms - value.started_ms > longer_than_ms
