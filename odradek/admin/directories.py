"""What a broker keeps its logs in, as an admin client asks it, and has it moved."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from odradek.admin.pieces import change_in_pieces
from odradek.admin.questions import BrokerQuestions
from odradek.cluster.errands import failure_of
from odradek.errors import OdradekError, error_for
from transport.kernel import Now
from transport.wire.errors import ErrorCode, meaning
from transport.wire.ids import TopicPartition
from transport.wire.messages import Message
from transport.wire.messages.log_directories import (
    AlterReplicaLogDirsRequest,
    AlterReplicaLogDirsResponse,
    DescribeLogDirsRequest,
    DescribeLogDirsResponse,
    LogDirectory,
    MoveOutcome,
    ReplicaToMove,
)


class FutureLog(NamedTuple):
    """A copy on its way to the place of its replica's log (KIP-113)."""

    size_bytes: int
    offset_lag: int
    """Offsets that it lacks of that log."""


class LogDirDescription(NamedTuple):
    """One of a broker's ``log_dirs``."""

    path: str
    failure: str
    """Why it is offline; empty: it works."""
    free_bytes: int
    """Of its device; -1: not known."""
    logs: Mapping[TopicPartition, int]
    """Bytes by replica, indexes not counted."""
    future_logs: Mapping[TopicPartition, FutureLog] = {}
    """Of replicas that are moved here and are still in another directory."""

    @property
    def size_bytes(self) -> int:
        """What its logs weigh, and the copies."""
        copies = sum(future.size_bytes for future in self.future_logs.values())
        return sum(self.logs.values()) + copies


OnDone = Callable[[OdradekError | None, Now], None]
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

    def move(
        self,
        broker_id: int,
        placed: Mapping[TopicPartition, str],
        timeout_ms: int,
        on_done: OnDone,
        now: Now,
    ) -> None:
        """Have one broker move replicas to these directories; the first error of any, or None."""
        deadline_ms = now.mono_ms + timeout_ms

        def ask(some: Sequence[ReplicaToMove], on_asked: OnDone, now: Now) -> None:
            def told(body: Message, now: Now) -> None:
                if not isinstance(body, AlterReplicaLogDirsResponse):
                    on_asked(failure_of(body), now)
                    return
                wrong = [one for one in body.replicas if one.error != ErrorCode.NONE]
                on_asked(_error_of(wrong[0]) if wrong else None, now)

            left_ms = max(1, deadline_ms - now.mono_ms)
            request = AlterReplicaLogDirsRequest(tuple(some))
            self._questions.ask_broker(broker_id, request, left_ms, told, now)

        if not placed:
            on_done(None, now)
            return
        replicas = [ReplicaToMove(*key, path) for key, path in placed.items()]
        change_in_pieces(replicas, ask, on_done, now)


def _error_of(outcome: MoveOutcome) -> OdradekError:
    text = outcome.text or meaning(outcome.error).text
    return error_for(outcome.error, f"{outcome.topic}-{outcome.partition}: {text}")


def _described(told: LogDirectory) -> LogDirDescription:
    logs: dict[TopicPartition, int] = {}
    future_logs: dict[TopicPartition, FutureLog] = {}
    for log in told.logs:
        key = TopicPartition(log.topic, log.partition)
        if log.is_future:
            future_logs[key] = FutureLog(log.size_bytes, log.offset_lag)
        else:
            logs[key] = log.size_bytes
    return LogDirDescription(told.path, told.text, told.free_bytes, logs, future_logs)
