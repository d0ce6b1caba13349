"""Deleting records from the beginning of partitions: each asked of its leader, until it has done it.

Repeating it is harmless.  Owns the retries of one call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from odradek.client_program import ClientProgram
from odradek.errands import error_of
from odradek.errors import ClientTimeoutError, OdradekError, error_for
from transport.kernel import Now
from transport.wire.errors import ErrorCode, meaning
from transport.wire.ids import Offset, TopicPartition
from transport.wire.messages import Message, Refusal
from transport.wire.messages.deletion import (
    DeleteRecordsPartition,
    DeleteRecordsRequest,
    DeleteRecordsResponse,
)

PAUSE_MS = 20
"""Between two tries of one partition: about what an election takes."""

Beginnings = dict[TopicPartition, int]
"""Where each partition begins now."""
OnDeleted = Callable[[Beginnings | OdradekError, Now], None]


class RecordAdmin:
    """The part of an admin client that is about records."""

    def __init__(self, program: ClientProgram) -> None:
        self._program = program

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
            self._program.view.watch(key.topic, now)
            self._delete_one(key, offset, now.mono_ms + timeout_ms, ended, now)

    def _delete_one(
        self,
        key: TopicPartition,
        offset: int,
        give_up_ms: int,
        ended: Callable[[TopicPartition, int | OdradekError, Now], None],
        now: Now,
    ) -> None:
        program = self._program
        trouble = "it has no leader that answers"

        def answered(body: Message, _payload: object, now: Now) -> None:
            nonlocal trouble
            code, text = error_of(body), body.text if isinstance(body, Refusal) else ""
            if isinstance(body, DeleteRecordsResponse) and len(body.partitions) == 1:
                (part,) = body.partitions
                code, text = part.error, part.text
                if code == ErrorCode.NONE:
                    ended(key, part.low_watermark, now)
                    return
            meant = meaning(code)
            trouble = text or meant.text
            if not meant.retriable:
                ended(key, error_for(code, f"{key}: {trouble}"), now)
                return
            if meant.refresh_metadata:
                program.view.refresh_later(now)
            program.timers.after(now, PAUSE_MS, ask)

        def ask(now: Now) -> None:
            left_ms = give_up_ms - now.mono_ms
            if left_ms <= 0:
                ended(key, self._late(key, trouble), now)
                return
            leader = program.view.leader(key.topic, key.partition, now)
            if leader is not None:
                part = DeleteRecordsPartition(leader.topic_id, key.partition, Offset(offset))
                request = DeleteRecordsRequest((part,), left_ms)
                if program.calls.request(leader.link, request, answered, now, timeout_ms=left_ms):
                    return
                program.view.links.refused(leader.link, now)
            program.timers.after(now, PAUSE_MS, ask)

        ask(now)

    def _late(self, key: TopicPartition, trouble: str) -> OdradekError:
        topic = self._program.view.topics.get(key.topic)
        if topic is not None and topic.asked and topic.error != ErrorCode.NONE:
            return error_for(topic.error, f"{key}: no such topic here")
        return ClientTimeoutError(f"{key}: not deleted in time; {trouble}")
