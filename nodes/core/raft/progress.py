"""What a leader knows of one follower, and how it sends to it.

States: PROBE (where the logs agree is not known: one append at a time), REPLICATE (appends are
pipelined up to a bound), SNAPSHOT (the entries it lacks were compacted).  Any → PROBE when a link
breaks or an append is refused; PROBE → REPLICATE when one is accepted; PROBE → SNAPSHOT → PROBE.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum

from transport.wire.ids import LogIndex


class Pace(Enum):
    """How appends go to a follower."""

    PROBE = "probe"
    REPLICATE = "replicate"
    SNAPSHOT = "snapshot"


@dataclass(slots=True)
class Progress:
    """One follower, as its leader sees it."""

    next_index: LogIndex
    """The first entry to send next."""
    contact_ms: int
    """When the newest round that it answered began."""
    learner: bool = False
    match_index: LogIndex = LogIndex(0)
    """Durable there and equal to ours up to here."""
    pace: Pace = Pace.PROBE
    in_flight: deque[LogIndex] = field(default_factory=deque)
    """The last index of each append with entries that is not acknowledged yet."""
    answered_round: int = 0
    commit_sent: LogIndex = LogIndex(0)
    """The commit index that reaches it with what was sent so far."""
    snapshot_position: int = 0
    snapshot_sent_ms: int = 0
    """When the chunk under way was sent; 0: none was."""
    rebuilding: int = 0
    """The number of the loss that it recovers from: it does not count meanwhile. 0: none."""
    rejoin_index: LogIndex = LogIndex(0)
    """Once an entry appended since that loss, and this member holds it, it counts again; 0: none."""

    @property
    def counts(self) -> bool:
        """Tell whether its word may decide anything."""
        return self.rebuilding == 0 and not self.learner

    def may_send(self, in_flight_max: int) -> bool:
        """Tell whether an append with entries may leave now."""
        if self.pace is Pace.REPLICATE:
            return len(self.in_flight) < in_flight_max
        return self.pace is Pace.PROBE and not self.in_flight

    def sent(self, last_index: LogIndex) -> None:
        """An append with entries up to ``last_index`` left."""
        self.in_flight.append(last_index)
        if self.pace is Pace.REPLICATE:
            self.next_index = LogIndex(last_index + 1)

    def accepted(self, match_index: LogIndex) -> None:
        """The follower agrees, and has everything up to ``match_index`` on its disk."""
        self.match_index = max(self.match_index, match_index)
        while self.in_flight and self.in_flight[0] <= self.match_index:
            self.in_flight.popleft()
        if self.pace is Pace.PROBE:
            self.pace = Pace.REPLICATE
            if self.in_flight:
                self.next_index = LogIndex(self.in_flight[-1] + 1)
        self.next_index = max(self.next_index, LogIndex(self.match_index + 1))

    def probe(self, next_index: LogIndex) -> None:
        """Begin again at ``next_index``: what was in flight is lost or was refused."""
        self.pace = Pace.PROBE
        self.in_flight.clear()
        self.next_index = next_index
        # Lower only when the follower lost what it had acknowledged (a disk that was replaced).
        self.match_index = min(self.match_index, LogIndex(next_index - 1))
        self.snapshot_sent_ms = 0
        self.commit_sent = LogIndex(0)

    def await_snapshot(self) -> None:
        """What it lacks was compacted: it must take a snapshot first."""
        self.pace = Pace.SNAPSHOT
        self.in_flight.clear()
        self.snapshot_position = 0
        self.snapshot_sent_ms = 0

    def check(self, last_index: int, in_flight_max: int) -> None:
        """Assert what must hold of the numbers."""
        assert self.match_index < self.next_index, "sending what is known to be there"
        assert self.next_index <= last_index + 1, "a gap would be sent"
        assert len(self.in_flight) <= in_flight_max, "more in flight than allowed"
