"""A client's own root in the tree: its paths, and the tree's.

Pure.  Also completes and checks paths, so that nothing wrong leaves a client.
"""

from __future__ import annotations

from dataclasses import dataclass

from odradek.cluster.bootstrap import Hosts, Seeds, addresses_of
from odradek.coordination.znode_values import check_path


@dataclass(frozen=True, slots=True)
class Chroot:
    """Below ``prefix`` (empty: the whole tree) a client's paths begin."""

    prefix: str = ""

    def full(self, path: str, *, prefix: bool = False) -> str:
        """Return the tree's path for the user's; ``prefix``: digits will be appended to it.

        As in kazoo a missing leading ``/`` is added.  BadArgumentsError says what else is wrong.
        """
        if isinstance(path, str) and path and not path.startswith("/"):
            path = f"/{path}"
        check_path(path, prefix=prefix)
        if not self.prefix:
            return path
        return self.prefix if path == "/" and not prefix else self.prefix + path

    def user(self, path: str) -> str:
        """Return the user's path for the tree's; one that is not below the root stays as it is."""
        if not self.prefix:
            return path
        if path == self.prefix:
            return "/"
        return path[len(self.prefix) :] if path.startswith(self.prefix + "/") else path


def split_chroot(hosts: Hosts) -> tuple[Hosts, Chroot]:
    """Take the root off ``"host:port,host:port/root"``, or off the last of a list of addresses."""
    if hosts is None or isinstance(hosts, Seeds):
        return hosts, Chroot()
    listed = addresses_of(hosts)
    if not listed:
        return hosts, Chroot()
    scheme, mark, address = listed[-1].strip().rpartition("://")
    address, slash, root = address.partition("/")
    if not slash:
        return hosts, Chroot()
    listed[-1] = f"{scheme}{mark}{address}"
    root = root.strip().rstrip("/")
    return listed, Chroot(check_path(f"/{root}") if root else "")
