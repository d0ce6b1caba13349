"""``odradek start --join``: one more broker, on a host of its own, for a cluster that runs already.

Knows of the cluster what one of its nodes says.  The new broker's number is given by the cluster's
own tree of znodes, so that two hosts that join at once do not get the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nodes.settings import ConfigError
from supervisor.data_dir import Cluster
from supervisor.member import BROKER, JOINED_ID_MIN, Member, NodePorts
from supervisor.moving import CONTROLLER
from transport.wire.ids import NodeId, NodeName
from transport.wire.messages.cluster import (
    DescribeNodeRequest,
    DescribeNodeResponse,
    NodeEndpoints,
)

NUMBERS = "/brokers/given"
"""Each write to it gives one number, as the version it makes."""
ASK_MAX_MS = 5_000
OTHERS_MAX_MS = 2_000
"""Some of them may be away."""


def find_cluster(address: str, keys: Path | None) -> DescribeNodeResponse:
    """Ask the nodes at ``address`` (``host:port``, with commas) for their cluster; ConfigError."""
    from odradek.cluster.bootstrap import parse_hosts
    from odradek.cluster.question import ask_all

    try:
        doors = parse_hosts(address)
    except ValueError as error:
        raise ConfigError(f"--join: {error}") from None
    answers = ask_all(doors, DescribeNodeRequest("odradek"), timeout_ms=ASK_MAX_MS, keys=keys)
    described = [answer for answer in answers if isinstance(answer, DescribeNodeResponse)]
    if described:
        return max(described, key=lambda one: len(one.nodes))
    raise ConfigError(
        f"no node of a cluster answers at {address}; name clients' doors as `odradek status` shows "
        "them there, which this host can reach"
    )


def as_others_have_it(doors: Sequence[str], keys: Path | None) -> Cluster | None:
    """Return the cluster as its nodes on other hosts have it; None: nobody says.

    Of two that say otherwise the one that has come further in a move from mode ``zookeeper``.
    """
    from odradek.cluster.question import ask_all

    answers = ask_all(doors, DescribeNodeRequest("odradek"), timeout_ms=OTHERS_MAX_MS, keys=keys)
    described = [answer for answer in answers if isinstance(answer, DescribeNodeResponse)]
    if not described:
        return None
    newest = max(described, key=_stage_of)
    return Cluster(newest.cluster_name, newest.cluster_id, newest.mode, (), elsewhere=newest.nodes)


def _stage_of(described: DescribeNodeResponse) -> tuple[bool, bool]:
    prepared = any(CONTROLLER in node.roles for node in described.nodes)
    return described.mode == "kraft", prepared


def take_number(address: str, keys: Path | None) -> NodeId:
    """Return a number that no other broker of the cluster has or will ever have."""
    from odradek.coordination.client import CoordinationClient
    from odradek.errors import OdradekError

    try:
        with CoordinationClient(address, security=keys) as client:
            client.ensure_path(NUMBERS)
            return NodeId(JOINED_ID_MIN - 1 + client.set(NUMBERS, b"").version)
    except OdradekError as error:
        raise ConfigError(f"the cluster at {address} gave this broker no number: {error}") from None


def new_broker(number: NodeId, here: str, rack: str, ports: NodePorts) -> Member:
    """Return a broker of that number on this host."""
    return Member(NodeName(f"{BROKER}-{number}"), number, (BROKER,), here, ports, rack or here)


def others_in(
    described: DescribeNodeResponse, mine: tuple[NodeEndpoints, ...]
) -> tuple[NodeEndpoints, ...]:
    """Return the nodes of the cluster that do not run here."""
    names = {node.name for node in mine}
    return tuple(node for node in described.nodes if node.name not in names)


def check_same_cluster(before: Cluster | None, described: DescribeNodeResponse) -> None:
    """Raise ConfigError where this host's data belong to another cluster than the one it joins."""
    if before is not None and before.cluster_id != described.cluster_id:
        raise ConfigError(
            f"the data directory belongs to cluster {before.cluster_id}, and that one is "
            f"{described.cluster_id}; name another --data-dir"
        )
