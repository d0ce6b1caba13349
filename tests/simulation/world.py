"""The simulated world: one event heap, one seed, one virtual clock.

Everything that happens is an event on the heap, ordered by (virtual time, order of setting), and
every choice is drawn from one seeded generator: a seed names a whole history.
"""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Callable
from hashlib import blake2b
from random import Random
from typing import Any

HASH_EVERY = 512
"""Events are hashed in groups: one call for many."""


class World:
    """Time, chance and the trace. Times are virtual microseconds since the world began."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = Random(seed)
        self._draw = self.random.random
        self.now_us = 0
        self._heap: list[tuple[int, int, Callable[..., object], tuple[Any, ...]]] = []
        self._order = 0
        self._hash = blake2b(digest_size=16)
        self._unhashed: list[int] = []
        """Of the latest events: when, and set as which."""
        self._marks: list[bytes] = []
        """What is to be hashed before those."""
        self.trace: list[str] = []
        """One line per state transition, with its time."""

    def at(self, time_us: int, action: Callable[..., object], *arguments: Any) -> None:
        """Let ``action`` happen at ``time_us`` (or now, if that has passed)."""
        self._order += 1
        due_us = time_us if time_us > self.now_us else self.now_us
        heapq.heappush(self._heap, (due_us, self._order, action, arguments))

    def after(self, delay_us: int, action: Callable[..., object], *arguments: Any) -> None:
        """Let ``action`` happen ``delay_us`` from now."""
        self.at(self.now_us + delay_us, action, *arguments)

    def between(self, bounds: tuple[int, int]) -> int:
        """Draw a whole number between two bounds, both included."""
        low, high = bounds
        return low + int(self._draw() * (high - low + 1))

    def run_until(self, condition: Callable[[], bool], *, limit_ms: int) -> bool:
        """Let time pass until ``condition`` holds; False after ``limit_ms`` virtual milliseconds."""
        end_us = self.now_us + limit_ms * 1_000
        while not condition():
            if not self._heap or self._heap[0][0] > end_us:
                self.now_us = end_us
                return condition()
            self._run(end_us, 1)
        return True

    def run_for(self, duration_ms: int) -> None:
        """Let ``duration_ms`` virtual milliseconds pass."""
        end_us = self.now_us + duration_ms * 1_000
        self._run(end_us)
        self.now_us = end_us

    def note(self, line: str) -> None:
        """Add a line to the trace and to the event hash."""
        stamped = f"{self.now_us / 1000:.3f} {line}"
        self.trace.append(stamped)
        self._marks.append(stamped.encode())

    def mark(self, what: bytes) -> None:
        """Add an event to the hash only."""
        self._marks.append(b"%d %b" % (self.now_us, what))

    def event_hash(self) -> str:
        """Return the hash of all that has happened: the same seed gives the same, always."""
        whole = self._hash.copy()
        self._add_to(whole)
        return whole.hexdigest()

    def _run(self, end_us: int, count: int = -1) -> None:
        """Let so many events happen, or all there are until ``end_us``."""
        heap, unhashed, pop = self._heap, self._unhashed, heapq.heappop
        while heap and heap[0][0] <= end_us and count:
            due_us, order, action, arguments = pop(heap)
            self.now_us = due_us
            unhashed.append(due_us)
            unhashed.append(order)
            if len(unhashed) >= 2 * HASH_EVERY:
                self._add_to(self._hash)
                self._marks.clear()
                unhashed.clear()
            count -= 1
            action(*arguments)

    def _add_to(self, whole: blake2b) -> None:
        whole.update(b"".join(self._marks))
        whole.update(array("q", self._unhashed).tobytes())
