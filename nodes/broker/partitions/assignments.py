"""What the image asks of this broker's replicas, and has not been done yet: in order, in slices.

A change of ten thousand partitions is taken over some a turn, so that heartbeats leave, requests are
answered and no session is lost meanwhile.  A partition that changes again before its turn is done
once, as the image says then; one that somebody writes to is done before its turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from nodes.broker.partitions.replica import Replica
from transport.wire.ids import PartitionKey

ROOM_A_TURN = 120
"""What one turn takes on, in changes of role: a millisecond or two, since the quorum's votes may go
through this loop, and a request to the controller through several turns."""
LOG_COST = 8
"""What a change takes of it that begins a log, or ends one."""

Change = PartitionKey | Replica
"""A partition to look up in the image, or a replica whose topic is gone."""


class Assignments:
    """A queue without repetitions, of which each turn takes so much."""

    def __init__(self) -> None:
        self._waiting: dict[Change, None] = {}
        self._left = ROOM_A_TURN

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def __contains__(self, change: Change) -> bool:
        return change in self._waiting

    def add(self, changes: Iterable[Change]) -> None:
        """Let these wait behind those that do already."""
        for change in changes:
            self._waiting.setdefault(change)

    def take(self, cost_of: Callable[[Change], int]) -> list[Change]:
        """Return those whose time has come, as far as this turn has room for what they cost."""
        taken = []
        for change in self._waiting:
            if self._left <= 0:
                break
            self._left -= cost_of(change)
            taken.append(change)
        for change in taken:
            del self._waiting[change]
        return taken

    def take_one(self, change: Change) -> bool:
        """Take this one before its time. False: it does not wait."""
        if change not in self._waiting:
            return False
        del self._waiting[change]
        return True

    def begin_turn(self) -> None:
        """Make room for as many again."""
        self._left = ROOM_A_TURN

    def gone(self) -> list[Replica]:
        """Return the replicas that wait for their end."""
        return [change for change in self._waiting if isinstance(change, Replica)]
