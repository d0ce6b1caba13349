"""Committed offsets: who may commit and when, fetching, forgetting.

A member commits what it owns, and has owned since the epoch it names: a commit that was under way
while its partition went to somebody else is refused, one that merely crossed a change of other
partitions is not (KIP-1251).  From outside, only groups without members are committed for.
"""

from __future__ import annotations

from collections.abc import Iterable

from nodes.core.group.records import Kind, OffsetValue
from nodes.core.group.state import CLASSIC, CONSUMER, Group
from nodes.core.group.step import Step
from transport.wire.errors import ErrorCode, meaning
from transport.wire.ids import Offset, PartitionKey
from transport.wire.messages import Refusal
from transport.wire.messages.group_offsets import (
    CommitOutcome,
    CommittedOffset,
    GroupPartition,
    OffsetCommitRequest,
    OffsetCommitResponse,
    OffsetDeleteRequest,
    OffsetDeleteResponse,
    OffsetFetchRequest,
    OffsetFetchResponse,
    OffsetToCommit,
    TxnOffsetCommitRequest,
)

PARTITIONS_MAX = 10_000
"""In one request; and told of on one page of all commits."""
PAGE_BYTES_MAX = 4 * 1024 * 1024
"""Of the metadata on a page."""
OFFSET_MAX, LEADER_EPOCH_MAX = 2**63 - 1, 2**31 - 1
"""What every reader of a group can be told, Kafka's clients too."""

Commit = OffsetCommitRequest | TxnOffsetCommitRequest


def on_commit(step: Step, token: object, body: OffsetCommitRequest) -> None:
    """Commit what may be committed; each partition has an outcome of its own."""
    group = step.groups.find(body.group_id)
    error = refusal_of(step, group, body)
    if error is not ErrorCode.NONE:
        step.reply(token, OffsetCommitResponse(error, meaning(error).text))
        return
    member = step.facts.of(group.group_id).get(body.member_id)
    if member is not None and group.protocol == CLASSIC:
        member.heard_ms = step.now.mono_ms
    outcomes = []
    for part in body.offsets:
        key = PartitionKey(part.topic_id, part.partition)
        error = judge_offset(step, group, body, key, part)
        if error is ErrorCode.NONE:
            value = OffsetValue(part.offset, part.leader_epoch, part.metadata, step.now.wall_ms)
            step.write(group, Kind.OFFSET, *key, value=value)
        outcomes.append(CommitOutcome(part.topic_id, part.partition, error))
    step.reply(token, OffsetCommitResponse(ErrorCode.NONE, "", tuple(outcomes)))


def refusal_of(step: Step, group: Group, body: Commit) -> ErrorCode:
    """Judge who commits; a transaction without a member is fenced by its producer alone."""
    if not body.group_id:
        return ErrorCode.INVALID_GROUP_ID
    if len(body.offsets) > PARTITIONS_MAX:
        return ErrorCode.INVALID_REQUEST
    if isinstance(body, TxnOffsetCommitRequest) and not body.member_id:
        return _refusal_of_another(step, group)
    if step.facts.is_classic(group.group_id):
        return _refusal_of_classic(step, group, body)
    if not group.members:
        if body.member_id or body.member_epoch >= 0:
            return ErrorCode.UNKNOWN_MEMBER_ID
        return _refusal_of_another(step, group)
    if body.member_id not in group.members:
        return ErrorCode.UNKNOWN_MEMBER_ID
    owned = group.owned_by(body.member_id)
    if owned.away:
        return ErrorCode.FENCED_INSTANCE_ID
    return ErrorCode.FENCED_MEMBER_EPOCH if body.member_epoch > owned.epoch else ErrorCode.NONE


def _refusal_of_another(step: Step, group: Group) -> ErrorCode:
    """A group that this commit would begin may be one too many."""
    is_new = group.value is None and not (group.offsets or group.pending)
    too_many = is_new and len(step.groups.by_id) > step.facts.settings.groups_max
    return ErrorCode.OVERLOADED if too_many else ErrorCode.NONE


def _refusal_of_classic(step: Step, group: Group, body: Commit) -> ErrorCode:
    present = step.facts.rounds[group.group_id]
    candidate = present.members.get(body.member_id)
    if candidate is None:
        instance = body.instance_id
        taken = instance is not None and any(
            one.value.instance_id == instance for one in present.members.values()
        )
        return ErrorCode.FENCED_INSTANCE_ID if taken else ErrorCode.UNKNOWN_MEMBER_ID
    if body.member_epoch != present.generation:
        return ErrorCode.ILLEGAL_GENERATION
    # In a transaction it is taken, as in Kafka: its clients know of no rebalance there, and what nobody
    # has been given yet is still the one's that has read it.
    awaited = present.state == "syncing" and not isinstance(body, TxnOffsetCommitRequest)
    return ErrorCode.REBALANCE_IN_PROGRESS if awaited else ErrorCode.NONE


def judge_offset(
    step: Step, group: Group, body: Commit, key: PartitionKey, part: OffsetToCommit
) -> ErrorCode:
    """Judge the commit of one partition."""
    topic = step.facts.catalogue.by_id.get(key.topic_id)
    if topic is None:
        return ErrorCode.UNKNOWN_TOPIC_ID
    if not 0 <= key.partition < topic.partitions:
        return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    if not 0 <= part.offset <= OFFSET_MAX:
        return ErrorCode.OFFSET_OUT_OF_RANGE
    if not -1 <= part.leader_epoch <= LEADER_EPOCH_MAX:
        return ErrorCode.INVALID_REQUEST
    if len(part.metadata.encode()) > step.facts.settings.metadata_bytes_max:
        return ErrorCode.OFFSET_METADATA_TOO_LARGE
    if group.protocol != CONSUMER:
        return ErrorCode.NONE
    if isinstance(body, TxnOffsetCommitRequest) and not body.member_id:
        return ErrorCode.NONE
    if group.owners.get(key) != body.member_id:
        return ErrorCode.STALE_MEMBER_EPOCH
    since = group.owned_by(body.member_id).assigned.get(key.topic_id, {}).get(key.partition, 0)
    return ErrorCode.STALE_MEMBER_EPOCH if body.member_epoch < since else ErrorCode.NONE


def on_fetch(step: Step, token: object, body: OffsetFetchRequest) -> None:
    """Tell what is committed."""
    group = step.groups.find(body.group_id)
    error = _refusal_of_reader(group, body)
    if error is not ErrorCode.NONE:
        step.reply(token, OffsetFetchResponse(error, meaning(error).text))
        return
    asked, goes_on_after = body.partitions, None
    if asked is None:
        asked, goes_on_after = _page(group, body)
    if len(asked) > PARTITIONS_MAX:
        text = f"{len(asked)} partitions at once; ask for at most {PARTITIONS_MAX}"
        step.reply(token, OffsetFetchResponse(ErrorCode.INVALID_REQUEST, text))
        return
    pending = {key for mine in group.pending.values() for key in mine}
    if body.require_stable and any(
        PartitionKey(part.topic_id, part.partition) in pending for part in asked
    ):
        unstable = ErrorCode.UNSTABLE_OFFSET_COMMIT
        step.reply(token, Refusal(unstable, meaning(unstable).text))
        return
    found = []
    for part in asked:
        value = group.offsets.get(PartitionKey(part.topic_id, part.partition))
        if value is None:
            found.append(CommittedOffset(part.topic_id, part.partition))
        else:
            found.append(
                CommittedOffset(
                    part.topic_id,
                    part.partition,
                    Offset(value.offset),
                    value.leader_epoch,
                    value.metadata,
                )
            )
    answer = OffsetFetchResponse(ErrorCode.NONE, "", tuple(found), goes_on_after)
    step.reply(token, answer)


def _page(
    group: Group, body: OffsetFetchRequest
) -> tuple[tuple[GroupPartition, ...], GroupPartition | None]:
    """Return what has a commit, as much as a page holds; and the last of that, if more is left.

    In the order of keys: what is committed or forgotten meanwhile shifts nothing.
    """
    keys: Iterable[PartitionKey] = group.offsets
    if body.after is not None:
        begin = PartitionKey(body.after.topic_id, body.after.partition)
        keys = [key for key in keys if key > begin]
    ordered = sorted(keys)
    left_bytes = PAGE_BYTES_MAX
    page: list[GroupPartition] = []
    for key in ordered[: max(1, min(body.most, PARTITIONS_MAX))]:
        left_bytes -= len(group.offsets[key].metadata.encode())
        if page and left_bytes < 0:
            break
        page.append(GroupPartition(*key))
    return tuple(page), page[-1] if len(page) < len(ordered) else None


def _refusal_of_reader(group: Group, body: OffsetFetchRequest) -> ErrorCode:
    """Judge who asks as a member where the coordinator divides; everybody else may know."""
    consumes = group.value is not None and group.value.protocol == CONSUMER
    if not consumes or (not body.member_id and body.member_epoch < 0):
        return ErrorCode.NONE
    if body.member_id not in group.members:
        return ErrorCode.UNKNOWN_MEMBER_ID
    owned = group.owned_by(body.member_id)
    known = body.member_epoch in (owned.epoch, owned.previous_epoch)
    return ErrorCode.NONE if known else ErrorCode.STALE_MEMBER_EPOCH


def on_delete(step: Step, token: object, body: OffsetDeleteRequest) -> None:
    """Forget offsets of topics that no member reads."""
    group = step.groups.find(body.group_id)
    error = ErrorCode.NONE
    if group.value is None and not group.offsets:
        error = ErrorCode.GROUP_ID_NOT_FOUND
    elif step.facts.is_classic(group.group_id):
        error = ErrorCode.NON_EMPTY_GROUP  # What its members read is written in their own language.
    elif not step.facts.knows_all_read_by(group):
        error = ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
    if error is not ErrorCode.NONE:
        step.reply(token, OffsetDeleteResponse(error, meaning(error).text))
        return
    outcomes = []
    read = step.facts.read_by(group)
    for part in body.partitions:
        topic = step.facts.catalogue.by_id.get(part.topic_id)
        error = ErrorCode.NONE
        if topic is not None and topic.name in read:
            error = ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC
        elif PartitionKey(part.topic_id, part.partition) in group.offsets:
            step.write(group, Kind.OFFSET, part.topic_id, part.partition, value=None)
        outcomes.append(CommitOutcome(part.topic_id, part.partition, error))
    step.reply(token, OffsetDeleteResponse(ErrorCode.NONE, "", tuple(outcomes)))


def forget_topics(step: Step, group: Group, most: int) -> bool:
    """Forget what was committed for topics that are no more; False: there is more than ``most``."""
    topics = step.facts.catalogue.by_id
    gone = [key for key in group.offsets if key.topic_id not in topics]
    for key in gone[:most]:
        step.write(group, Kind.OFFSET, *key, value=None)
    return len(gone) <= most


def forget_old(step: Step, group: Group, most: int) -> bool:
    """Forget offsets, and then the group, once it has been without members for long enough.

    False: there are more than ``most``.
    """
    if group.members or step.facts.is_classic(group.group_id):
        return True
    retention_ms = step.facts.settings.offsets_retention_ms
    empty_since_ms = -1 if group.value is None else group.value.empty_since_ms
    old = [
        key
        for key, value in group.offsets.items()
        if step.now.wall_ms - max(empty_since_ms, value.commit_ms) >= retention_ms
    ]
    for key in old[:most]:
        step.write(group, Kind.OFFSET, *key, value=None)
    is_old = group.value is not None and step.now.wall_ms - empty_since_ms >= retention_ms
    if is_old and not group.offsets:
        step.write(group, Kind.GROUP, value=None)
    return len(old) <= most
