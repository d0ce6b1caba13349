"""A member under the consumer protocol by itself: what it takes for its own, and when no more."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from odradek.consumer.membership import (
    PAUSE_MS,
    RELEASED_WITHIN_MS,
    ConsumerMembership,
    GroupSettings,
)
from odradek.errors import OdradekError, UnreleasedInstanceIdError
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.ids import MemberEpoch, TopicId, TopicPartition
from transport.wire.messages import Message, Refusal
from transport.wire.messages.groups import (
    JOIN_EPOCH,
    AssignedTopic,
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
)

SESSION_MS = 1_000
ASSIGNED = (AssignedTopic(TopicId(b"t" * 16), "t", (0,), 1),)


class Around:
    """Everything around a member: it notes what is asked and told, and answers when it is asked to."""

    def __init__(self, instance_id: str | None = None) -> None:
        self.asked: list[tuple[Any, Callable[[Message, Now], None]]] = []
        self.told: list[list[TopicPartition]] = []
        self.lost = 0
        self.failed: list[OdradekError] = []
        self.random = Random(1)
        settings = GroupSettings(
            group_id="g", session_timeout_ms=SESSION_MS, instance_id=instance_id
        )
        around: Any = self
        self.member = ConsumerMembership(settings, around, around)
        self.member.attach(around)

    def ask(
        self, body: Message, on_answer: Callable[[Message, Now], None], _now: Now, **_: int
    ) -> None:
        self.asked.append((body, on_answer))

    def on_told(self, assignment: dict[TopicPartition, object], now: Now) -> None:
        self.told.append(list(assignment))

    def on_lost(self, now: Now) -> None:
        self.lost += 1

    def on_failed(self, error: OdradekError) -> None:
        self.failed.append(error)

    def refuse(self, code: ErrorCode, at_ms: int) -> None:
        """Refuse its newest heartbeat, and let it send the next once that is due."""
        self.asked.pop()[1](Refusal(code), at(at_ms))
        self.member.end_turn(at(at_ms + PAUSE_MS))

    def answer(self, at_ms: int) -> None:
        """Give it a partition, by the answer to its newest heartbeat."""
        body = ConsumerGroupHeartbeatResponse(0, "", MemberEpoch(3), 1, ASSIGNED)
        self.asked.pop()[1](body, at(at_ms))
        self.member.end_turn(at(at_ms))


def at(mono_ms: int) -> Now:
    return Now(mono_ms, mono_ms)


def joining(instance_id: str | None = None) -> Around:
    around = Around(instance_id)
    around.member.read(["t"], at(0))
    around.member.end_turn(at(0))
    return around


def test_what_an_answer_gives_is_taken() -> None:
    around = joining()
    around.answer(SESSION_MS - 1)
    assert around.told == [[TopicPartition("t", 0)]]
    assert not around.lost


def test_what_an_answer_gives_that_was_long_under_way_may_be_anothers() -> None:
    """It was in the queue of a frozen process: the session has ended meanwhile."""
    around = joining()
    around.answer(SESSION_MS)
    assert not around.told
    assert around.lost == 1
    request = around.asked[-1][0]
    assert isinstance(request, ConsumerGroupHeartbeatRequest)
    assert request.member_epoch == JOIN_EPOCH, "it joins anew"


def test_a_static_member_waits_for_the_end_of_who_was_killed() -> None:
    around = joining("one")
    for at_ms in range(0, RELEASED_WITHIN_MS, PAUSE_MS):
        around.refuse(ErrorCode.UNRELEASED_INSTANCE_ID, at_ms)
    assert not around.failed
    around.answer(RELEASED_WITHIN_MS)
    assert around.told == [[TopicPartition("t", 0)]]


def test_a_static_member_is_told_that_another_lives_by_its_name() -> None:
    """Who was killed would be gone by then: to wait on would be to wait for ever."""
    around = joining("one")
    for at_ms in range(0, RELEASED_WITHIN_MS + 1, PAUSE_MS):
        around.refuse(ErrorCode.UNRELEASED_INSTANCE_ID, at_ms)
    (error,) = around.failed
    assert isinstance(error, UnreleasedInstanceIdError)
    assert "'one'" in str(error)
    assert around.member.next_deadline_ms() is None


def test_the_wait_for_a_name_counts_anew_after_each_membership() -> None:
    around = joining("one")
    around.refuse(ErrorCode.UNRELEASED_INSTANCE_ID, 0)
    around.answer(PAUSE_MS)
    around.refuse(ErrorCode.UNKNOWN_MEMBER_ID, RELEASED_WITHIN_MS)
    around.member.end_turn(at(RELEASED_WITHIN_MS))
    around.refuse(ErrorCode.UNRELEASED_INSTANCE_ID, RELEASED_WITHIN_MS)
    assert not around.failed
