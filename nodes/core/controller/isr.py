"""Who is in sync, by the word of those who know: a leader's proposals (KIP-497; broker epochs:
KIP-903), and a broker's word that logs of its own have failed."""

from __future__ import annotations

from collections.abc import Generator

from msgspec.structs import replace

from nodes.core.controller.elections import Elections, stepped
from nodes.core.controller.events import Decision, Pause
from nodes.core.controller.image import ClusterImage
from transport.wire.errors import ErrorCode
from transport.wire.ids import BrokerEpoch, NodeId, PartitionKey
from transport.wire.messages.metadata import (
    AlterPartitionRequest,
    AlterPartitionResponse,
    PartitionChange,
    PartitionChanged,
    PartitionRecord,
    ReplicasFailedRequest,
    ReplicasFailedResponse,
)


def is_current_broker(image: ClusterImage, node: NodeId, epoch: BrokerEpoch) -> bool:
    """Tell whether this broker lives under this very registration."""
    return image.is_alive(node) and image.brokers[node].epoch == epoch


class IsrChanges:
    """Decides on proposals; what follows from a new ISR is the elections' to know."""

    def __init__(self, elections: Elections) -> None:
        self._elections = elections

    def decide(self, image: ClusterImage, request: AlterPartitionRequest) -> Decision:
        """Take over the proposals that are right; each other one gets an error of its own.

        All are refused with STALE_BROKER_EPOCH when the asker has registered anew since, or is
        dead; those that are left, when that has happened between two pieces.
        """
        asker = request.broker_id, request.broker_epoch
        if not is_current_broker(image, *asker):
            return AlterPartitionResponse(ErrorCode.STALE_BROKER_EPOCH)
        outcomes: list[PartitionChanged] = []
        for change in request.changes:
            yield Pause.PAUSE
            if is_current_broker(image, *asker):
                outcomes.append((yield from self._decide_change(image, request.broker_id, change)))
            else:
                stale = ErrorCode.STALE_BROKER_EPOCH
                outcomes.append(PartitionChanged(change.topic_id, change.partition, stale))
        return AlterPartitionResponse(ErrorCode.NONE, tuple(outcomes))

    def decide_failures(self, image: ClusterImage, request: ReplicasFailedRequest) -> Decision:
        """Count no more on replicas whose logs have failed. The last one stays: nobody has more."""
        node = request.broker_id
        for topic_id, partition in request.partitions:
            yield Pause.PAUSE
            if not is_current_broker(image, node, request.broker_epoch):
                return ReplicasFailedResponse(ErrorCode.STALE_BROKER_EPOCH)
            record = image.partition(PartitionKey(topic_id, partition))
            after = None if record is None else self._elections.without(image, record, node)
            if after is not None:
                yield after
        return ReplicasFailedResponse(ErrorCode.NONE)

    def _decide_change(
        self, image: ClusterImage, asker: NodeId, change: PartitionChange
    ) -> Generator[PartitionRecord, None, PartitionChanged]:
        record = image.partition(PartitionKey(change.topic_id, change.partition))
        error = _judge(image, asker, change, record)
        if error != ErrorCode.NONE or record is None:
            return PartitionChanged(change.topic_id, change.partition, error)
        members = {member.id for member in change.isr}
        isr = tuple(node for node in record.replicas if node in members)
        elr = self._elections.eligible(image, record, isr, change.lost)
        wanted = replace(record, isr=isr, elr=elr)
        altered = self._elections.settled(image, record, wanted) or stepped(record, wanted)
        yield altered
        if altered.leader != record.leader:
            error = ErrorCode.NEW_LEADER_ELECTED
        return PartitionChanged(change.topic_id, change.partition, error, altered)


def _judge(
    image: ClusterImage, asker: NodeId, change: PartitionChange, record: PartitionRecord | None
) -> ErrorCode:
    """Return NONE for a proposal to take over, or the reason against it."""
    if record is None:
        known = change.topic_id in image.topics
        return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION if known else ErrorCode.UNKNOWN_TOPIC_ID
    if change.leader_epoch < record.leader_epoch:
        return ErrorCode.FENCED_LEADER_EPOCH
    if change.leader_epoch > record.leader_epoch:
        return ErrorCode.UNKNOWN_LEADER_EPOCH
    if record.leader != asker:
        return ErrorCode.NOT_LEADER_OR_FOLLOWER
    if change.partition_epoch != record.partition_epoch:
        return ErrorCode.INVALID_UPDATE_VERSION
    proposed = [member.id for member in change.isr]
    members = set(proposed)
    if len(members) < len(proposed) or not members <= set(record.replicas):
        return ErrorCode.INVALID_REQUEST
    if asker not in members:
        return ErrorCode.INVALID_REQUEST
    if not all(is_current_broker(image, *member_of) for member_of in _registrations(change)):
        return ErrorCode.INELIGIBLE_REPLICA
    return ErrorCode.NONE


def _registrations(change: PartitionChange) -> list[tuple[NodeId, BrokerEpoch]]:
    return [(member.id, member.broker_epoch) for member in change.isr]
