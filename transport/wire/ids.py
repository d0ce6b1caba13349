"""A distinct type for every id and every position, so that none is passed for another."""

from __future__ import annotations

from typing import NamedTuple, NewType

NodeId = NewType("NodeId", int)
"""The integer that topics name as leader, replica and ISR member, and Raft names as voter."""

NodeName = NewType("NodeName", str)
"""``role-id``, as ``broker-1`` or ``coordinator-2``: unique within the cluster."""

ClusterId = NewType("ClusterId", str)
Incarnation = NewType("Incarnation", int)
"""Grows by one with each start of a node's process; given by its supervisor."""

CLUSTER_PRINCIPAL = "odradek"
"""Whom the cluster's own keys prove: its nodes and its supervisor, to each other."""

# Raft
Term = NewType("Term", int)
LogIndex = NewType("LogIndex", int)
"""Position of an entry in the Raft log, from 1; 0 means "before the first"."""

# Coordination
Zxid = NewType("Zxid", int)
"""Number of a write in the one order of all writes to the znode tree; 0 means "none yet"."""
SessionId = NewType("SessionId", int)
RequestId = NewType("RequestId", int)
"""Number of a write within its session, from 1 without gaps; 0 marks an operation that only reads."""

# Cluster control
ControllerEpoch = NewType("ControllerEpoch", int)
MetadataVersion = NewType("MetadataVersion", int)
BrokerEpoch = NewType("BrokerEpoch", int)
TopicId = NewType("TopicId", bytes)
"""16 random bytes given at creation: a topic deleted and made again is another topic."""

# Partition logs
Offset = NewType("Offset", int)
LeaderEpoch = NewType("LeaderEpoch", int)
PartitionEpoch = NewType("PartitionEpoch", int)
ProducerId = NewType("ProducerId", int)
ProducerEpoch = NewType("ProducerEpoch", int)
PRODUCER_EPOCH_MAX = ProducerEpoch(2**15 - 1)
"""A batch has 16 bits for it."""

# Groups
MemberId = NewType("MemberId", str)
MemberEpoch = NewType("MemberEpoch", int)
"""Of the group's epochs, the one under which a member got what it owns; a classic generation too."""

NO_NODE = NodeId(-1)
NO_PRODUCER_ID = ProducerId(-1)


class TopicPartition(NamedTuple):
    """A partition as people name it."""

    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}-{self.partition}"


class PartitionKey(NamedTuple):
    """A partition as nodes name it: by topic id, so that a topic made anew is not mistaken."""

    topic_id: TopicId
    partition: int


class MetadataPosition(NamedTuple):
    """How far somebody knows the cluster image. Ordered: a later controller's changes are newer."""

    controller_epoch: ControllerEpoch
    version: MetadataVersion


NO_METADATA = MetadataPosition(ControllerEpoch(0), MetadataVersion(0))
