"""The newest changes of the tree, oldest first: what a stream of changes is read from.

Local to one server and in memory only: it begins with what the server applied since it started or
took over a snapshot, and loses its oldest changes when it grows past its bounds.  Knows nothing of
who asks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from nodes.core.znode.watch import TreeChange
from transport.wire.ids import Zxid

CHANGE_OVERHEAD_BYTES = 200
"""What a kept change weighs beside its path and data."""


class History:
    """Every change after ``begins_at``, and none before."""

    def __init__(self, changes_max: int, size_bytes_max: int) -> None:
        self._changes_max = changes_max
        self._size_bytes_max = size_bytes_max
        self._changes: deque[TreeChange] = deque()
        self._size_bytes = 0
        self.begins_at = Zxid(0)
        """Nothing is known of this zxid and of those before it."""

    def __len__(self) -> int:
        return len(self._changes)

    def begin(self, zxid: Zxid) -> None:
        """Forget everything: the tree is now as of ``zxid``, by way of a snapshot."""
        self._changes.clear()
        self._size_bytes = 0
        self.begins_at = zxid

    def add(self, changes: Iterable[TreeChange]) -> None:
        """Keep these, which are newer than all that are kept; forget old ones that fit no more."""
        for change in changes:
            self._changes.append(change)
            self._size_bytes += _weight_bytes(change)
        while len(self._changes) > self._changes_max or self._size_bytes > self._size_bytes_max:
            oldest = self._changes.popleft()
            self._size_bytes -= _weight_bytes(oldest)
            self.begins_at = oldest.zxid

    def after(self, since: Zxid) -> list[TreeChange] | None:
        """Return all changes later than ``since``, oldest first; None: not all are known."""
        if since < self.begins_at:
            return None
        found: list[TreeChange] = []
        for change in reversed(self._changes):
            if change.zxid <= since:
                break
            found.append(change)
        found.reverse()
        return found

    def check(self, newest: Zxid) -> None:
        """Assert Z6: in order, within the bounds, weighed right."""
        zxids = [change.zxid for change in self._changes]
        assert zxids == sorted(zxids), "changes out of order"
        assert self.begins_at <= newest
        assert not zxids or (self.begins_at <= zxids[0] and zxids[-1] <= newest)
        assert len(zxids) <= self._changes_max
        assert self._size_bytes == sum(map(_weight_bytes, self._changes)) <= self._size_bytes_max


def _weight_bytes(change: TreeChange) -> int:
    data_bytes = 0 if change.znode is None else len(change.znode.data)
    return CHANGE_OVERHEAD_BYTES + len(change.path) + data_bytes
