"""The admin client for asyncio: the blocking one, awaited on another thread."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Self

from odradek.admin import client as blocking
from odradek.admin.client import (
    AclBinding,
    AclFilter,
    ClusterDescription,
    ConfigDescription,
    ConfigResource,
    LogDirDescription,
    NewPartitions,
    NewTopic,
    OngoingReassignment,
    QuotaEntity,
    ScramCredentialInfo,
    TopicDescription,
    UserScramCredentialAlteration,
)
from odradek.admin.groups import GroupDescription, GroupListing, OffsetReset
from odradek.admin.transactions import (
    HangingTransaction,
    ProducerState,
    TransactionDescription,
    TransactionListing,
)
from odradek.aio.threads import Threads
from odradek.cluster.bootstrap import Hosts, KeysFile
from odradek.cluster.committing import OffsetAndMetadata
from odradek.errors import OdradekError
from transport.wire.ids import TopicPartition


class AdminClient:
    """Administers topics, configs and the cluster, for asyncio; see :class:`odradek.AdminClient`."""

    def __init__(
        self,
        bootstrap_servers: Hosts = None,
        *,
        client_id: str = "odradek-admin",
        request_timeout_ms: int = blocking.TIMEOUT_MS,
        security: KeysFile = None,
    ) -> None:
        """Take the arguments of :class:`odradek.AdminClient`."""
        self._threads = Threads()
        self._admin = blocking.AdminClient(
            bootstrap_servers,
            client_id=client_id,
            request_timeout_ms=request_timeout_ms,
            security=security,
        )

    async def create_topics(
        self,
        new_topics: Iterable[NewTopic | str],
        timeout_ms: int | None = None,
        *,
        validate_only: bool = False,
    ) -> None:
        """Create topics; returns when every partition has a leader and its full ISR."""
        await self._threads.run(
            self._admin.create_topics, new_topics, timeout_ms, validate_only=validate_only
        )

    async def create_partitions(
        self,
        topic_partitions: Mapping[str, NewPartitions | int],
        timeout_ms: int | None = None,
        *,
        validate_only: bool = False,
    ) -> None:
        """Give topics more partitions, by their new number in all."""
        await self._threads.run(
            self._admin.create_partitions,
            topic_partitions,
            timeout_ms,
            validate_only=validate_only,
        )

    async def delete_topics(self, topics: Iterable[str], timeout_ms: int | None = None) -> None:
        """Delete topics and their records."""
        await self._threads.run(self._admin.delete_topics, topics, timeout_ms)

    async def list_topics(self, *, include_internal: bool = False) -> list[str]:
        """Return the names of all topics, sorted."""
        return await self._threads.run(self._admin.list_topics, include_internal=include_internal)

    async def describe_topics(
        self, topics: Iterable[str] | None = None, *, include_internal: bool = False
    ) -> list[TopicDescription]:
        """Describe topics, or all."""
        return await self._threads.run(
            self._admin.describe_topics, topics, include_internal=include_internal
        )

    async def describe_configs(
        self, config_resources: Iterable[ConfigResource]
    ) -> list[ConfigDescription]:
        """Describe the configs of topics and brokers."""
        return await self._threads.run(self._admin.describe_configs, config_resources)

    async def alter_configs(
        self,
        config_resources: Iterable[ConfigResource],
        timeout_ms: int | None = None,
        *,
        validate_only: bool = False,
    ) -> None:
        """Change the configs that are named, and no others."""
        await self._threads.run(
            self._admin.alter_configs, config_resources, timeout_ms, validate_only=validate_only
        )

    async def create_acls(self, acls: Iterable[AclBinding], timeout_ms: int | None = None) -> None:
        """Allow or deny."""
        await self._threads.run(self._admin.create_acls, acls, timeout_ms)

    async def describe_acls(self, acl_filter: AclFilter | None = None) -> list[AclBinding]:
        """Return the bindings that a filter means, or all."""
        return await self._threads.run(self._admin.describe_acls, acl_filter)

    async def delete_acls(
        self, filters: Iterable[AclFilter], timeout_ms: int | None = None
    ) -> list[AclBinding]:
        """Remove the bindings that any of the filters means; return them."""
        return await self._threads.run(self._admin.delete_acls, filters, timeout_ms)

    async def describe_client_quotas(self) -> dict[QuotaEntity, dict[str, int]]:
        """Return how many bytes a second who may write and read, by the quota's name."""
        return await self._threads.run(self._admin.describe_client_quotas)

    async def alter_client_quotas(
        self,
        quotas: Mapping[QuotaEntity, Mapping[str, int | None]],
        timeout_ms: int | None = None,
    ) -> None:
        """Change the quotas that are named; None: none any more."""
        await self._threads.run(self._admin.alter_client_quotas, quotas, timeout_ms)

    async def describe_user_scram_credentials(
        self, users: Iterable[str] | None = None
    ) -> dict[str, list[ScramCredentialInfo]]:
        """Return by which mechanisms the users of Kafka's listener prove a password."""
        return await self._threads.run(self._admin.describe_user_scram_credentials, users)

    async def alter_user_scram_credentials(
        self, alterations: Iterable[UserScramCredentialAlteration], timeout_ms: int | None = None
    ) -> None:
        """Set and remove passwords."""
        await self._threads.run(self._admin.alter_user_scram_credentials, alterations, timeout_ms)

    async def delete_records(
        self, records_to_delete: Mapping[TopicPartition, int], timeout_ms: int | None = None
    ) -> dict[TopicPartition, int]:
        """Delete what is before an offset of each partition, for good; return where each begins."""
        return await self._threads.run(self._admin.delete_records, records_to_delete, timeout_ms)

    async def describe_log_dirs(
        self, broker_id: int, timeout_ms: int | None = None
    ) -> list[LogDirDescription]:
        """Return the log directories of a broker: what each holds, and why one is offline."""
        return await self._threads.run(self._admin.describe_log_dirs, broker_id, timeout_ms)

    async def alter_replica_log_dirs(
        self,
        broker_id: int,
        replica_log_dirs: Mapping[TopicPartition, str],
        timeout_ms: int | None = None,
    ) -> None:
        """Move replicas of a broker to others of its log directories; returns when that has begun."""
        await self._threads.run(
            self._admin.alter_replica_log_dirs, broker_id, replica_log_dirs, timeout_ms
        )

    # Groups

    async def list_consumer_groups(self) -> list[GroupListing]:
        """Return all groups, sorted by id."""
        return await self._threads.run(self._admin.list_consumer_groups)

    async def describe_consumer_groups(self, group_ids: Iterable[str]) -> list[GroupDescription]:
        """Describe groups: members, who may read what, and the last rebalances."""
        return await self._threads.run(self._admin.describe_consumer_groups, group_ids)

    async def delete_consumer_groups(self, group_ids: Iterable[str]) -> None:
        """Delete groups without members, and their offsets."""
        await self._threads.run(self._admin.delete_consumer_groups, group_ids)

    async def list_consumer_group_offsets(
        self, group_id: str, partitions: Iterable[TopicPartition] | None = None
    ) -> dict[TopicPartition, OffsetAndMetadata]:
        """Return what a group has committed."""
        return await self._threads.run(
            self._admin.list_consumer_group_offsets, group_id, partitions
        )

    async def alter_consumer_group_offsets(
        self, group_id: str, offsets: Mapping[TopicPartition, OffsetAndMetadata | int]
    ) -> None:
        """Set where a group without members goes on."""
        await self._threads.run(self._admin.alter_consumer_group_offsets, group_id, offsets)

    async def delete_consumer_group_offsets(
        self, group_id: str, partitions: Iterable[TopicPartition]
    ) -> None:
        """Forget what a group has committed for partitions that nobody reads."""
        await self._threads.run(self._admin.delete_consumer_group_offsets, group_id, partitions)

    async def reset_consumer_group_offsets(
        self,
        group_id: str,
        topics: Iterable[str] | None = None,
        *,
        to: str | int = "earliest",
        partitions: Iterable[TopicPartition] | None = None,
        dry_run: bool = False,
    ) -> list[OffsetReset]:
        """Let a group without members go on elsewhere; see the blocking client."""
        return await self._threads.run(
            self._admin.reset_consumer_group_offsets,
            group_id,
            topics,
            to=to,
            partitions=partitions,
            dry_run=dry_run,
        )

    # Transactions

    async def list_transactions(
        self, states: Iterable[str] = (), producer_ids: Iterable[int] = ()
    ) -> list[TransactionListing]:
        """Return the transactional ids there are, sorted."""
        return await self._threads.run(self._admin.list_transactions, states, producer_ids)

    async def describe_transactions(
        self, transactional_ids: Iterable[str]
    ) -> list[TransactionDescription]:
        """Describe transactional ids."""
        return await self._threads.run(self._admin.describe_transactions, transactional_ids)

    async def describe_producers(
        self, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, list[ProducerState]]:
        """Return who writes to each partition."""
        return await self._threads.run(self._admin.describe_producers, partitions)

    async def force_terminate_transaction(self, transactional_id: str) -> None:
        """Abort what a transactional id has open, and fence its producer."""
        await self._threads.run(self._admin.force_terminate_transaction, transactional_id)

    async def find_hanging_transactions(
        self, topics: Iterable[str] | None = None
    ) -> list[HangingTransaction]:
        """Return what is open in partitions and ended by no coordinator."""
        return await self._threads.run(self._admin.find_hanging_transactions, topics)

    async def abort_transaction(self, partition: TopicPartition, producer_id: int) -> None:
        """Abort what hangs in a partition."""
        await self._threads.run(self._admin.abort_transaction, partition, producer_id)

    # Partitions and brokers

    async def alter_partition_reassignments(
        self,
        reassignments: Mapping[TopicPartition, Sequence[int] | None],
        timeout_ms: int | None = None,
    ) -> None:
        """Move replicas to these brokers; None: leave them where they were."""
        await self._threads.run(
            self._admin.alter_partition_reassignments, reassignments, timeout_ms
        )

    async def list_partition_reassignments(
        self, topics: Iterable[str] | None = None
    ) -> dict[TopicPartition, OngoingReassignment]:
        """Return the reassignments that are under way."""
        return await self._threads.run(self._admin.list_partition_reassignments, topics)

    async def perform_leader_election(
        self,
        election_type: str = "preferred",
        topic_partitions: Iterable[TopicPartition] | None = None,
        timeout_ms: int | None = None,
    ) -> dict[TopicPartition, OdradekError | None]:
        """Elect ``preferred`` or ``unclean`` leaders."""
        return await self._threads.run(
            self._admin.perform_leader_election, election_type, topic_partitions, timeout_ms
        )

    async def drain_broker(
        self, broker_id: int, timeout_ms: int | None = None, *, draining: bool = True
    ) -> None:
        """Let a broker lead nothing and get no new replicas; or let it again."""
        await self._threads.run(self._admin.drain_broker, broker_id, timeout_ms, draining=draining)

    async def unregister_broker(self, broker_id: int, timeout_ms: int | None = None) -> None:
        """Forget a broker that is stopped and has no replicas."""
        await self._threads.run(self._admin.unregister_broker, broker_id, timeout_ms)

    async def describe_cluster(self) -> ClusterDescription:
        """Return the cluster's id, its live brokers and its controller."""
        return await self._threads.run(self._admin.describe_cluster)

    async def close(self) -> None:
        """End the client's thread."""
        try:
            await self._threads.run(self._admin.close)
        finally:
            self._threads.end()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self.close()
