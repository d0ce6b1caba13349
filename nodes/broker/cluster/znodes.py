"""Where the cluster's metadata lives in the znode tree, and how it looks there.

Everything is JSON with named fields, so that people can read it with ``znode get``; ids are hex.
Reading validates: what somebody has written there by hand may be anything.
"""

from __future__ import annotations

from itertools import takewhile
from typing import Any, Literal, TypeVar
from urllib.parse import quote

import msgspec

from transport.wire.ids import (
    NO_NODE,
    BrokerEpoch,
    ControllerEpoch,
    Incarnation,
    MetadataPosition,
    MetadataVersion,
    NodeId,
    NodeName,
    ProducerId,
    TopicId,
)
from transport.wire.messages.acls import PatternType, ResourceType
from transport.wire.messages.cluster import NodeEndpoints
from transport.wire.messages.metadata import (
    FORMATS,
    AclRecord,
    BrokerRecord,
    ConfigRecord,
    PartitionRecord,
    ProducerIdsRecord,
    TopicRecord,
    UserRecord,
)

BROKERS = "/brokers"
BROKER_IDS = "/brokers/ids"
REGISTERED = "/brokers/registered"
TOPICS = "/brokers/topics"
CONFIGS = "/brokers/configs"
ACLS = "/brokers/acls"
PRODUCER_IDS = "/producer_ids"
METADATA_VERSION = "/metadata_version"
CONTROLLER_EPOCH = "/controller_epoch"
CONTROLLER = "/controller"

_KIND_USER = "user"
"""No kind of configs."""
REMOVED_TOPIC = b'{"removed":true}'
"""Data of a deleted topic's znode until its children and itself are gone."""

StoredRecord = (
    BrokerRecord
    | TopicRecord
    | PartitionRecord
    | ProducerIdsRecord
    | ConfigRecord
    | AclRecord
    | UserRecord
)
RecordT = TypeVar(
    "RecordT",
    BrokerRecord,
    TopicRecord,
    PartitionRecord,
    ProducerIdsRecord,
    ConfigRecord,
    AclRecord,
    UserRecord,
)


class UnreadableZnode(Exception):
    """The data of a znode is not what belongs there."""


class Registration(msgspec.Struct, frozen=True):
    """Data of ``/brokers/ids/N``."""

    name: str
    incarnation: int
    peers: str
    clients: str
    events: str
    rack: str = ""
    intact: bool = True
    http: str = ""
    formats: int = 0
    lost: bool = False
    kafka: str | msgspec.UnsetType = msgspec.UNSET
    """Only of who listens for Kafka's clients."""


class ControllerClaim(msgspec.Struct, frozen=True):
    """Data of ``/controller``."""

    broker: int = NO_NODE
    epoch: int = 0


class _QuorumEpoch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    epoch: int
    of: Literal["quorum"] = "quorum"


_epochs: msgspec.json.Decoder[int | _QuorumEpoch] = msgspec.json.Decoder(int | _QuorumEpoch)


class _Version(msgspec.Struct, frozen=True):
    controller_epoch: int
    version: int
    formats: int = 0


def roots(mode: str) -> tuple[tuple[str, bytes], ...]:
    """Return the znodes that whoever comes first makes, parents first, with their first data.

    In mode ``kraft`` brokers only register in the tree; the metadata is beside it in the log.
    """
    registration = ((BROKERS, b""), (BROKER_IDS, b""))
    if mode == "kraft":
        return registration
    return (
        *registration,
        (REGISTERED, b""),
        (TOPICS, b""),
        (CONFIGS, b""),
        (ACLS, b""),
        (PRODUCER_IDS, encode_record(ProducerIdsRecord(ProducerId(0)))),
        (METADATA_VERSION, encode_position(ControllerEpoch(0), MetadataVersion(0))),
        (CONTROLLER_EPOCH, encode_epoch(ControllerEpoch(0))),
    )


def broker_id_path(node: NodeId) -> str:
    """Return the path of a broker's ephemeral registration."""
    return f"{BROKER_IDS}/{node}"


def topic_path(name: str) -> str:
    """Return the path of a topic's record, the parent of its partitions'."""
    return f"{TOPICS}/{name}"


def partition_path(name: str, partition: int) -> str:
    """Return the path of a partition's record."""
    return f"{TOPICS}/{name}/{partition}"


def config_path(kind: str, name: str) -> str:
    """Return the path of the dynamic configs of something; ``<default>`` are those of all."""
    return f"{CONFIGS}/{kind}:{quote(name, safe='') or '<default>'}"


def acl_path(record: AclRecord) -> str:
    """Return the path of the ACL of a pattern, as ``topic:prefixed:orders-``."""
    kind = ResourceType(record.resource_type).name.lower()
    pattern_type = PatternType(record.pattern_type).name.lower()
    return f"{ACLS}/{kind}:{pattern_type}:{quote(record.name, safe='')}"


def user_path(name: str) -> str:
    """Return the path of a user's credentials: among the configs, as Kafka had them."""
    return config_path(_KIND_USER, name)


def config_kind(name: str) -> type[Any]:
    """Return what the znode of that name below :data:`CONFIGS` is."""
    return UserRecord if name.startswith(f"{_KIND_USER}:") else ConfigRecord


def registered_path(node: NodeId) -> str:
    """Return the path of a broker's record as the controller keeps it."""
    return f"{REGISTERED}/{node}"


def encode_record(record: StoredRecord) -> bytes:
    """Return a record as JSON with named fields."""
    fields = {name: getattr(record, name) for name in record.__struct_fields__}
    if "topic_id" in fields:
        fields["topic_id"] = fields["topic_id"].hex()
    if not fields.get("kafka", True):
        del fields["kafka"]  # as that of a broker without a listener always was
    return msgspec.json.encode(fields)


_fields_decoder = msgspec.json.Decoder(dict[str, Any])
"""Made once: ``msgspec.json.decode`` looks into such a type anew for each of thousands of records."""


def decode_record(kind: type[RecordT], data: bytes | None) -> RecordT:
    """Read a record; raises :class:`UnreadableZnode`. Of bytes only topic ids stand there as hex."""
    try:
        fields = _fields_decoder.decode(data or b"")
        of_topic = isinstance(fields.get("topic_id"), str)
        if of_topic:
            fields["topic_id"] = bytes.fromhex(fields["topic_id"])
        tag = kind.__struct_config__.tag
        values: list[Any] = [
            fields[name] for name in takewhile(fields.__contains__, kind.__struct_fields__)
        ]
        return msgspec.convert([tag, *values], kind, builtin_types=(bytes,) if of_topic else ())
    except (msgspec.DecodeError, ValueError) as error:
        raise UnreadableZnode(f"no {kind.__name__}: {error}") from None


def read_broker(name: str, data: bytes | None) -> BrokerRecord:
    """Read what stands in :data:`REGISTERED` under this name; raises :class:`UnreadableZnode`."""
    record = decode_record(BrokerRecord, data)
    if str(record.id) != name:
        raise UnreadableZnode(f"{REGISTERED}/{name} is of broker {record.id}")
    return record


def read_topic(name: str, data: bytes | None, known: set[TopicId]) -> TopicRecord:
    """Read what stands in :data:`TOPICS` under this name; raises :class:`UnreadableZnode`.

    One that was copied there by hand would be another's twice, and the one it replaces deleted.
    ``known``: the ids of the topics that were read before; this one's is added.
    """
    record = decode_record(TopicRecord, data)
    if record.name != name:
        raise UnreadableZnode(f"{topic_path(name)} is of the topic {record.name[:80]!r}")
    if record.topic_id in known:
        raise UnreadableZnode(f"{topic_path(name)} has the id of another topic")
    known.add(record.topic_id)
    return record


def read_partition(topic: TopicRecord, number: str, data: bytes | None) -> PartitionRecord:
    """Read what stands below a topic under this number; raises :class:`UnreadableZnode`."""
    record = decode_record(PartitionRecord, data)
    where = f"{topic_path(topic.name)}/{number}"
    if record.topic_id != topic.topic_id or str(record.partition) != number:
        raise UnreadableZnode(f"{where} is of another partition, or of another topic")
    if not record.isr or not {*record.isr, *record.elr} <= set(record.replicas):
        raise UnreadableZnode(f"{where} has no replica that is in sync, or one that is none")
    return record


def encode_registration(
    node: NodeEndpoints,
    incarnation: Incarnation,
    *,
    intact: bool = True,
    lost: bool = False,
    formats: int = FORMATS,
) -> bytes:
    """Return the data of a broker's registration; ``formats``: how far it reads."""
    told = Registration(
        node.name,
        incarnation,
        node.peers,
        node.clients,
        node.events,
        node.rack,
        intact,
        node.http,
        formats,
        lost,
        node.kafka or msgspec.UNSET,
    )
    return msgspec.json.encode(told)


def decode_registration(data: bytes | None) -> Registration:
    """Read a registration; raises :class:`UnreadableZnode`."""
    return _decode(Registration, data)


def broker_record(node: NodeId, epoch: BrokerEpoch, data: bytes | None) -> BrokerRecord:
    """Return the record of a live broker; raises :class:`UnreadableZnode`."""
    told = decode_registration(data)
    return BrokerRecord(
        node,
        NodeName(told.name),
        epoch,
        Incarnation(told.incarnation),
        told.peers,
        told.clients,
        told.events,
        told.rack,
        True,
        told.intact,
        http=told.http,
        formats=told.formats,
        lost=told.lost,
        kafka=told.kafka or "",
    )


def encode_claim(node: NodeId, epoch: ControllerEpoch) -> bytes:
    """Return the data of ``/controller``."""
    return msgspec.json.encode(ControllerClaim(node, epoch))


def decode_claim(data: bytes | None) -> ControllerClaim:
    """Read ``/controller``; raises :class:`UnreadableZnode`."""
    return _decode(ControllerClaim, data)


def encode_position(epoch: ControllerEpoch, version: MetadataVersion, formats: int = 0) -> bytes:
    """Return the data of ``/metadata_version``; ``formats``: how far one must read for the image."""
    return msgspec.json.encode(_Version(epoch, version, formats))


def decode_position(data: bytes | None) -> MetadataPosition:
    """Read ``/metadata_version``; raises :class:`UnreadableZnode`."""
    told = _decode(_Version, data)
    return MetadataPosition(ControllerEpoch(told.controller_epoch), MetadataVersion(told.version))


def decode_formats(data: bytes | None) -> int:
    """Read of ``/metadata_version`` how far one must read; raises :class:`UnreadableZnode`."""
    return _decode(_Version, data).formats


def encode_epoch(epoch: ControllerEpoch, *, of_quorum: bool = False) -> bytes:
    """Return the data of ``/controller_epoch``; ``of_quorum``: no broker is to race for the next one."""
    return msgspec.json.encode(_QuorumEpoch(epoch) if of_quorum else int(epoch))


def decode_epoch(data: bytes | None) -> ControllerEpoch:
    """Read ``/controller_epoch``; raises :class:`UnreadableZnode`."""
    told = _decode_epoch(data)
    return ControllerEpoch(told if isinstance(told, int) else told.epoch)


def is_of_quorum(data: bytes | None) -> bool:
    """Tell by ``/controller_epoch`` whether the quorum rules, whoever has deleted its claim; raises
    :class:`UnreadableZnode`."""
    return not isinstance(_decode_epoch(data), int)


def _decode_epoch(data: bytes | None) -> int | _QuorumEpoch:
    try:
        return _epochs.decode(data or b"")
    except msgspec.DecodeError as error:
        raise UnreadableZnode(str(error)) from None


DecodedT = TypeVar("DecodedT")


def _decode(kind: type[DecodedT], data: bytes | None) -> DecodedT:
    try:
        return msgspec.json.decode(data or b"", type=kind)
    except msgspec.DecodeError as error:
        raise UnreadableZnode(str(error)) from None
