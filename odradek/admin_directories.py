"""What a broker keeps its logs in, as an admin client asks it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from odradek.admin_questions import BrokerQuestions
from odradek.errands import failure_of
from odradek.errors import OdradekError
from transport.kernel import Now
from transport.wire.ids import TopicPartition
from transport.wire.messages import Message
from transport.wire.messages.log_directories import (
    DescribeLogDirsRequest,
    DescribeLogDirsResponse,
    LogDirectory,
)


class LogDirDescription(NamedTuple):
    """One of a broker's ``log_dirs``."""

    path: str
    failure: str
    """Why it is offline; empty: it works."""
    free_bytes: int
    """Of its device; -1: not known."""
    logs: Mapping[TopicPartition, int]
    """Bytes by replica, indexes not counted."""

    @property
    def size_bytes(self) -> int:
        """What its logs weigh."""
        return sum(self.logs.values())


OnDescribed = Callable[[list[LogDirDescription] | OdradekError, Now], None]


class DirectoryAdmin:
    """The part of an admin client that is about log directories."""

    def __init__(self, questions: BrokerQuestions) -> None:
        self._questions = questions

    def describe(self, broker_id: int, timeout_ms: int, on_done: OnDescribed, now: Now) -> None:
        """Ask one broker; one call of ``on_done``."""

        def told(body: Message, now: Now) -> None:
            if isinstance(body, DescribeLogDirsResponse):
                on_done([_described(directory) for directory in body.directories], now)
            else:
                on_done(failure_of(body), now)

        self._questions.ask_broker(broker_id, DescribeLogDirsRequest(), timeout_ms, told, now)


def _described(told: LogDirectory) -> LogDirDescription:
    logs = {TopicPartition(log.topic, log.partition): log.size_bytes for log in told.logs}
    return LogDirDescription(told.path, told.text, told.free_bytes, logs)
