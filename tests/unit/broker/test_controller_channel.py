"""How long whoever asks a broker is waited for at the controller: for as long as it waits itself."""

from __future__ import annotations

import pytest

from tests.unit.broker import stand_ins
from tests.unit.broker.fleet import Fleet
from transport.wire.errors import ErrorCode
from transport.wire.ids import NO_NODE, ControllerEpoch, NodeId
from transport.wire.messages import Message, Refusal
from transport.wire.messages.reassignments import HandOverRequest, HandOverResponse
from transport.wire.messages.topics import CreateTopicsRequest, CreateTopicsResponse, NewTopic

COMMIT_MS = 5_000
ANSWER_MS = 50
"""From above: a broker's, the way to it and back."""


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Fleet:
    """Three brokers whose store takes its time for a commit."""
    fleet = Fleet(request_timeout_ms=2_000)
    fleet.settle()
    monkeypatch.setattr(stand_ins, "DELAY_US", COMMIT_MS * 1_000 // 2)
    return fleet


def creation(timeout_ms: int) -> CreateTopicsRequest:
    return CreateTopicsRequest((NewTopic("t", 3, 3),), timeout_ms)


def asked(
    fleet: Fleet, number: int, body: Message, limit_ms: int, door: str = "clients"
) -> tuple[Message, int]:
    """Ask a broker; return its answer and how long that took."""
    answers: list[Message] = []
    begun_ms = fleet.now().mono_ms
    fleet.post(number, body, answers.append, door=door, timeout_ms=60_000)
    fleet.wait(lambda: bool(answers), limit_ms)
    return answers[0], fleet.now().mono_ms - begun_ms


def brokers(fleet: Fleet) -> tuple[int, int]:
    """Return the controller, and another one."""
    controller = fleet.controller()
    return controller, next(number for number in fleet.numbers if number != controller)


@pytest.mark.parametrize("here", [True, False])
def test_a_change_that_takes_long_is_waited_for_as_long_as_its_asker_allows(
    slow: Fleet, here: bool
) -> None:
    controller, other = brokers(slow)
    answer, took_ms = asked(slow, controller if here else other, creation(30_000), 10_000)
    assert isinstance(answer, CreateTopicsResponse), answer
    assert answer.topics[0].error == ErrorCode.NONE
    assert COMMIT_MS <= took_ms < COMMIT_MS + ANSWER_MS


@pytest.mark.parametrize("here", [True, False])
def test_who_allows_half_a_second_is_answered_within_it(slow: Fleet, here: bool) -> None:
    controller, other = brokers(slow)
    answer, took_ms = asked(slow, controller if here else other, creation(500), 1_000)
    assert isinstance(answer, Refusal)
    assert answer.error == ErrorCode.REQUEST_TIMED_OUT
    assert 500 <= took_ms < 500 + ANSWER_MS


def test_who_allows_no_time_at_all_waits_as_brokers_do(slow: Fleet) -> None:
    answer, took_ms = asked(slow, brokers(slow)[1], creation(0), 5_000)
    assert isinstance(answer, Refusal)
    assert 2_000 <= took_ms < 2_000 + ANSWER_MS


def test_a_broker_about_to_stop_waits_for_the_others_to_lead(slow: Fleet) -> None:
    answer, took_ms = asked(slow, brokers(slow)[1], HandOverRequest(), 10_000, "peers")
    assert answer == HandOverResponse(ErrorCode.NONE, 0)
    assert took_ms >= COMMIT_MS


def test_an_answer_that_comes_late_goes_nowhere(slow: Fleet) -> None:
    other = brokers(slow)[1]
    asked(slow, other, creation(500), 1_000)
    slow.world.run_for(2 * COMMIT_MS)
    assert not slow.server(other).channel._questions
    answer, _ = asked(slow, other, creation(30_000), 10_000)
    assert isinstance(answer, CreateTopicsResponse)
    assert answer.topics[0].error == ErrorCode.TOPIC_ALREADY_EXISTS, "it was done, though late"


def test_of_a_hung_controller_nothing_more_is_expected_soon_after_there_is_another() -> None:
    fleet = Fleet(request_timeout_ms=2_000)
    fleet.settle()
    hung, other = brokers(fleet)
    fleet.processes[hung].freeze()
    answers: list[Message] = []
    fleet.post(other, creation(30_000), answers.append, timeout_ms=60_000)
    fleet.world.run_for(5_000)
    assert not answers, "it may be done yet"
    channel, next_one = fleet.server(other).channel, NodeId(6 - hung - other)
    begun_ms = fleet.now().mono_ms
    epoch = ControllerEpoch(channel.epoch + 1)
    fleet.processes[other].do(lambda now: channel.learn(next_one, epoch, now))
    fleet.wait(lambda: bool(answers), 3_000)
    assert isinstance(answers[0], Refusal)
    assert answers[0].error == ErrorCode.REQUEST_TIMED_OUT
    assert fleet.now().mono_ms - begun_ms >= 2_000


def test_who_has_little_time_left_is_answered_in_it_whoever_is_controller_then(slow: Fleet) -> None:
    controller, other = brokers(slow)
    channel, answers = slow.server(controller).channel, list[Message]()
    slow.post(controller, creation(500), answers.append, timeout_ms=60_000)
    slow.world.run_for(100)
    epoch = ControllerEpoch(channel.epoch + 1)
    slow.processes[controller].do(lambda now: channel.learn(NodeId(other), epoch, now))
    slow.wait(lambda: bool(answers), 400 + ANSWER_MS)


def test_who_has_waited_for_a_controller_has_all_its_time_with_the_one_that_comes(
    slow: Fleet,
) -> None:
    controller, other = brokers(slow)
    channel, answers = slow.server(other).channel, list[Message]()
    slow.processes[other].do(lambda now: channel.learn(NO_NODE, channel.epoch, now))
    slow.post(other, creation(30_000), answers.append, timeout_ms=60_000)
    slow.world.run_for(5)
    assert len(channel._retries) == 1
    slow.processes[other].do(lambda now: channel.learn(NodeId(controller), channel.epoch, now))
    slow.wait(lambda: bool(answers), 10_000)
    assert isinstance(answers[0], CreateTopicsResponse), answers
