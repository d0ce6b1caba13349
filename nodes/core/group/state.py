"""A shard's groups: what the records say, and the soft facts beside it.

``Groups.apply`` is the only mutator of what is replicated.  Decisions are made elsewhere.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

from nodes.core.group.records import (
    ClassicValue,
    GroupValue,
    Kind,
    MemberValue,
    OffsetValue,
    OwnedValue,
    Partitions,
    PendingValue,
    TargetValue,
    Value,
    decode,
)
from nodes.core.shard import ShardRecord
from transport.wire.ids import MemberEpoch, MemberId, PartitionKey, ProducerId, TopicId
from transport.wire.messages.groups import OwnedTopic, Rebalance

REBALANCES_KEPT = 16
PENDING_BYTES = 100
"""Of an offset in a transaction beside what it is called by and bears: in memory it is some more."""
CONSUMER = "consumer"
CLASSIC = "classic"


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSettings:
    """What a coordinator goes by; times in milliseconds."""

    session_timeout_min_ms: int = 1_000
    session_timeout_max_ms: int = 1_800_000
    session_timeout_ms: int = 45_000
    """Of members that name none."""
    rebalance_timeout_ms: int = 300_000
    members_max: int = 1_000
    metadata_bytes_max: int = 4_096
    """Of a committed offset."""
    pending_bytes_max: int = 16 * 1024 * 1024
    """Of one transaction's offsets in one shard: its end makes all of them one batch."""
    classic_bytes_max: int = 4 * 1024 * 1024
    """Of all that the members of one classic group tell each other, and of what its leader gives."""
    name_characters_max: int = 1_000
    """Of whatever a member is called, calls what it does, or wants to read."""
    offsets_retention_ms: int = 7 * 24 * 3_600_000
    groups_max: int = 10_000
    """In one shard."""


class CataloguedTopic(NamedTuple):
    """A topic that can be read."""

    topic_id: TopicId
    name: str
    partitions: int
    born_ms: int
    """Wall time at which this broker has first heard of it; 0: it was there before."""


class Catalogue:
    """The topics there are, as a fact told to the core. Never changed once told."""

    def __init__(self, topics: Iterable[CataloguedTopic] = ()) -> None:
        self.by_name = {topic.name: topic for topic in topics}
        self.by_id = {topic.topic_id: topic for topic in self.by_name.values()}


class Waiting(NamedTuple):
    """A heartbeat that is let wait."""

    token: object
    due_ms: int


NOTHING_OWNED = OwnedValue(MemberEpoch(0), MemberEpoch(-1), 0, {}, {})


@dataclass(slots=True)
class Group:
    """One group. Each kind of record has its own table: compaction keeps no order among them."""

    group_id: str
    value: GroupValue | None = None
    members: dict[MemberId, MemberValue] = field(default_factory=dict)
    targets: dict[MemberId, frozenset[PartitionKey]] = field(default_factory=dict)
    owned: dict[MemberId, OwnedValue] = field(default_factory=dict)
    owners: dict[PartitionKey, MemberId] = field(default_factory=dict)
    """Who owns what, what is to be let go included."""
    classic: ClassicValue | None = None
    offsets: dict[PartitionKey, OffsetValue] = field(default_factory=dict)
    pending: dict[ProducerId, dict[PartitionKey, PendingValue]] = field(default_factory=dict)
    """Offsets of transactions that have not ended."""
    rebalances: deque[Rebalance] = field(default_factory=lambda: deque(maxlen=REBALANCES_KEPT))

    @property
    def protocol(self) -> str:
        """``consumer``, ``classic``, or empty: it has no members."""
        if self.members:
            return CONSUMER
        return CLASSIC if self.classic is not None and self.classic.members else ""

    @property
    def epoch(self) -> int:
        """The present epoch or generation; 0 before the first."""
        return 0 if self.value is None else self.value.epoch

    def target(self, member: MemberId) -> frozenset[PartitionKey]:
        """Return what a member is meant to own in the end."""
        return self.targets.get(member, frozenset())

    def owned_by(self, member: MemberId) -> OwnedValue:
        """Return what a member owns, and under which epoch it is."""
        return self.owned.get(member, NOTHING_OWNED)

    def assigned(self, member: MemberId) -> set[PartitionKey]:
        """Return what a member may read."""
        return keys(self.owned_by(member).assigned)

    def revoking(self, member: MemberId) -> set[PartitionKey]:
        """Return what a member is to let go."""
        return keys(self.owned_by(member).revoking)


class Groups:
    """All groups of a shard."""

    def __init__(self) -> None:
        self.by_id: dict[str, Group] = {}
        self.pending_groups: dict[ProducerId, set[str]] = {}
        """By producer: the groups with offsets of its present transaction."""
        self.pending_bytes: dict[ProducerId, int] = {}
        """By producer: what these offsets weigh."""
        self.patterns: Counter[str] = Counter()
        """By pattern: how many members find their topics by it."""

    def find(self, group_id: str) -> Group:
        """Return a group, made if there is none; see ``prune``."""
        group = self.by_id.get(group_id)
        if group is None:
            group = self.by_id[group_id] = Group(group_id)
        return group

    def prune(self, group_id: str) -> None:
        """Drop a group that no record tells of."""
        group = self.by_id.get(group_id)
        if group is not None and not (
            group.value
            or group.members
            or group.owned
            or group.offsets
            or group.classic
            or group.pending
        ):
            del self.by_id[group_id]

    def apply(self, record: ShardRecord) -> str:
        """Take over one record; return its group's id."""
        kind, group_id, rest, value = decode(record)
        group = self.find(group_id)
        if kind is Kind.PENDING:
            self._apply_pending(group, rest, cast("PendingValue | None", value))
        else:
            if kind is Kind.MEMBER:
                self._count_pattern(group.members.get(rest[0]), -1)
                self._count_pattern(cast("MemberValue | None", value), 1)
            _APPLY[kind](group, rest, value)
        return group_id

    def _count_pattern(self, member: MemberValue | None, more: int) -> None:
        if member is not None and member.pattern:
            self.patterns[member.pattern] += more
            if not self.patterns[member.pattern]:
                del self.patterns[member.pattern]

    def _apply_pending(self, group: Group, rest: list[Any], value: PendingValue | None) -> None:
        producer_id, key = rest[0], PartitionKey(rest[1], rest[2])
        mine = group.pending.setdefault(producer_id, {})
        weight = self.pending_bytes.pop(producer_id, 0) - pending_weight(group, mine.get(key))
        if value is None:
            mine.pop(key, None)
        else:
            mine[key] = value
        if not mine:
            del group.pending[producer_id]
        self._index(group, producer_id)
        if producer_id in self.pending_groups:
            self.pending_bytes[producer_id] = weight + pending_weight(group, value)

    def _index(self, group: Group, producer_id: ProducerId) -> None:
        groups = self.pending_groups.setdefault(producer_id, set())
        if producer_id in group.pending:
            groups.add(group.group_id)
        else:
            groups.discard(group.group_id)
        if not groups:
            del self.pending_groups[producer_id]


def _apply_group(group: Group, rest: list[Any], value: Value | None) -> None:
    before = group.value
    group.value = cast("GroupValue | None", value)
    after = group.value
    if after is not None and (before is None or before.epoch != after.epoch):
        group.rebalances.append(
            Rebalance(after.epoch, after.changed_ms, after.reason, after.by_member)
        )


def _apply_member(group: Group, rest: list[Any], value: Value | None) -> None:
    if value is None:
        group.members.pop(rest[0], None)
    else:
        group.members[rest[0]] = cast("MemberValue", value)


def _apply_target(group: Group, rest: list[Any], value: Value | None) -> None:
    if value is None:
        group.targets.pop(rest[0], None)
    else:
        group.targets[rest[0]] = frozenset(keys(cast("TargetValue", value).partitions))


def _apply_owned(group: Group, rest: list[Any], value: Value | None) -> None:
    member: MemberId = rest[0]
    for key in group.assigned(member) | group.revoking(member):
        if group.owners.get(key) == member:
            del group.owners[key]
    if value is None:
        group.owned.pop(member, None)
    else:
        group.owned[member] = cast("OwnedValue", value)
    for key in group.assigned(member) | group.revoking(member):
        group.owners[key] = member


def _apply_offset(group: Group, rest: list[Any], value: Value | None) -> None:
    key = PartitionKey(rest[0], rest[1])
    if value is None:
        group.offsets.pop(key, None)
    else:
        group.offsets[key] = cast("OffsetValue", value)


def _apply_classic(group: Group, rest: list[Any], value: Value | None) -> None:
    group.classic = cast("ClassicValue | None", value)


_APPLY: dict[Kind, Callable[[Group, list[Any], Value | None], None]] = {
    Kind.GROUP: _apply_group,
    Kind.MEMBER: _apply_member,
    Kind.TARGET: _apply_target,
    Kind.OWNED: _apply_owned,
    Kind.OFFSET: _apply_offset,
    Kind.CLASSIC: _apply_classic,
}


def pending_weight(group: Group, pending: PendingValue | None) -> int:
    """Return how many bytes an offset in a transaction takes, about; none, nothing."""
    if pending is None:
        return 0
    return PENDING_BYTES + len(group.group_id) + len(pending.value.metadata.encode())


def keys(partitions: Mapping[TopicId, Iterable[int]]) -> set[PartitionKey]:
    """Return the partitions one by one."""
    return {
        PartitionKey(topic_id, number)
        for topic_id, numbers in partitions.items()
        for number in numbers
    }


def by_topic(partitions: Iterable[PartitionKey]) -> Partitions:
    """Return partitions by topic, sorted."""
    found: dict[TopicId, list[int]] = {}
    for key in sorted(partitions):
        found.setdefault(key.topic_id, []).append(key.partition)
    return {topic_id: tuple(numbers) for topic_id, numbers in found.items()}


def owned_topics(partitions: Iterable[PartitionKey]) -> tuple[OwnedTopic, ...]:
    """Return partitions as messages have them."""
    return tuple(
        OwnedTopic(topic_id, numbers) for topic_id, numbers in by_topic(partitions).items()
    )
