"""Members that count no assignments (Kafka's clients): the coordinator remembers what it has told."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.group.bench import Bench, topic, topic_id
from transport.wire.errors import ErrorCode
from transport.wire.ids import MemberEpoch, MemberId
from transport.wire.messages.groups import (
    AFRESH,
    AS_TOLD,
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
    OwnedTopic,
)


class Told:
    """One such member; its heartbeats are answered at once."""

    def __init__(self, bench: Bench, name: str) -> None:
        self.bench = bench
        self.name = MemberId(name)
        self.epoch = MemberEpoch(0)
        self.told: tuple[int, ...] | None = None

    def beat(self, version: int = AS_TOLD, **fields: Any) -> ConsumerGroupHeartbeatResponse:
        request = ConsumerGroupHeartbeatRequest("g", self.name, self.epoch, version, **fields)
        answer = self.bench.ask(request)
        assert isinstance(answer, ConsumerGroupHeartbeatResponse)
        if answer.error == ErrorCode.NONE:
            self.epoch = answer.member_epoch
        if answer.assignment is not None:
            self.told = tuple(n for part in answer.assignment for n in part.partitions)
        return answer

    def join(self) -> Told:
        self.beat(AFRESH, topics=("t",), owned=(), rebalance_timeout_ms=60_000)
        return self

    def owns(self, *partitions: int, version: int = AS_TOLD) -> ConsumerGroupHeartbeatResponse:
        owned = (OwnedTopic(topic_id("t"), partitions),) if partitions else ()
        return self.beat(version, owned=owned)


@pytest.fixture
def bench() -> Bench:
    return Bench(topic("t", 4))


def test_it_is_told_once_and_led_on_as_it_lets_go(bench: Bench) -> None:
    first = Told(bench, "one").join()
    assert sorted(first.told or ()) == [0, 1, 2, 3]
    assert first.beat().assignment is None
    second = Told(bench, "two").join()
    assert second.beat().assignment is None
    assert first.beat().assignment is not None
    kept = tuple(first.told or ())
    assert len(kept) == 2
    assert first.beat().assignment is None  # It is letting go, and has not said that it has.
    assert second.beat().assignment is None
    first.owns(*kept)
    second.beat()
    assert sorted(kept + (second.told or ())) == [0, 1, 2, 3]
    assert first.beat().assignment is None


def test_another_coordinator_tells_it_again(bench: Bench) -> None:
    first = Told(bench, "one").join()
    bench.crash()
    assert first.beat().assignment is not None
    assert first.beat().assignment is None


def test_who_asks_afresh_is_told_again_and_believed_what_it_owns(bench: Bench) -> None:
    """The answer to its letting go was lost with a connection."""
    first, second = Told(bench, "one").join(), Told(bench, "two").join()
    first.beat()
    assert first.told is not None
    kept = first.told
    assert first.owns(*kept, version=AFRESH).assignment is not None
    assert first.told == kept
    second.beat()
    assert second.told is not None
    assert len(second.told) == 2


def test_who_asks_afresh_again_and_again_is_led_on(bench: Bench) -> None:
    """As librdkafka does for as long as it has nothing."""
    first, second = Told(bench, "one").join(), Told(bench, "two").join()
    first.beat()
    first.owns(*(first.told or ()))
    second.beat(AFRESH, topics=("t",), owned=())
    assert len(second.told or ()) == 2


def test_a_version_of_its_own_lets_nothing_go_unless_it_is_the_newest(bench: Bench) -> None:
    first, second = Told(bench, "one").join(), Told(bench, "two").join()
    first.beat()
    assert first.told is not None
    assert first.owns(*first.told, version=1).assignment is not None
    second.beat()
    assert second.told == ()
