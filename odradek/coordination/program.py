"""The program behind a coordination client: find the cluster, hold a session, open a new one.

Pure: runs on the real loop and in the simulator alike.  It must not know of threads, futures or
what users call things.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from odradek.cluster.discovery import Discovery
from odradek.coordination.lane import OnResults
from odradek.coordination.session import CoordinationSession, SessionState
from odradek.coordination.watches import EndingWatch, OnEvent
from transport.driver.calls import Calls
from transport.driver.ports import LinkId, Origin, Ports
from transport.kernel import Now, earliest
from transport.wire.codec import Envelope
from transport.wire.errors import ErrorCode
from transport.wire.messages import Refusal
from transport.wire.messages.cluster import DescribeNodeResponse
from transport.wire.messages.coordination import AddAuth, Operation, Result

RENEW_MIN_MS = 250
RENEW_MAX_MS = 500
"""Before a new session when the last one was never connected: a refusal is not asked for in a loop."""

ROLES = ("coordinator", "controller")
"""Whose doors take sessions: of the first of these roles that any node has."""

OnState = Callable[[SessionState, list[OnEvent], Now], None]
"""Hears of each state of the present session; on LOST also the watches that have ended with it."""


class ServerInfo(NamedTuple):
    """The coordinator that serves a session."""

    name: str
    endpoint: str
    cluster_id: str
    mode: str
    """``zookeeper`` or ``kraft``."""


class CoordinationProgram:
    """Holds one session after the other until it is stopped."""

    def __init__(
        self,
        seeds: Sequence[str],
        *,
        timeout_ms: int,
        on_state: OnState,
        client_name: str = "",
        auth: Sequence[AddAuth] = (),
        read_only: bool = False,
    ) -> None:
        self.calls = Calls()
        self._seeds = tuple(seeds)
        self._known: tuple[str, ...] = ()
        self._timeout_ms = timeout_ms
        self._on_state = on_state
        self._client_name = client_name
        self._auth = list(auth)
        self._read_only = read_only
        self._described: DescribeNodeResponse | None = None
        self._ports: Ports | None = None
        self._started = False
        self._was_connected = False
        self._stopping = False
        self._renew_ms: int | None = None
        self._last_trouble = ""
        """Of the session before the present one."""
        self._discovery = self._new_discovery()
        self.session = self._new_session()

    # What its client does, on the loop's thread

    def submit(self, operations: Sequence[Operation], on_results: OnResults, now: Now) -> None:
        """Hand operations to the present session; before it is open they wait."""
        self.session.submit(operations, on_results, now)

    def add_auth(self, scheme: str, credential: bytes, on_results: OnResults, now: Now) -> None:
        """Prove an identity, now and on every connection to come, unless it is refused."""
        proof = AddAuth(scheme, credential)

        def proved(outcome: Sequence[Result] | Refusal, now: Now) -> None:
            if not isinstance(outcome, Refusal) and outcome[0].error == ErrorCode.NONE:
                for known in (self._auth, self.session.auth):
                    if proof not in known:
                        known.append(proof)
            on_results(outcome, now)

        self.session.submit([proof], proved, now)

    def forget_watches(self, path: str, kind: str) -> None:
        """The server has removed these watches: drop them here, and tell who set them."""
        for callback in self.session.forget_watches(path, kind):
            if isinstance(callback, EndingWatch):
                callback.removed()

    @property
    def server(self) -> ServerInfo | None:
        """The coordinator that serves the session at present."""
        described, endpoint = self._described, self.session.endpoint
        if described is None or not endpoint:
            return None
        names = (str(node.name) for node in described.nodes if node.clients == endpoint)
        return ServerInfo(next(names, ""), endpoint, str(described.cluster_id), described.mode)

    def trouble(self) -> str:
        """Say, for people, why there is no connection."""
        if self._discovery.active:
            return self._discovery.tried()
        known = self.session.trouble or self._last_trouble
        return known or "the cluster was found, but no session is open yet"

    # Program

    def start(self, ports: Ports, now: Now) -> None:
        """Called once by the loop."""
        self._ports = ports
        self.calls.attach(ports.wire)
        self._discovery.start(ports, self.calls, now)

    def on_message(self, origin: Origin | LinkId, envelope: Envelope, now: Now) -> None:
        """Take an answer or a watch event; whatever is neither is dropped."""
        if isinstance(origin, Origin) or self.calls.on_message(origin, envelope, now):
            return
        self.session.on_message(origin, envelope, now)

    def on_link(self, link: LinkId, up: bool, now: Now) -> None:
        """Take a change of a link."""
        if not up:
            self.calls.on_link_down(link, now)
        if not self._discovery.on_link(link, up, now):
            self.session.on_link(link, up, now)

    def on_gap(self, gap_ms: int, now: Now) -> None:
        """The loop was away: coordinators get their time to answer; our own session does not."""
        self.calls.delay(gap_ms)

    def end_turn(self, now: Now) -> None:
        """Expire, go on looking, renew, then let the session send."""
        self.calls.expire(now)
        self._discovery.end_turn(now)
        if self._renew_ms is not None and now.mono_ms >= self._renew_ms:
            self._renew(now)
        if self._started:
            self.session.end_turn(now)

    def next_deadline_ms(self) -> int | None:
        """Return when the program wants a turn."""
        return earliest(
            self.calls.next_deadline_ms(),
            self._discovery.next_deadline_ms(),
            self._renew_ms,
            self.session.next_deadline_ms() if self._started else None,
        )

    def stop(self, now: Now) -> None:
        """Close the session, then end."""
        self._stopping = True
        self._renew_ms = None
        self._discovery.close()
        self.session.close(now)

    # Sessions

    def _new_discovery(self) -> Discovery:
        endpoints = dict.fromkeys((*self._seeds, *self._known))
        return Discovery(tuple(endpoints), self._found, client_name=self._client_name)

    def _new_session(self) -> CoordinationSession:
        return CoordinationSession(
            timeout_ms=self._timeout_ms,
            owner=None,
            on_state=self._session_changed,
            auth=self._auth,
            read_only=self._read_only,
        )

    def _found(self, described: DescribeNodeResponse, now: Now) -> None:
        assert self._ports is not None
        endpoints: list[str] = []
        for role in ROLES:
            if not endpoints:
                endpoints = [node.clients for node in described.nodes if role in node.roles]
        if not endpoints:
            self._look_again(now)
            return
        self.calls.cluster_id = described.cluster_id
        self._described = described
        self._known = tuple(node.clients for node in described.nodes)
        self._started = True
        self.session.start(self._ports, self.calls, endpoints, now)

    def _session_changed(self, state: SessionState, now: Now) -> None:
        dropped: list[OnEvent] = []
        if state is SessionState.LOST:
            dropped = self.session.drop_watches()
            self._last_trouble = self.session.trouble
            self._started = False
            self.session = self._new_session()
            self._look_again(now)
        self._was_connected = state in (SessionState.CONNECTED, SessionState.SUSPENDED)
        self._on_state(state, dropped, now)
        if state is SessionState.CLOSED:
            assert self._ports is not None
            self._ports.exit(0)

    def _look_again(self, now: Now) -> None:
        """Ask for the cluster anew: at once after a session that had been served, else later."""
        assert self._ports is not None
        pause_ms = self._ports.random.randint(RENEW_MIN_MS, RENEW_MAX_MS)
        self._renew_ms = now.mono_ms + (0 if self._was_connected else pause_ms)

    def _renew(self, now: Now) -> None:
        assert self._ports is not None
        self._renew_ms = None
        self._discovery = self._new_discovery()
        self._discovery.start(self._ports, self.calls, now)
