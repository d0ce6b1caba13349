"""Users at a broker: changed by any, known to all, and what is kept of their passwords to nobody else."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from nodes.broker.kafka import sasl
from tests.unit.broker.partition_fleet import PartitionFleet
from tests.unit.broker.stand_in_exchange import answered
from tests.unit.controller.test_users import credential
from transport.gateway.kafka.messages import sasl as foreign
from transport.wire.errors import ErrorCode
from transport.wire.ids import NO_NODE, MetadataVersion
from transport.wire.messages.metadata import FetchImageRequest, MetadataDelta, UserRecord
from transport.wire.messages.users import (
    AlterUserScramCredentialsRequest,
    CredentialInfo,
    DescribedUser,
    DescribeUserScramCredentialsRequest,
    ScramMechanism,
    UserChange,
)
from transport.wire.scram import is_password, salted_password

KEPT = credential(key=b"K", salt=b"SALT")
ADD = AlterUserScramCredentialsRequest((UserChange("alice", (KEPT,)),), 2_000)


def secrets_in(message: Any) -> bool:
    data = msgspec.msgpack.encode(message)
    return b"KKKK" in data or b"SALT" in data


def test_what_is_kept_of_a_password_is_told_to_brokers_alone(monkeypatch: Any) -> None:
    fleet = PartitionFleet(3, security={"sasl": True})
    fleet.settle()
    heard: list[Any] = []
    for number in fleet.alive():
        wire = fleet.server(number).context.ports.wire
        publish = wire.publish

        def hear(topic: bytes, envelope: Any, publish: Any = publish) -> None:
            heard.append(envelope.body)
            publish(topic, envelope)

        monkeypatch.setattr(wire, "publish", hear)
    assert [one.error for one in fleet.ask(1, ADD).outcomes] == [ErrorCode.NONE]
    fleet.settle()
    for number in fleet.alive():
        assert fleet.server(number).context.image.users == {"alice": (KEPT,)}
        told = fleet.ask(number, DescribeUserScramCredentialsRequest()).users
        assert told == (DescribedUser("alice", (CredentialInfo(1, 4_096),)),)
        for after in (0, 1):
            question = FetchImageRequest(NO_NODE, MetadataVersion(after), own=True)
            image = fleet.ask(number, question, door="peers")
            records = (*image.records, *(one for delta in image.deltas for one in delta.records))
            assert "alice" in [one.name for one in records if isinstance(one, UserRecord)]
            assert not secrets_in(image)
    assert any(isinstance(body, MetadataDelta) for body in heard)
    assert not any(map(secrets_in, heard))


def test_nobody_sets_a_password_where_none_is_asked_for() -> None:
    fleet = PartitionFleet(1)
    fleet.settle()
    assert fleet.ask(1, ADD).error == ErrorCode.SECURITY_DISABLED
    assert fleet.server(1).context.image.users == {}


def upsertion(name: str, mechanism: int = 1, password: str = "pencil") -> Any:
    known = ScramMechanism(mechanism) if mechanism in (1, 2) else ScramMechanism.SCRAM_SHA_256
    salted = salted_password(known, password.encode(), b"salt", 4_096)
    return foreign.ScramUpsertion(
        name=name, mechanism=mechanism, iterations=4_096, salt=b"salt", salted_password=salted
    )


def alter(fleet: PartitionFleet, deletions: Any = (), upsertions: Any = ()) -> dict[str, int]:
    request = foreign.AlterUserScramCredentialsRequest(
        deletions=tuple(foreign.ScramDeletion(name=n, mechanism=m) for n, m in deletions),
        upsertions=tuple(upsertions),
    )
    told = answered(fleet, sasl.alter_user_scram_credentials, request)
    fleet.settle()
    return {one.user: one.error_code for one in told.results}


def describe(fleet: PartitionFleet, *names: str) -> dict[str, Any]:
    users = tuple(foreign.ScramUser(name=name) for name in names) or None
    request = foreign.DescribeUserScramCredentialsRequest(users=users)
    told = answered(fleet, sasl.describe_user_scram_credentials, request)
    return {
        one.user: one.error_code or [(i.mechanism, i.iterations) for i in one.credential_infos]
        for one in told.results
    }


def test_a_request_about_very_many_users_costs_no_more_for_each_of_them() -> None:
    fleet = PartitionFleet(1, security={"sasl": True})
    fleet.settle()
    names = [f"user-{number}" for number in range(20_000)]
    began = time.process_time()
    assert set(describe(fleet, *names).values()) == {ErrorCode.RESOURCE_NOT_FOUND}
    told = alter(fleet, [(name, 1) for name in names])
    assert (len(told), set(told.values())) == (20_000, {ErrorCode.INVALID_REQUEST})
    told = alter(fleet, [], [upsertion("alice")] * 2_001)
    assert told == {"alice": ErrorCode.INVALID_REQUEST}
    assert fleet.server(1).context.image.users == {}
    assert time.process_time() - began < 5, "every name was looked for among all of them"


def test_kafkas_administrators_set_and_remove_passwords() -> None:
    fleet = PartitionFleet(1, security={"sasl": True})
    fleet.settle()
    wrong = upsertion("carol")
    wrong.salted_password = b"short"
    told = alter(
        fleet,
        [("dan", 1), ("eve", 1)],
        [upsertion("alice"), upsertion("alice", 2), upsertion("bob", 3), wrong, upsertion("eve")],
    )
    assert told == {
        "dan": ErrorCode.RESOURCE_NOT_FOUND,
        "eve": ErrorCode.DUPLICATE_RESOURCE,
        "alice": ErrorCode.NONE,
        "bob": ErrorCode.UNSUPPORTED_SASL_MECHANISM,
        "carol": ErrorCode.UNACCEPTABLE_CREDENTIAL,
    }
    users = fleet.server(1).context.image.users
    assert [is_password(one, b"pencil") for one in users["alice"]] == [True, True]
    assert describe(fleet) == {"alice": [(1, 4_096), (2, 4_096)]}
    assert alter(fleet, [("alice", 1)], [upsertion("bob")]) == {"alice": 0, "bob": 0}
    assert describe(fleet, "bob", "zoe") == {
        "bob": [(1, 4_096)],
        "zoe": ErrorCode.RESOURCE_NOT_FOUND,
    }
    assert describe(fleet, "bob", "bob") == {"bob": ErrorCode.DUPLICATE_RESOURCE}
