"""The znodes that are always there: ``/zookeeper``, its quotas and its view of the ensemble.

They are ZooKeeper's.  None of them can be deleted, and nobody but the superuser sets the last.
"""

from __future__ import annotations

from nodes.core.znode.paths import ROOT
from transport.wire.messages.coordination import READ, Acl

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


def limited_path(path: str, name: str) -> str | None:
    """Return which path the quota znode ``path`` (of this name) is about; None: it is none."""
    if not path.endswith(name) or not path.startswith(QUOTA):
        return None
    return path[len(QUOTA) : -len(name)] or ROOT
