"""Brokers that come and go, and people who ask for all kinds of things meanwhile."""

from __future__ import annotations

from random import Random

from msgspec.structs import replace

from nodes.core.controller.events import (
    Asked,
    BalanceDue,
    ControllerEvent,
    ControllerSettings,
    LiveBrokers,
)
from tests.unit.controller.cluster import Cluster, broker, epoch_of
from transport.wire.ids import NodeId
from transport.wire.messages import Message
from transport.wire.messages.configs import (
    RESOURCE_BROKER,
    AlterConfigsRequest,
    AlteredConfigs,
    ConfigChange,
    ConfigOp,
)
from transport.wire.messages.metadata import (
    AlterPartitionRequest,
    IsrMember,
    MetadataDelta,
    PartitionChange,
    PartitionRecord,
    RemoveTopicRecord,
    TopicRecord,
)
from transport.wire.messages.reassignments import (
    ELECT_PREFERRED,
    AlterReassignmentsRequest,
    ControlledShutdownRequest,
    DrainBrokerRequest,
    ElectLeadersRequest,
    Reassignment,
)
from transport.wire.messages.topics import (
    CreatePartitionsRequest,
    CreateTopicsRequest,
    DeleteTopicsRequest,
    NewPartitions,
    NewTopic,
)

NAMES = "tuvwx"
PARTITIONS_MAX = 24


class Crowd:
    """Brokers that come and go, and people who ask for all kinds of things meanwhile."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        settings = drawn_settings(self.random)
        self.cluster = Cluster(settings=settings)
        self.alive = {node: broker(node) for node in range(1, 6)}
        self._epoch = 200
        self.asked: dict[int, Message] = {}
        self.cluster.live(*self.alive.values(), takeover=True)
        for name in ("t", "u", "v"):
            self.cluster.create(name, 8, 3)
        self.delta: MetadataDelta | None = None

    def step(self, event: ControllerEvent) -> None:
        for delta in self.cluster.step(event).append:
            self._order(delta)

    def _order(self, delta: MetadataDelta) -> None:
        assert self.delta is None
        self.delta = delta
        names = [
            self.cluster.image.topics[record.topic_id].name
            for record in delta.records
            if isinstance(record, RemoveTopicRecord)
        ]
        names += [record.name for record in delta.records if isinstance(record, TopicRecord)]
        assert len(set(names)) == len(names), "no commit names a topic twice"

    def act(self) -> None:
        """Let one thing happen; every second one is the commit that is due."""
        if self.delta is not None and self.random.random() < 0.5:
            self._commit(self.delta)
        else:
            acts = (self._come_or_go, self._come_or_go, self._ask, self._ask, self._look)
            self.random.choice(acts)()

    def _commit(self, delta: MetadataDelta) -> None:
        self.delta = None
        for following in self.cluster.commit(delta).append:
            self._order(following)

    def _come_or_go(self) -> None:
        node = self.random.randint(1, 5)
        if node in self.alive and len(self.alive) > 1:
            del self.alive[node]
        else:
            self._epoch += 1
            intact = self.random.random() < 0.7
            self.alive[node] = replace(broker(node, self._epoch), intact=intact)
        self.step(LiveBrokers(tuple(self.alive.values())))

    def _look(self) -> None:
        self.step(BalanceDue())

    def _ask(self) -> None:
        token, request = len(self.asked), self._request()
        self.asked[token] = request
        self.step(Asked(request, token))

    def _request(self) -> Message:
        random, name = self.random, self.random.choice(NAMES)
        topic = self.cluster.image.topic(name)
        if topic is None:
            count = random.randint(1, PARTITIONS_MAX)
            return CreateTopicsRequest((NewTopic(name, count, 3),), 1_000, True)
        record = self.cluster.image.partitions[topic.topic_id].get(random.randrange(8))
        chance = random.random()
        if record is None or chance < 0.1:
            return DeleteTopicsRequest((name,), 1_000)
        if chance < 0.25:
            replicas = tuple(NodeId(node) for node in random.sample(range(1, 6), 3))
            return AlterReassignmentsRequest(
                (Reassignment(name, record.partition, replicas),), 1_000
            )
        if chance < 0.35:
            count = topic.partition_count + random.randint(1, PARTITIONS_MAX)
            return CreatePartitionsRequest((NewPartitions(name, count),), 1_000)
        if chance < 0.5:
            return self._request_of_all()
        led = self.cluster.image.partitions[topic.topic_id].values()
        changes = [self._change(other) for other in led if other.leader == record.leader]
        return AlterPartitionRequest(
            record.leader, epoch_of(self.cluster, record.leader), tuple(changes)
        )

    def _request_of_all(self) -> Message:
        random, node = self.random, NodeId(self.random.randint(1, 5))
        chance = random.random()
        if chance < 0.3:
            return DrainBrokerRequest(node, random.random() < 0.5, 1_000)
        if chance < 0.6:
            return ControlledShutdownRequest(node, epoch_of(self.cluster, node))
        if chance < 0.8:
            return ElectLeadersRequest(ELECT_PREFERRED, None, 1_000)
        least = ConfigChange("min.insync.replicas", ConfigOp.SET, str(random.randint(1, 2)))
        return AlterConfigsRequest((AlteredConfigs(RESOURCE_BROKER, "", (least,)),), 1_000)

    def _change(self, record: PartitionRecord) -> PartitionChange:
        members = [node for node in record.replicas if node in self.alive]
        isr = [node for node in members if node == record.leader or self.random.random() < 0.7]
        return PartitionChange(
            record.topic_id,
            record.partition,
            record.leader_epoch,
            record.partition_epoch,
            tuple(IsrMember(node, self.alive[int(node)].epoch) for node in isr),
        )

    def settle(self) -> None:
        while self.delta is not None:
            self._commit(self.delta)


def drawn_settings(random: Random) -> ControllerSettings:
    return ControllerSettings(
        min_insync_replicas=2,
        piece_records=random.randint(1, 4),
        commit_bytes_max=random.choice((400, 1_500, 6_000)),
    )
