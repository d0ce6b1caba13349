"""ISR changes on their way to the controller: gathered in a turn, one request in flight.

Owns what is asked and for whom.  Every change ends in one ``IsrAnswered`` for its replica, whatever
became of the request.
"""

from __future__ import annotations

from msgspec.structs import replace

from nodes.broker.cluster.controller_channel import ControllerChannel
from nodes.broker.context import BrokerContext
from nodes.broker.partitions.replica import Replica
from nodes.core.partition.events import IsrAnswered
from transport.kernel import Now
from transport.wire.codec import Buffer
from transport.wire.errors import ErrorCode
from transport.wire.ids import BrokerEpoch, PartitionKey
from transport.wire.messages import Message, Refusal
from transport.wire.messages.metadata import (
    AlterPartitionRequest,
    AlterPartitionResponse,
    IsrMember,
    PartitionChange,
    PartitionChanged,
)

CHANGES_MAX = 200
"""In one request: the controller commits so many together."""

Asked = list[tuple[Replica, PartitionChange]]


class IsrChanges:
    """Sends AlterPartition."""

    def __init__(self, context: BrokerContext, channel: ControllerChannel) -> None:
        self._context = context
        self._channel = channel
        self._gathered: dict[PartitionKey, tuple[Replica, PartitionChange]] = {}
        self._in_flight: Asked = []

    def concerned(self) -> list[Replica]:
        """Return the replicas whose changes are not decided yet."""
        return [replica for replica, _ in (*self._gathered.values(), *self._in_flight)]

    def add(self, replica: Replica, change: PartitionChange) -> None:
        """Take a change; an older one of the same replica that was not sent yet is of no use."""
        self._gathered[replica.key] = (replica, change)

    def end_turn(self, now: Now) -> None:
        """Send what has gathered, unless a request is under way."""
        if self._in_flight or not self._gathered:
            return
        keys = list(self._gathered)[:CHANGES_MAX]
        self._in_flight = asked = [self._gathered.pop(key) for key in keys]
        self._context.count("isr_changes_asked", len(asked))
        request = AlterPartitionRequest(
            self._context.id,
            self._context.broker_epoch,
            tuple(self._complete(change) for _, change in asked),
        )

        def on_answer(body: Message, _payload: tuple[Buffer, ...], now: Now) -> None:
            self._in_flight = []
            self._answered(asked, body, now)

        self._channel.ask(request, on_answer, now)

    def _complete(self, change: PartitionChange) -> PartitionChange:
        """Fill in broker epochs: our own, and of members that have not fetched from us yet.

        For those the ISR that the controller itself gave us is the word that they were in sync.
        """
        isr = tuple(
            member if member.broker_epoch >= 0 else IsrMember(member.id, self._epoch_of(member))
            for member in change.isr
        )
        return replace(change, isr=isr)

    def _epoch_of(self, member: IsrMember) -> BrokerEpoch:
        if member.id == self._context.id:
            return self._context.broker_epoch
        known = self._context.image.brokers.get(member.id)
        return BrokerEpoch(-1) if known is None else known.epoch

    def _answered(self, asked: Asked, body: Message, now: Now) -> None:
        outcomes: dict[PartitionKey, PartitionChanged] = {}
        error = int(ErrorCode.UNKNOWN_SERVER_ERROR)
        if isinstance(body, Refusal):
            error = body.error
        elif isinstance(body, AlterPartitionResponse):
            error = body.error or error
            if body.error == ErrorCode.NONE:
                outcomes = {PartitionKey(out.topic_id, out.partition): out for out in body.changes}
        for replica, change in asked:
            found = outcomes.get(replica.key)
            replica.step(
                IsrAnswered(
                    change.leader_epoch,
                    change.partition_epoch,
                    error if found is None else found.error,
                    None if found is None else found.record,
                ),
                now,
            )
