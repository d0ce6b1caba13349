"""Users at a broker: changed by any, known to all, and what is kept of their passwords to nobody else."""

from __future__ import annotations

from typing import Any

import msgspec

from tests.unit.broker.partition_fleet import PartitionFleet
from tests.unit.controller.test_users import credential
from transport.wire.errors import ErrorCode
from transport.wire.ids import NO_NODE, MetadataVersion
from transport.wire.messages.metadata import FetchImageRequest, MetadataDelta, UserRecord
from transport.wire.messages.users import (
    AlterUserScramCredentialsRequest,
    CredentialInfo,
    DescribedUser,
    DescribeUserScramCredentialsRequest,
    UserChange,
)

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
