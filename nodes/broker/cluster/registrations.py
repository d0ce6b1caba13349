"""Who is registered under ``/brokers/ids``: read by the controller, again at each change.

Owns the watch on the list.  Says the whole list each time, never what has changed in it: the
controller's core compares it with the image when it decides.
"""

from __future__ import annotations

from collections.abc import Callable

from nodes.broker.cluster import znodes
from nodes.broker.cluster.scripts import Script, Session, in_batches, play
from nodes.broker.context import BrokerContext
from odradek.coordination.watches import CHILDREN
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.ids import BrokerEpoch, NodeId
from transport.wire.messages import Refusal
from transport.wire.messages.coordination import GetChildren, GetData, Result, WatchEvent
from transport.wire.messages.metadata import BrokerRecord

OnLive = Callable[[tuple[BrokerRecord, ...], Now], None]

READ_AGAIN_MS = 500
"""After a read that was refused; a lost session has stopped this by then."""


class Registrations:
    """Follows the list from ``start`` to ``stop``."""

    def __init__(self, context: BrokerContext, session: Session, on_live: OnLive) -> None:
        self._context = context
        self._session = session
        self._on_live = on_live
        self._reading = False
        self._changed = False
        self._stopped = False

    def start(self, now: Now) -> None:
        """Read the list, and go on hearing of it."""
        self._read(now)

    def stop(self) -> None:
        """Say nothing any more."""
        self._stopped = True

    def _read(self, now: Now) -> None:
        self._reading, self._changed = True, False
        play(self._session, self._script(), self._on_read, now)

    def _script(self) -> Script[list[tuple[str, Result]] | None]:
        self._session.watch(znodes.BROKER_IDS, CHILDREN, self._on_event)
        (listed,) = yield [GetChildren(znodes.BROKER_IDS, watch=True)]
        if listed.error != ErrorCode.NONE:
            return None
        reads = [GetData(f"{znodes.BROKER_IDS}/{name}") for name in listed.children]
        found = yield from in_batches(reads)
        return list(zip(listed.children, found, strict=True))

    def _on_event(self, _event: WatchEvent, now: Now) -> None:
        if self._reading:
            self._changed = True
        elif not self._stopped:
            self._read(now)

    def _on_read(self, found: list[tuple[str, Result]] | Refusal | None, now: Now) -> None:
        self._reading = False
        if self._stopped:
            return
        if found is None or isinstance(found, Refusal):
            self._context.timers.after(now, READ_AGAIN_MS, self._read_again)
            return
        self._on_live(tuple(self._records(found)), now)
        if self._changed and not self._stopped:
            self._read(now)

    def _read_again(self, now: Now) -> None:
        if not self._stopped and not self._reading:
            self._read(now)

    def _records(self, found: list[tuple[str, Result]]) -> list[BrokerRecord]:
        records: list[BrokerRecord] = []
        for name, result in found:
            if result.error != ErrorCode.NONE or result.stat is None:
                continue  # gone again since the list was read; the watch tells of it
            epoch = BrokerEpoch(result.stat.czxid)
            try:
                records.append(znodes.broker_record(NodeId(int(name)), epoch, result.data))
            except (znodes.UnreadableZnode, ValueError):
                self._context.count("unreadable_registrations")
        return records
