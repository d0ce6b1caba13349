"""Leaders that change though nobody has died: preferred ones, balance, brokers about to leave."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from nodes.core.controller.broker_configs import AUTO_REBALANCE
from nodes.core.controller.elections import Elections, stepped, successor
from nodes.core.controller.events import Decision, Pause
from nodes.core.controller.image import ClusterImage
from nodes.core.controller.isr import is_current_broker
from transport.wire.errors import ErrorCode
from transport.wire.ids import NodeId
from transport.wire.messages.metadata import PartitionRecord, RemoveBrokerRecord, TopicRecord
from transport.wire.messages.reassignments import (
    ELECT_PREFERRED,
    ELECT_UNCLEAN,
    ControlledShutdownRequest,
    ControlledShutdownResponse,
    DrainBrokerRequest,
    DrainBrokerResponse,
    ElectLeadersRequest,
    ElectLeadersResponse,
    PartitionOutcome,
    UnregisterBrokerRequest,
    UnregisterBrokerResponse,
)

IMBALANCE_PERCENT = 10
"""Kafka's leader.imbalance.per.broker.percentage."""

Refused = tuple[ErrorCode, str]


class Leaders:
    """Decides on leaderships; whom clean elections allow is the elections' to know."""

    def __init__(self, elections: Elections) -> None:
        self._elections = elections

    # On demand

    def decide_election(self, image: ClusterImage, request: ElectLeadersRequest) -> Decision:
        """Elect where it is asked for and possible; each partition gets an outcome of its own."""
        if request.kind not in (ELECT_PREFERRED, ELECT_UNCLEAN):
            return ElectLeadersResponse(ErrorCode.INVALID_REQUEST)
        asked = request.partitions
        outcomes: list[PartitionOutcome] = []
        for name, number in list(_all_partitions(image)) if asked is None else asked:
            yield Pause.PAUSE
            topic = image.topic(name)
            record = None if topic is None else image.partitions[topic.topic_id].get(number)
            judged: PartitionRecord | Refused
            if topic is None or record is None:
                if asked is None:
                    continue  # it has been deleted since
                text = f"there is no partition {name[:80]}-{number}"
                judged = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, text
            elif request.kind == ELECT_PREFERRED:
                judged = self._preferred(image, record)
            else:
                judged = self._unclean(image, topic, record)
            if not isinstance(judged, tuple):
                yield judged
                judged = ErrorCode.NONE, ""
            if asked is not None or judged[0] is not ErrorCode.ELECTION_NOT_NEEDED:
                outcomes.append(PartitionOutcome(name, number, *judged))
        return ElectLeadersResponse(ErrorCode.NONE, tuple(outcomes))

    def _unclean(
        self, image: ClusterImage, topic: TopicRecord, record: PartitionRecord
    ) -> PartitionRecord | Refused:
        if image.is_alive(record.leader):
            return ErrorCode.ELECTION_NOT_NEEDED, "it has a leader"
        after = self._elections.settled(image, record, record)
        if after is not None and image.is_alive(after.leader):
            return after
        if not self._elections.allows_unclean(image, topic):
            text = f"set unclean.leader.election.enable=true for {topic.name}: records can be lost"
        else:
            text = "none of its replicas is alive"
        return ErrorCode.ELIGIBLE_LEADERS_NOT_AVAILABLE, text

    # Balance

    def decide_balance(self, image: ClusterImage) -> Iterator[PartitionRecord]:
        """Give brokers back what they are preferred for, where more than a tenth is led elsewhere.

        Other decisions may come between any two records: each is an election of its own.
        """
        if image.cluster_config(AUTO_REBALANCE, "true") != "true":
            return
        preferred: dict[NodeId, list[PartitionRecord]] = {}
        for partitions in image.partitions.values():
            for record in partitions.values():
                preferred.setdefault(record.replicas[0], []).append(record)
        for records in preferred.values():
            elsewhere = [record for record in records if record.leader != record.replicas[0]]
            if len(elsewhere) * 100 > len(records) * IMBALANCE_PERCENT:
                for seen in elsewhere:
                    newest = image.newest(seen)
                    judged = None if newest is None else self._preferred(image, newest)
                    if isinstance(judged, PartitionRecord):
                        yield judged

    # Brokers about to leave

    def decide_departure(self, image: ClusterImage, request: ControlledShutdownRequest) -> Decision:
        """Let others lead before a broker stops, until it registers anew."""
        node = request.broker_id
        if not is_current_broker(image, node, request.broker_epoch):
            return ControlledShutdownResponse(ErrorCode.STALE_BROKER_EPOCH)
        if not image.brokers[node].leaving:
            yield replace(image.brokers[node], leaving=True)
        yield from self._handed_over(image, node)
        if not is_current_broker(image, node, request.broker_epoch):
            return ControlledShutdownResponse(ErrorCode.STALE_BROKER_EPOCH)
        led = sum(record.leader == node for record in _records(image))
        return ControlledShutdownResponse(ErrorCode.NONE, led)

    def decide_drain(self, image: ClusterImage, request: DrainBrokerRequest) -> Decision:
        """Let a broker lead nothing and get nothing new, also after its next start; or let it again."""
        broker = image.brokers.get(request.broker_id)
        if broker is None:
            text = f"there is no broker {request.broker_id}"
            return DrainBrokerResponse(ErrorCode.BROKER_ID_NOT_REGISTERED, text)
        others = [other for other in image.live_brokers() if not other.draining]
        if request.draining and all(other.id == broker.id for other in others):
            text = f"broker {broker.id} is the last one that could lead"
            return DrainBrokerResponse(ErrorCode.INVALID_REQUEST, text)
        if broker.draining != request.draining:
            yield replace(broker, draining=request.draining)
        if request.draining:
            yield from self._handed_over(image, broker.id)
        return DrainBrokerResponse(ErrorCode.NONE)

    def decide_removal(self, image: ClusterImage, request: UnregisterBrokerRequest) -> Decision:
        """Forget a broker that is stopped and has no replicas."""
        node = request.broker_id
        if node not in image.brokers:
            text = f"there is no broker {node}"
            return UnregisterBrokerResponse(ErrorCode.BROKER_ID_NOT_REGISTERED, text)
        if image.is_alive(node):
            text = f"broker {node} is alive; stop it first"
            return UnregisterBrokerResponse(ErrorCode.INVALID_REQUEST, text)
        hosted = sum(node in record.replicas for record in _records(image))
        if hosted:
            text = f"broker {node} has {hosted} replicas; drain it first"
            return UnregisterBrokerResponse(ErrorCode.INVALID_REQUEST, text)
        yield RemoveBrokerRecord(node)
        return UnregisterBrokerResponse(ErrorCode.NONE)

    # One partition

    def _preferred(self, image: ClusterImage, record: PartitionRecord) -> PartitionRecord | Refused:
        """Return the record led by its first replica, or why it is not to be."""
        first = record.replicas[0]
        if record.leader == first:
            return ErrorCode.ELECTION_NOT_NEEDED, "its preferred leader leads"
        if not image.is_alive(first) or image.is_retreating(first):
            text = f"its preferred leader, broker {first}, is not there"
            return ErrorCode.PREFERRED_LEADER_NOT_AVAILABLE, text
        if first not in record.isr:
            text = f"its preferred leader, broker {first}, is not in sync yet"
            return ErrorCode.PREFERRED_LEADER_NOT_AVAILABLE, text
        return self._led_by(image, record, first)

    def _handed_over(self, image: ClusterImage, node: NodeId) -> Iterator[PartitionRecord | Pause]:
        """Yield what ``node`` leads and another can lead, led by that one. The ISR stays.

        Not by one that is about to stop, too: of two that leave together each would give it to the
        other, and whoever lives longest leads it anyway.  It ends when ``node`` does not retreat any
        more: it has registered anew, or is to lead again.
        """
        for seen in [record for record in _records(image) if record.leader == node]:
            yield Pause.PAUSE
            record = image.newest(seen)
            if not image.is_retreating(node):
                return
            if record is None or record.leader != node:
                continue
            others = [
                member
                for member in record.isr
                if member != node and image.is_alive(member) and not image.brokers[member].leaving
            ]
            if others:
                yield self._led_by(image, record, successor(image, record.replicas, others))

    def _led_by(
        self, image: ClusterImage, record: PartitionRecord, leader: NodeId
    ) -> PartitionRecord:
        """Return the record under that leader; between two pieces of a death without the dead."""
        wanted = replace(record, leader=leader)
        if all(image.is_alive(member) for member in record.isr):
            return stepped(record, wanted)
        return self._elections.settled(image, record, wanted) or stepped(record, wanted)


def _records(image: ClusterImage) -> Iterator[PartitionRecord]:
    for partitions in image.partitions.values():
        yield from partitions.values()


def _all_partitions(image: ClusterImage) -> Iterator[tuple[str, int]]:
    for topic_id, partitions in image.partitions.items():
        for number in partitions:
            yield image.topics[topic_id].name, number
