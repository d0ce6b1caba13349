"""Who leads instead: told beside an error, so that a client need not ask for it."""

from __future__ import annotations

from nodes.broker.kafka.exchange import Exchange
from transport.gateway.kafka.messages.produce import CurrentLeader, NodeEndpoint
from transport.wire.errors import ErrorCode
from transport.wire.ids import NodeId, PartitionKey, TopicId

TOLD_WITH = (ErrorCode.NOT_LEADER_OR_FOLLOWER, ErrorCode.FENCED_LEADER_EPOCH)


class Leaders:
    """Those that one answer tells of."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._told: dict[NodeId, None] = {}

    def of(self, topic_id: TopicId, partition: int, error: int) -> CurrentLeader | None:
        """Return a partition's leader, where the error says that another one is asked for."""
        record = self._exchange.context.image.partition(PartitionKey(topic_id, partition))
        if error not in TOLD_WITH or record is None or record.leader < 0:
            return None
        self._told[record.leader] = None
        return CurrentLeader(leader_id=record.leader, leader_epoch=record.leader_epoch)

    def endpoints(self) -> tuple[NodeEndpoint, ...]:
        """Return where those leaders are."""
        places = ((node, self._exchange.place_of(node)) for node in self._told)
        return tuple(
            NodeEndpoint(node_id=node, host=place.host, port=place.port, rack=place.rack or None)
            for node, place in places
            if place is not None
        )
