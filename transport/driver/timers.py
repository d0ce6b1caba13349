"""Named moments of a program: call this back then. Pure; driven by ``fire``."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count

from transport.kernel import Now

Callback = Callable[[Now], None]


class Timers:
    """A heap of callbacks. Equal moments fire in the order they were set."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Timer]] = []
        self._order = count()

    def at(self, due_ms: int, callback: Callback) -> Timer:
        """Call ``callback`` once, in the first turn at or after monotonic ``due_ms``."""
        timer = Timer(callback)
        heapq.heappush(self._heap, (due_ms, next(self._order), timer))
        return timer

    def after(self, now: Now, delay_ms: int, callback: Callback) -> Timer:
        """Call ``callback`` once, ``delay_ms`` from now."""
        return self.at(now.mono_ms + delay_ms, callback)

    def fire(self, now: Now) -> None:
        """Call whatever is due; what it sets for now or earlier waits for the next turn."""
        due: list[Timer] = []
        while self._heap and self._heap[0][0] <= now.mono_ms:
            due.append(heapq.heappop(self._heap)[2])
        for timer in due:
            timer.run(now)

    def delay(self, gap_ms: int) -> None:
        """Put every moment off: the loop was away for so long, and judges others by these."""
        self._heap = [(due_ms + gap_ms, order, timer) for due_ms, order, timer in self._heap]

    def next_deadline_ms(self) -> int | None:
        """Return the moment of the next live timer."""
        while self._heap and self._heap[0][2].cancelled:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None


class Timer:
    """One set callback; ``cancel`` may be called at any time, also after it fired."""

    __slots__ = ("_callback",)

    def __init__(self, callback: Callback) -> None:
        self._callback: Callback | None = callback

    @property
    def cancelled(self) -> bool:
        """True once it was cancelled or has fired."""
        return self._callback is None

    def cancel(self) -> None:
        """Make sure that it never fires."""
        self._callback = None

    def run(self, now: Now) -> None:
        """Fire, unless cancelled. For :class:`Timers` only."""
        callback, self._callback = self._callback, None
        if callback is not None:
            callback(now)
