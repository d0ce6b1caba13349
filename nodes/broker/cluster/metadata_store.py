"""Where the cluster image is durably kept.

:class:`MetadataStore` is all that the controller knows of it; here it is the znode tree.  Every
commit is one multi that also checks the controller epoch and moves the metadata version on, so a
predecessor that was paused and woke up can change nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from nodes.broker.cluster import znodes
from nodes.broker.cluster.scripts import Script, Session, in_batches, play
from nodes.core.acls import Pattern
from nodes.core.controller.formats import formats_in
from nodes.core.controller.image import ClusterImage
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.ids import ControllerEpoch, MetadataPosition, TopicId
from transport.wire.messages import Refusal
from transport.wire.messages.configs import KIND_BROKER
from transport.wire.messages.coordination import (
    Check,
    Create,
    Delete,
    GetChildren,
    GetData,
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

DELETES_AT_ONCE = 200
"""Of a removed topic's partitions: a coordinator does so many in some milliseconds."""

Write = Create | SetData | Delete | Check
Names = dict[TopicId, str]


class Reign(NamedTuple):
    """One controllership: its epoch, and the version of the znode that proves it."""

    epoch: ControllerEpoch
    epoch_version: int


class Loaded(NamedTuple):
    """What the store holds; ``records`` None: exactly what the caller has."""

    position: MetadataPosition
    records: list[MetadataRecord] | None


OnLoaded = Callable[[Loaded | None, Now], None]
"""None: it could not be read, or we are not the controller any more."""
OnCommitted = Callable[[bool, Now], None]
"""False: not the controller any more, or the outcome is not known. Resign."""


class MetadataStore(Protocol):
    """Durable and fenced: one controller at a time can change it."""

    def load(self, have: ClusterImage, on_loaded: OnLoaded, now: Now) -> None:
        """Read the image, unless it is the one at hand. Comes before the first commit."""
        ...

    def commit(
        self, image: ClusterImage, delta: MetadataDelta, on_committed: OnCommitted, now: Now
    ) -> None:
        """Write ``delta``, the next one after ``image`` (as committed), wholly or not at all."""
        ...


class ZnodeMetadataStore:
    """The store of zookeeper mode, on the session under which this broker became controller."""

    def __init__(
        self, session: Session, reign: Reign, on_unreadable: Callable[[str], None]
    ) -> None:
        """``on_unreadable``: told, for people, of a znode for whose sake nothing could be loaded."""
        self._session = session
        self._reign = reign
        self._on_unreadable = on_unreadable
        self._version = -1
        self._left: dict[str, deque[Operation]] = {}
        """What clears away removed topics, a piece at a time, by name: nobody waits for it, but who makes
        a topic of that name anew."""
        self._clearing = False
        """A piece is on its way."""

    # Loading

    def load(self, have: ClusterImage, on_loaded: OnLoaded, now: Now) -> None:
        """Read everything, in batches; finish the deletions a predecessor left half done."""

        def on_end(loaded: Loaded | Refusal | None, now: Now) -> None:
            on_loaded(None if isinstance(loaded, Refusal) else loaded, now)
            self._clear(now)

        play(self._session, self._load(have), on_end, now)

    def _load(self, have: ClusterImage) -> Script[Loaded | None]:
        found, topics = yield [GetData(znodes.METADATA_VERSION), GetChildren(znodes.TOPICS)]
        if found.stat is None:
            return None
        self._version = found.stat.version
        try:
            position = znodes.decode_position(found.data)
            if position == have.position:
                names = [name for name in topics.children if have.topic(name) is None]
                yield from self._find_left(names)
                return Loaded(position, None)
            return Loaded(position, (yield from self._read_all()))
        except (znodes.UnreadableZnode, ValueError) as error:
            self._on_unreadable(f"the metadata in znodes cannot be read: {error}")
            return None

    def _read_all(self) -> Script[list[MetadataRecord]]:
        brokers, topics, configs, acls, producer_ids = yield [
            GetChildren(znodes.REGISTERED),
            GetChildren(znodes.TOPICS),
            GetChildren(znodes.CONFIGS),
            GetChildren(znodes.ACLS),
            GetData(znodes.PRODUCER_IDS),
        ]
        records: list[MetadataRecord] = []
        paths = [f"{znodes.REGISTERED}/{name}" for name in brokers.children]
        registered = yield from in_batches([GetData(path) for path in paths])
        for name, found in zip(brokers.children, registered, strict=True):
            records.append(znodes.read_broker(name, found.data))
        records += yield from self._read_topics(topics.children)
        paths = [f"{znodes.CONFIGS}/{name}" for name in configs.children]
        found_configs = yield from in_batches([GetData(path) for path in paths])
        for name, found in zip(configs.children, found_configs, strict=True):
            records.append(znodes.decode_record(znodes.config_kind(name), found.data))
        paths = [f"{znodes.ACLS}/{name}" for name in acls.children]
        for found in (yield from in_batches([GetData(path) for path in paths])):
            records.append(znodes.decode_record(AclRecord, found.data))
        records.append(znodes.decode_record(ProducerIdsRecord, producer_ids.data))
        return records

    def _find_left(self, names: Sequence[str]) -> Script[None]:
        """Find which of these topics, of which the image knows nothing, are removed and there still."""
        topics = yield from in_batches([GetData(znodes.topic_path(name)) for name in names])
        found = zip(names, topics, strict=True)
        removed = [name for name, topic in found if topic.data == znodes.REMOVED_TOPIC]
        children = yield from in_batches([GetChildren(znodes.topic_path(name)) for name in removed])
        for name, under in zip(removed, children, strict=True):
            self._left[name] = self._removals(name, sorted(map(int, under.children)))

    def _read_topics(self, names: Sequence[str]) -> Script[list[MetadataRecord]]:
        """Return the records of these topics; those that are removed are left to be cleared away."""
        paths = [znodes.topic_path(name) for name in names]
        topics = yield from in_batches([GetData(path) for path in paths])
        children = yield from in_batches([GetChildren(path) for path in paths])
        records: list[MetadataRecord] = []
        partitions: list[tuple[TopicRecord, str]] = []
        known: set[TopicId] = set()
        for name, topic, under in zip(names, topics, children, strict=True):
            if topic.data == znodes.REMOVED_TOPIC:
                self._left[name] = self._removals(name, sorted(map(int, under.children)))
                continue
            record = znodes.read_topic(name, topic.data, known)
            records.append(record)
            partitions += [(record, number) for number in sorted(under.children, key=int)]
        paths = [f"{znodes.topic_path(topic.name)}/{number}" for topic, number in partitions]
        states = yield from in_batches([GetData(path) for path in paths])
        for (record, number), found in zip(partitions, states, strict=True):
            records.append(znodes.read_partition(record, number, found.data))
        return records

    # Committing

    def commit(
        self, image: ClusterImage, delta: MetadataDelta, on_committed: OnCommitted, now: Now
    ) -> None:
        """Write the delta as one multi; the znodes of removed topics go after it, a piece at a time."""
        assert self._version >= 0, "load() first"
        names = topic_names(image, delta)
        formats = formats_in(image, delta.records)
        position = znodes.encode_position(delta.controller_epoch, delta.version, formats)
        writes: list[Write] = [
            Check(znodes.CONTROLLER_EPOCH, self._reign.epoch_version),
            SetData(znodes.METADATA_VERSION, position, self._version),
            *record_writes(image, delta, names),
        ]
        self._version += 1
        removals = {
            names[record.topic_id]: self._removals(
                names[record.topic_id], sorted(image.partitions[record.topic_id])
            )
            for record in delta.records
            if isinstance(record, RemoveTopicRecord)
        }
        made = [record.name for record in delta.records if isinstance(record, TopicRecord)]
        before = [piece for name in made for piece in self._left.pop(name, ())]

        def on_results(results: Sequence[Result] | Refusal, now: Now) -> None:
            done = not isinstance(results, Refusal) and _succeeded(results[-1])
            if done:
                self._left |= removals
            on_committed(done, now)
            self._clear(now)

        self._session.submit([*before, Multi(tuple(writes))], on_results, now)

    # Clearing away

    def _removals(self, name: str, partitions: list[int]) -> deque[Operation]:
        """Return the writes that clear a removed topic away, once its removal is committed.

        Nobody but this controller makes the name anew, and only behind them.
        """
        fence = Check(znodes.CONTROLLER_EPOCH, self._reign.epoch_version)
        deletes = [Delete(znodes.partition_path(name, number)) for number in partitions]
        deletes.append(Delete(znodes.topic_path(name)))
        starts = range(0, len(deletes), DELETES_AT_ONCE)
        return deque(Multi((fence, *deletes[start : start + DELETES_AT_ONCE])) for start in starts)

    def _clear(self, now: Now) -> None:
        """Do the next piece of what is left; what is committed meanwhile waits for one at most."""
        name = next(iter(self._left), None)
        if name is None or self._clearing:
            return
        self._clearing = True
        pieces = self._left[name]
        piece = pieces.popleft()
        if not pieces:
            del self._left[name]

        def on_results(results: Sequence[Result] | Refusal, now: Now) -> None:
            self._clearing = False
            if isinstance(results, Refusal):
                self._left.clear()  # the session is lost: a successor finds them
            elif not _succeeded(results[0]):
                self._left.pop(name, None)
            self._clear(now)

        self._session.submit([piece], on_results, now)


def record_writes(image: ClusterImage, delta: MetadataDelta, names: Names) -> list[Write]:
    """Return what writes each record to znodes that hold ``image``; ``names`` are of its topics.

    The configs of a broker go with it, as they do in the image; also those that the same delta sets.
    """
    gone = {
        (KIND_BROKER, str(record.id))
        for record in delta.records
        if isinstance(record, RemoveBrokerRecord)
    }
    return [
        *(
            _WRITES[type(record)](image, names, record)
            for record in delta.records
            if not (isinstance(record, ConfigRecord) and (record.kind, record.name) in gone)
        ),
        *(Delete(znodes.config_path(*key)) for key in sorted(gone) if key in image.configs),
    ]


def topic_names(image: ClusterImage, delta: MetadataDelta) -> Names:
    """Return the names of the topics that ``delta`` is about."""
    names: Names = {}
    for record in delta.records:
        if isinstance(record, TopicRecord):
            names[record.topic_id] = record.name
        elif isinstance(record, PartitionRecord | RemoveTopicRecord):
            known = image.topics.get(record.topic_id)
            if known is not None:
                names[record.topic_id] = known.name
    return names


def _succeeded(result: Result) -> bool:
    return result.error == ErrorCode.NONE and all(
        step.error == ErrorCode.NONE for step in result.results
    )


# One write per record; whether its znode exists is known from the committed image.


def _write_broker(image: ClusterImage, _names: Names, record: BrokerRecord) -> Write:
    path = znodes.registered_path(record.id)
    return _upsert(path, znodes.encode_record(record), exists=record.id in image.brokers)


def _write_broker_removal(image: ClusterImage, _names: Names, record: RemoveBrokerRecord) -> Write:
    path = znodes.registered_path(record.id)
    return Delete(path) if record.id in image.brokers else Check(znodes.REGISTERED)


def _write_topic(image: ClusterImage, _names: Names, record: TopicRecord) -> Write:
    path = znodes.topic_path(record.name)
    return _upsert(path, znodes.encode_record(record), exists=record.topic_id in image.topics)


def _write_partition(image: ClusterImage, names: Names, record: PartitionRecord) -> Write:
    path = znodes.partition_path(names[record.topic_id], record.partition)
    exists = record.partition in image.partitions.get(record.topic_id, {})
    return _upsert(path, znodes.encode_record(record), exists=exists)


def _write_removal(_image: ClusterImage, names: Names, record: RemoveTopicRecord) -> Write:
    return SetData(znodes.topic_path(names[record.topic_id]), znodes.REMOVED_TOPIC)


def _write_producer_ids(_image: ClusterImage, _names: Names, record: ProducerIdsRecord) -> Write:
    return SetData(znodes.PRODUCER_IDS, znodes.encode_record(record))


def _write_config(image: ClusterImage, _names: Names, record: ConfigRecord) -> Write:
    path = znodes.config_path(record.kind, record.name)
    exists = (record.kind, record.name) in image.configs
    if not record.configs:
        return Delete(path) if exists else Check(znodes.CONFIGS)
    return _upsert(path, znodes.encode_record(record), exists=exists)


def _write_acl(image: ClusterImage, _names: Names, record: AclRecord) -> Write:
    path = znodes.acl_path(record)
    exists = Pattern(record.resource_type, record.pattern_type, record.name) in image.acls
    if not record.entries:
        return Delete(path) if exists else Check(znodes.ACLS)
    return _upsert(path, znodes.encode_record(record), exists=exists)


def _write_user(image: ClusterImage, _names: Names, record: UserRecord) -> Write:
    path = znodes.user_path(record.name)
    exists = record.name in image.users
    if not record.credentials:
        return Delete(path) if exists else Check(znodes.CONFIGS)
    return _upsert(path, znodes.encode_record(record), exists=exists)


def _upsert(path: str, data: bytes, *, exists: bool) -> Write:
    return SetData(path, data) if exists else Create(path, data)


_WRITES: dict[type, Callable[[ClusterImage, Names, Any], Write]] = {
    BrokerRecord: _write_broker,
    RemoveBrokerRecord: _write_broker_removal,
    TopicRecord: _write_topic,
    PartitionRecord: _write_partition,
    RemoveTopicRecord: _write_removal,
    ProducerIdsRecord: _write_producer_ids,
    ConfigRecord: _write_config,
    AclRecord: _write_acl,
    UserRecord: _write_user,
}
