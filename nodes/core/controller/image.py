"""The cluster image: brokers, topics, partitions, and the version they stand at.

``apply`` is the only mutator and is the same on the controller, every other broker, and after a
restart.  Records that belong together come in one delta; the version grows by one with each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from nodes.core.acls import Pattern
from transport.wire.ids import (
    NO_METADATA,
    MetadataPosition,
    NodeId,
    PartitionKey,
    ProducerId,
    TopicId,
)
from transport.wire.messages.acls import AclEntry
from transport.wire.messages.configs import KIND_BROKER, KIND_CLIENT
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
from transport.wire.messages.users import ScramCredential


class ClusterImage:
    """What the cluster is, as far as this node has applied it."""

    def __init__(self) -> None:
        self.acl_changes = 0
        """Grows with each change of :attr:`acls`."""
        self.quota_changes = 0
        """Grows with each change of :attr:`configs` of clients."""
        self.user_changes = 0
        """Grows with each change of :attr:`users`."""
        self._clear()

    def _clear(self) -> None:
        self.position: MetadataPosition = NO_METADATA
        self.brokers: dict[NodeId, BrokerRecord] = {}
        self.topics: dict[TopicId, TopicRecord] = {}
        self.topic_ids: dict[str, TopicId] = {}
        self.partitions: dict[TopicId, dict[int, PartitionRecord]] = {}
        self.next_producer_id: ProducerId = ProducerId(0)
        self.configs: dict[tuple[str, str], dict[str, str]] = {}
        """(kind, name) -> dynamic configs, of those that have any."""
        self.acls: dict[Pattern, tuple[AclEntry, ...]] = {}
        self.users: dict[str, tuple[ScramCredential, ...]] = {}
        """By name; each has a credential."""
        self.acl_changes += 1
        self.quota_changes += 1
        self.user_changes += 1

    def copied(self) -> ClusterImage:
        """Return another image of the same records, which are immutable: some dictionaries' work."""
        copy = ClusterImage()
        for name, value in vars(self).items():
            setattr(copy, name, dict(value) if isinstance(value, dict) else value)
        copy.partitions = {topic_id: dict(parts) for topic_id, parts in self.partitions.items()}
        return copy

    def apply(self, delta: MetadataDelta) -> None:
        """Take over the next delta; it must follow this image's version without a gap."""
        assert delta.version == self.position.version + 1, (delta.version, self.position)
        assert delta.controller_epoch >= self.position.controller_epoch
        for record in delta.records:
            self.apply_record(record)
        self.position = MetadataPosition(delta.controller_epoch, delta.version)

    def apply_record(self, record: MetadataRecord) -> None:
        """Take over one record of a delta that is still being made (the controller's draft)."""
        _APPLY[type(record)](self, record)

    def load(self, position: MetadataPosition, records: Iterable[MetadataRecord]) -> None:
        """Replace everything by ``records``, the whole image at ``position``."""
        self._clear()
        for record in records:
            self.apply_record(record)
        self.position = position

    def records(self) -> Iterator[MetadataRecord]:
        """Yield the records that :meth:`load` makes this very image of."""
        yield from self.brokers.values()
        yield from self.topics.values()
        for partitions in self.partitions.values():
            yield from partitions.values()
        yield ProducerIdsRecord(self.next_producer_id)
        for (kind, name), configs in self.configs.items():
            yield ConfigRecord(kind, name, configs)
        for pattern, entries in self.acls.items():
            yield AclRecord(*pattern, entries)
        for user, credentials in self.users.items():
            yield UserRecord(user, credentials)

    def partition(self, key: PartitionKey) -> PartitionRecord | None:
        """Return a partition's record, or None."""
        return self.partitions.get(key.topic_id, {}).get(key.partition)

    def newest(self, seen: PartitionRecord) -> PartitionRecord | None:
        """Return what has become of a partition's record, or None: its topic is gone."""
        return self.partitions.get(seen.topic_id, {}).get(seen.partition)

    def each_partition(self) -> Iterator[PartitionRecord]:
        """Yield every partition's newest record; the image may change from one to the next."""
        for topic_id in list(self.partitions):
            for number in list(self.partitions.get(topic_id, ())):
                record = self.partitions.get(topic_id, {}).get(number)
                if record is not None:
                    yield record

    def topic(self, name: str) -> TopicRecord | None:
        """Return a topic by name, or None."""
        topic_id = self.topic_ids.get(name)
        return None if topic_id is None else self.topics[topic_id]

    def broker_configs(self, node: NodeId) -> dict[str, str]:
        """Return the dynamic configs that a broker goes by: its own over the default of all."""
        cluster = self.configs.get((KIND_BROKER, ""), {})
        return {**cluster, **self.configs.get((KIND_BROKER, str(node)), {})}

    def cluster_config(self, name: str, default: str) -> str:
        """Return a dynamic config that is one for all brokers."""
        return self.configs.get((KIND_BROKER, ""), {}).get(name, default)

    def live_brokers(self) -> list[BrokerRecord]:
        """Return the brokers that are alive, by id."""
        return [self.brokers[node] for node in sorted(self.brokers) if self.brokers[node].alive]

    def placeable_brokers(self) -> list[BrokerRecord]:
        """Return the brokers that get new replicas: those that do not retreat, else all alive."""
        live = self.live_brokers()
        return [broker for broker in live if not self.is_retreating(broker.id)] or live

    def brokers_away(self) -> list[BrokerRecord]:
        """Return those that would get new replicas but are not there, or about to leave, by id."""
        there = self.placeable_brokers()
        known = [self.brokers[node] for node in sorted(self.brokers)]
        return [broker for broker in known if not broker.draining and broker not in there]

    def is_alive(self, node: NodeId) -> bool:
        """Tell whether this broker is registered and alive."""
        broker = self.brokers.get(node)
        return broker is not None and broker.alive

    def is_retreating(self, node: NodeId) -> bool:
        """Tell whether this broker is to lead nothing: it is about to stop, or drained."""
        broker = self.brokers.get(node)
        return broker is not None and (broker.leaving or broker.draining)

    def check(self) -> None:
        """Assert the invariants of the image (docs/guarantees.md, C1–C3, C7, C8)."""
        for topic_id, partitions in self.partitions.items():
            assert topic_id in self.topics, "a partition without a topic"
            for number, record in partitions.items():
                assert record.partition == number
                assert set(record.isr) <= set(record.replicas), "ISR ⊆ replicas"
                assert record.isr, "an ISR is never empty"
                assert record.leader == -1 or record.leader in record.isr, "leader ∈ ISR or none"
                replicas, going = set(record.replicas), set(record.removing)
                assert len(replicas) == len(record.replicas), "C7: a replica is there once"
                assert set(record.adding) | going <= replicas, "C7: they stay until it ends"
                assert going.isdisjoint(record.adding), "C7: nobody comes and goes"
                assert going < replicas, "C7: somebody stays"
                assert set(record.elr) <= replicas - set(record.isr), "C8: ELR ⊆ replicas − ISR"
        assert len(self.topic_ids) == len(self.topics), "topic names are unique"

    def _apply_broker(self, record: BrokerRecord) -> None:
        known = self.brokers.get(record.id)
        assert known is None or record.epoch >= known.epoch, "broker epochs never go back"
        self.brokers[record.id] = record

    def _apply_remove_broker(self, record: RemoveBrokerRecord) -> None:
        self.brokers.pop(record.id, None)
        self.configs.pop((KIND_BROKER, str(record.id)), None)

    def _apply_topic(self, record: TopicRecord) -> None:
        self.topics[record.topic_id] = record
        self.topic_ids[record.name] = record.topic_id
        self.partitions.setdefault(record.topic_id, {})

    def _apply_partition(self, record: PartitionRecord) -> None:
        partitions = self.partitions[record.topic_id]
        known = partitions.get(record.partition)
        if known is not None:
            assert record.leader_epoch >= known.leader_epoch, "leader epochs never go back"
            assert record.partition_epoch > known.partition_epoch, "partition epochs grow"
        partitions[record.partition] = record

    def _apply_remove_topic(self, record: RemoveTopicRecord) -> None:
        topic = self.topics.pop(record.topic_id, None)
        if topic is not None:
            del self.topic_ids[topic.name]
            del self.partitions[record.topic_id]

    def _apply_producer_ids(self, record: ProducerIdsRecord) -> None:
        assert record.next_producer_id >= self.next_producer_id, "producer ids never go back"
        self.next_producer_id = record.next_producer_id

    def _apply_config(self, record: ConfigRecord) -> None:
        if record.kind == KIND_CLIENT:
            self.quota_changes += 1
        if record.configs:
            self.configs[record.kind, record.name] = record.configs
        else:
            self.configs.pop((record.kind, record.name), None)

    def _apply_acl(self, record: AclRecord) -> None:
        pattern = Pattern(record.resource_type, record.pattern_type, record.name)
        self.acls.pop(pattern, None)
        if record.entries:
            self.acls[pattern] = record.entries
        self.acl_changes += 1

    def _apply_user(self, record: UserRecord) -> None:
        self.users.pop(record.name, None)
        if record.credentials:
            self.users[record.name] = record.credentials
        self.user_changes += 1


_APPLY: dict[type, Callable[[ClusterImage, Any], None]] = {
    BrokerRecord: ClusterImage._apply_broker,
    RemoveBrokerRecord: ClusterImage._apply_remove_broker,
    TopicRecord: ClusterImage._apply_topic,
    PartitionRecord: ClusterImage._apply_partition,
    RemoveTopicRecord: ClusterImage._apply_remove_topic,
    ProducerIdsRecord: ClusterImage._apply_producer_ids,
    ConfigRecord: ClusterImage._apply_config,
    AclRecord: ClusterImage._apply_acl,
    UserRecord: ClusterImage._apply_user,
}
