"""Nodes that go for good, by command: ended here, and forgotten by everybody who knew them.

Whoever was interrupted asks again: each step is noted before the next.
"""

from __future__ import annotations

from collections.abc import Callable

from nodes.settings import ConfigError
from supervisor.farewells import Farewells
from supervisor.growth import Growth
from supervisor.lives import Lives
from supervisor.member import BROKER
from supervisor.plan import ClusterPlan
from supervisor.roster import READY, Node, Roster
from transport.driver.ports import Origin
from transport.kernel import Now
from transport.wire.codec import Envelope
from transport.wire.errors import ErrorCode
from transport.wire.ids import NodeName
from transport.wire.messages.cluster import NodeEndpoints
from transport.wire.messages.supervision import RemoveNodeRequest, RemoveNodeResponse

Reply = Callable[[Origin, Envelope, RemoveNodeResponse], None]


class Removals:
    """Takes the commands; one per supervisor."""

    def __init__(
        self,
        plan: ClusterPlan,
        roster: Roster,
        lives: Lives,
        farewells: Farewells,
        growth: Growth | None,
        reply: Reply,
    ) -> None:
        self._plan = plan
        self._roster = roster
        self._lives = lives
        self._farewells = farewells
        self._growth = growth
        self._reply = reply
        self._waiting: dict[NodeName, list[tuple[Origin, Envelope]]] = {}

    def on_request(
        self, origin: Origin, envelope: Envelope, body: RemoveNodeRequest, now: Now
    ) -> None:
        """End a node for good, and answer when its process is gone; or say why not."""
        try:
            answered = self._carry_out(origin, envelope, body, now)
        except ConfigError as error:
            answered = RemoveNodeResponse(ErrorCode.INVALID_CONFIG, str(error))
        if answered is not None:
            self._reply(origin, envelope, answered)

    def _carry_out(
        self, origin: Origin, envelope: Envelope, body: RemoveNodeRequest, now: Now
    ) -> RemoveNodeResponse | None:
        """Return the answer that is due now; None: it comes when the process has ended."""
        growth, node = self._growth, self._roster.nodes.get(body.name)
        if growth is None:
            text = "this cluster's nodes are those of its settings"
            return RemoveNodeResponse(ErrorCode.INVALID_REQUEST, text)
        if node is not None:
            return self._end(growth, node, origin, envelope, body, now)
        if growth.was_removed(body.name):
            return RemoveNodeResponse(ErrorCode.NONE)
        for there in self._plan.elsewhere:
            if there.name == body.name and BROKER not in there.roles and body.observes:
                growth.forget(there.name)
                self._farewells.tell(there, now)
                return RemoveNodeResponse(ErrorCode.NONE)
        try:
            self._plan.find(body.name)
        except ConfigError as error:
            return RemoveNodeResponse(ErrorCode.INVALID_REQUEST, str(error))
        raise AssertionError("a node of the plan is in the roster")

    def _end(
        self,
        growth: Growth,
        node: Node,
        origin: Origin,
        envelope: Envelope,
        body: RemoveNodeRequest,
        now: Now,
    ) -> RemoveNodeResponse | None:
        text = _why_not(node, now, observes=body.observes)
        if text:
            return RemoveNodeResponse(ErrorCode.INVALID_REQUEST, text)
        if not node.removed:
            growth.remove(node.name)
        self._waiting.setdefault(node.name, []).append((origin, envelope))
        self._lives.remove(node, now)
        return None

    def on_ended(self, gone: NodeEndpoints, now: Now) -> None:
        """Tell everybody of a node that has ended, and is in the roster no more."""
        self._farewells.tell(gone, now)
        for origin, envelope in self._waiting.pop(gone.name, []):
            self._reply(origin, envelope, RemoveNodeResponse(ErrorCode.NONE))


def _why_not(node: Node, now: Now, *, observes: bool) -> str:
    """Return why a node cannot go; empty: it can. ``observes``: as the quorum's leader says.

    One that serves tells by itself whether it votes, and may be a second late with it.
    """
    roles = node.endpoints.roles
    if roles == (BROKER,):
        return ""
    if BROKER in roles:
        return f"{node.name} is of the quorum itself: it cannot be removed"
    if node.votes and not (observes and node.state(now.mono_ms) != READY):
        return f"{node.name} votes still; `odradek ensemble remove {node.name}` ends that"
    return ""
