"""Several reads on one and the same state of the tree, built step by step.

Knows nothing of sessions; its client submits it.
"""

from __future__ import annotations

from odradek.coordination.gathered import Gathered, Outcomes
from odradek.coordination.znode_transaction import error_of, stat_of
from odradek.coordination.znode_values import ZnodeStat
from transport.wire.errors import ErrorCode
from transport.wire.messages.coordination import Exists, GetChildren, GetData, ReadMulti, Result

Read = GetData | Exists | GetChildren


class MultiRead(Gathered[Read]):
    """Collects reads; :meth:`commit` does them all at once, between two writes."""

    def get(self, path: str) -> None:
        """Add a read of data and stat."""
        self._add(GetData(self._chroot.full(path)))

    def exists(self, path: str) -> None:
        """Add a read of the stat, or None."""
        self._add(Exists(self._chroot.full(path)))

    def get_children(self, path: str) -> None:
        """Add a read of the names of the children."""
        self._add(GetChildren(self._chroot.full(path)))

    def multi(self) -> ReadMulti:
        """Return the operation that does it."""
        return ReadMulti(tuple(self.operations))

    def outcomes_of(self, result: Result) -> Outcomes:
        """Return what each read came to."""
        return [self._outcome(*read) for read in self.results_of(result)]

    def _outcome(self, operation: Read, read: Result) -> object:
        if isinstance(operation, Exists) and read.error == ErrorCode.NO_NODE:
            return None
        if read.error != ErrorCode.NONE:
            return error_of(read, self._chroot.user(operation.path))
        if isinstance(operation, GetData):
            return read.data or b"", stat_of(read)
        if isinstance(operation, GetChildren):
            return list(read.children)
        return None if read.stat is None else ZnodeStat.of(read.stat)
