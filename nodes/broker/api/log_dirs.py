"""DESCRIBE_LOG_DIRS and ALTER_REPLICA_LOG_DIRS: the log directories of this broker.

What is in them and which have failed; and which replica is to be in which.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from nodes.broker.context import BrokerContext, Request
from nodes.broker.logs.directories import LogDirectory
from nodes.broker.partitions.log_moves import LogMoves
from nodes.broker.partitions.replica import Replica, ReplicaState
from nodes.storage.disk import StorageError
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.ids import PartitionKey
from transport.wire.messages import Message
from transport.wire.messages import log_directories as wire

REPLICAS_MAX = 4_000
"""In one request."""

LogSizes = Mapping[LogDirectory, Sequence[wire.LogSize]]


class LogDirsApi:
    """Answers about the directories of one broker."""

    def __init__(
        self,
        context: BrokerContext,
        sizes: Callable[[], LogSizes],
        lookup: Callable[[PartitionKey], Replica | ErrorCode],
        moves: LogMoves,
    ) -> None:
        self._context = context
        self._sizes = sizes
        self._lookup = lookup
        self._moves = moves
        self.handlers: dict[type[Message], Callable[[Request, Now], None]] = {
            wire.DescribeLogDirsRequest: self.on_describe,
            wire.AlterReplicaLogDirsRequest: self.on_alter,
        }

    def on_describe(self, request: Request, _now: Now) -> None:
        """Answer from memory, but for the free space."""
        told = [
            wire.LogDirectory(
                directory.path,
                ErrorCode.NONE if directory.is_online else ErrorCode.KAFKA_STORAGE_ERROR,
                directory.failure,
                free_bytes(self._context, directory),
                tuple(sorted(sizes, key=lambda one: (one.topic, one.partition))),
            )
            for directory, sizes in self._sizes().items()
        ]
        self._context.reply(request, wire.DescribeLogDirsResponse(ErrorCode.NONE, tuple(told)))

    def on_alter(self, request: Request, now: Now) -> None:
        """Begin to move replicas, or leave them where they are; answer at once."""
        body = request.envelope.body
        assert isinstance(body, wire.AlterReplicaLogDirsRequest), "by the dispatch table"
        if not 0 < len(body.replicas) <= REPLICAS_MAX:
            self._context.reply(
                request, wire.AlterReplicaLogDirsResponse(ErrorCode.INVALID_REQUEST)
            )
            return
        outcomes = tuple(self._alter(wanted, now) for wanted in body.replicas)
        self._context.reply(request, wire.AlterReplicaLogDirsResponse(ErrorCode.NONE, outcomes))

    def _alter(self, wanted: wire.ReplicaToMove, now: Now) -> wire.MoveOutcome:
        topic = self._context.image.topic(wanted.topic)
        found: Replica | ErrorCode = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        if topic is not None:
            found = self._lookup(PartitionKey(topic.topic_id, wanted.partition))
        target = self._context.directories.find(wanted.path)
        error, text = self._obstacle(found, target, wanted.path)
        if error is ErrorCode.NONE:
            assert isinstance(found, Replica), "it was looked at"
            assert target is not None, "it was looked at"
            self._moves.begin(found, target, now)
        return wire.MoveOutcome(wanted.topic, wanted.partition, error, text)

    def _obstacle(
        self, found: Replica | ErrorCode, target: LogDirectory | None, path: str
    ) -> tuple[ErrorCode, str]:
        """Return why a replica cannot be moved, and what to do about it."""
        if target is None:
            known = ", ".join(one.path for one in self._context.directories.all)
            text = f"broker {self._context.id} has no log directory {path!r}; it has {known}"
            return ErrorCode.LOG_DIR_NOT_FOUND, text
        if found is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION:
            return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, "there is no such partition"
        if isinstance(found, ErrorCode) or found.state is ReplicaState.OPENING:
            text = f"broker {self._context.id} has no replica of it, or opens it just now"
            return ErrorCode.REPLICA_NOT_AVAILABLE, text
        if not target.is_online:
            text = f"{path} is offline: {target.failure}; mend it and restart the broker"
            return ErrorCode.KAFKA_STORAGE_ERROR, text
        if found.log is None:
            text = f"{found.failure}; its log must work to be moved"
            return ErrorCode.KAFKA_STORAGE_ERROR, text
        if self._moves.is_unsettled:
            text = "an earlier move left a folder that cannot be removed; restart the broker"
            return ErrorCode.KAFKA_STORAGE_ERROR, text
        return ErrorCode.NONE, ""


def free_bytes(context: BrokerContext, directory: LogDirectory) -> int:
    """Return the space left for a directory; -1 where that cannot be known."""
    try:
        return context.disk.free_bytes(directory.path) if directory.is_online else -1
    except StorageError:
        return -1
