"""ACLs at a broker's door: every API is judged, and what is refused is told as Kafka tells it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from nodes.broker import authorization
from nodes.broker.access import CODES, ROWS
from nodes.core.acls import Demand
from tests.unit.broker.partition_fleet import PartitionFleet, fetch_request, make_batch
from transport.wire.errors import ErrorCode
from transport.wire.ids import (
    BrokerEpoch,
    LeaderEpoch,
    MemberEpoch,
    MemberId,
    MetadataVersion,
    NodeId,
    Offset,
    PartitionKey,
    ProducerEpoch,
    ProducerId,
)
from transport.wire.messages import (
    Message,
    Refusal,
    acls,
    cluster,
    configs,
    coordinators,
    deletion,
    ensemble,
    fetch,
    group_offsets,
    groups,
    log_directories,
    metadata,
    produce,
    quotas,
    reassignments,
    topics,
    transactions,
    users,
)
from transport.wire.messages.acls import (
    CLUSTER_NAME,
    AclBinding,
    AclEntry,
    AclFilter,
    AclOperation,
    AclPermission,
    PatternType,
    ResourceType,
)
from transport.wire.registry import VERSIONS, conversation

FORBIDDEN = frozenset(CODES.values())
OPEN_TO_ALL = {cluster.DescribeNodeRequest, cluster.HealthRequest}
"""Where everybody is, without which no client would find the broker that it may ask; and how."""
BY_CODE_ALONE = {
    fetch.ListOffsetsRequest,
    fetch.OffsetForLeaderEpochRequest,
}
"""Asked for by clients only after others that say who is not allowed what."""
SIFTED = {groups.ListGroupsRequest, transactions.ListTransactionsRequest}
"""Answered to everybody, without what they may not know."""
LEFT_OUT = {topics.DescribeTopicsRequest}
"""Topics that the asker may not know are not in the answer."""


@pytest.fixture
def fleet() -> PartitionFleet:
    security = {"authorizer": True, "sasl": True, "super_users": ("root",)}
    fleet = PartitionFleet(2, security=security)
    fleet.settle()
    return fleet


def ask(fleet: PartitionFleet, who: str, number: int, body: Message, **how: Any) -> Any:
    fleet.network.principals["client"] = who
    return fleet.ask(number, body, **how)


def create(fleet: PartitionFleet, name: str) -> PartitionKey:
    new = topics.NewTopic(name, 1, 2)
    told = ask(fleet, "root", 1, topics.CreateTopicsRequest((new,), 2_000))
    assert told.topics[0].error == ErrorCode.NONE, told
    key = PartitionKey(told.topics[0].topic_id, 0)
    fleet.wait(lambda: fleet.leader(key) > 0)
    return key


def entry(who: str, operation: AclOperation, *, deny: bool = False) -> AclEntry:
    return AclEntry(who, "*", operation, AclPermission.DENY if deny else AclPermission.ALLOW)


def grant(
    fleet: PartitionFleet,
    who: str,
    operation: AclOperation,
    name: str,
    kind: ResourceType = ResourceType.TOPIC,
    *,
    deny: bool = False,
) -> None:
    binding = AclBinding(kind, PatternType.LITERAL, name, entry(who, operation, deny=deny))
    told = ask(fleet, "root", 1, acls.CreateAclsRequest((binding,), 2_000))
    assert [one.error for one in told.outcomes] == [ErrorCode.NONE], told
    fleet.settle()


def revoke(fleet: PartitionFleet, who: str) -> None:
    told = ask(fleet, "root", 1, acls.DeleteAclsRequest((AclFilter(principal=who),), 2_000))
    assert told.outcomes[0].acls
    fleet.settle()


DESCRIBE_USERS = users.DescribeUserScramCredentialsRequest()


def one_of_each(key: PartitionKey) -> dict[type[Message], Message]:
    """A request of every kind that clients may send, about the topic ``t`` and others' things."""
    topic_id, number = key
    part = transactions.TransactionPartition(topic_id, number)
    offset = group_offsets.OffsetToCommit(topic_id, number, Offset(0))
    epoch, producer, member = ProducerEpoch(0), ProducerId(0), MemberId("m")
    resource = configs.AlteredConfigs(configs.RESOURCE_TOPIC, "t", ())
    everything = entry("mallory", AclOperation.ALL)
    binding = AclBinding(ResourceType.TOPIC, PatternType.LITERAL, "t", everything)
    some = [
        cluster.DescribeNodeRequest(),
        cluster.HealthRequest(),
        metadata.MetadataRequest(("t",)),
        produce.ProduceRequest(-1, 1_000, (produce.ProducePartition(*key, LeaderEpoch(-1), 0),)),
        produce.InitProducerIdRequest(),
        fetch_request(key, Offset(0)),
        fetch.ListOffsetsRequest((fetch.ListOffset(*key, LeaderEpoch(-1), -1),)),
        fetch.OffsetForLeaderEpochRequest((fetch.EpochEnd(*key, LeaderEpoch(-1), LeaderEpoch(0)),)),
        deletion.DeleteRecordsRequest((deletion.DeleteRecordsPartition(*key, Offset(0)),), 1_000),
        transactions.DescribeProducersRequest((part,)),
        topics.DescribeTopicsRequest((topic_id,)),
        topics.CreateTopicsRequest((topics.NewTopic("new"),), 1_000),
        topics.CreatePartitionsRequest((topics.NewPartitions("t", 2),), 1_000),
        configs.DescribeConfigsRequest((configs.ConfigResource(configs.RESOURCE_TOPIC, "t"),)),
        configs.AlterConfigsRequest((resource,), 1_000),
        log_directories.AlterReplicaLogDirsRequest(()),
        log_directories.DescribeLogDirsRequest(),
        reassignments.AlterReassignmentsRequest((), 1_000),
        reassignments.ListReassignmentsRequest(),
        reassignments.ElectLeadersRequest(reassignments.ELECT_PREFERRED, None, 1_000),
        reassignments.DrainBrokerRequest(NodeId(1), False, 1_000),
        reassignments.UnregisterBrokerRequest(NodeId(9), 1_000),
        ensemble.DescribeQuorumRequest(),
        quotas.DescribeClientQuotasRequest(),
        quotas.AlterClientQuotasRequest((), 1_000),
        acls.CreateAclsRequest((binding,), 1_000),
        acls.DeleteAclsRequest((AclFilter(principal="mallory"),), 1_000),
        acls.DescribeAclsRequest(AclFilter()),
        *(users.AlterUserScramCredentialsRequest((), 1_000), DESCRIBE_USERS),
        coordinators.FindCoordinatorRequest(coordinators.KEY_GROUP, ("g",)),
        groups.ConsumerGroupHeartbeatRequest("g", member, MemberEpoch(1)),
        groups.JoinGroupRequest("g", member, 1_000, 1_000, ()),
        groups.SyncGroupRequest("g", member, 1),
        groups.ClassicHeartbeatRequest("g", member, 1),
        groups.LeaveGroupRequest("g", member),
        groups.DescribeGroupRequest("g"),
        groups.DeleteGroupRequest("g"),
        groups.ListGroupsRequest(),
        group_offsets.OffsetCommitRequest("g", (offset,)),
        group_offsets.TxnOffsetCommitRequest("x", producer, epoch, "g", (offset,)),
        group_offsets.OffsetFetchRequest("g"),
        group_offsets.OffsetDeleteRequest("g", (group_offsets.GroupPartition(*key),)),
        transactions.AddPartitionsToTxnRequest("x", producer, epoch, (part,)),
        transactions.WriteTxnMarkersRequest(()),
        transactions.EndTxnRequest("x", producer, epoch, True),
        transactions.DescribeTransactionRequest("x"),
        transactions.ListTransactionsRequest(),
        topics.DeleteTopicsRequest(("t",), 1_000),
    ]
    return {type(request): request for request in some}


def codes(answer: Any) -> Iterator[int]:
    """Yield the error codes of an answer and of its parts."""
    yield answer.error
    for name in answer.__struct_fields__:
        value = getattr(answer, name)
        if isinstance(value, tuple):
            yield from (part.error for part in value if hasattr(part, "error"))


def test_there_is_a_row_for_every_api_of_the_clients_door_and_no_other(
    fleet: PartitionFleet,
) -> None:
    requests = one_of_each(create(fleet, "t"))
    assert set(ROWS) == set(requests), "an API that has a row is asked in this test"
    for api in VERSIONS:
        spoken = conversation(api, 0)
        assert spoken is not None
        kind = spoken.question
        if kind not in requests:
            fields = len(kind.__struct_fields__) - len(kind.__struct_defaults__)
            answer = ask(fleet, "root", 1, kind(*[None] * fields))
            assert answer.error == ErrorCode.UNKNOWN_API, f"{kind} needs a row in access.py"
    for kind, request in requests.items():
        assert ask(fleet, "root", 1, request).error != ErrorCode.UNKNOWN_API, kind


def test_every_api_refuses_whom_nothing_is_granted(fleet: PartitionFleet) -> None:
    key = create(fleet, "t")
    before = fleet.server(1).context.image.position
    number = fleet.leader(key)
    for kind, request in one_of_each(key).items():
        answer = ask(fleet, "mallory", number, request, payload=(make_batch(),))
        told = set(codes(answer)) - {ErrorCode.NONE}
        if kind in OPEN_TO_ALL | SIFTED | LEFT_OUT:
            assert told == set(), kind
            shown = (getattr(answer, name, ()) for name in ("groups", "transactions", "partitions"))
            assert not any(shown), kind
        else:
            assert told, kind
            assert told <= FORBIDDEN, (kind, answer)
            assert kind in BY_CODE_ALONE or "`odradek acl add mallory " in str(answer), answer
    assert fleet.server(1).context.image.position == before, "nothing was done"
    assert fleet.logs(key) == [[], []]


def test_whoever_is_above_all_is_refused_nothing(fleet: PartitionFleet) -> None:
    key = create(fleet, "t")
    number = fleet.leader(key)
    for kind, request in one_of_each(key).items():
        answer = ask(fleet, "root", number, request, payload=(make_batch(),))
        assert not FORBIDDEN & set(codes(answer)), kind


def test_at_the_peers_door_only_the_clusters_own_keys_count(fleet: PartitionFleet) -> None:
    fleet.server(1)
    request = metadata.FetchImageRequest(NodeId(1), MetadataVersion(0), own=True)
    for who, expected in (("alice", ErrorCode.CLUSTER_AUTHORIZATION_FAILED), ("root", 0)):
        answer = ask(fleet, who, 1, request, door="peers")
        assert answer.error == expected
    shutdown = reassignments.ControlledShutdownRequest(NodeId(1), BrokerEpoch(0))
    answer = ask(fleet, "alice", 1, shutdown, door="peers")
    assert answer.error == ErrorCode.CLUSTER_AUTHORIZATION_FAILED


def produced(fleet: PartitionFleet, who: str, *keys: PartitionKey) -> list[int]:
    parts = tuple(produce.ProducePartition(*key, LeaderEpoch(-1), 0) for key in keys)
    answer = ask(
        fleet,
        who,
        fleet.leader(keys[0]),
        produce.ProduceRequest(-1, 2_000, parts),
        payload=(make_batch(),),
    )
    assert [(one.topic_id, one.partition) for one in answer.partitions] == list(keys)
    return [one.error for one in answer.partitions]


def test_of_a_request_about_several_topics_what_is_allowed_is_done() -> None:
    fleet = PartitionFleet(1, security={"authorizer": True, "super_users": ("root",)})
    fleet.settle()
    new = tuple(topics.NewTopic(name, 1, 1) for name in "abc")
    told = ask(fleet, "root", 1, topics.CreateTopicsRequest(new, 2_000))
    keys = [PartitionKey(topic.topic_id, 0) for topic in told.topics]
    for key in keys:
        fleet.leader(key)
    refused = ErrorCode.TOPIC_AUTHORIZATION_FAILED
    grant(fleet, "alice", AclOperation.WRITE, "b")
    assert produced(fleet, "alice", *keys) == [refused, 0, refused]
    assert [len(fleet.logs(key)[0]) for key in keys] == [0, 1, 0]
    grant(fleet, "alice", AclOperation.READ, "b")
    parts = tuple(fetch_request(key, Offset(0)).partitions[0] for key in keys)
    request = fetch.FetchRequest(60_000, 1_000_000, 1_000_000, parts)
    began_us = fleet.world.now_us
    answer = ask(fleet, "alice", 1, request)
    assert fleet.world.now_us - began_us < 1_000_000, "an error is told at once"
    found = {one.topic_id: one.error for one in answer.partitions}
    assert found == {key.topic_id: [refused, 0, refused][n] for n, key in enumerate(keys)}


def test_what_is_refused_for_many_parts_is_put_into_words_once(
    fleet: PartitionFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request may name tens of thousands of partitions of one topic, and each took as long as a record."""
    key = create(fleet, "t")
    number = fleet.leader(key)
    put: list[str] = []
    remedy = authorization._remedy

    def counted(who: str, demand: Demand, name: str) -> str:
        put.append(name)
        return remedy(who, demand, name)

    monkeypatch.setattr(authorization, "_remedy", counted)
    parts = (produce.ProducePartition(*key, LeaderEpoch(-1), 0),) * 5
    request = produce.ProduceRequest(-1, 2_000, parts)
    answer = ask(fleet, "alice", number, request, payload=(make_batch(),))
    refused = ErrorCode.TOPIC_AUTHORIZATION_FAILED
    assert [one.error for one in answer.partitions] == [refused] * 5
    assert len({one.text for one in answer.partitions}) == len(put) == 1


def test_a_grant_that_is_gone_counts_no_more_and_a_denial_wins(fleet: PartitionFleet) -> None:
    key = create(fleet, "t")
    assert produced(fleet, "alice", key) == [ErrorCode.TOPIC_AUTHORIZATION_FAILED]
    grant(fleet, "alice", AclOperation.WRITE, "t")
    assert produced(fleet, "alice", key) == [ErrorCode.NONE]
    revoke(fleet, "alice")
    assert produced(fleet, "alice", key) == [ErrorCode.TOPIC_AUTHORIZATION_FAILED]
    grant(fleet, "alice", AclOperation.ALL, "*")
    assert produced(fleet, "alice", key) == [ErrorCode.NONE]
    grant(fleet, "alice", AclOperation.WRITE, "t", deny=True)
    assert produced(fleet, "alice", key) == [ErrorCode.TOPIC_AUTHORIZATION_FAILED]


def test_a_fetch_session_ends_with_the_acls_that_it_was_begun_under() -> None:
    fleet = PartitionFleet(1, security={"authorizer": True, "super_users": ("root",)})
    fleet.settle()
    told = ask(fleet, "root", 1, topics.CreateTopicsRequest((topics.NewTopic("t", 1, 1),), 2_000))
    key = PartitionKey(told.topics[0].topic_id, 0)
    fleet.leader(key)
    grant(fleet, "alice", AclOperation.READ, "t")
    named = fetch_request(key, Offset(0), max_wait_ms=0)

    def fetched(epoch: int) -> Any:
        parts = named.partitions if epoch == 0 else ()
        body = replace(named, partitions=parts, session_id=7, session_epoch=epoch)
        return ask(fleet, "alice", 1, body)

    assert fetched(0).session_id == 7
    assert fetched(1).session_id == 7
    revoke(fleet, "alice")
    assert fetched(2).error == ErrorCode.FETCH_SESSION_ID_NOT_FOUND
    answer = fetched(0)
    assert [one.error for one in answer.partitions] == [ErrorCode.TOPIC_AUTHORIZATION_FAILED]
    assert answer.session_id == fetch.NO_FETCH_SESSION


def test_who_subscribes_by_a_pattern_must_be_allowed_to_know_every_topic(
    fleet: PartitionFleet,
) -> None:
    grant(fleet, "alice", AclOperation.READ, "g", ResourceType.GROUP)
    grant(fleet, "alice", AclOperation.DESCRIBE, "t")
    member, epoch = MemberId("m"), MemberEpoch(0)
    by_name = groups.ConsumerGroupHeartbeatRequest("g", member, epoch, topics=("t",))
    by_pattern = replace(by_name, topics=(), pattern="t")
    refused = ErrorCode.TOPIC_AUTHORIZATION_FAILED
    assert ask(fleet, "alice", 1, by_pattern).error == refused
    assert ask(fleet, "alice", 1, by_name).error != refused
    grant(fleet, "alice", AclOperation.DESCRIBE, "*")
    assert ask(fleet, "alice", 1, by_pattern).error != refused


def test_offsets_are_added_to_a_transaction_by_who_may_read_in_the_group(
    fleet: PartitionFleet,
) -> None:
    request = transactions.AddPartitionsToTxnRequest(
        "x", ProducerId(0), ProducerEpoch(0), (), declared=True, group_id="g"
    )
    grant(fleet, "alice", AclOperation.WRITE, "x", ResourceType.TRANSACTIONAL_ID)
    grant(fleet, "alice", AclOperation.DESCRIBE, "g", ResourceType.GROUP)
    refused = ErrorCode.GROUP_AUTHORIZATION_FAILED
    assert ask(fleet, "alice", 1, request).error == refused
    grant(fleet, "alice", AclOperation.READ, "g", ResourceType.GROUP)
    assert ask(fleet, "alice", 1, request).error != refused


def shown(fleet: PartitionFleet, who: str, **how: Any) -> list[tuple[str, int]]:
    answer = ask(fleet, who, 1, metadata.MetadataRequest(**how))
    return [(info.name, info.error) for info in answer.topics]


def test_metadata_tells_of_no_topic_that_may_not_be_described(fleet: PartitionFleet) -> None:
    refused = ErrorCode.TOPIC_AUTHORIZATION_FAILED
    create(fleet, "hers")
    create(fleet, "other")
    grant(fleet, "alice", AclOperation.READ, "hers")
    assert shown(fleet, "alice") == [("hers", 0)]
    assert shown(fleet, "root") == [("hers", 0), ("other", 0)]
    named = ("other", "hers", "nowhere")
    assert shown(fleet, "alice", topics=named) == [
        ("other", refused),
        ("hers", 0),
        ("nowhere", refused),
    ]
    grant(fleet, "alice", AclOperation.DESCRIBE, "new")
    make = {"topics": ("new",), "allow_auto_topic_creation": True}
    assert shown(fleet, "alice", **make) == [("new", refused)]
    grant(fleet, "alice", AclOperation.CREATE, CLUSTER_NAME, ResourceType.CLUSTER)
    assert shown(fleet, "alice", **make) == [("new", 0)]


def test_a_refusal_by_id_names_a_topic_only_to_who_may_know_it(fleet: PartitionFleet) -> None:
    key = create(fleet, "secret")
    for who in ("alice", "bob"):
        for kind in (ResourceType.GROUP, ResourceType.TRANSACTIONAL_ID):
            grant(fleet, who, AclOperation.ALL, "*", kind)
    grant(fleet, "bob", AclOperation.DESCRIBE, "secret")
    about = (group_offsets.GroupPartition(*key),)
    questions = [*one_of_each(key).values(), group_offsets.OffsetFetchRequest("g", about)]
    told: dict[str, list[str]] = {"alice": [], "bob": []}
    for who, answers in told.items():
        for question in questions:
            answer = ask(fleet, who, fleet.leader(key), question, payload=(make_batch(),))
            if "secret" in str(answer) or key.topic_id.hex() in str(answer):
                answers.append(str(answer))
    assert len(told["alice"]) == 6, "to write, read, delete, describe producers, add, and offsets"
    assert len(told["bob"]) == 5, "who may know a topic may know its offsets"
    assert all("--topic NAME`" in text and "secret" not in text for text in told["alice"])
    assert all("--topic secret`" in text for text in told["bob"])


def test_who_may_know_no_topic_learns_where_the_brokers_are(fleet: PartitionFleet) -> None:
    create(fleet, "other")
    told = ask(fleet, "alice", 1, metadata.MetadataRequest(("other",)))
    assert [info.error for info in told.topics] == [ErrorCode.TOPIC_AUTHORIZATION_FAILED]
    assert [broker.id for broker in told.brokers] == [1, 2]


def test_names_are_not_published_to_everybody(fleet: PartitionFleet) -> None:
    create(fleet, "t")
    grant(fleet, "alice", AclOperation.WRITE, "t")
    heard = [event for event in fleet.asker.heard if isinstance(event, metadata.MetadataDelta)]
    assert heard
    assert any(not delta.records for delta in heard), "told without words"
    secret = (metadata.TopicRecord, metadata.AclRecord, metadata.ConfigRecord)
    assert not any(isinstance(record, secret) for delta in heard for record in delta.records)
    images = [fleet.server(number).context.image for number in fleet.alive()]
    assert [image.topic("t") is not None for image in images] == [True, True]


def test_a_topic_that_is_not_known_yet_is_not_read_when_it_is(
    fleet: PartitionFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = create(fleet, "t")
    number = fleet.leader(key)
    assert produced(fleet, "root", key) == [ErrorCode.NONE]
    dispatch, known = fleet.server(number).dispatch, fleet.server(number).context.image.topics
    judge = dispatch.on_request

    def on_request(*request: Any) -> None:
        topic = known.pop(key.topic_id)
        judge(*request)
        known[key.topic_id] = topic

    monkeypatch.setattr(dispatch, "on_request", on_request)
    answer = ask(fleet, "alice", number, fetch_request(key, Offset(0)))
    assert [one.error for one in answer.partitions] == [ErrorCode.UNKNOWN_TOPIC_ID]
    assert [one.frame for one in answer.partitions] == [-1]


def test_before_the_acls_are_known_nobody_is_told_that_they_may_not(
    fleet: PartitionFleet,
) -> None:
    key = create(fleet, "t")
    grant(fleet, "alice", AclOperation.WRITE, "t")
    dispatch = fleet.server(1).dispatch
    dispatch._authorizer._knows_acls = lambda: False
    for kind, request in one_of_each(key).items():
        answer = ask(fleet, "alice", 1, request, payload=(make_batch(),))
        expected = ErrorCode.NONE if kind in OPEN_TO_ALL else ErrorCode.BROKER_NOT_AVAILABLE
        assert answer.error == expected, kind
    assert ask(fleet, "root", 1, metadata.MetadataRequest()).error == ErrorCode.NONE


def test_where_nobody_is_judged_there_are_no_acls() -> None:
    fleet = PartitionFleet(1)
    fleet.settle()
    for request in (acls.DescribeAclsRequest(AclFilter()), acls.CreateAclsRequest((), 1_000)):
        answer = fleet.ask(1, request)
        assert isinstance(answer, Refusal)
        assert answer.error == ErrorCode.SECURITY_DISABLED
        assert "curve" in answer.text
