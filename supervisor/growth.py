"""A cluster that grows and shrinks while it runs: nodes added and removed by command.

Owns which nodes the plan has beyond the settings, and keeps it in ``cluster.json``, so that the next
start knows as well.  A removed node's number is never given again: its data directory stays.
"""

from __future__ import annotations

from nodes.settings import ConfigError
from supervisor.data_dir import Cluster, DataDir, named
from supervisor.member import (
    BROKER,
    BROKERS_MAX,
    CONTROLLER_ID_BASE,
    OBSERVER,
    QUORUM_ID_END,
    Member,
    number_in,
)
from supervisor.moving import (
    CONTROLLER,
    COORDINATOR,
    as_moved,
    with_controllers,
    with_controllers_only,
)
from supervisor.plan import ClusterPlan
from supervisor.ports import assign_endpoints
from supervisor.settings import Settings, broker_id
from transport.wire.ids import NodeId, NodeName
from transport.wire.messages.cluster import NodeEndpoints


def members_kept(
    before: Cluster | None, wanted: tuple[Member, ...], settings: Settings, host: str = ""
) -> tuple[Member, ...]:
    """Return the nodes to start: those of the settings and those added since, not the removed.

    ``host``: by which others reach those that were added; empty: as before.
    """
    if before is None:
        return wanted
    known = {member.name for member in wanted}
    added = [
        Member(
            node.name,
            node.id,
            node.roles,
            host or _host(node),
            settings.ports_of_added(node.roles),
            node.rack,
        )
        for node in before.nodes
        if node.name not in known and node.name in before.added
    ]
    return tuple(member for member in (*wanted, *added) if member.name not in before.removed)


def _host(node: NodeEndpoints) -> str:
    return node.clients.removeprefix("tcp://").rpartition(":")[0]


class Growth:
    """Adds nodes to the plan of a running cluster, and takes them out of it."""

    def __init__(self, plan: ClusterPlan, data_dir: DataDir) -> None:
        self._plan = plan
        self._data_dir = data_dir

    def add_broker(self, rack: str) -> NodeEndpoints:
        """Return a new broker's endpoints, chosen and noted. Raises ConfigError."""
        number = self._next_number(f"{BROKER}-", "node-")
        if number > BROKERS_MAX:
            raise ConfigError(
                "every number that a broker can have was given before: run one more with "
                "`odradek start --join` and a --data-dir of its own"
            )
        return self._add(NodeName(f"{BROKER}-{number}"), broker_id(number), (BROKER,), rack)

    def add_coordinator(self) -> NodeEndpoints:
        """Return a new coordinator's endpoints, chosen and noted: an observer. Raises ConfigError.

        That its number was never another's matters to Raft: it is who somebody is, and what it has
        promised.  Who votes is for the ensemble's log to say.
        """
        if self._plan.settings.cluster.mode != "zookeeper":
            raise ConfigError("only a cluster of mode zookeeper has coordinators of their own")
        number = self._next_number(f"{COORDINATOR}-")
        node_id = CONTROLLER_ID_BASE + number
        if node_id >= QUORUM_ID_END:
            raise ConfigError("every number that a coordinator can have was given before")
        roles = {role for node in self._read().nodes for role in node.roles}
        both = (COORDINATOR, CONTROLLER) if CONTROLLER in roles else (COORDINATOR,)
        return self._add(NodeName(f"{COORDINATOR}-{number}"), node_id, (*both, OBSERVER), "")

    def _next_number(self, *kinds: str) -> int:
        before = self._read()
        if before.elsewhere:
            raise ConfigError(
                "this cluster has several hosts, which would not know of each other's choice of a "
                "number: run one more broker with `odradek start --join` and a --data-dir of its own"
            )
        names = [*before.removed, *(node.name for node in before.everywhere)]
        return 1 + max((number_in(name) for name in names if name.startswith(kinds)), default=0)

    def _add(
        self, name: NodeName, node_id: int, roles: tuple[str, ...], rack: str
    ) -> NodeEndpoints:
        before = self._read()
        settings = self._plan.settings
        host, ports = settings.host_of_added(), settings.ports_of_added(roles)
        member = Member(name, NodeId(node_id), roles, host, ports, rack)
        (endpoints,) = assign_endpoints([member], named(before.nodes), settings.cluster.bind)
        after = before._replace(
            nodes=(*before.nodes, endpoints), added=(*before.added, endpoints.name)
        )
        self._write(after)
        return endpoints

    def prepare_move(self) -> None:
        """Let every coordinator start as a controller too from now on. Raises ConfigError."""
        before = self._read()
        if before.mode != "zookeeper":
            raise ConfigError("the cluster is of mode kraft already")
        ids = [node.id for node in before.everywhere]
        if len(set(ids)) != len(ids):
            raise ConfigError(
                "its coordinators have the numbers of brokers, as an earlier version gave them: "
                "replace them first, one after the other, by `odradek ensemble add` and `remove`"
            )
        nodes, elsewhere = with_controllers(before.nodes), with_controllers(before.elsewhere)
        self._write(before._replace(nodes=nodes, elsewhere=elsewhere))

    def finish_move(self) -> None:
        """Let every node start in mode ``kraft`` from now on. Raises ConfigError."""
        before = self._read()
        nodes = with_controllers_only(before.nodes)
        elsewhere = with_controllers_only(before.elsewhere)
        self._write(before._replace(mode="kraft", nodes=nodes, elsewhere=elsewhere))
        self._plan.settings = as_moved(self._plan.settings)

    def was_removed(self, name: str) -> bool:
        """Tell whether a node was taken out before. Raises ConfigError."""
        return name in self._read().removed

    def remove(self, name: NodeName) -> None:
        """Take a node out, for good. Raises ConfigError when that cannot be noted."""
        before = self._read()
        after = before._replace(
            nodes=tuple(node for node in before.nodes if node.name != name),
            added=tuple(added for added in before.added if added != name),
            removed=(*before.removed, name),
        )
        self._write(after)

    def forget(self, name: NodeName) -> None:
        """Know a node of another host no more, which was taken out there. Raises ConfigError."""
        before = self._read()
        there = tuple(node for node in before.elsewhere if node.name != name)
        self._write(before._replace(elsewhere=there, removed=(*before.removed, name)))

    def note_served(self, name: NodeName) -> None:
        """Note, once, that a member of the quorum serves: from now on it must not begin without its data.

        Raises ConfigError when that cannot be noted.
        """
        before = self._read()
        if name not in before.served:
            self._write(before._replace(served=(*before.served, name)))

    def _read(self) -> Cluster:
        cluster = self._data_dir.read_cluster()
        if cluster is None:
            raise ConfigError(
                f"{self._data_dir} has lost its cluster.json; start the cluster again"
            )
        return cluster

    def _write(self, cluster: Cluster) -> None:
        self._data_dir.write_cluster(cluster)
        self._plan.nodes, self._plan.elsewhere = cluster.nodes, cluster.elsewhere
        self._plan.served = cluster.served
