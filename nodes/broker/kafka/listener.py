"""Every connection of Kafka's clients, and what they ask together.

Owns no decision about a request: those are the handlers', asked through the broker's own dispatch under
an origin for each connection.  What speaks the protocol is imported when the first client connects.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from nodes.broker.context import BrokerContext
from nodes.core.acls import Demand
from nodes.runtime.measures import Measure, gauge, listened
from nodes.runtime.strangers import Strangers, tls_files
from transport.driver.meter import Times
from transport.driver.ports import Origin, Stranger, StreamId
from transport.kernel import Now
from transport.wire.codec import Envelope

if TYPE_CHECKING:
    from nodes.broker.kafka.connection import Connection
    from nodes.broker.kafka.doorkeeper import Doorkeeper

CONNECTIONS_MAX = 4_096
IDLE_MAX_MS = 600_000
"""As Kafka's connections.max.idle.ms."""
HELD_BYTES_MAX = 256 * 1024 * 1024
"""Of requests that are not yet whole, or not answered, of all connections together; but for the records of
those that are begun, which are in a log, or bounded where they wait for it."""
ROOM_A_TURN = 64
"""Requests of all connections that are begun in a turn, when they come; and again at its end, those that had
to wait. In a quarter of a megabyte are ten thousand, and each may be about all the cluster's topics."""

Ask = Callable[[Origin, Envelope, Now], None]
"""Hands a request to the broker's dispatch."""
Allows = Callable[[Origin, Demand], bool]
"""Tells whether somebody may do that."""


class KafkaListener:
    """Takes connections at an endpoint, from ``start`` on."""

    def __init__(
        self,
        context: BrokerContext,
        strangers: Strangers,
        ask: Ask,
        doorkeeper: Doorkeeper | None = None,
        allows: Allows = lambda _origin, _demand: True,
    ) -> None:
        """``doorkeeper`` None: nobody is asked for a password."""
        self.context = context
        self.doorkeeper = doorkeeper
        self.allows = allows
        self.strangers = strangers
        self._ask = ask
        self._connections: dict[StreamId, Connection] = {}
        self._questions: deque[tuple[Origin, Envelope]] = deque()
        """To be asked when there is a time to ask them at: an answer brings none."""
        self._held_up: dict[Connection, None] = {}
        """They have requests that may begin now."""
        self.held_bytes = 0
        """What the connections hold of requests that are not answered."""
        self.room = ROOM_A_TURN
        """What may still be begun now; below zero: no more."""
        self.times = Times()

    def start(self, endpoint: str) -> None:
        """Listen; raises ``PortInUse``, and ``TlsError``."""
        self.context.ports.streams.listen(
            endpoint,
            self,
            connections_max=CONNECTIONS_MAX,
            idle_max_ms=IDLE_MAX_MS,
            tls=tls_files(self.context.config),
        )

    def measures(self) -> tuple[Measure, ...]:
        """Return what ``/metrics`` tells, beside the counters."""
        connected = gauge("kafka_clients", "Connected to the Kafka listener.", self.client_count)
        held = gauge("kafka_held_bytes", "Of requests not answered.", self.held_bytes)
        return connected, held, listened("kafka_request_seconds", self.times)

    @property
    def client_count(self) -> int:
        """How many clients are connected."""
        return len(self._connections)

    # The stream port's calls

    def on_stream(self, stream: StreamId, stranger: Stranger, now: Now) -> None:
        """Somebody has connected."""
        from nodes.broker.kafka.connection import Connection

        self.context.count("kafka_connections")
        connection = self._connections[stream] = Connection(self, stream, stranger)
        if self.doorkeeper is not None:
            self.doorkeeper.await_proof(connection, now)

    def on_bytes(self, stream: StreamId, data: bytes, now: Now) -> None:
        """Take a piece of a connection's requests."""
        connection = self._connections.get(stream)
        if connection is not None:
            connection.on_bytes(data, now)
            self._ask_all(now)

    def on_stream_end(self, stream: StreamId, now: Now) -> None:
        """A client has gone; what it asked for goes on, and is answered to nobody."""
        connection = self._connections.pop(stream, None)
        if connection is not None:
            self._forget(connection)

    # The connections' calls

    def ask(self, origin: Origin, envelope: Envelope) -> None:
        """Have a question asked; its answer comes back to the origin."""
        self._questions.append((origin, envelope))

    def keep_to_budget(self) -> None:
        """End whoever holds most while more is held for all together than may be: not who came last."""
        while self.held_bytes > HELD_BYTES_MAX:
            heaviest = max(self._connections.values(), key=lambda one: one.held_bytes)
            text = "it holds most, and too much is held for all clients together"
            heaviest.end("kafka_connections_over_budget", text)

    def hold_up(self, connection: Connection) -> None:
        """Let a connection go on with its requests at the next turn."""
        self._held_up[connection] = None

    def close(self, connection: Connection) -> None:
        """End a connection, once what was sent has left."""
        if self._connections.pop(connection.stream, None) is not None:
            self._forget(connection)
            self.context.ports.streams.close(connection.stream)

    def _forget(self, connection: Connection) -> None:
        connection.forget()
        self._held_up.pop(connection, None)
        if self.doorkeeper is not None:
            self.doorkeeper.forget(connection)

    # Turns

    def on_gap(self, gap_ms: int) -> None:
        """This loop was away for so long."""
        if self.doorkeeper is not None:
            self.doorkeeper.on_gap(gap_ms)

    def end_turn(self, now: Now) -> None:
        """Go on with what answers have made room for; who finds none is the first in the next turn."""
        held_up, self._held_up = self._held_up, {}
        self.room = ROOM_A_TURN
        left: dict[Connection, None] = {}
        for connection in held_up:
            if self.room > 0:
                connection.go_on(now)
                self.keep_to_budget()  # what is begun takes more than what waits
                self._ask_all(now)  # what that costs counts before the next one begins
            elif connection.is_open:
                left[connection] = None
        self._held_up = {**left, **self._held_up}
        self._ask_all(now)
        self.room = ROOM_A_TURN
        if self.doorkeeper is not None:
            self.doorkeeper.end_turn(now)

    def _ask_all(self, now: Now) -> None:
        while self._questions:
            self._ask(*self._questions.popleft(), now)

    def next_deadline_ms(self) -> int | None:
        """Return when this wants a turn."""
        if self._questions or self._held_up:
            return 0
        return None if self.doorkeeper is None else self.doorkeeper.next_deadline_ms()

    def check(self) -> None:
        """Assert D3 of each connection, and D9: what is held is counted."""
        for connection in self._connections.values():
            connection.check()
        held = sum(connection.held_bytes for connection in self._connections.values())
        assert held == self.held_bytes, "every byte held is counted once"
        if self.doorkeeper is not None:
            self.doorkeeper.check(self._connections.values())
