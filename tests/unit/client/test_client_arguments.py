"""Wrong arguments of log clients: told at once, by name, with what to do about it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any

import pytest

from odradek import AdminClient, Consumer, CoordinationClient, Producer, aio
from odradek.acl import ACL, Id
from odradek.admin.acls import AclBinding, AclFilter, AclOperation, ResourceType
from odradek.admin.client import ConfigResource, ConfigResourceType, NewTopic, QuotaEntity
from odradek.errors import (
    BadArgumentsError,
    ClientClosedError,
    MessageSizeTooLargeError,
    SerializationError,
)
from odradek.settings import Bounds, check_number, check_settings
from transport.wire.ids import TopicPartition

WAIT_S = 20


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("linger", "did you mean 'linger_ms'"),
        ("linger.ms", "did you mean 'linger_ms'"),
        ("compression", "did you mean 'compression_type'"),
        ("retries", "here it is delivery_timeout_ms"),
        ("max_in_flight_requests_per_connection", "here it is max_in_flight"),
        ("xyzzy", "there are acks, batch_size, "),
    ],
)
def test_a_producers_setting_that_does_not_exist(name: str, hint: str) -> None:
    settings: dict[str, Any] = {name: 1}
    with pytest.raises(TypeError, match=hint):
        Producer("h:1", **settings)
    with pytest.raises(TypeError, match=f"Producer has no setting '{name}'"):
        aio.Producer("h:1", **settings)


def test_a_consumers_setting_that_does_not_exist() -> None:
    settings: dict[str, Any] = {"auto.offset.reset": "earliest"}
    with pytest.raises(TypeError, match=r"'auto\.offset\.reset'; did you mean 'auto_offset_reset'"):
        Consumer("t", bootstrap_servers="h:1", **settings)
    with pytest.raises(TypeError, match="did you mean 'group_id'"):
        aio.Consumer("t", bootstrap_servers="h:1", groupid="g")


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"linger_ms": -1}, ValueError),
        ({"linger_ms": "5"}, TypeError),
        ({"linger_ms": True}, TypeError),
        ({"buffer_memory": 0}, ValueError),
        ({"max_in_flight": 9}, ValueError),
        ({"acks": 2}, ValueError),
        ({"compression_type": "brotli"}, ValueError),
        ({"interceptors": [object()]}, TypeError),
        ({"client_id": None}, TypeError),
        ({"transactional_id": 7}, TypeError),
        ({"client_id": "\ud800"}, ValueError),
        ({"acks": True}, ValueError),
        ({"acks": []}, ValueError),
        ({"compression_type": []}, ValueError),
        ({"enable_idempotence": "false"}, TypeError),
        ({"request_timeout_ms": 1 << 70}, ValueError),
        ({"key_serializer": "utf-8"}, TypeError),
        ({"partitioner": 7}, TypeError),
    ],
)
def test_a_producers_setting_that_cannot_be(
    settings: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error, match=next(iter(settings))):
        Producer("h:1", **settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"group_id": 7},
        {"group_id": "g", "group_instance_id": 7},
        {"client_id": b"c"},
        {"consumer_timeout_ms": "1"},
        {"bootstrap_servers": 9092},
    ],
)
def test_a_consumers_setting_of_another_type(settings: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=r"_id=|consumer_timeout_ms='1'|addresses .* not 9092"):
        Consumer("t", **{"bootstrap_servers": "h:1", **settings})


@pytest.mark.parametrize(
    "settings",
    [{"enable_auto_commit": "false"}, {"check_crcs": 1}, {"value_deserializer": "utf-8"}],
)
def test_a_consumers_setting_that_would_be_taken_for_another(settings: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=f"{next(iter(settings))}=.* is (neither|no function)"):
        Consumer("t", bootstrap_servers="h:1", **settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"max_poll_records": 0},
        {"session_timeout_ms": 0, "group_id": "g"},
        {"prefetch_bytes": -1},
        {"auto_offset_reset": "newest"},
        {"isolation_level": "serializable"},
        {"auto_offset_reset": None},
        {"consumer_timeout_ms": float("nan")},
        {"fetch_max_wait_ms": 1 << 70},
        {"max_partition_fetch_bytes": 1 << 40},
        {"group_id": "\ud800"},
        {"client_rack": "\ud800"},
    ],
)
def test_a_consumers_setting_that_cannot_be(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        Consumer("t", bootstrap_servers="h:1", **settings)


PLACE = TopicPartition("t", 0)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda producer: producer.send(7, b"x"), "a topic's name must be str, not int"),
        (lambda producer: producer.send("t", b"x", partition="1"), "partition='1' is not"),
        (lambda producer: producer.send("t", b"x", partition=-1), "partition=-1 is not possible"),
        (lambda producer: producer.send("t", b"x", timestamp_ms=1.5), "timestamp_ms=1.5 is not"),
        (lambda producer: producer.send("t", b"x", timestamp_ms=-1), "timestamp_ms=-1 is not"),
        (lambda producer: producer.send("t", b"x", headers={"a": b"b"}), "headers are a list of"),
        (lambda producer: producer.send("t", b"x", headers=["ab"]), "a header is .* not 'ab'"),
        (lambda producer: producer.send("\ud800", b"x"), "topic='.*' has no UTF-8"),
        (lambda producer: producer.send("t", b"x", headers=[("\ud800", b"")]), "name=.* no UTF-8"),
        (lambda producer: producer.send_many("t", [b"abc", b"de"]), "takes pairs .* not b'abc'"),
        (lambda producer: producer.send_many("t", [(b"k", b"v", 1)]), "takes pairs .* not "),
        (lambda producer: producer.partitions_for(None), "a topic's name must be str"),
        (lambda producer: producer.close(float("nan")), "timeout=nan is no time"),
        (lambda producer: producer.send_many("t", [], partition="1"), "partition='1' is not"),
        (lambda producer: producer.flush("1"), "timeout='1' is not a number"),
        (
            lambda producer: producer.send_offsets_to_transaction([PLACE], "g"),
            "offsets are a dict of TopicPartition to offset",
        ),
    ],
)
def test_what_a_producer_cannot_send_is_told_at_the_call(
    call: Callable[[Producer], object], said: str
) -> None:
    with Producer("127.0.0.1:1") as producer, pytest.raises((TypeError, ValueError), match=said):
        call(producer)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda consumer: consumer.subscribe([["t"]]), "a topic's name must be str, not list"),
        (
            lambda consumer: consumer.subscribe(pattern="("),
            r"pattern='\(' is no regular .* missing",
        ),
        (lambda consumer: consumer.subscribe(pattern=7), "pattern=7 is no regular expression"),
        (lambda consumer: consumer.subscribe(pattern=re.compile(b"t")), "is of bytes"),
        (lambda consumer: consumer.assign("t"), "a list of partitions is needed, not 't'"),
        (lambda consumer: consumer.assign(PLACE), "a list of partitions is needed"),
        (lambda consumer: consumer.assign(["t0"]), "a partition is .* not 't0'"),
        (lambda consumer: consumer.assign([("t", "0")]), "a partition is "),
        (lambda consumer: consumer.seek("t", 0), "a partition is .* not 't'"),
        (lambda consumer: consumer.seek(PLACE, 1.5), "offset=1.5 is not a whole number"),
        (lambda consumer: consumer.seek(PLACE, 1 << 63), "offset=9223372036854775808 is not"),
        (lambda consumer: consumer.seek(PLACE, -2), "see seek_to_beginning"),
        (lambda consumer: consumer.end_offsets(PLACE), "a list of partitions is needed"),
        (lambda consumer: consumer.offsets_for_times({PLACE: "now"}), "timestamp='now' is not"),
        (lambda consumer: consumer.commit(3), "offsets are a dict of TopicPartition to offset"),
        (lambda consumer: consumer.commit({PLACE: "3"}), "offset of t-0='3' is not a whole"),
        (lambda consumer: consumer.commit({PLACE: -3}), "offset of t-0=-3 is not possible"),
        (lambda consumer: consumer.commit({PLACE: (3, b"note")}), "metadata of t-0=.* not text"),
        (lambda consumer: consumer.commit({"t": 3}), "a partition is .* not 't'"),
        (lambda consumer: consumer.poll("1"), "timeout_ms='1' is not a number"),
        (lambda consumer: consumer.poll(None), "timeout_ms=None is not a number"),
        (lambda consumer: consumer.poll(float("nan")), "timeout_ms=nan is no time"),
        (lambda consumer: consumer.subscribe(None), "a list of topic names is needed"),
        (lambda consumer: consumer.subscribe(["\ud800"]), "topic='.*' has no UTF-8"),
        (lambda consumer: consumer.assign(None), "a list of partitions is needed"),
        (lambda consumer: consumer.assign([("t", -1)]), "partition=-1 is not possible"),
        (lambda consumer: consumer.assign([("\ud800", 0)]), "topic='.*' has no UTF-8"),
        (lambda consumer: consumer.end_offsets([PLACE], float("nan")), "timeout_ms=nan is no"),
        (lambda consumer: consumer.offsets_for_times([PLACE]), "times are a dict of"),
        (lambda consumer: consumer.partitions_for_topic(None), "a topic's name must be str"),
        (lambda consumer: consumer.commit({PLACE: (3, "\ud800")}), "metadata of t-0=.* no UTF-8"),
        (lambda consumer: consumer.commit({PLACE: (3, "", "1")}), "leader_epoch of t-0='1' is"),
        (lambda consumer: consumer.commit({PLACE: (3, "", 1, 1)}), "a commit is an offset or"),
        (lambda consumer: consumer.commit({PLACE: 3}, timeout_ms=None), "timeout_ms=None is"),
        (lambda consumer: consumer.commit_async({PLACE: 3}, 7), "callback=7 is no function"),
    ],
)
def test_what_a_consumer_cannot_do_is_told_at_the_call(
    call: Callable[[Consumer], object], said: str
) -> None:
    with (
        Consumer(bootstrap_servers="127.0.0.1:1", group_id="g") as consumer,
        pytest.raises((TypeError, ValueError), match=said),
    ):
        call(consumer)


MADE: Any = NewTopic
FILTER: Any = AclFilter
TOPIC: Any = ConfigResource(ConfigResourceType.TOPIC, "t", {})
BINDING: Any = AclBinding("User:u", AclOperation.READ, ResourceType.TOPIC, "t")


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda admin: admin.create_topics("t"), r"a list of topics is needed; write \['t'\]"),
        (lambda admin: admin.create_topics([7]), "a topic's name must be str, not int"),
        (
            lambda admin: admin.create_topics([NewTopic("t", "3")]),  # type: ignore[arg-type]
            "num_partitions of 't'='3'",
        ),
        (lambda admin: admin.create_partitions({"t": "3"}), "total_count of 't'='3'"),
        (lambda admin: admin.delete_topics("t"), "a list of topic names is needed"),
        (lambda admin: admin.delete_topics([7]), "a topic's name must be str, not int"),
        (lambda admin: admin.delete_records({"t": 7}), "a partition is .* not 't'"),
        (lambda admin: admin.delete_records([PLACE]), "a dict is needed"),
        (lambda admin: admin.delete_records({PLACE: 1 << 70}), "offset of t-0=.* is not possible"),
        (lambda admin: admin.create_partitions({"t": 1 << 40}), "total_count of 't'=1099511627776"),
        (lambda admin: admin.create_partitions({"\ud800": 2}), "topic='.*' has no UTF-8"),
        (lambda admin: admin.delete_topics(["t"], timeout_ms=float("nan")), "timeout_ms=nan is no"),
        (lambda admin: admin.delete_consumer_groups([None]), "group_ids=None is not text"),
        (lambda admin: admin.delete_consumer_groups("g"), r"group_ids: a list .* write \['g'\]"),
        (lambda admin: admin.describe_consumer_groups([7]), "group_ids=7 is not text"),
        (lambda admin: admin.list_consumer_group_offsets(7), "group_id=7 is not text"),
        (lambda admin: admin.list_consumer_group_offsets("g", PLACE), "a list of partitions is"),
        (lambda admin: admin.alter_consumer_group_offsets(7, {PLACE: 1}), "group_id=7 is not text"),
        (lambda admin: admin.alter_consumer_group_offsets("g", {PLACE: "1"}), "offset of t-0='1'"),
        (lambda admin: admin.delete_consumer_group_offsets(b"g", [PLACE]), "group_id=b'g' is not"),
        (lambda admin: admin.delete_consumer_group_offsets("g", ["t"]), "a partition is .* not"),
        (lambda admin: admin.reset_consumer_group_offsets("g", "t"), "a list of topic names is"),
        (lambda admin: admin.reset_consumer_group_offsets("g", to="now"), "to='now' is not"),
        (
            lambda admin: admin.reset_consumer_group_offsets("g", to="shift:x"),
            "to='shift:x' is not",
        ),
        (lambda admin: admin.reset_consumer_group_offsets("g", to=1.5), "to=1.5 is not a whole"),
        (lambda admin: admin.reset_consumer_group_offsets("g", to=-1), "to=-1 is not possible"),
        (lambda admin: admin.reset_consumer_group_offsets("g", to="timestamp:-1"), "timestamp=-1"),
        (lambda admin: admin.consumer_group_lag(7), "group_id=7 is not text"),
        (lambda admin: admin.describe_transactions([7]), "transactional_ids=7 is not text"),
        (lambda admin: admin.describe_transactions("t"), r"transactional_ids: .* write \['t'\]"),
        (lambda admin: admin.describe_transactions([object()]), "transactional_ids=.* is not text"),
        (lambda admin: admin.force_terminate_transaction("\ud800"), "transactional_id=.* no UTF-8"),
        (lambda admin: admin.list_transactions("Ongoing"), r"states: .* write \['Ongoing'\]"),
        (lambda admin: admin.list_transactions([], ["1"]), "producer_ids='1' is not a whole"),
        (lambda admin: admin.find_hanging_transactions("t"), "a list of topic names is needed"),
        (lambda admin: admin.describe_producers(PLACE), "a list of partitions is needed"),
        (lambda admin: admin.abort_transaction(PLACE, "1"), "producer_id='1' is not a whole"),
        (lambda admin: admin.create_topics([MADE(7)]), "a topic's name must be str, not int"),
        (
            lambda admin: admin.create_topics([MADE("t", topic_configs={7: 1})]),
            "topic_configs of 't'=7 is not text",
        ),
        (
            lambda admin: admin.create_topics([MADE("t", replica_assignments={0: ["1"]})]),
            "assignments='1' is not a whole number",
        ),
        (lambda admin: admin.describe_configs(TOPIC), "a list of ConfigResource is needed; write"),
        (
            lambda admin: admin.describe_configs([("t",)]),
            "a list of ConfigResource is needed, not of",
        ),
        (lambda admin: admin.alter_configs([TOPIC._replace(name=b"t")]), "a resource's name=b't'"),
        (lambda admin: admin.alter_configs([TOPIC._replace(configs={7: 1})]), "configs of 't'=7"),
        (lambda admin: admin.describe_configs([TOPIC._replace(resource_type=9)]), "=9 has no conf"),
        (lambda admin: admin.create_acls(BINDING), "a list of AclBinding is needed; write"),
        (lambda admin: admin.create_acls([BINDING._replace(principal=7)]), "principal=7 is not"),
        (lambda admin: admin.create_acls([BINDING._replace(operation=99)]), "operation=99 is no A"),
        (lambda admin: admin.delete_acls([BINDING]), "a list of AclFilter is needed, not of Acl"),
        (lambda admin: admin.describe_acls(FILTER(host=7)), "host=7 is not text"),
        (lambda admin: admin.alter_client_quotas({"u": {}}), "whose quota is QuotaEntity"),
        (
            lambda admin: admin.alter_client_quotas({QuotaEntity("u"): {"rate": "1"}}),
            "rate='1' is not a whole number",
        ),
        (lambda admin: admin.describe_user_scram_credentials("bob"), r"users: .* write \['bob'\]"),
        (lambda admin: admin.alter_user_scram_credentials([7]), "a change of a user is .* not 7"),
        (lambda admin: admin.alter_partition_reassignments({PLACE: "12"}), "replicas of .*'12'"),
        (lambda admin: admin.alter_partition_reassignments({PLACE: ["1"]}), "replicas of .*='1'"),
        (lambda admin: admin.perform_leader_election("preferred", PLACE), "a list of partitions"),
        (lambda admin: admin.drain_broker("1"), "broker_id='1' is not a whole number"),
        (lambda admin: admin.unregister_broker(-1), "broker_id=-1 is not possible"),
        (lambda admin: admin.describe_log_dirs(None), "broker_id=None is not a whole number"),
        (lambda admin: admin.alter_replica_log_dirs(1.0, {}), "broker_id=1.0 is not a whole"),
    ],
)
def test_what_an_admin_client_cannot_ask_is_told_at_the_call(
    call: Callable[[AdminClient], object], said: str
) -> None:
    with AdminClient("127.0.0.1:1") as admin, pytest.raises((TypeError, ValueError), match=said):
        call(admin)


def test_an_admin_clients_patience_is_a_number() -> None:
    with pytest.raises(TypeError, match="request_timeout_ms='1' is not a whole number"):
        AdminClient("127.0.0.1:1", request_timeout_ms="1")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "call",
    [
        lambda znodes: znodes.set("/z", b"", version="1"),
        lambda znodes: znodes.delete("/z", version=1.0),
        lambda znodes: znodes.set_acls("/z", (), version="1"),
        lambda znodes: znodes.transaction().check("/z", "1"),
    ],
)
def test_a_version_is_a_whole_number(call: Callable[[CoordinationClient], object]) -> None:
    with pytest.raises(TypeError, match="a version is a whole number"):
        call(CoordinationClient("127.0.0.1:1"))
    with pytest.raises(TypeError, match="timeout='1' is not a number"):
        CoordinationClient("127.0.0.1:1", timeout="1")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda znodes: znodes.set("/z", b"", version=1 << 40), "version=1099511627776 is not"),
        (lambda znodes: znodes.create("/z", ttl=float("nan")), "ttl=nan is no time"),
        (lambda znodes: znodes.create("/z", ttl="1"), "ttl='1' is not a number"),
        (lambda znodes: znodes.create("/z", ttl=1e30), "ttl is in seconds, above 0 and at most"),
        (
            lambda znodes: znodes.create("/z", acl=[ACL(31, Id("world", "\ud800"))]),
            "id='.*' has no",
        ),
        (lambda znodes: znodes.add_auth("\ud800", "a:b"), "scheme='.*' has no UTF-8"),
    ],
)
def test_what_a_coordination_client_cannot_send_is_told_at_the_call(
    call: Callable[[CoordinationClient], object], said: str
) -> None:
    with pytest.raises((TypeError, ValueError, BadArgumentsError), match=said):
        call(CoordinationClient("127.0.0.1:1"))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"timeout": float("nan")}, "timeout=nan is no time"),
        ({"timeout": float("inf")}, "timeout is the session's"),
        ({"timeout": None}, "timeout=None is not a number"),
        ({"operation_timeout": "1"}, "operation_timeout='1' is not"),
        ({"client_name": 7}, "client_name=7 is not text"),
    ],
)
def test_a_coordination_clients_setting_that_cannot_be(settings: dict[str, Any], said: str) -> None:
    with pytest.raises((TypeError, ValueError), match=said):
        CoordinationClient("127.0.0.1:1", **settings)


def test_a_number_has_bounds() -> None:
    check_number("n", 5, Bounds(1, 5))
    with pytest.raises(ValueError, match="n=6 is not possible; give 1 to 5"):
        check_number("n", 6, Bounds(1, 5))
    check_settings("X", {"n": 1}, {"n"}, {"n": Bounds(1), "m": Bounds(2)})


def test_what_a_serializer_cannot_take_is_told_by_its_name(real_loop: Any) -> None:
    real_loop.topic("t")
    with Producer(real_loop.bootstrap, value_serializer=str.encode) as producer:
        with pytest.raises(SerializationError, match=r"value_serializer failed .* type int"):
            producer.send("t", 7)
        with pytest.raises(SerializationError, match="value_serializer"):
            producer.send_many("t", [(None, "x"), (None, 7)])
        assert producer.send("t", "x").result(WAIT_S).offset == 0
    with (
        Producer(real_loop.bootstrap, key_serializer=lambda key: key) as producer,
        pytest.raises(TypeError, match="key must be bytes or None, not int"),
    ):
        producer.send("t", b"x", key=7)


def test_a_record_above_the_limit_says_which_limit(real_loop: Any) -> None:
    real_loop.topic("t")
    with Producer(real_loop.bootstrap, max_request_size=1_000) as producer:
        future = producer.send("t", b"x" * 2_000)
        with pytest.raises(MessageSizeTooLargeError, match=r"above max_request_size \(1000\)"):
            future.result(WAIT_S)


def test_a_closed_client_says_which(real_loop: Any) -> None:
    producer = Producer(real_loop.bootstrap)
    producer.close()
    with pytest.raises(ClientClosedError, match="this producer is closed; make a new one"):
        producer.send("t", b"x")
    with pytest.raises(ClientClosedError, match="this producer is closed"):
        producer.metrics()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_child_of_a_fork_cannot_use_its_parents_producer(real_loop: Any) -> None:
    real_loop.topic("t")
    producer = Producer(real_loop.bootstrap)
    reader, writer = os.pipe()
    producer._inbox._lock.acquire()  # as if another thread were just handing a record over
    child = os.fork()
    if child == 0:
        said = []
        for call in (lambda: producer.send("t", b"x"), producer.flush, producer.metrics):
            try:
                call()
            except ClientClosedError as error:
                said.append(str(error))
        producer.close(0)
        os.write(writer, "\n".join(said).encode())
        os._exit(0)
    producer._inbox._lock.release()
    os.waitpid(child, 0)
    lines = os.read(reader, 1_000).decode().splitlines()
    os.close(reader)
    os.close(writer)
    assert len(lines) == 3
    assert all("fork; make a new one" in line or "after a fork" in line for line in lines)
    assert producer.send("t", b"x").result(WAIT_S).offset == 0
    producer.close()
