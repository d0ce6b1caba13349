"""Asks every node how it is: often until it serves, then once a second.

Owns the links to the nodes' ``peers`` doors; death notices travel on the same ones.
"""

from __future__ import annotations

from collections.abc import Callable

from supervisor.roster import READY, Node, Roster
from transport.driver.calls import Calls
from transport.driver.ports import LinkId, Wire
from transport.driver.timers import Timer, Timers
from transport.kernel import Now
from transport.wire.codec import Buffer
from transport.wire.errors import ErrorCode
from transport.wire.ids import NodeName
from transport.wire.messages import Message
from transport.wire.messages.cluster import HealthRequest, HealthResponse
from transport.wire.messages.reassignments import HandOverRequest

STARTING_INTERVAL_MS = 25
INTERVAL_MS = 1_000
ANSWER_MAX_MS = 1_000
HAND_OVER_MAX_MS = 5_000
"""Longer than an election of a controller; a broker that is asked to stop then stops all the same."""
REFRESH_MAX_MS = 300
"""A person who asks for the status waits no longer than this for a node that hangs."""

OnHealth = Callable[[Node, HealthResponse, Now], None]


class Refresh:
    """A round of questions to all; ends when each has answered, or after its time."""

    def __init__(self, then: Callable[[Now], None]) -> None:
        self._then: Callable[[Now], None] | None = then
        self.pending: set[NodeName] = set()

    def settle(self, name: NodeName, now: Now) -> None:
        """Take one node off the list."""
        self.pending.discard(name)
        if not self.pending:
            self.end(now)

    def end(self, now: Now) -> None:
        """Go on, once."""
        then, self._then = self._then, None
        if then is not None:
            then(now)

    @property
    def over(self) -> bool:
        """True when it has gone on."""
        return self._then is None


class HealthWatch:
    """The links, and the questions on them."""

    def __init__(self, roster: Roster, calls: Calls, timers: Timers, on_health: OnHealth) -> None:
        self._roster = roster
        self._calls = calls
        self._timers = timers
        self._on_health = on_health
        self._wire: Wire | None = None
        self.links: dict[NodeName, LinkId] = {}
        self._by_link: dict[LinkId, Node] = {}
        self._next: dict[NodeName, Timer] = {}
        self._asked: set[NodeName] = set()
        self._refreshes: list[Refresh] = []

    def start(self, wire: Wire) -> None:
        """Open the links; each node is asked when its link comes up."""
        self._wire = wire
        for node in self._roster:
            self.meet(node)

    def meet(self, node: Node) -> None:
        """Open the link to a node."""
        assert self._wire is not None, "start() first"
        link = self._wire.connect(node.endpoints.peers)
        self.links[node.name] = link
        self._by_link[link] = node

    def forget(self, node: Node) -> None:
        """Close the link to a node that is gone."""
        assert self._wire is not None, "start() first"
        link = self.links.pop(node.name)
        del self._by_link[link]
        self._wire.disconnect(link)
        planned = self._next.pop(node.name, None)
        if planned is not None:
            planned.cancel()

    def hand_over(self, node: Node, then: Callable[[Now], None], now: Now) -> None:
        """Have a broker let others lead, then go on; at once where it cannot be asked."""

        def answered(_body: Message, _payload: tuple[Buffer, ...], at: Now) -> None:
            then(at)

        asked = self._calls.request(
            self.links[node.name],
            HandOverRequest(),
            answered,
            now,
            timeout_ms=HAND_OVER_MAX_MS,
            destination=node.name,
            incarnation=node.incarnation,
        )
        if not asked:
            then(now)

    def on_link(self, link: LinkId, up: bool, now: Now) -> bool:
        """Ask a node that can be reached (again)."""
        node = self._by_link.get(link)
        if node is None:
            return False
        if up:
            self._ask(node, now)
        return True

    def expect(self, node: Node, now: Now) -> None:
        """Ask a process that was just started, as soon as it can be reached."""
        self._plan_next(node, now)

    def refresh(self, now: Now, then: Callable[[Now], None]) -> None:
        """Ask every running node now; call ``then`` when all have answered, or soon after."""
        refresh = Refresh(then)
        for node in self._roster.running():
            if self._ask(node, now) or node.name in self._asked:
                refresh.pending.add(node.name)
        if not refresh.pending:
            refresh.end(now)
            return
        self._refreshes.append(refresh)
        self._timers.after(now, REFRESH_MAX_MS, refresh.end)

    def _ask(self, node: Node, now: Now) -> bool:
        if node.name in self._asked or not node.pid:
            return False
        incarnation = node.incarnation

        def answered(body: Message, _payload: tuple[Buffer, ...], at: Now) -> None:
            self._asked.discard(node.name)
            if (
                isinstance(body, HealthResponse)
                and body.error == ErrorCode.NONE
                and body.incarnation == node.incarnation == incarnation
                and node.pid
            ):
                node.heard(body, at.mono_ms)
                self._on_health(node, body, at)
            self._settle(node.name, at)
            self._plan_next(node, at)

        asked = self._calls.request(
            self.links[node.name],
            HealthRequest(),
            answered,
            now,
            timeout_ms=ANSWER_MAX_MS,
            destination=node.name,
            incarnation=incarnation,
        )
        if asked:
            self._asked.add(node.name)
        return asked

    def _settle(self, name: NodeName, now: Now) -> None:
        for refresh in self._refreshes:
            refresh.settle(name, now)
        self._refreshes = [refresh for refresh in self._refreshes if not refresh.over]

    def _plan_next(self, node: Node, now: Now) -> None:
        planned = self._next.get(node.name)
        if planned is not None:
            planned.cancel()
        serves = node.health is not None and node.health.state == READY
        delay_ms = INTERVAL_MS if serves else STARTING_INTERVAL_MS
        self._next[node.name] = self._timers.after(now, delay_ms, lambda at: self._again(node, at))

    def _again(self, node: Node, now: Now) -> None:
        if not self._ask(node, now) and node.pid and node.name not in self._asked:
            self._plan_next(node, now)
