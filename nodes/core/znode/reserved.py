"""The znodes that are always there: ``/zookeeper``, its quotas and its view of the ensemble.

They are ZooKeeper's.  None of them can be deleted, and nobody but the superuser sets the last.

And those in which a cluster's brokers keep what they are: where clients prove who they are, nobody
reads or writes there but by the cluster's own keys, or as the superuser.
"""

from __future__ import annotations

from nodes.core.znode.acl import PRINCIPAL, SUPER
from nodes.core.znode.paths import ROOT
from transport.wire.ids import CLUSTER_PRINCIPAL
from transport.wire.messages.coordination import READ, Acl, Identity

ZOOKEEPER = "/zookeeper"
QUOTA = "/zookeeper/quota"
CONFIG = "/zookeeper/config"
LIMITS_NAME = "/zookeeper_limits"
STATS_NAME = "/zookeeper_stats"

RESERVED: dict[str, tuple[Acl, ...]] = {
    ROOT: (),
    ZOOKEEPER: (),
    QUOTA: (),
    CONFIG: (Acl(READ, "world", "anyone"),),
}
"""Path -> ACL, parents first."""

BORN_WITH = {ROOT: 1, ZOOKEEPER: 2}
"""Children that were never created."""


BROKERS_OWN = frozenset(
    ("brokers", "controller", "controller_epoch", "metadata_version", "producer_ids")
)
"""First parts of paths."""


def may_read(path: str, identities: tuple[Identity, ...]) -> bool:
    """Tell whether this is not the brokers' own, or theirs who ask."""
    return path.split("/", 2)[1] not in BROKERS_OWN or not _is_stranger(identities)


def may_write(path: str, identities: tuple[Identity, ...], *, acl: bool = False) -> bool:
    """Tell the same; beside it, quotas and the root's ACL (``acl``) could stop the brokers."""
    first = path.split("/", 2)[1]
    closed = first in BROKERS_OWN or path.startswith(QUOTA) or (acl and path == ROOT)
    return not closed or not _is_stranger(identities)


def _is_stranger(identities: tuple[Identity, ...]) -> bool:
    """Somebody's keys were proved, and they are not the cluster's."""
    proved = {each.id for each in identities if each.scheme == PRINCIPAL}
    above = any(each.scheme == SUPER for each in identities)
    return bool(proved) and CLUSTER_PRINCIPAL not in proved and not above


def limited_path(path: str, name: str) -> str | None:
    """Return which path the quota znode ``path`` (of this name) is about; None: it is none."""
    if not path.endswith(name) or not path.startswith(QUOTA):
        return None
    return path[len(QUOTA) : -len(name)] or ROOT
