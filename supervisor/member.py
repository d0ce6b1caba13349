"""A node as the settings ask for it: who it is, and where it is to listen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from transport.wire.ids import NodeId, NodeName
from transport.wire.messages.cluster import NodeEndpoints

BROKER = "broker"
OBSERVER = "observer"
"""The role that takes a member of the quorum its vote, and nothing else."""
OBSERVER_ID_BASE = 64
"""Above the numbers of all voters there can be; session ids have seven bits for it."""
CONTROLLER_ID_BASE = 112
"""All nodes share one space of ids, since coordinators can become controllers: those and dedicated
controllers have the last of what the quorum can have."""
QUORUM_ID_END = 128
JOINED_ID_MIN = 1_001
"""Of brokers on hosts that join: above all that settings and ``broker add`` give (as Kafka's
``reserved.broker.max.id``)."""
BROKERS_MAX = JOINED_ID_MIN - 1 - (QUORUM_ID_END - OBSERVER_ID_BASE)
"""Numbers below those, where the ids of the quorum are passed over."""

PORTS_EACH = 4
"""That every node has."""
LISTENERS: dict[str, frozenset[str]] = {
    "zookeeper": frozenset({"coordinator", "controller"}),
    "kafka": frozenset({"broker"}),
}
"""What a node may listen for beside those, as :class:`NodePorts` and :class:`NodeEndpoints` name it
-> the roles of which a node that does has one."""


class NodePorts(NamedTuple):
    """Where one node listens; 0: any free port; None: it does not."""

    peers: int = 0
    clients: int = 0
    events: int = 0
    http: int = 0
    zookeeper: int | None = None
    kafka: int | None = None


@dataclass(frozen=True, slots=True)
class Member:
    """A node as asked for: its ports may still be 0."""

    name: NodeName
    id: NodeId
    roles: tuple[str, ...]
    host: str
    ports: NodePorts
    rack: str = ""

    def endpoints(self, ports: NodePorts) -> NodeEndpoints:
        """Return where it listens, with the ports it was given."""
        peers, clients, events, http = (f"{self.host}:{port}" for port in ports[:PORTS_EACH])
        listeners = {
            name: f"tcp://{self.host}:{port}"
            for name in LISTENERS
            if (port := getattr(ports, name)) is not None
        }
        return NodeEndpoints(
            self.id,
            self.name,
            self.roles,
            f"tcp://{peers}",
            f"tcp://{clients}",
            f"tcp://{events}",
            self.rack,
            f"http://{http}",
            **listeners,
        )


def number_in(name: str) -> int:
    """Return the number at the end of a node's name."""
    return int(name.rpartition("-")[2])
