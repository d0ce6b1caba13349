"""A member under the classic protocol by itself: what it asks for in each round."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from odradek.cluster.consumer_protocol import (
    Subscription,
    decode_subscription,
    encode_assignment,
    encode_subscription,
)
from odradek.consumer.classic_membership import ClassicMembership
from odradek.consumer.classic_protocol import COOPERATIVE
from odradek.consumer.membership import GroupSettings
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.ids import MemberId, TopicPartition
from transport.wire.messages import Message
from transport.wire.messages.groups import (
    ClassicHeartbeatRequest,
    ClassicHeartbeatResponse,
    JoinedMember,
    JoinGroupRequest,
    JoinGroupResponse,
    SyncGroupRequest,
    SyncGroupResponse,
)

NOW = Now(1_000, 1_000)
KEPT, FREED = TopicPartition("t", 0), TopicPartition("t", 1)


class Round:
    """Everything around a member: it notes what is asked, and answers when it is told to."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, Callable[[Message, Now], None]]] = []
        self.topics: dict[str, object] = {}
        self.generation = 0
        self.told = 0
        settings = GroupSettings(group_id="g", protocol="classic", strategies=(COOPERATIVE,))
        around: Any = self
        self.member = ClassicMembership(settings, around, around, around)

    def ask(
        self, body: Message, on_answer: Callable[[Message, Now], None], _now: Now, **_: int
    ) -> None:
        self.asked.append((body, on_answer))

    def follow(self, name: str, now: Now) -> None:
        pass

    def on_told(self, assignment: object, now: Now) -> None:
        self.told += 1

    def turn(self) -> None:
        self.member.end_turn(NOW)

    def answer(self, kind: type[Message], body: Message, now: Now = NOW) -> Any:
        """Answer what was asked last, which must be of this kind; return it."""
        request, on_answer = self.asked.pop()
        assert type(request) is kind
        on_answer(body, now)
        return request

    def join(self) -> frozenset[TopicPartition]:
        """Let the member join the round; return what it says that it owns."""
        body = JoinGroupResponse(0, "", 1, COOPERATIVE, MemberId("leader"), MemberId("me"))
        request = self.answer(JoinGroupRequest, body)
        return decode_subscription(request.protocols[0].metadata).owned

    def sync(self, *keys: TopicPartition, now: Now = NOW) -> None:
        self.answer(SyncGroupRequest, SyncGroupResponse(0, "", encode_assignment(keys)), now)
        self.member.end_turn(now)

    def interrupt(self) -> None:
        """Another round begins."""
        body = ClassicHeartbeatResponse(ErrorCode.REBALANCE_IN_PROGRESS)
        self.answer(ClassicHeartbeatRequest, body)
        self.turn()


def owner_of_two() -> Round:
    world = Round()
    world.member.read(["t"], NOW)
    world.turn()
    assert world.join() == frozenset()
    world.sync(KEPT, FREED)
    world.member.own([KEPT, FREED], NOW)
    return world


def test_what_is_let_go_begins_a_round() -> None:
    world = owner_of_two()
    world.member.own([KEPT], NOW)
    world.turn()
    assert world.join() == {KEPT}


def test_what_is_let_go_during_a_round_begins_another_one() -> None:
    """The round could give it to nobody: it was said to be owned."""
    world = owner_of_two()
    world.interrupt()
    world.member.own([KEPT], NOW)
    assert world.join() == {KEPT, FREED}
    world.sync(KEPT)
    assert world.join() == {KEPT}
    world.sync(KEPT)
    assert isinstance(world.asked[-1][0], ClassicHeartbeatRequest), "and that is all"


def test_what_a_round_gives_back_begins_none() -> None:
    world = owner_of_two()
    world.interrupt()
    world.member.own([KEPT], NOW)
    world.join()
    world.sync(KEPT, FREED)
    assert isinstance(world.asked[-1][0], ClassicHeartbeatRequest)


def test_what_an_answer_gives_that_was_long_under_way_may_be_anothers() -> None:
    """It was in the queue of a frozen process: the session has ended meanwhile."""
    world = owner_of_two()
    world.interrupt()
    world.join()
    late = Now(NOW.mono_ms + GroupSettings(group_id="g").session_timeout_ms, 0)
    world.sync(KEPT, FREED, now=late)
    assert world.told == 1, "of the first round alone"
    assert isinstance(world.asked[-1][0], JoinGroupRequest)


def test_a_leader_knows_of_what_it_divides_however_long_nobody_asks() -> None:
    world = Round()
    world.member.read(["t"], NOW)
    world.turn()
    me, other = MemberId("me"), MemberId("other")
    members = tuple(
        JoinedMember(one, None, encode_subscription(Subscription(frozenset({name}), frozenset())))
        for one, name in ((me, "t"), (other, "others"))
    )
    world.answer(JoinGroupRequest, JoinGroupResponse(0, "", 1, COOPERATIVE, me, me, members))
    world.sync()
    assert set(world.member.topics_seen) == {"t", "others"}
