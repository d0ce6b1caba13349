"""Questions about offsets by leader epoch, and what a leader knows of its partitions."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from nodes.broker.context import BrokerContext, Request
from nodes.broker.partitions.replica import Replica
from nodes.broker.records.listings import LISTED_MAX
from nodes.broker.records.produce import FindReplica
from nodes.core.partition.events import NO_EPOCH, NO_OFFSET
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.ids import PartitionKey, TopicId
from transport.wire.messages.fetch import (
    EpochEnd,
    EpochEnded,
    OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
)
from transport.wire.messages.topics import (
    DescribedPartition,
    DescribeTopicsRequest,
    DescribeTopicsResponse,
)
from transport.wire.messages.transactions import (
    ActiveProducer,
    DescribedProducers,
    DescribeProducersRequest,
    DescribeProducersResponse,
    TransactionPartition,
)


class Offsets:
    """Answers OffsetForLeaderEpoch, DescribeTopics and DescribeProducers."""

    def __init__(
        self,
        context: BrokerContext,
        find: FindReplica,
        of_topic: Callable[[TopicId], Iterable[Replica]],
    ) -> None:
        self._context = context
        self._find = find
        self._of_topic = of_topic

    def on_epoch_ends(self, request: Request, now: Now) -> None:
        """Answer at once: where leader epochs end in the logs led here."""
        body = request.envelope.body
        assert isinstance(body, OffsetForLeaderEpochRequest), "by the dispatch table"
        if len(body.partitions) > LISTED_MAX:
            refused = OffsetForLeaderEpochResponse(ErrorCode.INVALID_REQUEST)
            self._context.reply(request, refused)
            return
        ended = tuple(self._end(part) for part in body.partitions)
        self._context.reply(request, OffsetForLeaderEpochResponse(ErrorCode.NONE, ended))

    def _end(self, part: EpochEnd) -> EpochEnded:
        replica = self._find(PartitionKey(part.topic_id, part.partition))
        if isinstance(replica, ErrorCode):
            return EpochEnded(part.topic_id, part.partition, replica)
        if replica.core is None:
            return EpochEnded(part.topic_id, part.partition, replica.absence)
        error, end = replica.core.end_of_epoch(part.current_leader_epoch, part.leader_epoch)
        return EpochEnded(part.topic_id, part.partition, error, end.leader_epoch, end.end_offset)

    def on_producers(self, request: Request, now: Now) -> None:
        """Answer at once: who writes to the partitions led here."""
        body = request.envelope.body
        assert isinstance(body, DescribeProducersRequest), "by the dispatch table"
        if len(set(body.partitions)) < len(body.partitions):
            # A partition may have thousands: named again and again they would fill the memory.
            self._context.reply(request, DescribeProducersResponse(ErrorCode.INVALID_REQUEST))
            return
        described = tuple(map(self._producers, body.partitions))
        self._context.reply(request, DescribeProducersResponse(ErrorCode.NONE, described))

    def _producers(self, part: TransactionPartition) -> DescribedProducers:
        replica = self._find(PartitionKey(part.topic_id, part.partition))
        core = None if isinstance(replica, ErrorCode) else replica.core
        if isinstance(replica, ErrorCode) or core is None:
            error = replica if isinstance(replica, ErrorCode) else replica.absence
            return DescribedProducers(part.topic_id, part.partition, error)
        error = core.judge_leadership(NO_EPOCH)
        if error is not ErrorCode.NONE:
            return DescribedProducers(part.topic_id, part.partition, error)
        active = tuple(
            ActiveProducer(
                producer_id,
                entry.epoch,
                entry.batches[-1].last_sequence if entry.batches else -1,
                entry.coordinator_epoch,
                core.producers.transactions.open_ones().get(producer_id, NO_OFFSET),
                entry.last_timestamp_ms,
            )
            for producer_id, entry in core.producers.entries().items()
        )
        return DescribedProducers(part.topic_id, part.partition, ErrorCode.NONE, active)

    def on_describe(self, request: Request, now: Now) -> None:
        """Answer at once: the partitions led here, of the topics asked for."""
        body = request.envelope.body
        assert isinstance(body, DescribeTopicsRequest), "by the dispatch table"
        described = [
            _describe(replica)
            for topic_id in dict.fromkeys(body.topics)
            for replica in self._of_topic(topic_id)
            if replica.is_leader
        ]
        self._context.reply(request, DescribeTopicsResponse(ErrorCode.NONE, tuple(described)))


def _describe(replica: Replica) -> DescribedPartition:
    core = replica.core
    assert core is not None, "it leads"
    record = core.record
    assert record is not None, "it leads"
    return DescribedPartition(
        replica.key.topic_id,
        replica.key.partition,
        ErrorCode.NONE,
        record.leader,
        record.leader_epoch,
        core.isr,
        core.log_start_offset,
        core.high_watermark,
        core.log_end_offset,
        core.replica_ends(),
    )
