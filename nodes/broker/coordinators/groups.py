"""The group coordinator's side of a broker: requests to shards, and topics told to them.

Owns the catalogue of topics that groups are told of, and when this broker has first heard of each.
What a group is and does is the group core's (``nodes/core/group``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nodes.broker.context import BrokerContext, Request
from nodes.broker.coordinators.keyed_shards import KeyedShards
from nodes.broker.coordinators.markers import OnEnd
from nodes.broker.records.produce import Verify, nobody_to_ask
from nodes.core.controller.names import CONSUMER_OFFSETS, is_internal
from nodes.core.controller.partitions import is_complete
from nodes.core.group import Catalogue, CataloguedTopic, GroupCore, GroupSettings
from transport.kernel import Now
from transport.wire.errors import ErrorCode, meaning
from transport.wire.ids import NO_METADATA, MetadataPosition, TopicId
from transport.wire.messages import Message, Refusal
from transport.wire.messages.coordinators import KEY_GROUP
from transport.wire.messages.group_offsets import (
    OffsetCommitRequest,
    OffsetDeleteRequest,
    OffsetFetchRequest,
    TxnOffsetCommitRequest,
    TxnOffsetCommitResponse,
)
from transport.wire.messages.groups import (
    ClassicHeartbeatRequest,
    ConsumerGroupHeartbeatRequest,
    DeleteGroupRequest,
    DescribeGroupRequest,
    JoinGroupRequest,
    LeaveGroupRequest,
    ListedGroup,
    ListGroupsRequest,
    ListGroupsResponse,
    SyncGroupRequest,
)
from transport.wire.messages.topics import NewTopic
from transport.wire.messages.transactions import (
    AddPartitionsToTxnRequest,
    TransactionMarker,
    TransactionPartition,
    WriteTxnMarkersRequest,
    WriteTxnMarkersResponse,
)

GROUP_ID_CHARACTERS_MAX = 255

ABOUT_A_GROUP: tuple[type[Message], ...] = (
    ConsumerGroupHeartbeatRequest,
    JoinGroupRequest,
    SyncGroupRequest,
    ClassicHeartbeatRequest,
    LeaveGroupRequest,
    DescribeGroupRequest,
    DeleteGroupRequest,
    OffsetCommitRequest,
    OffsetFetchRequest,
    OffsetDeleteRequest,
)


class GroupCoordinator:
    """Hands requests about groups to their shards."""

    def __init__(self, context: BrokerContext, keys: KeyedShards) -> None:
        self._context = context
        self._keys = keys
        self._position: MetadataPosition = NO_METADATA
        self._born: dict[TopicId, int] = {}
        self._catalogue = Catalogue()
        broker = context.config.broker
        self._settings = GroupSettings(
            session_timeout_min_ms=broker.group_session_timeout_min_ms,
            session_timeout_max_ms=broker.group_session_timeout_max_ms,
            session_timeout_ms=broker.group_consumer_session_timeout_ms,
            members_max=broker.group_members_max,
            offsets_retention_ms=broker.offsets_retention_minutes * 60_000,
        )
        new = NewTopic(
            CONSUMER_OFFSETS,
            broker.offsets_topic_partitions,
            broker.offsets_topic_replication_factor,
            {"cleanup.policy": "compact", "segment.bytes": str(100 * 1024 * 1024)},
        )
        self._shards = keys.keep(KEY_GROUP, new, self._make_core)
        self.verify: Verify = nobody_to_ask
        self.handlers: dict[type[Message], Callable[[Request, Now], None]] = {
            TxnOffsetCommitRequest: self._on_transactional,
            **dict.fromkeys(ABOUT_A_GROUP, self._on_request),
            ListGroupsRequest: self._on_list,
        }

    def _make_core(self, partition: int) -> GroupCore:
        return GroupCore(self._settings, self._new_id)

    def _new_id(self) -> str:
        return self._context.ports.random.randbytes(12).hex()

    # Requests

    def _on_request(self, request: Request, now: Now) -> None:
        body: Any = request.envelope.body
        if len(body.group_id) > GROUP_ID_CHARACTERS_MAX:
            text = f"a group id has at most {GROUP_ID_CHARACTERS_MAX} characters"
            self._context.reply(request, Refusal(ErrorCode.INVALID_GROUP_ID, text))
            return

        def on_reply(answer: Message, _now: Now) -> None:
            self._context.reply(request, answer)

        self._keys.ask(KEY_GROUP, body.group_id, body, on_reply, now)

    def _on_transactional(self, request: Request, now: Now) -> None:
        """Have the transaction's coordinator take the group's shard into it, then ask the shard.

        Who has not kept the shard all the time has not heard whether the transaction ended in between.
        """
        body = request.envelope.body
        assert isinstance(body, TxnOffsetCommitRequest), "by the dispatch table"
        place = self._keys.place(KEY_GROUP, body.group_id)
        if place is None:
            self._on_request(request, now)
            return
        kept_under = self._shards.leader_epoch(place.partition)

        def on_verdict(error: ErrorCode, text: str, now: Now) -> None:
            if self._shards.leader_epoch(place.partition) != kept_under:
                error = ErrorCode.NOT_COORDINATOR
                self._context.reply(request, Refusal(error, meaning(error).text))
            elif error is ErrorCode.NONE:
                self._on_request(request, now)
            elif meaning(error).retriable:
                self._context.reply(request, Refusal(error, text))
            else:
                self._context.reply(request, TxnOffsetCommitResponse(error, text))

        question = AddPartitionsToTxnRequest(
            body.transactional_id,
            body.producer_id,
            body.producer_epoch,
            (TransactionPartition(*place),),
        )
        self.verify(question, on_verdict, now)

    def end_transaction(
        self, partition: int, marker: TransactionMarker, on_end: OnEnd, now: Now
    ) -> None:
        """End a transaction in a shard led here: its pending offsets are committed or forgotten."""

        def on_reply(answer: Message, now: Now) -> None:
            if isinstance(answer, WriteTxnMarkersResponse):
                error = answer.outcomes[0][0]
            else:
                error = getattr(answer, "error", ErrorCode.UNKNOWN_SERVER_ERROR)
            on_end(ErrorCode(error), now)

        self._shards.ask(partition, WriteTxnMarkersRequest((marker,)), on_reply, now)

    def _on_list(self, request: Request, now: Now) -> None:
        """Ask every shard here, and answer with what all have told."""
        partitions = self._shards.partitions()
        found: list[ListedGroup] = []
        errors: list[int] = []
        left = len(partitions)

        def finish() -> None:
            answer = ListGroupsResponse(max(errors, default=ErrorCode.NONE), tuple(found))
            self._context.reply(request, answer)

        def on_reply(answer: Message, _now: Now) -> None:
            nonlocal left
            left -= 1
            if isinstance(answer, ListGroupsResponse):
                found.extend(answer.groups)
            elif isinstance(answer, Refusal) and answer.error != ErrorCode.NOT_COORDINATOR:
                errors.append(answer.error)
            if left == 0:
                finish()

        if not partitions:
            finish()
        for partition in partitions:
            self._shards.ask(partition, request.envelope.body, on_reply, now)

    # Topics

    def end_turn(self, now: Now) -> None:
        """Tell the shards of topics, when those have changed."""
        image = self._context.image
        if image.position == self._position:
            return
        first = self._position == NO_METADATA
        self._position = image.position
        topics = [
            topic
            for topic in image.topics.values()
            if not is_internal(topic.name) and is_complete(image, topic)
        ]
        self._born = {
            topic.topic_id: self._born.get(topic.topic_id, 0 if first else now.wall_ms)
            for topic in topics
        }
        catalogue = Catalogue(
            CataloguedTopic(
                topic.topic_id, topic.name, topic.partition_count, self._born[topic.topic_id]
            )
            for topic in topics
        )
        if catalogue.by_name != self._catalogue.by_name or first:
            self._catalogue = catalogue
            self._shards.tell(catalogue)
