"""The supervisor's word of a death, as a program in the simulated world."""

from __future__ import annotations

from nodes.config import QUORUM_ROLES
from transport.driver.calls import Calls
from transport.driver.ports import LinkId, Origin, Ports
from transport.driver.timers import Timers
from transport.kernel import Now
from transport.wire.codec import Buffer, Envelope
from transport.wire.errors import ErrorCode
from transport.wire.ids import Incarnation, NodeName
from transport.wire.messages import Message
from transport.wire.messages.cluster import (
    DeathNotice,
    DeathNoticeResponse,
    NodeEndpoints,
    death_notice_proof,
)

REPEAT_MS = 50
GIVE_UP_MS = 30_000


class DeathTeller:
    """Tells every coordinator of one death until one has acted on it, then ends."""

    def __init__(
        self, nodes: tuple[NodeEndpoints, ...], name: str, incarnation: int, key: str
    ) -> None:
        dead = next(node for node in nodes if node.name == name)
        proof = death_notice_proof(key, dead.name, dead.id, Incarnation(incarnation))
        self._notice = DeathNotice(NodeName(name), dead.id, Incarnation(incarnation), proof)
        quorum = frozenset(QUORUM_ROLES.values())
        self._coordinators = [node for node in nodes if not quorum.isdisjoint(node.roles)]
        self._calls = Calls()
        self._timers = Timers()
        self._until_ms = 0
        self._ports: Ports
        self._links: list[LinkId] = []

    def start(self, ports: Ports, now: Now) -> None:
        self._ports = ports
        self._calls.attach(ports.wire)
        self._until_ms = now.mono_ms + GIVE_UP_MS
        self._links = [ports.wire.connect(node.peers) for node in self._coordinators]
        self._tell(now)

    def _tell(self, now: Now) -> None:
        if now.mono_ms >= self._until_ms:
            self._ports.exit(0)
            return
        for link in self._links:
            if self._calls.in_flight(link) == 0:
                self._calls.request(link, self._notice, self._answered, now, timeout_ms=1_000)
        self._timers.after(now, REPEAT_MS, self._tell)

    def _answered(self, body: Message, _payload: tuple[Buffer, ...], _now: Now) -> None:
        if isinstance(body, DeathNoticeResponse) and body.error == ErrorCode.NONE:
            self._ports.exit(0)

    def on_message(self, origin: Origin | LinkId, envelope: Envelope, now: Now) -> None:
        if not isinstance(origin, Origin):
            self._calls.on_message(origin, envelope, now)

    def on_link(self, link: LinkId, up: bool, now: Now) -> None:
        if up:
            self._calls.request(link, self._notice, self._answered, now, timeout_ms=1_000)
        else:
            self._calls.on_link_down(link, now)

    def on_gap(self, gap_ms: int, now: Now) -> None:
        self._until_ms += gap_ms

    def end_turn(self, now: Now) -> None:
        self._timers.fire(now)
        self._calls.expire(now)

    def next_deadline_ms(self) -> int | None:
        deadlines = [self._timers.next_deadline_ms(), self._calls.next_deadline_ms()]
        return min((due for due in deadlines if due is not None), default=None)

    def stop(self, now: Now) -> None:
        self._ports.exit(0)
