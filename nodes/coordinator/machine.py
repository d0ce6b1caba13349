"""The second state machine of the quorum's log, where there is one (mode ``kraft``), as a port.

Its entries carry a mark in front, a byte with which no MessagePack begins and so no write to the
tree does: the log of an ensemble without it reads as it always has.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from nodes.core.znode.watch import TreeChange
from transport.kernel import Now
from transport.wire.ids import Term
from transport.wire.messages.coordination import WriteOperation

MARK = b"\xc1"
"""In front of the entries of the second machine."""


class Slices(Protocol):
    """A snapshot on its way into bytes, encoded a slice per turn."""

    def step(self) -> bool:
        """Encode one slice; False when there was none left."""
        ...

    def finish(self) -> bytes:
        """Encode what is left, and return all bytes."""
        ...


class OwnWrites(NamedTuple):
    """What an entry of the second machine changes in the tree: one write by its zxid, of nobody's
    session, to be taken from ``operations`` one by one."""

    wall_ms: int
    operations: Iterable[WriteOperation]


class Machine(Protocol):
    """Applied beside the znode tree, from the same log. Called within a step of the quorum: what
    it wants to propose has to wait for the end of the turn."""

    def apply(self, data: bytes, term: Term, now: Now) -> OwnWrites | None:
        """Take one committed entry (without its mark) that was appended in ``term``."""
        ...

    def begin_snapshot(self) -> Slices | None:
        """Begin a snapshot of the state as it is now; None: there is none yet."""
        ...

    def restore(self, data: bytes, now: Now) -> None:
        """Become the state of a snapshot; raises BadSnapshot when it is none. Empty: none yet."""
        ...

    def on_changes(self, changes: Sequence[TreeChange]) -> None:
        """The znode tree has changed."""
        ...
