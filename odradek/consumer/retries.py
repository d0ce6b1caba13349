"""Partitions that are asked for again: after what pause, and what an error means for one.

Acts on the flags of the error table and on no code of its own choice.  It must not know what is
asked.
"""

from __future__ import annotations

from odradek.cluster.metadata import ClusterView
from odradek.consumer.subscription import Assigned
from odradek.errors import error_for
from transport.driver.ports import Ports
from transport.kernel import Now
from transport.wire.errors import meaning
from transport.wire.ids import NO_NODE

RETRY_MIN_MS = 20
RETRY_MAX_MS = 500
NEAREST_PAUSE_MS = 5_000
"""After a near replica has failed, the leader itself is read from for so long."""


class Retries:
    """The pauses of one consumer's partitions."""

    def __init__(self, view: ClusterView) -> None:
        self._view = view
        self._ports: Ports | None = None

    def attach(self, ports: Ports) -> None:
        """Take the ports, once the program has them."""
        self._ports = ports

    def retry(self, one: Assigned, code: int, now: Now, text: str = "") -> None:
        """Ask again after a pause, if that can help; else the partition has failed."""
        if one.nearest != NO_NODE:
            leave_nearest(one, now)
        meant = meaning(code)
        if not meant.retriable:
            one.fail(error_for(code, f"{one.key}: {text or meant.text}"))
            return
        if meant.refresh_metadata:
            self._view.refresh_later(now)
        self.pause(one, now)

    def pause(self, one: Assigned, now: Now) -> None:
        """Ask nothing for a while, longer each time until something has come."""
        assert self._ports is not None
        pause_ms = min(RETRY_MAX_MS, RETRY_MIN_MS << min(one.tries, 10))
        one.tries += 1
        one.retry_at_ms = now.mono_ms + self._ports.random.randint(pause_ms // 2, pause_ms)


def leave_nearest(one: Assigned, now: Now) -> None:
    """Read from the leader for a while: the near replica is of no use at present."""
    one.nearest, one.nearest_until_ms = NO_NODE, now.mono_ms + NEAREST_PAUSE_MS
