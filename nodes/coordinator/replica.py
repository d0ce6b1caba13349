"""The state machine's side of the log: applies what is committed, tells who waits, takes snapshots.

The only place that changes the znode core.  For each entry, in this order: the change, the watch
events it fires, the answers that it makes due.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

from nodes.coordinator.context import CoordinatorContext
from nodes.core.znode.core import Applied, ZnodeCore
from nodes.core.znode.snapshot import BadSnapshot
from nodes.storage.disk import Damaged
from transport.kernel import Now
from transport.wire.ids import LogIndex, Term
from transport.wire.messages.coordination import ProposedWrite, decode_write
from transport.wire.messages.raft import ENTRY_DATA, Entry

_logger = logging.getLogger("odradek.replica")


class Listener(Protocol):
    """Who is told of each applied entry."""

    def on_applied(self, write: ProposedWrite, applied: Applied, now: Now) -> None:
        """One entry was applied."""
        ...


class Replica:
    """The znode core and how far the log was applied to it."""

    def __init__(self, context: CoordinatorContext, listener: Listener) -> None:
        self._core: ZnodeCore = context.core
        self._context = context
        self._listener = listener
        self.applied_index = LogIndex(0)
        self.applied_term = Term(0)
        self.applied_since_snapshot = 0

    def apply(self, entries: Sequence[Entry], now: Now) -> None:
        """Apply committed entries, in order."""
        for entry in entries:
            assert entry.index == self.applied_index + 1, (entry.index, self.applied_index)
            if entry.kind == ENTRY_DATA:
                write = decode_write(entry.data)
                applied = self._core.apply(write)
                self._context.history.add(applied.changes)
                if applied.quotas_passed:
                    self._tell_quotas(applied.quotas_passed)
                self._listener.on_applied(write, applied, now)
            self.applied_index = entry.index
            self.applied_term = entry.term
            self.applied_since_snapshot += 1

    def _tell_quotas(self, passed: Sequence[str]) -> None:
        self._context.count("soft_quotas_passed", len(passed))
        for path in passed:
            quota = self._core.tree.quotas.get(path)
            if quota is not None:
                _logger.warning(
                    "%s passed its soft quota %s: %s", path, quota.limits, quota.text().decode()
                )

    def restore(self, index: LogIndex, term: Term, data: bytes) -> None:
        """Become the state of a snapshot; raises Damaged when it is none."""
        assert index >= self.applied_index, "back in time"
        try:
            self._core.restore(data)
        except BadSnapshot as error:
            raise Damaged(f"the snapshot up to entry {index}: {error}") from None
        self.applied_index, self.applied_term = index, term
        self.applied_since_snapshot = 0
        self._context.history.begin(self._core.zxid)
        _logger.info("stands on the snapshot up to entry %d, zxid %d", index, self._core.zxid)
