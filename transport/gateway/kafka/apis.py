"""The table of what is spoken: each API's versions, and where its messages are declared."""

from __future__ import annotations

from enum import IntEnum
from functools import cache
from importlib import import_module
from typing import NamedTuple

from transport.gateway.kafka.fields import LATEST, Struct
from transport.gateway.kafka.schema import Codec, compile_message

_PACKAGE = "transport.gateway.kafka.messages"
NEVER = LATEST + 1


class ApiKey(IntEnum):
    """Kafka's names and numbers."""

    PRODUCE = 0
    FETCH = 1
    LIST_OFFSETS = 2
    METADATA = 3
    OFFSET_COMMIT = 8
    OFFSET_FETCH = 9
    FIND_COORDINATOR = 10
    JOIN_GROUP = 11
    HEARTBEAT = 12
    LEAVE_GROUP = 13
    SYNC_GROUP = 14
    DESCRIBE_GROUPS = 15
    LIST_GROUPS = 16
    SASL_HANDSHAKE = 17
    API_VERSIONS = 18
    CREATE_TOPICS = 19
    DELETE_TOPICS = 20
    DELETE_RECORDS = 21
    INIT_PRODUCER_ID = 22
    OFFSET_FOR_LEADER_EPOCH = 23
    ADD_PARTITIONS_TO_TXN = 24
    ADD_OFFSETS_TO_TXN = 25
    END_TXN = 26
    WRITE_TXN_MARKERS = 27
    TXN_OFFSET_COMMIT = 28
    DESCRIBE_ACLS = 29
    CREATE_ACLS = 30
    DELETE_ACLS = 31
    DESCRIBE_CONFIGS = 32
    ALTER_CONFIGS = 33
    ALTER_REPLICA_LOG_DIRS = 34
    DESCRIBE_LOG_DIRS = 35
    SASL_AUTHENTICATE = 36
    CREATE_PARTITIONS = 37
    DELETE_GROUPS = 42
    ELECT_LEADERS = 43
    INCREMENTAL_ALTER_CONFIGS = 44
    ALTER_PARTITION_REASSIGNMENTS = 45
    LIST_PARTITION_REASSIGNMENTS = 46
    OFFSET_DELETE = 47
    DESCRIBE_CLIENT_QUOTAS = 48
    ALTER_CLIENT_QUOTAS = 49
    DESCRIBE_USER_SCRAM_CREDENTIALS = 50
    ALTER_USER_SCRAM_CREDENTIALS = 51
    DESCRIBE_QUORUM = 55
    DESCRIBE_CLUSTER = 60
    DESCRIBE_PRODUCERS = 61
    UNREGISTER_BROKER = 64
    DESCRIBE_TRANSACTIONS = 65
    LIST_TRANSACTIONS = 66
    CONSUMER_GROUP_HEARTBEAT = 68
    CONSUMER_GROUP_DESCRIBE = 69
    LIST_CONFIG_RESOURCES = 74
    DESCRIBE_TOPIC_PARTITIONS = 75


class Spoken(NamedTuple):
    """One API as spoken here."""

    lowest: int
    highest: int
    flexible_from: int
    """The first version with compact lengths and tagged fields."""
    module: str
    name: str
    """``<name>Request`` and ``<name>Response`` in ``messages/<module>.py``."""
    told_lowest: int | None = None
    """The lowest version that clients are told of, where that is another one."""


APIS: dict[ApiKey, Spoken] = {
    # Clients judge by the lowest version of Produce what else there is: KAFKA-18659.
    ApiKey.PRODUCE: Spoken(3, 13, 9, "produce", "Produce", told_lowest=0),
    ApiKey.FETCH: Spoken(4, 17, 12, "fetch", "Fetch"),
    ApiKey.LIST_OFFSETS: Spoken(1, 10, 6, "offsets", "ListOffsets"),
    ApiKey.METADATA: Spoken(0, 13, 9, "metadata", "Metadata"),
    ApiKey.OFFSET_COMMIT: Spoken(2, 9, 8, "group_offsets", "OffsetCommit"),
    ApiKey.OFFSET_FETCH: Spoken(1, 9, 6, "group_offsets", "OffsetFetch"),
    ApiKey.FIND_COORDINATOR: Spoken(0, 5, 3, "coordinators", "FindCoordinator"),
    ApiKey.JOIN_GROUP: Spoken(0, 9, 6, "groups", "JoinGroup"),
    ApiKey.HEARTBEAT: Spoken(0, 4, 4, "groups", "Heartbeat"),
    ApiKey.LEAVE_GROUP: Spoken(0, 5, 4, "groups", "LeaveGroup"),
    ApiKey.SYNC_GROUP: Spoken(0, 5, 4, "groups", "SyncGroup"),
    ApiKey.DESCRIBE_GROUPS: Spoken(0, 6, 5, "group_administration", "DescribeGroups"),
    ApiKey.LIST_GROUPS: Spoken(0, 5, 3, "group_administration", "ListGroups"),
    ApiKey.SASL_HANDSHAKE: Spoken(0, 1, NEVER, "sasl", "SaslHandshake"),
    ApiKey.API_VERSIONS: Spoken(0, 4, 3, "api_versions", "ApiVersions"),
    ApiKey.CREATE_TOPICS: Spoken(2, 7, 5, "topics", "CreateTopics"),
    ApiKey.DELETE_TOPICS: Spoken(1, 6, 4, "topics", "DeleteTopics"),
    ApiKey.DELETE_RECORDS: Spoken(0, 2, 2, "record_deletion", "DeleteRecords"),
    ApiKey.INIT_PRODUCER_ID: Spoken(0, 5, 2, "producer_ids", "InitProducerId"),
    ApiKey.OFFSET_FOR_LEADER_EPOCH: Spoken(2, 4, 4, "offsets", "OffsetForLeaderEpoch"),
    ApiKey.ADD_PARTITIONS_TO_TXN: Spoken(0, 3, 3, "transactions", "AddPartitionsToTxn"),
    ApiKey.ADD_OFFSETS_TO_TXN: Spoken(0, 4, 3, "transactions", "AddOffsetsToTxn"),
    ApiKey.END_TXN: Spoken(0, 5, 3, "transactions", "EndTxn"),
    ApiKey.WRITE_TXN_MARKERS: Spoken(1, 1, 1, "transactions", "WriteTxnMarkers"),
    ApiKey.TXN_OFFSET_COMMIT: Spoken(0, 5, 3, "group_offsets", "TxnOffsetCommit"),
    ApiKey.DESCRIBE_ACLS: Spoken(1, 3, 2, "acls", "DescribeAcls"),
    ApiKey.CREATE_ACLS: Spoken(1, 3, 2, "acls", "CreateAcls"),
    ApiKey.DELETE_ACLS: Spoken(1, 3, 2, "acls", "DeleteAcls"),
    ApiKey.DESCRIBE_CONFIGS: Spoken(1, 4, 4, "configs", "DescribeConfigs"),
    ApiKey.ALTER_CONFIGS: Spoken(0, 2, 2, "configs", "AlterConfigs"),
    ApiKey.ALTER_REPLICA_LOG_DIRS: Spoken(1, 2, 2, "log_directories", "AlterReplicaLogDirs"),
    ApiKey.DESCRIBE_LOG_DIRS: Spoken(1, 4, 2, "log_directories", "DescribeLogDirs"),
    ApiKey.SASL_AUTHENTICATE: Spoken(0, 2, 2, "sasl", "SaslAuthenticate"),
    ApiKey.CREATE_PARTITIONS: Spoken(0, 3, 2, "topics", "CreatePartitions"),
    ApiKey.DELETE_GROUPS: Spoken(0, 2, 2, "group_administration", "DeleteGroups"),
    ApiKey.ELECT_LEADERS: Spoken(0, 2, 2, "reassignments", "ElectLeaders"),
    ApiKey.INCREMENTAL_ALTER_CONFIGS: Spoken(0, 1, 1, "configs", "IncrementalAlterConfigs"),
    ApiKey.ALTER_PARTITION_REASSIGNMENTS: Spoken(
        0, 0, 0, "reassignments", "AlterPartitionReassignments"
    ),
    ApiKey.LIST_PARTITION_REASSIGNMENTS: Spoken(
        0, 0, 0, "reassignments", "ListPartitionReassignments"
    ),
    ApiKey.OFFSET_DELETE: Spoken(0, 0, NEVER, "group_offsets", "OffsetDelete"),
    ApiKey.DESCRIBE_CLIENT_QUOTAS: Spoken(0, 1, 1, "quotas", "DescribeClientQuotas"),
    ApiKey.ALTER_CLIENT_QUOTAS: Spoken(0, 1, 1, "quotas", "AlterClientQuotas"),
    ApiKey.DESCRIBE_USER_SCRAM_CREDENTIALS: Spoken(0, 0, 0, "sasl", "DescribeUserScramCredentials"),
    ApiKey.ALTER_USER_SCRAM_CREDENTIALS: Spoken(0, 0, 0, "sasl", "AlterUserScramCredentials"),
    ApiKey.DESCRIBE_QUORUM: Spoken(0, 2, 0, "cluster", "DescribeQuorum"),
    ApiKey.DESCRIBE_CLUSTER: Spoken(0, 2, 0, "cluster", "DescribeCluster"),
    ApiKey.DESCRIBE_PRODUCERS: Spoken(0, 0, 0, "transactions", "DescribeProducers"),
    ApiKey.UNREGISTER_BROKER: Spoken(0, 0, 0, "cluster", "UnregisterBroker"),
    ApiKey.DESCRIBE_TRANSACTIONS: Spoken(0, 0, 0, "transactions", "DescribeTransactions"),
    ApiKey.LIST_TRANSACTIONS: Spoken(0, 2, 0, "transactions", "ListTransactions"),
    ApiKey.CONSUMER_GROUP_HEARTBEAT: Spoken(1, 1, 0, "consumer_groups", "ConsumerGroupHeartbeat"),
    ApiKey.CONSUMER_GROUP_DESCRIBE: Spoken(0, 1, 0, "consumer_groups", "ConsumerGroupDescribe"),
    ApiKey.LIST_CONFIG_RESOURCES: Spoken(0, 1, 0, "configs", "ListConfigResources"),
    ApiKey.DESCRIBE_TOPIC_PARTITIONS: Spoken(0, 0, 0, "topics", "DescribeTopicPartitions"),
}


class Conversation(NamedTuple):
    """An API in one version: how both its messages are read and written."""

    request: Codec
    response: Codec
    request_is_flexible: bool
    """Its header ends with tagged fields."""
    response_is_flexible: bool
    """As above; never that of ApiVersions, whose reader does not know yet what is spoken."""


def conversation(key: int, version: int) -> Conversation | None:
    """Return how ``key`` is spoken in ``version``; None: it is not."""
    spoken = APIS.get(key)  # type: ignore[call-overload]
    if spoken is None or not spoken.lowest <= version <= spoken.highest:
        return None  # Not remembered: there are four thousand million such pairs to be asked for.
    return _conversation(spoken, version)


@cache
def _conversation(spoken: Spoken, version: int) -> Conversation:
    module = import_module(f"{_PACKAGE}.{spoken.module}")
    flexible = version >= spoken.flexible_from
    request: type[Struct] = getattr(module, f"{spoken.name}Request")
    response: type[Struct] = getattr(module, f"{spoken.name}Response")
    return Conversation(
        compile_message(request, version, flexible),
        compile_message(response, version, flexible),
        flexible,
        flexible and spoken is not APIS[ApiKey.API_VERSIONS],
    )
