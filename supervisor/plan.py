"""A cluster's plan: what every node here is started with.

Where port 0 asks for "any free port", the plan is made with the ports that ``supervisor.ports`` has
chosen; nothing here looks at the network.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nodes.config import NodeConfig
from nodes.settings import ConfigError, nearest
from supervisor.settings import KEYS_DIR, Settings
from transport.sockets.certificate import TlsFiles
from transport.wire.ids import ClusterId, Incarnation, NodeName
from transport.wire.messages.cluster import NodeEndpoints


@dataclass(slots=True)
class ClusterPlan:
    """Everything that is needed to start every node; ``nodes`` changes when some come or go,
    ``served`` when one serves first, and ``settings`` when the cluster has moved to mode ``kraft``."""

    settings: Settings
    cluster_id: ClusterId
    key: str
    """Authenticates the supervisor to its nodes, and commands to the supervisor."""
    data_dir: Path
    nodes: tuple[NodeEndpoints, ...]
    """Those that run on this host."""
    elsewhere: tuple[NodeEndpoints, ...] = ()
    """Those that supervisors on other hosts run."""
    served: tuple[NodeName, ...] = ()
    """Members of the quorum that have served here, and must not begin without what they held."""

    def keys_dir(self) -> Path | None:
        """Return where the cluster's keys are; None: it has none."""
        security = self.settings.security
        if not security.curve:
            return None
        return Path(security.keys).absolute() if security.keys else self.data_dir / KEYS_DIR

    def node_dir(self, name: str) -> Path:
        """Return the folder of one node: its config, its log, its data."""
        return self.data_dir / "nodes" / name

    def node_config(self, node: NodeEndpoints, supervisor_pid: int) -> NodeConfig:
        """Return what a node is started with, but for its incarnation."""
        settings = self.settings
        tls = settings.security.tls_files() or TlsFiles("", "")
        return NodeConfig(
            name=node.name,
            id=node.id,
            role=node.roles[0],
            mode=settings.cluster.mode,
            cluster_id=self.cluster_id,
            incarnation=Incarnation(0),
            data_dir=str(self.node_dir(node.name) / "data"),
            nodes=(*self.nodes, *self.elsewhere),
            cluster_name=settings.cluster.name,
            bind=settings.cluster.bind,
            supervisor_pid=supervisor_pid,
            supervisor_key=self.key,
            keys_dir=str(self.keys_dir() or ""),
            tls_certificate=tls.certificate,
            tls_key=tls.key,
            tls_client_ca=tls.client_ca,
            authorizer=settings.security.curve and settings.security.authorizer,
            sasl=settings.security.sasl,
            super_users=settings.security.above_all(),
            raft=settings.raft,
            coordinator=settings.coordinator,
            broker=settings.broker,
            log=settings.log,
            logs=settings.logs,
        )

    def find(self, name: str) -> NodeEndpoints:
        """Return the node of that name; ConfigError names the nearest."""
        for node in self.nodes:
            if node.name == name:
                return node
        if any(node.name == name for node in self.elsewhere):
            raise ConfigError(f"{name} runs on another host; give the command there")
        known = [str(node.name) for node in self.nodes]
        raise ConfigError(f"there is no node {name!r}; {nearest(name, known)}")
