"""An administrator in Kafka's protocol: asks some broker, and hears what has become of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.simulation.foreign.connection import Connection, Then, Tongue
from tests.simulation.foreign.program import ForeignProgram
from transport.gateway.kafka.apis import ApiKey
from transport.gateway.kafka.fields import NO_UUID, Struct
from transport.gateway.kafka.messages.configs import (
    ConfigOperation,
    DescribeConfigsRequest,
    DescribeConfigsResource,
    IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResource,
)
from transport.gateway.kafka.messages.metadata import MetadataRequest, MetadataRequestTopic
from transport.gateway.kafka.messages.reassignments import (
    AlterPartitionReassignmentsRequest,
    ElectLeadersRequest,
    ListPartitionReassignmentsRequest,
    ReassignablePartition,
    ReassignableTopic,
)
from transport.gateway.kafka.messages.topics import (
    CreatableTopic,
    CreateTopicsRequest,
    DeleteTopicsRequest,
    DeleteTopicState,
)
from transport.kernel import Now

TIMEOUT_MS = 3_000
TOPIC_RESOURCE = 2
SET, DELETE = 0, 1
"""What an incremental change does with a config."""
PREFERRED = 0


class ForeignAdministrator(ForeignProgram):
    """Asks one thing after the other; by which connection it has asked, it is told."""

    def __init__(self, topic: str, bootstrap: Sequence[str], tongue: Tongue) -> None:
        super().__init__(topic, bootstrap, tongue)

    def pump(self, now: Now) -> None:
        """It does what it is bid, and nothing by itself."""

    def refresh(self, now: Now) -> None:
        """It asks any broker, whoever leads what."""

    def pick(self, now: Now) -> Connection:
        """Return a connection to some broker."""
        return self.connection(self.anybody(), now)

    def create(self, at: Connection, topic: str, partitions: int, then: Then, now: Now) -> None:
        """Have a topic made, with as many replicas as topics have here."""
        row = CreatableTopic(
            name=topic, num_partitions=partitions, replication_factor=-1, assignments=(), configs=()
        )
        body = CreateTopicsRequest(topics=(row,), timeout_ms=TIMEOUT_MS)
        at.ask(ApiKey.CREATE_TOPICS, body, _first_of("topics", then), now)

    def delete(self, at: Connection, topic: str, then: Then, now: Now) -> None:
        """Have it deleted."""
        body = DeleteTopicsRequest(
            topics=(DeleteTopicState(name=topic, topic_id=NO_UUID),),
            topic_names=(topic,),
            timeout_ms=TIMEOUT_MS,
        )
        at.ask(ApiKey.DELETE_TOPICS, body, _first_of("responses", then), now)

    def describe(self, at: Connection, topic: str, then: Then, now: Now) -> None:
        """Ask whether there is such a topic, and what it is."""
        topics = (MetadataRequestTopic(name=topic),)
        body = MetadataRequest(topics=topics, allow_auto_topic_creation=False)
        at.ask(ApiKey.METADATA, body, _first_of("topics", then), now)

    def configure(
        self, at: Connection, topic: str, name: str, value: str | None, then: Then, now: Now
    ) -> None:
        """Have one config of a topic set; None: as it is by default."""
        operation = DELETE if value is None else SET
        row = IncrementalAlterConfigsResource(
            resource_type=TOPIC_RESOURCE,
            resource_name=topic,
            configs=(ConfigOperation(name=name, config_operation=operation, value=value),),
        )
        body = IncrementalAlterConfigsRequest(resources=(row,), validate_only=False)
        at.ask(ApiKey.INCREMENTAL_ALTER_CONFIGS, body, _first_of("responses", then), now)

    def configs(self, at: Connection, topic: str, name: str, then: Then, now: Now) -> None:
        """Ask what a config of a topic is."""
        row = DescribeConfigsResource(
            resource_type=TOPIC_RESOURCE, resource_name=topic, configuration_keys=(name,)
        )
        body = DescribeConfigsRequest(resources=(row,))
        at.ask(ApiKey.DESCRIBE_CONFIGS, body, _first_of("results", then), now)

    def reassign(
        self,
        at: Connection,
        moves: dict[tuple[str, int], tuple[int, ...] | None],
        then: Then,
        now: Now,
    ) -> None:
        """Have replicas moved; None: cancel what is under way."""
        topics = tuple(
            ReassignableTopic(
                name=topic,
                partitions=(ReassignablePartition(partition_index=number, replicas=replicas),),
            )
            for (topic, number), replicas in moves.items()
        )
        body = AlterPartitionReassignmentsRequest(timeout_ms=TIMEOUT_MS, topics=topics)
        at.ask(ApiKey.ALTER_PARTITION_REASSIGNMENTS, body, then, now)

    def ongoing(self, at: Connection, then: Then, now: Now) -> None:
        """Ask what is being moved."""
        body = ListPartitionReassignmentsRequest(timeout_ms=TIMEOUT_MS, topics=None)
        at.ask(ApiKey.LIST_PARTITION_REASSIGNMENTS, body, then, now)

    def elect(self, at: Connection, then: Then, now: Now) -> None:
        """Have the preferred leaders elected."""
        body: Struct = ElectLeadersRequest(
            election_type=PREFERRED, topic_partitions=None, timeout_ms=TIMEOUT_MS
        )
        at.ask(ApiKey.ELECT_LEADERS, body, then, now)


def _first_of(rows: str, then: Then) -> Then:
    """Take the one row of an answer about one thing."""

    def answered(response: Any, now: Now) -> None:
        then(None if response is None else getattr(response, rows)[0], now)

    return answered
