"""What the Raft core is told, and the orders it gives."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple, Protocol

from transport.kernel import Effects, Tick
from transport.wire.ids import NO_NODE, LogIndex, NodeId, Term
from transport.wire.messages.raft import Entry, RaftMessage


class Role(Enum):
    """Follower → PreCandidate → Candidate → Leader; any of them back to Follower."""

    FOLLOWER = "follower"
    PRE_CANDIDATE = "pre-candidate"
    CANDIDATE = "candidate"
    LEADER = "leader"


class HardState(NamedTuple):
    """Durable before any answer that depends on it leaves (Raft §5.1, §5.2)."""

    term: Term
    voted_for: NodeId
    """−1: nobody in this term."""


class Membership(NamedTuple):
    """Who takes part, as of the snapshot: entries may change who of them votes.

    Learners (ZooKeeper's observers) get every entry, and decide nothing.
    """

    voters: tuple[NodeId, ...]
    learners: tuple[NodeId, ...] = ()


class Stored(NamedTuple):
    """What the disk held at start: the durable promises, the snapshot, the entries after it."""

    hard_state: HardState = HardState(Term(0), NO_NODE)
    snapshot_index: LogIndex = LogIndex(0)
    snapshot_term: Term = Term(0)
    entries: Sequence[Entry] = ()
    """From ``snapshot_index + 1`` on, without gaps."""


class Found(Protocol):
    """Anything of the shape of Stored, such as what the Raft log on disk reports."""

    @property
    def hard_state(self) -> tuple[Term, NodeId]:
        """Term, and vote in it."""
        ...

    @property
    def snapshot_index(self) -> LogIndex:
        """The last entry that the snapshot covers."""
        ...

    @property
    def snapshot_term(self) -> Term:
        """The term of that entry."""
        ...

    @property
    def entries(self) -> Sequence[Entry]:
        """The entries after it."""
        ...


# Events


class Received(NamedTuple):
    """A message of a peer arrived."""

    message: RaftMessage


class Propose(NamedTuple):
    """Append these, if leader; what is not accepted comes back in ``rejected``."""

    payloads: tuple[bytes, ...]


class ReadIndex(NamedTuple):
    """Answer ``token`` with the index to have applied for a linearizable read.

    On a follower the leader is asked. Without a leader, or when it changes, the token comes back
    in ``reads_failed``.
    """

    token: int


class DiskSynced(NamedTuple):
    """Every entry appended (and hard state set) up to effects batch ``sequence`` is durable."""

    sequence: int


class PeerDied(NamedTuple):
    """The kernel reported this member's process dead: no need to wait for its time-out."""

    node: NodeId


class Contact(NamedTuple):
    """The link to a member came up (``up``) or went down."""

    node: NodeId
    up: bool


class TransferLeadership(NamedTuple):
    """Hand over to the most advanced follower (or ``to``) before a planned stop."""

    to: NodeId | None = None


class ChangeVoters(NamedTuple):
    """Let one more member vote, or one less, through the log; refused in ``voters_refused``."""

    voters: tuple[NodeId, ...]


class Forget(NamedTuple):
    """A member has ended for good. It must not be a voter, and that it is none be committed here."""

    node: NodeId


class Gap(NamedTuple):
    """The loop was away: others are judged that much later; our own leadership is not."""

    gap_ms: int


class Compacted(NamedTuple):
    """The server has a durable snapshot up to ``last_index``: entries up to it may go."""

    last_index: LogIndex


class SnapshotReady(NamedTuple):
    """The bytes asked for by ``snapshot_wanted``: state and log up to ``last_index``, applied here.

    They go to peers as they are; ``last_index`` must not be below the newest Compacted.
    """

    last_index: LogIndex
    last_term: Term
    data: bytes


class Rejoined(NamedTuple):
    """The mark that this member is rebuilding is gone, durably: it votes and counts again."""


class SnapshotInstalled(NamedTuple):
    """The server has taken over the snapshot that ``install`` named, durably."""

    last_index: LogIndex
    last_term: Term
    voters: tuple[NodeId, ...] = ()
    """Who voted as of that snapshot; empty: as at the start."""


RaftEvent = (
    Received
    | Propose
    | ReadIndex
    | DiskSynced
    | PeerDied
    | Contact
    | TransferLeadership
    | ChangeVoters
    | Forget
    | Gap
    | Compacted
    | SnapshotReady
    | SnapshotInstalled
    | Rejoined
    | Tick
)


class RaftEffects(Effects[Entry]):
    """Effects of the Raft core, to be carried out in the order of the fields.

    Whenever ``truncate_from``, ``append`` or ``hard_state`` is set, the driver writes it, starts a
    sync, and reports ``DiskSynced(sequence)`` when it is done; ``send_after_sync`` leaves then and
    not before (with nothing to write and no sync under way, at once).
    """

    sequence: int = 0
    """Of this batch of disk orders, growing; 0 when it has none."""
    truncate_from: LogIndex | None = None
    """Forget stored entries from this index on, before appending."""
    hard_state: HardState | None = None
    committed: list[Entry] = []
    """To apply now, in order. Durable on a majority (this node's own copy may still be syncing)."""
    reads: list[tuple[int, LogIndex]] = []
    """(token, index): serve the read once ``index`` is applied."""
    reads_failed: list[int] = []
    rejected: list[bytes] = []
    """Proposals not taken: this member does not lead."""
    role: Role | None = None
    """Set when the role changed."""
    raft_leader: NodeId | None = None
    """Set when the known leader changed; −1: none known."""
    install: tuple[LogIndex, Term, bytes] | None = None
    """A whole snapshot received from the leader: (last index, its term, bytes). Take it over,
    make it durable, then report SnapshotInstalled."""
    snapshot_wanted: bool = False
    """A follower is too far behind for the log: answer with SnapshotReady. Asked once until then."""
    voters_refused: str = ""
    """Why a ChangeVoters was not taken."""
    rejoined: bool = False
    """A rebuilding member holds everything again: remove its mark durably, then report Rejoined."""
