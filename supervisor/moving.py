"""A cluster that moves from mode ``zookeeper`` to ``kraft``, as settings and data directory have it.

Its coordinators become controllers where they are: each keeps its name, number, ports and data.  While
the move is under way they have both roles; once it is finished the cluster is of mode ``kraft``, and
settings of either mode start it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import msgspec

from supervisor.data_dir import Cluster, named
from supervisor.member import Member
from supervisor.sections import NodeOverride
from supervisor.settings import Settings
from transport.wire.ids import NodeName
from transport.wire.messages.cluster import NodeEndpoints

COORDINATOR = "coordinator"
CONTROLLER = "controller"


def was_moved(before: Cluster | None) -> bool:
    """Tell whether a cluster is of mode ``kraft`` now, and was made in mode ``zookeeper``."""
    if before is None or before.mode != "kraft":
        return False
    return any(node.name.startswith(f"{COORDINATOR}-") for node in before.everywhere)


def as_moved(settings: Settings) -> Settings:
    """Return what settings of mode ``zookeeper`` are once their cluster has moved."""
    cluster = settings.cluster
    if cluster.mode == "kraft":
        return settings
    return replace(
        settings,
        cluster=replace(cluster, mode="kraft", controllers=cluster.coordinators, separate=True),
        overrides=tuple(_as_controllers(settings.overrides)),
    )


def _as_controllers(overrides: Iterable[NodeOverride]) -> Iterable[NodeOverride]:
    for override in overrides:
        yield replace(override, name=_renamed(override.name, COORDINATOR, CONTROLLER))


def _renamed(name: str, old: str, new: str) -> str:
    kind, _, number = name.rpartition("-")
    return f"{new}-{number}" if kind == old else name


def as_they_were(before: Cluster | None, wanted: Iterable[Member]) -> tuple[Member, ...]:
    """Return the nodes of the settings under the names and numbers that they have had so far."""
    if before is None:
        return tuple(wanted)
    known = named(before.everywhere)
    moved = was_moved(before)
    found = []
    for member in wanted:
        name = _renamed(member.name, CONTROLLER, COORDINATOR) if moved else member.name
        node = known.get(NodeName(name))
        member = replace(member, name=NodeName(name))
        if node is not None:
            moving = before.mode == "zookeeper" and CONTROLLER in node.roles
            roles = node.roles if moving else member.roles
            member = replace(member, id=node.id, roles=roles)
        found.append(member)
    return tuple(found)


def with_controllers(nodes: Iterable[NodeEndpoints]) -> tuple[NodeEndpoints, ...]:
    """Return the nodes with every coordinator a controller too."""
    return tuple(_with_roles(node, (COORDINATOR, CONTROLLER)) for node in nodes)


def with_controllers_only(nodes: Iterable[NodeEndpoints]) -> tuple[NodeEndpoints, ...]:
    """Return the nodes with every coordinator a controller instead."""
    return tuple(_with_roles(node, (CONTROLLER,)) for node in nodes)


def _with_roles(node: NodeEndpoints, roles: tuple[str, ...]) -> NodeEndpoints:
    if COORDINATOR not in node.roles:
        return node
    others = [role for role in node.roles if role not in (COORDINATOR, CONTROLLER)]
    return msgspec.structs.replace(node, roles=(*roles, *others))
