"""The simulated world: one event heap, one seed, one virtual clock.

Everything that happens is an event on the heap, ordered by (virtual time, order of setting), and
every choice is drawn from one seeded generator: a seed names a whole history.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from hashlib import blake2b
from random import Random

EPOCH_WALL_MS = 1_700_000_000_000
"""What the wall clock shows when a world begins."""


class World:
    """Time, chance and the trace. Times are virtual microseconds since the world began."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.now_us = 0
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._order = 0
        self._hash = blake2b(digest_size=16)
        self.events = 0
        self.trace: list[str] = []
        """One line per state transition, with its time."""

    def at(self, time_us: int, action: Callable[[], None]) -> None:
        """Let ``action`` happen at ``time_us`` (or now, if that has passed)."""
        self._order += 1
        heapq.heappush(self._heap, (max(time_us, self.now_us), self._order, action))

    def after(self, delay_us: int, action: Callable[[], None]) -> None:
        """Let ``action`` happen ``delay_us`` from now."""
        self.at(self.now_us + delay_us, action)

    def run_until(self, condition: Callable[[], bool], *, limit_ms: int) -> bool:
        """Let time pass until ``condition`` holds; False after ``limit_ms`` virtual milliseconds."""
        end_us = self.now_us + limit_ms * 1_000
        while not condition():
            if not self._heap or self._heap[0][0] > end_us:
                self.now_us = end_us
                return condition()
            self._next()
        return True

    def run_for(self, duration_ms: int) -> None:
        """Let ``duration_ms`` virtual milliseconds pass."""
        end_us = self.now_us + duration_ms * 1_000
        while self._heap and self._heap[0][0] <= end_us:
            self._next()
        self.now_us = end_us

    def note(self, line: str) -> None:
        """Add a line to the trace and to the event hash."""
        stamped = f"{self.now_us / 1000:.3f} {line}"
        self.trace.append(stamped)
        self._hash.update(stamped.encode())

    def mark(self, what: bytes) -> None:
        """Add an event to the hash only."""
        self._hash.update(b"%d " % self.now_us)
        self._hash.update(what)

    def event_hash(self) -> str:
        """Return the hash of all that has happened: the same seed gives the same, always."""
        return self._hash.copy().hexdigest()

    def _next(self) -> None:
        self.now_us, _, action = heapq.heappop(self._heap)
        self.events += 1
        action()
