"""A session against coordinators whose every word a test scripts."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import NamedTuple

from odradek.coordination.session import CoordinationSession, SessionState
from transport.driver.calls import Calls
from transport.driver.ports import LinkId
from transport.kernel import Now
from transport.wire.codec import Envelope, Kind
from transport.wire.ids import Incarnation, NodeName, SessionId, Zxid
from transport.wire.messages import Message, Refusal
from transport.wire.messages.coordination import (
    OpenSessionRequest,
    OpenSessionResponse,
    OperateRequest,
    OperateResponse,
    Operation,
    Owner,
    PingSessionRequest,
    PingSessionResponse,
    Result,
    WatchEvent,
)

TIMEOUT_MS = 900
SESSION = SessionId(7)
ENDPOINTS = ("tcp://a:1", "tcp://b:1", "tcp://c:1")
Outcome = Sequence[Result] | Refusal


class Sent(NamedTuple):
    """One request that left, as the coordinator sees it."""

    link: LinkId
    envelope: Envelope

    @property
    def body(self) -> Message:
        return self.envelope.body


class World:
    """Ports, wire and program in one: a session, and whatever it sends, unanswered until told."""

    def __init__(self, seed: int = 1, endpoints: Sequence[str] = ENDPOINTS) -> None:
        self.random = Random(seed)
        self.now = Now(1_000, 5_000)
        self.calls = Calls()
        self.calls.attach(self)  # type: ignore[arg-type]
        self.links: dict[LinkId, str] = {}
        self.up: set[LinkId] = set()
        self.full = False
        self.sent: list[Sent] = []
        self.dialled: list[str] = []
        self.states: list[SessionState] = []
        self.outcomes: list[tuple[str, Outcome]] = []
        self.session = CoordinationSession(
            timeout_ms=TIMEOUT_MS,
            owner=Owner(NodeName("broker-1"), Incarnation(3)),
            on_state=lambda state, _now: self.states.append(state),
        )
        self.session.start(self, self.calls, endpoints, self.now)  # type: ignore[arg-type]

    # The ports

    @property
    def wire(self) -> World:
        return self

    def connect(self, endpoint: str) -> LinkId:
        link = LinkId(len(self.dialled) + 1)
        self.dialled.append(endpoint)
        self.links[link] = endpoint
        return link

    def disconnect(self, link: LinkId) -> None:
        del self.links[link]
        self.up.discard(link)

    def send(self, link: LinkId, envelope: Envelope) -> bool:
        if link not in self.up or self.full:
            return False
        self.sent.append(Sent(link, envelope))
        return True

    # What happens in the world

    @property
    def link(self) -> LinkId:
        (link,) = self.links
        return link

    def turn(self, ms: int = 0) -> None:
        """Let time pass, without inputs."""
        self.now = Now(self.now.mono_ms + ms, self.now.wall_ms + ms)
        self.calls.expire(self.now)
        self.session.end_turn(self.now)

    def pass_time(self, ms: int) -> None:
        """Let time pass, waking at each deadline as the loop does."""
        until_ms = self.now.mono_ms + ms
        for _ in range(10_000):
            due = [self.session.next_deadline_ms(), self.calls.next_deadline_ms()]
            next_ms = min((ms for ms in due if ms is not None), default=until_ms)
            if next_ms > until_ms:
                break
            self.turn(max(0, next_ms - self.now.mono_ms))
            if self.now.mono_ms >= until_ms:
                return
        self.turn(until_ms - self.now.mono_ms)

    def link_up(self) -> None:
        self.up.add(self.link)
        assert self.session.on_link(self.link, True, self.now)
        self.turn()

    def cut(self) -> None:
        """End the connection, and notice."""
        link = self.link
        self.up.discard(link)
        self.calls.on_link_down(link, self.now)
        self.session.on_link(link, False, self.now)
        self.turn()

    def take(self) -> Sent:
        """Return the oldest request that was not looked at yet."""
        return self.sent.pop(0)

    def answer(self, sent: Sent, body: Message) -> None:
        kind = Kind.REFUSAL if isinstance(body, Refusal) else Kind.RESPONSE
        envelope = Envelope(kind, body, (), sent.envelope.correlation_id)
        self.calls.on_message(sent.link, envelope, self.now)
        self.turn()

    def event(self, type_: int, path: str, zxid: int) -> bool:
        body = WatchEvent(SESSION, type_, path, Zxid(zxid))
        return self.session.on_message(self.link, Envelope(Kind.ONE_WAY, body), self.now)

    def opened(self, *, timeout_ms: int = TIMEOUT_MS, zxid: int = 0) -> OpenSessionRequest:
        """Bring the link up, answer the opening and the ping behind it."""
        self.link_up()
        sent = self.take()
        assert isinstance(sent.body, OpenSessionRequest)
        answer = OpenSessionResponse(0, SESSION, b"secret", timeout_ms, Zxid(zxid))
        self.answer(sent, answer)
        self.pong()
        return sent.body

    def pong(self, zxid: int = 0) -> None:
        ping = self.take()
        assert isinstance(ping.body, PingSessionRequest)
        self.answer(ping, PingSessionResponse(0, Zxid(zxid)))

    def submit(self, name: str, *operations: Operation) -> None:
        def done(outcome: Outcome, _now: Now) -> None:
            self.outcomes.append((name, outcome))

        self.session.submit(operations, done, self.now)

    def operate(self) -> tuple[Sent, OperateRequest]:
        sent = self.take()
        assert isinstance(sent.body, OperateRequest), sent.body
        return sent, sent.body

    def results(self, sent: Sent, *results: Result) -> None:
        self.answer(sent, OperateResponse(0, results))

    def names(self) -> list[str]:
        return [name for name, _ in self.outcomes]


def good(zxid: int = 1, path: str = "") -> Result:
    return Result(0, Zxid(zxid), path)


def ids(request: OperateRequest) -> list[int]:
    return [operation.request_id for operation in request.operations]
