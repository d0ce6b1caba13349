"""Typed settings of nodes: unit, default and its reason, bounds.

A setting is declared once, here.  ``nodes`` reads what the supervisor wrote for it; the supervisor
reads the people's TOML.  An unknown key is an error that names the nearest known one.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

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


class ConfigError(Exception):
    """A setting that cannot be: names the key and the fix. Exit status 2; not worth a restart."""


def setting(
    default: Any,
    why: str,
    *,
    low: float | None = None,
    high: float | None = None,
) -> Any:
    """Declare a field: its default, the reason for it, and the bounds it must keep."""
    return field(default=default, metadata={"why": why, "low": low, "high": high})


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
    snapshot_entries: int = setting(100_000, "ZooKeeper's snapCount", low=10)
    outstanding_operations_max: int = setting(
        1_000, "ZooKeeper's globalOutstandingLimit, here per session", low=1
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
    request_timeout_ms: int = setting(2_000, "controller and peers answer in milliseconds", low=50)
    auto_create_topics: bool = setting(True, "Kafka's default: created on first use")
    num_partitions: int = setting(1, "Kafka's num.partitions", low=1, high=100_000)
    default_replication_factor: int = setting(1, "Kafka's", low=1, high=32)
    min_insync_replicas: int = setting(1, "Kafka's; `local` sets 2", low=1, high=32)
    producer_id_block: int = setting(1_000, "Kafka's block size", low=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogConfig:
    """Partition logs. A topic's configs of Kafka's names win over these."""

    segment_bytes: int = setting(1024 * 1024 * 1024, "Kafka's segment.bytes", low=4096)
    segment_ms: int = setting(7 * 24 * 3600 * 1000, "Kafka's segment.ms", low=1)
    index_interval_bytes: int = setting(4096, "Kafka's index.interval.bytes", low=1)
    message_bytes_max: int = setting(1024 * 1024 + 12, "Kafka's max.message.bytes", low=128)
    recovery_checkpoint_interval_ms: int = setting(
        60_000, "Kafka's: what is older need not be read again after a crash", low=100
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """Everything one node's process is started with."""

    name: NodeName
    id: NodeId
    role: str
    """``coordinator`` or ``broker``."""
    mode: str
    cluster_id: ClusterId
    incarnation: Incarnation
    data_dir: str
    nodes: tuple[NodeEndpoints, ...]
    """Every node of the cluster, this one among them."""
    supervisor_pid: int = 0
    """The parent whose death ends this node; 0: none."""
    supervisor_key: str = ""
    """Secret that authenticates death notices."""
    raft: RaftConfig = field(default_factory=RaftConfig)
    coordinator: CoordinatorConfig = field(default_factory=CoordinatorConfig)
    broker: BrokerConfig = field(default_factory=BrokerConfig)
    log: LogConfig = field(default_factory=LogConfig)

    def endpoints(self) -> NodeEndpoints:
        """Return where this node itself listens."""
        return next(node for node in self.nodes if node.name == self.name)

    def with_role(self, role: str) -> tuple[NodeEndpoints, ...]:
        """Return the nodes that have ``role``, by id."""
        having = [node for node in self.nodes if role in node.roles]
        return tuple(sorted(having, key=lambda node: node.id))


def check_bounds(section: object) -> None:
    """Raise ConfigError when a setting of this section is outside its bounds."""
    for item in fields(section):  # type: ignore[arg-type]
        value = getattr(section, item.name)
        low, high = item.metadata.get("low"), item.metadata.get("high")
        if low is not None and value < low:
            raise ConfigError(f"{item.name} = {value} is below {low}; raise it")
        if high is not None and value > high:
            raise ConfigError(f"{item.name} = {value} is above {high}; lower it")
