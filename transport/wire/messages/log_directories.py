"""Where a broker keeps its logs: people and programs to any broker, about itself."""

from __future__ import annotations

from typing import ClassVar

from transport.wire.apis import Api
from transport.wire.messages import Message, Part


class LogSize(Part, frozen=True, array_like=True, gc=False):
    """A replica's log, indexes not counted."""

    topic: str
    partition: int
    size_bytes: int
    offset_lag: int = 0
    """Offsets that it has yet to get: of the high watermark, a future one of the log it copies."""
    is_future: bool = False
    """It is a copy that takes the log's place once it has everything."""


class LogDirectory(Part, frozen=True, array_like=True, gc=False):
    """One of ``log_dirs``, as the broker names it: below its data directory, or absolute."""

    path: str
    error: int
    """KAFKA_STORAGE_ERROR: it is offline, for the reason in ``text``."""
    text: str = ""
    free_bytes: int = -1
    """Of its device; -1: not known."""
    logs: tuple[LogSize, ...] = ()
    """Of an offline one the sizes are 0."""


class DescribeLogDirsRequest(Message, frozen=True, array_like=True, gc=False):
    """Which directories do you have, and what is in them?"""

    api: ClassVar[Api] = Api.DESCRIBE_LOG_DIRS


class DescribeLogDirsResponse(Message, frozen=True, array_like=True, gc=False):
    """In the order of the config."""

    api: ClassVar[Api] = Api.DESCRIBE_LOG_DIRS

    error: int
    directories: tuple[LogDirectory, ...] = ()


class ReplicaToMove(Part, frozen=True, array_like=True, gc=False):
    """A replica of the broker that is asked, and the directory it is to be in."""

    topic: str
    partition: int
    path: str
    """As the broker names it. The one it is in: a move that is under way is given up."""


class MoveOutcome(Part, frozen=True, array_like=True, gc=False):
    """What became of one: the move has begun, or why it has not."""

    topic: str
    partition: int
    error: int
    """LOG_DIR_NOT_FOUND, REPLICA_NOT_AVAILABLE, KAFKA_STORAGE_ERROR: a directory is offline, …"""
    text: str = ""


class AlterReplicaLogDirsRequest(Message, frozen=True, array_like=True, gc=False):
    """Move these replicas to other directories of yours (KIP-113)."""

    api: ClassVar[Api] = Api.ALTER_REPLICA_LOG_DIRS

    replicas: tuple[ReplicaToMove, ...]


class AlterReplicaLogDirsResponse(Message, frozen=True, array_like=True, gc=False):
    """In the order of the request. DESCRIBE_LOG_DIRS tells how far they are."""

    api: ClassVar[Api] = Api.ALTER_REPLICA_LOG_DIRS

    error: int
    replicas: tuple[MoveOutcome, ...] = ()
