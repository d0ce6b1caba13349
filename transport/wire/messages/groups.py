"""Members and administrators to the coordinator of a group: membership and descriptions.

Sources: KIP-848 (ConsumerGroupHeartbeat), KIP-345 (static membership), KIP-394 (member ids); the
classic protocol as in Kafka's protocol guide.  One request is about one group.
"""

from __future__ import annotations

from typing import ClassVar

from transport.wire.apis import Api
from transport.wire.ids import MemberEpoch, MemberId, TopicId
from transport.wire.messages import Message, Part

JOIN_EPOCH = MemberEpoch(0)
LEAVE_EPOCH = MemberEpoch(-1)
LEAVE_FOR_NOW_EPOCH = MemberEpoch(-2)
"""A static member ends and will be back within its session timeout: its partitions stay its own."""

AS_TOLD = -1
"""The assignment that I was told last: of a member that reads each answer before it asks again, and
counts none (Kafka's clients)."""
AFRESH = -2
"""The same, but an answer may have been lost: tell me again. What it owns is all that it owns."""


class OwnedTopic(Part, frozen=True, array_like=True, gc=False):
    """Partitions of one topic."""

    topic_id: TopicId
    partitions: tuple[int, ...]


class AssignedTopic(Part, frozen=True, array_like=True, gc=False):
    """Partitions of one topic that a member may read.

    ``born_from``: partitions from this number on came to be after the group had begun to read the
    topic, so that nothing in them is old: without a commit they begin at their first record
    (KIP-1327).
    """

    topic_id: TopicId
    name: str
    partitions: tuple[int, ...]
    born_from: int


class ConsumerGroupHeartbeatRequest(Message, frozen=True, array_like=True, gc=False):
    """A member says that it lives, what it wants to read and what it owns.

    The answer waits up to ``max_wait_ms`` for an assignment other than ``assignment_version``, which
    may be AS_TOLD or AFRESH. None: as the member has said before.
    """

    api: ClassVar[Api] = Api.CONSUMER_GROUP_HEARTBEAT

    group_id: str
    member_id: MemberId
    """Made by the member, unique; of one life of one member."""
    member_epoch: MemberEpoch
    assignment_version: int = 0
    max_wait_ms: int = 0
    topics: tuple[str, ...] | None = None
    owned: tuple[OwnedTopic, ...] | None = None
    instance_id: str | None = None
    assignor: str | None = None
    session_timeout_ms: int = -1
    rebalance_timeout_ms: int = -1
    client_id: str = ""
    client_host: str = ""
    pattern: str | None = None
    """Whatever it finds is read too, as RE2 understands it; empty: no more."""


class ConsumerGroupHeartbeatResponse(Message, frozen=True, array_like=True, gc=False):
    """What the member may read from now on; None: what it may read has not changed."""

    api: ClassVar[Api] = Api.CONSUMER_GROUP_HEARTBEAT

    error: int
    text: str = ""
    member_epoch: MemberEpoch = MemberEpoch(-1)
    assignment_version: int = 0
    assignment: tuple[AssignedTopic, ...] | None = None


# The classic protocol


class Protocol(Part, frozen=True, array_like=True, gc=False):
    """An assignor that a member offers, and what its leader needs to know of the member then."""

    name: str
    metadata: bytes


class JoinGroupRequest(Message, frozen=True, array_like=True, gc=False):
    """Take part in the next generation. Answered when all known members have said so."""

    api: ClassVar[Api] = Api.JOIN_GROUP

    group_id: str
    member_id: MemberId
    """Empty: give me one (answered with MEMBER_ID_REQUIRED)."""
    session_timeout_ms: int
    rebalance_timeout_ms: int
    protocols: tuple[Protocol, ...]
    protocol_type: str = "consumer"
    instance_id: str | None = None
    client_id: str = ""
    reason: str = ""
    client_host: str = ""
    may_skip: bool = False
    """If it leads, comes back (``instance_id``) and nothing has changed, it need not divide."""


class JoinedMember(Part, frozen=True, array_like=True, gc=False):
    """A member as its leader sees it."""

    member_id: MemberId
    instance_id: str | None
    metadata: bytes


class JoinGroupResponse(Message, frozen=True, array_like=True, gc=False):
    """The generation that has begun; ``members`` are told to its leader only."""

    api: ClassVar[Api] = Api.JOIN_GROUP

    error: int
    text: str = ""
    generation: int = -1
    protocol: str = ""
    leader: MemberId = MemberId("")
    member_id: MemberId = MemberId("")
    members: tuple[JoinedMember, ...] = ()
    skips: bool = False
    """What the leader divided before it came back stands: it is to divide nothing (KIP-814)."""


class MemberAssignment(Part, frozen=True, array_like=True, gc=False):
    """What the leader gives to one member."""

    member_id: MemberId
    assignment: bytes


class SyncGroupRequest(Message, frozen=True, array_like=True, gc=False):
    """Get my part; of the leader: these are the parts."""

    api: ClassVar[Api] = Api.SYNC_GROUP

    group_id: str
    member_id: MemberId
    generation: int
    assignments: tuple[MemberAssignment, ...] = ()
    instance_id: str | None = None


class SyncGroupResponse(Message, frozen=True, array_like=True, gc=False):
    """The member's part."""

    api: ClassVar[Api] = Api.SYNC_GROUP

    error: int
    text: str = ""
    assignment: bytes = b""


class ClassicHeartbeatRequest(Message, frozen=True, array_like=True, gc=False):
    """A member of a generation lives. ``max_wait_ms``: answer when the generation ends."""

    api: ClassVar[Api] = Api.CLASSIC_HEARTBEAT

    group_id: str
    member_id: MemberId
    generation: int
    instance_id: str | None = None
    max_wait_ms: int = 0


class ClassicHeartbeatResponse(Message, frozen=True, array_like=True, gc=False):
    """REBALANCE_IN_PROGRESS: join again."""

    api: ClassVar[Api] = Api.CLASSIC_HEARTBEAT

    error: int
    text: str = ""


class LeaveGroupRequest(Message, frozen=True, array_like=True, gc=False):
    """A member ends; or an administrator removes one (also by ``instance_id`` alone)."""

    api: ClassVar[Api] = Api.LEAVE_GROUP

    group_id: str
    member_id: MemberId
    instance_id: str | None = None
    reason: str = ""


class LeaveGroupResponse(Message, frozen=True, array_like=True, gc=False):
    """The member is gone."""

    api: ClassVar[Api] = Api.LEAVE_GROUP

    error: int
    text: str = ""


# Administration


class ListGroupsRequest(Message, frozen=True, array_like=True, gc=False):
    """To one broker: the groups whose coordinator you are."""

    api: ClassVar[Api] = Api.LIST_GROUPS


class ListedGroup(Part, frozen=True, array_like=True, gc=False):
    """One group. ``protocol``: ``consumer``, ``classic``, or empty for a group of offsets only.

    ``protocol_type``: what its members call what they do, ``consumer`` for those that read topics.
    """

    group_id: str
    protocol: str
    state: str
    members: int
    protocol_type: str = ""


class ListGroupsResponse(Message, frozen=True, array_like=True, gc=False):
    """COORDINATOR_LOAD_IN_PROGRESS: not all can be told yet."""

    api: ClassVar[Api] = Api.LIST_GROUPS

    error: int
    groups: tuple[ListedGroup, ...] = ()


class DescribedMember(Part, frozen=True, array_like=True, gc=False):
    """One member: what it may read, what it is to let go, and what it is meant to read."""

    member_id: MemberId
    instance_id: str | None
    client_id: str
    epoch: int
    topics: tuple[str, ...]
    assigned: tuple[OwnedTopic, ...]
    revoking: tuple[OwnedTopic, ...] = ()
    target: tuple[OwnedTopic, ...] = ()
    assignment: bytes = b""
    """Of a member of the classic protocol, as its leader has written it."""
    metadata: bytes = b""
    """Of a member of the classic protocol, as it has written it for its leader."""
    client_host: str = ""
    """Of a member that has come through a listener."""
    pattern: str = ""
    """It reads what this finds, too."""


class Rebalance(Part, frozen=True, array_like=True, gc=False):
    """Why a group has another epoch or generation: when, and who did what."""

    epoch: int
    wall_ms: int
    reason: str
    member_id: str = ""


class DescribeGroupRequest(Message, frozen=True, array_like=True, gc=False):
    """What is this group?"""

    api: ClassVar[Api] = Api.DESCRIBE_GROUP

    group_id: str


class DescribeGroupResponse(Message, frozen=True, array_like=True, gc=False):
    """The group, and its last rebalances, the newest last."""

    api: ClassVar[Api] = Api.DESCRIBE_GROUP

    error: int
    text: str = ""
    group_id: str = ""
    protocol: str = ""
    state: str = ""
    epoch: int = 0
    assignor: str = ""
    members: tuple[DescribedMember, ...] = ()
    rebalances: tuple[Rebalance, ...] = ()
    protocol_type: str = ""


class DeleteGroupRequest(Message, frozen=True, array_like=True, gc=False):
    """Forget an empty group and its offsets."""

    api: ClassVar[Api] = Api.DELETE_GROUP

    group_id: str


class DeleteGroupResponse(Message, frozen=True, array_like=True, gc=False):
    """GROUP_ID_NOT_FOUND, NON_EMPTY_GROUP, or done."""

    api: ClassVar[Api] = Api.DELETE_GROUP

    error: int
    text: str = ""
