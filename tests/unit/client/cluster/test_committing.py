"""Commits of one consumer: one after the other, so that no older one comes after a newer one."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from odradek.cluster.committing import NOBODY, GroupOffsets, OffsetAndMetadata
from odradek.errors import OdradekError, UnknownServerError, UnknownTopicOrPartitionError
from transport.driver.timers import Timers
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.ids import Offset, TopicId, TopicPartition
from transport.wire.messages import Message, Refusal
from transport.wire.messages.group_offsets import (
    CommitOutcome,
    CommittedOffset,
    OffsetCommitResponse,
    OffsetFetchResponse,
)

NOW = Now(1_000, 1_000)
KEY = TopicPartition("t", 0)


T, U = TopicId(b"t" * 16), TopicId(b"u" * 16)
DONE = OffsetCommitResponse(0, "", (CommitOutcome(T, 0, 0),))


def topic(topic_id: TopicId, former_id: TopicId | None = None) -> Any:
    return SimpleNamespace(
        name="t",
        topic_id=topic_id,
        former_id=former_id,
        error=0,
        asked=True,
        removed=False,
        text="",
    )


class Around:
    """What the offsets of a group stand on: it notes what is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, Callable[[Message, Now], None]]] = []
        self.topics = {"t": topic(T)}
        self.ended: list[OdradekError | None] = []
        self.fetched: list[Any] = []
        around: Any = self
        self.timers = Timers()
        self.offsets = GroupOffsets("g", around, around, self.timers)

    def follow(self, name: str, now: Now) -> None:
        pass

    def ask(
        self, body: Message, on_answer: Callable[[Message, Now], None], _now: Now, **_: int
    ) -> None:
        self.asked.append((body, on_answer))

    def commit(self, offset: int, timeout_ms: int = 3_000, **of: TopicId) -> None:
        self.offsets.commit(
            {KEY: OffsetAndMetadata(offset)},
            NOBODY,
            lambda error, _now: self.ended.append(error),
            NOW,
            timeout_ms=timeout_ms,
            of=of,
        )

    def fetch(self, timeout_ms: int = 3_000, **of: TopicId) -> None:
        self.offsets.fetch(
            [KEY],
            lambda found, _now: self.fetched.append(found),
            NOW,
            timeout_ms=timeout_ms,
            of=of,
        )

    def answer(self, body: Message) -> int:
        """Answer the oldest question; return the offset that it would commit."""
        request, on_answer = self.asked.pop(0)
        on_answer(body, NOW)
        return int(request.offsets[0].offset)


def test_a_newer_commit_waits_for_the_end_of_an_older_one() -> None:
    around = Around()
    around.commit(47)
    around.commit(53)
    assert len(around.asked) == 1, "the older one may be tried again yet"
    assert around.answer(DONE) == 47
    assert around.answer(DONE) == 53
    assert around.ended == [None, None]


def test_a_commit_waits_for_others_no_longer_than_its_own_time() -> None:
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
    assert around.answer(DONE) == 47
    assert around.answer(DONE) == 59, "what was given up is not committed"
    around.timers.fire(Now(NOW.mono_ms + 5_000, 0))
    assert around.ended[1:] == [None, None]


@pytest.mark.parametrize("outcomes", [0, 2])
def test_an_answer_of_another_length_is_an_error_and_not_the_end_of_the_client(
    outcomes: int,
) -> None:
    around = Around()
    around.commit(47)
    around.answer(OffsetCommitResponse(0, "", (CommitOutcome(T, 0, 0),) * outcomes))
    around.fetch()
    _, on_answer = around.asked.pop()
    fetched = (CommittedOffset(T, 0),) * outcomes
    on_answer(OffsetFetchResponse(0, "", fetched), NOW)
    assert [type(one) for one in around.ended + around.fetched] == [UnknownServerError] * 2


def test_a_commit_that_fails_holds_up_no_other() -> None:
    around = Around()
    for offset in range(2_000):
        around.commit(offset)
    closed = Refusal(ErrorCode.STOPPING, "the client was closed")
    around.ask = lambda _body, on_answer, now, **_: on_answer(closed, now)  # type: ignore[method-assign]
    around.answer(closed)
    assert len(around.ended) == 2_000


def test_a_commit_counts_for_no_topic_that_was_made_anew_before_its_turn() -> None:
    around = Around()
    around.commit(47)
    around.commit(53)
    around.topics["t"] = topic(U, former_id=T)
    around.answer(DONE)
    assert around.asked == []
    first, second = around.ended
    assert first is None
    assert isinstance(second, UnknownTopicOrPartitionError)


def test_a_commit_of_what_is_read_counts_for_the_topic_that_it_is_read_of() -> None:
    around = Around()
    around.topics["t"] = topic(U, former_id=T)
    around.commit(47, t=T)
    (error,) = around.ended
    assert isinstance(error, UnknownTopicOrPartitionError)
    around.commit(3, t=U)
    assert around.asked[0][0].offsets[0].topic_id == U
    assert around.answer(DONE) == 3


def test_what_is_fetched_is_of_the_topic_that_was_given() -> None:
    """A coordinator gives a topic that was made anew before this client has heard of it."""
    around = Around()
    around.fetch(t=U)
    assert around.asked == []
    around.topics["t"] = topic(U, former_id=T)
    around.timers.fire(Now(NOW.mono_ms + 100, 0))
    assert around.asked[0][0].partitions[0].topic_id == U


def test_what_could_not_be_fetched_is_told_whatever_became_of_the_topic() -> None:
    """The client is closing, say: no timer fires any more."""
    around = Around()
    around.fetch()
    around.topics["t"].error = ErrorCode.LEADER_NOT_AVAILABLE
    _, on_answer = around.asked.pop()
    on_answer(Refusal(ErrorCode.STOPPING, "the client was closed"), NOW)
    (error,) = around.fetched
    assert isinstance(error, OdradekError)


def test_what_was_fetched_of_a_topic_that_was_made_anew_meanwhile_is_fetched_anew() -> None:
    around = Around()
    around.fetch()
    around.topics["t"] = topic(U, former_id=T)
    _, on_answer = around.asked.pop()
    on_answer(OffsetFetchResponse(0, "", (CommittedOffset(T, 0, Offset(47)),)), NOW)
    assert around.fetched == []
    request, on_answer = around.asked.pop()
    assert request.partitions[0].topic_id == U
    on_answer(OffsetFetchResponse(0, "", (CommittedOffset(U, 0, Offset(-1)),)), NOW)
    assert around.fetched == [{}]
