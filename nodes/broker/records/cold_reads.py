"""Bringing what a read found missing into the page cache, so that the loop waits for no device.

Owns what is on its way, one extent at a time: the other thread of the disk pool is left for syncs.
While something is written here, consumers of old records leave the processors to that: in memory or
not, they get so many bytes a second, and as many again as keep a few of them in step with what is
written.  Followers are not held back.  The bytes are read again by whoever wanted them; what is
brought here is the cache.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

from nodes.broker.context import BrokerContext
from nodes.storage.log_reading import Extent
from transport.kernel import Now

PIECE_BYTES = 256 * 1024
BEYOND_BYTES = 8 * 1024
"""Read beyond the extent: where the next read begins to look."""
BROUGHT_MAX = 1_000
IN_STEP = 4
"""So many consumers that are behind get as much as is written, beyond the rate."""
PAUSE_MAX_MS = 20
"""Then it is looked at anew how much was written meanwhile."""
LATELY_MS = 100
"""So long after an append more of them are expected."""

OnWarm = Callable[[Now], None]
Place = tuple[str, int]
_Queue = dict[Place, tuple[Extent, dict[object, OnWarm]]]
"""With who waits for it. The first is under way, or the next."""


class ColdReads:
    """Of one broker."""

    def __init__(self, context: BrokerContext) -> None:
        self._context = context
        self._waiting: tuple[_Queue, _Queue] = {}, {}
        """Of followers, and of consumers. One extent at most for each fetch and partition."""
        self._reading = False
        self._paused = False
        self._owed_bytes = 0
        """Given to consumers ahead of their time."""
        self._paid_ms = 0
        self._appended_bytes = 0
        self._brought: dict[Place, None] = {}
        """What nobody has come for yet: who ordered it was answered with something else meanwhile,
        and asks again. The oldest first."""

    def is_free(self, now: Now) -> bool:
        """Tell whether consumers may take what is in memory out of their turn: nobody writes."""
        return now.mono_ms - self._context.appended_ms > LATELY_MS

    def take(self, extent: Extent) -> bool:
        """Tell whether this was brought; once."""
        place = _place_of(extent)
        if place not in self._brought:
            return False
        del self._brought[place]
        return True

    def order(
        self, extent: Extent, who: object, then: OnWarm, now: Now, *, by_follower: bool
    ) -> None:
        """Have it read from the device; ``then``, whatever came of it, once for each ``who``: whose
        partition is written to looks again and again meanwhile."""
        queue = self._waiting[0 if by_follower else 1]
        queue.setdefault(_place_of(extent), (extent, {}))[1][who] = then
        self._begin(now)

    def _begin(self, now: Now) -> None:
        followers, consumers = self._waiting
        if self._reading or not (followers or (consumers and not self._must_pause(now))):
            return
        queue = followers or consumers
        place, (extent, thens) = next(iter(queue.items()))
        if queue is consumers:
            self._owed_bytes += extent.size_bytes
        self._reading = True
        self._context.count("cold_reads")

        def done(result: BaseException | None, now: Now) -> None:
            # What has failed fails again for whoever reads it now, who knows what to do about that.
            self._reading = False
            self._brought[place] = None
            if len(self._brought) > BROUGHT_MAX:
                del self._brought[next(iter(self._brought))]
            del queue[place]
            for then in thens.values():
                then(now)
            self._begin(now)

        self._context.ports.pool.submit(lambda: self._read(place, extent.size_bytes), done)

    def _pay(self, now: Now) -> None:
        """Let go of what time and what was written have made up for."""
        byte_rate = self._context.config.broker.cold_read_byte_rate
        passed_ms, self._paid_ms = now.mono_ms - self._paid_ms, now.mono_ms
        written_bytes = self._context.appended_bytes - self._appended_bytes
        self._appended_bytes += written_bytes
        paid_bytes = byte_rate * passed_ms // 1_000 + IN_STEP * written_bytes
        self._owed_bytes = max(0, self._owed_bytes - paid_bytes)

    def _must_pause(self, now: Now) -> bool:
        self._pay(now)
        if self._paused or not self._owed_bytes or self.is_free(now):
            return self._paused
        byte_rate = self._context.config.broker.cold_read_byte_rate
        wait_ms = min(PAUSE_MAX_MS, ceil(1_000 * self._owed_bytes / byte_rate))

        def go_on(now: Now) -> None:
            self._paused = False
            self._begin(now)

        self._paused = True
        self._context.timers.after(now, wait_ms, go_on)
        return True

    def _read(self, place: Place, size_bytes: int) -> None:
        path, position = place
        file = self._context.disk.open(path, create=False)
        try:
            end = min(position + size_bytes + BEYOND_BYTES, file.size_bytes())
            for start in range(position, end, PIECE_BYTES):
                file.read(start, min(PIECE_BYTES, end - start))
        finally:
            file.close()


def _place_of(extent: Extent) -> Place:
    return extent.segment.path, extent.position
