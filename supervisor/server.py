"""Takes people's commands to the running supervisor, over its one door.

Whoever can read the data directory's key may command; everybody else on the machine is refused.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from nodes.settings import ConfigError
from supervisor.farewells import Farewells
from supervisor.growth import Growth
from supervisor.health import HealthWatch
from supervisor.lives import Lives
from supervisor.member import BROKER
from supervisor.plan import ClusterPlan
from supervisor.removals import Removals
from supervisor.roster import READY, Node, Roster
from supervisor.watch import RestartPolicy
from transport.driver.calls import response
from transport.driver.ports import Origin, Wire
from transport.driver.timers import Timers
from transport.kernel import Now
from transport.wire.codec import Envelope, Kind
from transport.wire.errors import ErrorCode
from transport.wire.ids import Incarnation
from transport.wire.messages import Message, Refusal
from transport.wire.messages.supervision import (
    AddNodeRequest,
    AddNodeResponse,
    MoveRequest,
    MoveResponse,
    RebuildNodeRequest,
    RebuildNodeResponse,
    RemoveNodeRequest,
    RestartNodeRequest,
    RestartNodeResponse,
    SignalNodeRequest,
    SignalNodeResponse,
    SupervisorStatusRequest,
    SupervisorStatusResponse,
)

RESTART_MAX_MS = 60_000
RESTARTS_WAITING_MAX = 256

Snapshot = Callable[[Now], SupervisorStatusResponse]


@dataclass(slots=True)
class _Restarting:
    node: Node
    before: Incarnation
    origin: Origin
    envelope: Envelope
    until_ms: int
    answer: Callable[[int, str, int], Message] = RestartNodeResponse
    begun: bool = False
    """No more than one voter of the quorum that is ready is ended at a time; the others wait."""


class CommandServer:
    """The handlers, by message type."""

    def __init__(
        self,
        plan: ClusterPlan,
        roster: Roster,
        lives: Lives,
        health: HealthWatch,
        timers: Timers,
        snapshot: Snapshot,
        farewells: Farewells,
        growth: Growth | None = None,
    ) -> None:
        self._plan = plan
        self._roster = roster
        self._lives = lives
        self._health = health
        self._timers = timers
        self._snapshot = snapshot
        self._growth = growth
        self._removals = Removals(plan, roster, lives, farewells, growth, self._reply)
        lives.on_removed = self._on_removed
        self._wire: Wire | None = None
        self._restarting: list[_Restarting] = []
        self._handlers: dict[type[Message], Callable[[Origin, Envelope, Any, Now], None]] = {
            SupervisorStatusRequest: self._status,
            SignalNodeRequest: self._signal,
            RestartNodeRequest: self._restart,
            RebuildNodeRequest: self._rebuild,
            AddNodeRequest: self._add,
            RemoveNodeRequest: self._removals.on_request,
            MoveRequest: self._move,
        }

    def start(self, wire: Wire) -> None:
        """Take the wire that answers go out by."""
        self._wire = wire

    def on_message(self, origin: Origin, envelope: Envelope, now: Now) -> None:
        """Serve one command, or refuse it."""
        if envelope.kind != Kind.REQUEST:
            return
        body: Any = envelope.body
        handler = self._handlers.get(type(body))
        if handler is None:
            text = "this is a supervisor; it takes no such request"
            self._reply(origin, envelope, Refusal(ErrorCode.UNKNOWN_API, text))
        elif not hmac.compare_digest(body.key.encode(), self._plan.key.encode()):
            text = "the key is not the cluster's; run the command as the cluster's owner"
            refusal = Refusal(ErrorCode.CLUSTER_AUTHORIZATION_FAILED, text)
            self._reply(origin, envelope, refusal)
        else:
            handler(origin, envelope, body, now)

    def _reply(self, origin: Origin, envelope: Envelope, body: Message) -> None:
        assert self._wire is not None, "start() first"
        self._wire.reply(origin, response(envelope, body))

    def _status(self, origin: Origin, envelope: Envelope, _body: Message, now: Now) -> None:
        def answer(at: Now) -> None:
            self._reply(origin, envelope, self._snapshot(at))

        self._health.refresh(now, answer)

    def _find(self, name: str) -> Node | str:
        try:
            return self._roster[self._plan.find(name).name]
        except ConfigError as error:
            return str(error)

    def _signal(
        self, origin: Origin, envelope: Envelope, body: SignalNodeRequest, _now: Now
    ) -> None:
        node = self._find(body.name)
        if isinstance(node, str):
            answer = SignalNodeResponse(ErrorCode.INVALID_REQUEST, node)
        elif not 0 < body.signal < 65:
            text = f"{body.signal} is no signal; name one, as KILL, STOP or CONT"
            answer = SignalNodeResponse(ErrorCode.INVALID_REQUEST, text)
        else:
            pid = node.pid
            if self._lives.signal(node, body.signal):
                answer = SignalNodeResponse(ErrorCode.NONE, "", pid)
            else:
                text = f"{node.name} has no process now; `odradek restart {node.name}` starts it"
                answer = SignalNodeResponse(ErrorCode.BROKER_NOT_AVAILABLE, text)
        self._reply(origin, envelope, answer)

    def _restart(
        self, origin: Origin, envelope: Envelope, body: RestartNodeRequest, now: Now
    ) -> None:
        node = self._find(body.name)
        if isinstance(node, str):
            answer = RestartNodeResponse(ErrorCode.INVALID_REQUEST, node)
            self._reply(origin, envelope, answer)
            return
        refused = self._cannot_restart()
        if refused:
            self._reply(origin, envelope, RestartNodeResponse(ErrorCode.STOPPING, refused))
            return
        until_ms = now.mono_ms + RESTART_MAX_MS
        waiting = _Restarting(node, node.incarnation, origin, envelope, until_ms)
        self._wait_for(waiting)
        self._begin_if_free(waiting, now)

    def _rebuild(
        self, origin: Origin, envelope: Envelope, body: RebuildNodeRequest, now: Now
    ) -> None:
        node = self._find(body.name)
        error = ErrorCode.INVALID_REQUEST
        text = node if isinstance(node, str) else self._cannot_rebuild(node, body, now)
        if not text:
            error, text = ErrorCode.STOPPING, self._cannot_restart()
        if text or isinstance(node, str):
            self._reply(origin, envelope, RebuildNodeResponse(error, text))
            return
        try:
            self._lives.rebuild(node)
        except ConfigError as failed:
            answer = RebuildNodeResponse(ErrorCode.INVALID_CONFIG, str(failed))
            self._reply(origin, envelope, answer)
            return
        until_ms = now.mono_ms + RESTART_MAX_MS
        waiting = _Restarting(
            node, node.incarnation, origin, envelope, until_ms, RebuildNodeResponse
        )
        self._wait_for(waiting)
        self._begin(waiting, now)  # that its peers are enough without it has been looked at

    def _cannot_rebuild(self, node: Node, body: RebuildNodeRequest, now: Now) -> str:
        """Return why a node cannot be filled anew by the others now; empty: it can."""
        if not node.in_quorum:
            return f"{node.name} is not of the quorum; a broker whose data is gone is filled anew by itself"
        voters = [member for member in self._roster.quorum() if member.votes]
        others = [voter for voter in voters if voter is not node]
        states = {other.name: self._state_of(other, now) for other in others}
        needed = (len(voters) + body.voters_elsewhere) // 2 + 1
        if len(others) + body.voters_elsewhere < needed:
            return f"{node.name} has not enough peers to be filled anew by: restore its data"
        missing = [f"{name} is {state}" for name, state in states.items() if state != READY]
        if len(others) - len(missing) + body.ready_elsewhere >= needed:
            return ""
        away = body.voters_elsewhere - body.ready_elsewhere
        missing += [f"{away} of other hosts are not"] if away else []
        return f"{needed} of the other members of the quorum must be ready for that; {', '.join(missing)}"

    def _state_of(self, node: Node, now: Now) -> str:
        """Return a node's state; of one that hands over before it ends, and may be emptied, that."""
        if any(waiting.node is node for waiting in self._restarting):
            return "being restarted"
        return node.state(now.mono_ms)

    def _add(self, origin: Origin, envelope: Envelope, body: AddNodeRequest, now: Now) -> None:
        text = self._cannot_restart()
        if self._growth is None:
            text = "this cluster's nodes are those of its settings"
        if text or self._growth is None:
            self._reply(origin, envelope, AddNodeResponse(ErrorCode.STOPPING, text))
            return
        try:
            if body.coordinator:
                endpoints = self._growth.add_coordinator()
            else:
                endpoints = self._growth.add_broker(body.rack)
        except ConfigError as error:
            answer = AddNodeResponse(ErrorCode.INVALID_CONFIG, str(error))
            self._reply(origin, envelope, answer)
            return
        policy = RestartPolicy(self._plan.settings.supervisor)
        node = self._roster.add(endpoints, policy)
        self._health.meet(node)
        if body.coordinator:
            self._lives.start(node, now)
            self._reply(origin, envelope, AddNodeResponse(ErrorCode.NONE, "", node.pid, node.name))
            return
        answered = partial(AddNodeResponse, name=node.name)
        until_ms = now.mono_ms + RESTART_MAX_MS
        waiting = _Restarting(node, node.incarnation, origin, envelope, until_ms, answered)
        self._wait_for(waiting)
        self._begin(waiting, now)

    def _on_removed(self, node: Node, now: Now) -> None:
        self._health.forget(node)
        self._roster.remove(node)
        self._removals.on_ended(node.endpoints, now)

    def _move(self, origin: Origin, envelope: Envelope, body: MoveRequest, _now: Now) -> None:
        if self._growth is None:
            text = "this cluster's nodes are those of its settings"
            self._reply(origin, envelope, MoveResponse(ErrorCode.INVALID_REQUEST, text))
            return
        try:
            (self._growth.finish_move if body.finished else self._growth.prepare_move)()
        except ConfigError as error:
            answer = MoveResponse(ErrorCode.INVALID_CONFIG, str(error))
            self._reply(origin, envelope, answer)
            return
        for endpoints in self._plan.nodes:
            self._roster[endpoints.name].endpoints = endpoints
        self._reply(origin, envelope, MoveResponse(ErrorCode.NONE))

    def _cannot_restart(self) -> str:
        if self._lives.stopping:
            return "the supervisor is stopping"
        return "too many restarts" if len(self._restarting) >= RESTARTS_WAITING_MAX else ""

    def _wait_for(self, waiting: _Restarting) -> None:
        self._restarting.append(waiting)
        self._timers.at(waiting.until_ms, partial(self._restart_too_slow, waiting))

    def _begin_if_free(self, waiting: _Restarting, now: Now) -> None:
        """End a node, unless it is a voter that is ready, and another one is not back yet."""
        node = waiting.node
        is_needed = _is_voter(node) and node.state(now.mono_ms) == READY
        others = (one.node for one in self._restarting if one.begun and one.node is not node)
        if not (is_needed and any(map(_is_voter, others))):
            self._begin(waiting, now)

    def _begin(self, waiting: _Restarting, now: Now) -> None:
        node = waiting.node
        waiting.begun, waiting.before = True, node.incarnation
        if node.pid and BROKER in node.endpoints.roles and node.state(now.mono_ms) == READY:
            self._health.hand_over(node, partial(self._lives.restart, node), now)
        else:
            self._lives.restart(node, now)

    def _restart_too_slow(self, waiting: _Restarting, now: Now) -> None:
        if waiting in self._restarting:
            state = waiting.node.state(now.mono_ms)
            text = f"{waiting.node.name} is not ready after {RESTART_MAX_MS // 1000} s, but {state}"
            if not waiting.begun:
                text = (
                    f"{waiting.node.name} is as it was: another coordinator is not ready again yet"
                )
            self._finish(waiting, ErrorCode.REQUEST_TIMED_OUT, text)

    def _finish(self, waiting: _Restarting, error: ErrorCode, text: str = "", pid: int = 0) -> None:
        self._restarting.remove(waiting)
        self._reply(waiting.origin, waiting.envelope, waiting.answer(error, text, pid))
        if error and waiting.begun and _is_voter(waiting.node):
            for other in [one for one in self._restarting if not one.begun]:
                story = f"{other.node.name} is as it was: {text}"
                self._finish(other, ErrorCode.BROKER_NOT_AVAILABLE, story)

    def end_turn(self, now: Now) -> None:
        """Answer the restarts that are done, or can never be, and begin those that have waited for them."""
        for waiting in [one for one in self._restarting if one.begun]:
            node = waiting.node
            if node.given_up:
                text = f"{node.name} {node.note}"
                self._finish(waiting, ErrorCode.INVALID_CONFIG, text)
            elif node.incarnation > waiting.before and node.state(now.mono_ms) == READY:
                self._finish(waiting, ErrorCode.NONE, pid=node.pid)
        for waiting in [one for one in self._restarting if not one.begun]:
            self._begin_if_free(waiting, now)


def _is_voter(node: Node) -> bool:
    return node.in_quorum and node.votes
