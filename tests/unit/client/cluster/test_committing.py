"""Commits of one consumer: one after the other, so that no older one comes after a newer one."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from odradek.cluster.committing import NOBODY, GroupOffsets, OffsetAndMetadata
from odradek.errors import OdradekError, UnknownServerError
from transport.driver.timers import Timers
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.ids import TopicId, TopicPartition
from transport.wire.messages import Message, Refusal
from transport.wire.messages.group_offsets import (
    CommitOutcome,
    CommittedOffset,
    OffsetCommitResponse,
    OffsetFetchResponse,
)

NOW = Now(1_000, 1_000)
KEY = TopicPartition("t", 0)


class Around:
    """What the offsets of a group stand on: it notes what is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, Callable[[Message, Now], None]]] = []
        topic = SimpleNamespace(topic_id=TopicId(b"t" * 16), error=0, asked=True, text="")
        self.topics = {"t": topic}
        self.ended: list[OdradekError | None] = []
        around: Any = self
        self.timers = Timers()
        self.offsets = GroupOffsets("g", around, around, self.timers)

    def follow(self, name: str, now: Now) -> None:
        pass

    def ask(
        self, body: Message, on_answer: Callable[[Message, Now], None], _now: Now, **_: int
    ) -> None:
        self.asked.append((body, on_answer))

    def commit(self, offset: int, timeout_ms: int = 3_000) -> None:
        self.offsets.commit(
            {KEY: OffsetAndMetadata(offset)},
            NOBODY,
            lambda error, _now: self.ended.append(error),
            NOW,
            timeout_ms=timeout_ms,
        )

    def answer(self, body: Message) -> int:
        """Answer the oldest question; return the offset that it would commit."""
        request, on_answer = self.asked.pop(0)
        on_answer(body, NOW)
        return int(request.offsets[0].offset)


def test_a_newer_commit_waits_for_the_end_of_an_older_one() -> None:
    done = OffsetCommitResponse(0, "", (CommitOutcome(TopicId(b"t" * 16), 0, 0),))
    around = Around()
    around.commit(47)
    around.commit(53)
    assert len(around.asked) == 1, "the older one may be tried again yet"
    assert around.answer(done) == 47
    assert around.answer(done) == 53
    assert around.ended == [None, None]


def test_a_commit_waits_for_others_no_longer_than_its_own_time() -> None:
    done = OffsetCommitResponse(0, "", (CommitOutcome(TopicId(b"t" * 16), 0, 0),))
    around = Around()
    around.commit(47)
    around.commit(53, timeout_ms=500)
    around.commit(59, timeout_ms=2_000)
    around.timers.fire(Now(NOW.mono_ms + 499, 0))
    assert around.ended == []
    around.timers.fire(Now(NOW.mono_ms + 500, 0))
    (late,) = around.ended
    assert isinstance(late, OdradekError)
    assert late.code == ErrorCode.REQUEST_TIMED_OUT
    assert around.answer(done) == 47
    assert around.answer(done) == 59, "what was given up is not committed"
    around.timers.fire(Now(NOW.mono_ms + 5_000, 0))
    assert around.ended[1:] == [None, None]


@pytest.mark.parametrize("outcomes", [0, 2])
def test_an_answer_of_another_length_is_an_error_and_not_the_end_of_the_client(
    outcomes: int,
) -> None:
    around = Around()
    around.commit(47)
    around.answer(
        OffsetCommitResponse(0, "", (CommitOutcome(TopicId(b"t" * 16), 0, 0),) * outcomes)
    )
    around.offsets.fetch([KEY], lambda found, _now: around.ended.append(found), NOW, timeout_ms=1)  # type: ignore[arg-type]
    _, on_answer = around.asked.pop()
    fetched = (CommittedOffset(TopicId(b"t" * 16), 0),) * outcomes
    on_answer(OffsetFetchResponse(0, "", fetched), NOW)
    assert [type(error) for error in around.ended] == [UnknownServerError] * 2


def test_a_commit_that_fails_holds_up_no_other() -> None:
    around = Around()
    for offset in range(2_000):
        around.commit(offset)
    closed = Refusal(ErrorCode.STOPPING, "the client was closed")
    around.ask = lambda _body, on_answer, now, **_: on_answer(closed, now)  # type: ignore[method-assign]
    around.answer(closed)
    assert len(around.ended) == 2_000
