"""The catalogue of conversations: Kafka's API keys where there is one, our own above 1000."""

from __future__ import annotations

from enum import IntEnum


class Api(IntEnum):
    """What a request asks for, or an event tells."""

    # Kafka's names and keys
    PRODUCE = 0
    FETCH = 1
    LIST_OFFSETS = 2
    METADATA = 3
    FIND_COORDINATOR = 10
    CREATE_TOPICS = 19
    DELETE_TOPICS = 20
    INIT_PRODUCER_ID = 22
    OFFSET_FOR_LEADER_EPOCH = 23
    DESCRIBE_CONFIGS = 32
    CREATE_PARTITIONS = 37
    INCREMENTAL_ALTER_CONFIGS = 44
    ALTER_PARTITION = 56
    ALLOCATE_PRODUCER_IDS = 67
    DESCRIBE_TOPICS = 75

    # Coordination
    OPEN_SESSION = 1001
    OPERATE = 1002
    PING_SESSION = 1003
    WATCH_EVENT = 1004
    FORWARD_WRITES = 1010
    TOUCH_SESSIONS = 1011

    # Raft: one-way messages, each with a key of its own
    RAFT_VOTE_REQUEST = 1101
    RAFT_VOTE_RESPONSE = 1102
    RAFT_APPEND_REQUEST = 1103
    RAFT_APPEND_RESPONSE = 1104
    RAFT_SNAPSHOT_REQUEST = 1105
    RAFT_SNAPSHOT_RESPONSE = 1106
    RAFT_TIMEOUT_NOW = 1107
    RAFT_READ_INDEX_REQUEST = 1108
    RAFT_READ_INDEX_RESPONSE = 1109
    TRANSFER_LEADERSHIP = 1110
    TAKE_SNAPSHOT = 1111
    CHANGE_VOTERS = 1112

    # The cluster about itself
    DESCRIBE_NODE = 1201
    HEARTBEAT = 1202
    DEATH_NOTICE = 1203
    HEALTH = 1204
    METADATA_DELTA = 1205
    FETCH_IMAGE = 1206
    REFUSAL = 1299

    # People to the supervisor
    SUPERVISOR_STATUS = 1301
    SIGNAL_NODE = 1302
    RESTART_NODE = 1303
    REBUILD_NODE = 1304
