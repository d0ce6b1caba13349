"""One connection of a ZooKeeper client: requests in the order they came, answers in the same order.

Owns the stream, how far its session is opened or taken over, and what the client is told.  What it
asks for goes to its session's lane as the ``Pipeline`` puts it together; requests that no lane knows
wait until all before them are answered, and are answered here.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING

from nodes.coordinator.rewatching import set_watches
from nodes.coordinator.zookeeper.handover import writes_in_flight_max
from nodes.coordinator.zookeeper.pipeline import Came, Pipeline
from nodes.coordinator.zookeeper.words import answer_word
from transport.driver.ports import Stranger, StreamId
from transport.gateway.zookeeper.answers import (
    encode_connected,
    encode_error,
    encode_event,
    encode_expired,
    encode_identities,
    encode_result,
)
from transport.gateway.zookeeper.frames import Frames
from transport.gateway.zookeeper.jute import MalformedJute
from transport.gateway.zookeeper.requests import (
    PING_XID,
    CheckWatches,
    ClientRequest,
    ConnectRequest,
    Ping,
    SetWatches,
    Unoffered,
    WhoAmI,
    decode_connect,
    decode_request,
)
from transport.kernel import Now
from transport.wire.codec import Envelope, Kind
from transport.wire.errors import ErrorCode
from transport.wire.ids import RequestId, SessionId, Zxid
from transport.wire.messages import Message
from transport.wire.messages.coordination import (
    AddAuth,
    CloseSession,
    OpenSessionRequest,
    OpenSessionResponse,
    OperateRequest,
    OperateResponse,
    PingSessionRequest,
    PingSessionResponse,
    ProposedWrite,
    Result,
    SessionOperation,
    WatchEvent,
)

if TYPE_CHECKING:
    from nodes.coordinator.zookeeper.listener import Listener

FRAME_SLACK_BYTES = 64 * 1024
"""A frame above the data limit is answered, so that its client learns why; above this it is not."""
FIRST_FRAME_BYTES_MAX = 1_024
"""A ConnectRequest has 45 bytes; nobody needs room for more who has asked for nothing yet."""
READS_IN_FLIGHT_MAX = 32
READS_IN_FLIGHT_BYTES = 32 * 1024 * 1024
"""With data at their limit: all behind a write may be answered in one turn, and nobody may have twice as much
unsent."""
ZNODES_AS_A_REQUEST = 1_000
"""To look at so many takes as long as a request, or longer."""
WATCHES_AT_ONCE = 1_000
WATCHES_AS_REQUESTS = 64
"""To set so many anew takes as long as so many requests."""
EVENTS_AS_A_REQUEST = 16
"""To tell what they missed takes as long: of a recursive watch that may be all znodes that there are."""


class State(Enum):
    """How far a connection has come."""

    FRESH = "fresh"
    """Nothing was asked for."""
    OPENING = "opening"
    TAKING_OVER = "taking over"
    """The session is attached; what its last connection has sent is being shut out."""
    SERVED = "served"
    CLOSED = "closed"


class Connection:
    """One stream, and the session it asks for."""

    def __init__(self, listener: Listener, stream: StreamId, stranger: Stranger) -> None:
        self._listener = listener
        self._context = listener.context
        self._stream = stream
        self._origin = listener.strangers.admit(stranger, self._on_reply)
        limits = self._context.config.coordinator
        self._frames = Frames(FIRST_FRAME_BYTES_MAX)
        outstanding_max = limits.outstanding_operations_max
        in_flight = min(outstanding_max // 2, READS_IN_FLIGHT_BYTES // limits.data_bytes_max)
        self._pipeline = Pipeline(
            writes_in_flight_max(outstanding_max),
            min(READS_IN_FLIGHT_MAX, max(1, in_flight)),
            max(1, limits.answer_bytes_max // limits.data_bytes_max),
        )
        self._asked: ConnectRequest | None = None
        self._correlation = 0
        self._paused = False
        self._is_behind = False
        """Frames of its were left for the next turn, which has room for them."""
        self._opened = OpenSessionResponse(0)
        self.address = stranger.address
        self.state = State.FRESH
        self.session_id = SessionId(0)
        self.identities = self._context.identities.of_connection(self._origin)
        self.received = 0
        """Requests."""
        self.answered = 0
        """Of those; both for people."""
        self.held_bytes = 0
        """Of frames that are not whole, or not answered."""

    @property
    def outstanding(self) -> int:
        """How many requests are not answered."""
        return self._pipeline.outstanding

    @property
    def is_unread(self) -> bool:
        """So much of what was answered has not left that its client has to read first."""
        unsent_bytes = self._context.ports.streams.unsent_bytes(self._stream)
        return self._listener.is_unread(unsent_bytes, at_worst=self._pipeline.is_full)

    # From the stream, and at the end of a turn

    def on_bytes(self, data: bytes, now: Now) -> None:
        """Take what has come."""
        self._frames.feed(data)
        if self.state is State.FRESH:
            word = self._frames.word()
            if word:
                self._send(answer_word(self._listener, word, now))
                self.close()
                return
        self.go_on(now)

    def go_on(self, now: Now) -> None:
        """Do what can be done of what has come."""
        try:
            self._take_frames(now)
            waiting = self._pipeline.waiting
            while waiting and self.state is State.SERVED:
                if self._listener.room <= 0:
                    self._listener.wake(self)
                    break
                if self.is_unread:
                    self._listener.hold_back(self)
                    break
                if not self._forward(waiting[0], now):
                    break
                self._listener.room -= 1
                self._take_frames(now)
        except MalformedJute as error:
            self._context.count("zookeeper_malformed")
            self._listener.note(f"{self.address} is no client of ZooKeeper's: {error}")
            self.close()
        if self.state is not State.CLOSED:
            self._throttle()
            self._count_held()
            self._listener.keep_to_budget()

    def _take_frames(self, now: Now) -> None:
        while self.state in (State.FRESH, State.SERVED) and not self._pipeline.is_full:
            self._is_behind = self._listener.room <= 0 and self._frames.held_bytes > 0
            if self._is_behind:
                self._listener.wake(self)
                return
            frame = self._frames.next()
            if frame is None:
                return
            if self.state is State.FRESH:
                self._open(decode_connect(frame), now)
                continue
            self.received += 1
            request = decode_request(frame)
            if type(request.body) is Ping:
                self._listener.room -= 1
                self._ask(PingSessionRequest(self.session_id), now)
            else:
                since_ns = self._listener.times.now_ns()
                self._pipeline.take(Came(request, len(frame), since_ns))

    def _count_held(self) -> None:
        held = 0
        if self.state is not State.CLOSED:
            held = self._pipeline.size_bytes + self._frames.held_bytes
        self._listener.held_bytes += held - self.held_bytes
        self.held_bytes = held

    def _throttle(self) -> None:
        """Read from it only while there is room for what comes, and somebody to whom it can go."""
        opens = self.state in (State.OPENING, State.TAKING_OVER)
        waits = opens or self._is_behind or self._pipeline.is_full
        if waits is not self._paused:
            self._paused = waits
            streams = self._context.ports.streams
            (streams.pause if waits else streams.resume)(self._stream)

    # The session

    def _open(self, asked: ConnectRequest, now: Now) -> None:
        self._asked = asked
        self.state = State.OPENING
        self._listener.has_spoken(self)
        limits = self._context.config.coordinator
        self._frames.bytes_max = limits.data_bytes_max + FRAME_SLACK_BYTES
        self._ask(
            OpenSessionRequest(
                max(0, asked.timeout_ms),
                SessionId(asked.session_id),
                asked.password,
                Zxid(asked.last_zxid),
                read_only=asked.read_only,
            ),
            now,
        )

    def _on_opened(self, answer: OpenSessionResponse) -> bool:
        asked = self._asked
        assert asked is not None, "an answer to no question"
        if answer.error == ErrorCode.SESSION_EXPIRED:
            self._send(encode_expired(read_only=False if asked.knows_read_only else None))
        if answer.error:
            return self.close()
        self._opened = answer
        self.session_id = answer.session_id
        self._pipeline.number_after(RequestId(answer.last_request_id))
        self._listener.serves(self)
        self._listener.wake(self)
        if answer.read_only or not asked.session_id:
            return self._serve()
        self.state = State.TAKING_OVER
        return True

    def _serve(self) -> bool:
        """Tell the client that its session is served here."""
        asked, opened = self._asked, self._opened
        assert asked is not None, "served before it was asked for"
        self.state = State.SERVED
        read_only = opened.read_only if asked.knows_read_only else None
        return self._send(
            encode_connected(
                opened.timeout_ms, opened.session_id, opened.password, read_only=read_only
            )
        )

    def take_over(self, now: Now) -> None:
        """Shut out what the session's last connection may have sent; then it is served."""
        if self.state is State.TAKING_OVER and not self._pipeline.has_flights:
            self._operate(self._pipeline.send_fence(), now)

    def on_applied(self, write: ProposedWrite) -> None:
        """Writes of this session were applied; if others have sent them, it is served elsewhere now."""
        behind_fence = self.state is State.TAKING_OVER
        if self._pipeline.are_of_another(write.operations, behind_fence=behind_fence):
            self._context.count("zookeeper_sessions_moved")
            self.close()

    # Requests on their way

    def _forward(self, first: Came, now: Now) -> bool:
        """Send on or answer what is first. False: it has to wait."""
        local = _LOCAL.get(type(first.request.body))
        if local is None:
            operations = self._pipeline.send()
            if operations:
                self._operate(operations, now)
            return bool(operations)
        if self._pipeline.has_flights:
            return False
        asked = first.request.body
        if isinstance(asked, SetWatches):
            some, rest = asked.part(WATCHES_AT_ONCE)
            self._listener.room -= WATCHES_AS_REQUESTS
            if rest is not None:
                self._pipeline.leave(first.request._replace(body=rest))
                self._has_set_watches(some)
                return True
        self._pipeline.take_out()
        local(self, first.request)
        self._took(first)
        return True

    def _operate(self, operations: tuple[SessionOperation, ...], now: Now) -> None:
        first_unanswered = RequestId(self._pipeline.answered_id + 1)
        self._ask(OperateRequest(self.session_id, first_unanswered, operations), now)

    def _ask(self, body: Message, now: Now) -> None:
        self._correlation += 1
        envelope = Envelope(Kind.REQUEST, body, correlation_id=self._correlation)
        self._listener.ask(self._origin, envelope, now)

    # Answers

    def _on_reply(self, envelope: Envelope) -> bool:
        """Take what the coordinator answers or tells; False: this connection takes nothing more."""
        if self.state is State.CLOSED:
            return False
        body = envelope.body
        if isinstance(body, WatchEvent):
            return self._send(encode_event(body))
        if isinstance(body, OperateResponse) and not body.error:
            if self._pipeline.waiting or self._paused:
                self._listener.wake(self)
            return self._on_results(body)
        if isinstance(body, PingSessionResponse) and not body.error:
            self.answered += 1
            return self._send(encode_error(PING_XID, body.zxid, 0))
        if isinstance(body, OpenSessionResponse):
            return self._on_opened(body)
        return (
            self.close()
        )  # moved, expired or refused as a whole: it finds out where it connects next

    def _on_results(self, body: OperateResponse) -> bool:
        flight = self._pipeline.land()
        if not flight.requests:
            return self._serve()
        written = []
        ends = False
        for came, result in zip(flight.requests, body.results, strict=True):
            request = came.request
            self._took(came)
            self._listener.room -= _looked_at(result) // ZNODES_AS_A_REQUEST
            closes = type(request.body) is CloseSession
            if result.error == ErrorCode.SESSION_EXPIRED and not closes:
                ends = True
                break
            written.append(encode_result(request, result))
            ends = ends or closes or self._has_failed_proof(request, result)
        self.answered += len(written)
        self._count_held()
        return self._send(*written) and not (ends and not self.close())

    def _took(self, came: Came) -> None:
        self._listener.times.took(type(came.request.body).__name__, came.since_ns)

    def _has_failed_proof(self, request: ClientRequest, result: Result) -> bool:
        """Note whom a client has proved to be; who has proved nothing is sent away, as ZooKeeper does."""
        if not isinstance(request.body, AddAuth):
            return False
        self.identities = self._context.identities.added(self.identities, (request.body,))
        return bool(result.error)

    def _send(self, *frames: bytes) -> bool:
        if not frames or self._context.ports.streams.send(self._stream, frames):
            return True
        return self.close()

    def close(self) -> bool:
        """End the connection, once what was answered has left. Returns False: nothing more is taken."""
        if self.state is not State.CLOSED:
            self.state = State.CLOSED
            self._count_held()
            self._context.ports.streams.close(self._stream)
            self._listener.strangers.dismiss(self._origin)
            self._listener.has_closed(self._stream, self, self._origin)
        return False

    def check(self) -> None:
        """Assert Z11, and that what is counted is what is there."""
        self._pipeline.check(fenced=self.state is State.TAKING_OVER)
        assert not self._pipeline.waiting or self.state is not State.FRESH

    # Requests of no lane

    def _set_watches(self, request: ClientRequest) -> None:
        asked = request.body
        assert isinstance(asked, SetWatches)
        if self._has_set_watches(asked):
            self._say(request, ErrorCode.NONE)

    def _has_set_watches(self, asked: SetWatches) -> bool:
        """Set these, and tell what they have missed. False: the connection has ended for it."""
        if self._opened.read_only:
            return True  # without a quorum nothing changes
        if not self._listener.lanes.serves(self.session_id):
            return self.close()
        seen = Zxid(asked.seen_zxid)
        missed = set_watches(self._context, self.session_id, asked.watches, seen)
        if missed is None:
            self._listener.note(f"{self.address}: no room for all the watches that it had")
            return self.close()
        self._listener.room -= len(missed) // EVENTS_AS_A_REQUEST
        for event, change in missed.items():
            self._listener.lanes.tell((event,), change)
        return True

    def _check_watches(self, request: ClientRequest) -> None:
        asked = request.body
        assert isinstance(asked, CheckWatches)
        if not asked.kind:
            self._say(request, ErrorCode.BAD_ARGUMENTS)
            return
        found = self._context.watches.has(self.session_id, asked.kind, asked.path)
        self._say(request, ErrorCode.NONE if found else ErrorCode.NO_WATCHER)

    def _who_am_i(self, request: ClientRequest) -> None:
        self.answered += 1
        self._send(encode_identities(request.xid, self._context.core.zxid, self.identities))

    def _not_offered(self, request: ClientRequest) -> None:
        assert isinstance(request.body, Unoffered)
        self._say(request, request.body.error)

    def _say(self, request: ClientRequest, error: int) -> None:
        self.answered += 1
        self._send(encode_error(request.xid, self._context.core.zxid, int(error)))


def _looked_at(result: Result) -> int:
    """Return how many znodes were looked at for a result, beside those that it is about."""
    return result.count + len(result.children) + sum(map(_looked_at, result.results))


_LOCAL: dict[type, Callable[[Connection, ClientRequest], None]] = {
    SetWatches: Connection._set_watches,
    CheckWatches: Connection._check_watches,
    WhoAmI: Connection._who_am_i,
    Unoffered: Connection._not_offered,
}
