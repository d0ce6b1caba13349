"""The blocking admin client: a thin, thread-safe facade over :mod:`odradek.admin.engine`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Self, TypeVar

from odradek.admin.acls import AclBinding, AclFilter, bindings_of, filters_of
from odradek.admin.configs import (
    ConfigDescription,
    ConfigEntry,
    ConfigResource,
    ConfigResourceType,
    ConfigSource,
    resources_of,
)
from odradek.admin.directories import FutureLog, LogDirDescription
from odradek.admin.engine import AdminEngine, ClusterDescription
from odradek.admin.group_administration import GroupAdministration
from odradek.admin.new_topics import NewPartitions, NewTopic, topics_to_make
from odradek.admin.partitions import OngoingReassignment
from odradek.admin.quotas import QuotaEntity, quotas_of
from odradek.admin.topic_descriptions import PartitionDescription, TopicDescription
from odradek.admin.transaction_administration import TransactionAdministration
from odradek.admin.users import (
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
    changes_of,
)
from odradek.arguments import (
    BROKERS,
    OFFSETS,
    brokers_of,
    mapping_of,
    partition_of,
    partitions_of,
    texts_of,
    topic_names,
    wait_ms,
)
from odradek.cluster.bootstrap import Hosts, KeysFile, find_seeds
from odradek.cluster.engine import Engine, settle
from odradek.errors import OdradekError
from odradek.settings import INT_MAX, Bounds, check_number, check_text
from transport.kernel import Now
from transport.wire.ids import TopicPartition

__all__ = [
    "AclBinding",
    "AclFilter",
    "AdminClient",
    "ClusterDescription",
    "ConfigDescription",
    "ConfigEntry",
    "ConfigResource",
    "ConfigResourceType",
    "ConfigSource",
    "FutureLog",
    "LogDirDescription",
    "NewPartitions",
    "NewTopic",
    "OngoingReassignment",
    "PartitionDescription",
    "QuotaEntity",
    "ScramCredentialInfo",
    "ScramMechanism",
    "TopicDescription",
    "UserScramCredentialAlteration",
    "UserScramCredentialDeletion",
    "UserScramCredentialUpsertion",
]

TIMEOUT_MS = 30_000
OFFSETS_TO_DELETE = Bounds(-1, OFFSETS.high)
"""−1: all that is committed."""
TIMEOUTS_MS = Bounds(0, INT_MAX)
T = TypeVar("T")


class AdminClient(GroupAdministration, TransactionAdministration):
    """Administers topics, configs, groups, transactions and the cluster. Thread-safe."""

    def __init__(
        self,
        bootstrap_servers: Hosts = None,
        *,
        client_id: str = "odradek-admin",
        request_timeout_ms: int = TIMEOUT_MS,
        security: KeysFile = None,
    ) -> None:
        """Take addresses of any nodes; without them, as :class:`Producer` looks for them.

        ``security`` names the file of keys (``odradek keys create``) that a secured cluster asks for;
        without it, ``$ODRADEK_KEYS`` counts.
        """
        check_text("client_id", client_id)
        check_number("request_timeout_ms", request_timeout_ms, TIMEOUTS_MS)
        seeds = find_seeds(bootstrap_servers, security)
        self._timeout_ms = request_timeout_ms
        self._program = AdminEngine(seeds.endpoints, client_id=client_id)
        self._engine = Engine(self._program, name="odradek-admin", keys=seeds.keys)
        GroupAdministration.__init__(self, self._program.groups, self._wait, request_timeout_ms)
        TransactionAdministration.__init__(
            self, self._program.transactions, self._wait, request_timeout_ms
        )

    def create_topics(
        self,
        new_topics: Iterable[NewTopic | str],
        timeout_ms: int | None = None,
        *,
        validate_only: bool = False,
    ) -> None:
        """Create topics; returns when every partition has a leader and its full ISR.

        ``validate_only``: judge them, and create nothing. Raises the first topic's error (:class:`TopicAlreadyExistsError`, …);
        :class:`ClientTimeoutError` when the topics exist but are not complete in time.
        """
        wanted = [topic.on_the_wire() for topic in topics_to_make(new_topics)]
        limit_ms = self._limit_ms(timeout_ms)
        self._wait(
            lambda done, now: self._program.topics.create(
                wanted, limit_ms, done, now, validate_only=validate_only
            )
        )

    def create_partitions(
        self,
        topic_partitions: Mapping[str, NewPartitions | int],
        timeout_ms: int | None = None,
        *,
        validate_only: bool = False,
    ) -> None:
        """Give topics more partitions, by their new number in all; returns when each can be used.

        Records with keys go to other partitions from then on. ``validate_only``: change nothing.
        Raises the first topic's error (:class:`InvalidPartitionsError`, …).
        """
        wanted = [
            (one if isinstance(one, NewPartitions) else NewPartitions(one)).on_the_wire(name)
            for name, one in mapping_of(topic_partitions).items()
        ]
        limit_ms = self._limit_ms(timeout_ms)
        self._wait(
            lambda done, now: self._program.topics.add_partitions(
                wanted, limit_ms, done, now, validate_only=validate_only
            )
        )

    def delete_topics(self, topics: Iterable[str], timeout_ms: int | None = None) -> None:
        """Delete topics and their records; returns when the change is committed."""
        names = topic_names(topics)
        limit_ms = self._limit_ms(timeout_ms)
        self._wait(lambda done, now: self._program.topics.delete(names, limit_ms, done, now))

    def list_topics(self, *, include_internal: bool = False) -> list[str]:
        """Return the names of all topics, sorted.

        ``include_internal``: also those that the cluster keeps for itself.
        """
        return self._wait(
            lambda done, now: self._program.topics.list_names(
                self._timeout_ms, done, now, include_internal=include_internal
            ),
            list[str],
        )

    def describe_topics(
        self, topics: Iterable[str] | None = None, *, include_internal: bool = False
    ) -> list[TopicDescription]:
        """Describe topics, or all: configs, and of each partition leader, ISR and offsets.

        ``include_internal``: of all, also those that the cluster keeps for itself.
        """
        names: Sequence[str] | None = None if topics is None else topic_names(topics)
        return self._wait(
            lambda done, now: self._program.topics.describe(
                names, self._timeout_ms, done, now, include_internal=include_internal
            ),
            list[TopicDescription],
        )

    def describe_configs(
        self, config_resources: Iterable[ConfigResource]
    ) -> list[ConfigDescription]:
        """Describe the configs of topics and brokers: each value, and where it comes from."""
        resources = resources_of(config_resources)
        return self._wait(
            lambda done, now: self._program.configs.describe(
                resources, self._timeout_ms, done, now
            ),
            list[ConfigDescription],
        )

    def alter_configs(
        self,
        config_resources: Iterable[ConfigResource],
        timeout_ms: int | None = None,
        *,
        validate_only: bool = False,
    ) -> None:
        """Change the configs that are named, and no others; in force everywhere at once.

        A value of None lets a config have its default again. Raises the first resource's error
        (:class:`InvalidConfigurationError`, …); each resource is changed as a whole or not at all.
        """
        resources = resources_of(config_resources)
        limit_ms = self._limit_ms(timeout_ms)
        self._wait(
            lambda done, now: self._program.configs.alter(
                resources, limit_ms, done, now, validate_only=validate_only
            )
        )

    def create_acls(self, acls: Iterable[AclBinding], timeout_ms: int | None = None) -> None:
        """Allow or deny; in force on every broker as soon as that has heard of it.

        Raises the first binding's error; the others are added all the same. Adding what is there
        changes nothing.
        """
        bindings = bindings_of(acls)
        limit_ms = self._limit_ms(timeout_ms)
        self._wait(lambda done, now: self._program.acls.create(bindings, limit_ms, done, now))

    def describe_acls(self, acl_filter: AclFilter | None = None) -> list[AclBinding]:
        """Return the bindings that a filter means, or all, sorted."""
        (wanted,) = filters_of([AclFilter() if acl_filter is None else acl_filter])
        return self._wait(
            lambda done, now: self._program.acls.describe(wanted, self._timeout_ms, done, now),
            list[AclBinding],
        )

    def delete_acls(
        self, filters: Iterable[AclFilter], timeout_ms: int | None = None
    ) -> list[AclBinding]:
        """Remove the bindings that any of the filters means; return them."""
        wanted = filters_of(filters)
        limit_ms = self._limit_ms(timeout_ms)
        return self._wait(
            lambda done, now: self._program.acls.delete(wanted, limit_ms, done, now),
            list[AclBinding],
        )

    def describe_client_quotas(self) -> dict[QuotaEntity, dict[str, int]]:
        """Return how many bytes a second who may write and read, by the quota's name."""
        return self._wait(
            lambda done, now: self._program.quotas.describe(self._timeout_ms, done, now),
            dict[QuotaEntity, dict[str, int]],
        )

    def alter_client_quotas(
        self,
        quotas: Mapping[QuotaEntity, Mapping[str, int | None]],
        timeout_ms: int | None = None,
    ) -> None:
        """Change the quotas that are named (``producer_byte_rate``, ``consumer_byte_rate``).

        In bytes per second and broker; None: none any more. Raises the first entity's error.
        """
        limit_ms = self._limit_ms(timeout_ms)
        entries = quotas_of(quotas)
        self._wait(lambda done, now: self._program.quotas.alter(entries, limit_ms, done, now))

    def describe_user_scram_credentials(
        self, users: Iterable[str] | None = None
    ) -> dict[str, list[ScramCredentialInfo]]:
        """Return by which mechanisms the users of Kafka's listener prove a password.

        ``users`` None: of all; one that is not there is left out.
        """
        named = None if users is None else set(texts_of("users", users))
        found = self._wait(
            lambda done, now: self._program.users.describe(self._timeout_ms, done, now),
            dict[str, list[ScramCredentialInfo]],
        )
        return {name: kept for name, kept in found.items() if named is None or name in named}

    def alter_user_scram_credentials(
        self, alterations: Iterable[UserScramCredentialAlteration], timeout_ms: int | None = None
    ) -> None:
        """Set and remove passwords; a user without any is gone, and its connections end.

        A password stays here: what is sent is made of it, and of a salt. Raises the first user's
        error; the others are changed all the same.
        """
        changes = changes_of(alterations)
        limit_ms = self._limit_ms(timeout_ms)
        self._wait(lambda done, now: self._program.users.alter(changes, limit_ms, done, now))

    def alter_partition_reassignments(
        self,
        reassignments: Mapping[TopicPartition, Sequence[int] | None],
        timeout_ms: int | None = None,
    ) -> None:
        """Move replicas to these brokers, the preferred leader first; None: leave them (cancel).

        Returns when the moves have begun; :meth:`list_partition_reassignments` tells which have not
        ended. Raises the first partition's error; the others have begun all the same.
        """
        limit_ms = self._limit_ms(timeout_ms)
        targets = {
            partition_of(key): None if nodes is None else brokers_of(f"replicas of {key}", nodes)
            for key, nodes in mapping_of(reassignments).items()
        }
        outcomes = self._wait(
            lambda done, now: self._program.partitions.reassign(targets, limit_ms, done, now),
            dict[TopicPartition, OdradekError | None],
        )
        for error in outcomes.values():
            if error is not None:
                raise error

    def list_partition_reassignments(
        self, topics: Iterable[str] | None = None
    ) -> dict[TopicPartition, OngoingReassignment]:
        """Return the reassignments that are under way."""
        names = None if topics is None else topic_names(topics)
        return self._wait(
            lambda done, now: self._program.partitions.ongoing(names, self._timeout_ms, done, now),
            dict[TopicPartition, OngoingReassignment],
        )

    def perform_leader_election(
        self,
        election_type: str = "preferred",
        topic_partitions: Iterable[TopicPartition] | None = None,
        timeout_ms: int | None = None,
    ) -> dict[TopicPartition, OdradekError | None]:
        """Elect ``preferred`` leaders, or ``unclean`` ones where nobody else is left.

        Returns what became of each partition; without ``topic_partitions`` (all) of those where
        something was to be done.
        """
        if election_type not in ("preferred", "unclean"):
            raise ValueError(
                f"election_type={election_type!r} is neither 'preferred' nor 'unclean'"
            )
        limit_ms = self._limit_ms(timeout_ms)
        named = None if topic_partitions is None else partitions_of(topic_partitions)
        return self._wait(
            lambda done, now: self._program.partitions.elect(
                named, limit_ms, done, now, unclean=election_type == "unclean"
            ),
            dict[TopicPartition, OdradekError | None],
        )

    def drain_broker(
        self, broker_id: int, timeout_ms: int | None = None, *, draining: bool = True
    ) -> None:
        """Let a broker lead nothing and get no new replicas, also after its next start; or again.

        Its replicas stay until they are reassigned.
        """
        check_number("broker_id", broker_id, BROKERS)
        limit_ms = self._limit_ms(timeout_ms)
        self._wait(
            lambda done, now: self._program.partitions.drain(
                broker_id, limit_ms, done, now, draining=draining
            )
        )

    def unregister_broker(self, broker_id: int, timeout_ms: int | None = None) -> None:
        """Forget a broker that is stopped and has no replicas."""
        check_number("broker_id", broker_id, BROKERS)
        limit_ms = self._limit_ms(timeout_ms)
        self._wait(
            lambda done, now: self._program.partitions.unregister(broker_id, limit_ms, done, now)
        )

    def delete_records(
        self, records_to_delete: Mapping[TopicPartition, int], timeout_ms: int | None = None
    ) -> dict[TopicPartition, int]:
        """Delete what is before an offset of each partition (−1: all that is committed), for good.

        Returns where each begins now, once no in-sync replica has the records any more. Raises
        the first partition's error: :class:`OffsetOutOfRangeError` beyond what is committed,
        :class:`PolicyViolationError` for a topic that is only compacted,
        :class:`ClientTimeoutError` when a replica does not follow in time.
        """
        wanted = {
            partition_of(key): offset for key, offset in mapping_of(records_to_delete).items()
        }
        for key, offset in wanted.items():
            check_number(f"offset of {key}", offset, OFFSETS_TO_DELETE)
        limit_ms = self._limit_ms(timeout_ms)
        return self._wait(
            lambda done, now: self._program.records.delete(wanted, limit_ms, done, now),
            dict[TopicPartition, int],
        )

    def describe_log_dirs(
        self, broker_id: int, timeout_ms: int | None = None
    ) -> list[LogDirDescription]:
        """Return the log directories of a broker: what each holds, and why one is offline."""
        check_number("broker_id", broker_id, BROKERS)
        limit_ms = self._limit_ms(timeout_ms)
        return self._wait(
            lambda done, now: self._program.directories.describe(broker_id, limit_ms, done, now),
            list[LogDirDescription],
        )

    def alter_replica_log_dirs(
        self,
        broker_id: int,
        replica_log_dirs: Mapping[TopicPartition, str],
        timeout_ms: int | None = None,
    ) -> None:
        """Move replicas of a broker to others of its log directories, by their paths as it names them.

        Returns when the moves have begun; :meth:`describe_log_dirs` tells how far they are. Where a
        replica is already: a move that is under way is given up. Raises the first one's error
        (:class:`LogDirNotFoundError`, :class:`ReplicaNotAvailableError`, :class:`KafkaStorageError`);
        the others have begun all the same.
        """
        check_number("broker_id", broker_id, BROKERS)
        limit_ms = self._limit_ms(timeout_ms)
        placed = {partition_of(key): path for key, path in mapping_of(replica_log_dirs).items()}
        for key, path in placed.items():
            if not isinstance(path, str):
                raise TypeError(f"the directory of {key} must be a path, not {path!r}")
            check_text(f"the directory of {key}", path)
        self._wait(
            lambda done, now: self._program.directories.move(broker_id, placed, limit_ms, done, now)
        )

    def describe_cluster(self) -> ClusterDescription:
        """Return the cluster's id, its live brokers and its controller."""
        return self._wait(
            lambda done, now: self._program.describe_cluster(self._timeout_ms, done, now),
            ClusterDescription,
        )

    def close(self) -> None:
        """End the client's thread. May be called again."""
        self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def _limit_ms(self, timeout_ms: int | None) -> int:
        return self._timeout_ms if timeout_ms is None else wait_ms("timeout_ms", timeout_ms)

    def _wait(
        self, ask: Callable[[Callable[[Any, Now], None], Now], None], _kind: type[T] | None = None
    ) -> T:
        """Run ``ask(done, now)`` on the loop and wait for what ``done`` is given."""

        def begin(future: Future[T], now: Now) -> None:
            ask(settle(future), now)

        return self._engine.wait(self._engine.ask(begin))
