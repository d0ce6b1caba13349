"""The people's TOML, read and checked: what the cluster is made of, and which nodes that means.

Pure but for reading the file: nothing here looks at the network.
"""

from __future__ import annotations

import json
import secrets
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from nodes.config import (
    QUORUM_ROLES,
    BrokerConfig,
    ConfigError,
    CoordinatorConfig,
    LogConfig,
    LogsConfig,
    RaftConfig,
    check_bounds,
    check_combination,
    nearest,
    read_section,
    setting,
)
from supervisor.member import (
    BROKERS_MAX,
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
from transport.sockets.certificate import TlsFiles
from transport.wire.ids import ClusterId, NodeId, NodeName
from transport.wire.messages.cluster import NodeEndpoints

KEYS_DIR = "keys"
PORT_MAX = 65_535
MODES = tuple(QUORUM_ROLES)
"""What ``mode`` may be."""

SHIPPED_SUFFIX = ".toml"
SHIPPED_OF_MODE = {"zookeeper": "local", "kraft": "kraft"}
"""Mode -> the shipped config of a usual cluster."""


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
_OF_ONE_MODE = {
    "zookeeper": {"controllers": "coordinators", "separate": "coordinators"},
    "kraft": {"coordinators": "controllers"},
}
"""Mode -> settings of the other one -> what to write instead."""


_PROOFS = {"kafka": ("sasl", "tls_client_ca"), "zookeeper": ("tls_client_ca",)}
"""Listener -> settings of ``[security]`` by one of which it asks who somebody is."""


_SECTIONS: dict[str, type[Any]] = {
    "cluster": ClusterConfig,
    "supervisor": SupervisorConfig,
    "security": SecurityConfig,
    "raft": RaftConfig,
    "coordinator": CoordinatorConfig,
    "broker": BrokerConfig,
    "log": LogConfig,
    "logs": LogsConfig,
}
_LISTS: dict[str, tuple[str, type[Any]]] = {
    "node": ("overrides", NodeOverride),
    "host": ("hosts", HostConfig),
}
"""Name of the table -> field of Settings, and what a row is."""


def shipped_configs_dir() -> Path:
    """Return the folder of the configs that come along: in a wheel, else in the source tree."""
    package = Path(__file__).resolve().parent
    packed = package / "shipped_configs"
    return packed if packed.is_dir() else package.parent / "configs"


def shipped_names() -> list[str]:
    """Return the names by which the shipped configs can be started."""
    return sorted(path.stem for path in shipped_configs_dir().glob(f"*{SHIPPED_SUFFIX}"))


def load_settings(config: str) -> Settings:
    """Read a config by its path, or by the name of a shipped one. Raises ConfigError."""
    path = Path(config)
    if path.suffix != SHIPPED_SUFFIX and (not path.exists() or path.is_dir()):
        path = shipped_configs_dir() / f"{config}{SHIPPED_SUFFIX}"
        if not path.exists():
            names = shipped_names()
            raise ConfigError(
                f"config {config!r} is neither a file nor a shipped config; "
                f"{nearest(config, names)} (shipped: {', '.join(names)})"
            )
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read config {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"config {path} is not TOML: {error}") from None
    return read_settings(table, str(path))


def read_settings(table: Mapping[str, Any], source: str) -> Settings:
    """Return the checked settings of a TOML table. Raises ConfigError naming key and fix."""
    try:
        settings = _read_sections(table, source)
        _check_settings(settings)
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from None
    return settings


def _read_sections(table: Mapping[str, Any], source: str) -> Settings:
    sections: dict[str, Any] = {}
    for name, content in table.items():
        if name in _LISTS:
            continue
        if name not in _SECTIONS:
            homes = [
                each
                for each, kind in _SECTIONS.items()
                if name in {item.name for item in fields(kind)}
            ]
            if homes and not isinstance(content, Mapping):
                raise ConfigError(
                    f"{name} = … stands outside a section; write [{homes[0]}] above it"
                )
            raise ConfigError(
                f"there is no section [{name}]; {nearest(name, [*_SECTIONS, *_LISTS])}"
            )
        if not isinstance(content, Mapping):
            raise ConfigError(f"{name} = … stands outside a section; write [{name}] above its keys")
        sections[name] = read_section(_SECTIONS[name], content, f"[{name}]")
    _check_mode(table.get("cluster", {}))
    for name, (into, kind) in _LISTS.items():
        sections[into] = _read_list(kind, table, name)
    return Settings(source, **sections)


def _read_list(kind: type[Any], table: Mapping[str, Any], name: str) -> tuple[Any, ...]:
    rows = table.get(name, [])
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        raise ConfigError(f"{name} must be a list of tables; write [[{name}]] above each")
    return tuple(read_section(kind, row, f"[[{name}]]") for row in rows)


def _check_mode(cluster: Mapping[str, Any]) -> None:
    """Raise ConfigError for a mode that is not offered, or settings of another one."""
    mode = cluster.get("mode", MODES[0])
    if mode not in MODES:
        raise ConfigError(f"[cluster] mode = {mode!r} is not offered; {nearest(mode, MODES)}")
    for name, instead in _OF_ONE_MODE[mode].items():
        if name in cluster:
            raise ConfigError(
                f"[cluster] {name} is no setting of mode = {mode!r}; write {instead}, "
                "or another mode"
            )


def _check_settings(settings: Settings) -> None:
    for item in fields(Settings):
        if item.name in _SECTIONS:
            check_bounds(getattr(settings, item.name), f"[{item.name}]")
    check_combination(settings.raft, settings.coordinator, settings.broker)
    cluster, broker, supervisor = settings.cluster, settings.broker, settings.supervisor
    if not cluster.name or not cluster.host:
        raise ConfigError("[cluster] name and host must not be empty")
    for name in ("min_insync_replicas", "default_replication_factor"):
        replicas = getattr(broker, name)
        if replicas > cluster.brokers:
            raise ConfigError(
                f"[broker] {name} = {replicas} can never be reached "
                f"with [cluster] brokers = {cluster.brokers}; lower the one or raise the other"
            )
    if supervisor.restart_delay_min_ms > supervisor.restart_delay_max_ms:
        raise ConfigError(
            "[supervisor] restart_delay_min_ms must not be above restart_delay_max_ms"
        )
    _check_listeners(settings)
    _check_overrides(settings)
    _check_hosts(settings)


def _check_listeners(settings: Settings) -> None:
    """Raise ConfigError where a listener would let in whom the keys are to keep out, or the reverse."""
    security = settings.security
    if bool(security.tls_certificate) is not bool(security.tls_key):
        there, missing = "tls_certificate", "tls_key"
        if not security.tls_certificate:
            there, missing = missing, there
        raise ConfigError(f"[security] {there} is nothing without {missing}: set both, or none")
    if security.tls_client_ca and not security.tls_certificate:
        raise ConfigError(
            "[security] tls_client_ca asks for certificates, which are shown by TLS alone: set "
            "tls_certificate and tls_key"
        )
    if security.tls_client_ca and not security.curve:
        raise ConfigError(
            "[security] tls_client_ca guards the listeners, while this project's own clients come in "
            "without keys: set curve = true, or leave tls_client_ca out (TLS needs neither)"
        )
    if security.sasl and not security.curve:
        raise ConfigError(
            "[security] sasl guards Kafka's listener, while this project's own clients come in without "
            "keys: set curve = true, or sasl = false"
        )
    for name in LISTENERS:
        if not security.curve or not getattr(settings.cluster, f"{name}_port"):
            continue
        if not any(getattr(security, proof) for proof in _PROOFS[name]):
            raise ConfigError(
                f"[cluster] {name}_port asks nobody who he is, and [security] curve = true lets nobody "
                f"in without: set {' or '.join(_PROOFS[name])} in [security], or {name}_port = 0"
            )


def _check_hosts(settings: Settings) -> None:
    """Raise ConfigError unless hosts that do not see each other's choices can be one cluster."""
    addresses = [host.address for host in settings.hosts]
    if not all(addresses) or len(set(addresses)) < len(addresses):
        raise ConfigError("each [[host]] needs an address of its own")
    members = settings.members()
    if len({member.host for member in members}) < 2:
        return
    if not settings.cluster.id:
        raise ConfigError(
            "a cluster of several hosts needs an id that is the same on all of them; write "
            f"[cluster] id = {json.dumps(new_cluster_id())}"
        )
    for member in members:
        if 0 in member.ports:
            raise ConfigError(
                f"{member.name} has to be found from other hosts: give [cluster] base_port, or all "
                "its ports in a [[node]]"
            )


def _check_overrides(settings: Settings) -> None:
    members = settings.members()
    names = [str(member.name) for member in members]
    seen: set[str] = set()
    for override in settings.overrides:
        if override.name not in names:
            raise ConfigError(
                f"[[node]] name = {override.name!r} is not a node of this cluster; "
                f"{nearest(override.name, names)}"
            )
        if override.name in seen:
            raise ConfigError(f"[[node]] name = {override.name!r} is there twice; join the two")
        seen.add(override.name)
    owners: dict[tuple[str, int | None], str] = {}
    for member in members:
        for port in member.ports:
            if port is not None and port > PORT_MAX:
                raise ConfigError(
                    f"{member.name} would have port {port}, and {PORT_MAX} is the last there is: "
                    "begin lower, or have fewer nodes"
                )
            owner = owners.setdefault((member.host, port), member.name)
            if port and (owner != member.name or member.ports.count(port) > 1):
                raise ConfigError(
                    f"port {port} is given to {owner} and to {member.name} on {member.host}; "
                    "give each its own, or 0 for any free one"
                )
