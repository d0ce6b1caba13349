"""What changes in the nodes, as lines of the trace: compared with what was before, after each turn.

Observed from outside; no server knows of it.  The cause is what the turn had taken in.
"""

from __future__ import annotations

from nodes.broker.server import BrokerServer
from nodes.coordinator.server import CoordinatorServer
from nodes.core.controller.image import ClusterImage
from nodes.kraft.server import KraftServer
from tests.simulation.process import Inputs, SimulatedProcess
from tests.simulation.world import World
from transport.wire.ids import NodeId, SessionId, TopicId
from transport.wire.messages.metadata import PartitionRecord

CAUSES_MAX = 3


class Transitions:
    """The last known state of every node, and the newest image any broker has applied."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.image: ClusterImage | None = None
        """The newest that any broker has applied."""
        self._known: dict[SimulatedProcess, object] = {}
        """Of brokers."""
        self._standings: dict[SimulatedProcess, object] = {}
        """Of coordinators."""
        self._sessions: tuple[int, int | None] = (0, None)
        self._applied = 0
        """How far the coordinator that is furthest has applied the log."""
        self._live: dict[SessionId, str] = {}
        self._version = 0
        self._alive: dict[NodeId, tuple[bool, int]] = {}
        self._partitions: dict[tuple[TopicId, int], PartitionRecord] = {}

    def look(self, process: SimulatedProcess, inputs: Inputs) -> None:
        """Note what one turn of a process has changed."""
        program = process.program
        if isinstance(program, KraftServer):
            if program._started:
                self._coordinator(process, program.coordinator, inputs)
                if isinstance(program.broker, BrokerServer):
                    self._broker(process, program.broker, inputs)
        elif isinstance(program, CoordinatorServer):
            self._coordinator(process, program, inputs)
        elif isinstance(program, BrokerServer):
            self._broker(process, program, inputs)

    # Coordinators

    def _coordinator(
        self, process: SimulatedProcess, server: CoordinatorServer, inputs: Inputs
    ) -> None:
        if not server._started:
            return
        standing = server._quorum._standing
        if standing is not self._standings.get(process):
            self._standings[process] = standing
            role, leader, term = standing
            led = f"led by coordinator-{leader}" if leader >= 0 else "without a leader"
            self._note(process, f"{role.value} in term {term}, {led}", inputs)
        applied = server._replica.applied_index
        if applied > self._applied:
            self._applied = applied
            sessions = server._context.core.sessions._sessions
            mark = (len(sessions), next(reversed(sessions), None))
            if mark != self._sessions:
                self._sessions = mark
                self._compare_sessions(process, server, inputs)

    def _compare_sessions(
        self, process: SimulatedProcess, server: CoordinatorServer, inputs: Inputs
    ) -> None:
        sessions = server._context.core.sessions
        for session in sessions:
            if session.id not in self._live:
                owner = session.owner.name if session.owner is not None else "a client"
                self._live[session.id] = owner
                text = f"session {session.id:x} of {owner} opened, {session.timeout_ms} ms"
                self._note(process, text, inputs)
        for session_id in [one for one in self._live if sessions.get(one) is None]:
            text = f"session {session_id:x} of {self._live.pop(session_id)} ended"
            self._note(process, text, inputs)

    # Brokers

    def _broker(self, process: SimulatedProcess, server: BrokerServer, inputs: Inputs) -> None:
        if not server._started:
            return
        state = (server.context.broker_epoch, server.controller._state)
        known = self._known.get(process)
        if state != known:
            self._known[process] = state
            epoch, controller = state
            registered = f"registered with epoch {epoch}" if epoch >= 0 else "not registered"
            self._note(process, f"{registered}, controller {controller.value}", inputs)
        image = server.context.image
        if image.position.version > self._version:
            self._version = image.position.version
            self.image = image
            self._compare_image(process, image, inputs)

    def _compare_image(
        self, process: SimulatedProcess, image: ClusterImage, inputs: Inputs
    ) -> None:
        stamp = f"metadata {image.position.controller_epoch}.{image.position.version}"
        for node, broker in image.brokers.items():
            now = (broker.alive, broker.epoch)
            if self._alive.get(node) != now:
                self._alive[node] = now
                life = "alive" if broker.alive else "dead"
                self._note(process, f"{stamp}: broker-{node} {life}, epoch {broker.epoch}", inputs)
        for topic_id, partitions in image.partitions.items():
            name = image.topics[topic_id].name
            for number, record in partitions.items():
                before = self._partitions.get((topic_id, number))
                if record is before or record == before:
                    continue
                self._partitions[topic_id, number] = record
                isr = ",".join(map(str, record.isr))
                text = f"{name}-{number} leader {record.leader} epoch {record.leader_epoch}"
                self._note(process, f"{stamp}: {text} isr {isr}", inputs)

    def _note(self, process: SimulatedProcess, text: str, inputs: Inputs) -> None:
        self._world.note(f"{process.host} {text} <- {_cause(inputs)}")


def _cause(inputs: Inputs) -> str:
    changes, messages = inputs
    causes = [f"link {link} {'up' if up else 'down'}" for link, up in changes]
    for _, envelope, _ in messages:
        sender = getattr(envelope.body, "sender", None)
        name = type(envelope.body).__name__
        causes.append(name if sender is None else f"{name} of {sender}")
    causes = list(dict.fromkeys(causes)) or ["its own time, or disk"]
    more = ["…"] if len(causes) > CAUSES_MAX else []
    return ", ".join(causes[:CAUSES_MAX] + more)
