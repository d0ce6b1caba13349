"""A broker that could not read what the cluster holds is refused when it wants to register."""

from __future__ import annotations

import pytest

from nodes.broker.cluster import znodes
from nodes.config import EXIT_CONFIG
from tests.unit.broker.partition_fleet import PartitionFleet
from transport.wire.errors import ErrorCode
from transport.wire.ids import CLUSTER_PRINCIPAL, MetadataVersion, NodeId
from transport.wire.messages import Refusal
from transport.wire.messages.acls import (
    AclBinding,
    AclEntry,
    AclOperation,
    AclPermission,
    CreateAclsRequest,
    PatternType,
    ResourceType,
)
from transport.wire.messages.metadata import FORMATS, FetchImageRequest, FetchImageResponse

ENTRY = AclEntry("alice", "*", AclOperation.READ, AclPermission.ALLOW)
ACL = AclBinding(ResourceType.TOPIC, PatternType.LITERAL, "t", ENTRY)


@pytest.fixture
def fleet() -> PartitionFleet:
    """Brokers with metadata that those of the beginning do not read."""
    fleet = PartitionFleet(security={"authorizer": True, "super_users": ("root",)})
    fleet.network.principals["client"] = "root"
    fleet.settle()
    answer = fleet.ask(fleet.controller(), CreateAclsRequest((ACL,), 1_000))
    assert [outcome.error for outcome in answer.outcomes] == [ErrorCode.NONE]
    fleet.settle()
    return fleet


def come_back_older(fleet: PartitionFleet) -> int:
    """Roll a broker back that is not the controller."""
    number = next(number for number in fleet.alive() if number != fleet.controller())
    fleet.kill(number)
    fleet.settle()
    fleet.start(number)
    fleet.world.after(0, lambda: setattr(fleet.server(number).context, "formats", 0))
    return number


def test_it_ends_before_it_is_registered_and_says_why(fleet: PartitionFleet) -> None:
    number = come_back_older(fleet)
    fleet.wait(lambda: not fleet.processes[number].alive)
    ended = fleet.processes[number]
    assert ended.status == EXIT_CONFIG
    assert f"broker-{number} reads metadata up to format 0" in ended.fault
    assert "install the version that the others run" in ended.fault
    assert f"/brokers/ids/{number}" not in fleet.tree.znodes
    fleet.start(number)
    fleet.settle()


def test_one_that_has_registered_all_the_same_is_not_taken_in_and_told_nothing(
    fleet: PartitionFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It did so just before, or knows nothing of formats."""
    monkeypatch.setattr(znodes, "decode_formats", lambda _data: 0)
    number = come_back_older(fleet)
    fleet.wait(lambda: not fleet.processes[number].alive)
    assert fleet.processes[number].status == EXIT_CONFIG
    image = fleet.server(fleet.controller()).context.image
    assert not image.is_alive(NodeId(number))
    none = MetadataVersion(0)
    fleet.network.principals["client"] = CLUSTER_PRINCIPAL
    refused = fleet.ask(fleet.controller(), FetchImageRequest(NodeId(number), none), door="peers")
    assert isinstance(refused, Refusal)
    assert refused.error == ErrorCode.UNSUPPORTED_VERSION
    assert f"broker-{number}" in refused.text
    later = FetchImageRequest(NodeId(number), none, formats=FORMATS)
    assert isinstance(fleet.ask(fleet.controller(), later, door="peers"), FetchImageResponse)
