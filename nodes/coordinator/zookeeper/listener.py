"""The listener for ZooKeeper's clients: all connections of this coordinator."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from nodes.coordinator.context import CoordinatorContext
from nodes.coordinator.lanes import Lanes
from nodes.coordinator.quorum import Quorum
from nodes.runtime.measures import Measure, gauge, listened
from nodes.runtime.strangers import Strangers, tls_files
from transport.driver.meter import Times
from transport.driver.ports import Origin, Stranger, StreamId
from transport.kernel import Now
from transport.wire.codec import Envelope
from transport.wire.ids import SessionId
from transport.wire.messages.coordination import ProposedWrite

if TYPE_CHECKING:  # they, and the tongue itself, come with the first connection
    from nodes.coordinator.zookeeper.connection import Connection

CONNECTIONS_MAX = 4_096
"""As of a door."""
SILENT_MAX_MS = 10_000
"""From the connection to its first request; ZooKeeper's nio.sessionlessCnxnTimeout."""
UNREAD_BYTES_MAX = 1024 * 1024
"""Of answers of one connection that have not left: then nothing more is begun before its client has read."""
UNREAD_AT_WORST = 16 * 1024 * 1024
"""The same, of one of which no more is read either: its client may read nothing before it has written all
that it is about to write, as kazoo, and one of the two has to give way."""
HELD_BYTES_MAX = 256 * 1024 * 1024
"""Of requests that are not whole, or not answered, of all connections together."""
ROOM_A_TURN = 256
"""Requests that are begun in a turn; one that looks at a thousand znodes counts as one more.  In a quarter
of a megabyte are ten thousand requests, and each may be to count all znodes."""
_logger = logging.getLogger("odradek.zookeeper")


class Listener:
    """A ``StreamHandler``. Its connections go on at the end of a turn, never within an answer."""

    def __init__(
        self,
        context: CoordinatorContext,
        strangers: Strangers,
        quorum: Quorum,
        lanes: Lanes,
        ask: Callable[[Origin, Envelope, Now], None],
    ) -> None:
        """``ask`` hands a request to the coordinator's dispatch."""
        self.context = context
        self.strangers = strangers
        self.quorum = quorum
        self.lanes = lanes
        self.ask = ask
        self._connections: dict[StreamId, Connection] = {}
        self._by_session: dict[SessionId, Connection] = {}
        """Who serves it last."""
        self._awake: dict[Connection, None] = {}
        self._held_back: dict[Connection, None] = {}
        """Those whose clients have to read first."""
        self._left: list[tuple[SessionId, Origin]] = []
        """Connections that have ended, to be told to their lanes."""
        self._silent: dict[Connection, int] = {}
        """They have asked for nothing yet -> until when they must; in that order."""
        self._gone_received = self._gone_answered = 0
        """By connections that have ended."""
        self.held_bytes = 0
        """What the connections hold."""
        self.room = ROOM_A_TURN
        """What may still be begun now; below zero: no more."""
        self.times = Times()

    def open(self) -> None:
        """Listen where the settings say. Raises ``PortInUse``, and ``TlsError``."""
        config = self.context.config
        self.context.ports.streams.listen(
            config.bound(config.endpoints().zookeeper),
            self,
            connections_max=CONNECTIONS_MAX,
            idle_max_ms=config.coordinator.session_timeout_max_ms,
            unsent_bytes_calm=UNREAD_AT_WORST,
            tls=tls_files(config),
        )

    def measures(self) -> tuple[Measure, ...]:
        """Return what ``/metrics`` tells, beside the counters."""
        connected = len(self._connections)
        held = gauge("zookeeper_held_bytes", "Of requests not answered.", self.held_bytes)
        return (
            gauge("zookeeper_clients", "Connected to the ZooKeeper listener.", connected),
            held,
            listened("zookeeper_request_seconds", self.times),
        )

    @property
    def connections(self) -> Iterable[Connection]:
        """All that are open."""
        return self._connections.values()

    @property
    def received(self) -> int:
        """How many requests have come since the start."""
        return self._gone_received + sum(each.received for each in self.connections)

    @property
    def answered(self) -> int:
        """Of those."""
        return self._gone_answered + sum(each.answered for each in self.connections)

    @staticmethod
    def is_unread(unsent_bytes: int, *, at_worst: bool) -> bool:
        """So much of what was answered has not left that its client has to read first."""
        return unsent_bytes > (UNREAD_AT_WORST if at_worst else UNREAD_BYTES_MAX)

    # A handler of streams

    def on_stream(self, stream: StreamId, stranger: Stranger, now: Now) -> None:
        """Somebody has connected."""
        from nodes.coordinator.zookeeper.connection import Connection

        self.context.count("zookeeper_connections")
        connection = self._connections[stream] = Connection(self, stream, stranger)
        self._silent[connection] = now.mono_ms + SILENT_MAX_MS

    def on_bytes(self, stream: StreamId, data: bytes, now: Now) -> None:
        """Bytes have come."""
        connection = self._connections.get(stream)
        if connection is not None:
            connection.on_bytes(data, now)

    def on_stream_end(self, stream: StreamId, now: Now) -> None:
        """A connection has ended by itself; its session lives until its time-out."""
        connection = self._connections.get(stream)
        if connection is not None:
            connection.close()

    # From the connections

    def has_spoken(self, connection: Connection) -> None:
        """It has asked for something."""
        self._silent.pop(connection, None)

    def serves(self, connection: Connection) -> None:
        """A session is served by this connection from now on, and by no earlier one."""
        before = self._by_session.get(connection.session_id)
        self._by_session[connection.session_id] = connection
        if before is not None:
            before.close()

    def keep_to_budget(self) -> None:
        """End whoever holds most while more is held for all together than may be: not who came last."""
        while self.held_bytes > HELD_BYTES_MAX:
            heaviest = max(self.connections, key=lambda one: one.held_bytes)
            self.context.count("zookeeper_connections_over_budget")
            self.note(f"{heaviest.address} holds most, and all clients together too much")
            heaviest.close()

    def wake(self, connection: Connection) -> None:
        """It may be able to go on: at the end of the turn."""
        self._awake[connection] = None

    def hold_back(self, connection: Connection) -> None:
        """It can go on once its client has read."""
        self._held_back[connection] = None

    def has_closed(self, stream: StreamId, connection: Connection, origin: Origin) -> None:
        """It has ended."""
        self._connections.pop(stream, None)
        self._awake.pop(connection, None)
        self._held_back.pop(connection, None)
        self._silent.pop(connection, None)
        self._gone_received += connection.received
        self._gone_answered += connection.answered
        session_id = connection.session_id
        if session_id:
            self._left.append((session_id, origin))
            if self._by_session.get(session_id) is connection:
                del self._by_session[session_id]

    def note(self, text: str) -> None:
        """Write to the node's log what an operator may ask about."""
        _logger.info("%s", text)

    # In the turn

    def on_applied(self, write: ProposedWrite) -> None:
        """Writes of a session are applied, and none of it is answered yet."""
        connection = self._by_session.get(write.session_id)
        if connection is not None and write.operations:
            connection.on_applied(write)

    def ended(self, session_id: SessionId) -> None:
        """A session has ended, and whoever waited was told: so does its connection."""
        connection = self._by_session.get(session_id)
        if connection is not None:
            connection.close()

    def on_gap(self, gap_ms: int) -> None:
        """This loop was away for so long."""
        self._silent = {one: due_ms + gap_ms for one, due_ms in self._silent.items()}

    def end_turn(self, now: Now) -> None:
        """Go on with whatever can; take leave of the lanes of those that have ended."""
        for connection in [one for one, due_ms in self._silent.items() if due_ms <= now.mono_ms]:
            self.context.count("zookeeper_connections_silent")
            connection.close()
        if self.context.stopping:
            for connection in list(self._connections.values()):
                connection.close()
        while self._left:
            self.lanes.leave(*self._left.pop())
        self._go_on(now)

    def _go_on(self, now: Now) -> None:
        """Give their turn to those that can go on; who finds no room is the first in the next one."""
        for connection in self._that_were_read():
            del self._held_back[connection]
            self._awake[connection] = None
        awake, self._awake = self._awake, {}
        self.room = ROOM_A_TURN
        left: dict[Connection, None] = {}
        for connection in awake:
            if self.room > 0:
                connection.take_over(now)
                connection.go_on(now)
            else:
                left[connection] = None
        self._awake = {**left, **self._awake}
        self.room = ROOM_A_TURN

    def _that_were_read(self) -> list[Connection]:
        return [connection for connection in self._held_back if not connection.is_unread]

    def next_deadline_ms(self) -> int | None:
        """Return when this wants a turn: at once while somebody can go on."""
        if self._awake or self._left or self._that_were_read():
            return 0
        return next(iter(self._silent.values()), None)

    def check(self) -> None:
        """Assert Z11: every session has one connection at most, an open one, with few enough writes."""
        open_ones = set(self._connections.values())
        for connection in open_ones:
            connection.check()
        for session_id, connection in self._by_session.items():
            assert connection in open_ones
            assert connection.session_id == session_id
        held = sum(connection.held_bytes for connection in open_ones)
        assert held == self.held_bytes, "every byte held is counted once"
        assert open_ones.issuperset(self._silent)
        assert open_ones.issuperset(self._held_back)
