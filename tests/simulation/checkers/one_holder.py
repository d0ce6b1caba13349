"""S69: no more hold a thing than may, as far as those know who run, and none who came before another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.simulation.checkers.violation import require

NUMBER = "S69"


@dataclass(slots=True)
class OneHolder:
    """Who has held one lock, led by one election, or had a lease of one semaphore."""

    what: str
    capacity: int
    tokens: dict[int, str] = field(default_factory=dict)
    """Fencing token -> whose hold it belongs to."""

    @property
    def newest(self) -> int:
        """The largest token so far."""
        return max(self.tokens, default=0)

    def note_held(self, token: int, name: str) -> None:
        """Somebody was told that it holds."""
        story = f"{self.what}: token {token} is {self.tokens.get(token)}'s and {name}'s"
        require(token not in self.tokens, NUMBER, story)
        self.tokens[token] = name

    def check_newest(self, token: int) -> None:
        """Judge what a running client holds by: of a thing that one holds, nobody has come after it."""
        story = f"{self.what}: {self.newest} came while {token} holds"
        require(self.capacity > 1 or token >= self.newest, NUMBER, story)

    def check_believing(self, believing: Sequence[str]) -> None:
        """Judge how many running clients believe to hold at one moment."""
        story = f"{self.what}: all of {', '.join(believing)} believe to hold"
        require(len(believing) <= self.capacity, NUMBER, story)
