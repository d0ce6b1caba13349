"""The requests of one ZooKeeper connection that are not answered: waiting, then on their way to the lane.

Pure.  Owns the order, which is that in which they came, the numbers of the writes, which requests go
together as one request of the session's lane, and the bounds of all that.  It must not know what the
answers say, nor of the connection.

Writes that follow each other are one request, so that they share an entry of the log; small reads go
a few at a time; any other read goes alone, for whatever sets a watch is answered before anything is
applied that could set it off.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple, cast

from nodes.coordinator.zookeeper.handover import fence, is_of_another
from nodes.core.znode.operations import WRITES
from transport.gateway.zookeeper.requests import ClientRequest
from transport.wire.ids import RequestId
from transport.wire.messages.coordination import Exists, GetData, Operation, SessionOperation

WAITING_MAX = 1_000
"""Requests of one connection that are not sent on yet; then it is not read from."""
WAITING_BYTES_MAX = 4 * 1024 * 1024
"""The same in bytes, of frames that are not answered."""
READS_AT_ONCE = 8
"""Where data may be so large that an answer has no room for that many, fewer."""
_SMALL_READS = (GetData, Exists)


class Came(NamedTuple):
    """A request, as it has come."""

    request: ClientRequest
    size_bytes: int
    """Of its frame."""
    since_ns: int
    """By the clock of the listener's times."""


class Flight(NamedTuple):
    """Requests that are one request of the lane."""

    requests: Sequence[Came]
    """Empty: the fence."""
    writes: int


class Pipeline:
    """See the module."""

    __slots__ = (
        "_flights",
        "_next_write",
        "_reads_at_once",
        "_reads_in_flight",
        "_reads_max",
        "_sent",
        "_writes_max",
        "answered_id",
        "size_bytes",
        "waiting",
    )

    def __init__(self, writes_max: int, reads_max: int, reads_at_once: int = READS_AT_ONCE) -> None:
        """Take how many writes, and how many reads, may be on their way; and of these in one request."""
        self._writes_max = writes_max
        self._reads_max = reads_max
        self._reads_at_once = min(READS_AT_ONCE, reads_at_once)
        self._flights: deque[Flight] = deque()
        self._sent: dict[RequestId, Operation] = {}
        """Writes on their way, by number."""
        self._reads_in_flight = 0
        self._next_write = 1
        self.waiting: deque[Came] = deque()
        """Not sent on yet; to be read only."""
        self.answered_id = RequestId(0)
        """The number of the newest write that was answered."""
        self.size_bytes = 0
        """Of the frames that are not answered."""

    @property
    def outstanding(self) -> int:
        """How many requests are not answered."""
        return len(self.waiting) + sum(len(flight.requests) for flight in self._flights)

    @property
    def is_full(self) -> bool:
        """Nothing more is to be read."""
        return len(self.waiting) >= WAITING_MAX or self.size_bytes >= WAITING_BYTES_MAX

    @property
    def has_flights(self) -> bool:
        """Something is on its way."""
        return bool(self._flights)

    # From the client

    def take(self, came: Came) -> None:
        """Let a request wait for its turn."""
        self.waiting.append(came)
        self.size_bytes += came.size_bytes

    def take_out(self) -> Came:
        """Return the first that waits, which is answered without the lane."""
        came = self.waiting.popleft()
        self.size_bytes -= came.size_bytes
        return came

    def leave(self, rest: ClientRequest) -> None:
        """Let what is left of the first that waits be the first."""
        self.waiting[0] = self.waiting[0]._replace(request=rest)

    # To the lane

    def number_after(self, answered_id: RequestId) -> None:
        """Go on with the numbers of a session whose write of this one was applied last."""
        self.answered_id = answered_id
        self._next_write = answered_id + 1

    def send(self) -> tuple[SessionOperation, ...]:
        """Return what may go now, as one request, of the first that wait; nothing: they have to wait."""
        first = self.waiting[0].request
        is_write = type(first.body) in WRITES
        room = self._writes_max - len(self._sent)
        if not is_write:
            room = self._reads_max - self._reads_in_flight
        if type(first.body) in _SMALL_READS:
            room = min(room, self._reads_at_once)
        elif not is_write:
            room = min(room, 1)
        if room <= 0:
            return ()
        chosen = self._first_alike(first, room, is_write=is_write)
        for _ in chosen:
            self.waiting.popleft()
        operations = tuple(
            [
                self._numbered(cast("Operation", each.request.body), is_write=is_write)
                for each in chosen
            ]
        )
        self._begin(chosen, operations)
        return operations

    def _first_alike(self, first: ClientRequest, count: int, *, is_write: bool) -> list[Came]:
        """Return as many of those that wait as can be one request of the lane."""
        if not is_write and type(first.body) not in _SMALL_READS:
            return [self.waiting[0]]
        chosen = []
        for each in islice(self.waiting, count):
            kind = type(each.request.body)
            if not (kind in WRITES if is_write else kind in _SMALL_READS):
                break
            chosen.append(each)
        return chosen

    def _numbered(self, operation: Operation, *, is_write: bool) -> SessionOperation:
        number = RequestId(0)
        if is_write:
            number = RequestId(self._next_write)
            self._next_write += 1
        return SessionOperation(number, operation)

    def send_fence(self) -> tuple[SessionOperation, ...]:
        """Return what shuts out the writes of the session's last connection, as one request."""
        checks = fence(self.answered_id, self._writes_max)
        self._next_write = checks[-1].request_id + 1
        self._begin((), checks)
        return checks

    def _begin(self, requests: Sequence[Came], operations: tuple[SessionOperation, ...]) -> None:
        writes = {item.request_id: item.operation for item in operations if item.request_id}
        self._sent.update(writes)
        self._reads_in_flight += len(operations) - len(writes)
        self._flights.append(Flight(requests, len(writes)))

    # From the lane

    def land(self) -> Flight:
        """Take the first that are on their way for answered; return them."""
        flight = self._flights.popleft()
        for number in list(islice(self._sent, flight.writes)):
            del self._sent[number]
            self.answered_id = number
        if flight.requests:
            self._reads_in_flight -= len(flight.requests) - flight.writes
            self.size_bytes -= sum(came.size_bytes for came in flight.requests)
        return flight

    def are_of_another(self, operations: Sequence[SessionOperation], *, behind_fence: bool) -> bool:
        """Tell whether these writes of the session, which were applied, were not sent from here.

        ``behind_fence``: those of the last connection may be, up to the end of the fence.
        """
        if behind_fence:
            return operations[-1].request_id >= self._next_write and self.has_flights
        return is_of_another(operations, self._sent, self.answered_id)

    def check(self, *, fenced: bool) -> None:
        """Assert Z11, D6 of what waits, and that what is counted is what is there."""
        assert len(self.waiting) <= WAITING_MAX, "D6"
        assert len(self._sent) <= self._writes_max + fenced
        assert len(self._sent) == sum(flight.writes for flight in self._flights)
