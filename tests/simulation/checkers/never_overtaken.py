"""S70: what a holder writes with its place in the line is never overtaken by an earlier holder's."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from tests.simulation.checkers.violation import require

NUMBER = "S70"


class HeldWrite(NamedTuple):
    """A write that was answered; in the order of what the znode held one after the other."""

    zxid: int
    token: int
    """Of the hold under which it was written."""
    number: int
    """One more than its writer had read under the same hold."""


@dataclass(slots=True)
class NeverOvertaken:
    """The znode that the holders of one thing write to."""

    what: str
    writes: list[HeldWrite] = field(default_factory=list)

    def check_read(self, token: int, found: int) -> None:
        """Judge what a running holder reads: nobody's who came after it."""
        story = f"{self.what}: {token} holds, and reads what {found} has written"
        require(found <= token, NUMBER, story)

    def check(self) -> None:
        """Judge the whole history: tokens and numbers grow together."""
        writes = sorted(self.writes)
        for before, after in pairwise(writes):
            story = f"{self.what}: {before} is overtaken by {after}"
            require(after.token >= before.token and after.number > before.number, NUMBER, story)
