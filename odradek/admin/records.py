"""Deleting records from the beginning of partitions: each asked of its leader, until it has done it.

Repeating it is harmless.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from odradek.admin.questions import BrokerQuestions, LeaderQuestion, PartitionVerdict
from odradek.cluster.metadata import Leader
from odradek.errors import OdradekError
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.ids import Offset, TopicPartition
from transport.wire.messages import Message
from transport.wire.messages.deletion import (
    DeleteRecordsPartition,
    DeleteRecordsRequest,
    DeleteRecordsResponse,
)

Beginnings = dict[TopicPartition, int]
"""Where each partition begins now."""
OnDeleted = Callable[[Beginnings | OdradekError, Now], None]
OnEnded = Callable[[TopicPartition, int | OdradekError, Now], None]


class RecordAdmin:
    """The part of an admin client that is about records."""

    def __init__(self, questions: BrokerQuestions) -> None:
        self._questions = questions

    def delete(
        self, wanted: Mapping[TopicPartition, int], timeout_ms: int, on_done: OnDeleted, now: Now
    ) -> None:
        """Delete what is before each offset (−1: all that is committed); one call of ``on_done``."""
        found: Beginnings = {}
        failed: list[OdradekError] = []

        def ended(key: TopicPartition, result: int | OdradekError, now: Now) -> None:
            if failed:
                return
            if isinstance(result, OdradekError):
                failed.append(result)
                on_done(result, now)
                return
            found[key] = result
            if len(found) == len(wanted):
                on_done({key: found[key] for key in wanted}, now)

        if not wanted:
            on_done({}, now)
        for key, offset in wanted.items():
            self._delete_one(key, offset, timeout_ms, ended, now)

    def _delete_one(
        self, key: TopicPartition, offset: int, timeout_ms: int, ended: OnEnded, now: Now
    ) -> None:
        def make(leader: Leader, left_ms: int) -> Message:
            part = DeleteRecordsPartition(leader.topic_id, key.partition, Offset(offset))
            return DeleteRecordsRequest((part,), left_ms)

        def done(answer: Message | OdradekError, now: Now) -> None:
            if isinstance(answer, DeleteRecordsResponse):
                ended(key, answer.partitions[0].low_watermark, now)
            else:
                assert isinstance(answer, OdradekError), "it was judged"
                ended(key, answer, now)

        question = LeaderQuestion(key, make, _judge)
        self._questions.ask_leader(question, timeout_ms, done, now)


def _judge(body: Message) -> PartitionVerdict:
    if isinstance(body, DeleteRecordsResponse) and len(body.partitions) == 1:
        (part,) = body.partitions
        return PartitionVerdict(part.error, part.text)
    return PartitionVerdict(ErrorCode.UNKNOWN_SERVER_ERROR, "the broker answered something else")
