"""Tells the nodes here of one that was removed, until each has forgotten it.

Whoever starts later has it from its settings.
"""

from __future__ import annotations

from functools import partial

from supervisor.roster import Roster
from transport.driver.calls import Calls
from transport.driver.ports import LinkId
from transport.driver.timers import Timers
from transport.kernel import Now
from transport.wire.codec import Buffer
from transport.wire.errors import ErrorCode
from transport.wire.ids import Incarnation, NodeName
from transport.wire.messages import Message, Refusal
from transport.wire.messages.cluster import (
    ForgetNodeRequest,
    ForgetNodeResponse,
    NodeEndpoints,
    removal_proof,
)

REPEAT_MS = 100
ANSWER_MAX_MS = 1_000
GIVE_UP_MS = 30_000
"""A node that has answered nothing for so long needs more than this news."""

Waiting = dict[NodeName, Incarnation]


class Farewells:
    """News of removals that are on their way."""

    def __init__(
        self, roster: Roster, links: dict[NodeName, LinkId], calls: Calls, timers: Timers, key: str
    ) -> None:
        self._roster = roster
        self._links = links
        self._calls = calls
        self._timers = timers
        self._key = key

    def tell(self, gone: NodeEndpoints, now: Now) -> None:
        """Tell every process that runs now."""
        proof = removal_proof(self._key, gone.name, gone.id)
        waiting = {node.name: node.incarnation for node in self._roster.running()}
        news = ForgetNodeRequest(gone.name, gone.id, proof)
        self._tell(news, waiting, now.mono_ms + GIVE_UP_MS, now)

    def _tell(self, news: ForgetNodeRequest, waiting: Waiting, until_ms: int, now: Now) -> None:
        for name, incarnation in list(waiting.items()):
            node = self._roster.nodes.get(name)
            if node is None or node.incarnation != incarnation:
                del waiting[name]
                continue
            self._calls.request(
                self._links[name],
                news,
                partial(self._answered, waiting, name),
                now,
                timeout_ms=ANSWER_MAX_MS,
                destination=name,
                incarnation=incarnation,
            )
        if waiting and now.mono_ms < until_ms:
            again = partial(self._tell, news, waiting, until_ms)
            self._timers.after(now, REPEAT_MS, again)

    def _answered(
        self,
        waiting: Waiting,
        name: NodeName,
        body: Message,
        _payload: tuple[Buffer, ...],
        _now: Now,
    ) -> None:
        lost = isinstance(body, Refusal) and body.error in _NOT_HEARD
        behind = isinstance(body, ForgetNodeResponse) and body.error == ErrorCode.SERVER_BEHIND
        if not lost and not behind:
            waiting.pop(name, None)


_NOT_HEARD = (ErrorCode.DISCONNECTED, ErrorCode.REQUEST_TIMED_OUT)
