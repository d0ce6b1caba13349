"""Administration by Kafka's clients: topics, records, configs, quotas, replicas, leaders, directories.

With confluent-kafka's AdminClient (librdkafka) and kafka-python's KafkaAdminClient.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import confluent_kafka.admin
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin import NewPartitions as AioNewPartitions
from aiokafka.admin import NewTopic as AioNewTopic
from aiokafka.admin.config_resource import ConfigResource as AioConfigResource
from aiokafka.admin.config_resource import ConfigResourceType as AioConfigResourceType
from confluent_kafka import ElectionType, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka import TopicCollection as Names
from kafka import KafkaAdminClient
from kafka import TopicPartition as Part
from kafka import errors as kafka_errors
from kafka.admin import ConfigResource as PyConfigResource
from kafka.admin import ConfigResourceType

from odradek.testing import Cluster

rd: Any = confluent_kafka.admin
"""Most of its names are not marked as its own."""
WAIT_S = 20.0
T = TypeVar("T")


@pytest.fixture(scope="module")
def confluent(cluster: Cluster) -> Any:
    return rd.AdminClient({"bootstrap.servers": cluster.kafka_bootstrap})


@pytest.fixture(scope="module")
def python(cluster: Cluster) -> Iterator[KafkaAdminClient]:
    client = KafkaAdminClient(bootstrap_servers=cluster.kafka_bootstrap)
    yield client
    client.close()


def results(futures: dict[Any, Any]) -> dict[Any, Any]:
    """What became of each: its value, or the number of its error."""
    found = {}
    for key, future in futures.items():
        try:
            found[key] = future.result(WAIT_S)
        except KafkaException as error:
            found[key] = error.args[0].code()
    return found


def wait(condition: Callable[[], bool]) -> None:
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < WAIT_S
        time.sleep(0.02)


def eventually(look: Callable[[], T]) -> T:
    """Return what is seen, once it is as it is to be: another broker may have taken the change."""
    begun = time.monotonic()
    while True:
        try:
            return look()
        except (AssertionError, LookupError, ValueError, KafkaException):
            if time.monotonic() - begun > WAIT_S:
                raise
            time.sleep(0.02)


def make(confluent: Any, name: str, partitions: int = 1, **how: Any) -> None:
    new = rd.NewTopic(name, partitions, how.pop("factor", 3), **how)
    assert results(confluent.create_topics([new])) == {name: None}
    wait(lambda: _is_led(confluent, name))


def _is_led(confluent: Any, name: str) -> bool:
    topic = confluent.list_topics(name, WAIT_S).topics[name]
    parts = topic.partitions.values()
    return topic.error is None and all(part.leader >= 0 for part in parts)


def partition_count(confluent: Any, name: str) -> int:
    """As the broker knows it that is asked: another one may have taken the change."""
    return len(confluent.list_topics(name, WAIT_S).topics[name].partitions)


# Topics


def test_topics_are_made_and_deleted_by_librdkafka(confluent: Any) -> None:
    make(confluent, "c-topics", 2, config={"retention.ms": "60000"})
    new = [
        rd.NewTopic("c-topics", 1, 1),
        rd.NewTopic("c-many", 1, 7),
        rd.NewTopic("c-odd", 1, 1, config={"retention.ms": "soon"}),
        rd.NewTopic("c-placed", 2, replica_assignment=[[2, 1], [3, 1]]),
    ]
    assert results(confluent.create_topics(new)) == {
        "c-topics": KafkaError.TOPIC_ALREADY_EXISTS,
        "c-many": KafkaError.INVALID_REPLICATION_FACTOR,
        "c-odd": KafkaError.INVALID_CONFIG,
        "c-placed": None,
    }
    only = [rd.NewTopic("c-judged", 1, 1)]
    assert results(confluent.create_topics(only, validate_only=True)) == {"c-judged": None}
    wait(lambda: partition_count(confluent, "c-placed") == 2)
    described = results(confluent.describe_topics(Names(["c-placed", "c-judged"])))
    assert described["c-judged"] == KafkaError.UNKNOWN_TOPIC_OR_PART
    parts = described["c-placed"].partitions
    assert [[node.id for node in part.replicas] for part in parts] == [[2, 1], [3, 1]]
    more = [rd.NewPartitions("c-placed", 3), rd.NewPartitions("c-topics", 1)]
    assert results(confluent.create_partitions(more)) == {
        "c-placed": None,
        "c-topics": KafkaError.INVALID_PARTITIONS,
    }
    wait(lambda: partition_count(confluent, "c-placed") == 3)
    assert results(confluent.delete_topics(["c-placed", "c-judged"])) == {
        "c-placed": None,
        "c-judged": KafkaError.UNKNOWN_TOPIC_OR_PART,
    }
    wait(lambda: "c-placed" not in confluent.list_topics(timeout=WAIT_S).topics)


def test_topics_are_made_and_deleted_by_kafka_python(python: KafkaAdminClient) -> None:
    told = python.create_topics(
        {
            "p-topics": {
                "num_partitions": 2,
                "replication_factor": 3,
                "configs": {"cleanup.policy": "compact"},
            }
        },
        wait_for_metadata=True,
    )
    (made,) = told["topics"]
    assert (made["num_partitions"], made["replication_factor"]) == (2, 3)
    assert made["configs"]["cleanup.policy"]["value"] == "compact"
    with pytest.raises(kafka_errors.TopicAlreadyExistsError):
        python.create_topics(["p-topics"])
    told = python.create_topics({"p-odd": {"configs": {"retension.ms": "1"}}}, raise_errors=False)
    assert "did you mean retention.ms" in told["topics"][0]["error_message"]
    python.create_partitions({"p-topics": 3})

    def first_page() -> Any:
        told = python.describe_topic_partitions(["p-topics"], response_partition_limit=2)
        (topic,) = told["topics"]
        assert [part["partition_index"] for part in topic["partitions"]] == [0, 1]
        assert all(len(part["isr_nodes"]) == 3 for part in topic["partitions"])
        return topic["topic_id"]

    python.delete_topics([eventually(first_page)])
    wait(lambda: "p-topics" not in python.list_topics())


# Records


def test_records_are_deleted(cluster: Cluster, confluent: Any, python: KafkaAdminClient) -> None:
    make(confluent, "records")
    producer = Producer({"bootstrap.servers": cluster.kafka_bootstrap})
    for number in range(10):
        producer.produce("records", str(number))
    assert producer.flush(WAIT_S) == 0
    futures = confluent.delete_records([TopicPartition("records", 0, 4)])
    (deleted,) = results(futures).values()
    assert deleted.low_watermark == 4
    told = python.delete_records({Part("records", 0): 7})
    assert told[Part("records", 0)]["low_watermark"] == 7


# Configs


def test_configs_are_described_and_changed_by_librdkafka(confluent: Any) -> None:
    make(confluent, "c-configs", config={"retention.ms": "60000"})
    topic = rd.ConfigResource(rd.ConfigResource.Type.TOPIC, "c-configs")
    nobody = rd.ConfigResource(rd.ConfigResource.Type.TOPIC, "nobody")
    broker = rd.ConfigResource(rd.ConfigResource.Type.BROKER, "2")

    def is_told() -> None:
        found = results(confluent.describe_configs([topic, nobody, broker]))
        assert found[nobody] == KafkaError.UNKNOWN_TOPIC_OR_PART
        assert "log.retention.ms" in found[broker]
        assert isinstance(found[topic], dict)
        retention = found[topic]["retention.ms"]
        assert (retention.value, retention.source) == ("60000", 1)
        assert [one.source for one in retention.synonyms.values()][-1] == 5
        assert found[topic]["segment.ms"].is_default

    eventually(is_told)
    change = rd.ConfigEntry("segment.ms", "7000", incremental_operation=rd.AlterConfigOpType.SET)
    changed = rd.ConfigResource(topic.restype, topic.name, incremental_configs=[change])
    assert results(confluent.incremental_alter_configs([changed])) == {changed: None}

    def is_changed() -> None:
        found = results(confluent.describe_configs([topic]))
        assert found[topic]["segment.ms"].value == "7000"
        assert found[topic]["retention.ms"].value == "60000"

    eventually(is_changed)
    wrong = rd.ConfigEntry("segment.ms", "soon", incremental_operation=rd.AlterConfigOpType.SET)
    changed = rd.ConfigResource(topic.restype, topic.name, incremental_configs=[wrong])
    with pytest.raises(KafkaException, match=r"segment\.ms must be a whole number"):
        confluent.incremental_alter_configs([changed])[changed].result(WAIT_S)


@pytest.mark.filterwarnings("ignore:alter_configs:DeprecationWarning")
def test_a_topic_is_given_all_its_configs_anew(confluent: Any) -> None:
    make(confluent, "anew", config={"retention.ms": "60000"})
    topic = rd.ConfigResource(
        rd.ConfigResource.Type.TOPIC, "anew", set_config={"segment.ms": "8000"}
    )
    assert results(confluent.alter_configs([topic])) == {topic: None}

    def is_anew() -> None:
        found = results(confluent.describe_configs([topic]))[topic]
        assert found["segment.ms"].value == "8000"
        assert found["retention.ms"].is_default

    eventually(is_anew)


def test_configs_are_described_and_changed_by_kafka_python(
    confluent: Any, python: KafkaAdminClient
) -> None:
    make(confluent, "p-configs")
    topic = PyConfigResource(ConfigResourceType.TOPIC, "p-configs", {"retention.ms": "5000"})
    eventually(lambda: python.alter_configs([topic]))
    asked = PyConfigResource(ConfigResourceType.TOPIC, "p-configs")

    def is_changed() -> None:
        told = python.describe_configs([asked], include_synonyms=True)["topic"]["p-configs"]
        assert told["retention.ms"]["value"] == "5000"
        assert told["retention.ms"]["config_type"] == "LONG"

    eventually(is_changed)
    broker = PyConfigResource(ConfigResourceType.BROKER, "1", {"log.retention.ms": "9000"})
    python.alter_configs([broker])
    told = python.describe_configs([broker])["broker"]["1"]
    assert told["log.retention.ms"]["config_source"] == "DYNAMIC_BROKER_CONFIG"
    python.reset_configs([broker])
    wait(lambda: "p-configs" in python.list_config_resources(["TOPIC"])["topic"])


# Replicas and leaders


def test_replicas_move_and_leaders_are_elected(confluent: Any, python: KafkaAdminClient) -> None:
    placed = rd.NewTopic("moved", 1, replica_assignment=[[1, 2]])
    assert results(confluent.create_topics([placed])) == {"moved": None}
    part = Part("moved", 0)
    told = python.alter_partition_reassignments({part: [3, 2], Part("moved", 7): [1]})
    assert told == {part: None, Part("moved", 7): kafka_errors.UnknownTopicOrPartitionError}

    def replicas() -> tuple[list[int], int]:
        found = confluent.list_topics("moved", WAIT_S).topics["moved"].partitions.get(0)
        return ([], -1) if found is None else (found.replicas, found.leader)

    wait(lambda: replicas()[0] == [3, 2])
    wait(lambda: not python.list_partition_reassignments())
    told = python.alter_partition_reassignments({part: None})
    assert told == {part: kafka_errors.NoReassignmentInProgressError}
    python.elect_leaders(0, {"moved": [0]})
    wait(lambda: replicas()[1] == 3)
    again = TopicPartition("moved", 0)
    futures = confluent.elect_leaders(ElectionType.PREFERRED, [again])
    assert futures.result(WAIT_S)[again].code() == KafkaError.ELECTION_NOT_NEEDED


# The cluster


def test_the_cluster_and_its_directories_are_described(
    confluent: Any, python: KafkaAdminClient
) -> None:
    make(confluent, "where")
    told = confluent.describe_cluster(include_authorized_operations=True).result(WAIT_S)
    assert [node.id for node in sorted(told.nodes, key=lambda node: node.id)] == [1, 2, 3]
    assert told.controller.id in (1, 2, 3)
    assert rd.AclOperation.ALTER in told.authorized_operations
    same = python.describe_cluster()
    assert {broker["broker_id"] for broker in same["brokers"]} == {1, 2, 3}
    assert same["cluster_id"] == told.cluster_id
    for one in python.describe_log_dirs({"where": [0]}):
        (directory,) = one["log_dirs"]
        assert directory["error_code"] == 0
        assert [topic["name"] for topic in directory["topics"]] in ([], ["where"])
    moved = python.alter_replica_log_dirs({("where", 0, 1): "/nowhere"})
    assert set(moved.values()) == {kafka_errors.LogDirNotFoundError}


# aiokafka


def test_topics_and_configs_by_aiokafka(cluster: Cluster) -> None:
    async def administer() -> None:
        async with asyncio.timeout(WAIT_S):
            client = AIOKafkaAdminClient(bootstrap_servers=cluster.kafka_bootstrap)
            await client.start()
            new = AioNewTopic("a-topics", 2, 3, topic_configs={"retention.ms": "60000"})
            told = await client.create_topics([new])
            assert [one[:2] for one in told.topic_errors] == [("a-topics", 0)]
            told = await client.create_topics([new])
            assert told.topic_errors[0][1] == kafka_errors.TopicAlreadyExistsError.errno
            await client.create_partitions({"a-topics": AioNewPartitions(3)})
            while True:  # another broker may have taken the change
                (topic,) = await client.describe_topics(["a-topics"])
                if len(topic["partitions"]) == 3:
                    break
            asked = AioConfigResource(AioConfigResourceType.TOPIC, "a-topics")
            (answer,) = await client.describe_configs([asked])
            (resource,) = answer.resources
            assert {one[0]: one[1] for one in resource[4]}["retention.ms"] == "60000"
            await client.delete_topics(["a-topics"])
            while "a-topics" in await client.list_topics():
                pass
            await client.close()

    asyncio.run(administer())


# What is not there


def test_who_judges_nobody_has_no_acls(confluent: Any) -> None:
    acl = rd.AclBinding(
        rd.ResourceType.TOPIC,
        "t",
        rd.ResourcePatternType.LITERAL,
        "User:a",
        "*",
        rd.AclOperation.READ,
        rd.AclPermissionType.ALLOW,
    )
    assert results(confluent.create_acls([acl])) == {acl: KafkaError.SECURITY_DISABLED}


def test_a_password_is_clearly_refused(cluster: Cluster) -> None:
    client = rd.AdminClient(
        {
            "bootstrap.servers": cluster.kafka_bootstrap,
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "PLAIN",
            "sasl.username": "a",
            "sasl.password": "b",
            "error_cb": lambda error: told.append(str(error)),
        }
    )
    told: list[str] = []
    wait(lambda: client.poll(0.05) >= 0 and any("SASL" in text for text in told))


# Through failure


def test_topics_are_made_while_the_controller_is_killed(
    cluster: Cluster, confluent: Any, python: KafkaAdminClient
) -> None:
    quorum = python.describe_metadata_quorum()["topics"][0]["partitions"][0]
    assert {voter["replica_id"] for voter in quorum["current_voters"]} == {1, 2, 3}
    assert quorum["high_watermark"] > 0
    leader = quorum["leader_id"]
    cluster.kill(f"node-{leader}")
    new = [rd.NewTopic(f"after-{number}", 1, 2) for number in range(3)]
    there = (None, KafkaError.TOPIC_ALREADY_EXISTS)

    def are_made() -> bool:  # librdkafka does not ask again where the connection is lost
        made = results(confluent.create_topics(new, operation_timeout=WAIT_S))
        return all(outcome in there for outcome in made.values())

    wait(are_made)

    def has_a_later_leader() -> bool:
        told = python.describe_metadata_quorum()["topics"][0]["partitions"][0]
        return bool(told["leader_epoch"] > quorum["leader_epoch"])

    wait(has_a_later_leader)
