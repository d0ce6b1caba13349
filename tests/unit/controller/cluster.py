"""A controller's core with an image that commits what it orders."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from nodes.core.controller.core import ControllerCore, ControllerEffects
from nodes.core.controller.events import (
    Asked,
    Committed,
    ControllerEvent,
    ControllerSettings,
    LiveBrokers,
)
from nodes.core.controller.image import ClusterImage
from transport.kernel import TICK, Now
from transport.wire.errors import ErrorCode
from transport.wire.ids import (
    BrokerEpoch,
    ControllerEpoch,
    Incarnation,
    NodeId,
    NodeName,
    PartitionKey,
    TopicId,
)
from transport.wire.messages import Message
from transport.wire.messages.metadata import (
    FORMATS,
    AlterPartitionRequest,
    BrokerRecord,
    IsrMember,
    MetadataDelta,
    PartitionChange,
    PartitionRecord,
)
from transport.wire.messages.topics import CreateTopicsRequest, CreateTopicsResponse, NewTopic

NOW = Now(1_000, 1_700_000_000_000)


def broker(node: int, epoch: int | None = None, rack: str = "") -> BrokerRecord:
    return BrokerRecord(
        NodeId(node),
        NodeName(f"broker-{node}"),
        BrokerEpoch(100 + node if epoch is None else epoch),
        Incarnation(1),
        f"peers-{node}",
        f"clients-{node}",
        f"events-{node}",
        rack,
        True,
        formats=FORMATS,
    )


class Cluster:
    """A core with an image that commits what it orders."""

    def __init__(
        self,
        image: ClusterImage | None = None,
        settings: ControllerSettings | None = None,
        epoch: int = 1,
    ) -> None:
        self.image = image or ClusterImage()
        self._ids = 0
        self.core = ControllerCore(
            self.image, ControllerEpoch(epoch), settings or ControllerSettings(), self._new_id
        )
        self.replies: dict[object, Message] = {}
        self.deltas: list[MetadataDelta] = []

    def _new_id(self) -> TopicId:
        self._ids += 1
        return TopicId(self._ids.to_bytes(16, "big"))

    def step(self, event: ControllerEvent, now: Now = NOW) -> ControllerEffects:
        """A turn in which nothing else comes."""
        effects = self.core.step(event, now)
        decided = self.core.step(TICK, now)
        effects.append += decided.append
        effects.reply += decided.reply
        self.core.check()
        for answer in effects.reply:
            assert answer.token not in self.replies, "one answer each"
            self.replies[answer.token] = answer.message
        return effects

    def run(self, *events: ControllerEvent) -> None:
        """Step, and commit until nothing is in flight."""
        for event in events:
            effects = self.step(event)
            while effects.append:
                (delta,) = effects.append
                effects = self.commit(delta)

    def commit(self, delta: MetadataDelta) -> ControllerEffects:
        self.image.apply(delta)
        self.image.check()
        self.deltas.append(delta)
        effects = self.step(Committed(delta.version))
        assert effects.publish == [delta]
        return effects

    def live(self, *records: BrokerRecord, takeover: bool = False) -> None:
        self.run(LiveBrokers(records, takeover))

    def ask(self, request: Message) -> Any:
        token = object()
        self.run(Asked(request, token))
        return self.replies.pop(token)

    def create(self, name: str, partitions: int = 1, factor: int = 1, **configs: str) -> TopicId:
        new = NewTopic(
            name, partitions, factor, {k.replace("_", "."): v for k, v in configs.items()}
        )
        answer: CreateTopicsResponse = self.ask(CreateTopicsRequest((new,), 1000))
        (outcome,) = answer.topics
        assert outcome.error == ErrorCode.NONE, outcome
        return outcome.topic_id

    def propose(self, record: PartitionRecord, isr: Iterable[int], lost: Iterable[int] = ()) -> Any:
        """Have the leader of a partition ask for another ISR; returns what became of that."""
        members = tuple(IsrMember(NodeId(node), epoch_of(self, node)) for node in isr)
        change = PartitionChange(
            record.topic_id,
            record.partition,
            record.leader_epoch,
            record.partition_epoch,
            members,
            tuple(map(NodeId, lost)),
        )
        leader = record.leader
        (outcome,) = self.ask(
            AlterPartitionRequest(leader, epoch_of(self, leader), (change,))
        ).changes
        return outcome

    def partition(self, topic_id: TopicId, number: int = 0) -> PartitionRecord:
        record = self.image.partition(PartitionKey(topic_id, number))
        assert record is not None
        return record


def three(settings: ControllerSettings | None = None) -> Cluster:
    cluster = Cluster(settings=settings)
    cluster.live(broker(1), broker(2), broker(3), takeover=True)
    return cluster


def begin(cluster: Cluster, *events: ControllerEvent) -> MetadataDelta:
    """Step; return the delta that is in flight then."""
    ordered = [delta for event in events for delta in cluster.step(event).append]
    (delta,) = ordered
    return delta


def finish(cluster: Cluster, delta: MetadataDelta) -> None:
    """Commit it, and what follows until nothing is in flight."""
    effects = cluster.commit(delta)
    while effects.append:
        (delta,) = effects.append
        effects = cluster.commit(delta)


def epoch_of(cluster: Cluster, node: int) -> BrokerEpoch:
    """Return the epoch of a broker's newest registration; −1: there is none."""
    known = cluster.image.brokers.get(NodeId(node))
    return BrokerEpoch(-1) if known is None else known.epoch
