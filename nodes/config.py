"""The settings of nodes, section by section, and what one node's process is started with.

A setting is declared once, here, in the way of ``nodes.settings``.  A node reads what the supervisor
wrote for it; the supervisor reads the people's TOML.  What cannot work together is judged here too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from nodes.settings import ConfigError, check_all_bounds, nearest, setting
from transport.wire.ids import ClusterId, Incarnation, NodeId, NodeName
from transport.wire.messages.cluster import NodeEndpoints

EXIT_STOPPED = 0
"""Asked to stop, and did."""
EXIT_BUG = 1
"""An invariant failed or an exception nobody expected: restart with back-off."""
EXIT_CONFIG = 2
"""A setting, a port or a data directory that cannot be: give up until somebody changes it."""
EXIT_ENVIRONMENT = 3
"""A full disk, a failed sync, a damaged file: restart for ever, with a capped back-off."""
EXIT_ORPHANED = 4
"""The supervisor has died: nobody is there to restart."""
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
QUORUM_ROLES = {"zookeeper": "coordinator", "kraft": "controller"}
"""Mode -> the role of the nodes that hold the quorum's log."""
REBUILD_MARK = "rebuilding"
"""A file in a node's data directory: its Raft log is to be filled anew by its peers. Empty: from
the next start on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RaftConfig:
    """Timing of the quorum."""

    election_timeout_min_ms: int = setting(
        300, "above any stall of a healthy loop on a busy laptop", low=20, high=60_000
    )
    election_timeout_max_ms: int = setting(
        600, "spread enough that three members seldom campaign together", low=40, high=120_000
    )
    heartbeat_interval_ms: int = setting(60, "a fifth of the shortest time-out", low=5, high=10_000)
    append_bytes_max: int = setting(
        1024 * 1024, "one message stays below 10 ms of loopback", low=1024, high=64 * 1024 * 1024
    )
    appends_in_flight_max: int = setting(
        8, "covers the round trip of a busy peer", low=1, high=1024
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CoordinatorConfig:
    """The znode tree and its sessions."""

    session_timeout_min_ms: int = setting(1_000, "ZooKeeper's with a 500 ms tick", low=50)
    session_timeout_max_ms: int = setting(40_000, "ZooKeeper's 20 ticks of 2 s", low=100)
    data_bytes_max: int = setting(1_048_575, "ZooKeeper's jute.maxbuffer", low=1024)
    snapshot_entries: int = setting(
        10_000,
        "a restart applies as many in a fraction of a second; half the znodes of a larger tree",
        low=10,
    )
    outstanding_operations_max: int = setting(
        1_000, "ZooKeeper's globalOutstandingLimit, here per session", low=2
    )
    answer_bytes_max: int = setting(
        12 * 1024 * 1024,
        "reads of one answer together; with its frame it stays below what clients take",
        low=1,
        high=12 * 1024 * 1024,
    )
    super_digest: str = setting(
        "", "nobody is above the ACLs; ZooKeeper's superDigest, as user:base64(sha1(user:password))"
    )
    sweep_interval_ms: int = setting(
        1_000, "containers and TTLs end within a second or two; ZooKeeper's minute is long", low=10
    )
    four_letter_words: tuple[str, ...] = setting(
        ("ruok", "srvr", "isro", "mntr"),
        "what tells of nobody's connections; ZooKeeper's 4lw.commands.whitelist, for its listener",
    )
    history_changes_max: int = setting(
        10_000, "a client away for seconds under load still hears of every change", low=0
    )
    history_bytes_max: int = setting(
        8 * 1024 * 1024, "what changes of usual size need; large ones are kept shorter", low=0
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerConfig:
    """A broker's behaviour towards its cluster."""

    heartbeat_interval_ms: int = setting(100, "fifteen chances within the session", low=5)
    session_timeout_ms: int = setting(
        1_500, "a stall of a second on one busy machine is no death; 6,000 across hosts", low=100
    )
    replica_lag_time_max_ms: int = setting(
        10_000, "Kafka's 30 s holds acks=all up for long after a hang", low=100
    )
    replica_fetch_wait_max_ms: int = setting(500, "Kafka's", low=1)
    replica_fetch_bytes_max: int = setting(10 * 1024 * 1024, "Kafka's response limit", low=1024)
    fetch_bytes_max: int = setting(50 * 1024 * 1024, "Kafka's fetch.max.bytes", low=1024)
    cold_read_byte_rate: int = setting(
        64 * 1024 * 1024,
        "of what is old, while something is written: more, and that waits more than twice as long",
        low=1024,
    )
    request_timeout_ms: int = setting(2_000, "controller and peers answer in milliseconds", low=50)
    log_dirs: tuple[str, ...] = setting(
        ("logs",), "below the node's data; of an absolute one each node has a folder of its own"
    )
    auto_create_topics: bool = setting(True, "Kafka's default: created on first use")
    num_partitions: int = setting(1, "Kafka's num.partitions", low=1, high=100_000)
    default_replication_factor: int = setting(1, "Kafka's", low=1, high=32)
    min_insync_replicas: int = setting(1, "Kafka's; `local` sets 2", low=1, high=32)
    leader_balance_interval_ms: int = setting(
        30_000, "Kafka's five minutes leave a broker that is back idle for long", low=100
    )
    producer_id_block: int = setting(1_000, "Kafka's block size", low=1)
    controller_piece_records: int = setting(
        200,
        "of a broker's death, a creation of thousands and the like in one commit: what else is to be"
        " decided meanwhile waits for one, some milliseconds, and more at once would be no sooner done",
        low=1,
        high=10_000,
    )
    offsets_topic_partitions: int = setting(
        16, "spreads groups over a small cluster's brokers; Kafka's 50 would only cost", low=1
    )
    offsets_topic_replication_factor: int = setting(
        3, "Kafka's; as many as there are brokers until there are more", low=1, high=32
    )
    offsets_retention_minutes: int = setting(10_080, "Kafka's: seven days", low=1)
    group_session_timeout_min_ms: int = setting(
        500, "a heartbeat waits at the coordinator, so less than Kafka's 6 s is no burden", low=50
    )
    group_session_timeout_max_ms: int = setting(1_800_000, "Kafka's", low=100)
    connections_max_reauth_ms: int = setting(
        0, "Kafka's: whoever has proved a password stays; a user who is removed does not", low=0
    )
    group_consumer_session_timeout_ms: int = setting(
        45_000, "Kafka's, of KIP-848's members that name none: Kafka's clients cannot", low=3_000
    )
    group_members_max: int = setting(1_000, "bounds what a stuck deployment can take", low=1)
    transaction_timeout_max_ms: int = setting(
        900_000, "Kafka's: an open transaction holds readers of committed records up", low=1
    )
    transactional_id_expiration_ms: int = setting(7 * 24 * 3600 * 1000, "Kafka's", low=1)
    transaction_state_partitions: int = setting(
        10,
        "spreads coordinators over a small cluster's brokers; Kafka's 50 is for hundreds",
        low=1,
        high=1_000,
    )
    transaction_state_replication_factor: int = setting(
        3, "Kafka's; as many as there are brokers until there are more", low=1, high=32
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LogConfig:
    """Partition logs. A topic's configs of Kafka's names win over these."""

    segment_bytes: int = setting(1024 * 1024 * 1024, "Kafka's segment.bytes", low=4096)
    segment_ms: int = setting(7 * DAY_MS, "Kafka's segment.ms", low=1)
    segment_jitter_ms: int = setting(0, "Kafka's: segments of one age are rolled at once", low=0)
    segment_index_bytes: int = setting(10 * 1024 * 1024, "Kafka's segment.index.bytes", low=64)
    index_interval_bytes: int = setting(4096, "Kafka's index.interval.bytes", low=0)
    message_bytes_max: int = setting(1024 * 1024 + 12, "Kafka's max.message.bytes", low=128)
    timestamp_type: str = setting(
        "CreateTime", "Kafka's: the producer's time", choices=("CreateTime", "LogAppendTime")
    )
    timestamp_before_max_ms: int = setting(2**63 - 1, "Kafka's: any age is taken", low=0)
    timestamp_after_max_ms: int = setting(
        HOUR_MS, "Kafka's: one time far ahead would keep a segment from ever growing old", low=0
    )
    cleanup_policy: str = setting(
        "delete",
        "Kafka's: a log ends as the sum of its retention",
        choices=("delete", "compact", "compact,delete"),
    )
    retention_ms: int = setting(7 * DAY_MS, "Kafka's retention.ms; -1: for ever", low=-1)
    retention_bytes: int = setting(-1, "Kafka's: only age ends a record", low=-1)
    retention_check_interval_ms: int = setting(5 * 60_000, "Kafka's", low=10)
    delete_retention_ms: int = setting(
        DAY_MS, "Kafka's: a reader has so long to see a tombstone", low=0
    )
    cleanable_dirty_ratio_min: float = setting(
        0.5, "Kafka's: at most half of a log is superseded", low=0, high=1
    )
    compaction_lag_min_ms: int = setting(0, "Kafka's: the active segment is lag enough", low=0)
    compaction_lag_max_ms: int = setting(2**63 - 1, "Kafka's: the ratio alone decides", low=1)
    cleaner_interval_ms: int = setting(15_000, "Kafka's log.cleaner.backoff.ms", low=10)
    cleaner_keys_max: int = setting(
        500_000, "75 MB while a log with so many dirty keys is cleaned", low=1
    )
    recovery_checkpoint_interval_ms: int = setting(
        60_000, "Kafka's: what is older need not be read again after a crash", low=100
    )
    recovery_note_bytes: int = setting(
        4 * 1024 * 1024, "a start after a kill reads no more of a log, in some 10 ms", low=1
    )
    recent_bytes: int = setting(
        4 * 1024 * 1024,
        "of a log's end: written just now, so in the page cache, and read at once",
        low=0,
    )
    move_piece_bytes: int = setting(
        1024 * 1024,
        "copied to another directory at once, and synced: other syncs wait for no more",
        low=1,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LogsConfig:
    """What nodes write to their own logs (``node.log``)."""

    level: str = setting(
        "info", "what changes, not each request", choices=("debug", "info", "warning", "error")
    )
    format: str = setting("text", "people read it first", choices=("text", "json"))


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """Everything one node's process is started with."""

    name: NodeName
    id: NodeId
    role: str
    """``coordinator``, ``broker`` or ``controller``; of several, the first."""
    mode: str
    """A key of :data:`QUORUM_ROLES`."""
    cluster_id: ClusterId
    incarnation: Incarnation
    data_dir: str
    nodes: tuple[NodeEndpoints, ...]
    """Every node of the cluster, this one among them."""
    cluster_name: str = ""
    """By which people know the cluster."""
    bind: str = ""
    """The address to listen at, where it is not the one that others reach this node by."""
    supervisor_pid: int = 0
    """The parent whose death ends this node; 0: none."""
    supervisor_key: str = ""
    """Secret that authenticates death notices."""
    keys_dir: str = ""
    """Where the cluster's CURVE keys are; empty: it has none, and everybody may connect."""
    tls_certificate: str = ""
    tls_key: str = ""
    """PEM files: what the listeners prove themselves by; empty: they speak no TLS."""
    tls_client_ca: str = ""
    """Whose signature the certificate of who connects to a listener must have; empty: none is asked for."""
    authorizer: bool = False
    """Requests are judged by ACLs."""
    sasl: bool = False
    """Kafka's clients prove who they are by a user's password."""
    super_users: tuple[str, ...] = ()
    """Principals who may do everything, beside the cluster's own."""
    raft: RaftConfig = field(default_factory=RaftConfig)
    coordinator: CoordinatorConfig = field(default_factory=CoordinatorConfig)
    broker: BrokerConfig = field(default_factory=BrokerConfig)
    log: LogConfig = field(default_factory=LogConfig)
    logs: LogsConfig = field(default_factory=LogsConfig)

    def endpoints(self) -> NodeEndpoints:
        """Return where this node itself listens."""
        return next(node for node in self.nodes if node.name == self.name)

    def log_directories(self) -> tuple[str, ...]:
        """Return where this broker's logs are: below its data directory, or absolute."""
        return tuple(
            f"{path}/{self.name}" if path.startswith("/") else path for path in self.broker.log_dirs
        )

    def bound(self, endpoint: str) -> str:
        """Return where to listen so that others find this node at ``endpoint``."""
        scheme, _, address = endpoint.partition("://")
        port = address.rpartition(":")[2]
        return f"{scheme}://{self.bind}:{port}" if self.bind else endpoint

    def with_role(self, role: str) -> tuple[NodeEndpoints, ...]:
        """Return the nodes that have ``role``, by id."""
        having = [node for node in self.nodes if role in node.roles]
        return tuple(sorted(having, key=lambda node: node.id))

    def without(self, name: NodeName) -> NodeConfig:
        """Return the same for a cluster that has a node less."""
        return replace(self, nodes=tuple(node for node in self.nodes if node.name != name))

    def with_members(self, came: Iterable[NodeEndpoints]) -> NodeConfig:
        """Return the same with further members of the quorum, under the role that these have here."""
        role = QUORUM_ROLES[self.mode]
        here = (
            node if role in node.roles else msgspec.structs.replace(node, roles=(role, *node.roles))
            for node in came
        )
        return replace(self, nodes=(*self.nodes, *here))

    def quorum_members(self) -> tuple[NodeEndpoints, ...]:
        """Return the nodes that hold the quorum's log, by id; an ``observer`` does not vote."""
        return self.with_role(QUORUM_ROLES[self.mode])


def check_combination(
    raft: RaftConfig, coordinator: CoordinatorConfig, broker: BrokerConfig
) -> None:
    """Raise ConfigError where settings, each fine by itself, cannot work together."""
    orders = (
        (
            raft.election_timeout_min_ms < raft.election_timeout_max_ms,
            "[raft] election_timeout_min_ms must be below election_timeout_max_ms",
        ),
        (
            raft.heartbeat_interval_ms * 2 <= raft.election_timeout_min_ms,
            "[raft] heartbeat_interval_ms must be at most half of election_timeout_min_ms",
        ),
        (
            coordinator.session_timeout_min_ms <= coordinator.session_timeout_max_ms,
            "[coordinator] session_timeout_min_ms must not be above session_timeout_max_ms",
        ),
        (
            coordinator.session_timeout_min_ms
            <= broker.session_timeout_ms
            <= coordinator.session_timeout_max_ms,
            "[broker] session_timeout_ms must lie between session_timeout_min_ms and "
            "session_timeout_max_ms of [coordinator]",
        ),
        (
            broker.heartbeat_interval_ms * 2 <= broker.session_timeout_ms,
            "[broker] heartbeat_interval_ms must be at most half of session_timeout_ms",
        ),
        (
            broker.replica_fetch_wait_max_ms < broker.replica_lag_time_max_ms,
            "[broker] replica_fetch_wait_max_ms must be below replica_lag_time_max_ms",
        ),
    )
    for holds, text in orders:
        if not holds:
            raise ConfigError(text)
    _check_log_dirs(broker.log_dirs)


def _check_log_dirs(paths: tuple[str, ...]) -> None:
    """Raise ConfigError unless these are directories of which none is within another."""
    if not paths:
        raise ConfigError('[broker] log_dirs is empty; write for example log_dirs = ["logs"]')
    for path in paths:
        parts = PurePosixPath(path).parts
        if not parts or ".." in parts or str(PurePosixPath(path)) != path:
            raise ConfigError(
                f"[broker] log_dirs names {path!r}; write an absolute path, or a folder's name"
                ' such as "logs"'
            )
        others = list(paths)
        others.remove(path)
        if any(PurePosixPath(path).is_relative_to(other) for other in others):
            raise ConfigError(f"[broker] log_dirs names {path!r} twice, or within another of them")


def check_node_config(config: NodeConfig) -> None:
    """Raise ConfigError unless ``config`` can start a node."""
    check_all_bounds(config)
    check_combination(config.raft, config.coordinator, config.broker)
    if config.mode not in QUORUM_ROLES:
        raise ConfigError(
            f"mode = {config.mode!r} is not known; {nearest(config.mode, QUORUM_ROLES)}"
        )
    if config.role not in ("coordinator", "broker", "controller"):
        raise ConfigError(
            f"role = {config.role!r} is neither 'coordinator' nor 'broker' nor 'controller'"
        )
    if all(node.name != config.name for node in config.nodes):
        raise ConfigError(f"name = {config.name!r} is not among the cluster's nodes")


def encode_node_config(config: NodeConfig) -> bytes:
    """Return what :func:`load_node_config` reads."""
    return msgspec.json.format(msgspec.json.encode(config), indent=2) + b"\n"


def load_node_config(path: str | Path, incarnation: int) -> NodeConfig:
    """Read what the supervisor wrote for one node, and check it whole.

    The incarnation comes apart, as it grows with each start. Raises ConfigError that names the
    file and the key.
    """
    try:
        table = json.loads(Path(path).read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read the node's config {path}: {error}") from None
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: the node's config is not a table")
    table["incarnation"] = incarnation
    _refuse_unknown_keys(NodeConfig, table, str(path))
    try:
        config = msgspec.convert(table, NodeConfig)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {error}") from None
    check_node_config(config)
    return config


def _refuse_unknown_keys(kind: Any, table: Mapping[str, Any], where: str) -> None:
    known = {item.name: item for item in fields(kind)}
    for key, value in table.items():
        if key not in known:
            raise ConfigError(f"{where} has no setting {key!r}; {nearest(key, known)}")
        section: Any = known[key].default_factory
        if is_dataclass(section) and isinstance(value, dict):
            _refuse_unknown_keys(section, value, f"{where} [{key}]")
