"""Giving leadership up where the log has failed: somebody else in the ISR must lead.

A leader that proposes an ISR without itself resigns; the controller takes the next leader out of
that ISR.  Asked again until the image has another leader: a leader without a log serves nobody.
"""

from __future__ import annotations

from nodes.broker.context import BrokerContext
from nodes.broker.isr_changes import IsrChanges
from nodes.broker.replica import Replica, ReplicaState
from transport.kernel import Now
from transport.wire.ids import BrokerEpoch
from transport.wire.messages.metadata import IsrMember, PartitionChange

AGAIN_AFTER_MS = 500
"""Longer than the controller takes to decide, and than an election of one."""


class Resignations:
    """Resigns for the replicas of this broker."""

    def __init__(self, context: BrokerContext, isr_changes: IsrChanges) -> None:
        self._context = context
        self._isr_changes = isr_changes
        self._resigning: set[Replica] = set()

    def look_at(self, replica: Replica, now: Now) -> None:
        """Resign if this replica leads without a log; does nothing otherwise."""
        if replica not in self._resigning:
            self._resign(replica, now)

    def _resign(self, replica: Replica, now: Now) -> None:
        self._resigning.discard(replica)
        record, me = replica.record, self._context.id
        if replica.state is not ReplicaState.OFFLINE or record.leader != me:
            return
        self._resigning.add(replica)
        self._context.timers.after(now, AGAIN_AFTER_MS, lambda now: self._resign(replica, now))
        image = self._context.image
        others = [node for node in record.isr if node != me and image.is_alive(node)]
        if others:
            # Without another member nobody else has what was acknowledged.
            self._context.count("leaderships_given_up")
            members = tuple(IsrMember(node, BrokerEpoch(-1)) for node in others)
            change = PartitionChange(
                record.topic_id,
                record.partition,
                record.leader_epoch,
                record.partition_epoch,
                members,
            )
            self._isr_changes.add(replica, change)
