"""A bound on bytes per second, as the time that whoever moved some has to wait.

A bucket that leaks at the rate (KIP-599 has the like): what is in it beyond a burst is waited for,
so that in the long run nobody moves more than the rate, and who moves less never waits.
"""

from __future__ import annotations

BURST_MS = 1_000
"""So much of the rate may be moved at once before anybody waits."""


class Throttle:
    """The bytes of one owner. The rate may be another each time; None is no bound."""

    __slots__ = ("_at_ms", "_burst_ms", "_level_bytes")

    def __init__(self, burst_ms: int = BURST_MS) -> None:
        self._burst_ms = burst_ms
        self._level_bytes = 0.0
        self._at_ms = 0

    def take(self, size_bytes: int, rate: int | None, now_ms: int) -> int:
        """Count bytes that have moved; return the milliseconds to wait before more.

        ``rate``: bytes per second now.
        """
        if rate is None:
            self._level_bytes = 0.0
            return 0
        leaked_bytes = (now_ms - self._at_ms) * rate / 1_000
        self._level_bytes = max(0.0, self._level_bytes - leaked_bytes) + size_bytes
        self._at_ms = now_ms
        return max(0, round(self._level_bytes * 1_000 / rate) - self._burst_ms)
