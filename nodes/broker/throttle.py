"""A bound on bytes per second, as the time that whoever took some has to wait."""

from __future__ import annotations

from collections.abc import Callable

BURST_MS = 1_000
"""So much of the rate may be taken at once before anybody waits."""


class Throttle:
    """Owes time for what was taken; a rate of None is no bound. The rate may change at any time."""

    def __init__(self, rate: Callable[[], int | None]) -> None:
        """``rate``: bytes per second now."""
        self._rate = rate
        self._free_ms = 0.0
        """The moment by which what was taken so far would have come at the rate."""

    def take(self, size_bytes: int, now_ms: int) -> int:
        """Take bytes that are there already; returns the milliseconds to wait before more."""
        rate = self._rate()
        if rate is None:
            self._free_ms = 0.0
            return 0
        self._free_ms = max(self._free_ms, float(now_ms)) + size_bytes * 1000 / rate
        return max(0, int(self._free_ms - now_ms) - BURST_MS)
