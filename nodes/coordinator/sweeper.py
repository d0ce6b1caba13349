"""The leader's broom: now and then it offers the log the end of containers and TTL znodes.

Soft state only: an offer that is lost is made again at the next round, and one that came too late
changes nothing, because it is judged again when it is applied.
"""

from __future__ import annotations

from nodes.coordinator.context import CoordinatorContext
from nodes.coordinator.quorum import Quorum
from nodes.coordinator.writes import Writes
from nodes.core.znode.modes import NO_SESSION
from transport.kernel import Now
from transport.wire.messages.coordination import ProposedWrite

PATHS_PER_ENTRY = 500
"""Removed by one entry: applying it stays in the milliseconds."""


class Sweeper:
    """Looks at the tree in rounds, while this coordinator leads."""

    def __init__(self, context: CoordinatorContext, quorum: Quorum, writes: Writes) -> None:
        self._context = context
        self._quorum = quorum
        self._writes = writes
        self._interval_ms = context.config.coordinator.sweep_interval_ms

    def start(self, now: Now) -> None:
        """Begin the rounds."""
        self._context.timers.after(now, self._interval_ms, self._round)

    def _round(self, now: Now) -> None:
        if self._quorum.leads:
            due = self._context.core.due(now.wall_ms)
            self._context.count("znodes_swept", len(due))
            for start in range(0, len(due), PATHS_PER_ENTRY):
                sweep = tuple(due[start : start + PATHS_PER_ENTRY])
                self._writes.submit((ProposedWrite(NO_SESSION, 0, sweep=sweep),))
        self.start(now)
