"""Telling the controller which replicas here have no log that works: others must lead, and be counted.

Told again until the image counts on none of them: a leader without a log serves nobody, and a member
of an ISR that is never there holds ``acks=all`` up.  Of what nobody else has, the image stays; who might
have it may come back.
"""

from __future__ import annotations

from collections.abc import Callable

from nodes.broker.cluster.controller_channel import ControllerChannel
from nodes.broker.context import BrokerContext
from nodes.broker.partitions.replica import Replica, ReplicaState
from transport.kernel import Now
from transport.wire.codec import Buffer
from transport.wire.ids import PartitionKey
from transport.wire.messages import Message
from transport.wire.messages.metadata import ReplicasFailedRequest

AGAIN_AFTER_MS = 500
"""Longer than the controller takes to decide, and than an election of one."""
AT_ONCE_MAX = 1_000
"""In one request: the controller commits them together."""


class FailedReplicas:
    """Speaks for the replicas of this broker."""

    def __init__(
        self,
        context: BrokerContext,
        channel: ControllerChannel,
        find: Callable[[PartitionKey], Replica | None],
    ) -> None:
        self._context = context
        self._channel = channel
        self._find = find
        self._gathered: dict[Replica, None] = {}
        self._told: dict[Replica, None] = {}
        """Or with nobody at present who could be counted on instead: looked at again in a while."""

    def look_at(self, replica: Replica, _now: Now) -> None:
        """Tell of this replica if it has failed, and somebody may count on it."""
        if replica not in self._told and self._is_counted_on(replica):
            self._gathered[replica] = None

    def _is_counted_on(self, replica: Replica) -> bool:
        if replica.state is not ReplicaState.OFFLINE or self._find(replica.key) is not replica:
            return False
        image, me = self._context.image, self._context.id
        record = image.partition(replica.key)
        return record is not None and me in (*record.isr, *record.elr) and len(record.replicas) > 1

    def _can_give_way(self, replica: Replica) -> bool:
        image, me = self._context.image, self._context.id
        record = image.partition(replica.key)
        others = () if record is None else record.replicas
        return any(node != me and image.is_alive(node) for node in others)

    def end_turn(self, now: Now) -> None:
        """Tell of what has gathered, where another replica is there; look again in a while."""
        if not self._gathered:
            return
        looked_at = list(self._gathered)[:AT_ONCE_MAX]
        for replica in looked_at:
            del self._gathered[replica]
            self._told[replica] = None
        told = [replica for replica in looked_at if self._can_give_way(replica)]

        def look_again(now: Now) -> None:
            for replica in looked_at:
                self._told.pop(replica, None)
                self.look_at(replica, now)

        def on_answer(_body: Message, _payload: tuple[Buffer, ...], now: Now) -> None:
            self._context.timers.after(now, AGAIN_AFTER_MS, look_again)

        if not told:
            self._context.timers.after(now, AGAIN_AFTER_MS, look_again)
            return
        self._context.count("failed_replicas_told", len(told))
        request = ReplicasFailedRequest(
            self._context.id,
            self._context.broker_epoch,
            tuple((replica.key.topic_id, replica.key.partition) for replica in told),
        )
        self._channel.ask(request, on_answer, now)
