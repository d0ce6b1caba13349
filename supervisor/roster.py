"""What the supervisor knows of each node: its process, its last word about itself, its deaths."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from nodes.config import QUORUM_ROLES
from supervisor.member import LISTENERS
from supervisor.plan import ClusterPlan
from supervisor.watch import RestartPolicy
from transport.driver.timers import Timer
from transport.wire.ids import Incarnation, NodeName
from transport.wire.messages.cluster import HealthResponse, NodeEndpoints
from transport.wire.messages.supervision import NodeStatus

SILENCE_MAX_MS = 2_500
"""Two questions unanswered: whatever holds the node up, it serves nobody."""
WORD_FRESH_MS = 1_500
"""A node's word that it leads counts this long; another may have been elected since."""

READY = "ready"


class Usage(NamedTuple):
    """What a process takes of the machine."""

    rss_bytes: int = 0
    cpu_percent: float = 0.0


@dataclass(slots=True)
class Node:
    """One node. ``pid`` 0: it has no process."""

    endpoints: NodeEndpoints
    policy: RestartPolicy
    pid: int = 0
    incarnation: Incarnation = Incarnation(0)
    started_ms: int = 0
    restarts: int = 0
    health: HealthResponse | None = None
    """Of the present process only."""
    votes_by_word: bool | None = None
    """Whether it votes in the quorum, as it has said last, of whichever process; None: it has not."""
    heard_ms: int = 0
    asked_to_end: bool = False
    given_up: bool = False
    removed: bool = False
    """It is not started again: it is on its way out of the cluster."""
    note: str = ""
    next_start: Timer | None = None

    @property
    def name(self) -> NodeName:
        """Its name."""
        return self.endpoints.name

    @property
    def in_quorum(self) -> bool:
        """A coordinator, or in mode ``kraft`` a controller."""
        return not frozenset(QUORUM_ROLES.values()).isdisjoint(self.endpoints.roles)

    @property
    def votes(self) -> bool:
        """A member of the quorum that votes: by its own last word, as it may be down and vote
        nevertheless; by its settings before the first."""
        if self.votes_by_word is not None:
            return self.votes_by_word
        return "observer" not in self.endpoints.roles

    def became(self, pid: int, incarnation: Incarnation, now_ms: int) -> None:
        """Note a new process."""
        self.pid, self.incarnation, self.started_ms = pid, incarnation, now_ms
        self.health, self.heard_ms = None, now_ms
        self.asked_to_end = self.given_up = False
        self.next_start = None

    def ended(self) -> None:
        """Note that the process is gone."""
        self.pid = 0
        self.health = None

    def heard(self, health: HealthResponse, now_ms: int) -> None:
        """Note the node's own word."""
        self.health, self.heard_ms = health, now_ms
        if health.state == READY and "raft_voter" in health.figures:  # else it may have forgotten
            self.votes_by_word = bool(health.figures["raft_voter"])

    def state(self, now_ms: int) -> str:
        """Return the state as ``status`` shows it."""
        if self.given_up:
            return "failed"
        if not self.pid:
            return "restarting" if self.next_start is not None else "ended"
        if self.asked_to_end:
            return "stopping"
        if now_ms - self.heard_ms > SILENCE_MAX_MS and self.health is not None:
            return "unresponsive"
        return self.health.state if self.health is not None else "starting"

    def status(self, now_ms: int, usage: Usage) -> NodeStatus:
        """Return the node as people are shown it."""
        health = self.health if now_ms - self.heard_ms <= WORD_FRESH_MS else None
        return NodeStatus(
            name=self.name,
            id=self.endpoints.id,
            roles=self.endpoints.roles,
            pid=self.pid,
            state=self.state(now_ms),
            leader=health is not None and health.leader,
            controller=health is not None and health.controller,
            incarnation=self.incarnation,
            restarts=self.restarts,
            uptime_ms=now_ms - self.started_ms if self.pid else 0,
            rss_bytes=usage.rss_bytes,
            cpu_percent=usage.cpu_percent,
            leader_count=self.health.leader_count if self.health is not None else 0,
            peers=self.endpoints.peers,
            clients=self.endpoints.clients,
            events=self.endpoints.events,
            note=self.note,
            listeners={
                name: endpoint for name in LISTENERS if (endpoint := getattr(self.endpoints, name))
            },
        )


@dataclass(slots=True)
class Roster:
    """Every node of the plan, in its order."""

    nodes: dict[NodeName, Node] = field(default_factory=dict)
    is_whole: bool = True
    """No node of the cluster runs on another host."""

    @classmethod
    def of(cls, plan: ClusterPlan) -> Roster:
        """Return the roster of a plan: nothing runs yet."""
        policy = plan.settings.supervisor
        nodes = {node.name: Node(node, RestartPolicy(policy)) for node in plan.nodes}
        return cls(nodes, not plan.elsewhere)

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes.values())

    def __getitem__(self, name: NodeName) -> Node:
        return self.nodes[name]

    def add(self, endpoints: NodeEndpoints, policy: RestartPolicy) -> Node:
        """Add a node that has no process yet."""
        node = self.nodes[endpoints.name] = Node(endpoints, policy)
        return node

    def remove(self, node: Node) -> None:
        """Forget a node whose process has ended."""
        del self.nodes[node.name]

    def running(self) -> list[Node]:
        """Return the nodes that have a process."""
        return [node for node in self if node.pid]

    def quorum(self) -> list[Node]:
        """Return the members of the quorum: they are told of deaths."""
        return [node for node in self if node.in_quorum]

    def is_ready(self, now_ms: int) -> bool:
        """Tell whether the cluster accepts writes: every node serves, a controller is active.

        Of several hosts each answers for its own nodes, which serve only within a whole cluster.
        """
        if any(node.state(now_ms) != READY for node in self):
            return False
        return not self.is_whole or any(
            node.health is not None and node.health.controller for node in self
        )

    def waits_for(self, now_ms: int) -> str:
        """Return what is missing before the cluster is ready, for people."""
        missing = [f"{node.name} {node.state(now_ms)}" for node in self]
        missing = [text for text in missing if not text.endswith(f" {READY}")]
        others = "" if self.is_whole else "; and have the other hosts been started?"
        return (", ".join(missing) or "no controller is active") + others
