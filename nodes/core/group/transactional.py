"""Offsets committed within transactions: pending until their transaction has ended (KIP-98, KIP-447).

A pending offset counts for nothing but this: whoever must not read a record twice waits for its end
(``require_stable``).  Its transaction's coordinator ends it, by producer id, under the epoch after
the transaction's; from then on nothing of that transaction is taken any more, though its coordinator
may have vouched for it before.  (A producer that keeps its epoch is not told apart from its earlier
transactions here: ``nodes/broker/coordinators/verification.py`` keeps out what was vouched for before an end,
and a coordinator is fenced whose successor has ended one.)
"""

from __future__ import annotations

from nodes.core.group.offsets import judge_offset, refusal_of
from nodes.core.group.records import Kind, OffsetValue, PendingValue
from nodes.core.group.state import Group, pending_weight
from nodes.core.group.step import Step
from transport.wire.errors import ErrorCode, meaning
from transport.wire.ids import PartitionKey, ProducerId
from transport.wire.messages.group_offsets import (
    CommitOutcome,
    TxnOffsetCommitRequest,
    TxnOffsetCommitResponse,
)
from transport.wire.messages.transactions import (
    TransactionMarker,
    WriteTxnMarkersRequest,
    WriteTxnMarkersResponse,
)


def on_commit(step: Step, token: object, body: TxnOffsetCommitRequest) -> None:
    """Keep the offsets until the transaction ends; its coordinator has vouched for it."""
    group = step.groups.find(body.group_id)
    error = refusal_of(step, group, body)
    if step.facts.ended(body.producer_id).producer_epoch > body.producer_epoch:
        error = ErrorCode.INVALID_PRODUCER_EPOCH
    if error is not ErrorCode.NONE:
        step.reply(token, TxnOffsetCommitResponse(error, meaning(error).text))
        return
    outcomes = []
    for part in body.offsets:
        key = PartitionKey(part.topic_id, part.partition)
        error = judge_offset(step, group, body, key, part)
        offset = OffsetValue(part.offset, part.leader_epoch, part.metadata, step.now.wall_ms)
        value = PendingValue(body.producer_epoch, offset)
        if error is ErrorCode.NONE and not _has_room(step, group, body.producer_id, key, value):
            error = ErrorCode.TRANSACTION_ABORTABLE
        if error is ErrorCode.NONE:
            step.write(group, Kind.PENDING, body.producer_id, *key, value=value)
        outcomes.append(CommitOutcome(part.topic_id, part.partition, error))
    step.reply(token, TxnOffsetCommitResponse(ErrorCode.NONE, "", tuple(outcomes)))


def _has_room(
    step: Step, group: Group, producer_id: ProducerId, key: PartitionKey, value: PendingValue
) -> bool:
    """Tell whether a transaction may have this offset as well, or in the place of another one."""
    before = group.pending.get(producer_id, {}).get(key)
    weight = step.groups.pending_bytes.get(producer_id, 0)
    weight += pending_weight(group, value) - pending_weight(group, before)
    return weight <= step.facts.settings.pending_bytes_max


def on_markers(step: Step, token: object, body: WriteTxnMarkersRequest) -> None:
    """End the transactions: what was pending becomes committed, or is forgotten."""
    outcomes = []
    for marker in body.markers:
        error = ErrorCode.NONE
        if marker.coordinator_epoch < step.facts.ended(marker.producer_id).coordinator_epoch:
            # It does not know that its successor has ended that transaction, and which one is open now.
            error = ErrorCode.TRANSACTION_COORDINATOR_FENCED
        else:
            _end(step, marker)
        outcomes.append((int(error),) * len(marker.partitions))
    step.reply(token, WriteTxnMarkersResponse(ErrorCode.NONE, tuple(outcomes)))


def _end(step: Step, marker: TransactionMarker) -> None:
    producer_id = marker.producer_id
    step.facts.note_end(marker)
    for group_id in sorted(step.groups.pending_groups.get(producer_id, ())):
        group = step.groups.find(group_id)
        for key, pending in list(group.pending[producer_id].items()):
            later = pending.producer_epoch > marker.producer_epoch
            if later or (
                pending.producer_epoch == marker.producer_epoch and not marker.keeps_epoch
            ):
                continue  # Of a later transaction: the marker was sent again.
            if marker.committed:
                step.write(group, Kind.OFFSET, *key, value=pending.value)
            step.write(group, Kind.PENDING, producer_id, *key, value=None)
        step.groups.prune(group_id)
