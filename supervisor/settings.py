"""The settings of a cluster, and which nodes they mean: their names, ids, roles, hosts and ports.

Looks at nothing but the settings.  Knows neither how they were read (``config_file``) nor whether
they can stand together (``settings_check``), and nothing of what a data directory says.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from nodes.config import BrokerConfig, CoordinatorConfig, LogConfig, LogsConfig, RaftConfig
from nodes.settings import ConfigError, nearest
from supervisor.member import (
    CONTROLLER_ID_BASE,
    LISTENERS,
    OBSERVER,
    OBSERVER_ID_BASE,
    PORTS_EACH,
    QUORUM_ID_END,
    Member,
    NodePorts,
    number_in,
)
from supervisor.sections import (
    ClusterConfig,
    HostConfig,
    NodeOverride,
    SecurityConfig,
    SupervisorConfig,
)
from transport.wire.ids import ClusterId, NodeId, NodeName
from transport.wire.messages.cluster import NodeEndpoints

KEYS_DIR = "keys"


@dataclass(frozen=True, slots=True)
class Settings:
    """The people's file, read and checked."""

    source: str
    cluster: ClusterConfig = field(default_factory=ClusterConfig)
    supervisor: SupervisorConfig = field(default_factory=SupervisorConfig)
    raft: RaftConfig = field(default_factory=RaftConfig)
    coordinator: CoordinatorConfig = field(default_factory=CoordinatorConfig)
    broker: BrokerConfig = field(default_factory=BrokerConfig)
    log: LogConfig = field(default_factory=LogConfig)
    logs: LogsConfig = field(default_factory=LogsConfig)
    security: SecurityConfig = field(default_factory=SecurityConfig)
    overrides: tuple[NodeOverride, ...] = ()
    hosts: tuple[HostConfig, ...] = ()

    def members(self) -> tuple[Member, ...]:
        """Return every node wanted, the quorum first, each with its host and the ports asked for."""
        special = {override.name: override for override in self.overrides}
        kinds = _KINDS[self.cluster.mode](self.cluster)
        listening = dict.fromkeys(LISTENERS, 0)
        found = []
        for place, kind in enumerate(kinds):
            listeners: dict[str, int | None] = dict.fromkeys(LISTENERS)
            for name, roles in LISTENERS.items():
                if not roles.isdisjoint(kind[2]):
                    listeners[name] = self._listener_port(name, listening[name])
                    listening[name] += 1
            override = special.get(kind[0], NodeOverride())
            found.append(self._member(place, kind, override, listeners))
        return tuple(found)

    def _listener_port(self, listener: str, place: int) -> int | None:
        """Return the port of the node at this place of those that have it; 0: any; None: there is none."""
        port: int = getattr(self.cluster, f"{listener}_port")
        if not port:
            return None
        return port + place if port > 0 else 0

    def host_of_added(self) -> str:
        """Return the address of a node that the settings do not name: this host's, the only one."""
        return self.hosts[0].address if self.hosts else self.cluster.host

    def ports_of_added(self, roles: Iterable[str]) -> NodePorts:
        """Return what to ask for for a node of these roles that the settings do not name: free ports."""
        wanted = {
            name: 0
            for name, having in LISTENERS.items()
            if not having.isdisjoint(roles) and self._listener_port(name, 0) is not None
        }
        return NodePorts(**wanted)

    def _member(
        self, place: int, kind: _Kind, override: NodeOverride, listeners: Mapping[str, int | None]
    ) -> Member:
        name, node_id, roles = kind
        host = HostConfig(address=self.cluster.host)
        if self.hosts:
            dealt = self.hosts[(number_in(name) - 1) % len(self.hosts)]
            host = HostConfig(address=dealt.address, rack=dealt.rack or dealt.address)
        first = self.cluster.base_port and self.cluster.base_port + place * PORTS_EACH
        asked = (
            override.peers_port,
            override.clients_port,
            override.events_port,
            override.http_port,
        )
        ports = (port or (first and first + door) for door, port in enumerate(asked))
        return Member(
            NodeName(name),
            NodeId(node_id),
            roles,
            override.host or host.address,
            NodePorts._make((*ports, *listeners.values())),
            override.rack or host.rack,
        )

    def placed(
        self, here: str, members: tuple[Member, ...]
    ) -> tuple[tuple[Member, ...], tuple[NodeEndpoints, ...]]:
        """Return which of ``members`` run on the host ``here``, and where all others listen.

        Empty: the only host there is. Raises ConfigError.
        """
        hosts = list(dict.fromkeys(member.host for member in members))
        if not here and len(hosts) > 1:
            raise ConfigError(
                f"{self.source} places nodes on {', '.join(hosts)}; "
                f"say which of them this is, as --here {hosts[0]}"
            )
        if here and here not in hosts:
            raise ConfigError(f"{self.source} places no node on {here}; {nearest(here, hosts)}")
        mine = tuple(member for member in members if member.host == (here or hosts[0]))
        others = (member for member in members if member not in mine)
        return mine, tuple(other.endpoints(other.ports) for other in others)


def new_cluster_id() -> ClusterId:
    """Return a fresh cluster id: 16 random bytes, as Kafka writes its own."""
    return ClusterId(secrets.token_urlsafe(16))


_Kind = tuple[str, int, tuple[str, ...]]
"""Name, id and roles of a node."""


def _zookeeper_kinds(cluster: ClusterConfig) -> Iterator[_Kind]:
    for number in range(1, cluster.coordinators + 1):
        yield f"coordinator-{number}", CONTROLLER_ID_BASE + number, ("coordinator",)
    yield from _observers(cluster, "coordinator")
    for number in range(1, cluster.brokers + 1):
        yield f"broker-{number}", broker_id(number), ("broker",)


def _kraft_kinds(cluster: ClusterConfig) -> Iterator[_Kind]:
    """Nodes that are both are numbered first; then come the controllers, or brokers, left over."""
    both = 0 if cluster.separate else min(cluster.controllers, cluster.brokers)
    for number in range(1, both + 1):
        yield f"node-{number}", number, ("broker", "controller")
    for number in range(both + 1, cluster.controllers + 1):
        yield f"controller-{number}", CONTROLLER_ID_BASE + number, ("controller",)
    yield from _observers(cluster, "controller")
    for number in range(both + 1, cluster.brokers + 1):
        yield f"broker-{number}", broker_id(number), ("broker",)


def broker_id(number: int) -> int:
    """Return the id of the broker of that number: the same, but those of the quorum are passed over."""
    return number + (QUORUM_ID_END - OBSERVER_ID_BASE if number > OBSERVER_ID_BASE else 0)


def _observers(cluster: ClusterConfig, role: str) -> Iterator[_Kind]:
    for number in range(1, cluster.observers + 1):
        yield f"observer-{number}", OBSERVER_ID_BASE + number, (role, OBSERVER)


_KINDS: dict[str, Callable[[ClusterConfig], Iterator[_Kind]]] = {
    "zookeeper": _zookeeper_kinds,
    "kraft": _kraft_kinds,
}
