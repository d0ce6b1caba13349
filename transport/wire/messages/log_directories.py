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
