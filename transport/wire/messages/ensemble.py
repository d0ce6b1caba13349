"""Orders of people to single coordinators, which whoever knows the cluster's key may give; and how
the members of a quorum are."""

from __future__ import annotations

from typing import ClassVar

from transport.wire.apis import Api
from transport.wire.ids import NO_NODE, LogIndex, NodeId, Term
from transport.wire.messages import Message, Part


class TransferLeadershipRequest(Message, frozen=True, array_like=True, gc=False):
    """Hand the ensemble's leadership over; to be asked of who leads."""

    api: ClassVar[Api] = Api.TRANSFER_LEADERSHIP

    key: str
    to: NodeId = NO_NODE
    """−1: whoever is most advanced."""


class TransferLeadershipResponse(Message, frozen=True, array_like=True, gc=False):
    """NONE: ``leader`` leads now. NOT_RAFT_LEADER: ask ``leader``."""

    api: ClassVar[Api] = Api.TRANSFER_LEADERSHIP

    error: int
    text: str = ""
    leader: NodeId = NO_NODE


class ChangeVotersRequest(Message, frozen=True, array_like=True, gc=False):
    """Let one member vote, or not vote any more; to be asked of who leads."""

    api: ClassVar[Api] = Api.CHANGE_VOTERS

    key: str
    node: NodeId
    votes: bool


class ChangeVotersResponse(Message, frozen=True, array_like=True, gc=False):
    """NONE: committed; ``voters`` vote now. NOT_RAFT_LEADER: ask ``leader``. ``text``: why not."""

    api: ClassVar[Api] = Api.CHANGE_VOTERS

    error: int
    text: str = ""
    leader: NodeId = NO_NODE
    voters: tuple[NodeId, ...] = ()


class TakeSnapshotRequest(Message, frozen=True, array_like=True, gc=False):
    """Write a snapshot now, and let the log before it go."""

    api: ClassVar[Api] = Api.TAKE_SNAPSHOT

    key: str


class TakeSnapshotResponse(Message, frozen=True, array_like=True, gc=False):
    """NONE: a durable snapshot reaches ``last_index``, which was applied when it was asked for."""

    api: ClassVar[Api] = Api.TAKE_SNAPSHOT

    error: int
    text: str = ""
    last_index: LogIndex = LogIndex(0)


class QuorumMember(Part, frozen=True, array_like=True, gc=False):
    """A member as its leader knows it."""

    node: NodeId
    votes: bool
    last_index: LogIndex
    """Its log is the leader's up to here, durably."""
    silent_ms: int = 0
    """Since the newest round of the leader began that it has answered."""


class DescribeQuorumRequest(Message, frozen=True, array_like=True, gc=False):
    """Client to any broker, in mode ``kraft``: how are the members of the quorum?"""

    api: ClassVar[Api] = Api.DESCRIBE_QUORUM


class DescribeQuorumResponse(Message, frozen=True, array_like=True, gc=False):
    """Of who leads; an error is told by a Refusal."""

    api: ClassVar[Api] = Api.DESCRIBE_QUORUM

    error: int
    leader: NodeId = NO_NODE
    term: Term = Term(-1)
    commit_index: LogIndex = LogIndex(0)
    members: tuple[QuorumMember, ...] = ()
