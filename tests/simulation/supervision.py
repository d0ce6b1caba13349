"""The supervisor's word of a death, as a program in the simulated world."""

from __future__ import annotations

from nodes.config import QUORUM_ROLES
from tests.simulation.asker import Asker
from transport.driver.ports import LinkId, Ports
from transport.kernel import Now
from transport.wire.codec import Buffer
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


class DeathTeller(Asker):
    """Tells every coordinator of one death until one has acted on it, then ends."""

    def __init__(
        self, nodes: tuple[NodeEndpoints, ...], name: str, incarnation: int, key: str
    ) -> None:
        quorum = frozenset(QUORUM_ROLES.values())
        members = [node for node in nodes if not quorum.isdisjoint(node.roles)]
        super().__init__([node.peers for node in members])
        dead = next(node for node in nodes if node.name == name)
        proof = death_notice_proof(key, dead.name, dead.id, Incarnation(incarnation))
        self._notice = DeathNotice(NodeName(name), dead.id, Incarnation(incarnation), proof)
        self._until_ms = 0

    def start(self, ports: Ports, now: Now) -> None:
        super().start(ports, now)
        self._until_ms = now.mono_ms + GIVE_UP_MS
        self._tell(now)

    def _tell(self, now: Now) -> None:
        if now.mono_ms >= self._until_ms:
            self.ports.exit(0)
            return
        for link in self.links:
            if self.calls.in_flight(link) == 0:
                self.calls.request(link, self._notice, self._answered, now, timeout_ms=1_000)
        self.timers.after(now, REPEAT_MS, self._tell)

    def _answered(self, body: Message, _payload: tuple[Buffer, ...], _now: Now) -> None:
        if isinstance(body, DeathNoticeResponse) and body.error == ErrorCode.NONE:
            self.ports.exit(0)

    def on_link(self, link: LinkId, up: bool, now: Now) -> None:
        super().on_link(link, up, now)
        if up:
            self.calls.request(link, self._notice, self._answered, now, timeout_ms=1_000)

    def on_gap(self, gap_ms: int, now: Now) -> None:
        super().on_gap(gap_ms, now)
        self._until_ms += gap_ms
