"""The state machines' side of the log: applies what is committed, tells who waits, takes snapshots.

The only place that changes the znode core.  For each entry, in this order: the change, the watch
events it fires, the answers that it makes due.  Entries with the mark are the second machine's.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

from nodes.coordinator.bundle import Bundle
from nodes.coordinator.context import CoordinatorContext
from nodes.coordinator.machine import MARK, Machine, Slices
from nodes.core.znode.core import Applied, ZnodeCore
from nodes.core.znode.modes import NO_SESSION
from nodes.core.znode.snapshot import BadSnapshot
from nodes.settings import ConfigError
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
    """The znode core, the second machine if there is one, and how far the log was applied."""

    def __init__(
        self, context: CoordinatorContext, listener: Listener, machine: Machine | None = None
    ) -> None:
        self._core: ZnodeCore = context.core
        self._machine = machine
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
                if entry.data.startswith(MARK):
                    self._apply_to_machine(entry, now)
                else:
                    self._apply_to_tree(entry, now)
            self.applied_index = entry.index
            self.applied_term = entry.term
            self.applied_since_snapshot += 1

    def _apply_to_tree(self, entry: Entry, now: Now) -> None:
        write = decode_write(entry.data)
        applied = self._core.apply(write)
        self._context.history.add(applied.changes)
        if applied.quotas_passed:
            self._tell_quotas(applied.quotas_passed)
        if self._machine is not None and applied.changes:
            self._machine.on_changes(applied.changes)
        self._listener.on_applied(write, applied, now)

    def _apply_to_machine(self, entry: Entry, now: Now) -> None:
        if self._machine is None:
            raise _unknown_mode(f"entry {entry.index}")
        writes = self._machine.apply(entry.data[len(MARK) :], entry.term, now)
        if writes is None:
            return
        applied = self._core.apply_own(writes.operations, writes.wall_ms)
        self._context.count("own_writes_refused", len(applied.results))
        self._context.history.add(applied.changes)
        self._listener.on_applied(ProposedWrite(NO_SESSION, writes.wall_ms), applied, now)

    def _tell_quotas(self, passed: Sequence[str]) -> None:
        self._context.count("soft_quotas_passed", len(passed))
        for path in passed:
            quota = self._core.tree.quotas.get(path)
            if quota is not None:
                _logger.warning(
                    "%s passed its soft quota %s: %s", path, quota.limits, quota.text().decode()
                )

    def begin_snapshot(self) -> tuple[Slices, Slices | None]:
        """Begin a snapshot of what is applied: of the tree, and of the second machine."""
        machine = self._machine
        return self._core.begin_snapshot(), None if machine is None else machine.begin_snapshot()

    def restore(self, index: LogIndex, term: Term, bundle: Bundle, now: Now) -> None:
        """Become the state of a snapshot; raises Damaged when it is none, and ConfigError for one that
        holds what this process has no place for: its own next one would be without that."""
        assert index >= self.applied_index, "back in time"
        if bundle.machine and self._machine is None:
            raise _unknown_mode(f"the snapshot up to entry {index}")
        try:
            self._core.restore(bundle.tree)
            if self._machine is not None:
                self._machine.restore(bundle.machine, now)
        except BadSnapshot as error:
            raise Damaged(f"the snapshot up to entry {index}: {error}") from None
        self.applied_index, self.applied_term = index, term
        self.applied_since_snapshot = 0
        self._context.history.begin(self._core.zxid)
        _logger.info("stands on the snapshot up to entry %d, zxid %d", index, self._core.zxid)


def _unknown_mode(what: str) -> ConfigError:
    return ConfigError(
        f"{what} is of mode kraft, which this process does not know: the cluster has moved there; start"
        " this node with settings that say so"
    )
