"""Which function translates which API; each file is imported when first asked."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module

from nodes.broker.kafka.exchange import Exchange
from transport.gateway.kafka.apis import ApiKey

Translator = Callable[[Exchange], None]

TRANSLATORS: dict[ApiKey, tuple[str, str]] = {
    ApiKey.PRODUCE: ("produce", "produce"),
    ApiKey.FETCH: ("fetch", "fetch"),
    ApiKey.LIST_OFFSETS: ("offsets", "list_offsets"),
    ApiKey.METADATA: ("metadata", "metadata"),
    ApiKey.OFFSET_COMMIT: ("group_offsets", "offset_commit"),
    ApiKey.OFFSET_FETCH: ("committed_offsets", "offset_fetch"),
    ApiKey.FIND_COORDINATOR: ("coordinators", "find_coordinator"),
    ApiKey.JOIN_GROUP: ("groups", "join_group"),
    ApiKey.HEARTBEAT: ("groups", "heartbeat"),
    ApiKey.LEAVE_GROUP: ("groups", "leave_group"),
    ApiKey.SYNC_GROUP: ("groups", "sync_group"),
    ApiKey.DESCRIBE_GROUPS: ("group_administration", "describe_groups"),
    ApiKey.LIST_GROUPS: ("group_administration", "list_groups"),
    ApiKey.SASL_HANDSHAKE: ("sasl", "sasl_handshake"),
    ApiKey.API_VERSIONS: ("api_versions", "api_versions"),
    ApiKey.CREATE_TOPICS: ("topics", "create_topics"),
    ApiKey.DELETE_TOPICS: ("topics", "delete_topics"),
    ApiKey.DELETE_RECORDS: ("record_deletion", "delete_records"),
    ApiKey.INIT_PRODUCER_ID: ("producer_ids", "init_producer_id"),
    ApiKey.OFFSET_FOR_LEADER_EPOCH: ("offsets", "offset_for_leader_epoch"),
    ApiKey.ADD_PARTITIONS_TO_TXN: ("transactions", "add_partitions_to_txn"),
    ApiKey.ADD_OFFSETS_TO_TXN: ("transactions", "add_offsets_to_txn"),
    ApiKey.END_TXN: ("transactions", "end_txn"),
    ApiKey.WRITE_TXN_MARKERS: ("transactions", "write_txn_markers"),
    ApiKey.TXN_OFFSET_COMMIT: ("group_offsets", "txn_offset_commit"),
    ApiKey.DESCRIBE_ACLS: ("acls", "describe_acls"),
    ApiKey.CREATE_ACLS: ("acls", "create_acls"),
    ApiKey.DELETE_ACLS: ("acls", "delete_acls"),
    ApiKey.DESCRIBE_CONFIGS: ("configs", "describe_configs"),
    ApiKey.ALTER_CONFIGS: ("configs", "alter_configs"),
    ApiKey.ALTER_REPLICA_LOG_DIRS: ("log_directories", "alter_replica_log_dirs"),
    ApiKey.DESCRIBE_LOG_DIRS: ("log_directories", "describe_log_dirs"),
    ApiKey.SASL_AUTHENTICATE: ("sasl", "sasl_authenticate"),
    ApiKey.CREATE_PARTITIONS: ("topics", "create_partitions"),
    ApiKey.DELETE_GROUPS: ("group_administration", "delete_groups"),
    ApiKey.ELECT_LEADERS: ("reassignments", "elect_leaders"),
    ApiKey.INCREMENTAL_ALTER_CONFIGS: ("configs", "incremental_alter_configs"),
    ApiKey.ALTER_PARTITION_REASSIGNMENTS: ("reassignments", "alter_partition_reassignments"),
    ApiKey.LIST_PARTITION_REASSIGNMENTS: ("reassignments", "list_partition_reassignments"),
    ApiKey.OFFSET_DELETE: ("group_offsets", "offset_delete"),
    ApiKey.DESCRIBE_CLIENT_QUOTAS: ("quotas", "describe_client_quotas"),
    ApiKey.ALTER_CLIENT_QUOTAS: ("quotas", "alter_client_quotas"),
    ApiKey.DESCRIBE_USER_SCRAM_CREDENTIALS: ("sasl", "describe_user_scram_credentials"),
    ApiKey.ALTER_USER_SCRAM_CREDENTIALS: ("sasl", "alter_user_scram_credentials"),
    ApiKey.DESCRIBE_QUORUM: ("quorum", "describe_quorum"),
    ApiKey.DESCRIBE_CLUSTER: ("cluster", "describe_cluster"),
    ApiKey.DESCRIBE_PRODUCERS: ("transactions", "describe_producers"),
    ApiKey.UNREGISTER_BROKER: ("cluster", "unregister_broker"),
    ApiKey.DESCRIBE_TRANSACTIONS: ("transactions", "describe_transactions"),
    ApiKey.LIST_TRANSACTIONS: ("transactions", "list_transactions"),
    ApiKey.CONSUMER_GROUP_HEARTBEAT: ("consumer_groups", "consumer_group_heartbeat"),
    ApiKey.CONSUMER_GROUP_DESCRIBE: ("consumer_groups", "consumer_group_describe"),
    ApiKey.LIST_CONFIG_RESOURCES: ("configs", "list_config_resources"),
    ApiKey.DESCRIBE_TOPIC_PARTITIONS: ("topic_pages", "describe_topic_partitions"),
}
"""(file beside this one, function in it)."""


@cache
def translator(key: int) -> Translator:
    """Return what translates an API that is spoken."""
    file, function = TRANSLATORS[ApiKey(key)]
    found: Translator = getattr(import_module(f"nodes.broker.kafka.{file}"), function)
    return found
