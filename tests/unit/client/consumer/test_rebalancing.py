"""Of which topics a member commits and fetches: one that is made anew under a name is another one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from odradek.cluster.committing import NOBODY, OffsetAndMetadata
from odradek.consumer.membership import GroupSettings, Told
from odradek.consumer.rebalancing import Rebalancing
from odradek.consumer.subscription import Subscription
from transport.driver.timers import Timers
from transport.kernel import Now
from transport.wire.ids import TopicId, TopicPartition

NOW = Now(1_000, 1_000)
KEY, OTHER = TopicPartition("t", 0), TopicPartition("other", 0)
T = TopicId(b"t" * 16)


class Offsets:
    """Notes of which topics it is asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, TopicId]] = []

    def commit(self, _offsets: Any, _who: Any, _on_done: Any, _now: Now, **how: Any) -> None:
        self.asked.append(how["of"])

    def fetch(self, _keys: Any, _on_done: Any, _now: Now, **how: Any) -> None:
        self.asked.append(how["of"])

    def apart(self, keys: Any, _of: Any) -> Any:
        return [keys]


@pytest.fixture
def offsets() -> Offsets:
    return Offsets()


@pytest.fixture
def member(offsets: Offsets) -> Rebalancing:
    made: Any = offsets
    member = Rebalancing(
        GroupSettings(group_id="g"), Subscription(), made, Timers(), lambda *_: None
    )
    membership: Any = SimpleNamespace(who=NOBODY, own=lambda *_: None, read=lambda *_: None)
    member.membership = membership
    member.read(["t", "other"], NOW)
    return member


def read(member: Rebalancing) -> None:
    one = member._subscription.add(KEY)
    one.topic_id = T
    one.seek(7)
    member._subscription.add(OTHER).seek(9)  # of which nothing is known yet


def test_what_is_committed_is_of_the_topic_that_is_read(
    member: Rebalancing, offsets: Offsets
) -> None:
    read(member)
    member.commit({OTHER: OffsetAndMetadata(9), KEY: OffsetAndMetadata(7)}, lambda *_: None, NOW)
    assert offsets.asked == [{"t": T}]


def test_so_is_what_is_committed_at_a_departure(member: Rebalancing, offsets: Offsets) -> None:
    read(member)
    member.depart(member.positions(), lambda _now: None, NOW)
    assert offsets.asked == [{"t": T}]


def test_what_is_fetched_is_of_the_topic_that_the_group_has_given(
    member: Rebalancing, offsets: Offsets
) -> None:
    member.on_told({KEY: Told(T, False), OTHER: Told(TopicId(b""), False)}, NOW)
    assert offsets.asked == [{"t": T}]
