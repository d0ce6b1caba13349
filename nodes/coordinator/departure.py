"""A planned stop: a coordinator that leads hands over first, so that nobody waits for an election.

Owns the order of an end: hand over, then take nothing new, then exit (the server does that when all
is durable).  When the whole ensemble is stopped there is soon nobody to hand over to: the links to
the others go down, and the wait ends at once.
"""

from __future__ import annotations

import logging

from nodes.coordinator.context import CoordinatorContext
from nodes.coordinator.quorum import Quorum
from nodes.core.raft.events import TransferLeadership
from transport.kernel import Now
from transport.wire.ids import NO_NODE

HAND_OVER_MAX_MS = 300
"""A hand-over takes a few syncs; longer than an election it is worth nothing."""

_logger = logging.getLogger("odradek.departure")


class Departure:
    """Whether this coordinator is leaving, and how far it is."""

    def __init__(self, context: CoordinatorContext, quorum: Quorum) -> None:
        self._context = context
        self._quorum = quorum
        self._due_ms: int | None = None

    def begin(self, now: Now) -> None:
        """Leave in order; asked a second time, leave without handing over."""
        if self._due_ms is None and self._quorum.can_hand_over:
            self._due_ms = now.mono_ms + HAND_OVER_MAX_MS
            self._quorum.step(TransferLeadership(), now)
            return
        self._context.stopping = True

    def end_turn(self, now: Now) -> None:
        """Go on when another leads, when nobody is left to lead, or when it takes too long."""
        if self._due_ms is None or self._context.stopping:
            return
        quorum = self._quorum
        handed_over = not quorum.leads and quorum.leader != NO_NODE
        hopeless = quorum.leads and not quorum.can_hand_over
        if handed_over or hopeless or now.mono_ms >= self._due_ms:
            _logger.info("leaving; raft leader %d", quorum.leader)
            self._context.stopping = True

    def next_deadline_ms(self) -> int | None:
        """Return when the hand-over is given up."""
        return None if self._context.stopping else self._due_ms
