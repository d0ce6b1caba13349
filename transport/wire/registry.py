"""Which types each API speaks, by version; conversations are imported when first used."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import NamedTuple

import msgspec

from transport.wire.apis import Api
from transport.wire.messages import Message

_PACKAGE = "transport.wire.messages"

_CONVERSATIONS: dict[Api, tuple[str, str, str | None]] = {
    Api.PRODUCE: ("produce", "ProduceRequest", "ProduceResponse"),
    Api.INIT_PRODUCER_ID: ("produce", "InitProducerIdRequest", "InitProducerIdResponse"),
    Api.FETCH: ("fetch", "FetchRequest", "FetchResponse"),
    Api.LIST_OFFSETS: ("fetch", "ListOffsetsRequest", "ListOffsetsResponse"),
    Api.DELETE_RECORDS: ("deletion", "DeleteRecordsRequest", "DeleteRecordsResponse"),
    Api.OFFSET_FOR_LEADER_EPOCH: (
        "fetch",
        "OffsetForLeaderEpochRequest",
        "OffsetForLeaderEpochResponse",
    ),
    Api.METADATA: ("metadata", "MetadataRequest", "MetadataResponse"),
    Api.METADATA_DELTA: ("metadata", "MetadataDelta", None),
    Api.FETCH_IMAGE: ("metadata", "FetchImageRequest", "FetchImageResponse"),
    Api.ALTER_PARTITION: ("metadata", "AlterPartitionRequest", "AlterPartitionResponse"),
    Api.REPLICAS_FAILED: ("metadata", "ReplicasFailedRequest", "ReplicasFailedResponse"),
    Api.ALLOCATE_PRODUCER_IDS: (
        "metadata",
        "AllocateProducerIdsRequest",
        "AllocateProducerIdsResponse",
    ),
    Api.FIND_COORDINATOR: (
        "coordinators",
        "FindCoordinatorRequest",
        "FindCoordinatorResponse",
    ),
    Api.OFFSET_COMMIT: ("group_offsets", "OffsetCommitRequest", "OffsetCommitResponse"),
    Api.OFFSET_FETCH: ("group_offsets", "OffsetFetchRequest", "OffsetFetchResponse"),
    Api.OFFSET_DELETE: ("group_offsets", "OffsetDeleteRequest", "OffsetDeleteResponse"),
    Api.CONSUMER_GROUP_HEARTBEAT: (
        "groups",
        "ConsumerGroupHeartbeatRequest",
        "ConsumerGroupHeartbeatResponse",
    ),
    Api.JOIN_GROUP: ("groups", "JoinGroupRequest", "JoinGroupResponse"),
    Api.SYNC_GROUP: ("groups", "SyncGroupRequest", "SyncGroupResponse"),
    Api.CLASSIC_HEARTBEAT: ("groups", "ClassicHeartbeatRequest", "ClassicHeartbeatResponse"),
    Api.LEAVE_GROUP: ("groups", "LeaveGroupRequest", "LeaveGroupResponse"),
    Api.LIST_GROUPS: ("groups", "ListGroupsRequest", "ListGroupsResponse"),
    Api.DESCRIBE_GROUP: ("groups", "DescribeGroupRequest", "DescribeGroupResponse"),
    Api.DELETE_GROUP: ("groups", "DeleteGroupRequest", "DeleteGroupResponse"),
    Api.TXN_OFFSET_COMMIT: (
        "group_offsets",
        "TxnOffsetCommitRequest",
        "TxnOffsetCommitResponse",
    ),
    Api.ADD_PARTITIONS_TO_TXN: (
        "transactions",
        "AddPartitionsToTxnRequest",
        "AddPartitionsToTxnResponse",
    ),
    Api.END_TXN: ("transactions", "EndTxnRequest", "EndTxnResponse"),
    Api.WRITE_TXN_MARKERS: ("transactions", "WriteTxnMarkersRequest", "WriteTxnMarkersResponse"),
    Api.LIST_TRANSACTIONS: ("transactions", "ListTransactionsRequest", "ListTransactionsResponse"),
    Api.DESCRIBE_TRANSACTION: (
        "transactions",
        "DescribeTransactionRequest",
        "DescribeTransactionResponse",
    ),
    Api.DESCRIBE_PRODUCERS: (
        "transactions",
        "DescribeProducersRequest",
        "DescribeProducersResponse",
    ),
    Api.CREATE_TOPICS: ("topics", "CreateTopicsRequest", "CreateTopicsResponse"),
    Api.DELETE_TOPICS: ("topics", "DeleteTopicsRequest", "DeleteTopicsResponse"),
    Api.CREATE_PARTITIONS: ("topics", "CreatePartitionsRequest", "CreatePartitionsResponse"),
    Api.ALTER_REPLICA_LOG_DIRS: (
        "log_directories",
        "AlterReplicaLogDirsRequest",
        "AlterReplicaLogDirsResponse",
    ),
    Api.DESCRIBE_LOG_DIRS: (
        "log_directories",
        "DescribeLogDirsRequest",
        "DescribeLogDirsResponse",
    ),
    Api.DESCRIBE_ACLS: ("acls", "DescribeAclsRequest", "DescribeAclsResponse"),
    Api.CREATE_ACLS: ("acls", "CreateAclsRequest", "CreateAclsResponse"),
    Api.DELETE_ACLS: ("acls", "DeleteAclsRequest", "DeleteAclsResponse"),
    Api.DESCRIBE_CONFIGS: ("configs", "DescribeConfigsRequest", "DescribeConfigsResponse"),
    Api.INCREMENTAL_ALTER_CONFIGS: ("configs", "AlterConfigsRequest", "AlterConfigsResponse"),
    Api.DESCRIBE_CLIENT_QUOTAS: (
        "quotas",
        "DescribeClientQuotasRequest",
        "DescribeClientQuotasResponse",
    ),
    Api.ALTER_CLIENT_QUOTAS: ("quotas", "AlterClientQuotasRequest", "AlterClientQuotasResponse"),
    Api.DESCRIBE_USER_SCRAM_CREDENTIALS: (
        "users",
        "DescribeUserScramCredentialsRequest",
        "DescribeUserScramCredentialsResponse",
    ),
    Api.ALTER_USER_SCRAM_CREDENTIALS: (
        "users",
        "AlterUserScramCredentialsRequest",
        "AlterUserScramCredentialsResponse",
    ),
    Api.ALTER_PARTITION_REASSIGNMENTS: (
        "reassignments",
        "AlterReassignmentsRequest",
        "AlterReassignmentsResponse",
    ),
    Api.LIST_PARTITION_REASSIGNMENTS: (
        "reassignments",
        "ListReassignmentsRequest",
        "ListReassignmentsResponse",
    ),
    Api.ELECT_LEADERS: ("reassignments", "ElectLeadersRequest", "ElectLeadersResponse"),
    Api.CONTROLLED_SHUTDOWN: (
        "reassignments",
        "ControlledShutdownRequest",
        "ControlledShutdownResponse",
    ),
    Api.DRAIN_BROKER: ("reassignments", "DrainBrokerRequest", "DrainBrokerResponse"),
    Api.UNREGISTER_BROKER: ("reassignments", "UnregisterBrokerRequest", "UnregisterBrokerResponse"),
    Api.HAND_OVER: ("reassignments", "HandOverRequest", "HandOverResponse"),
    Api.DESCRIBE_TOPICS: ("topics", "DescribeTopicsRequest", "DescribeTopicsResponse"),
    Api.OPEN_SESSION: ("coordination", "OpenSessionRequest", "OpenSessionResponse"),
    Api.OPERATE: ("coordination", "OperateRequest", "OperateResponse"),
    Api.PING_SESSION: ("coordination", "PingSessionRequest", "PingSessionResponse"),
    Api.WATCH_EVENT: ("coordination", "WatchEvent", None),
    Api.FORWARD_WRITES: ("coordination", "ForwardWrites", None),
    Api.TOUCH_SESSIONS: ("coordination", "TouchSessions", None),
    Api.RAFT_VOTE_REQUEST: ("raft", "VoteRequest", None),
    Api.RAFT_VOTE_RESPONSE: ("raft", "VoteResponse", None),
    Api.RAFT_APPEND_REQUEST: ("raft", "AppendRequest", None),
    Api.RAFT_APPEND_RESPONSE: ("raft", "AppendResponse", None),
    Api.RAFT_SNAPSHOT_REQUEST: ("raft", "SnapshotRequest", None),
    Api.RAFT_SNAPSHOT_RESPONSE: ("raft", "SnapshotResponse", None),
    Api.RAFT_TIMEOUT_NOW: ("raft", "TimeoutNow", None),
    Api.RAFT_READ_INDEX_REQUEST: ("raft", "ReadIndexRequest", None),
    Api.RAFT_READ_INDEX_RESPONSE: ("raft", "ReadIndexResponse", None),
    Api.TRANSFER_LEADERSHIP: (
        "ensemble",
        "TransferLeadershipRequest",
        "TransferLeadershipResponse",
    ),
    Api.CHANGE_VOTERS: ("ensemble", "ChangeVotersRequest", "ChangeVotersResponse"),
    Api.TAKE_SNAPSHOT: ("ensemble", "TakeSnapshotRequest", "TakeSnapshotResponse"),
    Api.DESCRIBE_QUORUM: ("ensemble", "DescribeQuorumRequest", "DescribeQuorumResponse"),
    Api.MIGRATE: ("migration", "MigrateRequest", "MigrateResponse"),
    Api.DESCRIBE_NODE: ("cluster", "DescribeNodeRequest", "DescribeNodeResponse"),
    Api.HEARTBEAT: ("cluster", "Heartbeat", None),
    Api.DEATH_NOTICE: ("cluster", "DeathNotice", "DeathNoticeResponse"),
    Api.FORGET_NODE: ("cluster", "ForgetNodeRequest", "ForgetNodeResponse"),
    Api.HEALTH: ("cluster", "HealthRequest", "HealthResponse"),
    Api.SUPERVISOR_STATUS: ("supervision", "SupervisorStatusRequest", "SupervisorStatusResponse"),
    Api.SIGNAL_NODE: ("supervision", "SignalNodeRequest", "SignalNodeResponse"),
    Api.RESTART_NODE: ("supervision", "RestartNodeRequest", "RestartNodeResponse"),
    Api.REBUILD_NODE: ("supervision", "RebuildNodeRequest", "RebuildNodeResponse"),
    Api.ADD_NODE: ("supervision", "AddNodeRequest", "AddNodeResponse"),
    Api.REMOVE_NODE: ("supervision", "RemoveNodeRequest", "RemoveNodeResponse"),
    Api.MOVE: ("supervision", "MoveRequest", "MoveResponse"),
}

VERSIONS: dict[Api, tuple[int, int]] = dict.fromkeys(_CONVERSATIONS, (0, 0))
"""(lowest, highest) version of each API that this code speaks."""


class Conversation(NamedTuple):
    """The types of one API: what is asked or told, what is answered (None for one-way ones)."""

    question: type[Message]
    answer: type[Message] | None
    question_decoder: msgspec.msgpack.Decoder[Message]
    answer_decoder: msgspec.msgpack.Decoder[Message] | None


@cache
def conversation(api: Api, version: int) -> Conversation | None:
    """Return the types of ``api`` in ``version``, or None where that is not spoken."""
    row = _CONVERSATIONS.get(api)
    if row is None or not VERSIONS[api][0] <= version <= VERSIONS[api][1]:
        return None
    module = import_module(f"{_PACKAGE}.{row[0]}")
    question = getattr(module, row[1])
    answer = getattr(module, row[2]) if row[2] else None
    return Conversation(
        question,
        answer,
        msgspec.msgpack.Decoder(question),
        msgspec.msgpack.Decoder(answer) if answer else None,
    )
