"""A host's clocks: a monotonic one that drifts a little, a wall clock that is wrong and jumps.

Both are functions of the world's time, which no program ever sees.
"""

from __future__ import annotations

from tests.simulation.world import World
from transport.kernel import Now

EPOCH_WALL_MS = 1_700_000_000_000
"""What a right wall clock shows when a world begins."""
DRIFT_MAX = 200e-6
"""Twice what common crystals do; a clock being slewed drifts as much."""
SKEW_MAX_MS = 5_000
UPTIME_MAX_MS = 10_000_000


class HostClock:
    """The clocks of one host, since its last boot."""

    def __init__(self, world: World) -> None:
        random = world.random
        self._world = world
        self._rate = 1.0 + random.uniform(-DRIFT_MAX, DRIFT_MAX)
        self._wall_skew_ms = random.choice((0, 0, random.randint(-SKEW_MAX_MS, SKEW_MAX_MS)))
        self._jumped_ms = 0
        self._booted_us = world.now_us
        self._uptime_us = random.randint(1, UPTIME_MAX_MS) * 1_000
        """What the monotonic clock showed then: no two hosts agree on it."""

    def mono_ms(self) -> int:
        """Return the monotonic clock in milliseconds."""
        return self.now().mono_ms

    def now(self) -> Now:
        """Return both clocks."""
        now_us = self._world.now_us
        mono_us = self._uptime_us + int((now_us - self._booted_us) * self._rate)
        wrong_ms = self._wall_skew_ms + self._jumped_ms
        return Now(mono_us // 1_000, EPOCH_WALL_MS + now_us // 1_000 + wrong_ms)

    def world_us(self, mono_ms: int) -> int:
        """Return the first moment of the world's time at which ``mono_ms`` is reached."""
        passed_us = (mono_ms * 1_000 - self._uptime_us) / self._rate
        return self._booted_us + int(passed_us) + 1

    def jump(self, by_ms: int) -> None:
        """Set the wall clock forward, or back."""
        self._jumped_ms += by_ms

    def set_right(self) -> None:
        """Take the jumps back; a few seconds it may have been wrong from the beginning."""
        self._jumped_ms = 0

    def boot(self) -> None:
        """Begin anew: the monotonic clock starts near zero, as after every boot."""
        self._booted_us = self._world.now_us
        self._uptime_us = 20_000_000
