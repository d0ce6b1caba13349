"""What some broker cannot read yet is not written."""

from __future__ import annotations

from typing import get_args

import msgspec

from nodes.core.controller.elections import Elections
from nodes.core.controller.events import ControllerSettings, LiveBrokers
from nodes.core.controller.formats import NEEDED
from tests.unit.controller.cluster import broker, three
from tests.unit.controller.test_users import credential
from transport.wire.errors import ErrorCode
from transport.wire.ids import BrokerEpoch
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
from transport.wire.messages.metadata import (
    FORMATS,
    FORMATS_ACLS,
    FORMATS_USERS,
    AclRecord,
    BrokerRecord,
    MetadataRecord,
)
from transport.wire.messages.users import AlterUserScramCredentialsRequest, UserChange

ACL = AclBinding(
    ResourceType.TOPIC,
    PatternType.LITERAL,
    "t",
    AclEntry("alice", "*", AclOperation.READ, AclPermission.ALLOW),
)


KINDS = {
    0: ["broker", "config", "partition", "producer_ids", "remove_broker", "remove_topic", "topic"],
    FORMATS_ACLS: ["acl"],
    FORMATS_USERS: ["user"],
}


def test_every_kind_of_record_is_numbered() -> None:
    """A new one needs a number of its own, and the requests it comes of a row in NEEDED."""
    kinds = {kind.__struct_config__.tag for kind in get_args(MetadataRecord)}
    assert kinds == {tag for tags in KINDS.values() for tag in tags}
    assert max(KINDS) == max(NEEDED.values()) == FORMATS


def test_what_one_broker_cannot_read_waits_for_its_upgrade() -> None:
    cluster = three()
    old = msgspec.structs.replace(broker(2, epoch=200), formats=0)
    cluster.live(broker(1), old, broker(3))
    before = cluster.image.position.version
    answer = cluster.ask(CreateAclsRequest((ACL,), 1_000))
    assert isinstance(answer, Refusal)
    assert answer.error == ErrorCode.UNSUPPORTED_VERSION
    assert "broker-2" in answer.text
    assert cluster.image.position.version == before, "nothing was written"
    cluster.create("t")
    cluster.live(broker(1), broker(2, epoch=300), broker(3))
    (outcome,) = cluster.ask(CreateAclsRequest((ACL,), 1_000)).outcomes
    assert outcome.error == ErrorCode.NONE


def test_users_wait_for_a_broker_that_reads_acls_alone() -> None:
    cluster = three()
    old = msgspec.structs.replace(broker(2, epoch=200), formats=FORMATS_ACLS)
    cluster.live(broker(1), old, broker(3))
    assert cluster.ask(CreateAclsRequest((ACL,), 1_000)).error == ErrorCode.NONE
    change = UserChange("alice", (credential(),))
    answer = cluster.ask(AlterUserScramCredentialsRequest((change,), 1_000))
    assert isinstance(answer, Refusal)
    assert answer.error == ErrorCode.UNSUPPORTED_VERSION
    cluster.live(broker(1), broker(2, epoch=300), broker(3))
    assert cluster.ask(AlterUserScramCredentialsRequest((change,), 1_000)).error == ErrorCode.NONE
    cluster.live(broker(1), msgspec.structs.replace(old, epoch=BrokerEpoch(400)), broker(3))
    assert [one.id for one in cluster.image.live_brokers()] == [1, 3]


def test_a_broker_that_is_away_counts_too() -> None:
    """It comes back as it was, and is told everything."""
    cluster = three()
    cluster.live(broker(1), msgspec.structs.replace(broker(2, epoch=200), formats=0), broker(3))
    cluster.live(broker(1), broker(3))
    assert isinstance(cluster.ask(CreateAclsRequest((ACL,), 1_000)), Refusal)


def test_nor_is_it_where_that_came_while_others_were_dealt_with() -> None:
    cluster = three()
    back = msgspec.structs.replace(broker(2, epoch=200), formats=0)
    event = LiveBrokers((broker(1), back, broker(3)))
    decision = Elections(ControllerSettings()).decide_liveness(cluster.image, event)
    cluster.image.apply_record(next(decision))  # its predecessor is gone
    cluster.image.apply_record(
        AclRecord(ACL.resource_type, ACL.pattern_type, ACL.name, (ACL.entry,))
    )
    assert [record for record in decision if isinstance(record, BrokerRecord)] == []


def test_who_does_not_read_what_is_there_is_not_taken_in() -> None:
    cluster = three()
    cluster.ask(CreateAclsRequest((ACL,), 1_000))
    cluster.live(broker(1), msgspec.structs.replace(broker(2, epoch=200), formats=0), broker(3))
    assert [one.id for one in cluster.image.live_brokers()] == [1, 3]
    cluster.live(broker(1), broker(2, epoch=300), broker(3))
    assert [one.id for one in cluster.image.live_brokers()] == [1, 2, 3]
