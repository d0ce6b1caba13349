"""Nodes about themselves: who is where, who lives, who died."""

from __future__ import annotations

from typing import ClassVar

from transport.wire.apis import Api
from transport.wire.ids import (
    BrokerEpoch,
    ClusterId,
    ControllerEpoch,
    Incarnation,
    MetadataVersion,
    NodeId,
    NodeName,
    SessionId,
)
from transport.wire.messages import Message, Part


class NodeEndpoints(Part, frozen=True, array_like=True, gc=False):
    """Where a node listens: ZeroMQ endpoints such as ``tcp://127.0.0.1:9001``."""

    id: NodeId
    name: NodeName
    roles: tuple[str, ...]
    """Out of ``broker``, ``coordinator``, ``controller``."""
    peers: str
    """ROUTER for the other nodes of the cluster and the supervisor."""
    clients: str
    """ROUTER for clients."""
    events: str
    """PUB: heartbeats and metadata deltas."""
    rack: str = ""
    http: str = ""
    """``http://host:port`` of its /metrics and /health; empty: it has none."""
    zookeeper: str = ""
    """``tcp://host:port`` for ZooKeeper's clients; empty: it does not listen for them."""
    kafka: str = ""
    """As that, for Kafka's clients."""


class DescribeNodeRequest(Message, frozen=True, array_like=True, gc=False):
    """A client's first words, to any node: who are you, and where is everybody else?"""

    api: ClassVar[Api] = Api.DESCRIBE_NODE

    client_name: str = ""


class DescribeNodeResponse(Message, frozen=True, array_like=True, gc=False):
    """Enough to bootstrap a client of brokers and of coordinators alike."""

    api: ClassVar[Api] = Api.DESCRIBE_NODE

    error: int
    cluster_id: ClusterId
    mode: str
    """``zookeeper`` or ``kraft``."""
    name: NodeName
    incarnation: Incarnation
    nodes: tuple[NodeEndpoints, ...]
    """Every node of the cluster, as configured."""
    api_versions: dict[int, tuple[int, int]] = {}
    """API key -> (lowest, highest) version spoken by this node."""
    cluster_name: str = ""
    """By which people know the cluster; empty: an earlier version does not say."""


class Heartbeat(Message, frozen=True, array_like=True, gc=False):
    """An event, published every ``heartbeat_interval_ms`` from the deciding loop of a broker.

    It carries the newest metadata number its sender has applied, so that a lost last delta is
    noticed by whoever hears the beat.
    """

    api: ClassVar[Api] = Api.HEARTBEAT

    node_id: NodeId
    name: NodeName
    incarnation: Incarnation
    session_id: SessionId
    """0 until the node has a session."""
    controller_epoch: ControllerEpoch
    """Of the newest metadata; from the active controller: its own."""
    metadata_version: MetadataVersion
    is_controller: bool = False


class DeathNotice(Message, frozen=True, array_like=True, gc=False):
    """A supervisor's word that the kernel has reported this very process dead.

    It names the incarnation, so it can never end the restarted child.  Idempotent; acknowledged
    once acted on, and repeated until then.
    """

    api: ClassVar[Api] = Api.DEATH_NOTICE

    name: NodeName
    node_id: NodeId
    incarnation: Incarnation
    proof: bytes = b""
    """:func:`death_notice_proof` of the three fields above: nobody else may end a session."""


def death_notice_proof(
    supervisor_key: str, name: NodeName, node_id: NodeId, incarnation: Incarnation
) -> bytes:
    """Return what proves that a notice comes from who knows the key (HMAC-SHA-256, 32 bytes)."""
    import hmac  # loads OpenSSL: only those who tell and judge deaths need it

    words = f"{node_id}/{incarnation}/{name}".encode()
    return hmac.digest(supervisor_key.encode(), words, "sha256")


class DeathNoticeResponse(Message, frozen=True, array_like=True, gc=False):
    """NONE: acted on, or nothing left to do. NOT_RAFT_LEADER: noted; tell the others too."""

    api: ClassVar[Api] = Api.DEATH_NOTICE

    error: int


class ForgetNodeRequest(Message, frozen=True, array_like=True, gc=False):
    """A supervisor's word to its nodes that another one has ended for good. Idempotent."""

    api: ClassVar[Api] = Api.FORGET_NODE

    name: NodeName
    node_id: NodeId
    proof: bytes = b""
    """:func:`removal_proof` of both."""


def removal_proof(supervisor_key: str, name: NodeName, node_id: NodeId) -> bytes:
    """Return what proves that a node's removal is told by who knows the key (HMAC-SHA-256)."""
    import hmac

    words = f"forget/{node_id}/{name}".encode()
    return hmac.digest(supervisor_key.encode(), words, "sha256")


def is_proven_removal(supervisor_key: str, told: ForgetNodeRequest) -> bool:
    """Tell whether the sender knows the supervisor's key. Without a key nobody can prove anything."""
    import hmac

    proof = removal_proof(supervisor_key, told.name, told.node_id)
    return bool(supervisor_key) and hmac.compare_digest(proof, told.proof)


class ForgetNodeResponse(Message, frozen=True, array_like=True, gc=False):
    """NONE: it is forgotten, or was not known. SERVER_BEHIND: it votes, as far as is known here."""

    api: ClassVar[Api] = Api.FORGET_NODE

    error: int


class HealthRequest(Message, frozen=True, array_like=True, gc=False):
    """How are you?  Asked by the supervisor and by ``odradek status``."""

    api: ClassVar[Api] = Api.HEALTH


class HealthResponse(Message, frozen=True, array_like=True, gc=False):
    """A node's own view of itself."""

    api: ClassVar[Api] = Api.HEALTH

    error: int
    name: NodeName
    incarnation: Incarnation
    state: str
    """``starting``, ``ready`` (serves its role), ``stopping``."""
    leader: bool
    """It leads its Raft quorum."""
    controller: bool
    """It is the active controller."""
    leader_count: int = 0
    """Partitions it leads; 0 for a coordinator."""
    replica_count: int = 0
    broker_epoch: BrokerEpoch = BrokerEpoch(-1)
    figures: dict[str, int] = {}
    """Counters by name, such as ``malformed_messages``."""
