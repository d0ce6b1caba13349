"""DESCRIBE_LOG_DIRS: the directories of this broker, what is in them, and which have failed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from nodes.broker.context import BrokerContext, Request
from nodes.broker.log_directories import LogDirectory
from nodes.storage.disk import StorageError
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.messages import log_directories as wire

LogSizes = Mapping[LogDirectory, Sequence[wire.LogSize]]


class LogDirsApi:
    """Answers DescribeLogDirsRequest."""

    def __init__(self, context: BrokerContext, sizes: Callable[[], LogSizes]) -> None:
        self._context = context
        self._sizes = sizes

    def on_request(self, request: Request, _now: Now) -> None:
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


def free_bytes(context: BrokerContext, directory: LogDirectory) -> int:
    """Return the space left for a directory; -1 where that cannot be known."""
    try:
        return context.disk.free_bytes(directory.path) if directory.is_online else -1
    except StorageError:
        return -1
