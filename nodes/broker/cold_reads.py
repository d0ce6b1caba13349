"""Bringing into the page cache what a read found missing there, so that the loop waits for no device.

Owns what is on its way, one extent at a time: the other thread of the disk pool is left for syncs.
The bytes are read again by whoever wanted them; what is brought here is the cache.
"""

from __future__ import annotations

from collections.abc import Callable

from nodes.broker.context import BrokerContext
from nodes.storage.log_reading import Extent
from transport.kernel import Now

PIECE_BYTES = 256 * 1024
BEYOND_BYTES = 256 * 1024
"""Read beyond the extent: where the next read begins to look."""

OnWarm = Callable[[Now], None]
Place = tuple[str, int]


class ColdReads:
    """Of one broker."""

    def __init__(self, context: BrokerContext) -> None:
        self._context = context
        self._waiting: dict[Place, tuple[Extent, list[OnWarm]]] = {}
        """The first is under way, if ``_reading``. One at most for each fetch and partition."""
        self._reading = False

    def warm(self, extent: Extent, then: OnWarm) -> None:
        """Have it read from the device; ``then``, whatever came of it."""
        place = extent.segment.path, extent.position
        self._waiting.setdefault(place, (extent, []))[1].append(then)
        self._begin()

    def _begin(self) -> None:
        if self._reading or not self._waiting:
            return
        place, (extent, _) = next(iter(self._waiting.items()))
        self._reading = True
        self._context.count("cold_reads")

        def done(result: BaseException | None, now: Now) -> None:
            # What has failed fails again for whoever reads it now, who knows what to do about that.
            self._reading = False
            for then in self._waiting.pop(place)[1]:
                then(now)
            self._begin()

        self._context.ports.pool.submit(lambda: self._read(place, extent.size_bytes), done)

    def _read(self, place: Place, size_bytes: int) -> None:
        path, position = place
        file = self._context.disk.open(path, create=False)
        try:
            end = min(position + size_bytes + BEYOND_BYTES, file.size_bytes())
            for start in range(position, end, PIECE_BYTES):
                file.read(start, min(PIECE_BYTES, end - start))
        finally:
            file.close()
