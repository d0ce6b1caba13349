"""The image as the znodes of mode ``zookeeper`` hold it: read at one entry of the log, and written.

While a cluster is being moved both must be the same.  Reading yields the records in an order that
depends on the znodes alone, so every member reads them alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

from nodes.broker.cluster import znodes
from nodes.broker.cluster.metadata_store import Write, record_writes, topic_names
from nodes.broker.cluster.znodes import UnreadableZnode
from nodes.core.controller.formats import formats_in
from nodes.core.controller.image import ClusterImage
from nodes.core.migration import Found
from nodes.core.znode.tree import Tree
from transport.wire.ids import (
    NO_METADATA,
    NO_NODE,
    ControllerEpoch,
    MetadataPosition,
    NodeId,
    TopicId,
)
from transport.wire.messages.coordination import Create, Delete, SetData
from transport.wire.messages.metadata import (
    AclRecord,
    MetadataDelta,
    MetadataRecord,
    ProducerIdsRecord,
    RemoveTopicRecord,
)

DIGEST_BYTES = 16
Writes = Iterable[Write]
"""To be taken one by one, as each is done: the next is judged by the tree that the last has left."""

_FOLDERS: dict[str, Callable[[str], type[Any]]] = {
    znodes.CONFIGS: znodes.config_kind,
    znodes.ACLS: lambda _name: AclRecord,
}
"""Parents of znodes that are a record each, of a kind that their name tells."""

_encode = msgspec.msgpack.Encoder().encode


class Held(NamedTuple):
    """An image as znodes hold it."""

    controller_epoch: ControllerEpoch
    """The newest that anybody was elected for."""
    position: MetadataPosition
    records: tuple[MetadataRecord, ...]

    def found(self) -> Found:
        """Return what a step is judged by: the newest epoch of all, were it of the image alone."""
        epoch = max(self.controller_epoch, self.position.controller_epoch)
        return Found(epoch, self.position.version, digest(self.records))


NOTHING = Held(ControllerEpoch(-1), NO_METADATA, ())


def digest(records: tuple[MetadataRecord, ...]) -> bytes:
    """Return a hash of an image's records, in whatever order they come."""
    return blake2b(b"".join(sorted(map(_encode, records))), digest_size=DIGEST_BYTES).digest()


def image_in(tree: Tree) -> Held:
    """Read the image; raises UnreadableZnode where something is missing, or is not what belongs there."""
    epoch = znodes.decode_epoch(_data(tree, znodes.CONTROLLER_EPOCH))
    position = znodes.decode_position(_data(tree, znodes.METADATA_VERSION))
    return Held(epoch, position, tuple(_records(tree)))


def _records(tree: Tree) -> Iterator[MetadataRecord]:
    for name in tree.children(znodes.REGISTERED):
        yield znodes.read_broker(name, _data(tree, f"{znodes.REGISTERED}/{name}"))
    for folder, kind_of in _FOLDERS.items():
        for name in tree.children(folder):
            yield znodes.decode_record(kind_of(name), _data(tree, f"{folder}/{name}"))
    yield znodes.decode_record(ProducerIdsRecord, _data(tree, znodes.PRODUCER_IDS))
    known: set[TopicId] = set()
    for name in _topics(tree, removed=False):
        topic = znodes.read_topic(name, _data(tree, znodes.topic_path(name)), known)
        yield topic
        for number in tree.children(znodes.topic_path(name)):
            path = f"{znodes.topic_path(name)}/{number}"
            yield znodes.read_partition(topic, number, _data(tree, path))


def _topics(tree: Tree, *, removed: bool) -> Iterator[str]:
    for name in tree.children(znodes.TOPICS):
        if (_data(tree, znodes.topic_path(name)) == znodes.REMOVED_TOPIC) == removed:
            yield name


def _below(tree: Tree, topic: str) -> Iterator[str]:
    path = znodes.topic_path(topic)
    return (f"{path}/{number}" for number in tree.children(path))


def _data(tree: Tree, path: str) -> bytes:
    znode = tree.get(path)
    if znode is None:
        raise UnreadableZnode(f"{path} is missing")
    return znode.data


# Writes, judged by the tree when each has its turn


def taking_over(tree: Tree, epoch: ControllerEpoch) -> Iterator[Write]:
    """Yield what makes the quorum's leader the controller for whoever looks into the tree."""
    yield SetData(znodes.CONTROLLER_EPOCH, znodes.encode_epoch(epoch, of_quorum=True))
    if tree.get(znodes.CONTROLLER) is not None:
        yield Delete(znodes.CONTROLLER)
    yield Create(znodes.CONTROLLER, znodes.encode_claim(NodeId(NO_NODE), epoch))
    for name in _topics(tree, removed=True):  # of a controller that did not come to it
        yield from map(Delete, _below(tree, name))
        yield Delete(znodes.topic_path(name))


def giving_back(tree: Tree, epoch: ControllerEpoch) -> Iterator[Write]:
    """Yield what lets the brokers race for ``/controller`` again, above the quorum's epochs."""
    yield SetData(znodes.CONTROLLER_EPOCH, znodes.encode_epoch(epoch))
    if (
        tree.get(znodes.CONTROLLER) is None
    ):  # somebody has deleted it: brokers wait for a change there
        yield Create(znodes.CONTROLLER, znodes.encode_claim(NodeId(NO_NODE), epoch))
    yield Delete(znodes.CONTROLLER)


def mirroring(tree: Tree, image: ClusterImage, delta: MetadataDelta) -> Iterator[Write]:
    """Return what writes a delta to znodes that hold ``image``; to be called before it changes."""
    names, formats = topic_names(image, delta), formats_in(image, delta.records)
    position = znodes.encode_position(delta.controller_epoch, delta.version, formats)
    writes: list[Write] = [
        SetData(
            znodes.CONTROLLER_EPOCH, znodes.encode_epoch(delta.controller_epoch, of_quorum=True)
        ),
        SetData(znodes.METADATA_VERSION, position),
        *record_writes(image, delta, names),
    ]
    removed = [names[one.topic_id] for one in delta.records if isinstance(one, RemoveTopicRecord)]
    return _fitted(tree, writes, removed)


def _fitted(tree: Tree, writes: list[Write], removed: list[str]) -> Iterator[Write]:
    """Yield the writes so that they can be done whatever people have done to the znodes."""
    for name in removed:
        yield from map(Delete, _below(tree, name))
        yield Delete(znodes.topic_path(name))
    for write in writes:
        there = tree.get(write.path) is not None
        if isinstance(write, SetData) and write.data == znodes.REMOVED_TOPIC:
            continue
        if isinstance(write, SetData) and not there:
            yield Create(write.path, write.data)
        elif isinstance(write, Create) and there:
            yield SetData(write.path, write.data)
        elif there or not isinstance(write, Delete):
            yield write
