"""A member of a group, as its coordinator sees it: joins, heartbeats, leaves (KIP-848).

Pure.  A heartbeat waits at the coordinator until what the member may read changes, so one is always
on its way.  Owns the member's id, epoch and what the coordinator was told that it owns; must not
know how partitions are read.  Whoever cannot reach its coordinator for a whole session must take it
that others read on: ``on_lost`` says so, also right after the process was frozen for as long.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from odradek.cluster.committing import Who
from odradek.cluster.coordinator_link import CoordinatorLink
from odradek.cluster.errands import error_of
from odradek.consumer.classic_protocol import STRATEGIES
from odradek.errors import OdradekError, error_for
from transport.driver.ports import Ports
from transport.kernel import Now, earliest
from transport.wire.errors import ErrorCode, meaning
from transport.wire.ids import MemberId, TopicId, TopicPartition
from transport.wire.messages import Message
from transport.wire.messages.groups import (
    JOIN_EPOCH,
    LEAVE_EPOCH,
    LEAVE_FOR_NOW_EPOCH,
    AssignedTopic,
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
    OwnedTopic,
)

HEARTBEATS_PER_SESSION = 3
PAUSE_MS = 500
"""Before a member that was refused for the time being tries again."""
JOIN_TIME_MIN_MS = 1_000
"""For the answer to a join, however short a session is asked for: brokers refuse one that is too
short, and no answer is heard in a millisecond."""
RELEASED_WITHIN_SESSIONS = 2
"""An instance id whose holder was killed is free after one session; a second one is for a coordinator
that took the group over and counts anew."""
RELEASED_WITHIN_MS = 90_000
"""At least: the holder's session may be another one, as the 45 s of Kafka's consumers."""
REJOIN = frozenset({ErrorCode.UNKNOWN_MEMBER_ID, ErrorCode.FENCED_MEMBER_EPOCH})
GROUP_PROTOCOLS = ("consumer", "classic")


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSettings:
    """How a consumer takes part in its group; Kafka's names and defaults but where a reason is given."""

    group_id: str
    instance_id: str | None = None
    protocol: str = "consumer"
    """``consumer`` (KIP-848) or ``classic``."""
    assignor: str | None = None
    """``uniform`` or ``range`` of the consumer protocol; None: the coordinator's default."""
    strategies: tuple[str, ...] = ("cooperative-sticky",)
    """Assignors of the classic protocol, the most wanted first. Kafka's first is range, which stops
    every reader at each rebalance."""
    session_timeout_ms: int = 10_000
    """Kafka's 45 s leave a dead member's partitions unread for that long."""
    max_poll_interval_ms: int = 300_000
    auto_commit: bool = True
    auto_commit_interval_ms: int = 5_000
    client_id: str = "odradek-consumer"

    def __post_init__(self) -> None:
        if not self.group_id:
            raise ValueError("group_id may not be empty; leave it out to read without a group")
        if self.protocol not in GROUP_PROTOCOLS:
            raise ValueError(
                f"group_protocol={self.protocol!r} is not possible; use 'consumer' or 'classic'"
            )
        unknown = [name for name in self.strategies if name not in STRATEGIES]
        if unknown or not self.strategies:
            raise ValueError(
                f"partition_assignment_strategy={unknown[:1]} is not possible; use some of "
                f"{', '.join(STRATEGIES)}"
            )
        if self.session_timeout_ms < 1 or self.max_poll_interval_ms < 1:
            raise ValueError("session_timeout_ms and max_poll_interval_ms must be at least 1")


class Told(NamedTuple):
    """One partition that the member may read."""

    topic_id: TopicId
    born: bool
    """It came to be after the group had begun: without a commit, begin at its first record."""


Assignment = dict[TopicPartition, Told]


def _numbered(topics: Iterable[OwnedTopic]) -> set[tuple[TopicId, int]]:
    return {(topic.topic_id, number) for topic in topics for number in topic.partitions}


class GroupPart(Protocol):
    """What a membership tells: of :class:`odradek.consumer.rebalancing.Rebalancing`."""

    def on_told(self, assignment: Assignment, now: Now) -> None:
        """This is what the member may read from now on."""
        ...

    def on_lost(self, now: Now) -> None:
        """The member is none any more, and owns nothing."""
        ...

    def on_failed(self, error: OdradekError) -> None:
        """No waiting will cure this."""
        ...


class Membership(Protocol):
    """A member under either protocol; used by :class:`odradek.consumer.rebalancing.Rebalancing`."""

    @property
    def who(self) -> Who:
        """As whom to commit now."""
        ...

    @property
    def topics_seen(self) -> Collection[str]:
        """The topics that it must know of beside those that are read."""
        ...

    def attach(self, ports: Ports) -> None:
        """Take the ports, once the program has them."""
        ...

    def read(self, topics: Iterable[str], now: Now) -> None:
        """Join, or say that other topics are read now."""
        ...

    def own(self, keys: Iterable[TopicPartition], now: Now) -> None:
        """Exactly these are owned now: what is missing has been let go."""
        ...

    def leave(self, on_done: Callable[[Now], None], now: Now) -> None:
        """End; ``on_done`` is called once, when the coordinator knows, or soon enough."""
        ...

    def end_turn(self, now: Now) -> None:
        """Send what is due."""
        ...

    def next_deadline_ms(self) -> int | None:
        """Return when this wants a turn."""
        ...


LEAVE_TIMEOUT_MS = 2_000


class ConsumerMembership:
    """A member under the consumer protocol."""

    def __init__(self, settings: GroupSettings, link: CoordinatorLink, part: GroupPart) -> None:
        self._settings = settings
        self._link = link
        self._part = part
        self._ports: Ports | None = None
        self._member_id = MemberId("")
        self._epoch = JOIN_EPOCH
        self._version = 0
        self._topics: tuple[str, ...] | None = None
        """None: no member, and none to be."""
        self._owned: tuple[OwnedTopic, ...] = ()
        self._ids: dict[str, TopicId] = {}
        self._number = 0
        """Of the newest heartbeat: what is answered to an older one is passed over."""
        self._under_way = False
        self._dirty = False
        """There is something to say at once."""
        self._due_ms: int | None = None
        self._heard_ms = 0
        """When the newest heartbeat that was answered was sent: the session counts from there."""
        self._unreleased_ms: int | None = None
        """Since when another one has been the member of our instance id."""

    topics_seen = ()
    """The coordinator divides."""

    @property
    def who(self) -> Who:
        """As whom to commit now."""
        return Who(self._member_id, self._epoch, self._settings.instance_id)

    def attach(self, ports: Ports) -> None:
        """Take the ports, once the program has them."""
        self._ports = ports

    # Orders

    def read(self, topics: Iterable[str], now: Now) -> None:
        """Join, or say that other topics are read now."""
        assert self._ports is not None, "started"
        wanted = tuple(sorted(set(topics)))
        if wanted == self._topics:
            return
        if self._topics is None:
            self._begin_anew(now)
        self._topics = wanted
        self._dirty = True

    def _begin_anew(self, now: Now) -> None:
        assert self._ports is not None, "started"
        self._member_id = MemberId(self._ports.random.randbytes(16).hex())
        self._epoch, self._version, self._owned = JOIN_EPOCH, 0, ()
        self._heard_ms, self._unreleased_ms = now.mono_ms, None
        self._number += 1
        self._under_way, self._dirty = False, True

    def own(self, keys: Iterable[TopicPartition], now: Now) -> None:
        """Exactly these are owned now: what is missing has been let go."""
        found: dict[TopicId, list[int]] = {}
        for key in sorted(keys):
            if key.topic in self._ids:
                found.setdefault(self._ids[key.topic], []).append(key.partition)
        owned = tuple(OwnedTopic(one, tuple(numbers)) for one, numbers in found.items())
        if _numbered(self._owned) - _numbered(owned):
            self._dirty = True  # Somebody may wait for what was let go.
        self._owned = owned

    def leave(self, on_done: Callable[[Now], None], now: Now) -> None:
        """End; ``on_done`` is called once, when the coordinator knows, or soon enough."""
        was_member = self._topics is not None and (self._epoch > 0 or self._under_way)
        self._topics, self._due_ms, self._dirty = None, None, False
        self._number += 1
        self._under_way = False
        if not was_member:
            on_done(now)
            return
        for_now = self._settings.instance_id is not None
        request = ConsumerGroupHeartbeatRequest(
            self._settings.group_id,
            self._member_id,
            LEAVE_FOR_NOW_EPOCH if for_now else LEAVE_EPOCH,
            instance_id=self._settings.instance_id,
        )

        def left(_body: Message, now: Now) -> None:
            on_done(now)

        self._link.ask(request, left, now, timeout_ms=LEAVE_TIMEOUT_MS)

    # Turns

    def end_turn(self, now: Now) -> None:
        """Send what is due; see whether the session can still be alive."""
        if self._topics is None:
            return
        if self._epoch > 0 and now.mono_ms >= self._heard_ms + self._settings.session_timeout_ms:
            self._lose(now)
        due = self._due_ms is not None and now.mono_ms >= self._due_ms
        if self._dirty or (due and not self._under_way):
            self._beat(now)

    def next_deadline_ms(self) -> int | None:
        """Return when this wants a turn."""
        if self._topics is None:
            return None
        if self._dirty:
            return 0
        session_ms = self._heard_ms + self._settings.session_timeout_ms if self._epoch > 0 else None
        return earliest(None if self._under_way else self._due_ms, session_ms)

    def _lose(self, now: Now) -> None:
        self._begin_anew(now)
        self._part.on_lost(now)

    def _beat(self, now: Now) -> None:
        settings = self._settings
        self._dirty, self._due_ms = False, None
        self._number += 1
        self._under_way = True
        number, sent_ms = self._number, now.mono_ms
        wait_ms = 0 if self._epoch == JOIN_EPOCH else self._wait_ms()
        request = ConsumerGroupHeartbeatRequest(
            settings.group_id,
            self._member_id,
            self._epoch,
            self._version,
            wait_ms,
            self._topics,
            self._owned,
            settings.instance_id,
            settings.assignor,
            settings.session_timeout_ms,
            settings.max_poll_interval_ms,
            settings.client_id,
        )

        def answered(body: Message, now: Now) -> None:
            if number == self._number:
                self._under_way = False
                self._answered(body, sent_ms, now)

        timeout_ms = settings.session_timeout_ms + wait_ms
        if self._epoch == JOIN_EPOCH:
            timeout_ms = max(timeout_ms, JOIN_TIME_MIN_MS)
        self._link.ask(request, answered, now, timeout_ms=timeout_ms, wait_ms=wait_ms)

    def _wait_ms(self) -> int:
        return max(1, self._settings.session_timeout_ms // HEARTBEATS_PER_SESSION)

    def _answered(self, body: Message, sent_ms: int, now: Now) -> None:
        code = error_of(body)
        if not isinstance(body, ConsumerGroupHeartbeatResponse) or code != ErrorCode.NONE:
            self._refused(code, getattr(body, "text", ""), now)
            return
        self._heard_ms = max(self._heard_ms, sent_ms)
        if now.mono_ms >= self._heard_ms + self._settings.session_timeout_ms:
            self._lose(now)  # It was long under way: what it gives may be another one's by now.
            return
        self._epoch, self._version = body.member_epoch, body.assignment_version
        self._due_ms = now.mono_ms
        if body.assignment is not None:
            self._part.on_told(self._read(body.assignment), now)

    def _read(self, topics: Iterable[AssignedTopic]) -> Assignment:
        assignment: Assignment = {}
        for topic in topics:
            self._ids[topic.name] = topic.topic_id
            for number in topic.partitions:
                told = Told(topic.topic_id, number >= topic.born_from)
                assignment[TopicPartition(topic.name, number)] = told
        return assignment

    def _refused(self, code: int, text: str, now: Now) -> None:
        if code == ErrorCode.UNRELEASED_INSTANCE_ID and self._unreleased_ms is None:
            self._unreleased_ms = now.mono_ms
        if code in REJOIN:
            self._lose(now)
        elif meaning(code).retriable and not self._is_held(code, now):
            self._due_ms = now.mono_ms + PAUSE_MS
        else:
            self._topics = None
            self._part.on_lost(now)
            self._part.on_failed(self._error(code, text))

    def _is_held(self, code: int, now: Now) -> bool:
        """Tell whether our instance id is a live member's: hardly anybody who was killed has it for so long."""
        if code != ErrorCode.UNRELEASED_INSTANCE_ID or self._unreleased_ms is None:
            return False
        sessions_ms = RELEASED_WITHIN_SESSIONS * self._settings.session_timeout_ms
        return now.mono_ms >= self._unreleased_ms + max(sessions_ms, RELEASED_WITHIN_MS)

    def _error(self, code: int, text: str) -> OdradekError:
        group_id, instance_id = self._settings.group_id, self._settings.instance_id
        who = "" if instance_id is None else f", group_instance_id {instance_id!r}"
        return error_for(code, f"group {group_id!r}{who}: {text or meaning(code).text}")
