"""Who is to read what: the targets of a group's members, divided among them by an assignor (KIP-848).

Knows nothing of heartbeats, nor how a member gets to its target: a target says what it is to read
once everybody has let go of what is another's now.
"""

from __future__ import annotations

from nodes.core.group.records import GroupValue, Kind, TargetValue
from nodes.core.group.state import CONSUMER, Group, by_topic
from nodes.core.group.step import Step, Unsettled
from transport.wire.assignors import ASSIGNORS, DEFAULT_ASSIGNOR, Division
from transport.wire.ids import MemberId, PartitionKey, TopicId


def take_aim(step: Step, group: Group, unsettled: Unsettled) -> None:
    """Bring targets up to date.

    The group has a new epoch when any target has changed, or with its first member.
    """
    targets = _divide(step, group)
    changed = {m: t for m, t in targets.items() if t != group.target(m)}
    created = group.value is None or group.value.protocol != CONSUMER
    emptied = not group.members and group.value is not None and group.value.empty_since_ms < 0
    if changed or created or emptied or _must_know(step, group):
        _new_epoch(step, group, unsettled)
    for member_id, target in sorted(changed.items()):
        step.write(group, Kind.TARGET, member_id, value=TargetValue(by_topic(target)))


def _divide(step: Step, group: Group) -> dict[MemberId, set[PartitionKey]]:
    if not group.members:
        return {}
    topics = step.facts.catalogue.by_name
    readers = {
        member_id: frozenset(
            topics[name].topic_id for name in step.facts.topics_of(member) if name in topics
        )
        for member_id, member in group.members.items()
    }
    partitions: dict[TopicId, int] = {
        topic_id: step.facts.catalogue.by_id[topic_id].partitions
        for read in readers.values()
        for topic_id in read
    }
    owned = {member_id: group.assigned(member_id) for member_id in group.members}
    division = Division[TopicId](readers, partitions, group.targets, owned)
    targets = ASSIGNORS[_assignor(group)](division)
    return {member: {PartitionKey(*key) for key in keys} for member, keys in targets.items()}


def _assignor(group: Group) -> str:
    """Return the assignor that most members want."""
    wanted = [member.assignor for member in group.members.values()]
    return max(sorted(set(wanted)), key=wanted.count) if wanted else DEFAULT_ASSIGNOR


def _new_known(step: Step, group: Group) -> dict[TopicId, int]:
    """Return how many partitions each topic had when the group began to read it; of those there are."""
    before = {} if group.value is None else group.value.known
    created_ms = step.now.wall_ms if group.value is None else group.value.created_ms
    catalogue, read = step.facts.catalogue, step.facts.read_by(group)
    known = {one: count for one, count in before.items() if one in catalogue.by_id}
    for topic in catalogue.by_name.values():
        if topic.topic_id not in known and topic.name in read:
            known[topic.topic_id] = 0 if topic.born_ms > created_ms else topic.partitions
    return known


def _must_know(step: Step, group: Group) -> bool:
    return (
        group.value is not None and not _new_known(step, group).keys() <= group.value.known.keys()
    )


def _new_epoch(step: Step, group: Group, unsettled: Unsettled) -> None:
    before, wall_ms = group.value, step.now.wall_ms
    value = GroupValue(
        group.epoch + 1,
        CONSUMER,
        _assignor(group),
        _new_known(step, group),
        wall_ms if before is None else before.created_ms,
        -1 if group.members else wall_ms,
        wall_ms,
        unsettled.reason,
        unsettled.by_member,
    )
    step.write(group, Kind.GROUP, value=value)
