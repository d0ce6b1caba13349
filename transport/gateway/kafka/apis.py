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
    FIND_COORDINATOR = 10
    SASL_HANDSHAKE = 17
    API_VERSIONS = 18
    CREATE_TOPICS = 19
    DELETE_TOPICS = 20
    DELETE_RECORDS = 21
    INIT_PRODUCER_ID = 22
    OFFSET_FOR_LEADER_EPOCH = 23
    DESCRIBE_ACLS = 29
    CREATE_ACLS = 30
    DELETE_ACLS = 31
    DESCRIBE_CONFIGS = 32
    ALTER_CONFIGS = 33
    ALTER_REPLICA_LOG_DIRS = 34
    DESCRIBE_LOG_DIRS = 35
    SASL_AUTHENTICATE = 36
    CREATE_PARTITIONS = 37
    ELECT_LEADERS = 43
    INCREMENTAL_ALTER_CONFIGS = 44
    ALTER_PARTITION_REASSIGNMENTS = 45
    LIST_PARTITION_REASSIGNMENTS = 46
    DESCRIBE_CLIENT_QUOTAS = 48
    ALTER_CLIENT_QUOTAS = 49
    DESCRIBE_USER_SCRAM_CREDENTIALS = 50
    DESCRIBE_QUORUM = 55
    DESCRIBE_CLUSTER = 60
    UNREGISTER_BROKER = 64
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
    ApiKey.FIND_COORDINATOR: Spoken(0, 5, 3, "coordinators", "FindCoordinator"),
    ApiKey.SASL_HANDSHAKE: Spoken(0, 1, NEVER, "sasl", "SaslHandshake"),
    ApiKey.API_VERSIONS: Spoken(0, 4, 3, "api_versions", "ApiVersions"),
    ApiKey.CREATE_TOPICS: Spoken(2, 7, 5, "topics", "CreateTopics"),
    ApiKey.DELETE_TOPICS: Spoken(1, 6, 4, "topics", "DeleteTopics"),
    ApiKey.DELETE_RECORDS: Spoken(0, 2, 2, "record_deletion", "DeleteRecords"),
    ApiKey.INIT_PRODUCER_ID: Spoken(0, 5, 2, "producer_ids", "InitProducerId"),
    ApiKey.OFFSET_FOR_LEADER_EPOCH: Spoken(2, 4, 4, "offsets", "OffsetForLeaderEpoch"),
    ApiKey.DESCRIBE_ACLS: Spoken(1, 3, 2, "acls", "DescribeAcls"),
    ApiKey.CREATE_ACLS: Spoken(1, 3, 2, "acls", "CreateAcls"),
    ApiKey.DELETE_ACLS: Spoken(1, 3, 2, "acls", "DeleteAcls"),
    ApiKey.DESCRIBE_CONFIGS: Spoken(1, 4, 4, "configs", "DescribeConfigs"),
    ApiKey.ALTER_CONFIGS: Spoken(0, 2, 2, "configs", "AlterConfigs"),
    ApiKey.ALTER_REPLICA_LOG_DIRS: Spoken(1, 2, 2, "log_directories", "AlterReplicaLogDirs"),
    ApiKey.DESCRIBE_LOG_DIRS: Spoken(1, 4, 2, "log_directories", "DescribeLogDirs"),
    ApiKey.SASL_AUTHENTICATE: Spoken(0, 2, 2, "sasl", "SaslAuthenticate"),
    ApiKey.CREATE_PARTITIONS: Spoken(0, 3, 2, "topics", "CreatePartitions"),
    ApiKey.ELECT_LEADERS: Spoken(0, 2, 2, "reassignments", "ElectLeaders"),
    ApiKey.INCREMENTAL_ALTER_CONFIGS: Spoken(0, 1, 1, "configs", "IncrementalAlterConfigs"),
    ApiKey.ALTER_PARTITION_REASSIGNMENTS: Spoken(
        0, 0, 0, "reassignments", "AlterPartitionReassignments"
    ),
    ApiKey.LIST_PARTITION_REASSIGNMENTS: Spoken(
        0, 0, 0, "reassignments", "ListPartitionReassignments"
    ),
    ApiKey.DESCRIBE_CLIENT_QUOTAS: Spoken(0, 1, 1, "quotas", "DescribeClientQuotas"),
    ApiKey.ALTER_CLIENT_QUOTAS: Spoken(0, 1, 1, "quotas", "AlterClientQuotas"),
    ApiKey.DESCRIBE_USER_SCRAM_CREDENTIALS: Spoken(0, 0, 0, "sasl", "DescribeUserScramCredentials"),
    ApiKey.DESCRIBE_QUORUM: Spoken(0, 2, 0, "cluster", "DescribeQuorum"),
    ApiKey.DESCRIBE_CLUSTER: Spoken(0, 2, 0, "cluster", "DescribeCluster"),
    ApiKey.UNREGISTER_BROKER: Spoken(0, 0, 0, "cluster", "UnregisterBroker"),
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


@cache
def conversation(key: int, version: int) -> Conversation | None:
    """Return how ``key`` is spoken in ``version``; None: it is not."""
    spoken = APIS.get(key)  # type: ignore[call-overload]
    if spoken is None or not spoken.lowest <= version <= spoken.highest:
        return None
    module = import_module(f"{_PACKAGE}.{spoken.module}")
    flexible = version >= spoken.flexible_from
    request: type[Struct] = getattr(module, f"{spoken.name}Request")
    response: type[Struct] = getattr(module, f"{spoken.name}Response")
    return Conversation(
        compile_message(request, version, flexible),
        compile_message(response, version, flexible),
        flexible,
        flexible and key != ApiKey.API_VERSIONS,
    )
