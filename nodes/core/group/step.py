"""What the core knows beside the records, and one step of it while it is being decided."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Container, Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import NamedTuple

from nodes.core.group.patterns import Patterns
from nodes.core.group.records import ClassicMember, Kind, MemberValue, Value, encode
from nodes.core.group.state import Catalogue, Group, Groups, GroupSettings, Waiting
from nodes.core.shard import ShardEffects
from transport.kernel import Answer, Now
from transport.wire.ids import MemberId, ProducerEpoch, ProducerId
from transport.wire.messages import Message
from transport.wire.messages.groups import ConsumerGroupHeartbeatRequest
from transport.wire.messages.transactions import TransactionMarker

ENDED_MAX = 10_000
"""Producers whose latest marker is remembered."""


@dataclass(slots=True)
class Soft:
    """What is known of a member and never logged."""

    heard_ms: int
    """Monotonic time of the last contact."""
    letting_go_ms: int | None = None
    """Since when it has been asked to let go of something."""
    waiting: Waiting | None = None
    """Its heartbeat."""
    wake_ms: int | None = None
    """When it is looked at next, at the latest."""
    told_version: int = 0
    """Of the assignment that it was told last, by this coordinator."""


@dataclass(slots=True)
class Candidate:
    """A member of the classic protocol in the present round."""

    value: ClassicMember
    join: object | None = None
    """The token of its JoinGroup, while that waits."""
    sync: object | None = None


@dataclass(slots=True)
class Round:
    """The present round of a group of the classic protocol; see ``classic.py``."""

    state: str
    generation: int
    protocol_type: str = ""
    protocol: str = ""
    leader: MemberId = MemberId("")
    members: dict[MemberId, Candidate] = field(default_factory=dict)
    promised: dict[MemberId, int] = field(default_factory=dict)
    """Member ids given out, and until when they may be joined with."""
    due_ms: int | None = None
    """When who has not joined, or not synced, is left behind."""
    reason: tuple[str, str] = ("", "")
    """Why the round has begun, and by whom."""


class Ended(NamedTuple):
    """The newest marker of a producer, as far as this coordinator has seen: the largest of its epochs."""

    producer_epoch: ProducerEpoch
    coordinator_epoch: int


NOT_ENDED = Ended(ProducerEpoch(-1), -1)


@dataclass(slots=True)
class Unsettled:
    """Who reads what has changed in a group, and its partitions are to be divided anew."""

    reason: str
    by_member: str
    beats: list[tuple[object, ConsumerGroupHeartbeatRequest]] = field(default_factory=list)
    """To be answered then, with their tokens; bounded by what the host lets be asked."""


class Facts:
    """What the core knows beside the records: soft, and begun anew by each coordinator."""

    def __init__(self, settings: GroupSettings, new_id: Callable[[], str]) -> None:
        self.settings = settings
        self.new_id = new_id
        """Makes ids that are never made twice; the only source of chance."""
        self.catalogue = Catalogue()
        self.patterns = Patterns()
        self.soft: dict[str, dict[MemberId, Soft]] = {}
        """By group and member, of either protocol."""
        self.rounds: dict[str, Round] = {}
        self.unsettled: dict[str, Unsettled] = {}
        """By group, until the next tick, which is due at once."""
        self._ended: dict[ProducerId, Ended] = {}
        self._wakes: list[tuple[int, int, str, MemberId]] = []
        self._order = count()

    def take(self, catalogue: Catalogue, patterns: Container[str]) -> None:
        """Take over which topics there are, and the patterns by which members find some of them."""
        self.catalogue = catalogue
        self.patterns.take(catalogue.by_name, patterns)

    def topics_of(self, member: MemberValue) -> Collection[str]:
        """Return what a member of the consumer protocol reads, of those there are at least."""
        if not member.pattern:
            return member.topics
        return self.patterns.found(member.pattern) | set(member.topics)

    def knows_all_read_by(self, group: Group) -> bool:
        """Tell whether the search by patterns of its members is through; it goes on if there is room."""
        patterns = dict.fromkeys(one.pattern for one in group.members.values() if one.pattern)
        return all(self.patterns.is_through(pattern) for pattern in patterns)

    def read_by(self, group: Group) -> set[str]:
        """Return what the members of the consumer protocol read, of those there are at least."""
        read: set[str] = set()
        # Most members of a group read the same: to look at each topic for each of them takes seconds.
        for topics, pattern in {(one.topics, one.pattern) for one in group.members.values()}:
            read.update(topics)
            if pattern:
                read |= self.patterns.found(pattern)
        return read

    def ended(self, producer_id: ProducerId) -> Ended:
        """Return what markers have said of a producer: what is of before, and comes after, is late."""
        return self._ended.get(producer_id, NOT_ENDED)

    def note_end(self, marker: TransactionMarker) -> None:
        """Remember a marker for longer than any request is under way; the oldest are forgotten."""
        known = self._ended.pop(marker.producer_id, NOT_ENDED)
        self._ended[marker.producer_id] = Ended(
            max(known.producer_epoch, marker.producer_epoch),
            max(known.coordinator_epoch, marker.coordinator_epoch),
        )
        if len(self._ended) > ENDED_MAX:
            del self._ended[next(iter(self._ended))]

    def of(self, group_id: str) -> dict[MemberId, Soft]:
        """Return the soft facts of a group's members."""
        return self.soft.setdefault(group_id, {})

    def is_classic(self, group_id: str) -> bool:
        """Tell whether a group has members of the classic protocol."""
        present = self.rounds.get(group_id)
        return present is not None and bool(present.members)

    def wake(self, group_id: str, member_id: MemberId, due_ms: int) -> None:
        """Have this member looked at then; it may be sooner, and is then put off again."""
        soft = self.of(group_id).get(member_id)
        if soft is not None and (soft.wake_ms is None or due_ms < soft.wake_ms):
            soft.wake_ms = due_ms
            heapq.heappush(self._wakes, (due_ms, next(self._order), group_id, member_id))

    def due(self, now_ms: int) -> list[tuple[str, MemberId]]:
        """Return who is to be looked at now."""
        found: list[tuple[str, MemberId]] = []
        while self._wakes and self._wakes[0][0] <= now_ms:
            due_ms, _, group_id, member_id = heapq.heappop(self._wakes)
            soft = self.soft.get(group_id, {}).get(member_id)
            if soft is not None and soft.wake_ms == due_ms:
                soft.wake_ms = None
                found.append((group_id, member_id))
        return found

    def next_wake_ms(self) -> int | None:
        """Return when the next member is to be looked at."""
        return self._wakes[0][0] if self._wakes else None

    def delay(self, gap_ms: int) -> None:
        """Judge everybody later."""
        for members in self.soft.values():
            for soft in members.values():
                soft.heard_ms += gap_ms
                if soft.letting_go_ms is not None:
                    soft.letting_go_ms += gap_ms
        for one in self.rounds.values():
            if one.due_ms is not None:
                one.due_ms += gap_ms


def first_too_long(settings: GroupSettings, names: Iterable[str | None]) -> str | None:
    """Return what to tell whoever has given a name that is too long; None: nobody has."""
    limit = settings.name_characters_max
    for name in names:
        if name is not None and len(name) > limit:
            return f"{name[:40]!r}... has {len(name)} characters; {limit} are allowed"
    return None


class Step:
    """Records are applied as they are written, so that what follows is decided on what they say."""

    def __init__(self, groups: Groups, facts: Facts, now: Now) -> None:
        self.groups = groups
        self.facts = facts
        self.now = now
        self.effects = ShardEffects()

    def write(self, group: Group, kind: Kind, *rest: object, value: Value | None) -> None:
        """Write a value under its key, or remove it."""
        record = encode(kind, group.group_id, *rest, value=value)
        self.groups.apply(record)
        self.effects.append.append(record)

    def reply(self, token: object, message: Message) -> None:
        """Answer, once what this step has written is committed."""
        self.effects.reply.append(Answer(token, message))
