"""What may stand in a config of a cluster, section by section: each setting with its default and why.

The nodes' own sections are in ``nodes.config``.  A setting knows its own bounds and no other one: what
nodes they mean together is for ``settings`` to say, and what cannot stand together for
``settings_check``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nodes.config import QUORUM_ROLES
from nodes.settings import setting
from supervisor.member import BROKERS_MAX
from transport.sockets.certificate import TlsFiles

PORT_MAX = 65_535
MODES = tuple(QUORUM_ROLES)
"""What ``mode`` may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterConfig:
    """What the cluster is made of."""

    name: str = setting("local", "the shipped config's own name")
    mode: str = setting("zookeeper", "an ensemble of coordinators beside the brokers")
    coordinators: int = setting(3, "the fewest that outlive one of them", low=1, high=15)
    controllers: int = setting(3, "mode kraft: the fewest that outlive one of them", low=1, high=15)
    separate: bool = setting(
        False, "mode kraft: brokers are controllers too, as far as both go; fewer processes"
    )
    observers: int = setting(
        0,
        "coordinators that serve reads and never vote: more readers, no slower writes",
        low=0,
        high=48,
    )
    brokers: int = setting(3, "room for three replicas", low=1, high=BROKERS_MAX)
    host: str = setting("127.0.0.1", "nobody else can reach it until somebody says so")
    bind: str = setting("", "the host itself; others may reach it by another address than its own")
    base_port: int = setting(
        0, "any free ports; else four for each node, in the order of `status`", low=0, high=60_000
    )
    zookeeper_port: int = setting(
        0,
        "no listener for ZooKeeper's clients; -1: at any free ports; else the first coordinator's"
        " (mode kraft: controller's), and one more for each other",
        low=-1,
        high=65_000,
    )
    kafka_port: int = setting(
        0,
        "no listener for Kafka's clients; -1: at any free ports; else the first broker's, and one"
        " more for each other",
        low=-1,
        high=65_000,
    )
    id: str = setting("", "made at the first start; several hosts have to agree on one before")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostConfig:
    """One ``[[host]]`` table: a machine that runs its share of the nodes, each kind dealt in turn."""

    address: str = setting("", "by which the others reach it")
    rack: str = setting("", "its address: what fails together")


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorConfig:
    """How the supervisor treats its nodes."""

    death_notices: bool = setting(True, "tells the cluster of a death before any timeout could")
    restart_delay_min_ms: int = setting(100, "the first back-off; less than a start takes", low=1)
    restart_delay_max_ms: int = setting(
        5_000, "a node that keeps dying costs little, and is back soon when the cause goes", low=1
    )
    healthy_after_ms: int = setting(60_000, "a death after this starts a new count", low=1)
    stop_timeout_ms: int = setting(
        10_000, "a flush takes a second; what hangs longer is killed", low=100, high=600_000
    )
    start_timeout_ms: int = setting(
        60_000, "six starts on a busy machine of two cores take a few seconds", low=500
    )
    log_bytes_max: int = setting(
        10 * 1024 * 1024, "a node's log; one older log of the same size is kept", low=4096
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityConfig:
    """Who may connect."""

    curve: bool = setting(
        False, "keys have to be handed out first; on loopback only this machine's users can connect"
    )
    keys: str = setting("", "`keys` in the data directory, where `odradek keys create` makes them")
    authorizer: bool = setting(
        True, "with curve: who is let in may do what ACLs allow, and at first that is nothing"
    )
    super_users: str = setting(
        "", "nobody but the cluster's own keys is above the ACLs; names with commas between them"
    )

    tls_certificate: str = setting(
        "", "the listeners speak no TLS; a PEM file, with the certificates that link it to its root"
    )
    tls_key: str = setting("", "goes with tls_certificate; a PEM file without a passphrase")
    tls_client_ca: str = setting(
        "",
        "no certificates are asked for; a PEM file: who connects to a listener shows one signed by it",
    )

    sasl: bool = setting(
        False,
        "no passwords are asked for; Kafka's clients prove one, of users of `odradek user add`",
    )

    def tls_files(self) -> TlsFiles | None:
        """Return what the listeners speak TLS with; None: they speak none."""
        if not self.tls_certificate:
            return None
        paths = (self.tls_certificate, self.tls_key, self.tls_client_ca)
        return TlsFiles(*(str(Path(path).absolute()) if path else "" for path in paths))

    def above_all(self) -> tuple[str, ...]:
        """Return the names of ``super_users``."""
        names = (name.strip() for name in self.super_users.split(","))
        return tuple(name for name in names if name)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOverride:
    """One ``[[node]]`` table: what is special about one node."""

    name: str = setting("", "as broker-1")
    host: str = setting("", "empty: the cluster's")
    peers_port: int = setting(0, "any free port", low=0, high=PORT_MAX)
    clients_port: int = setting(0, "any free port", low=0, high=PORT_MAX)
    events_port: int = setting(0, "any free port", low=0, high=PORT_MAX)
    http_port: int = setting(0, "any free port", low=0, high=PORT_MAX)
    rack: str = setting("", "unknown")
