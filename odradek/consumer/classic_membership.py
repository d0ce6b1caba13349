"""A member of a group under the classic protocol: joins rounds, divides if it leads, heartbeats.

Pure.  With ``cooperative-sticky`` a member goes on reading what it keeps while a round is under way;
with the other strategies it gives up everything before it joins, as whoever leads may give anything
to anybody.  It takes the place of :class:`odradek.consumer.membership.ConsumerMembership`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from enum import Enum

from odradek.cluster.committing import Who
from odradek.cluster.consumer_protocol import (
    Subscription,
    decode_assignment,
    decode_subscription,
    encode_assignment,
    encode_subscription,
)
from odradek.cluster.coordinator_link import CoordinatorLink
from odradek.cluster.errands import error_of
from odradek.cluster.metadata import ClusterView
from odradek.consumer.classic_protocol import COOPERATIVE, divide
from odradek.consumer.membership import (
    HEARTBEATS_PER_SESSION,
    JOIN_TIME_MIN_MS,
    LEAVE_TIMEOUT_MS,
    PAUSE_MS,
    GroupPart,
    GroupSettings,
    Told,
)
from odradek.errors import error_for
from transport.driver.ports import Ports
from transport.kernel import Now, earliest
from transport.wire.errors import ErrorCode, meaning
from transport.wire.ids import MemberEpoch, MemberId, TopicId, TopicPartition
from transport.wire.messages import Message
from transport.wire.messages.groups import (
    ClassicHeartbeatRequest,
    JoinGroupRequest,
    JoinGroupResponse,
    LeaveGroupRequest,
    MemberAssignment,
    Protocol,
    SyncGroupRequest,
    SyncGroupResponse,
)

NO_GENERATION = MemberEpoch(-1)
REJOIN = frozenset({ErrorCode.REBALANCE_IN_PROGRESS, ErrorCode.MEMBER_ID_REQUIRED})
LOST = frozenset({ErrorCode.UNKNOWN_MEMBER_ID, ErrorCode.ILLEGAL_GENERATION})


class _State(Enum):
    OUT = "out"
    GIVING_UP = "giving up"
    """Everything is given up before a round is joined."""
    DUE = "due"
    JOINING = "joining"
    SYNCING = "syncing"
    STABLE = "stable"


class ClassicMembership:
    """A member under the classic protocol."""

    def __init__(
        self,
        settings: GroupSettings,
        link: CoordinatorLink,
        part: GroupPart,
        view: ClusterView,
    ) -> None:
        self._settings = settings
        self._link = link
        self._part = part
        self._view = view
        self._eager = any(strategy != COOPERATIVE for strategy in settings.strategies)
        self._state = _State.OUT
        self._member_id = MemberId("")
        self._generation = NO_GENERATION
        self._strategy = ""
        self._topics: tuple[str, ...] = ()
        self._owned: frozenset[TopicPartition] = frozenset()
        self._last: frozenset[TopicPartition] = frozenset()
        """What the last division gave: with it sticky strategies begin."""
        self._claimed: frozenset[TopicPartition] = frozenset()
        """What the newest round was told to be owned: it gives none of it to anybody else."""
        self._number = 0
        """Of the newest request: what is answered to an older one is passed over."""
        self._under_way = False
        self._due_ms = 0
        self._sent_ms = 0
        """The newest request."""
        self._heard_ms = 0
        self._divided: Mapping[str, int] | None = None
        """Of a leader: how many partitions there were when it divided."""
        self._looked_at = -1

    @property
    def who(self) -> Who:
        """As whom to commit now."""
        return Who(self._member_id, self._generation, self._settings.instance_id)

    @property
    def topics_seen(self) -> Collection[str]:
        """Of a leader: what the members read."""
        return self._divided or ()

    def attach(self, ports: Ports) -> None:
        """Nothing is needed of them."""

    # Orders

    def read(self, topics: Iterable[str], now: Now) -> None:
        """Join, or say that other topics are read now."""
        wanted = tuple(sorted(set(topics)))
        if wanted == self._topics and self._state is not _State.OUT:
            return
        self._topics = wanted
        for name in wanted:
            self._view.follow(name, now)
        self._rejoin(now)

    def own(self, keys: Iterable[TopicPartition], now: Now) -> None:
        """Exactly these are owned now: what is missing has been let go."""
        owned = frozenset(keys)
        freed, self._owned = self._owned - owned, owned
        if self._state is _State.GIVING_UP and not owned:
            self._state, self._due_ms = _State.DUE, now.mono_ms
        elif self._state is _State.STABLE and freed and not self._eager:
            self._rejoin(now)  # The round that gives away what is free now.

    def leave(self, on_done: Callable[[Now], None], now: Now) -> None:
        """End; ``on_done`` is called once, when the coordinator knows, or soon enough."""
        was_member = self._state is not _State.OUT and self._member_id
        self._state = _State.OUT
        self._number += 1
        self._under_way = False
        self._owned = self._last = frozenset()
        member_id, self._member_id = self._member_id, MemberId("")
        self._generation = NO_GENERATION
        if not was_member or self._settings.instance_id is not None:
            on_done(now)  # A static member only stops: its session keeps its place.
            return
        request = LeaveGroupRequest(self._settings.group_id, member_id)
        self._link.ask(request, lambda _body, now: on_done(now), now, timeout_ms=LEAVE_TIMEOUT_MS)

    # Turns

    def end_turn(self, now: Now) -> None:
        """Send what is due; see whether the session can still be alive."""
        stable = self._state is _State.STABLE
        if stable and now.mono_ms >= self._heard_ms + self._settings.session_timeout_ms:
            self._lose(now)
        elif stable and self._looked_at != self._view.generation:
            self._looked_at = self._view.generation
            if self._divided is not None and self._divided != self._counts(self._divided):
                self._rejoin(now)  # There are other partitions to divide.
        if self._under_way or now.mono_ms < self._due_ms:
            return
        if self._state is _State.DUE:
            self._join(now)
        elif self._state is _State.STABLE:
            self._beat(now)

    def next_deadline_ms(self) -> int | None:
        """Return when this wants a turn."""
        if self._state not in (_State.DUE, _State.STABLE):
            return None
        session_ms = None
        if self._state is _State.STABLE:
            session_ms = self._heard_ms + self._settings.session_timeout_ms
        return earliest(None if self._under_way else self._due_ms, session_ms)

    # Rounds

    def _rejoin(self, now: Now, pause_ms: int = 0) -> None:
        self._number += 1
        self._under_way = False
        self._due_ms = now.mono_ms + pause_ms
        if self._eager and self._owned:
            self._state = _State.GIVING_UP
            self._part.on_told({}, now)
        else:
            self._state = _State.DUE

    def _lose(self, now: Now, pause_ms: int = 0) -> None:
        """Others may read on: begin anew, under another id."""
        self._owned = self._last = frozenset()
        self._member_id, self._generation = MemberId(""), NO_GENERATION
        self._part.on_lost(now)
        self._rejoin(now, pause_ms)

    def _send(
        self, body: Message, on_answer: Callable[[Message, Now], None], wait_ms: int, now: Now
    ) -> None:
        self._number += 1
        self._under_way = True
        self._sent_ms = now.mono_ms
        number = self._number

        def answered(answer: Message, now: Now) -> None:
            if number == self._number:
                self._under_way = False
                on_answer(answer, now)

        timeout_ms = max(JOIN_TIME_MIN_MS, self._settings.session_timeout_ms + wait_ms)
        self._link.ask(body, answered, now, timeout_ms=timeout_ms, wait_ms=wait_ms)

    def _join(self, now: Now) -> None:
        settings = self._settings
        self._state = _State.JOINING
        self._claimed = self._last if self._eager else self._owned
        mine = encode_subscription(Subscription(frozenset(self._topics), self._claimed))
        request = JoinGroupRequest(
            settings.group_id,
            self._member_id,
            settings.session_timeout_ms,
            settings.max_poll_interval_ms,
            tuple(Protocol(name, mine) for name in settings.strategies),
            instance_id=settings.instance_id,
            client_id=settings.client_id,
        )
        self._send(request, self._on_joined, settings.max_poll_interval_ms, now)

    def _on_joined(self, body: Message, now: Now) -> None:
        code = error_of(body)
        if isinstance(body, JoinGroupResponse) and code == ErrorCode.MEMBER_ID_REQUIRED:
            self._member_id = body.member_id
        if not isinstance(body, JoinGroupResponse) or code != ErrorCode.NONE:
            self._refused(code, getattr(body, "text", ""), now)
            return
        self._state = _State.SYNCING
        self._heard_ms = now.mono_ms
        self._member_id, self._generation = body.member_id, MemberEpoch(body.generation)
        self._strategy = body.protocol
        parts: tuple[MemberAssignment, ...] = ()
        self._divided = None
        if body.members:
            parts = self._divide(body, now)
        request = SyncGroupRequest(
            self._settings.group_id,
            self._member_id,
            body.generation,
            parts,
            self._settings.instance_id,
        )
        self._send(request, self._on_synced, self._settings.max_poll_interval_ms, now)

    def _divide(self, joined: JoinGroupResponse, now: Now) -> tuple[MemberAssignment, ...]:
        members: dict[MemberId, Subscription] = {}
        for one in joined.members:
            try:
                members[one.member_id] = decode_subscription(one.metadata)
            except ValueError:
                members[one.member_id] = Subscription(frozenset(), frozenset())
        names = sorted({name for one in members.values() for name in one.topics})
        for name in names:
            self._view.follow(name, now)
        self._divided = self._counts(names)
        parts = divide(joined.protocol, members, self._divided)
        return tuple(
            MemberAssignment(member_id, encode_assignment(part))
            for member_id, part in parts.items()
        )

    def _counts(self, names: Iterable[str]) -> dict[str, int]:
        counts: dict[str, int] = {}
        for name in names:
            topic = self._view.topics.get(name)
            counts[name] = len(topic.partitions) if topic is not None and topic.usable else 0
        return counts

    def _on_synced(self, body: Message, now: Now) -> None:
        code = error_of(body)
        if not isinstance(body, SyncGroupResponse) or code != ErrorCode.NONE:
            self._refused(code, getattr(body, "text", ""), now)
            return
        if now.mono_ms >= self._sent_ms + self._settings.session_timeout_ms:
            self._rejoin(now)  # It was long under way: what it gives may be another one's by now.
            return
        self._state = _State.STABLE
        self._heard_ms = self._due_ms = now.mono_ms
        try:
            self._last = decode_assignment(body.assignment)
        except ValueError as wrong:
            text = f"the group's leader has sent no assignment: {wrong}"
            self._fail(ErrorCode.INCONSISTENT_GROUP_PROTOCOL, text, now)
            return
        self._part.on_told({key: Told(TopicId(b""), False) for key in sorted(self._last)}, now)
        freed = self._claimed - self._owned - self._last
        if self._state is _State.STABLE and freed and not self._eager:
            self._rejoin(now)  # It was let go during the round, which has given it to nobody.

    def _beat(self, now: Now) -> None:
        wait_ms = max(1, self._settings.session_timeout_ms // HEARTBEATS_PER_SESSION)
        sent_ms = now.mono_ms

        def beaten(body: Message, now: Now) -> None:
            code = error_of(body)
            if code == ErrorCode.NONE:
                self._heard_ms = max(self._heard_ms, sent_ms)
                self._due_ms = now.mono_ms
            else:
                self._refused(code, getattr(body, "text", ""), now)

        request = ClassicHeartbeatRequest(
            self._settings.group_id,
            self._member_id,
            self._generation,
            self._settings.instance_id,
            wait_ms,
        )
        self._send(request, beaten, wait_ms, now)

    def _refused(self, code: int, text: str, now: Now) -> None:
        if code in REJOIN:
            self._rejoin(now)
        elif code in LOST:
            self._lose(now)
        elif meaning(code).retriable:
            if self._state is _State.STABLE:
                self._due_ms = now.mono_ms + PAUSE_MS
            else:
                self._rejoin(now, PAUSE_MS)
        else:
            self._fail(code, text, now)

    def _fail(self, code: int, text: str, now: Now) -> None:
        self._state = _State.OUT
        self._part.on_lost(now)
        self._part.on_failed(error_for(code, f"group {self._settings.group_id!r}: {text}"))
