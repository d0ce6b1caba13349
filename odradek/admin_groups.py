"""Administration of groups: who reads what and how far, and where a group is to go on.

Owns the questions to coordinators and to all brokers.  The blocking admin client puts their answers
together; it must not know of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from odradek.client_program import ClientProgram
from odradek.coordinators import CoordinatorLink
from odradek.errands import error_of, failure_of
from odradek.errors import OdradekError, error_for
from odradek.offsets import OffsetLookups, OnFound
from transport.driver.ports import Ports
from transport.kernel import Now
from transport.wire.errors import ErrorCode, meaning
from transport.wire.ids import NodeId, TopicId, TopicPartition
from transport.wire.messages import Message, Refusal
from transport.wire.messages.coordinators import KEY_GROUP
from transport.wire.messages.groups import (
    DescribedMember,
    DescribeGroupResponse,
    ListGroupsRequest,
    ListGroupsResponse,
    OwnedTopic,
)
from transport.wire.messages.metadata import MetadataRequest, MetadataResponse

ASK_PAUSE_MS = 20


class GroupListing(NamedTuple):
    """A group in the list. ``protocol``: ``consumer``, ``classic``; empty: it has had no members."""

    group_id: str
    protocol: str
    state: str
    members: int


class MemberDescription(NamedTuple):
    """A member: what it may read, what it is to give up, and what it is meant to read."""

    member_id: str
    group_instance_id: str | None
    client_id: str
    epoch: int
    assigned: tuple[TopicPartition, ...]
    revoking: tuple[TopicPartition, ...]
    target: tuple[TopicPartition, ...]


class RebalanceDescription(NamedTuple):
    """Why the group has had a new epoch or generation: when (milliseconds), and who did what."""

    epoch: int
    timestamp: int
    reason: str
    member_id: str


class GroupDescription(NamedTuple):
    """A group. ``state``: empty, reconciling, joining, syncing or stable."""

    group_id: str
    protocol: str
    state: str
    epoch: int
    assignor: str
    members: tuple[MemberDescription, ...]
    rebalances: tuple[RebalanceDescription, ...]
    """The last of them, the newest last."""


class OffsetReset(NamedTuple):
    """One partition of a reset: where the group stands (None: nowhere), and where it is to go on."""

    partition: TopicPartition
    before: int | None
    after: int


Ids = Mapping[str, TopicId]
OnDone = Callable[[Message, Now], None]


class GroupAdmin:
    """Asks coordinators; results come by callbacks, each called exactly once."""

    def __init__(self, program: ClientProgram) -> None:
        self._program = program
        self._lookups = OffsetLookups(program.view, program.calls, program.timers)
        self._ports: Ports | None = None

    def attach(self, ports: Ports) -> None:
        """Take the ports, once the program has them."""
        self._ports = ports
        self._lookups.attach(ports)

    def end_turn(self, now: Now) -> None:
        """Go on with look-ups."""
        self._lookups.end_turn(now)

    def link(self, group_id: str) -> CoordinatorLink:
        """Return a way to the coordinator of a group."""
        assert self._ports is not None, "started"
        program = self._program
        link = CoordinatorLink(
            program.view, program.calls, program.timers, program.errands, KEY_GROUP, group_id
        )
        link.attach(self._ports)
        return link

    def ask(self, group_id: str, body: Message, timeout_ms: int, on_done: OnDone, now: Now) -> None:
        """Ask the coordinator of a group."""
        self.link(group_id).ask(body, on_done, now, timeout_ms=timeout_ms)

    def find_offsets(
        self, wanted: Mapping[TopicPartition, int], timeout_ms: int, on_found: OnFound, now: Now
    ) -> None:
        """Find offsets by time, or ends (−1) or beginnings (−2)."""
        self._lookups.find(wanted, on_found, now, timeout_ms=timeout_ms)

    def topics(
        self,
        timeout_ms: int,
        on_done: Callable[[MetadataResponse | OdradekError, Now], None],
        now: Now,
    ) -> None:
        """Tell all topics, for names and ids."""

        def told(body: Message, now: Now) -> None:
            good = isinstance(body, MetadataResponse) and body.error == ErrorCode.NONE
            on_done(body if good else failure_of(body), now)  # type: ignore[arg-type]

        self._program.errands.ask(MetadataRequest(None), told, now, timeout_ms=timeout_ms)

    def list_all(
        self,
        timeout_ms: int,
        on_done: Callable[[list[GroupListing] | OdradekError, Now], None],
        now: Now,
    ) -> None:
        """List the groups of every live broker; one that does not answer is an error."""
        deadline_ms = now.mono_ms + timeout_ms
        found: list[GroupListing] = []

        def begin(told: MetadataResponse | OdradekError, now: Now) -> None:
            if isinstance(told, OdradekError):
                on_done(told, now)
                return
            left = {broker.id for broker in told.brokers}

            def one(node: NodeId, body: Message, now: Now) -> None:
                if node not in left:
                    return
                if not isinstance(body, ListGroupsResponse):
                    left.clear()
                    on_done(failure_of(body), now)
                    return
                left.discard(node)
                found.extend(GroupListing(*_fields(group)) for group in body.groups)
                if not left:
                    on_done(sorted(found), now)

            for broker in told.brokers:
                self._ask_broker(broker.id, broker.clients, deadline_ms, one, now)
            if not told.brokers:
                on_done([], now)

        self.topics(timeout_ms, begin, now)

    def _ask_broker(
        self,
        node: NodeId,
        endpoint: str,
        deadline_ms: int,
        on_one: Callable[[NodeId, Message, Now], None],
        now: Now,
    ) -> None:
        view, calls, timers = self._program.view, self._program.calls, self._program.timers

        def answered(body: Message, _payload: object, now: Now) -> None:
            code = error_of(body)
            if code != ErrorCode.NONE and meaning(code).retriable and now.mono_ms < deadline_ms:
                timers.after(now, ASK_PAUSE_MS, ask)
            elif code != ErrorCode.NONE and not isinstance(body, Refusal):
                on_one(node, Refusal(code, meaning(code).text), now)
            else:
                on_one(node, body, now)

        def ask(now: Now) -> None:
            left_ms = deadline_ms - now.mono_ms
            if left_ms <= 0:
                late = Refusal(ErrorCode.REQUEST_TIMED_OUT, f"broker {node} has not answered")
                on_one(node, late, now)
                return
            link = view.links.open(endpoint)
            if not calls.request(link, ListGroupsRequest(), answered, now, timeout_ms=left_ms):
                timers.after(now, ASK_PAUSE_MS, ask)  # a link that is still connecting

        ask(now)


def _fields(group: object) -> tuple[str, str, str, int]:
    return (group.group_id, group.protocol, group.state, group.members)  # type: ignore[attr-defined]


def description_of(body: DescribeGroupResponse, names: Mapping[TopicId, str]) -> GroupDescription:
    """Return an answer by names; topics that are no more are left out."""

    def member(one: DescribedMember) -> MemberDescription:
        return MemberDescription(
            one.member_id,
            one.instance_id,
            one.client_id,
            one.epoch,
            named(one.assigned, names),
            named(one.revoking, names),
            named(one.target, names),
        )

    rebalances = tuple(
        RebalanceDescription(one.epoch, one.wall_ms, one.reason, one.member_id)
        for one in body.rebalances
    )
    return GroupDescription(
        body.group_id,
        body.protocol,
        body.state,
        body.epoch,
        body.assignor,
        tuple(map(member, body.members)),
        rebalances,
    )


def named(topics: Iterable[OwnedTopic], names: Mapping[TopicId, str]) -> tuple[TopicPartition, ...]:
    """Return partitions by names."""
    return tuple(
        TopicPartition(names[topic.topic_id], number)
        for topic in topics
        if topic.topic_id in names
        for number in topic.partitions
    )


def told(body: Message, what: str) -> OdradekError | None:
    """Return the error of an answer about ``what``, or None."""
    code = error_of(body)
    if code == ErrorCode.NONE:
        return None
    return error_for(code, f"{what}: {getattr(body, 'text', '') or meaning(code).text}")
