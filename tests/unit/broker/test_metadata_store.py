"""The znode store: what is written, what is fenced, and that loading gives back what was there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from nodes.broker.cluster import znodes
from nodes.broker.cluster.metadata_store import Loaded, Reign, ZnodeMetadataStore
from nodes.core.controller.image import ClusterImage
from tests.simulation.world import World
from tests.unit.broker.stand_ins import Tree, TreeSession
from tests.unit.controller.test_users import credential
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.ids import (
    BrokerEpoch,
    ControllerEpoch,
    Incarnation,
    LeaderEpoch,
    MetadataPosition,
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
    Create,
    GetChildren,
    Multi,
    Operation,
    Result,
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
from transport.wire.messages.users import ScramMechanism

NOW = Now(0, 0)
TOPIC = TopicId(bytes(range(16)))
OTHER = TopicId(b"o" * 16)


def knowing_nothing() -> ClusterImage:
    """Return an image for whose sake everything is read."""
    image = ClusterImage()
    image.position = MetadataPosition(ControllerEpoch(-1), MetadataVersion(0))
    return image


class Process:
    """Runs what sessions call back, at once."""

    alive = True

    def do(self, action: Any) -> None:
        action(NOW)


class Shelf:
    """A tree with its roots, and stores on it."""

    def __init__(self) -> None:
        self.world = World(1)
        self.tree = Tree(self.world)
        self.session = self.open()
        for path, data in znodes.roots("zookeeper"):
            self.tree.perform(self.session, Create(path, data))

    def open(self) -> TreeSession:
        session = TreeSession(self.tree, timeout_ms=1, owner=None, on_state=lambda *_: None)
        session.process = Process()
        self.tree.open(session)
        return session

    def reign(self, epoch: int, on_unreadable: Callable[[str], None] = print) -> ZnodeMetadataStore:
        """Win an election: a new epoch, on a new session."""
        result = self.tree.perform(self.session, SetData(znodes.CONTROLLER_EPOCH, b"%d" % epoch))
        assert result.error == ErrorCode.NONE
        version = self.tree.znodes[znodes.CONTROLLER_EPOCH].version
        reign = Reign(ControllerEpoch(epoch), version)
        return ZnodeMetadataStore(self.open(), reign, on_unreadable)

    def load(self, store: ZnodeMetadataStore, have: ClusterImage | None = None) -> Loaded | None:
        have = have or ClusterImage()
        answers: list[Loaded | None] = []
        store.load(have, lambda loaded, _now: answers.append(loaded), NOW)
        self.world.run_for(1_000)
        (answer,) = answers
        return answer

    def image(self) -> ClusterImage:
        """Load what is there into a new image, as a successor would."""
        found = self.load(self.reign(99), knowing_nothing())
        assert found is not None
        assert found.records is not None
        image = ClusterImage()
        image.load(found.position, found.records)
        image.check()
        return image


class Author:
    """Commits deltas through one store."""

    def __init__(self, shelf: Shelf, epoch: int = 1) -> None:
        self.shelf = shelf
        self.epoch = ControllerEpoch(epoch)
        self.store = shelf.reign(epoch)
        self.image = ClusterImage()
        loaded = shelf.load(self.store)
        assert loaded is not None
        if loaded.records is not None:
            self.image.load(loaded.position, loaded.records)

    def delta(self, *records: MetadataRecord) -> MetadataDelta:
        version = MetadataVersion(self.image.position.version + 1)
        return MetadataDelta(self.epoch, version, records)

    def commit(self, *records: MetadataRecord) -> bool:
        done: list[bool] = []
        delta = self.delta(*records)
        self.store.commit(self.image, delta, lambda ok, _now: done.append(ok), NOW)
        self.shelf.world.run_for(10)
        if done == [True]:
            self.image.apply(delta)
        (answer,) = done
        return answer


def broker(node: int, epoch: int = 5, *, alive: bool = True) -> BrokerRecord:
    name = NodeName(f"broker-{node}")
    return BrokerRecord(
        NodeId(node), name, BrokerEpoch(epoch), Incarnation(2), "p", "c", "e", "r", alive
    )


def partition(number: int, topic_id: TopicId = TOPIC, epoch: int = 0) -> PartitionRecord:
    nodes = (NodeId(1), NodeId(2))
    return PartitionRecord(
        topic_id, number, nodes, nodes, nodes[0], LeaderEpoch(epoch), PartitionEpoch(epoch)
    )


def topic(name: str = "t", topic_id: TopicId = TOPIC, partitions: int = 2) -> TopicRecord:
    return TopicRecord(name, topic_id, {"retention.ms": "-1"}, partitions, 2)


def same(one: ClusterImage, other: ClusterImage) -> bool:
    return (
        one.position == other.position
        and one.brokers == other.brokers
        and one.topics == other.topics
        and one.partitions == other.partitions
        and one.next_producer_id == other.next_producer_id
        and one.configs == other.configs
        and one.acls == other.acls
        and one.users == other.users
    )


def test_what_was_committed_is_what_a_successor_loads() -> None:
    shelf = Shelf()
    author = Author(shelf)
    assert author.commit(broker(1), broker(2))
    assert author.commit(topic(), partition(0), partition(1))
    assert author.commit(broker(1, alive=False), partition(0, epoch=1))
    assert author.commit(ProducerIdsRecord(ProducerId(1_000)))
    assert same(shelf.image(), author.image)


def test_configs_come_and_go_whatever_their_names() -> None:
    shelf = Shelf()
    author = Author(shelf)
    names = ("", "1", "a/b", "<default>", "ü%2F")
    assert author.commit(*(ConfigRecord("client", name, {"a": name}) for name in names))
    assert len(author.image.configs) == len(names)
    assert author.commit(ConfigRecord("client", "a/b"), ConfigRecord("client", "never"))
    assert author.commit(ConfigRecord("client", "never", {"a": "b"}))
    assert same(shelf.image(), author.image)
    assert ("client", "a/b") not in author.image.configs


def test_users_come_and_go_whatever_their_names() -> None:
    shelf = Shelf()
    author = Author(shelf)
    kept = (credential(), credential(ScramMechanism.SCRAM_SHA_512))
    assert author.commit(*(UserRecord(name, kept) for name in ("a/b", "a:b", "<default>", "ü%2F")))
    assert author.commit(ConfigRecord("client", "a/b", {"a": "b"}))
    assert author.commit(UserRecord("a/b"), UserRecord("a:b", kept[:1]), UserRecord("never"))
    assert same(shelf.image(), author.image)
    assert sorted(author.image.users) == ["<default>", "a:b", "ü%2F"]
    assert author.image.users["a:b"] == kept[:1]


def test_acls_come_and_go_whatever_their_names() -> None:
    shelf = Shelf()
    author = Author(shelf)
    entry = AclEntry("alice", "*", AclOperation.READ, AclPermission.ALLOW)
    acls = [
        AclRecord(ResourceType.TOPIC, pattern_type, name, (entry, entry))
        for pattern_type in (PatternType.LITERAL, PatternType.PREFIXED)
        for name in ("*", "a/b", "a:b", "ü%2F")
    ]
    assert author.commit(*acls)
    assert len(author.image.acls) == len(acls)
    none = AclRecord(ResourceType.TOPIC, PatternType.LITERAL, "a/b")
    assert author.commit(none, AclRecord(ResourceType.GROUP, PatternType.LITERAL, "never"))
    assert author.commit(AclRecord(ResourceType.TOPIC, PatternType.LITERAL, "*", (entry,)))
    assert same(shelf.image(), author.image)
    assert len(author.image.acls) == len(acls) - 1


def test_the_configs_of_a_broker_go_with_it() -> None:
    shelf = Shelf()
    author = Author(shelf)
    assert author.commit(broker(1), broker(2), ConfigRecord("broker", "2", {"a": "b"}))
    assert author.commit(RemoveBrokerRecord(NodeId(2)))
    assert author.image.configs == {}
    assert same(shelf.image(), author.image)


@pytest.mark.parametrize("before", [{}, {"c": "d"}])
@pytest.mark.parametrize("last", [{}, {"a": "b"}])
def test_so_do_those_that_were_set_in_the_same_commit(
    before: dict[str, str], last: dict[str, str]
) -> None:
    shelf = Shelf()
    author = Author(shelf)
    assert author.commit(broker(1), broker(2), ConfigRecord("broker", "2", before))
    assert author.commit(ConfigRecord("broker", "2", last), RemoveBrokerRecord(NodeId(2)))
    assert author.image.configs == {}
    assert author.commit(broker(2, 6), ConfigRecord("broker", "2", {"e": "f"}))
    assert same(shelf.image(), author.image)


def test_what_the_caller_has_is_not_read_again() -> None:
    shelf = Shelf()
    author = Author(shelf)
    author.commit(broker(1))
    found = shelf.load(shelf.reign(2), author.image)
    assert found == Loaded(author.image.position, None)


def test_many_topics_and_partitions_are_read_in_batches() -> None:
    shelf = Shelf()
    author = Author(shelf)
    for number in range(30):
        topic_id = TopicId(number.to_bytes(16, "big"))
        name = f"topic-{number}"
        records = [partition(p, topic_id) for p in range(100)]
        assert author.commit(topic(name, topic_id, 100), *records)
    assert same(shelf.image(), author.image)


def test_a_predecessor_changes_nothing_after_an_election() -> None:
    shelf = Shelf()
    old = Author(shelf, 1)
    assert old.commit(broker(1))
    new = Author(shelf, 2)
    before = {path: znode.data for path, znode in shelf.tree.znodes.items()}
    assert not old.commit(broker(2))
    assert {path: znode.data for path, znode in shelf.tree.znodes.items()} == before
    assert new.commit(broker(3))


def test_a_store_that_missed_a_version_is_refused() -> None:
    shelf = Shelf()
    author = Author(shelf)
    shelf.tree.znodes[znodes.METADATA_VERSION].version += 1
    assert not author.commit(broker(1))


def test_a_commit_on_a_lost_session_is_not_taken_for_done() -> None:
    shelf = Shelf()
    author = Author(shelf)
    shelf.tree.expire(shelf.tree.sessions[len(shelf.tree.sessions)])
    assert not author.commit(broker(1))


def test_one_commit_is_one_multi() -> None:
    shelf = Shelf()
    author = Author(shelf)
    author.commit(topic(), partition(0), partition(1), broker(1))
    (done,) = shelf.tree.multis
    assert isinstance(done[1], Multi)
    assert len(done[1].operations) == 2 + 4


@pytest.mark.parametrize("partitions", [1, 2_500])
def test_a_removed_topic_leaves_nothing_and_its_name_is_free(partitions: int) -> None:
    shelf = Shelf()
    author = Author(shelf)
    author.commit(topic(partitions=partitions), *(partition(n) for n in range(partitions)))
    removal = author.delta(RemoveTopicRecord(TOPIC))
    done: list[bool] = []

    def make_again(ok: bool, now: Now) -> None:
        done.append(ok)
        author.image.apply(removal)
        again = author.delta(topic("t", OTHER, 1), partition(0, OTHER))
        author.store.commit(author.image, again, lambda ok, _now: done.append(ok), now)

    author.store.commit(author.image, removal, make_again, NOW)
    shelf.world.run_for(1_000)
    assert done == [True, True]
    assert shelf.tree.children("/brokers/topics/t") == ["0"]
    assert list(shelf.image().topics) == [OTHER]
    assert all(len(multi.operations) <= 201 for _, multi, _ in shelf.tree.multis[1:])


def test_what_is_committed_next_waits_for_a_piece_of_a_removal_at_most() -> None:
    shelf = Shelf()
    author = Author(shelf)
    author.commit(topic(partitions=2_500), *(partition(n) for n in range(2_500)))
    done: list[bool] = []
    removal, then = author.delta(RemoveTopicRecord(TOPIC)), author.delta(broker(1))
    then = replace(then, version=MetadataVersion(then.version + 1))
    left: list[int] = []

    def note(ok: bool, _now: Now) -> None:
        done.append(ok)
        left.append(len(shelf.tree.children("/brokers/topics/t")))

    def go_on(ok: bool, now: Now) -> None:
        note(ok, now)
        author.image.apply(removal)
        author.store.commit(author.image, then, note, now)

    author.store.commit(author.image, removal, go_on, NOW)
    shelf.world.run_for(1_000)
    assert done == [True, True]
    assert left[0] == 2_500
    assert left[1] >= 2_300
    assert "/brokers/topics/t" not in shelf.tree.znodes


def test_a_refused_removal_removes_nothing() -> None:
    shelf = Shelf()
    author = Author(shelf)
    author.commit(topic(), partition(0), partition(1))
    shelf.tree.znodes[znodes.METADATA_VERSION].version += 5
    assert not author.commit(RemoveTopicRecord(TOPIC))
    assert shelf.tree.children("/brokers/topics/t") == ["0", "1"]


def test_a_successor_that_has_read_all_before_finishes_a_removal() -> None:
    shelf = Shelf()
    author = Author(shelf)
    author.commit(topic(), partition(0), partition(1))
    author.commit(topic("u", OTHER, 1), partition(0, OTHER))
    shelf.tree.znodes["/brokers/topics/t"].data = znodes.REMOVED_TOPIC
    author.image.apply(author.delta(RemoveTopicRecord(TOPIC)))
    author.image.position = MetadataPosition(author.epoch, MetadataVersion(2))
    assert shelf.load(shelf.reign(2), author.image) == Loaded(author.image.position, None)
    assert shelf.tree.children("/brokers/topics") == ["u"]


def test_what_somebody_else_has_put_beside_the_topics_is_not_removed() -> None:
    shelf = Shelf()
    author = Author(shelf)
    author.commit(topic(), partition(0), partition(1))
    shelf.tree.perform(shelf.session, Create("/brokers/topics/mine", b"{}"))
    assert shelf.load(shelf.reign(2), author.image) == Loaded(author.image.position, None)
    assert "/brokers/topics/mine" in shelf.tree.znodes


def test_a_successor_finishes_a_removal() -> None:
    shelf = Shelf()
    author = Author(shelf)
    author.commit(topic(), partition(0), partition(1))
    author.commit(topic("u", OTHER, 1), partition(0, OTHER))
    shelf.tree.znodes["/brokers/topics/t"].data = znodes.REMOVED_TOPIC
    assert list(shelf.image().topics) == [OTHER]
    assert "/brokers/topics/t" not in shelf.tree.znodes
    assert "/brokers/topics/t/0" not in shelf.tree.znodes


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("/metadata_version", b""),
        ("/metadata_version", b'{"version":1}'),
        ("/producer_ids", b"[]"),
        ("/brokers/topics/t", b'{"name":7}'),
        ("/brokers/topics/t", b'{"name":"t","topic_id":"xyz"}'),
        ("/brokers/topics/t/0", b"{}"),
        ("/brokers/topics/t/x", b"{}"),
        ("/brokers/registered/1", b"\xff"),
        ("/brokers/topics/t", znodes.encode_record(TopicRecord("u", TOPIC))),
        ("/brokers/topics/u", znodes.encode_record(TopicRecord("t", TOPIC))),
        ("/brokers/topics/u", znodes.encode_record(TopicRecord("u", TOPIC))),
        ("/brokers/topics/t/9", znodes.encode_record(partition(0))),
        ("/brokers/topics/t/0", znodes.encode_record(replace(partition(0), replicas=()))),
        ("/brokers/topics/t/0", znodes.encode_record(replace(partition(0), isr=()))),
        ("/brokers/registered/2", znodes.encode_record(broker(1))),
    ],
)
def test_what_cannot_be_read_is_not_loaded_and_is_named(path: str, data: bytes) -> None:
    shelf = Shelf()
    author = Author(shelf)
    author.commit(broker(1), topic(), partition(0), partition(1))
    if path in shelf.tree.znodes:
        shelf.tree.znodes[path].data = data
    else:
        shelf.tree.perform(shelf.session, Create(path, data))
    told: list[str] = []
    assert shelf.load(shelf.reign(2, told.append), knowing_nothing()) is None
    assert len(told) == 1


@pytest.mark.parametrize(
    "record",
    [broker(7), topic(), partition(3), ProducerIdsRecord(ProducerId(5))],
    ids=lambda record: type(record).__name__,
)
def test_records_are_json_that_people_can_read(record: Any) -> None:
    data = znodes.encode_record(record)
    assert data.startswith(b"{")
    assert znodes.decode_record(type(record), data) == record
    if not isinstance(record, BrokerRecord | ProducerIdsRecord):
        assert TOPIC.hex().encode() in data


def test_a_record_of_an_older_version_has_its_defaults() -> None:
    old = b'{"name":"t","topic_id":"%s"}' % TOPIC.hex().encode()
    assert znodes.decode_record(TopicRecord, old) == TopicRecord("t", TOPIC)


@pytest.mark.parametrize(
    "unread",
    [GetChildren(znodes.TOPICS), GetChildren(znodes.ACLS), GetChildren(znodes.topic_path("t"))],
    ids=lambda operation: operation.path,
)
def test_what_was_not_read_is_not_taken_for_what_is_gone(
    unread: GetChildren, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names that find no room in an answer: there would be no topics, and brokers let go of their logs."""
    shelf = Shelf()
    author = Author(shelf)
    assert author.commit(TopicRecord("t", TOPIC), partition(0))
    perform = shelf.tree.perform

    def full(session: TreeSession, operation: Operation) -> Result:
        if operation == unread:
            return Result(ErrorCode.OVERLOADED)
        return perform(session, operation)

    monkeypatch.setattr(shelf.tree, "perform", full)
    assert shelf.load(shelf.reign(2), knowing_nothing()) is None
