"""The leader's broom: now and then it offers the log the end of containers and TTL znodes.

Soft state only: an offer that is lost is made again at the next round, and one that came too late
changes nothing, because it is judged again when it is applied.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from nodes.coordinator.context import CoordinatorContext
from nodes.coordinator.quorum import Quorum
from nodes.coordinator.writes import Writes
from nodes.core.znode.modes import NO_SESSION
from transport.kernel import Now
from transport.wire.messages.coordination import ProposedWrite

LOOKED_AT_ONCE = 10_000
"""Of all containers and znodes with a TTL: a few milliseconds. Then others have their turn."""
PAUSE_MS = 1
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
        self._look(self._context.core.tree.passing() if self._quorum.leads else (), now)

    def _look(self, paths: Sequence[str], now: Now) -> None:
        """Offer the end of those that are due, some of them now and the rest in a moment."""
        if self._quorum.leads:
            due = self._context.core.due(now.wall_ms, paths[:LOOKED_AT_ONCE])
            self._context.count("znodes_swept", len(due))
            for start in range(0, len(due), PATHS_PER_ENTRY):
                sweep = tuple(due[start : start + PATHS_PER_ENTRY])
                self._writes.submit((ProposedWrite(NO_SESSION, 0, sweep=sweep),))
        rest = paths[LOOKED_AT_ONCE:]
        if rest:
            self._context.timers.after(now, PAUSE_MS, partial(self._look, rest))
        else:
            self.start(now)
