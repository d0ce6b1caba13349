"""The consumer protocol: heartbeats, and the way to the targets, one member at a time (KIP-848).

A member's heartbeat waits here until what it may read changes.  A member whose epoch is unknown or
past is fenced: it must drop what it owns and join again.

To divide costs tens of milliseconds where a thousand members read a thousand partitions.  So what
changes who reads what is only noted, and settled with all else that came by the next tick; who beats
until then is answered after it.  What the targets are is for ``targets`` to say.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from nodes.core.group.records import (
    Kind,
    MemberValue,
    OwnedValue,
    TargetValue,
)
from nodes.core.group.state import (
    NOTHING_OWNED,
    Group,
    Waiting,
    by_topic,
)
from nodes.core.group.step import Soft, Step, Unsettled, first_too_long
from nodes.core.group.targets import take_aim
from transport.wire.assignors import ASSIGNORS, DEFAULT_ASSIGNOR
from transport.wire.errors import ErrorCode, meaning
from transport.wire.ids import MemberEpoch, MemberId, PartitionKey, TopicId
from transport.wire.messages.groups import (
    AFRESH,
    AS_TOLD,
    JOIN_EPOCH,
    LEAVE_EPOCH,
    LEAVE_FOR_NOW_EPOCH,
    AssignedTopic,
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
)

Heartbeat = ConsumerGroupHeartbeatRequest
WAIT_MAX_MS = 30_000
TOPICS_MAX = 10_000
PATTERNS_MAX = 1_000
"""By which the members of all groups of a shard find topics."""


def on_heartbeat(step: Step, token: object, body: Heartbeat) -> None:
    """Take a heartbeat of a member, or of one that wants to be a member or no longer one."""
    group = step.groups.find(body.group_id)
    error = _refusal(step, group, body)
    if error is not None:
        step.reply(token, error)
    elif body.member_epoch < 0:
        _leave(step, group, token, body)
    elif body.member_epoch == JOIN_EPOCH:
        _join(step, group, token, body)
    else:
        _go_on(step, group, token, body)


def _refuse(code: ErrorCode, text: str = "") -> ConsumerGroupHeartbeatResponse:
    return ConsumerGroupHeartbeatResponse(code, text or meaning(code).text)


def _refusal(step: Step, group: Group, body: Heartbeat) -> ConsumerGroupHeartbeatResponse | None:
    settings = step.facts.settings
    if not body.group_id or not body.member_id:
        return _refuse(ErrorCode.INVALID_GROUP_ID, "group_id and member_id may not be empty")
    if step.facts.is_classic(group.group_id):
        text = f"group {body.group_id} has members of the classic protocol; stop them first"
        return _refuse(ErrorCode.INCONSISTENT_GROUP_PROTOCOL, text)
    if body.assignor is not None and body.assignor not in ASSIGNORS:
        text = f"no assignor {body.assignor[:80]!r}; use one of {', '.join(ASSIGNORS)}"
        return _refuse(ErrorCode.UNSUPPORTED_ASSIGNOR, text)
    if body.topics is not None and len(body.topics) > TOPICS_MAX:
        return _refuse(ErrorCode.INVALID_REQUEST, f"a member reads at most {TOPICS_MAX} topics")
    names = (
        *(body.member_id, body.instance_id, body.client_id, body.pattern),
        *(body.topics or ()),
    )
    too_long = first_too_long(settings, names)
    if too_long is not None:
        return _refuse(ErrorCode.INVALID_REQUEST, too_long)
    refusal = _refusal_of_pattern(step, body.pattern or "")
    if refusal is not None:
        return refusal
    timeout_ms = body.session_timeout_ms
    low, high = settings.session_timeout_min_ms, settings.session_timeout_max_ms
    if timeout_ms >= 0 and not low <= timeout_ms <= high:
        text = f"session_timeout_ms must be from {low} to {high}, not {timeout_ms}"
        return _refuse(ErrorCode.INVALID_SESSION_TIMEOUT, text)
    if body.member_epoch == JOIN_EPOCH and body.member_id not in group.members:
        if body.topics is None and not body.pattern:
            return _refuse(ErrorCode.INVALID_REQUEST, "topics: say what the member reads to join")
        succeeds = _holder_of_instance(group, body.instance_id) is not None
        if len(group.members) >= settings.members_max and not succeeds:
            return _refuse(ErrorCode.GROUP_MAX_SIZE_REACHED)
        if group.value is None and len(step.groups.by_id) >= settings.groups_max:
            return _refuse(ErrorCode.OVERLOADED, "this coordinator keeps no more groups")
    return None


def _refusal_of_pattern(step: Step, pattern: str) -> ConsumerGroupHeartbeatResponse | None:
    if not pattern or pattern in step.groups.patterns:
        return None
    if len(step.groups.patterns) >= PATTERNS_MAX:
        return _refuse(ErrorCode.OVERLOADED, "this coordinator searches by no more patterns")
    fault = step.facts.patterns.fault(pattern)
    return _refuse(ErrorCode.INVALID_REGULAR_EXPRESSION, fault) if fault else None


# Coming


def _join(step: Step, group: Group, token: object, body: Heartbeat) -> None:
    """Take in a member that owns nothing, or a static one that is back for what was its own."""
    member_id, reason = body.member_id, "joined"
    owned = replace(NOTHING_OWNED, version=group.owned_by(member_id).version)
    former = _holder_of_instance(group, body.instance_id)
    if former is not None and former != member_id:
        if not group.owned_by(former).away:
            step.reply(token, _refuse(ErrorCode.UNRELEASED_INSTANCE_ID))
            return
        reason = "came back"
        owned = replace(group.owned_by(former), away=False, revoking={})
        target = group.target(former)
        _forget(step, group, former)
        step.write(group, Kind.TARGET, member_id, value=TargetValue(by_topic(target)))
    _end_wait(step, group, member_id)
    _describe(step, group, body)
    step.write(group, Kind.OWNED, member_id, value=owned)
    step.facts.of(group.group_id)[member_id] = Soft(step.now.mono_ms)
    unsettle(step, group, reason, member_id).beats.append((token, body))


def _tell_joined(step: Step, group: Group, token: object, member_id: MemberId) -> None:
    if member_id not in group.members:
        step.reply(token, _refuse(ErrorCode.UNKNOWN_MEMBER_ID))
        return
    reconcile(step, group, member_id)
    watch(step, group, member_id)
    _answer(step, group, token, member_id)


def _holder_of_instance(group: Group, instance_id: str | None) -> MemberId | None:
    if instance_id is None:
        return None
    for member_id, member in group.members.items():
        if member.instance_id == instance_id:
            return member_id
    return None


def _describe(step: Step, group: Group, body: Heartbeat) -> bool:
    """Write what a member says about itself; False: it wants to read what it did before."""
    settings = step.facts.settings
    before = group.members.get(body.member_id)
    if before is None:
        before = MemberValue(
            body.instance_id,
            "",
            (),
            DEFAULT_ASSIGNOR,
            settings.session_timeout_ms,
            settings.rebalance_timeout_ms,
        )
    after = MemberValue(
        before.instance_id,
        body.client_id or before.client_id,
        before.topics if body.topics is None else tuple(sorted(set(body.topics))),
        body.assignor or before.assignor,
        _given(body.session_timeout_ms, before.session_timeout_ms),
        _given(body.rebalance_timeout_ms, before.rebalance_timeout_ms),
        body.client_host or before.client_host,
        before.pattern if body.pattern is None else body.pattern,
    )
    if after != group.members.get(body.member_id):
        step.write(group, Kind.MEMBER, body.member_id, value=after)
    return _wanted(before) != _wanted(after)


def _wanted(member: MemberValue) -> tuple[object, ...]:
    return member.topics, member.pattern, member.assignor


def _given(asked: int, before: int) -> int:
    return asked if asked >= 0 else before


# Going


def _leave(step: Step, group: Group, token: object, body: Heartbeat) -> None:
    member = group.members.get(body.member_id)
    if member is None:
        step.reply(token, _refuse(ErrorCode.UNKNOWN_MEMBER_ID))
    elif body.member_epoch == LEAVE_FOR_NOW_EPOCH and member.instance_id is not None:
        _end_wait(step, group, body.member_id)
        before = group.owned_by(body.member_id)
        # Its target is kept for it; what it was to let go, it has let go.
        owned = replace(before, away=True, revoking={})
        step.write(group, Kind.OWNED, body.member_id, value=owned)
        step.facts.of(group.group_id)[body.member_id] = Soft(step.now.mono_ms)
        watch(step, group, body.member_id)
        step.reply(token, _left(LEAVE_FOR_NOW_EPOCH))
        if before.revoking:
            lead(step, group)
    else:
        remove(step, group, {body.member_id: "left"})
        step.reply(token, _left(LEAVE_EPOCH))


def _left(epoch: MemberEpoch) -> ConsumerGroupHeartbeatResponse:
    return ConsumerGroupHeartbeatResponse(ErrorCode.NONE, member_epoch=epoch)


def remove(step: Step, group: Group, reasons: Mapping[MemberId, str]) -> None:
    """End members, and say why: what they owned is free, and their heartbeats that wait are told."""
    for member_id in reasons:
        _forget(step, group, member_id)
    member_id, reason = next(iter(reasons.items()))
    unsettle(step, group, reason, member_id)


def _forget(step: Step, group: Group, member_id: MemberId) -> None:
    soft = step.facts.of(group.group_id).pop(member_id, None)
    if soft is not None and soft.waiting is not None:
        step.reply(soft.waiting.token, _refuse(ErrorCode.UNKNOWN_MEMBER_ID))
    for kind in (Kind.OWNED, Kind.TARGET, Kind.MEMBER):
        step.write(group, kind, member_id, value=None)


# Going on


def _go_on(step: Step, group: Group, token: object, body: Heartbeat) -> None:
    member_id = body.member_id
    if member_id not in group.members:
        step.reply(token, _refuse(ErrorCode.UNKNOWN_MEMBER_ID))
        return
    owned = group.owned_by(member_id)
    if body.instance_id is not None and owned.away:
        step.reply(token, _refuse(ErrorCode.FENCED_INSTANCE_ID))
        return
    if body.member_epoch not in (owned.epoch, owned.previous_epoch):
        step.reply(token, _refuse(ErrorCode.FENCED_MEMBER_EPOCH))
        return
    soft = step.facts.of(group.group_id)[member_id]
    soft.heard_ms = step.now.mono_ms
    _end_wait(step, group, member_id)
    afresh = body.assignment_version == AFRESH
    known = soft.told_version if body.assignment_version == AS_TOLD else body.assignment_version
    # Only who knows what it may read is led on: else it would fall more than one epoch behind.
    knows_all = body.member_epoch == owned.epoch and (afresh or known == owned.version)
    freed = knows_all and _let_go(step, group, body)
    if _describe(step, group, body):
        unsettle(step, group, "subscribed anew", member_id)
    unsettled = step.facts.unsettled.get(group.group_id)
    if unsettled is not None:
        unsettled.beats.append((token, body))
        return
    if freed:
        lead(step, group)
    if knows_all:
        reconcile(step, group, member_id)
    owned = group.owned_by(member_id)
    if (known, body.member_epoch) != (owned.version, owned.epoch):
        _answer(step, group, token, member_id)
    elif body.max_wait_ms <= 0:
        step.reply(token, _nothing_new(owned))
    else:
        wait_ms = min(body.max_wait_ms, WAIT_MAX_MS)
        soft.waiting = Waiting(token, step.now.mono_ms + wait_ms)
    watch(step, group, member_id)


def _let_go(step: Step, group: Group, body: Heartbeat) -> bool:
    """Take over that a member has let go of what it was to; False: nothing is free by that."""
    if body.owned is None:
        return False
    has = {PartitionKey(topic.topic_id, n) for topic in body.owned for n in topic.partitions}
    owned = group.owned_by(body.member_id)
    if not owned.revoking or has & group.revoking(body.member_id):
        return False
    step.write(group, Kind.OWNED, body.member_id, value=replace(owned, revoking={}))
    step.facts.of(group.group_id)[body.member_id].letting_go_ms = None
    return True


def _end_wait(step: Step, group: Group, member_id: MemberId) -> None:
    """Answer the heartbeat that waits with what is: nothing new."""
    soft = step.facts.of(group.group_id).get(member_id)
    if soft is not None and soft.waiting is not None:
        owned = group.owned_by(member_id)
        token, soft.waiting = soft.waiting.token, None
        step.reply(token, _nothing_new(owned))


def _nothing_new(owned: OwnedValue) -> ConsumerGroupHeartbeatResponse:
    return ConsumerGroupHeartbeatResponse(ErrorCode.NONE, "", owned.epoch, owned.version)


def _answer(step: Step, group: Group, token: object, member_id: MemberId) -> None:
    """Tell a member all it may read."""
    owned = group.owned_by(member_id)
    step.facts.of(group.group_id)[member_id].told_version = owned.version
    known = {} if group.value is None else group.value.known
    catalogue = step.facts.catalogue.by_id
    assignment = tuple(
        AssignedTopic(
            topic_id,
            catalogue[topic_id].name if topic_id in catalogue else "",
            tuple(sorted(parts)),
            known.get(topic_id, 0),
        )
        for topic_id, parts in sorted(owned.assigned.items())
    )
    step.reply(
        token,
        ConsumerGroupHeartbeatResponse(ErrorCode.NONE, "", owned.epoch, owned.version, assignment),
    )


# All at once


def unsettle(step: Step, group: Group, reason: str, by_member: str = "") -> Unsettled:
    """Note that who reads what has changed, and why; the first reason is the one that is told."""
    return step.facts.unsettled.setdefault(group.group_id, Unsettled(reason, by_member))


def settle(step: Step, group: Group) -> None:
    """Divide for all that has changed at once, then answer whoever has beaten meanwhile."""
    unsettled = step.facts.unsettled.pop(group.group_id)
    if group.members or group.value is not None:
        take_aim(step, group, unsettled)
        lead(step, group)
    for token, body in unsettled.beats:
        if body.member_epoch == JOIN_EPOCH:
            _tell_joined(step, group, token, body.member_id)
        else:
            _go_on(step, group, token, body)


def lead(step: Step, group: Group) -> None:
    """Lead everybody who waits towards its target, for as long as one frees something for another."""
    moved = True
    while moved:
        moved = False
        for member_id, soft in list(step.facts.of(group.group_id).items()):
            if member_id not in group.members or soft.waiting is None:
                continue
            if reconcile(step, group, member_id):
                token, soft.waiting = soft.waiting.token, None
                _answer(step, group, token, member_id)
                watch(step, group, member_id)
                moved = True


# The way there


def reconcile(step: Step, group: Group, member_id: MemberId) -> bool:
    """Lead one member a step towards its target; False: there is nothing it could do now."""
    owned = group.owned_by(member_id)
    if owned.revoking or owned.away:
        return False
    assigned, target = group.assigned(member_id), group.target(member_id)
    lost = assigned - target
    soft = step.facts.of(group.group_id)[member_id]
    if lost:
        soft.letting_go_ms = step.now.mono_ms
        kept = _without(owned.assigned, lost)
        after = replace(owned, version=owned.version + 1, assigned=kept, revoking=by_topic(lost))
        step.write(group, Kind.OWNED, member_id, value=after)
        return True
    free = {key for key in target - assigned if key not in group.owners}
    if not free and owned.epoch > 0:
        return False
    got = {topic_id: dict(parts) for topic_id, parts in owned.assigned.items()}
    for key in sorted(free):
        got.setdefault(key.topic_id, {})[key.partition] = group.epoch
    after = OwnedValue(
        MemberEpoch(group.epoch), owned.epoch, owned.version + 1, got, {}, owned.away
    )
    step.write(group, Kind.OWNED, member_id, value=after)
    return True


def _without(
    assigned: dict[TopicId, dict[int, int]], lost: set[PartitionKey]
) -> dict[TopicId, dict[int, int]]:
    kept = {
        topic_id: {n: epoch for n, epoch in parts.items() if PartitionKey(topic_id, n) not in lost}
        for topic_id, parts in assigned.items()
    }
    return {topic_id: parts for topic_id, parts in kept.items() if parts}


# Time


def watch(step: Step, group: Group, member_id: MemberId) -> None:
    """Have a member looked at when it is next due."""
    due_ms = _due_ms(step, group, member_id)
    step.facts.wake(group.group_id, member_id, due_ms)


def _due_ms(step: Step, group: Group, member_id: MemberId) -> int:
    soft, member = step.facts.of(group.group_id)[member_id], group.members[member_id]
    due_ms = soft.heard_ms + member.session_timeout_ms
    if soft.letting_go_ms is not None:
        due_ms = min(due_ms, soft.letting_go_ms + member.rebalance_timeout_ms)
    if soft.waiting is not None:
        due_ms = min(due_ms, soft.waiting.due_ms)
    return due_ms


def look_at(step: Step, group: Group, member_id: MemberId) -> str:
    """Return why a member is to end: it has been silent, or has kept what it was to let go, for too long.

    Empty: it goes on.
    """
    soft, member = step.facts.of(group.group_id)[member_id], group.members[member_id]
    now_ms = step.now.mono_ms
    if now_ms >= soft.heard_ms + member.session_timeout_ms:
        return "was not heard within its session timeout"
    kept_ms = None if soft.letting_go_ms is None else now_ms - soft.letting_go_ms
    if kept_ms is not None and kept_ms >= member.rebalance_timeout_ms:
        return "did not let go within its rebalance timeout"
    if soft.waiting is not None and now_ms >= soft.waiting.due_ms:
        _end_wait(step, group, member_id)
    watch(step, group, member_id)
    return ""
