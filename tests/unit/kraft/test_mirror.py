"""The image in znodes: what is written is what is read, whatever stood there before."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from nodes.broker.cluster import metadata_store, znodes
from nodes.broker.cluster.znodes import UnreadableZnode
from nodes.core.controller.image import ClusterImage
from nodes.core.znode.core import ZnodeCore
from nodes.kraft import mirror
from tests.unit.controller.test_users import credential
from tests.unit.znode.machine import ONE, Machine
from transport.wire.errors import ErrorCode
from transport.wire.ids import (
    BrokerEpoch,
    ControllerEpoch,
    Incarnation,
    LeaderEpoch,
    MetadataVersion,
    NodeId,
    NodeName,
    PartitionEpoch,
    ProducerId,
    TopicId,
)
from transport.wire.messages.acls import (
    AclEntry,
    AclOperation,
    AclPermission,
    PatternType,
    ResourceType,
)
from transport.wire.messages.coordination import (
    EPHEMERAL,
    READ,
    Acl,
    Check,
    Create,
    Delete,
    Multi,
    SetAcl,
    SetData,
)
from transport.wire.messages.metadata import (
    AclRecord,
    BrokerRecord,
    ConfigRecord,
    MetadataDelta,
    MetadataRecord,
    PartitionRecord,
    ProducerIdsRecord,
    RemoveBrokerRecord,
    RemoveTopicRecord,
    TopicRecord,
    UserRecord,
)

WALL_MS = 1_700_000_000_000
ENTRY = AclEntry("alice", "*", AclOperation.READ, AclPermission.ALLOW)
ONE_TOPIC, OTHER = TopicId(b"1" * 16), TopicId(b"2" * 16)


def broker(node: int) -> BrokerRecord:
    name = NodeName(f"broker-{node}")
    return BrokerRecord(
        NodeId(node), name, BrokerEpoch(9), Incarnation(1), "p", "c", "e", "rack", True
    )


def partition(
    topic_id: TopicId, number: int, nodes: tuple[NodeId, ...] = (NodeId(1),)
) -> PartitionRecord:
    return PartitionRecord(
        topic_id, number, nodes, nodes, NodeId(1), LeaderEpoch(0), PartitionEpoch(0)
    )


def topic(name: str, topic_id: TopicId, partitions: int) -> list[MetadataRecord]:
    return [
        TopicRecord(name, topic_id, {"retention.ms": "5"}, partitions, 1),
        *(partition(topic_id, number) for number in range(partitions)),
    ]


class Mirrored:
    """An image, and a tree that is written with it."""

    def __init__(self) -> None:
        self.machine = Machine()
        self.core: ZnodeCore = self.machine.core
        self.image = ClusterImage()
        for path, data in znodes.roots("zookeeper"):
            self.machine.write(Create(path, data))
        self.machine.write(
            Create(znodes.CONTROLLER, znodes.encode_claim(NodeId(3), ControllerEpoch(4)), EPHEMERAL)
        )

    def commit(self, *records: MetadataRecord, epoch: int = 5) -> None:
        version = MetadataVersion(self.image.position.version + 1)
        delta = MetadataDelta(ControllerEpoch(epoch), version, records)
        writes = mirror.mirroring(self.core.tree, self.image, delta)
        self.image.apply(delta)
        self.own(writes)

    def own(self, writes: mirror.Writes) -> None:
        before = self.core.zxid
        applied = self.core.apply_own(writes, WALL_MS)
        assert applied.results == [], "nothing was refused"
        assert self.core.zxid == before + 1
        self.core.check()

    def is_exact(self) -> bool:
        held = mirror.image_in(self.core.tree)
        return held.position == self.image.position and held.found().digest == mirror.digest(
            tuple(self.image.records())
        )


def test_every_kind_of_change_is_read_as_it_was_written() -> None:
    mirrored = Mirrored()
    steps: Sequence[list[MetadataRecord]] = (
        [broker(1), broker(2), ProducerIdsRecord(ProducerId(1_000))],
        topic("a", ONE_TOPIC, 3),
        [ConfigRecord("broker", "2", {"x": "1"}), ConfigRecord("broker", "", {"y": "2"})],
        topic("b", OTHER, 1),
        [ConfigRecord("broker", "", {})],
        [AclRecord(ResourceType.TOPIC, PatternType.LITERAL, "a", (ENTRY, ENTRY))],
        [AclRecord(ResourceType.GROUP, PatternType.PREFIXED, "*", (ENTRY,))],
        [AclRecord(ResourceType.TOPIC, PatternType.LITERAL, "a")],
        [UserRecord("alice", (credential(),)), UserRecord("b/o:b", (credential(),))],
        [UserRecord("alice")],
        [RemoveBrokerRecord(NodeId(2))],
        [RemoveTopicRecord(ONE_TOPIC)],
        topic("a", TopicId(b"3" * 16), 1),
    )
    for records in steps:
        mirrored.commit(*records)
        assert mirrored.is_exact(), records
    kinds = {type(record) for records in steps for record in records}
    assert kinds == set(metadata_store._WRITES), "no kind is left out"
    tree = mirrored.core.tree
    assert tree.children(znodes.CONFIGS) == ("user:b%2Fo%3Ab",), "a broker's configs go with it"
    assert tree.children(znodes.topic_path("a")) == ("0",)
    znode = tree.get(znodes.topic_path("a"))
    assert znode is not None
    assert znode.mtime == WALL_MS


def test_what_people_did_to_the_znodes_is_written_over() -> None:
    mirrored = Mirrored()
    mirrored.commit(broker(1), *topic("a", ONE_TOPIC, 1))
    path = znodes.partition_path("a", 0)
    mirrored.machine.write(Delete(path))
    mirrored.machine.write(SetAcl(znodes.topic_path("a"), (Acl(READ, "world", "anyone"),)))
    assert not mirrored.is_exact()
    old = mirrored.image.partitions[ONE_TOPIC][0]
    fresh = PartitionRecord(
        ONE_TOPIC, 0, old.replicas, old.isr, NodeId(-1), LeaderEpoch(1), PartitionEpoch(1)
    )
    mirrored.commit(fresh, TopicRecord("a", ONE_TOPIC, {}, 1, 1))
    assert mirrored.is_exact()


def test_the_controller_of_the_znodes_is_fenced_and_its_leftovers_go() -> None:
    mirrored = Mirrored()
    mirrored.commit(*topic("gone", ONE_TOPIC, 2), epoch=4)
    mirrored.machine.write(SetData(znodes.topic_path("gone"), znodes.REMOVED_TOPIC))
    tree = mirrored.core.tree
    version = tree.znodes[znodes.CONTROLLER_EPOCH].version
    mirrored.own(mirror.taking_over(tree, ControllerEpoch(7)))
    late = Multi((Check(znodes.CONTROLLER_EPOCH, version), SetData(znodes.METADATA_VERSION, b"")))
    assert mirrored.machine.write(late).error == ErrorCode.BAD_VERSION
    assert tree.children(znodes.TOPICS) == ()
    claim = tree.znodes[znodes.CONTROLLER]
    assert (znodes.decode_claim(claim.data).broker, claim.owner) == (-1, 0)
    assert znodes.is_of_quorum(tree.znodes[znodes.CONTROLLER_EPOCH].data)
    mirrored.core.apply_own((), WALL_MS)
    mirrored.own(mirror.giving_back(tree, ControllerEpoch(8)))
    assert tree.get(znodes.CONTROLLER) is None
    assert mirror.image_in(tree).controller_epoch == 8
    assert tree.znodes[znodes.CONTROLLER_EPOCH].data == b"8", "brokers race for the next"
    assert mirrored.core.sessions.get(ONE) is not None


@pytest.mark.parametrize(
    "spoil",
    [
        Delete(znodes.PRODUCER_IDS),
        SetData(znodes.METADATA_VERSION, b"{}"),
        SetData(znodes.topic_path("a"), b"[]"),
        SetData(znodes.topic_path("a"), znodes.encode_record(TopicRecord("a", OTHER))),
        Create(znodes.partition_path("a", 7), b"7"),
        Create(znodes.topic_path("copy"), znodes.encode_record(TopicRecord("a", ONE_TOPIC))),
        Create(znodes.topic_path("copy"), znodes.encode_record(TopicRecord("copy", ONE_TOPIC))),
        Create(znodes.partition_path("a", 7), znodes.encode_record(partition(ONE_TOPIC, 0))),
        SetData(znodes.partition_path("a", 0), znodes.encode_record(partition(ONE_TOPIC, 0, ()))),
        Create(znodes.registered_path(NodeId(7)), znodes.encode_record(broker(1))),
    ],
    ids=[
        "missing",
        "no position",
        "no topic",
        "another topic",
        "no partition",
        "a copied topic",
        "one id twice",
        "a copied partition",
        "nowhere",
        "another broker",
    ],
)
def test_what_is_no_image_is_not_read_as_one(spoil: Delete | SetData | Create) -> None:
    mirrored = Mirrored()
    mirrored.commit(*topic("a", ONE_TOPIC, 1))
    assert mirrored.machine.write(spoil).error == 0
    with pytest.raises(UnreadableZnode):
        mirror.image_in(mirrored.core.tree)


def test_the_newest_epoch_counts_wherever_it_stands() -> None:
    """The log's epochs have to be above that of the image, whatever people have written there."""
    mirrored = Mirrored()
    mirrored.commit(*topic("a", ONE_TOPIC, 1), epoch=5)
    assert mirror.image_in(mirrored.core.tree).found().controller_epoch == 5
    position = znodes.encode_position(ControllerEpoch(70), MetadataVersion(1))
    mirrored.machine.write(SetData(znodes.METADATA_VERSION, position))
    assert mirror.image_in(mirrored.core.tree).found().controller_epoch == 70
