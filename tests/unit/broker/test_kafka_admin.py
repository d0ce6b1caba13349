"""Requests of Kafka's admin clients, translated for brokers that answer them as anybody's."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from nodes.broker.kafka import (
    acls,
    cluster,
    configs,
    log_directories,
    quorum,
    quotas,
    reassignments,
    record_deletion,
    sasl,
    topic_pages,
    topics,
)
from nodes.broker.kafka.exchange import Place
from nodes.broker.kafka.table import TRANSLATORS, translator
from tests.unit.broker.partition_fleet import PartitionFleet
from tests.unit.broker.stand_in_exchange import WALL_MS, answered
from tests.unit.gateway.declared_values import draw
from tests.unit.gateway.test_kafka_messages import declared
from transport.gateway.kafka.apis import APIS, conversation
from transport.gateway.kafka.fields import NO_UUID, Struct
from transport.gateway.kafka.messages import acls as foreign_acls
from transport.gateway.kafka.messages import cluster as foreign_cluster
from transport.gateway.kafka.messages import configs as foreign_configs
from transport.gateway.kafka.messages import log_directories as foreign_logs
from transport.gateway.kafka.messages import quotas as foreign_quotas
from transport.gateway.kafka.messages import reassignments as foreign_moves
from transport.gateway.kafka.messages import record_deletion as foreign_deletion
from transport.gateway.kafka.messages import sasl as foreign_sasl
from transport.gateway.kafka.messages import topics as foreign_topics
from transport.gateway.kafka.messages.metadata import NO_OPERATIONS
from transport.gateway.kafka.writer import Writer
from transport.wire.errors import ErrorCode
from transport.wire.ids import LogIndex, NodeId, Term
from transport.wire.messages import Message
from transport.wire.messages.configs import RESOURCE_BROKER, RESOURCE_TOPIC, ConfigSource
from transport.wire.messages.ensemble import DescribeQuorumResponse, QuorumMember
from transport.wire.messages.metadata import BrokerRecord


@pytest.fixture
def fleet() -> PartitionFleet:
    fleet = PartitionFleet(2)
    fleet.settle()
    return fleet


def new_topic(
    name: str,
    *,
    partitions: int = -1,
    factor: int = -1,
    placed: dict[int, tuple[int, ...]] | None = None,
    **configs: str | None,
) -> foreign_topics.CreatableTopic:
    return foreign_topics.CreatableTopic(
        name=name,
        num_partitions=partitions,
        replication_factor=factor,
        assignments=tuple(
            foreign_topics.CreatableReplicaAssignment(partition_index=number, broker_ids=nodes)
            for number, nodes in (placed or {}).items()
        ),
        configs=tuple(
            foreign_topics.CreatableTopicConfig(name=key.replace("_", "."), value=value)
            for key, value in configs.items()
        ),
    )


def create(
    fleet: PartitionFleet, *wanted: foreign_topics.CreatableTopic, only: bool = False, **how: Any
) -> list[Any]:
    request = foreign_topics.CreateTopicsRequest(
        topics=wanted, timeout_ms=5_000, validate_only=only
    )
    return list(answered(fleet, topics.create_topics, request, **how).topics)


def codes(results: Any) -> list[int]:
    return [one.error_code for one in results]


# Topics


def test_a_new_topic_is_told_with_what_it_has(fleet: PartitionFleet) -> None:
    (made,) = create(fleet, new_topic("t", partitions=3, factor=2, retention_ms="5"))
    assert (made.error_code, made.error_message) == (0, None)
    assert (made.num_partitions, made.replication_factor) == (3, 2)
    assert made.topic_id == fleet.server(1).context.image.topic_ids["t"]
    config = {one.name: one for one in made.configs}
    assert config["retention.ms"].value == "5"
    assert config["retention.ms"].config_source == ConfigSource.TOPIC
    assert config["segment.ms"].config_source == ConfigSource.DEFAULT


def test_who_may_make_a_topic_need_not_see_its_configs() -> None:
    fleet = PartitionFleet(1, security={"authorizer": True, "super_users": ("root",)})
    fleet.network.principals["client"] = "root"
    fleet.settle()
    answered(fleet, acls.create_acls, foreign_acls.CreateAclsRequest(creations=(acl("User:a", 5),)))
    fleet.settle()
    fleet.network.principals["client"] = "a"
    (made,) = create(fleet, new_topic("t"))
    assert (made.error_code, made.num_partitions) == (0, 1)
    assert (made.topic_config_error_code, made.configs) == (
        ErrorCode.TOPIC_AUTHORIZATION_FAILED,
        (),
    )


def test_each_topic_that_may_not_be_says_why(fleet: PartitionFleet) -> None:
    create(fleet, new_topic("t"))
    results = create(
        fleet,
        new_topic("t"),
        new_topic("many", factor=3),
        new_topic("none", partitions=0),
        new_topic("odd", retention_ms="x"),
        new_topic("null", retention_ms=None),
        new_topic("gap", placed={0: (1,), 2: (2,)}),
        new_topic("placed", placed={1: (2,), 0: (1, 2)[:1]}),
        new_topic("a b"),
        version=4,
    )
    assert codes(results) == [
        ErrorCode.TOPIC_ALREADY_EXISTS,
        ErrorCode.INVALID_REPLICATION_FACTOR,
        ErrorCode.INVALID_PARTITIONS,
        ErrorCode.INVALID_CONFIG,
        ErrorCode.INVALID_CONFIG,
        ErrorCode.INVALID_REPLICA_ASSIGNMENT,
        0,
        ErrorCode.INVALID_TOPIC,
    ]
    assert "retention.ms must be a whole number" in results[3].error_message
    image = fleet.server(1).context.image
    parts = image.partitions[image.topic_ids["placed"]]
    assert {number: record.replicas for number, record in parts.items()} == {0: (1,), 1: (2,)}


def test_a_topic_that_is_only_judged_is_not_made(fleet: PartitionFleet) -> None:
    (judged,) = create(fleet, new_topic("t", partitions=2), only=True)
    assert (judged.error_code, judged.num_partitions, judged.configs) == (0, 2, ())
    assert "t" not in fleet.server(1).context.image.topic_ids


def test_what_is_refused_as_a_whole_is_told_of_each(fleet: PartitionFleet) -> None:
    results = create(fleet, new_topic("t"), new_topic("__consumer_offsets"))
    assert codes(results) == [ErrorCode.INVALID_TOPIC] * 2


def test_topics_are_deleted_by_name_and_by_id(fleet: PartitionFleet) -> None:
    create(fleet, new_topic("a"), new_topic("b"))
    topic_id = bytes(fleet.server(1).context.image.topic_ids["b"])
    state = foreign_topics.DeleteTopicState
    request = foreign_topics.DeleteTopicsRequest(
        topics=(
            state(name="a", topic_id=NO_UUID),
            state(name=None, topic_id=topic_id),
            state(name=None, topic_id=b"?" * 16),
            state(name="b", topic_id=topic_id),
        ),
        timeout_ms=5_000,
    )
    told = answered(fleet, topics.delete_topics, request).responses
    assert codes(told) == [0, 0, ErrorCode.UNKNOWN_TOPIC_ID, ErrorCode.INVALID_REQUEST]
    assert [one.name for one in told] == ["a", "b", None, "b"]
    request = foreign_topics.DeleteTopicsRequest(topic_names=("a",), timeout_ms=5_000)
    (told,) = answered(fleet, topics.delete_topics, request).responses
    assert told.error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


def test_partitions_are_added(fleet: PartitionFleet) -> None:
    create(fleet, new_topic("t", partitions=2, factor=1))
    place = foreign_topics.CreatePartitionsAssignment(broker_ids=(2,))
    wanted = foreign_topics.CreatePartitionsTopic
    request = foreign_topics.CreatePartitionsRequest(
        topics=(
            wanted(name="t", count=3, assignments=(place,)),
            wanted(name="u", count=3, assignments=None),
        ),
        timeout_ms=5_000,
        validate_only=False,
    )
    told = answered(fleet, topics.create_partitions, request).results
    assert codes(told) == [0, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION]
    image = fleet.server(1).context.image
    assert image.partitions[image.topic_ids["t"]][2].replicas == (2,)
    (told,) = answered(fleet, topics.create_partitions, request).results[:1]
    assert told.error_code == ErrorCode.INVALID_PARTITIONS


# Pages


def page(
    fleet: PartitionFleet, *names: str, room: int = 2_000, cursor: Any = None
) -> foreign_topics.DescribeTopicPartitionsResponse:
    request = foreign_topics.DescribeTopicPartitionsRequest(
        topics=tuple(foreign_topics.TopicRequest(name=name) for name in names),
        response_partition_limit=room,
        cursor=cursor,
    )
    found = answered(fleet, topic_pages.describe_topic_partitions, request)
    assert isinstance(found, foreign_topics.DescribeTopicPartitionsResponse)
    return found


@pytest.mark.parametrize("room", [1, 2, 3, 4, 5, 7, 100])
def test_pages_hold_every_partition_once(
    fleet: PartitionFleet, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    create(fleet, new_topic("b", partitions=3), new_topic("a", partitions=4))
    ask = fleet.ask
    asked: list[Any] = []

    def noted(number: int, body: Message) -> Any:
        asked.append(body)
        return ask(number, body)

    monkeypatch.setattr(fleet, "ask", noted)
    seen: list[tuple[str | None, int]] = []
    cursor = None
    for _ in range(8):
        told = page(fleet, room=room, cursor=cursor)
        here = [
            (topic.name, part.partition_index) for topic in told.topics for part in topic.partitions
        ]
        assert len(here) <= room
        seen += here
        cursor = told.next_cursor
        if cursor is None:
            break
    assert seen == [("a", number) for number in range(4)] + [("b", number) for number in range(3)]
    assert asked[0].topics == (("a",) if room < 4 else ("a", "b")), "no more is asked than is told"


def test_a_page_goes_on_after_topics_that_are_not_there(fleet: PartitionFleet) -> None:
    create(fleet, new_topic("z"))
    told = page(fleet, "x", "y", "z", room=1)
    assert [topic.name for topic in told.topics] == ["x", "y"]
    told = page(fleet, "x", "y", "z", room=1, cursor=told.next_cursor)
    assert ([topic.name for topic in told.topics], told.next_cursor) == (["z"], None)


def test_of_all_topics_those_are_told_that_may_be_known() -> None:
    fleet = PartitionFleet(1, security={"authorizer": True, "super_users": ("root",)})
    fleet.network.principals["client"] = "root"
    fleet.settle()
    create(fleet, new_topic("t"), new_topic("u"))
    answered(fleet, acls.create_acls, foreign_acls.CreateAclsRequest(creations=(acl("User:a"),)))
    fleet.settle()
    fleet.network.principals["client"] = "a"
    assert [topic.name for topic in page(fleet).topics] == ["t"]
    assert codes(page(fleet, "t", "u").topics) == [0, ErrorCode.TOPIC_AUTHORIZATION_FAILED]


def test_a_page_tells_of_topics_asked_for_and_of_whom_is_missing(fleet: PartitionFleet) -> None:
    create(fleet, new_topic("t", partitions=1, factor=2, min_insync_replicas="2"))
    fleet.kill(2)
    fleet.wait(lambda: not fleet.server(1).context.image.is_alive(NodeId(2)))
    known, unknown = page(fleet, "t", "u").topics
    assert unknown.error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    (part,) = known.partitions
    assert (part.leader_id, part.isr_nodes, part.offline_replicas) == (1, (1,), (2,))
    assert part.eligible_leader_replicas == (2,)
    assert known.topic_authorized_operations == sum(1 << bit for bit in (3, 4, 5, 6, 7, 8, 10, 11))


# Records


def test_records_are_deleted(fleet: PartitionFleet) -> None:
    key = fleet.create("t")
    fleet.write(key, b"1", b"2", b"3")
    doomed = foreign_deletion.DeleteRecordsPartition
    request = foreign_deletion.DeleteRecordsRequest(
        topics=(
            foreign_deletion.DeleteRecordsTopic(
                name="t",
                partitions=(
                    doomed(partition_index=0, offset=2),
                    doomed(partition_index=7, offset=2),
                ),
            ),
            foreign_deletion.DeleteRecordsTopic(
                name="u", partitions=(doomed(partition_index=0, offset=-1),)
            ),
        ),
        timeout_ms=5_000,
    )
    told = answered(fleet, record_deletion.delete_records, request, number=fleet.leader(key)).topics
    assert [(part.error_code, part.low_watermark) for part in told[0].partitions] == [
        (0, 2),
        (ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, -1),
    ]
    assert codes(told[1].partitions) == [ErrorCode.UNKNOWN_TOPIC_OR_PARTITION]


# Configs


def described(fleet: PartitionFleet, kind: int, name: str, *keys: str, **how: Any) -> Any:
    resource = foreign_configs.DescribeConfigsResource(
        resource_type=kind, resource_name=name, configuration_keys=keys or None
    )
    request = foreign_configs.DescribeConfigsRequest(
        resources=(resource,), include_synonyms=True, include_documentation=True
    )
    (result,) = answered(fleet, configs.describe_configs, request, **how).results
    return result


def altered(fleet: PartitionFleet, kind: int, name: str, *changes: Any) -> Any:
    resource = foreign_configs.IncrementalAlterConfigsResource(
        resource_type=kind,
        resource_name=name,
        configs=tuple(
            foreign_configs.ConfigOperation(name=key, config_operation=op, value=value)
            for key, op, value in changes
        ),
    )
    request = foreign_configs.IncrementalAlterConfigsRequest(
        resources=(resource,), validate_only=False
    )
    (result,) = answered(fleet, configs.incremental_alter_configs, request).responses
    return result


def test_a_config_says_where_it_comes_from_and_what_it_may_be(fleet: PartitionFleet) -> None:
    create(fleet, new_topic("t"))
    assert altered(fleet, RESOURCE_BROKER, "", ("log.retention.ms", 0, "7")).error_code == 0
    assert altered(fleet, RESOURCE_TOPIC, "t", ("retention.ms", 0, "5")).error_code == 0
    (one,) = described(fleet, RESOURCE_TOPIC, "t", "retention.ms").configs
    assert (one.value, one.config_source, one.config_type) == ("5", 1, 5)
    assert [(each.name, each.value, each.source) for each in one.synonyms[:2]] == [
        ("retention.ms", "5", 1),
        ("log.retention.ms", "7", 3),
    ]
    assert "milliseconds" in one.documentation
    assert described(fleet, RESOURCE_TOPIC, "u").error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert described(fleet, RESOURCE_BROKER, "2").error_code == ErrorCode.INVALID_REQUEST
    assert described(fleet, RESOURCE_BROKER, "2", number=2).error_code == 0


def test_changes_of_configs(fleet: PartitionFleet) -> None:
    create(fleet, new_topic("t", retention_ms="5", segment_ms="7"))
    wrong = altered(fleet, RESOURCE_TOPIC, "t", ("retention.ms", 0, "soon"))
    assert wrong.error_code == ErrorCode.INVALID_CONFIG
    assert "retention.ms must be" in wrong.error_message
    null = altered(fleet, RESOURCE_TOPIC, "t", ("retention.ms", 0, None))
    assert null.error_code == ErrorCode.INVALID_REQUEST
    throttles = [(name, 1, None) for name in sorted(configs.NEVER_SET)]
    assert altered(fleet, RESOURCE_TOPIC, "t", *throttles).error_code == 0
    assert altered(fleet, RESOURCE_TOPIC, "u", *throttles).error_code != 0
    assert altered(fleet, RESOURCE_TOPIC, "t", ("segment.ms", 1, None)).error_code == 0
    own = fleet.server(1).context.image
    assert own.topics[own.topic_ids["t"]].configs == {"retention.ms": "5"}
    resource = foreign_configs.AlterConfigsResource(
        resource_type=RESOURCE_TOPIC,
        resource_name="t",
        configs=(foreign_configs.AlterableConfig(name="segment.ms", value="9"),),
    )
    request = foreign_configs.AlterConfigsRequest(resources=(resource,), validate_only=False)
    (told,) = answered(fleet, configs.alter_configs, request).responses
    assert (told.error_code, told.resource_name) == (0, "t")
    assert own.topics[own.topic_ids["t"]].configs == {"segment.ms": "9"}


def test_resources_that_may_have_configs(fleet: PartitionFleet) -> None:
    create(fleet, new_topic("t"))

    def listed(*types: int, version: int = 1) -> list[tuple[int, str]]:
        request = foreign_configs.ListConfigResourcesRequest(resource_types=types)
        told = answered(fleet, configs.list_config_resources, request, version=version)
        return [(one.resource_type, one.resource_name) for one in told.config_resources]

    assert listed() == [(2, "t"), (4, "1"), (4, "2")]
    assert listed(2, 16) == [(2, "t")]
    assert listed(4, 2, 4, 2) == [(4, "1"), (4, "2"), (2, "t")], (
        "each once, however often it is named"
    )
    assert listed(version=0) == []


# Replicas and leaders


def test_reassignments_are_begun_and_listed(fleet: PartitionFleet) -> None:
    create(fleet, new_topic("t", placed={0: (1,), 1: (1,)}))
    part = foreign_moves.ReassignablePartition
    request = foreign_moves.AlterPartitionReassignmentsRequest(
        timeout_ms=5_000,
        topics=(
            foreign_moves.ReassignableTopic(
                name="t",
                partitions=(
                    part(partition_index=0, replicas=(2,)),
                    part(partition_index=1, replicas=None),
                    part(partition_index=2, replicas=(9,)),
                ),
            ),
        ),
    )
    told = answered(fleet, reassignments.alter_partition_reassignments, request)
    assert (told.error_code, told.responses[0].name) == (0, "t")
    assert codes(told.responses[0].partitions) == [
        0,
        ErrorCode.NO_REASSIGNMENT_IN_PROGRESS,
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    ]
    some = foreign_moves.ListPartitionReassignmentsTopics
    asked = (some(name="t", partition_indexes=(0,)), some(name="u", partition_indexes=(0,)))
    for wanted, found in ((None, [0]), (asked, [0]), (asked[1:], [])):
        listing = foreign_moves.ListPartitionReassignmentsRequest(timeout_ms=5_000, topics=wanted)
        under_way = answered(fleet, reassignments.list_partition_reassignments, listing).topics
        ongoing = [one for topic in under_way for one in topic.partitions]
        assert [one.partition_index for one in ongoing] == found
        assert all((one.adding_replicas, one.removing_replicas) == ((2,), (1,)) for one in ongoing)


def test_leaders_are_elected(fleet: PartitionFleet) -> None:
    create(fleet, new_topic("t", partitions=2, factor=2))
    fleet.settle()
    topic = foreign_moves.ElectLeadersTopic(topic="t", partitions=(0, 7))
    for wanted, found in (((topic,), [ErrorCode.ELECTION_NOT_NEEDED, 3]), (None, [])):
        request = foreign_moves.ElectLeadersRequest(topic_partitions=wanted, timeout_ms=5_000)
        told = answered(fleet, reassignments.elect_leaders, request)
        outcomes = [one for each in told.replica_election_results for one in each.partition_result]
        assert (told.error_code, codes(outcomes)) == (0, found)
    request = foreign_moves.ElectLeadersRequest(
        election_type=9, topic_partitions=(topic,), timeout_ms=5_000
    )
    told = answered(fleet, reassignments.elect_leaders, request)
    assert told.error_code == ErrorCode.INVALID_REQUEST


# Log directories


def test_log_directories_and_what_is_in_them(fleet: PartitionFleet) -> None:
    key = fleet.create("t", 2)
    fleet.write(key, b"value")

    def told(wanted: Any) -> list[tuple[str, int, int]]:
        request = foreign_logs.DescribeLogDirsRequest(topics=wanted)
        (directory,) = answered(fleet, log_directories.describe_log_dirs, request).results
        assert directory.error_code == 0
        assert directory.usable_bytes > 0
        return [
            (topic.name, part.partition_index, part.partition_size)
            for topic in directory.topics
            for part in topic.partitions
        ]

    whole = told(None)
    assert [(name, number) for name, number, _ in whole] == [("t", 0), ("t", 1)]
    assert whole[0][2] > 0
    some = foreign_logs.DescribableLogDirTopic(topic="t", partitions=(1, 5))
    assert told((some,)) == [whole[1]]
    topic = foreign_logs.AlterReplicaLogDirTopic(name="t", partitions=(0, 1))
    directory = foreign_logs.AlterReplicaLogDir(path="/elsewhere", topics=(topic,))
    request = foreign_logs.AlterReplicaLogDirsRequest(dirs=(directory,))
    (result,) = answered(fleet, log_directories.alter_replica_log_dirs, request).results
    assert result.topic_name == "t"
    assert codes(result.partitions) == [ErrorCode.LOG_DIR_NOT_FOUND] * 2


# Quotas


def entity(**named: str | None) -> tuple[foreign_quotas.EntityData, ...]:
    return tuple(
        foreign_quotas.EntityData(entity_type=kind.replace("_", "-"), entity_name=name)
        for kind, name in named.items()
    )


def set_quota(
    fleet: PartitionFleet,
    whose: tuple[foreign_quotas.EntityData, ...],
    value: float,
    *,
    key: str = "producer_byte_rate",
    only: bool = False,
) -> int:
    change = foreign_quotas.AlteredQuotas(
        entity=whose,
        ops=(foreign_quotas.OpData(key=key, value=float(abs(value)), remove=value < 0),),
    )
    request = foreign_quotas.AlterClientQuotasRequest(entries=(change,), validate_only=only)
    (told,) = answered(fleet, quotas.alter_client_quotas, request).entries
    assert told.entity == whose
    code: int = told.error_code
    return code


def quotas_of(
    fleet: PartitionFleet, *components: tuple[str, int, str | None], strict: bool = False
) -> Any:
    request = foreign_quotas.DescribeClientQuotasRequest(
        components=tuple(
            foreign_quotas.ComponentData(entity_type=kind, match_type=how, match=name)
            for kind, how, name in components
        ),
        strict=strict,
    )
    told = answered(fleet, quotas.describe_client_quotas, request)
    if told.error_code:
        return told.error_code
    return sorted(one.values[0].value for one in told.entries)


def test_quotas_are_set_found_and_removed(fleet: PartitionFleet) -> None:
    alice, all_users = entity(user="alice"), entity(user=None)
    assert set_quota(fleet, alice, 1) == 0
    assert set_quota(fleet, all_users, 2) == 0
    assert set_quota(fleet, entity(user="alice", client_id="app"), 3) == 0
    assert set_quota(fleet, entity(client_id=None), 4, only=True) == 0
    fleet.settle()
    assert quotas_of(fleet) == [1, 2, 3]
    assert quotas_of(fleet, ("user", 0, "alice")) == [1, 3]
    assert quotas_of(fleet, ("user", 0, "alice"), strict=True) == [1]
    assert quotas_of(fleet, ("user", 1, None)) == [2]
    assert quotas_of(fleet, ("user", 2, None), ("client-id", 2, None)) == [3]
    assert quotas_of(fleet, ("ip", 2, None)) == []
    assert set_quota(fleet, alice, -1) == 0
    fleet.settle()
    assert quotas_of(fleet) == [2, 3]


def test_quotas_that_may_not_be(fleet: PartitionFleet) -> None:
    wrong = ErrorCode.INVALID_REQUEST
    assert set_quota(fleet, entity(ip="127.0.0.1"), 1) == wrong
    assert set_quota(fleet, entity(user=""), 1) == wrong
    assert set_quota(fleet, entity(user="a"), 1.5) == wrong
    assert set_quota(fleet, entity(user="a"), 1e300) == wrong
    assert set_quota(fleet, entity(user="a"), float("inf")) == wrong
    assert set_quota(fleet, entity(user="a"), float("nan")) == wrong
    assert set_quota(fleet, entity(user="a"), 1, key="request_percentage") == wrong
    assert set_quota(fleet, (*entity(user="a"), *entity(user="b")), 1) == wrong
    assert quotas_of(fleet, ("group", 2, None)) == wrong
    assert quotas_of(fleet, ("user", 3, None)) == wrong
    assert quotas_of(fleet, ("user", 0, None)) == wrong
    assert quotas_of(fleet) == []


# ACLs


def acl_filter(**given: Any) -> Any:
    wanted: dict[str, Any] = {
        "resource_type_filter": 1,
        "resource_name_filter": None,
        "pattern_type_filter": 1,
        "principal_filter": None,
        "host_filter": None,
        "operation": 1,
        "permission_type": 1,
    }
    return {**wanted, **given}


def acl(principal: str, operation: int = 3, kind: int = 2) -> foreign_acls.AclCreation:
    return foreign_acls.AclCreation(
        resource_type=kind,
        resource_name="t",
        principal=principal,
        host="*",
        operation=operation,
        permission_type=3,
    )


def test_acls_name_principals_as_kafka_does() -> None:
    fleet = PartitionFleet(1, security={"authorizer": True, "super_users": ("root",)})
    fleet.network.principals["client"] = "root"
    fleet.settle()
    new = (acl("User:a"), acl("User:*"), acl("a"), acl("User:a", operation=9), acl("User:a", 4))
    request = foreign_acls.CreateAclsRequest(creations=new)
    told = answered(fleet, acls.create_acls, request).results
    wrong = ErrorCode.INVALID_REQUEST
    assert codes(told) == [0, 0, wrong, wrong, 0]
    assert "User:name" in told[2].error_message
    fleet.settle()

    def found(**wanted: Any) -> list[tuple[str, int]]:
        asked = foreign_acls.DescribeAclsRequest(**acl_filter(**wanted))
        answer = answered(fleet, acls.describe_acls, asked)
        assert answer.error_code == 0
        assert {(one.resource_type, one.resource_name) for one in answer.resources} <= {(2, "t")}
        return [(one.principal, one.operation) for each in answer.resources for one in each.acls]

    assert sorted(found()) == [("User:*", 3), ("User:a", 3), ("User:a", 4)]
    assert found(principal_filter="User:a", operation=4) == [("User:a", 4)]
    doomed = (
        foreign_acls.DeleteAclsFilter(**acl_filter(principal_filter="User:a")),
        foreign_acls.DeleteAclsFilter(**acl_filter(principal_filter="Group:a")),
    )
    deletion = foreign_acls.DeleteAclsRequest(filters=doomed)
    gone, refused = answered(fleet, acls.delete_acls, deletion).filter_results
    assert [(one.principal, one.operation) for one in gone.matching_acls] == [
        ("User:a", 3),
        ("User:a", 4),
    ]
    assert (refused.error_code, refused.matching_acls) == (wrong, ())
    fleet.settle()
    assert found() == [("User:*", 3)]


def test_where_nobody_is_judged_acls_are_refused(fleet: PartitionFleet) -> None:
    told = answered(
        fleet, acls.create_acls, foreign_acls.CreateAclsRequest(creations=(acl("User:a"),))
    )
    assert codes(told.results) == [ErrorCode.SECURITY_DISABLED]
    asked = foreign_acls.DescribeAclsRequest(**acl_filter())
    assert answered(fleet, acls.describe_acls, asked).error_code == ErrorCode.SECURITY_DISABLED


# The cluster


@pytest.fixture
def placed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every broker of a fleet listens for Kafka's clients, or so it is told."""

    def place_of(broker: BrokerRecord) -> Place:
        return Place("here", 9090 + broker.id, broker.rack)

    monkeypatch.setattr(cluster, "place_of", place_of)


@pytest.mark.usefixtures("placed")
def test_brokers_that_are_away_are_told_if_asked(fleet: PartitionFleet) -> None:
    fleet.kill(2)
    fleet.wait(lambda: not fleet.server(1).context.image.is_alive(NodeId(2)))
    for also_away, brokers in ((False, [(1, False)]), (True, [(1, False), (2, True)])):
        request = foreign_cluster.DescribeClusterRequest(
            include_cluster_authorized_operations=False, include_fenced_brokers=also_away
        )
        told = answered(fleet, cluster.describe_cluster, request)
        assert [(one.broker_id, one.is_fenced) for one in told.brokers] == brokers
        assert told.controller_id == 1


@pytest.mark.usefixtures("placed")
def test_the_cluster_is_described(fleet: PartitionFleet) -> None:
    request = foreign_cluster.DescribeClusterRequest(include_cluster_authorized_operations=True)
    told = answered(fleet, cluster.describe_cluster, request)
    assert [(one.broker_id, one.host, one.port, one.rack) for one in told.brokers] == [
        (1, "here", 9091, "rack-1"),
        (2, "here", 9092, "rack-2"),
    ]
    assert told.controller_id == fleet.controller()
    assert told.cluster_id == fleet.server(1).context.config.cluster_id
    operations = (5, 7, 8, 9, 10, 11, 12)
    assert told.cluster_authorized_operations == sum(1 << bit for bit in operations)
    request = foreign_cluster.DescribeClusterRequest(
        include_cluster_authorized_operations=True, endpoint_type=2
    )
    told = answered(fleet, cluster.describe_cluster, request)
    assert told.error_code == ErrorCode.MISMATCHED_ENDPOINT_TYPE
    assert told.cluster_authorized_operations == NO_OPERATIONS


def test_a_broker_is_unregistered_only_when_it_is_gone(fleet: PartitionFleet) -> None:
    request = foreign_cluster.UnregisterBrokerRequest(broker_id=9)
    told = answered(fleet, cluster.unregister_broker, request)
    assert told.error_code == ErrorCode.BROKER_ID_NOT_REGISTERED
    request = foreign_cluster.UnregisterBrokerRequest(broker_id=2)
    assert answered(fleet, cluster.unregister_broker, request).error_code != 0
    fleet.kill(2)
    fleet.wait(lambda: not fleet.server(1).context.image.is_alive(NodeId(2)))
    assert answered(fleet, cluster.unregister_broker, request).error_code == 0


def test_the_quorum_is_described(fleet: PartitionFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = tuple(
        foreign_cluster.QuorumTopic(
            topic_name=name,
            partitions=(foreign_cluster.QuorumTopicPartition(partition_index=0),),
        )
        for name in (quorum.METADATA_TOPIC, "t")
    )
    request = foreign_cluster.DescribeQuorumRequest(topics=parts)
    told = answered(fleet, quorum.describe_quorum, request)
    assert (told.error_code, told.topics) == (ErrorCode.UNSUPPORTED_VERSION, ()), "no mode kraft"
    members = (
        QuorumMember(NodeId(1), True, LogIndex(9)),
        QuorumMember(NodeId(2), True, LogIndex(7), 40),
        QuorumMember(NodeId(3), False, LogIndex(8), 30),
    )
    answer = DescribeQuorumResponse(0, NodeId(1), Term(5), LogIndex(8), members)
    monkeypatch.setattr(fleet, "ask", lambda *_: answer)
    ours, other = answered(fleet, quorum.describe_quorum, request).topics
    assert codes(other.partitions) == [ErrorCode.UNKNOWN_TOPIC_OR_PARTITION]
    (found,) = ours.partitions
    assert (found.error_code, found.leader_id, found.leader_epoch) == (0, 1, 5)
    assert (found.high_watermark, [one.replica_id for one in found.observers]) == (8, [3])
    heard = [
        (one.replica_id, one.log_end_offset, one.last_fetch_timestamp, one.last_caught_up_timestamp)
        for one in found.current_voters
    ]
    assert heard == [(1, 9, WALL_MS, WALL_MS), (2, 7, WALL_MS - 40, -1)]
    request = foreign_cluster.DescribeQuorumRequest(topics=(parts[0], parts[1], parts[0]))
    *_, again = answered(fleet, quorum.describe_quorum, request).topics
    assert codes(again.partitions) == [ErrorCode.INVALID_REQUEST], "every member is told of once"
    assert again.partitions[0].current_voters == ()


def test_nobody_proves_who_they_are(fleet: PartitionFleet) -> None:
    shake = foreign_sasl.SaslHandshakeRequest(mechanism="PLAIN")
    told = answered(fleet, sasl.sasl_handshake, shake)
    assert (told.error_code, told.mechanisms) == (ErrorCode.UNSUPPORTED_SASL_MECHANISM, ())
    prove = foreign_sasl.SaslAuthenticateRequest(auth_bytes=b"\0a\0b")
    assert answered(fleet, sasl.sasl_authenticate, prove).error_code == ErrorCode.ILLEGAL_SASL_STATE
    user = foreign_sasl.ScramUser(name="a")
    request = foreign_sasl.DescribeUserScramCredentialsRequest(users=(user,))
    (told,) = answered(fleet, sasl.describe_user_scram_credentials, request).results
    assert told.error_code == ErrorCode.RESOURCE_NOT_FOUND


# Whatever is asked

ADMINISTRATION = {
    "topics",
    "topic_pages",
    "record_deletion",
    "configs",
    "reassignments",
    "log_directories",
    "quotas",
    "acls",
    "cluster",
    "quorum",
    "sasl",
}
KNOWN_NUMBERS = (-1, 0, 1, 2, 3, 4, 5)
KNOWN_WORDS = ("t", "1", "user", "client-id", "User:a", "*", "retention.ms", "producer_byte_rate")


def nudged(value: Any, random: Random) -> Any:
    """Return a drawn value that is more often about something that is there."""
    if isinstance(value, Struct):
        fields = {name: nudged(getattr(value, name), random) for name in value.__struct_fields__}
        return type(value)(**fields)
    if isinstance(value, tuple):
        return tuple(nudged(one, random) for one in value)
    if isinstance(value, bool) or random.random() < 0.3:
        return value
    if isinstance(value, int):
        return random.choice(KNOWN_NUMBERS)
    return random.choice(KNOWN_WORDS) if isinstance(value, str) else value


@pytest.mark.parametrize("name", sorted(ADMINISTRATION))
def test_whatever_is_asked_gets_an_answer_that_can_be_written(name: str) -> None:
    fleet = PartitionFleet(1, security={"authorizer": True, "super_users": ("root",)})
    fleet.network.principals["client"] = "root"
    fleet.settle()
    random = Random(name)
    for key in [key for key, (file, _) in TRANSLATORS.items() if file == name]:
        spoken = APIS[key]
        for version in [*range(spoken.lowest, spoken.highest + 1)] * 4:
            create(fleet, new_topic("t"))
            codec = conversation(key, version)
            assert codec is not None
            flexible = version >= spoken.flexible_from
            request = nudged(draw(declared(key, "Request"), version, flexible, random), random)
            answer = answered(fleet, translator(key), request, version=version)
            codec.response.write(Writer(), answer)
