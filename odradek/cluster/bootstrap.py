"""Where a cluster is: addresses from arguments, the environment, or a cluster's own file.

Owns the order in which these are asked, and what addresses look like.  Reads the environment and
files, so only facades may use it; asking the nodes themselves who else is there is
:mod:`odradek.cluster.discovery`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from odradek.errors import NoClusterError

BOOTSTRAP_VARIABLE = "ODRADEK_BOOTSTRAP"
DATA_DIR_VARIABLE = "ODRADEK_DATA_DIR"
KEYS_VARIABLE = "ODRADEK_KEYS"
CLUSTER_FILE = "cluster.json"
TCP = "tcp://"
CLUSTER_KEY_FILE = "cluster.key"
NODE_LISTS = ("nodes", "elsewhere")
"""What in it lists nodes: those of this host, and those of others."""


class Seeds(NamedTuple):
    """The nodes to ask first."""

    endpoints: tuple[str, ...]
    """ZeroMQ endpoints of clients' doors, such as ``tcp://127.0.0.1:9001``."""
    source: str
    """Where they were found, for people."""
    keys: Path | None = None
    """The file of the keys that this client proves itself with; None: it has none."""


Hosts = str | Sequence[str] | Seeds | None
"""What people write: ``"host:port,host:port"``, a list of such, or None: look it up."""
KeysFile = str | os.PathLike[str] | None
"""A file that ``odradek keys create NAME`` has made, or None: look it up."""


def find_seeds(hosts: Hosts = None, security: KeysFile = None) -> Seeds:
    """Return the nodes to ask first, and the keys to prove oneself with.

    In this order: ``hosts``; ``$ODRADEK_BOOTSTRAP``; ``cluster.json`` in ``$ODRADEK_DATA_DIR``;
    ``cluster.json`` in the default data directory.  The first one that is given decides: a wrong
    one raises :class:`NoClusterError` (an address that cannot be: :class:`ValueError`), and the
    next is not tried.  The keys are those of the file ``security``; without it, of
    ``$ODRADEK_KEYS``; without that, for the owner of a data directory, the cluster's own.
    """
    named = security or os.environ.get(KEYS_VARIABLE, "").strip()
    keys = Path(named) if named else None
    if isinstance(hosts, Seeds):
        return hosts if keys is None else hosts._replace(keys=keys)
    if hosts is not None:
        return Seeds(parse_hosts(hosts), "the given addresses", keys)
    given = os.environ.get(BOOTSTRAP_VARIABLE, "").strip()
    if given:
        return Seeds(parse_hosts(given), f"${BOOTSTRAP_VARIABLE}", keys)
    found = seeds_in(default_data_dir())
    return found if keys is None else found._replace(keys=keys)


def default_data_dir() -> Path:
    """Return ``$ODRADEK_DATA_DIR``, else ``odradek`` in the user's XDG data directory."""
    given = os.environ.get(DATA_DIR_VARIABLE, "").strip()
    if given:
        return Path(given)
    base = os.environ.get("XDG_DATA_HOME", "").strip()
    return (Path(base) if base else Path.home() / ".local" / "share") / "odradek"


def seeds_in(data_dir: Path) -> Seeds:
    """Return the clients' doors of the cluster kept in ``data_dir``, as its ``cluster.json`` says.

    The file is ``{"nodes": [{"clients": "tcp://…", …}, …], "elsewhere": [the same], …}``.  Raises :class:`NoClusterError`.
    """
    path = data_dir / CLUSTER_FILE
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NoClusterError(
            f"no cluster was named: no addresses given, ${BOOTSTRAP_VARIABLE} is not set, and "
            f"{path} does not exist; start a cluster with `odradek start`, or name one"
        ) from None
    except (OSError, ValueError) as error:
        told = (error.strerror if isinstance(error, OSError) else "") or error
        raise NoClusterError(f"{path} cannot be read: {told}") from error
    try:
        endpoints = tuple(_clients_doors(described))
    except ValueError as error:
        raise NoClusterError(f"{path}: {error}") from error
    if not endpoints:
        raise NoClusterError(f"{path} names no node that clients can reach")
    return Seeds(endpoints, str(path), owners_keys(described))


def owners_keys(described: Mapping[str, object]) -> Path | None:
    """Return the file of the cluster's own keys, where ``cluster.json`` names one we may read."""
    folder = described.get("keys")
    path = Path(folder) / CLUSTER_KEY_FILE if isinstance(folder, str) and folder else None
    return path if path is not None and os.access(path, os.R_OK) else None


def _clients_doors(described: object) -> Iterable[str]:
    lists = [described.get(name) for name in NODE_LISTS] if isinstance(described, dict) else []
    for node in (node for nodes in lists if isinstance(nodes, list) for node in nodes):
        door = node.get("clients") if isinstance(node, dict) else None
        if isinstance(door, str) and door:
            yield to_endpoint(door)


def parse_hosts(hosts: str | Sequence[str]) -> tuple[str, ...]:
    """Return the endpoints of a comma list or a sequence of addresses; ValueError if it has none."""
    endpoints = tuple(to_endpoint(host) for host in addresses_of(hosts) if host.strip())
    if not endpoints:
        raise ValueError("an empty list of addresses; write host:port, with commas between several")
    return endpoints


def addresses_of(hosts: str | Sequence[str]) -> list[str]:
    """Return the addresses one by one; TypeError for what is neither text nor a list."""
    if isinstance(hosts, str):
        return hosts.split(",")
    if not isinstance(hosts, Iterable):
        raise TypeError(
            f"write addresses as 'host:port,host:port' or a list of them, not {hosts!r}"
        )
    return [str(host) for host in hosts]


def to_endpoint(address: str) -> str:
    """Return ``host:port`` or ``[v6]:port`` as ``tcp://host:port``; endpoints stay as they are."""
    place = address.strip().removeprefix(TCP)
    if "://" in place:
        return place
    host, colon, port = place.rpartition(":")
    known = colon and host and port.isascii() and port.isdigit() and 0 < int(port) < 65_536
    if not known:
        raise ValueError(f"{address!r} is not an address; write host:port, as 127.0.0.1:9001")
    return f"{TCP}{host}:{port}"
