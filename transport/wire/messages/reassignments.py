"""Where replicas are and who leads: reassignments (KIP-455), elections on demand, brokers that leave."""

from __future__ import annotations

from typing import ClassVar

from transport.wire.apis import Api
from transport.wire.ids import BrokerEpoch, MetadataVersion, NodeId
from transport.wire.messages import Message, Part
from transport.wire.messages.topics import Assignment

ELECT_PREFERRED = 0
ELECT_UNCLEAN = 1


class Reassignment(Part, frozen=True, array_like=True, gc=False):
    """Where a partition's replicas are to be, the preferred leader first; None: cancel."""

    topic: str
    partition: int
    replicas: Assignment | None


class AlterReassignmentsRequest(Message, frozen=True, array_like=True, gc=False):
    """Begin, replace or cancel reassignments."""

    api: ClassVar[Api] = Api.ALTER_PARTITION_REASSIGNMENTS

    partitions: tuple[Reassignment, ...]
    timeout_ms: int


class PartitionOutcome(Part, frozen=True, array_like=True, gc=False):
    """What became of one partition; ``text`` names the argument and the fix."""

    topic: str
    partition: int
    error: int
    text: str = ""


class AlterReassignmentsResponse(Message, frozen=True, array_like=True, gc=False):
    """One outcome per partition, in order, once the beginning (not the end) is committed."""

    api: ClassVar[Api] = Api.ALTER_PARTITION_REASSIGNMENTS

    error: int
    partitions: tuple[PartitionOutcome, ...] = ()
    version: MetadataVersion = MetadataVersion(0)
    """The change is in every image of this version or a later one."""


class ListReassignmentsRequest(Message, frozen=True, array_like=True, gc=False):
    """Client to any broker: which reassignments are under way? ``topics`` None: of all."""

    api: ClassVar[Api] = Api.LIST_PARTITION_REASSIGNMENTS

    topics: tuple[str, ...] | None = None


class OngoingReassignment(Part, frozen=True, array_like=True, gc=False):
    """A partition on its way: ``replicas`` are all it has now, old and new."""

    topic: str
    partition: int
    replicas: Assignment
    adding: Assignment
    removing: Assignment


class ListReassignmentsResponse(Message, frozen=True, array_like=True, gc=False):
    """As the answering broker has applied them."""

    api: ClassVar[Api] = Api.LIST_PARTITION_REASSIGNMENTS

    error: int
    partitions: tuple[OngoingReassignment, ...] = ()


class ElectLeadersRequest(Message, frozen=True, array_like=True, gc=False):
    """Elect the preferred leaders, or (``ELECT_UNCLEAN``) leaders that may lack records.

    ``partitions`` None: of all partitions that need it.
    """

    api: ClassVar[Api] = Api.ELECT_LEADERS

    kind: int
    partitions: tuple[tuple[str, int], ...] | None
    timeout_ms: int


class ElectLeadersResponse(Message, frozen=True, array_like=True, gc=False):
    """One outcome per partition asked for; of all: only those where something was done or tried."""

    api: ClassVar[Api] = Api.ELECT_LEADERS

    error: int
    partitions: tuple[PartitionOutcome, ...] = ()
    version: MetadataVersion = MetadataVersion(0)
    """The change is in every image of this version or a later one."""


class ControlledShutdownRequest(Message, frozen=True, array_like=True, gc=False):
    """Broker to controller: I am about to stop; let others lead."""

    api: ClassVar[Api] = Api.CONTROLLED_SHUTDOWN

    broker_id: NodeId
    broker_epoch: BrokerEpoch


class ControlledShutdownResponse(Message, frozen=True, array_like=True, gc=False):
    """``remaining``: partitions that nobody else can lead."""

    api: ClassVar[Api] = Api.CONTROLLED_SHUTDOWN

    error: int
    remaining: int = 0
    version: MetadataVersion = MetadataVersion(0)
    """The change is in every image of this version or a later one."""


class DrainBrokerRequest(Message, frozen=True, array_like=True, gc=False):
    """Let a broker lead nothing and get no new replicas from now on, or (False) again."""

    api: ClassVar[Api] = Api.DRAIN_BROKER

    broker_id: NodeId
    draining: bool
    timeout_ms: int


class DrainBrokerResponse(Message, frozen=True, array_like=True, gc=False):
    """Once it is committed; ``text`` says what is wrong."""

    api: ClassVar[Api] = Api.DRAIN_BROKER

    error: int
    text: str = ""
    version: MetadataVersion = MetadataVersion(0)
    """The change is in every image of this version or a later one."""


class UnregisterBrokerRequest(Message, frozen=True, array_like=True, gc=False):
    """Forget a broker that is stopped and has no replicas."""

    api: ClassVar[Api] = Api.UNREGISTER_BROKER

    broker_id: NodeId
    timeout_ms: int


class UnregisterBrokerResponse(Message, frozen=True, array_like=True, gc=False):
    """Once it is committed; ``text`` says what is wrong."""

    api: ClassVar[Api] = Api.UNREGISTER_BROKER

    error: int
    text: str = ""
    version: MetadataVersion = MetadataVersion(0)
    """The change is in every image of this version or a later one."""


class HandOverRequest(Message, frozen=True, array_like=True, gc=False):
    """Supervisor to a broker it is about to restart: let others lead first."""

    api: ClassVar[Api] = Api.HAND_OVER


class HandOverResponse(Message, frozen=True, array_like=True, gc=False):
    """NONE: this broker leads nothing that another can lead. ``remaining``: what it still leads."""

    api: ClassVar[Api] = Api.HAND_OVER

    error: int
    remaining: int = 0
