"""From a transaction's decision to its markers: sent to every partition's leader until it has them.

Owns the markers that are due.  All that are due to one leader go in one request, one at a time, so
that many small transactions cost few requests.  What waits for a leader's answer is not looked at
before that, unless the leader is lost: there may be tens of thousands, and a turn is to be short.
What cannot be written now (a leader is being elected, or is away) is tried again, for as long as this
broker coordinates; a later coordinator begins anew from its log.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from nodes.broker.cluster.peers import Peers
from nodes.broker.context import BrokerContext
from nodes.broker.coordinators.markers import Markers, Outcomes
from nodes.core.transaction.events import MarkersWritten, WriteMarkers
from transport.kernel import Now
from transport.wire.codec import Buffer
from transport.wire.errors import ErrorCode
from transport.wire.ids import LeaderEpoch, NodeId, PartitionKey
from transport.wire.messages import Message
from transport.wire.messages.transactions import (
    TransactionMarker,
    TransactionPartition,
    WriteTxnMarkersRequest,
    WriteTxnMarkersResponse,
)

AGAIN_MS = 50
MARKERS_MAX = 500
"""In one request."""

_WRITTEN = frozenset({ErrorCode.NONE, ErrorCode.INVALID_PRODUCER_EPOCH})
"""The marker is there, or one of a later transaction is: that one came after this."""
_FENCED = ErrorCode.TRANSACTION_COORDINATOR_FENCED


class Decision(msgspec.Struct, frozen=True, eq=False):
    """A transaction to be ended, and the shard that has decided so.

    Told apart by which one it is: to compare all its partitions for each of them takes minutes.
    """

    shard: int
    coordinator_epoch: LeaderEpoch
    order: WriteMarkers


class _Due(NamedTuple):
    """One partition that lacks a marker."""

    decision: Decision
    partition: TransactionPartition


OnWritten = Callable[[Decision, MarkersWritten], None]
Coordinates = Callable[[Decision], bool]
"""Tells whether this broker still coordinates by that epoch."""


class MarkerSender:
    """Sends what is due to each leader."""

    def __init__(
        self,
        context: BrokerContext,
        peers: Peers,
        here: Markers,
        *,
        on_written: OnWritten,
        coordinates: Coordinates,
    ) -> None:
        self._context = context
        self._peers = peers
        self._here = here
        self._on_written = on_written
        self._coordinates = coordinates
        self._due: list[_Due] = []
        """It is not known yet to whom."""
        self._queues: dict[NodeId, deque[_Due]] = {}
        """By the leader that they are due to, as of when it was looked up."""
        self._resting: list[_Due] = []
        """They could not be written, and are tried again after a while."""
        self._asking: set[NodeId] = set()
        self.has_news = False
        """Something has become due since the last turn, or is due to somebody who is not being asked."""

    def add(self, decision: Decision) -> None:
        """See to it that every partition gets its marker; they leave at the end of the turn."""
        self.has_news = True
        self._due += [_Due(decision, partition) for partition in decision.order.partitions]

    def end_turn(self, now: Now) -> None:
        """Send to every leader that is not being asked."""
        for leader in [one for one in self._queues if not self._context.image.is_alive(one)]:
            self._due += self._queues.pop(leader)
        self._queue_up(now)
        for leader in [one for one in self._queues if one not in self._asking]:
            dues = self._next(leader)
            if dues:
                self._send(leader, dues, now)
        self.has_news = bool(self._due) or not self._queues.keys() <= self._asking

    def _queue_up(self, now: Now) -> None:
        due, self._due = self._due, []
        homeless: list[_Due] = []
        for one in due:
            if not self._coordinates(one.decision):
                continue
            leader = self._leader(one)
            if leader is None:
                homeless.append(one)
            else:
                self._queues.setdefault(leader, deque()).append(one)
        self._rest(homeless, now)

    def _next(self, leader: NodeId) -> list[_Due]:
        """Take what a leader is to be sent next; what is due to another one by now is looked up again."""
        queue, dues = self._queues[leader], []
        for _ in range(min(len(queue), MARKERS_MAX)):
            due = queue.popleft()
            if self._leader(due) == leader and self._coordinates(due.decision):
                dues.append(due)
            else:
                self._due.append(due)
        if not queue:
            del self._queues[leader]
        return dues

    def _leader(self, due: _Due) -> NodeId | None:
        """Return the leader; nobody while one is elected. A topic that is gone needs no marker."""
        key = PartitionKey(due.partition.topic_id, due.partition.partition)
        if key.topic_id not in self._context.image.topics:
            return self._context.id
        record = self._context.image.partition(key)
        return None if record is None or record.leader < 0 else record.leader

    def _send(self, leader: NodeId, dues: list[_Due], now: Now) -> None:
        self._asking.add(leader)
        markers = tuple(_marker(due) for due in dues)

        def on_outcomes(outcomes: Outcomes, now: Now) -> None:
            self._asking.discard(leader)
            self.has_news |= leader in self._queues
            self._take(dues, outcomes, now)

        if leader == self._context.id:
            self._here.write(markers, on_outcomes, now)
            return

        def on_answer(body: Message, _payload: tuple[Buffer, ...], now: Now) -> None:
            if isinstance(body, WriteTxnMarkersResponse) and len(body.outcomes) == len(dues):
                on_outcomes(body.outcomes, now)
            else:
                on_outcomes(((),) * len(dues), now)

        link = self._peers.link(leader)
        request = WriteTxnMarkersRequest(markers)
        if link is None or not self._context.ask(link, request, on_answer, now):
            self._asking.discard(leader)
            self._rest(dues, now)

    def _take(self, dues: list[_Due], outcomes: Outcomes, now: Now) -> None:
        written: defaultdict[Decision, list[TransactionPartition]] = defaultdict(list)
        failed: list[_Due] = []
        for due, codes in zip(dues, outcomes, strict=True):
            code = codes[0] if codes else int(ErrorCode.UNKNOWN_SERVER_ERROR)
            gone = due.partition.topic_id not in self._context.image.topics
            if code in _WRITTEN or (gone and code == ErrorCode.UNKNOWN_TOPIC_ID):
                written[due.decision].append(due.partition)
            elif code == _FENCED:
                self._context.count("coordinators_fenced")
            else:
                failed.append(due)
        self._rest(failed, now)
        for decision, partitions in written.items():
            order = decision.order
            fact = MarkersWritten(
                order.transactional_id, order.producer_id, order.producer_epoch, tuple(partitions)
            )
            self._on_written(decision, fact)

    def _rest(self, dues: list[_Due], now: Now) -> None:
        if dues and not self._resting:
            self._context.timers.after(now, AGAIN_MS, self._wake)
        self._resting.extend(dues)

    def _wake(self, now: Now) -> None:
        self._due += self._resting
        self._resting.clear()


def _marker(due: _Due) -> TransactionMarker:
    order = due.decision.order
    return TransactionMarker(
        order.producer_id,
        order.producer_epoch,
        due.decision.coordinator_epoch,
        order.committed,
        (due.partition,),
        order.keeps_epoch,
    )
