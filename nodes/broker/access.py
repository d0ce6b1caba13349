"""What each API of the clients' door demands: one row for each request, and nothing elsewhere.

The operations are Kafka's.  Topics are judged by name; a part with a topic id that this broker does
not know is refused as unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from msgspec.structs import replace

from nodes.core.acls import Demand
from nodes.core.controller.image import ClusterImage
from transport.wire.errors import ErrorCode
from transport.wire.ids import TopicId
from transport.wire.messages import (
    Message,
    acls,
    cluster,
    configs,
    coordinators,
    deletion,
    ensemble,
    fetch,
    group_offsets,
    groups,
    log_directories,
    metadata,
    produce,
    quotas,
    reassignments,
    topics,
    transactions,
    users,
)
from transport.wire.messages.acls import CLUSTER_NAME, AclOperation, ResourceType

CODES = {
    ResourceType.TOPIC: ErrorCode.TOPIC_AUTHORIZATION_FAILED,
    ResourceType.GROUP: ErrorCode.GROUP_AUTHORIZATION_FAILED,
    ResourceType.CLUSTER: ErrorCode.CLUSTER_AUTHORIZATION_FAILED,
    ResourceType.TRANSACTIONAL_ID: ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
}

May = Callable[[Demand], bool]
Demands = Callable[[Any, ClusterImage], Iterable[Demand]]
"""(request, image) -> all that must be allowed."""
PartDemands = Callable[[Any, Any, ClusterImage], Iterable[Demand] | None]
"""(request, part, image) -> all that must be allowed; None: its topic id is not known here."""

READ, WRITE, CREATE = AclOperation.READ, AclOperation.WRITE, AclOperation.CREATE
DELETE, ALTER, DESCRIBE = AclOperation.DELETE, AclOperation.ALTER, AclOperation.DESCRIBE
TOPIC, GROUP, CLUSTER = ResourceType.TOPIC, ResourceType.GROUP, ResourceType.CLUSTER
TRANSACTIONAL_ID = ResourceType.TRANSACTIONAL_ID


class Parts(NamedTuple):
    """The parts of a request that are judged, and refused, one by one."""

    field: str
    """Of the request; where it is None, nothing is named."""
    demands: PartDemands
    answer: type[Message]
    told: str
    """The field of the answer with the parts' outcomes."""
    refused: Callable[[Any, int, str], Any] | None
    """(part, code, text) -> its outcome. None: it is left out."""
    in_order: bool = True
    """There is an outcome for every part, in the order of the request."""
    also: Mapping[str, Any] = {}
    """What else is changed where only some parts are left."""
    alone: bool = True
    """The answer tells of nothing but the parts: where none is left, nobody has to be asked."""


class Sift(NamedTuple):
    """What of an answer its asker may see."""

    answer: type[Message]
    told: str
    shown: Callable[[Any, May, ClusterImage], Any]
    """One part of the field ``told`` -> that part as it may be seen, or None."""


class Row(NamedTuple):
    """What one request demands as a whole, what of its parts, and what its answer may show."""

    demands: Demands = lambda _body, _image: ()
    parts: Parts | None = None
    sift: Sift | None = None


class DemandById(Demand):
    """On a topic that a request names by its id: whoever asks may not know its name."""

    __slots__ = ()


# Demands


def _on_cluster(operation: AclOperation) -> Row:
    demand = Demand(operation, CLUSTER, CLUSTER_NAME)
    return Row(lambda _body, _image: (demand,))


def _on_group(operation: AclOperation) -> Demands:
    return lambda body, _image: (Demand(operation, GROUP, body.group_id),)


def _on_transaction(operation: AclOperation) -> Demands:
    return lambda body, _image: (Demand(operation, TRANSACTIONAL_ID, body.transactional_id),)


def _on_topics(
    operation: AclOperation, topic_ids: Iterable[TopicId], image: ClusterImage
) -> Iterator[Demand]:
    for topic_id in topic_ids:
        topic = image.topics.get(topic_id)
        if topic is not None:
            yield DemandById(operation, TOPIC, topic.name)


def _by_id(operation: AclOperation) -> PartDemands:
    return lambda _body, part, image: _on_topic(operation, part.topic_id, image)


def _on_topic(
    operation: AclOperation, topic_id: TopicId, image: ClusterImage
) -> Iterable[Demand] | None:
    topic = image.topics.get(topic_id)
    return None if topic is None else (DemandById(operation, TOPIC, topic.name),)


def _by_name(operation: AclOperation) -> PartDemands:
    return lambda _body, part, _image: (Demand(operation, TOPIC, _name(part)),)


def _by_kind(operation: AclOperation) -> PartDemands:
    def demands(_body: Any, resource: Any, _image: ClusterImage) -> Iterable[Demand]:
        of_topic = resource.kind == configs.RESOURCE_TOPIC
        name = resource.name if of_topic else CLUSTER_NAME
        return (Demand(operation, TOPIC if of_topic else CLUSTER, name),)

    return demands


def _name(part: Any) -> str:
    name: str = part if isinstance(part, str) else part.name
    return name


def _produce(body: produce.ProduceRequest, _image: ClusterImage) -> Iterable[Demand]:
    if body.transactional_id is not None:
        yield Demand(WRITE, TRANSACTIONAL_ID, body.transactional_id)


def _init(body: produce.InitProducerIdRequest, _image: ClusterImage) -> Iterable[Demand]:
    if body.transactional_id is not None:
        yield Demand(WRITE, TRANSACTIONAL_ID, body.transactional_id)
    else:
        yield Demand(AclOperation.IDEMPOTENT_WRITE, CLUSTER, CLUSTER_NAME)


def _add_to_transaction(
    body: transactions.AddPartitionsToTxnRequest, image: ClusterImage
) -> Iterable[Demand]:
    yield Demand(WRITE, TRANSACTIONAL_ID, body.transactional_id)
    if body.group_id:  # its offsets are to be committed
        yield Demand(READ, GROUP, body.group_id)
    yield from _on_topics(WRITE, (part.topic_id for part in body.partitions), image)


def _commit_in_transaction(
    body: group_offsets.TxnOffsetCommitRequest, _image: ClusterImage
) -> Iterable[Demand]:
    yield Demand(WRITE, TRANSACTIONAL_ID, body.transactional_id)
    yield Demand(READ, GROUP, body.group_id)


def _fetch_offsets(body: group_offsets.OffsetFetchRequest, image: ClusterImage) -> Iterable[Demand]:
    yield Demand(DESCRIBE, GROUP, body.group_id)
    yield from _on_topics(DESCRIBE, (part.topic_id for part in body.partitions or ()), image)


def _heartbeat(
    body: groups.ConsumerGroupHeartbeatRequest, _image: ClusterImage
) -> Iterable[Demand]:
    yield Demand(READ, GROUP, body.group_id)
    for topic in body.topics or ():
        yield Demand(DESCRIBE, TOPIC, topic)
    if body.pattern:  # it may find any
        yield Demand(DESCRIBE, TOPIC, acls.WILDCARD)


def _describe_topic(
    body: metadata.MetadataRequest, name: str, image: ClusterImage
) -> Iterable[Demand]:
    yield Demand(DESCRIBE, TOPIC, name)
    if body.allow_auto_topic_creation and name not in image.topic_ids:
        yield Demand(CREATE, TOPIC, name)


def _find(body: coordinators.FindCoordinatorRequest, key: str, _: ClusterImage) -> Iterable[Demand]:
    of_group = body.key_type == coordinators.KEY_GROUP
    return (Demand(DESCRIBE, GROUP if of_group else TRANSACTIONAL_ID, key),)


# What answers show


def _known(part: Any, may: May, image: ClusterImage) -> Any:
    """A part of a topic that may be known, by its id."""
    return part if all(map(may, _on_topics(DESCRIBE, (part.topic_id,), image))) else None


def _described(info: metadata.TopicInfo, may: May, _image: ClusterImage) -> Any:
    refused = info.error == ErrorCode.TOPIC_AUTHORIZATION_FAILED  # it was asked for by its name
    return info if refused or may(Demand(DESCRIBE, TOPIC, info.name)) else None


def _listed_group(one: groups.ListedGroup, may: May, _image: ClusterImage) -> Any:
    every = Demand(DESCRIBE, CLUSTER, CLUSTER_NAME)
    return one if may(every) or may(Demand(DESCRIBE, GROUP, one.group_id)) else None


def _listed_transaction(one: transactions.ListedTransaction, may: May, _: ClusterImage) -> Any:
    return one if may(Demand(DESCRIBE, TRANSACTIONAL_ID, one.transactional_id)) else None


def _member(member: groups.DescribedMember, may: May, image: ClusterImage) -> Any:
    def owned(parts: tuple[groups.OwnedTopic, ...]) -> tuple[groups.OwnedTopic, ...]:
        return tuple(part for part in parts if _known(part, may, image) is not None)

    return replace(
        member,
        topics=tuple(name for name in member.topics if may(Demand(DESCRIBE, TOPIC, name))),
        assigned=owned(member.assigned),
        revoking=owned(member.revoking),
        target=owned(member.target),
    )


# Outcomes of refused parts


def _of_partition(kind: type[Any], *, with_text: bool = False) -> Callable[[Any, int, str], Any]:
    def refused(part: Any, error: int, text: str) -> Any:
        if with_text:
            return kind(part.topic_id, part.partition, error, text=text)
        return kind(part.topic_id, part.partition, error)

    return refused


def _of_topic(part: Any, error: int, text: str) -> topics.TopicOutcome:
    return topics.TopicOutcome(_name(part), error, text)


def _admin(operation: AclOperation, answer: type[Message]) -> Row:
    return Row(parts=Parts("topics", _by_name(operation), answer, "topics", _of_topic))


# The table

OPEN = Row()
"""For everybody who is let in."""
ROWS: Mapping[type[Message], Row] = {
    cluster.DescribeNodeRequest: OPEN,  # where everybody is: a client's first words
    cluster.HealthRequest: OPEN,  # as coordinators answer it, and /health: it holds no names
    metadata.MetadataRequest: Row(
        parts=Parts(
            "topics",
            _describe_topic,
            metadata.MetadataResponse,
            "topics",
            lambda name, error, text: metadata.TopicInfo(error, name, text=text),
            alone=False,
        ),
        sift=Sift(metadata.MetadataResponse, "topics", _described),
    ),
    produce.ProduceRequest: Row(
        _produce,
        Parts(
            "partitions",
            _by_id(WRITE),
            produce.ProduceResponse,
            "partitions",
            _of_partition(produce.ProducedPartition, with_text=True),
        ),
    ),
    produce.InitProducerIdRequest: Row(_init),
    fetch.FetchRequest: Row(
        parts=Parts(
            "partitions",
            _by_id(READ),
            fetch.FetchResponse,
            "partitions",
            _of_partition(fetch.FetchedPartition, with_text=True),
            in_order=False,
            also={"max_wait_ms": 0},
        )
    ),
    fetch.ListOffsetsRequest: Row(
        parts=Parts(
            "partitions",
            _by_id(DESCRIBE),
            fetch.ListOffsetsResponse,
            "partitions",
            _of_partition(fetch.ListedOffset),
        )
    ),
    fetch.OffsetForLeaderEpochRequest: Row(
        parts=Parts(
            "partitions",
            _by_id(DESCRIBE),
            fetch.OffsetForLeaderEpochResponse,
            "partitions",
            _of_partition(fetch.EpochEnded),
        )
    ),
    deletion.DeleteRecordsRequest: Row(
        parts=Parts(
            "partitions",
            _by_id(DELETE),
            deletion.DeleteRecordsResponse,
            "partitions",
            _of_partition(deletion.DeletedRecords, with_text=True),
        )
    ),
    transactions.DescribeProducersRequest: Row(
        parts=Parts(
            "partitions",
            _by_id(READ),
            transactions.DescribeProducersResponse,
            "partitions",
            _of_partition(transactions.DescribedProducers, with_text=True),
        )
    ),
    topics.DescribeTopicsRequest: Row(
        parts=Parts(
            "topics",
            lambda _body, topic_id, image: _on_topic(DESCRIBE, topic_id, image),
            topics.DescribeTopicsResponse,
            "partitions",
            None,
            in_order=False,
        )
    ),
    topics.CreateTopicsRequest: _admin(CREATE, topics.CreateTopicsResponse),
    topics.DeleteTopicsRequest: _admin(DELETE, topics.DeleteTopicsResponse),
    topics.CreatePartitionsRequest: _admin(ALTER, topics.CreatePartitionsResponse),
    configs.DescribeConfigsRequest: Row(
        parts=Parts(
            "resources",
            _by_kind(AclOperation.DESCRIBE_CONFIGS),
            configs.DescribeConfigsResponse,
            "resources",
            lambda one, error, text: configs.DescribedConfigs(one.kind, one.name, error, text),
        )
    ),
    configs.AlterConfigsRequest: Row(
        parts=Parts(
            "resources",
            _by_kind(AclOperation.ALTER_CONFIGS),
            configs.AlterConfigsResponse,
            "resources",
            lambda one, error, text: configs.ConfigOutcome(one.kind, one.name, error, text),
        )
    ),
    log_directories.AlterReplicaLogDirsRequest: _on_cluster(ALTER),
    log_directories.DescribeLogDirsRequest: _on_cluster(DESCRIBE),
    reassignments.AlterReassignmentsRequest: _on_cluster(ALTER),
    reassignments.ListReassignmentsRequest: _on_cluster(DESCRIBE),
    reassignments.ElectLeadersRequest: _on_cluster(ALTER),
    reassignments.DrainBrokerRequest: _on_cluster(ALTER),
    reassignments.UnregisterBrokerRequest: _on_cluster(ALTER),
    quotas.DescribeClientQuotasRequest: _on_cluster(AclOperation.DESCRIBE_CONFIGS),
    quotas.AlterClientQuotasRequest: _on_cluster(AclOperation.ALTER_CONFIGS),
    ensemble.DescribeQuorumRequest: _on_cluster(DESCRIBE),
    acls.CreateAclsRequest: _on_cluster(ALTER),
    acls.DeleteAclsRequest: _on_cluster(ALTER),
    acls.DescribeAclsRequest: _on_cluster(DESCRIBE),
    users.AlterUserScramCredentialsRequest: _on_cluster(ALTER),
    users.DescribeUserScramCredentialsRequest: _on_cluster(DESCRIBE),
    coordinators.FindCoordinatorRequest: Row(
        parts=Parts(
            "keys",
            _find,
            coordinators.FindCoordinatorResponse,
            "coordinators",
            lambda key, error, text: coordinators.FoundCoordinator(key, error, text=text),
        )
    ),
    groups.ConsumerGroupHeartbeatRequest: Row(_heartbeat),
    groups.JoinGroupRequest: Row(_on_group(READ)),
    groups.SyncGroupRequest: Row(_on_group(READ)),
    groups.ClassicHeartbeatRequest: Row(_on_group(READ)),
    groups.LeaveGroupRequest: Row(_on_group(READ)),
    groups.DescribeGroupRequest: Row(
        _on_group(DESCRIBE), sift=Sift(groups.DescribeGroupResponse, "members", _member)
    ),
    groups.DeleteGroupRequest: Row(_on_group(DELETE)),
    groups.ListGroupsRequest: Row(sift=Sift(groups.ListGroupsResponse, "groups", _listed_group)),
    group_offsets.OffsetCommitRequest: Row(
        _on_group(READ),
        Parts(
            "offsets",
            _by_id(READ),
            group_offsets.OffsetCommitResponse,
            "outcomes",
            _of_partition(group_offsets.CommitOutcome),
        ),
    ),
    group_offsets.TxnOffsetCommitRequest: Row(
        _commit_in_transaction,
        Parts(
            "offsets",
            _by_id(READ),
            group_offsets.TxnOffsetCommitResponse,
            "outcomes",
            _of_partition(group_offsets.CommitOutcome),
        ),
    ),
    group_offsets.OffsetFetchRequest: Row(
        _fetch_offsets, sift=Sift(group_offsets.OffsetFetchResponse, "offsets", _known)
    ),
    group_offsets.OffsetDeleteRequest: Row(
        _on_group(DELETE),
        Parts(
            "partitions",
            _by_id(READ),
            group_offsets.OffsetDeleteResponse,
            "outcomes",
            _of_partition(group_offsets.CommitOutcome),
        ),
    ),
    transactions.AddPartitionsToTxnRequest: Row(_add_to_transaction),
    transactions.WriteTxnMarkersRequest: _on_cluster(ALTER),
    transactions.EndTxnRequest: Row(_on_transaction(WRITE)),
    transactions.DescribeTransactionRequest: Row(
        _on_transaction(DESCRIBE),
        sift=Sift(transactions.DescribeTransactionResponse, "partitions", _known),
    ),
    transactions.ListTransactionsRequest: Row(
        sift=Sift(transactions.ListTransactionsResponse, "transactions", _listed_transaction)
    ),
}
