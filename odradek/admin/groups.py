"""Administration of groups: who reads what and how far, and where a group is to go on.

The blocking admin client puts the answers together; it must not know of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from odradek.admin.questions import BrokerQuestions, OnAnswer, OnTopics
from odradek.cluster.client_program import ClientProgram
from odradek.cluster.consumer_protocol import decode_assignment
from odradek.cluster.errands import error_of
from odradek.cluster.offsets import OffsetLookups, OnFound
from odradek.errors import OdradekError, error_for
from transport.driver.ports import Ports
from transport.kernel import Now
from transport.wire.errors import ErrorCode, meaning
from transport.wire.ids import TopicId, TopicPartition
from transport.wire.messages import Message
from transport.wire.messages.coordinators import KEY_GROUP
from transport.wire.messages.groups import (
    DescribedMember,
    DescribeGroupResponse,
    ListGroupsRequest,
    ListGroupsResponse,
    OwnedTopic,
)


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


class GroupAdmin:
    """Asks coordinators; results come by callbacks, each called exactly once."""

    def __init__(self, program: ClientProgram, questions: BrokerQuestions) -> None:
        self._lookups = OffsetLookups(program.view, program.calls, program.timers)
        self._questions = questions

    def attach(self, ports: Ports) -> None:
        """Take the ports, once the program has them."""
        self._lookups.attach(ports)

    def end_turn(self, now: Now) -> None:
        """Go on with look-ups."""
        self._lookups.end_turn(now)

    def ask(
        self, group_id: str, body: Message, timeout_ms: int, on_done: OnAnswer, now: Now
    ) -> None:
        """Ask the coordinator of a group."""
        self._questions.ask_coordinator(KEY_GROUP, group_id, body, timeout_ms, on_done, now)

    def find_offsets(
        self, wanted: Mapping[TopicPartition, int], timeout_ms: int, on_found: OnFound, now: Now
    ) -> None:
        """Find offsets by time, or ends (−1) or beginnings (−2)."""
        self._lookups.find(wanted, on_found, now, timeout_ms=timeout_ms)

    def topics(self, timeout_ms: int, on_done: OnTopics, now: Now) -> None:
        """Tell all topics, for names and ids."""
        self._questions.ask_topics(timeout_ms, on_done, now)

    def list_all(
        self,
        timeout_ms: int,
        on_done: Callable[[list[GroupListing] | OdradekError, Now], None],
        now: Now,
    ) -> None:
        """List the groups of every live broker; one that does not answer is an error."""

        def told(answers: list[Message] | OdradekError, now: Now) -> None:
            if isinstance(answers, OdradekError):
                on_done(answers, now)
                return
            found = [
                GroupListing(group.group_id, group.protocol, group.state, group.members)
                for answer in answers
                if isinstance(answer, ListGroupsResponse)
                for group in answer.groups
            ]
            on_done(sorted(found), now)

        self._questions.ask_every_broker(ListGroupsRequest(), timeout_ms, told, now)


def description_of(body: DescribeGroupResponse, names: Mapping[TopicId, str]) -> GroupDescription:
    """Return an answer by names; topics that are no more are left out."""
    divides_itself = (body.protocol, body.protocol_type) == ("classic", "consumer")

    def member(one: DescribedMember) -> MemberDescription:
        return MemberDescription(
            one.member_id,
            one.instance_id,
            one.client_id,
            one.epoch,
            divided(one) if divides_itself else named(one.assigned, names),
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


def divided(member: DescribedMember) -> tuple[TopicPartition, ...]:
    """Return what the leader of a group has given to a member; nothing, if that cannot be read."""
    try:
        return tuple(sorted(decode_assignment(member.assignment)))
    except ValueError:
        return ()


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
