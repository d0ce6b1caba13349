"""Reassignments of replicas (KIP-455): begun, replaced, cancelled; they end by themselves.

While one is under way a partition has its old and its new replicas.  ``adding`` are the new ones:
they fetch and join the ISR like any others.  When all of them are in it, ``removing`` go, in the
same record (:meth:`Elections.settled`): no replica is given up before its successor has everything.
"""

from __future__ import annotations

from msgspec.structs import replace

from nodes.core.controller.elections import Elections
from nodes.core.controller.events import Decision
from nodes.core.controller.image import ClusterImage
from nodes.core.controller.partitions import assignment_complaint
from transport.wire.errors import ErrorCode
from transport.wire.ids import NodeId
from transport.wire.messages.metadata import PartitionRecord
from transport.wire.messages.reassignments import (
    AlterReassignmentsRequest,
    AlterReassignmentsResponse,
    PartitionOutcome,
    Reassignment,
)

Refused = tuple[ErrorCode, str]


class Reassignments:
    """Decides on reassignments; how they end is the elections' to know."""

    def __init__(self, elections: Elections) -> None:
        self._elections = elections

    def decide(self, image: ClusterImage, request: AlterReassignmentsRequest) -> Decision:
        """Take over what can be done; each partition gets an outcome of its own."""
        outcomes: list[PartitionOutcome] = []
        for wanted in request.partitions:
            topic = image.topic(wanted.topic)
            parts = {} if topic is None else image.partitions[topic.topic_id]
            record = parts.get(wanted.partition)
            judged: PartitionRecord | Refused
            if record is None:
                text = f"there is no partition {wanted.topic[:80]}-{wanted.partition}"
                judged = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, text
            else:
                # Between two pieces of a death the dead may still be in the ISR.
                settled = self._elections.settled(image, record, record) or record
                judged = self._judge(image, wanted, settled)
            if isinstance(judged, tuple):
                outcomes.append(PartitionOutcome(wanted.topic, wanted.partition, *judged))
                continue
            assert record is not None, "judged"
            after = self._elections.settled(image, record, judged)
            if after is not None:
                yield after
            outcomes.append(PartitionOutcome(wanted.topic, wanted.partition, ErrorCode.NONE))
        return AlterReassignmentsResponse(ErrorCode.NONE, tuple(outcomes))

    def _judge(
        self, image: ClusterImage, wanted: Reassignment, record: PartitionRecord
    ) -> PartitionRecord | Refused:
        before = settled_replicas(record)
        target = wanted.replicas
        if target is None:
            if not (record.adding or record.removing):
                text = f"{wanted.topic}-{wanted.partition} is not being reassigned"
                return ErrorCode.NO_REASSIGNMENT_IN_PROGRESS, text
            target = before
        else:
            complaint = assignment_complaint(image, (target,))
            if complaint is not None:
                return ErrorCode.INVALID_REPLICA_ASSIGNMENT, complaint
        after = reassigned(record, target)
        if not after.isr:
            text = "none of these brokers is in sync: there would be no replica with the records"
            return ErrorCode.INVALID_REPLICA_ASSIGNMENT, text
        return after


def settled_replicas(record: PartitionRecord) -> tuple[NodeId, ...]:
    """Return the replicas that were there before the reassignment under way, if there is one."""
    return tuple(node for node in record.replicas if node not in record.adding)


def reassigned(record: PartitionRecord, target: tuple[NodeId, ...]) -> PartitionRecord:
    """Return the record on its way to ``target``, the target's replicas first."""
    before = settled_replicas(record)
    adding = tuple(node for node in target if node not in before)
    removing = tuple(node for node in before if node not in target)
    replicas = (*target, *removing)
    return replace(
        record,
        replicas=replicas,
        isr=tuple(node for node in record.isr if node in replicas),
        elr=tuple(node for node in record.elr if node in replicas),
        adding=adding,
        removing=removing,
    )
