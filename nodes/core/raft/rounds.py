"""Rounds of contact: when each began, so that an answer dates the contact it proves.

An answer proves that the follower still followed when the round *began*, not when the answer was
read: a leader that was stopped and finds a heap of answers knows from their rounds how old they
are.
"""

from __future__ import annotations

from collections import deque

ROUNDS_REMEMBERED_MAX = 1024
"""An answer to an older round proves nothing that matters any more."""


class Rounds:
    """The numbered rounds of one leadership."""

    __slots__ = ("_began_ms", "number")

    def __init__(self) -> None:
        self.number = 0
        """Of the newest round; 0 before the first."""
        self._began_ms: deque[int] = deque(maxlen=ROUNDS_REMEMBERED_MAX)

    def begin(self, now_ms: int) -> int:
        """Begin a round and return its number."""
        self.number += 1
        self._began_ms.append(now_ms)
        return self.number

    def began_ms(self, number: int) -> int | None:
        """Return when a round began; None when that is forgotten or it never was."""
        place = number - self.number + len(self._began_ms) - 1
        return self._began_ms[place] if 0 <= place < len(self._began_ms) else None
