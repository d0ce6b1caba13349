"""Tells the quorum of every death, at once and until one has acted on it.

A notice names node and incarnation and carries the proof that it is the supervisor's own, so a
late one ends nobody's session but the dead process's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

from supervisor.roster import Roster
from transport.driver.calls import Calls
from transport.driver.ports import LinkId
from transport.driver.timers import Timers
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
ANSWER_MAX_MS = 1_000
GIVE_UP_MS = 30_000
"""By then every session the dead process can have had is over by its own timeout."""


@dataclass(slots=True)
class _Death:
    notice: DeathNotice
    until_ms: int
    waiting: set[NodeName] = field(default_factory=set)
    """Members of the quorum that have not answered the last copy."""
    over: bool = False


class DeathNotices:
    """Every death that is not yet acted on."""

    def __init__(
        self,
        roster: Roster,
        links: dict[NodeName, LinkId],
        calls: Calls,
        timers: Timers,
        key: str,
        *,
        enabled: bool,
    ) -> None:
        self._roster = roster
        self._links = links
        self._calls = calls
        self._timers = timers
        self._key = key
        self._enabled = enabled
        self._deaths: dict[NodeName, _Death] = {}

    def __len__(self) -> int:
        return len(self._deaths)

    def announce(self, node: NodeEndpoints, incarnation: Incarnation, now: Now) -> None:
        """Tell of the death of this very process. A newer one replaces an older of its node."""
        if not self._enabled:
            return
        self.forget(node.name)
        proof = death_notice_proof(self._key, node.name, node.id, incarnation)
        notice = DeathNotice(node.name, node.id, incarnation, proof)
        death = _Death(notice, now.mono_ms + GIVE_UP_MS)
        self._deaths[node.name] = death
        self._tell(death, now)

    def forget(self, name: NodeName) -> None:
        """Stop telling of a node's death: a later process of it serves, which says it all."""
        death = self._deaths.pop(name, None)
        if death is not None:
            death.over = True

    def _tell(self, death: _Death, now: Now) -> None:
        if death.over:
            return
        if now.mono_ms >= death.until_ms:
            self.forget(death.notice.name)
            return
        for member in self._roster.quorum():
            name = member.name
            if not member.pid or name in death.waiting:
                continue
            sent = self._calls.request(
                self._links[name],
                death.notice,
                partial(self._answered, death, name),
                now,
                timeout_ms=ANSWER_MAX_MS,
                destination=name,
            )
            if sent:
                death.waiting.add(name)
        self._timers.after(now, REPEAT_MS, partial(self._tell, death))

    def _answered(
        self, death: _Death, name: NodeName, body: Message, _payload: tuple[Buffer, ...], _now: Now
    ) -> None:
        death.waiting.discard(name)
        acted = isinstance(body, DeathNoticeResponse) and body.error == ErrorCode.NONE
        if acted and not death.over:
            self.forget(death.notice.name)
