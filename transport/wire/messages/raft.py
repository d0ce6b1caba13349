"""Raft between the members of a quorum (Ongaro & Ousterhout; pre-vote and ReadIndex of the thesis).

All of these are one-way: an answer is a message of its own, so that a late one is judged by its
term and never by a correlation id.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from transport.wire.apis import Api
from transport.wire.ids import LogIndex, NodeId, Term
from transport.wire.messages import Message, Part

# Kinds of entries
ENTRY_NOOP = 0
ENTRY_DATA = 1
ENTRY_VOTERS = 2
"""Who votes from this entry on, committed or not; see encode_voters."""

NO_ROUND = 0
"""Of an append that belongs to no round of contact; the rounds count from 1."""


class Entry(Part, frozen=True, array_like=True, gc=False):
    """One entry of the Raft log."""

    term: Term
    index: LogIndex
    kind: int
    data: bytes


_voters_decoder = msgspec.msgpack.Decoder(tuple[NodeId, ...])


def encode_voters(voters: tuple[NodeId, ...]) -> bytes:
    """Return the data of an ENTRY_VOTERS."""
    return msgspec.msgpack.encode(voters)


def decode_voters(data: bytes) -> tuple[NodeId, ...]:
    """Return who votes; empty where the data is not that of an ENTRY_VOTERS."""
    try:
        return _voters_decoder.decode(data)
    except msgspec.DecodeError:
        return ()


class VoteRequest(Message, frozen=True, array_like=True, gc=False):
    """Asks for a vote, or with ``pre`` whether one would be given (nothing is promised then)."""

    api: ClassVar[Api] = Api.RAFT_VOTE_REQUEST

    sender: NodeId
    term: Term
    last_index: LogIndex
    last_term: Term
    pre: bool = False
    forced: bool = False
    """A transfer of leadership or a known death: stickiness does not hold it back."""


class VoteResponse(Message, frozen=True, array_like=True, gc=False):
    """The answer to a vote request of the same ``pre``."""

    api: ClassVar[Api] = Api.RAFT_VOTE_RESPONSE

    sender: NodeId
    term: Term
    granted: bool
    pre: bool = False


class AppendRequest(Message, frozen=True, array_like=True, gc=False):
    """Entries after ``previous_index``; without entries, a heartbeat.

    ``round`` numbers the leader's rounds of contact: an answer that repeats it proves that the
    follower still followed when the round began (check-quorum, ReadIndex).  With ``NO_ROUND`` it
    only says what is committed: a follower whose log agrees has nothing to answer.
    """

    api: ClassVar[Api] = Api.RAFT_APPEND_REQUEST

    sender: NodeId
    term: Term
    previous_index: LogIndex
    previous_term: Term
    commit_index: LogIndex
    round: int
    entries: tuple[Entry, ...] = ()
    rejoin_index: LogIndex = LogIndex(0)
    """To a member that is rebuilding: whole again once it holds all up to this. 0: not yet known."""
    rebuilding: int = 0
    """The number of the loss for which ``rejoin_index`` holds."""


class AppendResponse(Message, frozen=True, array_like=True, gc=False):
    """``match_index``: durable here and equal to the leader's; on rejection, a hint where to try."""

    api: ClassVar[Api] = Api.RAFT_APPEND_RESPONSE

    sender: NodeId
    term: Term
    success: bool
    match_index: LogIndex
    round: int
    hint_term: Term = Term(0)
    rebuilding: int = 0
    """Of a member that lost its log and its promises: the number of that loss. 0: a whole member."""


class SnapshotRequest(Message, frozen=True, array_like=True, gc=False):
    """One chunk of the leader's snapshot, which covers the log up to ``last_index``."""

    api: ClassVar[Api] = Api.RAFT_SNAPSHOT_REQUEST

    sender: NodeId
    term: Term
    last_index: LogIndex
    last_term: Term
    position_bytes: int
    data: bytes
    done: bool
    round: int


class SnapshotResponse(Message, frozen=True, array_like=True, gc=False):
    """How far the follower has the snapshot (``position_bytes``): the next chunk starts there."""

    api: ClassVar[Api] = Api.RAFT_SNAPSHOT_RESPONSE

    sender: NodeId
    term: Term
    last_index: LogIndex
    position_bytes: int
    installed: bool
    round: int
    rebuilding: int = 0
    """As in AppendResponse."""


class TimeoutNow(Message, frozen=True, array_like=True, gc=False):
    """The leader hands over: campaign at once."""

    api: ClassVar[Api] = Api.RAFT_TIMEOUT_NOW

    sender: NodeId
    term: Term


class ReadIndexRequest(Message, frozen=True, array_like=True, gc=False):
    """A follower asks up to where it must have applied to serve linearizable reads."""

    api: ClassVar[Api] = Api.RAFT_READ_INDEX_REQUEST

    sender: NodeId
    term: Term
    token: int


class ReadIndexResponse(Message, frozen=True, array_like=True, gc=False):
    """``index`` 0: not a leader with a quorum; ask again."""

    api: ClassVar[Api] = Api.RAFT_READ_INDEX_RESPONSE

    sender: NodeId
    term: Term
    token: int
    index: LogIndex


RaftMessage = (
    VoteRequest
    | VoteResponse
    | AppendRequest
    | AppendResponse
    | SnapshotRequest
    | SnapshotResponse
    | TimeoutNow
    | ReadIndexRequest
    | ReadIndexResponse
)
