"""Pauses between tries: longer each time, and never the same for two clients.

Pure; chance comes from the program's own ``random``.
"""

from __future__ import annotations

from random import Random


class Backoff:
    """Doubling pauses between ``first_ms`` and ``last_ms``, each drawn from its upper half.

    Half of each pause is chance, so that clients that failed together do not return together.
    """

    __slots__ = ("_first_ms", "_last_ms", "_tries")

    def __init__(self, first_ms: int, last_ms: int) -> None:
        self._first_ms = first_ms
        self._last_ms = last_ms
        self._tries = 0

    def next_ms(self, random: Random) -> int:
        """Return the next pause."""
        pause_ms = min(self._last_ms, self._first_ms << min(self._tries, 20))
        self._tries += 1
        return random.randint((pause_ms + 1) // 2, pause_ms)

    def reset(self) -> None:
        """Begin with short pauses again: something has succeeded."""
        self._tries = 0
