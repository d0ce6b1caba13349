"""The cluster image: the records it is made of, and how it is spread.

The image has a version that grows by one with each committed batch of records (a *delta*).  The
controller publishes every delta once it is committed; a gap is repaired by :class:`FetchImageRequest`.
Brokers publish again what they have *applied*, for their clients.
"""

from __future__ import annotations

from typing import ClassVar

from transport.wire.apis import Api
from transport.wire.ids import (
    NO_NODE,
    BrokerEpoch,
    ClusterId,
    ControllerEpoch,
    Incarnation,
    LeaderEpoch,
    MetadataVersion,
    NodeId,
    NodeName,
    PartitionEpoch,
    ProducerId,
    TopicId,
)
from transport.wire.messages import Message, Part
from transport.wire.messages.acls import AclEntry
from transport.wire.messages.users import ScramCredential

EVENT_DELTA = b"delta"
"""PUB topic of the controller: for brokers."""
EVENT_METADATA = b"metadata"
"""PUB topic of every broker, after it has applied a delta: for clients."""
EVENT_BEAT = b"beat"
"""PUB topic of heartbeats."""

FORMATS_ACLS = 1
"""Adds :class:`AclRecord`."""
FORMATS_USERS = 2
"""Adds :class:`UserRecord`."""
FORMATS = FORMATS_USERS
"""How far this code reads: the newest kind of record, each numbered when it is added."""


class BrokerRecord(Part, frozen=True, array_like=True, gc=False, tag="broker"):
    """A broker as registered. ``alive`` False: its session ended; it leads nothing."""

    id: NodeId
    name: NodeName
    epoch: BrokerEpoch
    """The czxid of its registration: grows with each one."""
    incarnation: Incarnation
    peers: str
    clients: str
    events: str
    rack: str
    alive: bool
    intact: bool = True
    """Its logs are what its predecessor left: no power was lost, or it had stopped in order."""
    leaving: bool = False
    """It is about to stop: others lead, until it registers anew."""
    draining: bool = False
    """It leads nothing and gets no new replicas, until somebody says otherwise."""
    http: str = ""
    formats: int = 0
    """How far it reads: see :data:`FORMATS`."""
    lost: bool = False
    """Logs may be gone as a whole: a directory was, or all."""
    kafka: str = ""
    """``tcp://host:port`` for Kafka's clients; empty: it does not listen for them."""


class TopicRecord(Part, frozen=True, array_like=True, gc=False, tag="topic"):
    """A topic and the configs that differ from the defaults."""

    name: str
    topic_id: TopicId
    configs: dict[str, str] = {}
    partition_count: int = 0
    """As asked for at creation: a topic with fewer partition records is still being made."""
    replication_factor: int = 0
    """As decided at creation."""


class PartitionRecord(Part, frozen=True, array_like=True, gc=False, tag="partition"):
    """The state of one partition; the first replica is the preferred leader."""

    topic_id: TopicId
    partition: int
    replicas: tuple[NodeId, ...]
    isr: tuple[NodeId, ...]
    leader: NodeId
    """``NO_NODE`` (−1) while none of the ISR is alive."""
    leader_epoch: LeaderEpoch
    """Grows with each change of leader."""
    partition_epoch: PartitionEpoch
    """Grows with each change of this record."""
    elr: tuple[NodeId, ...] = ()
    """Eligible leader replicas (KIP-966): outside the ISR, with all that was acknowledged. While
    there are any the high watermark does not move."""
    adding: tuple[NodeId, ...] = ()
    """Replicas that a reassignment adds; it ends when all are in the ISR."""
    removing: tuple[NodeId, ...] = ()
    """Replicas that go when the reassignment ends."""

    @property
    def replication_factor(self) -> int:
        """How many replicas it has, without those that are still being added."""
        return len(self.replicas) - len(self.adding)


class RemoveTopicRecord(Part, frozen=True, array_like=True, gc=False, tag="remove_topic"):
    """The topic and its partitions are gone; replicas delete their logs."""

    topic_id: TopicId


class RemoveBrokerRecord(Part, frozen=True, array_like=True, gc=False, tag="remove_broker"):
    """A broker that is gone for good; it had no replicas."""

    id: NodeId


class ProducerIdsRecord(Part, frozen=True, array_like=True, gc=False, tag="producer_ids"):
    """The first producer id that no block contains yet."""

    next_producer_id: ProducerId


class ConfigRecord(Part, frozen=True, array_like=True, gc=False, tag="config"):
    """The dynamic configs of one broker, of all brokers (``name`` empty), or the quotas of clients."""

    kind: str
    """``broker`` or ``client``."""
    name: str
    configs: dict[str, str] = {}
    """Empty: there are none (any more)."""


class AclRecord(Part, frozen=True, array_like=True, gc=False, tag="acl"):
    """The ACL of the resources that a pattern names; no entries: it has none (any more)."""

    resource_type: int
    pattern_type: int
    name: str
    entries: tuple[AclEntry, ...] = ()


class UserRecord(Part, frozen=True, array_like=True, gc=False, tag="user"):
    """A user who proves a password; no credentials: there is none of that name (any more)."""

    name: str
    credentials: tuple[ScramCredential, ...] = ()


MetadataRecord = (
    BrokerRecord
    | TopicRecord
    | PartitionRecord
    | RemoveTopicRecord
    | ProducerIdsRecord
    | ConfigRecord
    | RemoveBrokerRecord
    | AclRecord
    | UserRecord
)


class MetadataDelta(Message, frozen=True, array_like=True, gc=False):
    """An event: the records that lead from version ``version - 1`` to ``version``.

    Published without records where not everybody who listens may know them: whoever may, asks.
    """

    api: ClassVar[Api] = Api.METADATA_DELTA

    controller_epoch: ControllerEpoch
    version: MetadataVersion
    records: tuple[MetadataRecord, ...]


class FetchImageRequest(Message, frozen=True, array_like=True, gc=False):
    """Broker to controller: what came after ``from_version``?"""

    api: ClassVar[Api] = Api.FETCH_IMAGE

    broker_id: NodeId
    from_version: MetadataVersion
    own: bool = False
    """A person's question to any node: what has it applied itself? Then of the deltas those that it
    still has, which may begin later."""
    formats: int = 0
    """How far the broker reads."""


class FetchImageResponse(Message, frozen=True, array_like=True, gc=False):
    """Either the missing deltas in order, or (``full``) the records of the whole image.

    Refused with UNSUPPORTED_VERSION to a broker that could not read it.
    """

    api: ClassVar[Api] = Api.FETCH_IMAGE

    error: int
    controller_epoch: ControllerEpoch = ControllerEpoch(0)
    version: MetadataVersion = MetadataVersion(0)
    full: bool = False
    records: tuple[MetadataRecord, ...] = ()
    deltas: tuple[MetadataDelta, ...] = ()


# For clients


class BrokerInfo(Part, frozen=True, array_like=True, gc=False):
    """A live broker as clients see it."""

    id: NodeId
    name: NodeName
    clients: str
    events: str
    rack: str = ""
    draining: bool = False


class PartitionInfo(Part, frozen=True, array_like=True, gc=False):
    """A partition as clients see it; ``leader`` −1 while there is none."""

    partition: int
    leader: NodeId
    leader_epoch: LeaderEpoch
    replicas: tuple[NodeId, ...]
    isr: tuple[NodeId, ...]


class TopicInfo(Part, frozen=True, array_like=True, gc=False):
    """A topic as clients see it; ``error`` UNKNOWN_TOPIC_OR_PARTITION or INVALID_TOPIC if none."""

    error: int
    name: str
    topic_id: TopicId = TopicId(b"")
    partitions: tuple[PartitionInfo, ...] = ()
    configs: dict[str, str] = {}
    text: str = ""
    """Why it may not be seen; empty where the error says it all."""


class MetadataRequest(Message, frozen=True, array_like=True, gc=False):
    """Client to any broker. ``topics`` None: all of them, but for internal ones unless asked."""

    api: ClassVar[Api] = Api.METADATA

    topics: tuple[str, ...] | None = None
    allow_auto_topic_creation: bool = False
    include_internal: bool = False


class MetadataResponse(Message, frozen=True, array_like=True, gc=False):
    """What the answering broker has applied, at (``controller_epoch``, ``version``)."""

    api: ClassVar[Api] = Api.METADATA

    error: int
    cluster_id: ClusterId = ClusterId("")
    controller_id: NodeId = NO_NODE
    controller_epoch: ControllerEpoch = ControllerEpoch(0)
    version: MetadataVersion = MetadataVersion(0)
    brokers: tuple[BrokerInfo, ...] = ()
    topics: tuple[TopicInfo, ...] = ()


# Brokers to the controller


class IsrMember(Part, frozen=True, array_like=True, gc=False):
    """A proposed ISR member, with the registration it was in sync under (KIP-903)."""

    id: NodeId
    broker_epoch: BrokerEpoch


class PartitionChange(Part, frozen=True, array_like=True, gc=False):
    """One partition's proposed ISR, from the leader of ``leader_epoch``."""

    topic_id: TopicId
    partition: int
    leader_epoch: LeaderEpoch
    partition_epoch: PartitionEpoch
    """The one the proposal is based on."""
    isr: tuple[IsrMember, ...]
    lost: tuple[NodeId, ...] = ()
    """Replicas that have lost what they had acknowledged: they must not be elected."""


class AlterPartitionRequest(Message, frozen=True, array_like=True, gc=False):
    """Leader to controller: change these ISRs. The leader itself is in each."""

    api: ClassVar[Api] = Api.ALTER_PARTITION

    broker_id: NodeId
    broker_epoch: BrokerEpoch
    changes: tuple[PartitionChange, ...]


class PartitionChanged(Part, frozen=True, array_like=True, gc=False):
    """What became of one proposed change: an error, or the record as it now stands."""

    topic_id: TopicId
    partition: int
    error: int
    record: PartitionRecord | None = None


class AlterPartitionResponse(Message, frozen=True, array_like=True, gc=False):
    """One outcome per change, in order, unless ``error`` refuses all."""

    api: ClassVar[Api] = Api.ALTER_PARTITION

    error: int
    changes: tuple[PartitionChanged, ...] = ()


class ReplicasFailedRequest(Message, frozen=True, array_like=True, gc=False):
    """Broker to controller: my replicas of these (topic id, partition) have no log that works."""

    api: ClassVar[Api] = Api.REPLICAS_FAILED

    broker_id: NodeId
    broker_epoch: BrokerEpoch
    partitions: tuple[tuple[TopicId, int], ...]


class ReplicasFailedResponse(Message, frozen=True, array_like=True, gc=False):
    """NONE: none of them leads or is counted on any more, but where nobody else is."""

    api: ClassVar[Api] = Api.REPLICAS_FAILED

    error: int


class AllocateProducerIdsRequest(Message, frozen=True, array_like=True, gc=False):
    """Broker to controller: a block of producer ids, please."""

    api: ClassVar[Api] = Api.ALLOCATE_PRODUCER_IDS

    broker_id: NodeId
    broker_epoch: BrokerEpoch


class AllocateProducerIdsResponse(Message, frozen=True, array_like=True, gc=False):
    """``count`` ids from ``first`` on, never given to anybody else."""

    api: ClassVar[Api] = Api.ALLOCATE_PRODUCER_IDS

    error: int
    first: ProducerId = ProducerId(-1)
    count: int = 0
