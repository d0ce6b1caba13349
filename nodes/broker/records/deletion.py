"""DELETE_RECORDS: judged by each partition's core, answered when no in-sync replica has them any more.

Owns the requests that wait for some of their partitions.
"""

from __future__ import annotations

from nodes.broker.context import BrokerContext, Request
from nodes.broker.partitions.replica import ProduceToken, Replica
from nodes.broker.records.produce import FindReplica
from nodes.core.controller.names import is_internal
from nodes.core.partition.events import DeleteRecords, Produced
from nodes.core.topic_configs import POLICY_DELETE
from transport.kernel import Now
from transport.wire.errors import ErrorCode, meaning
from transport.wire.ids import PartitionKey
from transport.wire.messages.deletion import (
    DeletedRecords,
    DeleteRecordsPartition,
    DeleteRecordsRequest,
    DeleteRecordsResponse,
)

TIMEOUT_MAX_MS = 300_000
PARTITIONS_MAX = 4_000


class _Waiting:
    """A request some of whose partitions have no outcome yet."""

    __slots__ = ("left", "outcomes", "request")

    def __init__(self, request: Request, partitions: int) -> None:
        self.request = request
        self.outcomes: list[DeletedRecords | None] = [None] * partitions
        self.left = partitions


class _Part(ProduceToken):
    """One partition of a request."""

    __slots__ = ("_deletions", "_part", "_place", "_waiting")

    def __init__(
        self, deletions: Deletions, waiting: _Waiting, place: int, part: DeleteRecordsPartition
    ) -> None:
        self._deletions = deletions
        self._waiting = waiting
        self._place = place
        self._part = part

    def ended(self, replica: Replica, produced: Produced, now: Now) -> None:
        """Note the outcome; the last one of a request answers it."""
        self._deletions.end(self._waiting, self._place, self._part, produced)


class Deletions:
    """Answers DeleteRecordsRequest."""

    def __init__(self, context: BrokerContext, find: FindReplica) -> None:
        self._context = context
        self._find = find

    def on_request(self, request: Request, now: Now) -> None:
        """Give each partition's part to its core."""
        body = request.envelope.body
        assert isinstance(body, DeleteRecordsRequest), "by the dispatch table"
        if not 0 < len(body.partitions) <= PARTITIONS_MAX:
            self._context.reply(request, DeleteRecordsResponse(ErrorCode.INVALID_REQUEST))
            return
        waiting = _Waiting(request, len(body.partitions))
        due_ms = request.due_ms(now, min(body.timeout_ms, TIMEOUT_MAX_MS))
        for place, part in enumerate(body.partitions):
            replica = self._find(PartitionKey(part.topic_id, part.partition))
            error = replica if isinstance(replica, ErrorCode) else _refusal(replica)
            token = _Part(self, waiting, place, part)
            if isinstance(replica, ErrorCode) or error is not ErrorCode.NONE:
                self.end(waiting, place, part, Produced(token, error))
            else:
                replica.step(DeleteRecords(token, part.offset, due_ms), now)

    def end(
        self, waiting: _Waiting, place: int, part: DeleteRecordsPartition, produced: Produced
    ) -> None:
        """Take the outcome of one partition."""
        error = produced.error
        low = produced.base_offset
        text = "" if error is ErrorCode.NONE else meaning(error).text
        waiting.outcomes[place] = DeletedRecords(part.topic_id, part.partition, error, low, text)
        waiting.left -= 1
        if not waiting.left:
            outcomes = tuple(outcome for outcome in waiting.outcomes if outcome is not None)
            self._context.reply(waiting.request, DeleteRecordsResponse(ErrorCode.NONE, outcomes))


def _refusal(replica: Replica) -> ErrorCode:
    """Judge what the core cannot: whose log keeps the last of each key is not cut short."""
    if is_internal(replica.name.topic):
        return ErrorCode.INVALID_TOPIC
    if POLICY_DELETE not in replica.settings.log.cleanup_policy.split(","):
        return ErrorCode.POLICY_VIOLATION
    return ErrorCode.NONE if replica.core is not None else replica.absence
