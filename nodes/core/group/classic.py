"""The classic protocol: rounds of join and sync, whose leader, a member, divides.

A round is JOINING until every known member has joined again (or its time is up, and it is left
behind), SYNCING until the leader has sent the division, STABLE until somebody comes, goes or wants
something else.  Only the result of a round is logged: a coordinator that takes over in between
knows the last one, and lets everybody join again.

Source: Apache Kafka, "Group Membership Protocol"; KIP-345 (static members), KIP-394 (member ids).
"""

from __future__ import annotations

from msgspec.structs import replace

from nodes.core.group.records import ClassicMember, ClassicValue, GroupValue, Kind
from nodes.core.group.state import CLASSIC, Group, Waiting
from nodes.core.group.step import Candidate, Round, Soft, Step, first_too_long
from transport.wire.errors import ErrorCode, meaning
from transport.wire.ids import MemberId
from transport.wire.messages.groups import (
    ClassicHeartbeatRequest,
    ClassicHeartbeatResponse,
    JoinedMember,
    JoinGroupRequest,
    JoinGroupResponse,
    LeaveGroupRequest,
    LeaveGroupResponse,
    SyncGroupRequest,
    SyncGroupResponse,
)

JOINING = "joining"
SYNCING = "syncing"
STABLE = "stable"
PROMISED_MAX = 1_000
PROTOCOL_BYTES = 16
"""What a protocol takes beside its name and what is told with it: members can offer very many of them."""
WAIT_MAX_MS = 30_000


def resume(step: Step, group: Group) -> None:
    """Take up a group as its last coordinator has left it."""
    value = group.classic
    if value is None or not value.members:
        return
    members = {one.member_id: Candidate(one) for one in value.members}
    step.facts.rounds[group.group_id] = Round(
        STABLE, group.epoch, value.protocol_type, value.protocol, value.leader, members
    )
    for member_id in members:
        _hear(step, group, member_id)


def _hear(step: Step, group: Group, member_id: MemberId) -> Soft:
    soft = step.facts.of(group.group_id).setdefault(member_id, Soft(step.now.mono_ms))
    soft.heard_ms = step.now.mono_ms
    timeout_ms = step.facts.rounds[group.group_id].members[member_id].value.session_timeout_ms
    step.facts.wake(group.group_id, member_id, step.now.mono_ms + timeout_ms)
    return soft


# Joining


def on_join(step: Step, token: object, body: JoinGroupRequest) -> None:
    """Take a member into the next generation."""
    group = step.groups.find(body.group_id)
    error = _refusal(step, group, body)
    if error is not None:
        step.reply(token, error)
        return
    present = step.facts.rounds.setdefault(group.group_id, Round(STABLE, group.epoch))
    member_id = _identify(step, present, token, body)
    if member_id is None:
        if not present.members and not present.promised:
            del step.facts.rounds[group.group_id]
        return
    value = ClassicMember(
        member_id,
        body.instance_id,
        body.client_id,
        body.session_timeout_ms,
        max(0, body.rebalance_timeout_ms),
        tuple((protocol.name, protocol.metadata) for protocol in body.protocols),
        b"",
        body.client_host,
    )
    before = present.members.get(member_id)
    present.protocol_type = body.protocol_type
    if before is None:
        present.members[member_id] = Candidate(value, token)
        reason = body.reason or "joined"
    else:
        _end_wait(step, group, member_id, ErrorCode.REBALANCE_IN_PROGRESS)
        same = before.value.protocols == value.protocols
        before.value = replace(value, assignment=before.value.assignment)
        reason = body.reason or "joined again"
        returns = not body.member_id  # A static member: only those are known without an id.
        leads = member_id == present.leader
        if same and present.state == STABLE and (not leads or (returns and body.may_skip)):
            _hear(step, group, member_id)
            if returns:
                _write_division(step, group)
            step.reply(token, replace(_joined(present, member_id), skips=leads))
            return
        if before.join is not None:
            step.reply(before.join, _refuse_join(ErrorCode.REBALANCE_IN_PROGRESS))
        before.join = token
        if returns:
            _write_successor(step, group, value)
    _hear(step, group, member_id)
    _begin(step, group, reason, member_id)
    _complete(step, group)


def _refusal(step: Step, group: Group, body: JoinGroupRequest) -> JoinGroupResponse | None:
    settings = step.facts.settings
    if not body.group_id:
        return _refuse_join(ErrorCode.INVALID_GROUP_ID)
    names = (body.member_id, body.instance_id, body.client_id, body.protocol_type, body.reason)
    too_long = first_too_long(settings, (*names, *(one.name for one in body.protocols)))
    if too_long is not None:
        return JoinGroupResponse(ErrorCode.INVALID_REQUEST, too_long)
    low, high = settings.session_timeout_min_ms, settings.session_timeout_max_ms
    if not low <= body.session_timeout_ms <= high:
        text = f"session_timeout_ms must be from {low} to {high}, not {body.session_timeout_ms}"
        return JoinGroupResponse(ErrorCode.INVALID_SESSION_TIMEOUT, text)
    present = step.facts.rounds.get(group.group_id)
    members = {} if present is None else present.members
    place = _place_of(present, body)
    rest = [one for member_id, one in members.items() if member_id != place]
    if place not in members and len(rest) >= settings.members_max:
        return _refuse_join(ErrorCode.GROUP_MAX_SIZE_REACHED)
    if present is None and len(step.facts.rounds) >= settings.groups_max:
        return JoinGroupResponse(ErrorCode.OVERLOADED, "this coordinator keeps no more groups")
    offered = {protocol.name for protocol in body.protocols}
    size_bytes = sum(_told_bytes(one.name, one.metadata) for one in body.protocols)
    size_bytes += sum(_told_bytes(*told) for one in rest for told in one.value.protocols)
    if size_bytes > settings.classic_bytes_max:
        text = f"the group's members tell each other more than {settings.classic_bytes_max} bytes"
        return JoinGroupResponse(ErrorCode.GROUP_MAX_SIZE_REACHED, text)
    for one in rest:
        offered &= {name for name, _ in one.value.protocols}
    other_type = rest and present is not None and present.protocol_type != body.protocol_type
    if group.members or not offered or other_type:
        return _refuse_join(ErrorCode.INCONSISTENT_GROUP_PROTOCOL)
    return None


def _told_bytes(name: str, metadata: bytes) -> int:
    """Return what one protocol of a member takes, in memory and in the group's record."""
    return PROTOCOL_BYTES + len(name.encode()) + len(metadata)


def _place_of(present: Round | None, body: JoinGroupRequest) -> MemberId | None:
    """Return whose place the member takes: its own, or a static one's that it succeeds."""
    if body.member_id or present is None or body.instance_id is None:
        return body.member_id
    return _holder_of_instance(present, body.instance_id)


def _identify(step: Step, present: Round, token: object, body: JoinGroupRequest) -> MemberId | None:
    """Return the id that the member joins by; None: it has been answered instead."""
    if body.instance_id is not None:
        former = _holder_of_instance(present, body.instance_id)
        if former is not None and body.member_id not in ("", former):
            step.reply(token, _refuse_join(ErrorCode.FENCED_INSTANCE_ID))
            return None
        if former is not None and not body.member_id:
            return _replace(step, present, former, body)
    if body.member_id in present.members:
        return body.member_id
    if body.member_id:
        promised = present.promised.pop(body.member_id, None)
        if promised is None or promised < step.now.mono_ms:
            step.reply(token, _refuse_join(ErrorCode.UNKNOWN_MEMBER_ID))
            return None
        return body.member_id
    new = MemberId(f"{body.client_id or 'member'}-{step.facts.new_id()}")
    if body.instance_id is not None:
        return new
    while len(present.promised) >= PROMISED_MAX:
        del present.promised[next(iter(present.promised))]
    present.promised[new] = until_ms = step.now.mono_ms + body.session_timeout_ms
    if not present.members:
        present.due_ms = until_ms
    error = ErrorCode.MEMBER_ID_REQUIRED
    step.reply(token, JoinGroupResponse(error, meaning(error).text, member_id=new))
    return None


def _holder_of_instance(present: Round, instance_id: str) -> MemberId | None:
    for member_id, one in present.members.items():
        if one.value.instance_id == instance_id:
            return member_id
    return None


def _replace(step: Step, present: Round, former: MemberId, body: JoinGroupRequest) -> MemberId:
    """A static member is back as another process: it takes the former's place, under a new id."""
    new = MemberId(f"{body.client_id or 'member'}-{step.facts.new_id()}")
    candidate = present.members.pop(former)
    soft = step.facts.of(body.group_id).pop(former, None)
    fenced = ErrorCode.FENCED_INSTANCE_ID
    if candidate.join is not None:
        step.reply(candidate.join, _refuse_join(fenced))
    if candidate.sync is not None:
        step.reply(candidate.sync, SyncGroupResponse(fenced, meaning(fenced).text))
    if soft is not None and soft.waiting is not None:
        step.reply(soft.waiting.token, ClassicHeartbeatResponse(fenced, meaning(fenced).text))
    present.members[new] = Candidate(replace(candidate.value, member_id=new))
    if present.leader == former:
        present.leader = new
    return new


def _refuse_join(error: ErrorCode) -> JoinGroupResponse:
    return JoinGroupResponse(error, meaning(error).text)


def _begin(step: Step, group: Group, reason: str, by_member: str) -> None:
    """Begin a round, unless everybody is joining already."""
    present = step.facts.rounds[group.group_id]
    if present.state == JOINING:
        return
    present.state, present.reason = JOINING, (reason, by_member)
    patience_ms = max(one.value.rebalance_timeout_ms for one in present.members.values())
    present.due_ms = step.now.mono_ms + patience_ms
    again = ErrorCode.REBALANCE_IN_PROGRESS
    for member_id, one in present.members.items():
        if one.sync is not None:
            step.reply(one.sync, SyncGroupResponse(again, meaning(again).text))
            one.sync = None
        _end_wait(step, group, member_id, again)


def _end_wait(step: Step, group: Group, member_id: MemberId, error: ErrorCode) -> None:
    soft = step.facts.of(group.group_id).get(member_id)
    if soft is not None and soft.waiting is not None:
        token, soft.waiting = soft.waiting.token, None
        text = "" if error is ErrorCode.NONE else meaning(error).text
        step.reply(token, ClassicHeartbeatResponse(error, text))


def _complete(step: Step, group: Group) -> None:
    """Begin the next generation once every member has joined."""
    present = step.facts.rounds[group.group_id]
    members = present.members
    if present.state != JOINING or any(one.join is None for one in members.values()):
        return
    present.state = SYNCING
    present.generation += 1
    present.protocol = _elect(present)
    if present.leader not in members:
        present.leader = next(iter(members))
    patience_ms = max(one.value.rebalance_timeout_ms for one in members.values())
    present.due_ms = step.now.mono_ms + patience_ms
    for member_id, one in members.items():
        step.reply(one.join, _joined(present, member_id))
        one.join = None
        one.value = replace(one.value, assignment=b"")
        _hear(step, group, member_id)


def _elect(present: Round) -> str:
    """Return the protocol that all offer and most prefer."""
    offers = [[name for name, _ in one.value.protocols] for one in present.members.values()]
    common = set(offers[0]).intersection(*offers[1:])
    votes = [next(name for name in offer if name in common) for offer in offers]
    return max(sorted(common), key=votes.count)


def _joined(present: Round, member_id: MemberId) -> JoinGroupResponse:
    members = tuple(
        JoinedMember(other_id, one.value.instance_id, dict(one.value.protocols)[present.protocol])
        for other_id, one in present.members.items()
        if member_id == present.leader
    )
    return JoinGroupResponse(
        ErrorCode.NONE,
        "",
        present.generation,
        present.protocol,
        present.leader,
        member_id,
        members,
    )


# Syncing, going on


def _judge(
    step: Step, group: Group, member_id: MemberId, generation: int, instance_id: str | None
) -> ErrorCode:
    present = step.facts.rounds.get(group.group_id)
    if present is None:
        return ErrorCode.UNKNOWN_MEMBER_ID
    if member_id not in present.members:
        taken = instance_id is not None and _holder_of_instance(present, instance_id) is not None
        return ErrorCode.FENCED_INSTANCE_ID if taken else ErrorCode.UNKNOWN_MEMBER_ID
    return ErrorCode.NONE if generation == present.generation else ErrorCode.ILLEGAL_GENERATION


def on_sync(step: Step, token: object, body: SyncGroupRequest) -> None:
    """Take the division from the leader, and give each member its part."""
    group = step.groups.find(body.group_id)
    error = _judge(step, group, body.member_id, body.generation, body.instance_id)
    if error is ErrorCode.NONE and step.facts.rounds[group.group_id].state == JOINING:
        error = ErrorCode.REBALANCE_IN_PROGRESS
    if error is not ErrorCode.NONE:
        step.reply(token, SyncGroupResponse(error, meaning(error).text))
        return
    limit_bytes = step.facts.settings.classic_bytes_max
    if sum(len(part.assignment) for part in body.assignments) > limit_bytes:
        text = f"a division has at most {limit_bytes} bytes"
        step.reply(token, SyncGroupResponse(ErrorCode.INVALID_REQUEST, text))
        return
    present = step.facts.rounds[group.group_id]
    _hear(step, group, body.member_id)
    one = present.members[body.member_id]
    if present.state == STABLE:
        step.reply(token, SyncGroupResponse(ErrorCode.NONE, "", one.value.assignment))
        return
    if one.sync is not None:
        again = ErrorCode.REBALANCE_IN_PROGRESS
        step.reply(one.sync, SyncGroupResponse(again, meaning(again).text))
    one.sync = token
    if body.member_id == present.leader:
        parts = {part.member_id: part.assignment for part in body.assignments}
        for member_id, member in present.members.items():
            member.value = replace(member.value, assignment=parts.get(member_id, b""))
        present.state, present.due_ms = STABLE, None
        _write(step, group)
        for member in present.members.values():
            if member.sync is not None:
                step.reply(
                    member.sync, SyncGroupResponse(ErrorCode.NONE, "", member.value.assignment)
                )
                member.sync = None


def _write(step: Step, group: Group) -> None:
    """Log the result of the round."""
    present, before = step.facts.rounds[group.group_id], group.value
    wall_ms = step.now.wall_ms
    reason, by_member = present.reason
    value = GroupValue(
        present.generation,
        CLASSIC,
        present.protocol,
        {} if before is None else before.known,
        wall_ms if before is None else before.created_ms,
        -1 if present.members else wall_ms,
        wall_ms,
        reason,
        by_member,
        present.protocol_type,
    )
    step.write(group, Kind.GROUP, value=value)
    _write_division(step, group)


def _write_division(step: Step, group: Group) -> None:
    present = step.facts.rounds[group.group_id]
    members = tuple(one.value for one in present.members.values())
    division = ClassicValue(present.protocol_type, present.protocol, present.leader, members)
    step.write(group, Kind.CLASSIC, value=division if members else None)


def _write_successor(step: Step, group: Group, member: ClassicMember) -> None:
    """Log by which id a static member is back before it is told: the last division stays what it is.

    Whoever coordinates next goes by that division, and would take it for a predecessor of its own.
    """
    known = group.classic
    former = None
    for one in () if known is None else known.members:
        if one.instance_id == member.instance_id and one.member_id != member.member_id:
            former = one
    if known is None or former is None:
        return
    back = replace(former, member_id=member.member_id)
    members = tuple(back if one is former else one for one in known.members)
    leader = back.member_id if known.leader == former.member_id else known.leader
    step.write(group, Kind.CLASSIC, value=replace(known, leader=leader, members=members))


def on_heartbeat(step: Step, token: object, body: ClassicHeartbeatRequest) -> None:
    """Hear a member; a waiting heartbeat is answered when the generation ends."""
    group = step.groups.find(body.group_id)
    error = _judge(step, group, body.member_id, body.generation, body.instance_id)
    present = step.facts.rounds.get(group.group_id)
    if error is ErrorCode.NONE and present is not None:
        soft = _hear(step, group, body.member_id)
        _end_wait(step, group, body.member_id, ErrorCode.NONE)
        if present.state == JOINING:
            error = ErrorCode.REBALANCE_IN_PROGRESS
        elif present.state == STABLE and body.max_wait_ms > 0:
            due_ms = step.now.mono_ms + min(body.max_wait_ms, WAIT_MAX_MS)
            soft.waiting = Waiting(token, due_ms)
            step.facts.wake(group.group_id, body.member_id, due_ms)
            return
    text = "" if error is ErrorCode.NONE else meaning(error).text
    step.reply(token, ClassicHeartbeatResponse(error, text))


# Going


def on_leave(step: Step, token: object, body: LeaveGroupRequest) -> None:
    """Let a member go; the others divide anew."""
    group = step.groups.find(body.group_id)
    present = step.facts.rounds.get(group.group_id)
    member_id: MemberId | None = body.member_id
    if present is not None and body.instance_id is not None and not body.member_id:
        member_id = _holder_of_instance(present, body.instance_id)
    if present is None or member_id is None or member_id not in present.members:
        error = ErrorCode.UNKNOWN_MEMBER_ID
        step.reply(token, LeaveGroupResponse(error, meaning(error).text))
        return
    remove(step, group, member_id, body.reason or "left")
    step.reply(token, LeaveGroupResponse(ErrorCode.NONE))


def remove(step: Step, group: Group, member_id: MemberId, reason: str) -> None:
    """End a member."""
    present = step.facts.rounds[group.group_id]
    unknown = ErrorCode.UNKNOWN_MEMBER_ID
    _end_wait(step, group, member_id, unknown)
    one = present.members.pop(member_id)
    step.facts.of(group.group_id).pop(member_id, None)
    if one.join is not None:
        step.reply(one.join, _refuse_join(unknown))
    if one.sync is not None:
        step.reply(one.sync, SyncGroupResponse(unknown, meaning(unknown).text))
    if not present.members:
        present.generation += 1
        present.reason = (reason, member_id)
        _write(step, group)
        del step.facts.rounds[group.group_id]
        return
    _begin(step, group, reason, member_id)
    _complete(step, group)


# Time


def look_at(step: Step, group: Group, member_id: MemberId) -> None:
    """End a member that has been silent for too long; who waits for the round is not."""
    present = step.facts.rounds[group.group_id]
    one, soft = present.members.get(member_id), step.facts.of(group.group_id).get(member_id)
    if one is None or soft is None:
        return
    now_ms = step.now.mono_ms
    if soft.waiting is not None and now_ms >= soft.waiting.due_ms:
        _end_wait(step, group, member_id, ErrorCode.NONE)
    due_ms = soft.heard_ms + one.value.session_timeout_ms
    if one.join is not None or one.sync is not None:
        due_ms = now_ms + one.value.session_timeout_ms
    if now_ms >= due_ms:
        remove(step, group, member_id, "was not heard within its session timeout")
        return
    if soft.waiting is not None:
        due_ms = min(due_ms, soft.waiting.due_ms)
    step.facts.wake(group.group_id, member_id, due_ms)


def go_on_without(step: Step, group: Group) -> None:
    """The time of a round is up: whoever has not joined, or not synced, is left behind."""
    present = step.facts.rounds[group.group_id]
    present.due_ms = None
    if not present.members:
        del step.facts.rounds[group.group_id]  # Whoever was promised an id has not come.
        return
    if present.state == JOINING:
        late = [member_id for member_id, one in present.members.items() if one.join is None]
        reason = "did not join again within its rebalance timeout"
    else:
        late = [member_id for member_id, one in present.members.items() if one.sync is None]
        reason = "did not sync within its rebalance timeout"
    for member_id in late:
        if group.group_id in step.facts.rounds:
            remove(step, group, member_id, reason)
