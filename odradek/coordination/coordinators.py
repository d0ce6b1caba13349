"""The coordinators that may serve a session: which of them is tried next, when, and how patiently.

Pure.  Owns the order in which they are tried, what has failed since the session was last served, and
the pauses that grow with that.  It must not know of connections, nor whether a session lives.

Source: Apache ZooKeeper, HostProvider.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from transport.kernel import Now

BACKOFF_MIN_MS = 20
BACKOFF_MAX_MS = 1_000
SEEK_MIN_MS = 5_000
SEEK_MAX_MS = 60_000
"""How often a read-only session looks for a coordinator with a quorum; the pause doubles."""


class Coordinators:
    """Clients' doors of coordinators, in an order of chance."""

    __slots__ = (
        "_endpoints",
        "_failures",
        "_next",
        "_random",
        "_seek_pause_ms",
        "seek_ms",
        "try_ms",
    )

    def __init__(self, endpoints: Sequence[str], random: Random) -> None:
        assert endpoints, "a session needs a coordinator to ask"
        self._endpoints = list(endpoints)
        self._random = random
        random.shuffle(self._endpoints)
        self._next = 0
        self._failures = 0
        """Since the session was served by one."""
        self._seek_pause_ms = SEEK_MIN_MS
        self.try_ms = 0
        """When the next one is tried, where there is none at present."""
        self.seek_ms = 0
        """When one without a quorum is left to look for another."""

    def next(self) -> str:
        """Return the one to try now."""
        endpoint = self._endpoints[self._next % len(self._endpoints)]
        self._next += 1
        return endpoint

    def learn(self, endpoints: Sequence[str]) -> None:
        """Coordinators come and go while a session lives: whoever serves it names those there are."""
        if endpoints and set(endpoints) != set(self._endpoints):
            self._endpoints = list(endpoints)
            self._random.shuffle(self._endpoints)

    # How it went

    @property
    def all_failed(self) -> bool:
        """Each of them has been tried in vain."""
        return self._failures >= len(self._endpoints)

    def patience_ms(self, first_ms: int, session_timeout_ms: int) -> int:
        """Return how long to wait for an answer, first and later.

        Grows with the rounds, so that a slow network is given its time in the end.
        """
        rounds = min(self._failures // len(self._endpoints), 10)
        return max(1, min(first_ms << rounds, session_timeout_ms // 3))

    def failed(self, session_timeout_ms: int, now: Now) -> None:
        """The last one was left: the next one is tried at once, or after a pause."""
        self._failures += 1
        self.try_ms = now.mono_ms + self._pause_ms(session_timeout_ms)

    def _pause_ms(self, session_timeout_ms: int) -> int:
        rounds, tried = divmod(self._failures, len(self._endpoints))
        if tried or not rounds:
            return 0
        most_ms = min(BACKOFF_MIN_MS << min(rounds, 10), BACKOFF_MAX_MS, session_timeout_ms // 6)
        return self._random.randint(most_ms // 2, max(most_ms, 1))

    def served(self) -> None:
        """The last one serves the session, by the word of a quorum."""
        self._failures = 0

    # Without a quorum

    def settle_for_reads(self, now: Now) -> None:
        """The last one has no quorum, and will do for a while."""
        self._failures = 0
        self.seek_ms = now.mono_ms + self._seek_pause_ms

    def seek(self) -> None:
        """It is being left for that: if no other is found, it will do for longer."""
        self._seek_pause_ms = min(2 * self._seek_pause_ms, SEEK_MAX_MS)

    def found(self) -> None:
        """One with a quorum has attached the session."""
        self._seek_pause_ms = SEEK_MIN_MS
