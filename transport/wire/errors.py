"""The one table of error codes.

Numbers up to 999 are Kafka's, negative ones ZooKeeper's (−1 means the same to both), those from
1000 on our own.  A row says what a caller may do about it, so that clients act on flags and never
on lists of codes of their own.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class ErrorCode(IntEnum):
    """Every code that can be in a message."""

    NONE = 0
    UNKNOWN_SERVER_ERROR = -1

    # Kafka's
    OFFSET_OUT_OF_RANGE = 1
    CORRUPT_MESSAGE = 2
    UNKNOWN_TOPIC_OR_PARTITION = 3
    LEADER_NOT_AVAILABLE = 5
    NOT_LEADER_OR_FOLLOWER = 6
    REQUEST_TIMED_OUT = 7
    BROKER_NOT_AVAILABLE = 8
    REPLICA_NOT_AVAILABLE = 9
    MESSAGE_TOO_LARGE = 10
    OFFSET_METADATA_TOO_LARGE = 12
    COORDINATOR_LOAD_IN_PROGRESS = 14
    COORDINATOR_NOT_AVAILABLE = 15
    NOT_COORDINATOR = 16
    INVALID_TOPIC = 17
    RECORD_LIST_TOO_LARGE = 18
    NOT_ENOUGH_REPLICAS = 19
    NOT_ENOUGH_REPLICAS_AFTER_APPEND = 20
    INVALID_REQUIRED_ACKS = 21
    ILLEGAL_GENERATION = 22
    INCONSISTENT_GROUP_PROTOCOL = 23
    INVALID_GROUP_ID = 24
    UNKNOWN_MEMBER_ID = 25
    INVALID_SESSION_TIMEOUT = 26
    REBALANCE_IN_PROGRESS = 27
    TOPIC_AUTHORIZATION_FAILED = 29
    GROUP_AUTHORIZATION_FAILED = 30
    CLUSTER_AUTHORIZATION_FAILED = 31
    INVALID_TIMESTAMP = 32
    UNSUPPORTED_SASL_MECHANISM = 33
    ILLEGAL_SASL_STATE = 34
    UNSUPPORTED_VERSION = 35
    TOPIC_ALREADY_EXISTS = 36
    INVALID_PARTITIONS = 37
    INVALID_REPLICATION_FACTOR = 38
    INVALID_REPLICA_ASSIGNMENT = 39
    INVALID_CONFIG = 40
    NOT_CONTROLLER = 41
    INVALID_REQUEST = 42
    UNSUPPORTED_FOR_MESSAGE_FORMAT = 43
    POLICY_VIOLATION = 44
    OUT_OF_ORDER_SEQUENCE_NUMBER = 45
    DUPLICATE_SEQUENCE_NUMBER = 46
    INVALID_PRODUCER_EPOCH = 47
    INVALID_TXN_STATE = 48
    INVALID_PRODUCER_ID_MAPPING = 49
    INVALID_TRANSACTION_TIMEOUT = 50
    CONCURRENT_TRANSACTIONS = 51
    TRANSACTION_COORDINATOR_FENCED = 52
    TRANSACTIONAL_ID_AUTHORIZATION_FAILED = 53
    SECURITY_DISABLED = 54
    KAFKA_STORAGE_ERROR = 56
    LOG_DIR_NOT_FOUND = 57
    SASL_AUTHENTICATION_FAILED = 58
    UNKNOWN_PRODUCER_ID = 59
    NON_EMPTY_GROUP = 68
    GROUP_ID_NOT_FOUND = 69
    FETCH_SESSION_ID_NOT_FOUND = 70
    INVALID_FETCH_SESSION_EPOCH = 71
    FENCED_LEADER_EPOCH = 74
    UNKNOWN_LEADER_EPOCH = 75
    STALE_BROKER_EPOCH = 77
    OFFSET_NOT_AVAILABLE = 78
    MEMBER_ID_REQUIRED = 79
    PREFERRED_LEADER_NOT_AVAILABLE = 80
    GROUP_MAX_SIZE_REACHED = 81
    FENCED_INSTANCE_ID = 82
    ELIGIBLE_LEADERS_NOT_AVAILABLE = 83
    ELECTION_NOT_NEEDED = 84
    NO_REASSIGNMENT_IN_PROGRESS = 85
    GROUP_SUBSCRIBED_TO_TOPIC = 86
    INVALID_RECORD = 87
    UNSTABLE_OFFSET_COMMIT = 88
    PRODUCER_FENCED = 90
    RESOURCE_NOT_FOUND = 91
    DUPLICATE_RESOURCE = 92
    UNACCEPTABLE_CREDENTIAL = 93
    INVALID_UPDATE_VERSION = 95
    UNKNOWN_TOPIC_ID = 100
    BROKER_ID_NOT_REGISTERED = 102
    INCONSISTENT_TOPIC_ID = 103
    INCONSISTENT_CLUSTER_ID = 104
    TRANSACTIONAL_ID_NOT_FOUND = 105
    INELIGIBLE_REPLICA = 107
    NEW_LEADER_ELECTED = 108
    FENCED_MEMBER_EPOCH = 110
    UNRELEASED_INSTANCE_ID = 111
    UNSUPPORTED_ASSIGNOR = 112
    STALE_MEMBER_EPOCH = 113
    INVALID_REGULAR_EXPRESSION = 128
    MISMATCHED_ENDPOINT_TYPE = 114
    TRANSACTION_ABORTABLE = 120

    # ZooKeeper's
    RUNTIME_INCONSISTENCY = -2
    DATA_INCONSISTENCY = -3
    CONNECTION_LOSS = -4
    MARSHALLING_ERROR = -5
    UNIMPLEMENTED = -6
    OPERATION_TIMEOUT = -7
    BAD_ARGUMENTS = -8
    UNKNOWN_SESSION = -12
    NO_NODE = -101
    NO_AUTH = -102
    BAD_VERSION = -103
    NO_CHILDREN_FOR_EPHEMERALS = -108
    NODE_EXISTS = -110
    NOT_EMPTY = -111
    SESSION_EXPIRED = -112
    INVALID_ACL = -114
    AUTH_FAILED = -115
    SESSION_MOVED = -118
    NOT_READ_ONLY = -119
    NO_WATCHER = -121
    RECONFIG_DISABLED = -123
    QUOTA_EXCEEDED = -125

    # Odradek's own
    MALFORMED = 1000
    UNKNOWN_API = 1001
    WRONG_NODE = 1002
    WRONG_INCARNATION = 1003
    NOT_RAFT_LEADER = 1004
    NO_QUORUM = 1005
    SERVER_BEHIND = 1006
    REQUEST_GAP = 1007
    DISCONNECTED = 1008
    OVERLOADED = 1009
    STOPPING = 1010
    STALE_CONTROLLER_EPOCH = 1011
    RESULT_FORGOTTEN = 1012
    HISTORY_COMPACTED = 1013


class Meaning(NamedTuple):
    """What a caller may do about a code."""

    text: str
    retriable: bool = False
    refresh_metadata: bool = False
    """The caller's view of leaders or endpoints is stale: look again before the retry."""
    fatal: bool = False
    """This producer, session or client can go no further."""


_RETRY = {"retriable": True}
_REFRESH = {"retriable": True, "refresh_metadata": True}
_FATAL = {"fatal": True}

MEANINGS: dict[ErrorCode, Meaning] = {
    ErrorCode.NONE: Meaning("No error."),
    ErrorCode.UNKNOWN_SERVER_ERROR: Meaning("The node met a condition it did not expect."),
    ErrorCode.OFFSET_OUT_OF_RANGE: Meaning("The offset is outside the partition's log."),
    ErrorCode.CORRUPT_MESSAGE: Meaning("A record batch failed its CRC or is cut short.", **_RETRY),
    ErrorCode.UNKNOWN_TOPIC_OR_PARTITION: Meaning("No such topic or partition here.", **_REFRESH),
    ErrorCode.LEADER_NOT_AVAILABLE: Meaning("The partition has no leader at present.", **_REFRESH),
    ErrorCode.NOT_LEADER_OR_FOLLOWER: Meaning(
        "This broker does not lead the partition.", **_REFRESH
    ),
    ErrorCode.REQUEST_TIMED_OUT: Meaning("The request was not done within its time.", **_RETRY),
    ErrorCode.BROKER_NOT_AVAILABLE: Meaning("The broker is not there.", **_REFRESH),
    ErrorCode.REPLICA_NOT_AVAILABLE: Meaning("The broker has no such replica.", **_REFRESH),
    ErrorCode.MESSAGE_TOO_LARGE: Meaning("The batch is above max.message.bytes."),
    ErrorCode.OFFSET_METADATA_TOO_LARGE: Meaning("The commit's metadata is too long."),
    ErrorCode.COORDINATOR_LOAD_IN_PROGRESS: Meaning(
        "The coordinator is still reading its log.", **_RETRY
    ),
    ErrorCode.COORDINATOR_NOT_AVAILABLE: Meaning("There is no coordinator at present.", **_RETRY),
    ErrorCode.NOT_COORDINATOR: Meaning(
        "Another broker is the coordinator now; find it again.", **_RETRY
    ),
    ErrorCode.INVALID_TOPIC: Meaning("Not a legal topic name, or an internal topic."),
    ErrorCode.RECORD_LIST_TOO_LARGE: Meaning("The batch is above segment.bytes."),
    ErrorCode.NOT_ENOUGH_REPLICAS: Meaning(
        "Fewer in-sync replicas than min.insync.replicas.", **_RETRY
    ),
    ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND: Meaning(
        "Written, but the in-sync replicas fell below min.insync.replicas.", **_RETRY
    ),
    ErrorCode.INVALID_REQUIRED_ACKS: Meaning("acks must be 0, 1 or -1 (all)."),
    ErrorCode.ILLEGAL_GENERATION: Meaning("The group has another generation now; join again."),
    ErrorCode.INCONSISTENT_GROUP_PROTOCOL: Meaning(
        "The group's members use another protocol, or have no assignor in common with this one."
    ),
    ErrorCode.INVALID_GROUP_ID: Meaning("Not a legal group id."),
    ErrorCode.UNKNOWN_MEMBER_ID: Meaning("The group has no such member; join again."),
    ErrorCode.INVALID_SESSION_TIMEOUT: Meaning(
        "The session timeout is outside the broker's bounds."
    ),
    ErrorCode.REBALANCE_IN_PROGRESS: Meaning("The group is rebalancing; join again."),
    ErrorCode.TOPIC_AUTHORIZATION_FAILED: Meaning("Not allowed on this topic."),
    ErrorCode.GROUP_AUTHORIZATION_FAILED: Meaning("Not allowed on this group."),
    ErrorCode.CLUSTER_AUTHORIZATION_FAILED: Meaning("Not allowed on this cluster."),
    ErrorCode.UNSUPPORTED_SASL_MECHANISM: Meaning("Nobody can prove who they are that way here."),
    ErrorCode.ILLEGAL_SASL_STATE: Meaning("No SASL handshake came before."),
    ErrorCode.UNSUPPORTED_VERSION: Meaning("This version of the API is not spoken here."),
    ErrorCode.TOPIC_ALREADY_EXISTS: Meaning("A topic of that name exists."),
    ErrorCode.INVALID_PARTITIONS: Meaning("The number of partitions is not possible."),
    ErrorCode.INVALID_REPLICATION_FACTOR: Meaning("More replicas than brokers, or fewer than one."),
    ErrorCode.INVALID_REPLICA_ASSIGNMENT: Meaning("The replica assignment is not possible."),
    ErrorCode.INVALID_CONFIG: Meaning("Unknown or impossible configuration."),
    ErrorCode.INVALID_TIMESTAMP: Meaning("A record's time is too far from the broker's clock."),
    ErrorCode.POLICY_VIOLATION: Meaning("The topic's cleanup.policy does not allow it."),
    ErrorCode.NOT_CONTROLLER: Meaning("This broker is not the active controller.", **_REFRESH),
    ErrorCode.INVALID_REQUEST: Meaning("The request contradicts itself."),
    ErrorCode.UNSUPPORTED_FOR_MESSAGE_FORMAT: Meaning("Only record batches of magic 2 are taken."),
    ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER: Meaning(
        "A batch of this producer before it is missing."
    ),
    ErrorCode.DUPLICATE_SEQUENCE_NUMBER: Meaning("This batch was written long ago."),
    ErrorCode.INVALID_PRODUCER_EPOCH: Meaning("A newer producer has taken this id.", **_FATAL),
    ErrorCode.INVALID_TXN_STATE: Meaning(
        "The transaction is not in a state that allows this.", **_FATAL
    ),
    ErrorCode.INVALID_PRODUCER_ID_MAPPING: Meaning(
        "The producer id is not that of the transactional id.", **_FATAL
    ),
    ErrorCode.INVALID_TRANSACTION_TIMEOUT: Meaning(
        "transaction_timeout_ms is above what the brokers allow.", **_FATAL
    ),
    ErrorCode.CONCURRENT_TRANSACTIONS: Meaning(
        "The transaction before this one is still being ended.", **_RETRY
    ),
    ErrorCode.TRANSACTION_COORDINATOR_FENCED: Meaning(
        "A later transaction coordinator has written here."
    ),
    ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: Meaning(
        "Not allowed with this transactional id.", **_FATAL
    ),
    ErrorCode.SECURITY_DISABLED: Meaning("This cluster judges nobody by ACLs."),
    ErrorCode.KAFKA_STORAGE_ERROR: Meaning("The log directory is offline or full.", **_REFRESH),
    ErrorCode.LOG_DIR_NOT_FOUND: Meaning("The broker has no such log directory."),
    ErrorCode.SASL_AUTHENTICATION_FAILED: Meaning("The user, or its password, is not right."),
    ErrorCode.UNKNOWN_PRODUCER_ID: Meaning("The partition remembers nothing of this producer."),
    ErrorCode.NON_EMPTY_GROUP: Meaning("The group has members; stop them first."),
    ErrorCode.GROUP_ID_NOT_FOUND: Meaning("No such group."),
    ErrorCode.FETCH_SESSION_ID_NOT_FOUND: Meaning("No such fetch session here.", **_RETRY),
    ErrorCode.INVALID_FETCH_SESSION_EPOCH: Meaning(
        "A fetch of the session is missing, or came twice.", **_RETRY
    ),
    ErrorCode.FENCED_LEADER_EPOCH: Meaning("The caller's leader epoch is old.", **_REFRESH),
    ErrorCode.UNKNOWN_LEADER_EPOCH: Meaning(
        "This broker is behind the caller's metadata.", **_RETRY
    ),
    ErrorCode.STALE_BROKER_EPOCH: Meaning("The broker has registered anew since."),
    ErrorCode.OFFSET_NOT_AVAILABLE: Meaning(
        "The new leader's high watermark is not yet known.", **_RETRY
    ),
    ErrorCode.MEMBER_ID_REQUIRED: Meaning("Join again with the member id given."),
    ErrorCode.GROUP_MAX_SIZE_REACHED: Meaning("The group has as many members as are allowed."),
    ErrorCode.FENCED_INSTANCE_ID: Meaning(
        "Another process has joined with this group_instance_id.", **_FATAL
    ),
    ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC: Meaning("Members of the group read this topic."),
    ErrorCode.PREFERRED_LEADER_NOT_AVAILABLE: Meaning("The preferred leader cannot lead now."),
    ErrorCode.ELIGIBLE_LEADERS_NOT_AVAILABLE: Meaning("Nobody can be elected."),
    ErrorCode.ELECTION_NOT_NEEDED: Meaning("The partition is led as it should be."),
    ErrorCode.NO_REASSIGNMENT_IN_PROGRESS: Meaning("The partition is not being reassigned."),
    ErrorCode.BROKER_ID_NOT_REGISTERED: Meaning("No broker has this id."),
    ErrorCode.INVALID_RECORD: Meaning("A record the topic does not allow."),
    ErrorCode.UNSTABLE_OFFSET_COMMIT: Meaning(
        "A transaction that commits these offsets has not ended yet.", **_RETRY
    ),
    ErrorCode.PRODUCER_FENCED: Meaning(
        "A newer producer has taken this transactional id.", **_FATAL
    ),
    ErrorCode.RESOURCE_NOT_FOUND: Meaning("There is none of that name."),
    ErrorCode.DUPLICATE_RESOURCE: Meaning("It is named twice in one request."),
    ErrorCode.UNACCEPTABLE_CREDENTIAL: Meaning("Nobody can have such a credential."),
    ErrorCode.TRANSACTIONAL_ID_NOT_FOUND: Meaning("No such transactional id."),
    ErrorCode.TRANSACTION_ABORTABLE: Meaning(
        "The transaction cannot be committed; abort it, then begin another."
    ),
    ErrorCode.UNKNOWN_TOPIC_ID: Meaning("No topic has this id here.", **_REFRESH),
    ErrorCode.INCONSISTENT_TOPIC_ID: Meaning("The topic was deleted and made again.", **_REFRESH),
    ErrorCode.INCONSISTENT_CLUSTER_ID: Meaning("The node belongs to another cluster."),
    ErrorCode.INVALID_UPDATE_VERSION: Meaning("The partition epoch is not the current one."),
    ErrorCode.INELIGIBLE_REPLICA: Meaning("The replica may not join the ISR now.", **_RETRY),
    ErrorCode.NEW_LEADER_ELECTED: Meaning("The change elected another leader."),
    ErrorCode.FENCED_MEMBER_EPOCH: Meaning("The group goes on without this member; join again."),
    ErrorCode.UNRELEASED_INSTANCE_ID: Meaning(
        "A live member has this group_instance_id; wait for its end, or use another.", **_RETRY
    ),
    ErrorCode.UNSUPPORTED_ASSIGNOR: Meaning("The broker has no such assignor."),
    ErrorCode.STALE_MEMBER_EPOCH: Meaning("The member has lost the partition since."),
    ErrorCode.INVALID_REGULAR_EXPRESSION: Meaning("The pattern is no regular expression of RE2."),
    ErrorCode.MISMATCHED_ENDPOINT_TYPE: Meaning("This is a broker, not a controller."),
    ErrorCode.RUNTIME_INCONSISTENCY: Meaning(
        "Not tried: an operation of the multi before it failed."
    ),
    ErrorCode.DATA_INCONSISTENCY: Meaning("The tree contradicts itself."),
    ErrorCode.CONNECTION_LOSS: Meaning("The connection to the ensemble was lost.", **_RETRY),
    ErrorCode.MARSHALLING_ERROR: Meaning("The operation could not be read."),
    ErrorCode.UNIMPLEMENTED: Meaning("This operation is not offered."),
    ErrorCode.OPERATION_TIMEOUT: Meaning("The operation was not done within its time.", **_RETRY),
    ErrorCode.BAD_ARGUMENTS: Meaning(
        "A path or argument is not legal, or there are more data than data_bytes_max."
    ),
    ErrorCode.UNKNOWN_SESSION: Meaning("No such session."),
    ErrorCode.NO_NODE: Meaning("The znode does not exist."),
    ErrorCode.NO_AUTH: Meaning("Not allowed by the znode's ACL."),
    ErrorCode.BAD_VERSION: Meaning("The znode's version is another one."),
    ErrorCode.NO_CHILDREN_FOR_EPHEMERALS: Meaning("An ephemeral znode has no children."),
    ErrorCode.NODE_EXISTS: Meaning("The znode exists."),
    ErrorCode.NOT_EMPTY: Meaning("The znode has children."),
    ErrorCode.SESSION_EXPIRED: Meaning("The session has ended.", **_FATAL),
    ErrorCode.INVALID_ACL: Meaning("Not a legal ACL."),
    ErrorCode.AUTH_FAILED: Meaning("Authentication failed.", **_FATAL),
    ErrorCode.SESSION_MOVED: Meaning("The session is served by another coordinator now.", **_RETRY),
    ErrorCode.NOT_READ_ONLY: Meaning("This coordinator only reads at present.", **_RETRY),
    ErrorCode.NO_WATCHER: Meaning("The session has no such watch."),
    ErrorCode.RECONFIG_DISABLED: Meaning(
        "The ensemble is not changed by its clients; `odradek ensemble` does that."
    ),
    ErrorCode.QUOTA_EXCEEDED: Meaning("The write would pass the quota of its subtree."),
    ErrorCode.MALFORMED: Meaning("The message could not be read."),
    ErrorCode.UNKNOWN_API: Meaning("No such request here."),
    ErrorCode.WRONG_NODE: Meaning("The message was meant for another node.", **_REFRESH),
    ErrorCode.WRONG_INCARNATION: Meaning(
        "The message was meant for an earlier process.", **_REFRESH
    ),
    ErrorCode.NOT_RAFT_LEADER: Meaning("This coordinator does not lead the quorum.", **_RETRY),
    ErrorCode.NO_QUORUM: Meaning("No majority of the coordinators can be reached.", **_RETRY),
    ErrorCode.SERVER_BEHIND: Meaning(
        "This coordinator is behind what the client has seen.", **_RETRY
    ),
    ErrorCode.REQUEST_GAP: Meaning("A write of the session before this one is missing.", **_RETRY),
    ErrorCode.DISCONNECTED: Meaning("The connection ended before the answer came.", **_REFRESH),
    ErrorCode.OVERLOADED: Meaning("The node's byte budget is spent.", **_RETRY),
    ErrorCode.STOPPING: Meaning("The node is stopping.", **_REFRESH),
    ErrorCode.STALE_CONTROLLER_EPOCH: Meaning("A newer controller has been elected."),
    ErrorCode.RESULT_FORGOTTEN: Meaning("The write was applied; its result is no longer kept."),
    ErrorCode.HISTORY_COMPACTED: Meaning("This server no longer knows changes of that long ago."),
}


def meaning(code: int) -> Meaning:
    """Return the meaning of ``code``; a number nobody knows is an unexpected condition."""
    try:
        return MEANINGS[ErrorCode(code)]
    except ValueError:
        return Meaning(f"Unknown error code {code}.")
