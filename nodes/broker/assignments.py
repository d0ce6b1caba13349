"""What the image asks of this broker's replicas, and has not been done yet: in order, in slices.

A change of ten thousand partitions is taken over some a turn, so that heartbeats leave, requests are
answered and no session is lost meanwhile.  A partition that changes again before its turn is done
once, as the image says then.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from nodes.broker.replica import Replica
from transport.wire.ids import PartitionKey

CHANGES_A_TURN = 50
"""Some milliseconds where each of them begins a log: the quorum's votes may go through this loop."""

Change = PartitionKey | Replica
"""A partition to look up in the image, or a replica whose topic is gone."""


class Assignments:
    """A queue without repetitions, of which each turn takes so much."""

    def __init__(self) -> None:
        self._waiting: dict[Change, None] = {}
        self._left = CHANGES_A_TURN

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def __contains__(self, change: Change) -> bool:
        return change in self._waiting

    def add(self, changes: Iterable[Change]) -> None:
        """Let these wait behind those that do already."""
        for change in changes:
            self._waiting.setdefault(change)

    def take(self) -> list[Change]:
        """Return those whose time has come, as far as this turn has room for them."""
        taken = list(islice(self._waiting, self._left))
        self._left -= len(taken)
        for change in taken:
            del self._waiting[change]
        return taken

    def begin_turn(self) -> None:
        """Make room for as many again."""
        self._left = CHANGES_A_TURN

    def gone(self) -> list[Replica]:
        """Return the replicas that wait for their end."""
        return [change for change in self._waiting if isinstance(change, Replica)]
