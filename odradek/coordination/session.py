"""The session of a client of the znode tree: opened, kept alive, moved, closed or lost.

Pure, and used by clients and brokers alike.  Owns the connection to one coordinator at a time and
the judgement whether the session lives.  Which coordinator is tried when is for ``Coordinators`` to
say, the order of operations is the lane's, watches are the watch table's; what the answers mean to
the user is nobody's business here.

A program hands the answers of its ``Calls`` to ``Calls.on_message`` itself, lets them expire, and
fails those of a link that went down; everything else comes by the methods of
:class:`CoordinationSession`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from functools import partial

import msgspec

from odradek.coordination.coordinators import Coordinators
from odradek.coordination.lane import Batch, Lane, OnResults, is_read
from odradek.coordination.session_connection import Connection
from odradek.coordination.watches import OnEvent, Watches
from transport.driver.calls import Calls
from transport.driver.ports import LinkId, Ports
from transport.kernel import Now, earliest
from transport.wire.codec import Envelope
from transport.wire.errors import ErrorCode, meaning
from transport.wire.ids import SessionId, Zxid
from transport.wire.messages import Message, Refusal
from transport.wire.messages.cluster import DescribeNodeRequest, NodeEndpoints
from transport.wire.messages.coordination import (
    AddAuth,
    CloseSession,
    OpenSessionRequest,
    OpenSessionResponse,
    OperateResponse,
    Operation,
    Owner,
    PingSessionRequest,
    PingSessionResponse,
    WatchEvent,
)

CONNECT_MIN_MS = 100
"""A coordinator that is not connected by then is passed over; doubled each round, up to a third of
the session timeout: short, so that a frozen one is left quickly."""
OPEN_MIN_MS = 500
"""The same for the opening, which waits for a quorum."""
CLOSE_MAX_MS = 2_000
"""A session that could not be closed by then is left to its timeout."""
NONCE_BYTES = 16
PROBE_MIN_MS = 300
"""A coordinator that has not said who it is by then is frozen, and left; grows as the others."""
GAPS_MAX = 3
"""A coordinator that misses more writes than that is left."""


class SessionState(Enum):
    """Where a session stands. LOST and CLOSED are final."""

    CONNECTING = "connecting"
    """Not opened yet."""
    CONNECTED = "connected"
    SUSPENDED = "suspended"
    """Without a coordinator at present; the session may live."""
    LOST = "lost"
    """Gone, by the server's word or by our own judgement, and its ephemerals with it."""
    CLOSED = "closed"


_FINAL = (SessionState.LOST, SessionState.CLOSED)


class CoordinationSession:
    """One session, from its opening to its end. A new one needs a new object.

    ``on_state`` hears of every change of state, from within a call of this object; it may submit
    and close.  ``timeout_ms`` is what is asked for, and then what was negotiated.  With
    ``read_only`` a coordinator without a quorum may serve reads when no other one can be found; the
    session proper is opened as soon as one can.
    """

    def __init__(
        self,
        *,
        timeout_ms: int,
        owner: Owner | None,
        on_state: Callable[[SessionState, Now], None],
        auth: Sequence[AddAuth] = (),
        read_only: bool = False,
    ) -> None:
        self.auth = list(auth)
        """What is proved anew on every connection."""
        self.read_only = False
        """Served without a quorum at present: reads only."""
        self.session_id = SessionId(0)
        self.state = SessionState.CONNECTING
        self.members: tuple[NodeEndpoints, ...] = ()
        """The coordinators, or controllers, as the last one to serve it knew them; told to nodes alone."""
        self.last_zxid = Zxid(0)
        """The newest write whose effect this client may have seen in an answer."""
        self.timeout_ms = timeout_ms
        self.trouble = ""
        """Why the last coordinator was left, or the session lost, for people."""
        self._wanted_ms = timeout_ms
        self._owner = owner
        self._takes_read_only = read_only
        self._serving_id = SessionId(0)
        self._on_state = on_state
        self._watches = Watches()
        self._lane = Lane(self._watches)
        self._event_zxid = Zxid(0)
        self._password = b""
        self._nonce = b""
        self._proven_ms = 0
        self._ping_ms = 0
        self._close_ms: int | None = None
        self._connection: Connection | None = None
        self._coordinators: Coordinators
        self._ports: Ports
        self._calls: Calls

    @property
    def endpoint(self) -> str:
        """The clients' door of the coordinator that serves it at present, or empty."""
        connection = self._connection
        return connection.endpoint if connection is not None and connection.open else ""

    @property
    def password(self) -> bytes:
        """The session's secret; empty until it is open."""
        return self._password

    # What its owner does with it

    def start(self, ports: Ports, calls: Calls, endpoints: Sequence[str], now: Now) -> None:
        """Open the session at one of ``endpoints`` (clients' doors of coordinators), for ever."""
        self._ports, self._calls = ports, calls
        self._coordinators = Coordinators(endpoints, ports.random)
        self._nonce = ports.random.randbytes(NONCE_BYTES)
        self._dial(now)

    def submit(self, operations: Sequence[Operation], on_results: OnResults, now: Now) -> None:
        """Do these operations, after all that were submitted before; pipelined, never blocks.

        Ends in exactly one call of ``on_results``: with a result for each operation, or with a
        Refusal.  Writes are sent again after a reconnect and applied once all the same.
        SESSION_EXPIRED: the session is lost or closed, and what was not answered may or may not
        have been applied.  CONNECTION_LOSS: closed first, with the same doubt.  OVERLOADED and
        BAD_ARGUMENTS (an operation above OPERATION_BYTES_MAX) and NOT_READ_ONLY: nothing was done.
        A refusal may come before this returns; such a submission must not simply be repeated in its callback.
        """
        refusal = self._refusal(operations)
        if refusal is not None:
            self._watches.refused(operations)
            on_results(refusal, now)
        elif not operations:
            on_results((), now)
        else:
            self._lane.submit(operations, on_results)

    def _refusal(self, operations: Sequence[Operation]) -> Refusal | None:
        if self.state in _FINAL or self._close_ms is not None:
            return Refusal(ErrorCode.SESSION_EXPIRED, "the session has ended")
        if self.read_only and not all(map(is_read, operations)):
            return _no_writes()
        return self._lane.refusal(operations) if operations else None

    def watch(self, path: str, kind: str, callback: OnEvent) -> None:
        """Call ``callback`` once, at the first event after a read of ``path`` has been answered.

        ``kind`` is ``data``, ``exists`` or ``children``, as the read's.  Call this just before the
        read with ``watch=True`` is submitted (or after: it then joins the newest such read that has
        no callback).  A read that fails sets no watch, except an ``exists`` of no znode.  Watches
        move with the session and go with it; then they are not called.
        """
        if self.state not in _FINAL:
            self._watches.add(path, kind, callback)

    def unwatch(self, path: str, kind: str, callback: OnEvent) -> bool:
        """Call ``callback`` no more; True: the watch serves nobody else and may be removed."""
        return self._watches.remove(path, kind, callback)

    def forget_watches(self, path: str, kind: str) -> list[OnEvent]:
        """Drop the watches of a path that the server has removed; returns their callbacks."""
        return self._watches.forget(path, kind)

    def drop_watches(self) -> list[OnEvent]:
        """Forget every watch, and return the callbacks of those that had begun."""
        return self._watches.clear()

    def close(self, now: Now) -> None:
        """End the session on the server after all that was submitted, then become CLOSED.

        A session that was never opened is CLOSED at once; one that finds no coordinator within
        CLOSE_MAX_MS is CLOSED then, and ends on the server when its timeout passes.
        """
        if self.state in _FINAL or self._close_ms is not None:
            return
        self._close_ms = now.mono_ms + min(self.timeout_ms, CLOSE_MAX_MS)
        if not self.session_id:
            self._end(SessionState.CLOSED, ErrorCode.CONNECTION_LOSS, "closed", now)
        else:
            self._lane.submit([CloseSession()], self._closed)

    # What its program tells it

    def on_message(self, link: LinkId, envelope: Envelope, now: Now) -> bool:
        """Take a watch event of our connection. False: not ours."""
        connection = self._connection
        if connection is None or link != connection.link:
            return False
        event = envelope.body
        # While the session is being attached, what its watches have missed comes before the answer;
        # and while it is being opened for watches that were served read-only, before its number.
        opening = not self.session_id and not connection.open
        ours = (self.session_id, self._serving_id)
        if not isinstance(event, WatchEvent) or not (opening or event.session_id in ours):
            return False
        connection.heard_ms = now.mono_ms
        self._event_zxid = max(self._event_zxid, event.zxid)
        if connection.open:
            # Other events of the same write may be on their way: only what is before it is complete.
            self.last_zxid = max(self.last_zxid, Zxid(event.zxid - 1))
        else:
            # Missed at any time since: others, and of earlier writes, may be on their way to the answer.
            event = msgspec.structs.replace(event, zxid=Zxid(self.last_zxid + 1))
        self._watches.on_event(event, now)
        return True

    def on_link(self, link: LinkId, up: bool, now: Now) -> bool:
        """Take a change of our link. False: not ours."""
        connection = self._connection
        if connection is None or link != connection.link:
            return False
        if up:
            self._open(now)
        else:
            self._leave("the connection ended", now)
        return True

    def end_turn(self, now: Now) -> None:
        """Judge what is due, connect or go on, and send what has gathered."""
        if self.state in _FINAL:
            return
        if self.session_id and now.mono_ms >= self._proven_ms + self.timeout_ms:
            self._lose(f"no proof of life for {self.timeout_ms} ms; {self.trouble}", now)
            return
        if self._close_ms is not None and now.mono_ms >= self._close_ms:
            self._end(SessionState.CLOSED, ErrorCode.CONNECTION_LOSS, "closed", now)
            return
        connection = self._connection
        if connection is not None and connection.late(now):
            self._leave("no connection", now)
        elif self.read_only and now.mono_ms >= self._coordinators.seek_ms:
            self._coordinators.seek()
            self._leave("looking for a quorum", now)
        if self._connection is None and now.mono_ms >= self._coordinators.try_ms:
            self._dial(now)
        connection = self._connection
        if connection is not None and connection.open:
            if now.mono_ms >= self._ping_ms and not connection.pinging:
                self._ping(connection, now)
            self._send(now)
            probe_ms = connection.probe_due_ms(self._lane.in_flight)
            if connection is self._connection and probe_ms is not None and probe_ms <= now.mono_ms:
                self._probe(connection, now)

    def next_deadline_ms(self) -> int | None:
        """Return when this wants a turn; answers that fail to come wake the program's Calls."""
        if self.state in _FINAL:
            return None
        lost_ms = self._proven_ms + self.timeout_ms if self.session_id else None
        seek_ms = self._coordinators.seek_ms if self.read_only else None
        return earliest(lost_ms, self._close_ms, seek_ms, self._connection_deadline_ms())

    def _connection_deadline_ms(self) -> int | None:
        connection = self._connection
        if connection is None:
            return self._coordinators.try_ms
        if not connection.asked:
            return connection.deadline_ms
        if not connection.open:
            return None
        if self._lane.sendable and not connection.blocked:
            return 0
        ping_ms = None if connection.pinging else self._ping_ms
        return earliest(ping_ms, connection.probe_due_ms(self._lane.in_flight))

    # Connecting

    def _dial(self, now: Now) -> None:
        endpoint = self._coordinators.next()
        link = self._ports.wire.connect(endpoint)
        patience_ms = self._patience_ms(CONNECT_MIN_MS)
        self._connection = Connection(link, endpoint, now.mono_ms + patience_ms)
        self._open(now)

    def _patience_ms(self, first_ms: int) -> int:
        return self._coordinators.patience_ms(first_ms, self.timeout_ms)

    def _open(self, now: Now) -> None:
        """Ask for the session, if the link is up by now."""
        connection = self._connection
        assert connection is not None
        if connection.asked:
            return
        request = OpenSessionRequest(
            self._wanted_ms,
            self.session_id,
            self._password,
            self.last_zxid,
            self._owner,
            self._nonce,
            self._watches.registrations(),
            tuple(self.auth),
            self._asks_read_only(),
        )
        opened = partial(self._opened, connection, now.mono_ms)
        timeout_ms = self._patience_ms(OPEN_MIN_MS)
        connection.asked = self._calls.request(
            connection.link, request, opened, now, timeout_ms=timeout_ms
        )

    def _asks_read_only(self) -> bool:
        """Only without a session, for then no write is in doubt; and after all were asked for one."""
        return self._takes_read_only and self._coordinators.all_failed and not self.session_id

    def _opened(
        self, connection: Connection, sent_ms: int, body: Message, _payload: object, now: Now
    ) -> None:
        if connection is not self._connection:
            return
        if not isinstance(body, OpenSessionResponse) or body.error != ErrorCode.NONE:
            self._refused(body, now)
        elif not body.session_id or self.session_id not in (0, body.session_id):
            self._leave("an answer about another session", now)
        elif body.zxid < self._event_zxid:
            self._leave("behind what this client has seen", now)
        elif body.read_only:
            self._attached_read_only(connection, body, now)
        else:
            self._attached(connection, sent_ms, body, now)

    def _attached(
        self, connection: Connection, sent_ms: int, body: OpenSessionResponse, now: Now
    ) -> None:
        connection.open = True
        self._serving_id = body.session_id
        self._coordinators.found()
        self._coordinators.learn(body.servers)
        self.members = body.members
        if not self.session_id:
            self.session_id = body.session_id
            self._password = body.password
            self.timeout_ms = body.timeout_ms if body.timeout_ms > 0 else self._wanted_ms
            self._proven_ms = sent_ms
        self.last_zxid = max(self.last_zxid, body.zxid)  # what was missed until then has come
        # An attachment is one server's word and proves nothing, nor does a repeated opening.
        self._ping_ms = now.mono_ms
        self._become(SessionState.CONNECTED, now)

    def _attached_read_only(
        self, connection: Connection, body: OpenSessionResponse, now: Now
    ) -> None:
        connection.open = self.read_only = True
        self.last_zxid = max(self.last_zxid, body.zxid)
        self._serving_id = body.session_id
        self._coordinators.settle_for_reads(now)
        self._ping_ms = now.mono_ms
        self._become(SessionState.CONNECTED, now)
        self._lane.fail_writes(_no_writes(), now)

    def _proven(self, sent_ms: int) -> None:
        """The session lived after ``sent_ms``, by the word of a quorum."""
        self._coordinators.served()
        self._proven_ms = max(self._proven_ms, sent_ms)
        self._ping_ms = self._proven_ms + self.timeout_ms // 3

    def _leave(self, reason: str, now: Now) -> None:
        """Let go of this coordinator; the next one is tried at once, or after a pause."""
        connection, self._connection = self._connection, None
        assert connection is not None
        self.trouble = f"{connection.endpoint}: {reason}"
        self._coordinators.failed(self.timeout_ms, now)
        self._hang_up(connection, now)
        if self.state is SessionState.CONNECTED:
            self._become(SessionState.SUSPENDED, now)

    def _hang_up(self, connection: Connection, now: Now) -> None:
        self._ports.wire.disconnect(connection.link)
        self.read_only = False
        self._serving_id = SessionId(0)
        self._calls.on_link_down(connection.link, now)  # answers to a connection left are passed by
        self._lane.rewind()

    # Using the connection

    def _ping(self, connection: Connection, now: Now) -> None:
        pinged = partial(self._pinged, connection, now.mono_ms)
        request = PingSessionRequest(self._serving_id)
        timeout_ms = max(1, self.timeout_ms // 3)
        connection.pinging = self._calls.request(
            connection.link, request, pinged, now, timeout_ms=timeout_ms
        )
        if not connection.pinging:
            self._leave("the connection takes nothing more", now)

    def _pinged(
        self, connection: Connection, sent_ms: int, body: Message, _payload: object, now: Now
    ) -> None:
        if connection is not self._connection:
            return
        connection.pinging = connection.blocked = False
        connection.heard_ms = now.mono_ms
        if not isinstance(body, PingSessionResponse) or body.error != ErrorCode.NONE:
            self._refused(body, now)
            return
        self._proven(sent_ms)
        self.last_zxid = max(self.last_zxid, body.zxid)

    def _send(self, now: Now) -> None:
        connection = self._connection
        while connection is not None and not connection.blocked:
            if not self._lane.in_flight:
                connection.heard_ms = now.mono_ms
            batch = self._lane.next_batch()
            if batch is None:
                return
            request = self._lane.request(batch, self._serving_id)
            answered = partial(self._operated, connection, batch)
            timeout_ms = max(1, self.timeout_ms)
            if not self._calls.request(
                connection.link, request, answered, now, timeout_ms=timeout_ms
            ):
                self._lane.take_back(batch)
                connection.blocked = True
                if not self._lane.in_flight and not connection.pinging:
                    self._leave("the connection takes nothing more", now)

    def _probe(self, connection: Connection, now: Now) -> None:
        """Ask what any coordinator answers at once, with a quorum or without."""
        probed = partial(self._probed, connection, now.mono_ms)
        timeout_ms = self._patience_ms(PROBE_MIN_MS)
        connection.probing = self._calls.request(
            connection.link, DescribeNodeRequest(), probed, now, timeout_ms=timeout_ms
        )
        if not connection.probing:  # the link is full, so what waits may be our own
            connection.heard_ms = now.mono_ms

    def _probed(
        self, connection: Connection, sent_ms: int, body: Message, _payload: object, now: Now
    ) -> None:
        if connection is not self._connection:
            return
        connection.probing = False
        late = isinstance(body, Refusal) and body.error == ErrorCode.REQUEST_TIMED_OUT
        if late and connection.heard_ms <= sent_ms:
            self._leave("no word from it", now)
        else:
            connection.heard_ms = now.mono_ms

    def _operated(
        self, connection: Connection, batch: Batch, body: Message, _payload: object, now: Now
    ) -> None:
        if connection is not self._connection:
            return
        connection.blocked = False
        connection.heard_ms = now.mono_ms
        if not batch.live:
            return
        if not self._lane.is_next(batch):
            self._leave("answers out of order", now)
        elif not isinstance(body, OperateResponse) or body.error != ErrorCode.NONE:
            self._operation_refused(connection, batch, _error_of(body), body, now)
        elif len(body.results) != len(batch.entries):
            self._leave("another number of results than of operations", now)
        else:
            errors = [result.error for result in body.results]
            for error in (ErrorCode.SESSION_EXPIRED, ErrorCode.REQUEST_GAP):
                if error in errors:  # judged when applied, but true of the session as a whole
                    self._operation_refused(connection, batch, error, Refusal(error), now)
                    return
            newest = max(result.zxid for result in body.results)
            self.last_zxid = max(self.last_zxid, body.zxid, newest)
            self._lane.answered(batch, body.results, now)

    def _operation_refused(
        self, connection: Connection, batch: Batch, error: int, body: Message, now: Now
    ) -> None:
        meant = meaning(error)
        if error == ErrorCode.REQUEST_GAP and connection.gaps < GAPS_MAX:
            connection.gaps += 1
            self._lane.rewind()
            return
        may_be_applied = meant.retriable or meant.fatal or error in _SAYS_NOTHING
        if may_be_applied or not self._lane.rejected(batch, error, now):
            self._refused(body, now)

    def _refused(self, body: Message, now: Now) -> None:
        """The coordinator will not serve us: the session is gone, or the next one may."""
        error = _error_of(body)
        text = body.text if isinstance(body, Refusal) and body.text else meaning(error).text
        if meaning(error).fatal:
            self._lose(text, now, ErrorCode(error))
        else:
            self._leave(text, now)

    # The end

    def _closed(self, _outcome: object, now: Now) -> None:
        if self.state not in _FINAL:
            self._end(SessionState.CLOSED, ErrorCode.CONNECTION_LOSS, "closed", now)

    def _lose(self, text: str, now: Now, error: ErrorCode = ErrorCode.SESSION_EXPIRED) -> None:
        self.trouble = text
        state = SessionState.LOST if self._close_ms is None else SessionState.CLOSED
        self._end(state, error, text, now)

    def _end(self, state: SessionState, error: ErrorCode, text: str, now: Now) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._hang_up(connection, now)
        self._become(state, now)
        self._lane.fail_all(Refusal(error, text), now)

    def _become(self, state: SessionState, now: Now) -> None:
        self.state = state
        self._on_state(state, now)


_SAYS_NOTHING = (ErrorCode.NONE, ErrorCode.UNKNOWN_SERVER_ERROR, ErrorCode.UNKNOWN_SESSION)
"""Of whether a request was applied: it must be sent again under its numbers."""


def _no_writes() -> Refusal:
    return Refusal(ErrorCode.NOT_READ_ONLY, "no coordinator with a quorum is known: reads only")


def _error_of(body: Message) -> int:
    error = getattr(body, "error", None)
    return error if isinstance(error, int) and error else ErrorCode.UNKNOWN_SERVER_ERROR
