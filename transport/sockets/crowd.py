"""Who is connected to a bound socket: counted, and no more of them than there may be.

Past the descriptor limit libzmq would spin on ``accept``, and no log could be opened: refusing early is
the cure.  To unbind is none: that ends every connection the socket has, and tells of no end.
"""

from __future__ import annotations

import zmq

from transport.sockets.monitor import Change, Monitor
from transport.sockets.options import hang_up


class Crowd:
    """Those of one socket."""

    def __init__(self, watched: zmq.Socket[bytes], connections_max: int) -> None:
        self.monitor = Monitor(watched)
        self._connections_max = connections_max
        self._descriptors: set[int] = set()
        """Of those, too, that never say a word."""
        self.refused = 0
        """Those who came beyond the limit, and those for whom there was no descriptor."""

    def __len__(self) -> int:
        return len(self._descriptors)

    def watch(self) -> list[int]:
        """Count who has come and gone, hang up on whoever is too many; return who has gone."""
        beyond: list[int] = []
        gone: list[int] = []
        for change, descriptor in self.monitor.changes():
            if change is Change.ACCEPTED:
                self._descriptors.add(descriptor)
                if len(self._descriptors) > self._connections_max:
                    beyond.append(descriptor)
            elif change is Change.DOWN:
                self._descriptors.discard(descriptor)
                gone.append(descriptor)
            elif change is Change.REFUSED:
                self.refused += 1
        for descriptor in beyond:
            if descriptor in self._descriptors:
                self.refused += 1
                hang_up(descriptor)
        return gone
