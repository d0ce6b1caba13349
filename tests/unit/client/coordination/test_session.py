"""The session engine against scripted coordinators."""

from __future__ import annotations

from random import Random

import pytest

from odradek.coordination.lane import OPERATION_BYTES_MAX
from odradek.coordination.session import CLOSE_MAX_MS, PROBE_MIN_MS, SessionState
from odradek.coordination.session_connection import PROBE_AFTER_MS
from tests.unit.client.coordination.session_world import (
    SESSION,
    TIMEOUT_MS,
    World,
    good,
    ids,
)
from transport.wire.errors import ErrorCode
from transport.wire.ids import Incarnation, NodeName, RequestId, Zxid
from transport.wire.messages import Message, Refusal
from transport.wire.messages.cluster import DescribeNodeRequest
from transport.wire.messages.coordination import (
    NODE_CREATED,
    Check,
    CloseSession,
    Create,
    GetData,
    OpenSessionRequest,
    OpenSessionResponse,
    OperateRequest,
    OperateResponse,
    Operation,
    Owner,
    PingSessionRequest,
    PingSessionResponse,
    ReadMulti,
    RemoveWatches,
    Result,
    SetData,
)


def test_opens_as_its_owner_with_a_nonce_and_takes_the_negotiated_timeout() -> None:
    world = World()
    request = world.opened(timeout_ms=600)
    assert request.session_id == 0
    assert request.timeout_ms == TIMEOUT_MS
    assert request.owner == Owner(NodeName("broker-1"), Incarnation(3))
    assert len(request.nonce) == 16
    assert world.states == [SessionState.CONNECTED]
    assert (world.session.session_id, world.session.timeout_ms) == (SESSION, 600)


def test_a_retried_opening_keeps_its_nonce_and_goes_to_another_coordinator() -> None:
    world = World()
    world.link_up()
    first = world.take().body
    world.cut()
    second = world.opened()
    assert isinstance(first, OpenSessionRequest)
    assert second.nonce == first.nonce
    assert world.dialled[0] != world.dialled[1]


def test_a_coordinator_that_does_not_connect_is_left_quickly_whatever_the_timeout() -> None:
    world = World()
    world.session.timeout_ms = 40_000
    world.pass_time(450)
    assert len(set(world.dialled)) == 3


def test_a_coordinator_that_connects_but_does_not_answer_is_left() -> None:
    world = World()
    world.link_up()
    world.pass_time(TIMEOUT_MS // 3)
    assert len(world.dialled) == 2


def test_after_a_round_of_failures_it_waits_longer_and_longer() -> None:
    world = World()
    for _ in range(3):
        world.cut()
    assert len(world.dialled) == 3
    world.pass_time(TIMEOUT_MS // 6)
    assert len(world.dialled) == 4


def test_operations_of_a_turn_travel_together_in_order_and_writes_are_numbered() -> None:
    world = World()
    world.submit("a", Create("/a"), GetData("/a"))
    world.submit("b", SetData("/a", b"1"))
    world.opened()
    sent, request = world.operate()
    assert ids(request) == [1, 0, 2]
    assert request.lowest_unanswered == 1
    assert request.session_id == SESSION
    world.results(sent, good(1, "/a"), good(1), good(2))
    assert world.names() == ["a", "b"]
    assert world.outcomes[0][1] == [good(1, "/a"), good(1)]
    assert world.session.last_zxid == 2


def test_requests_are_pipelined_and_say_which_answers_have_arrived() -> None:
    world = World()
    world.opened()
    world.submit("a", Create("/a"))
    world.turn()
    world.submit("b", Create("/b"))
    world.turn()
    (first, _), (second, request) = world.operate(), world.operate()
    assert (ids(request), request.lowest_unanswered) == ([2], 1)
    world.results(first, good())
    world.results(second, good())
    world.submit("c", GetData("/c"))
    world.turn()
    assert world.operate()[1].lowest_unanswered == 3
    assert world.names() == ["a", "b"]


def test_requests_in_flight_are_bounded() -> None:
    world = World()
    world.opened()
    for number in range(100):
        world.submit(str(number), Create(f"/{number}"))
        world.turn()
    assert len(world.sent) == 64
    sent, _ = world.operate()
    world.results(sent, good())
    assert ids(world.operate()[1]) == [2]
    assert len(ids(world.sent[-1].body)) == 36  # type: ignore[arg-type]


def test_a_large_submission_is_split_and_still_answered_as_one() -> None:
    world = World()
    world.opened()
    world.submit("many", *[Create(f"/{n}") for n in range(300)])
    world.turn()
    while world.sent:
        sent, request = world.operate()
        assert len(request.operations) <= 128
        world.results(sent, *[good(n) for n in ids(request)])
    ((_, outcome),) = world.outcomes
    assert not isinstance(outcome, Refusal)
    assert [result.zxid for result in outcome] == list(range(1, 301))


FULL = Result(ErrorCode.OVERLOADED)


def asked(world: World, *results: Result) -> list[str]:
    """Answer the oldest request; return the paths that it named."""
    sent, request = world.operate()
    world.results(sent, *(results or [good()] * len(request.operations)))
    return [each.operation.path for each in request.operations]  # type: ignore[union-attr]


def test_reads_that_found_no_room_in_one_answer_are_asked_for_again_and_fewer_at_once() -> None:
    world = World()
    world.opened()
    for number in range(7):
        world.submit(str(number), GetData(f"/{number}"))
    world.turn()
    asked(world, good(), good(), FULL, FULL, FULL, FULL, good())
    assert [asked(world) for _ in range(3)] == [["/2", "/3"], ["/4", "/5"], ["/6"]]
    assert world.names() == ["0", "1", "2", "3", "4", "5", "6"]
    assert all(not isinstance(one, Refusal) and one[0].error == 0 for _, one in world.outcomes)
    world.submit("more", *[GetData("/more") for _ in range(6)])
    world.turn()
    assert [len(asked(world)) for _ in range(2)] == [5, 1], "one more with each that had room"
    world.submit("alone", GetData("/large"))
    world.turn()
    asked(world, FULL)
    assert world.outcomes[-1] == ("alone", [FULL]), "nothing was in its way"


@pytest.mark.parametrize("behind", [SetData("/1", b""), RemoveWatches("/1", "any")])
def test_what_is_done_already_is_not_done_before_a_read_that_is_asked_for_again(
    behind: Operation,
) -> None:
    """Nor a second time: a session's operations are done in the order that they were given in."""
    for in_one_request in (True, False):
        world = World()
        world.opened()
        for number in range(2):
            world.submit(str(number), GetData(f"/{number}"))
        if not in_one_request:
            world.turn()
        world.submit("behind", behind)
        world.turn()
        asked(world, good(), FULL, *([good()] if in_one_request else []))
        if not in_one_request:
            asked(world)
        assert [one for _, one in world.outcomes] == [[good()], [FULL], [good()]]
        assert not world.sent


def test_reads_within_a_read_are_asked_for_again_too() -> None:
    world = World()
    world.opened()
    world.submit("a", GetData("/a"))
    world.submit("many", ReadMulti((GetData("/b"),)))
    world.turn()
    sent, _ = world.operate()
    world.results(sent, good(), Result(0, results=(FULL,)))
    sent, _ = world.operate()
    world.results(sent, Result(0, results=(good(),)))
    assert world.outcomes[-1] == ("many", [Result(0, results=(good(),))])


def test_large_data_bounds_a_request_by_its_bytes() -> None:
    world = World()
    world.opened()
    world.submit("a", *[SetData("/a", bytes(300_000)) for _ in range(3)])
    world.turn()
    assert [len(sent.body.operations) for sent in world.sent] == [1, 1, 1]  # type: ignore[attr-defined]


def test_unanswered_operations_are_sent_again_elsewhere_under_their_numbers() -> None:
    world = World()
    world.opened()
    for name in "abc":
        world.submit(name, Create(f"/{name}"))
        world.turn()
    first, _ = world.operate()
    world.results(first, good(5))
    world.sent.clear()
    world.cut()
    assert world.states[-1] is SessionState.SUSPENDED
    request = world.opened(zxid=5)
    assert (request.session_id, request.password, request.last_zxid) == (SESSION, b"secret", 5)
    sent, again = world.operate()
    assert (ids(again), again.lowest_unanswered) == ([2, 3], 2)
    world.results(sent, good(6), good(7))
    assert world.names() == ["a", "b", "c"]
    assert world.states == [
        SessionState.CONNECTED,
        SessionState.SUSPENDED,
        SessionState.CONNECTED,
    ]


def test_an_answer_of_the_connection_before_is_ignored() -> None:
    world = World()
    world.opened()
    world.submit("a", Create("/a"))
    world.turn()
    old, _ = world.operate()
    world.cut()
    world.opened()
    world.results(old, Result(ErrorCode.NODE_EXISTS))
    assert world.outcomes == []
    sent, _ = world.operate()
    world.results(sent, good())
    assert world.outcomes == [("a", [good()])]


def test_a_gap_makes_it_send_everything_again_on_the_same_connection() -> None:
    world = World()
    world.opened()
    for name in "ab":
        world.submit(name, Create(f"/{name}"))
        world.turn()
    (first, _), (second, _) = world.operate(), world.operate()
    world.answer(first, OperateResponse(ErrorCode.REQUEST_GAP))
    sent, again = world.operate()
    assert ids(again) == [1, 2]
    world.results(second, Result(ErrorCode.REQUEST_GAP))
    world.results(sent, good(), good())
    assert world.names() == ["a", "b"]
    assert len(world.dialled) == 1


def test_a_coordinator_that_misses_writes_again_and_again_is_left() -> None:
    world = World()
    world.opened()
    world.submit("a", Create("/a"))
    world.turn()
    for _ in range(4):
        sent, _ = world.operate()
        world.results(sent, Result(ErrorCode.REQUEST_GAP))
    assert len(world.dialled) == 2
    assert world.outcomes == []


def test_answers_out_of_order_are_not_believed() -> None:
    world = World()
    world.opened()
    for name in "ab":
        world.submit(name, Create(f"/{name}"))
        world.turn()
    _, (second, _) = world.operate(), world.operate()
    world.results(second, good())
    assert world.outcomes == []
    world.opened()
    assert ids(world.operate()[1]) == [1, 2]


@pytest.mark.parametrize("error", [ErrorCode.NO_QUORUM, ErrorCode.SERVER_BEHIND])
def test_a_refused_attachment_goes_to_the_next_coordinator_at_once(error: ErrorCode) -> None:
    world = World()
    world.opened()
    world.cut()
    world.link_up()
    world.answer(world.take(), OpenSessionResponse(error))
    assert len(world.dialled) == 3
    world.opened()
    assert world.states[-1] is SessionState.CONNECTED


def test_a_refused_request_is_sent_again_elsewhere() -> None:
    world = World()
    world.opened()
    world.submit("a", Create("/a"))
    world.turn()
    sent, _ = world.operate()
    world.answer(sent, Refusal(ErrorCode.STOPPING))
    world.opened()
    assert ids(world.operate()[1]) == [1]


def test_the_operation_at_fault_is_found_and_its_number_is_not_missed() -> None:
    world = World()
    world.opened()
    world.submit("a", Create("/a"))
    world.submit("bad", Create("/bad"))
    world.submit("c", Create("/c"))
    world.turn()
    whole, _ = world.operate()
    world.answer(whole, Refusal(ErrorCode.MALFORMED))
    alone = [world.operate() for _ in range(3)]
    assert [ids(request) for _, request in alone] == [[1], [2], [3]]
    world.results(alone[0][0], good())
    world.answer(alone[1][0], Refusal(ErrorCode.MALFORMED))
    again = [world.operate() for _ in range(2)]
    assert [ids(request) for _, request in again] == [[2], [3]]
    assert again[0][1].operations[0].operation == Check("/")
    for sent, _ in again:
        world.results(sent, good())
    assert world.outcomes == [
        ("a", [good()]),
        ("bad", [Result(ErrorCode.MALFORMED)]),
        ("c", [good()]),
    ]


def test_pings_at_a_third_of_the_timeout_even_when_reads_are_answered() -> None:
    world = World()
    world.opened()
    world.submit("a", GetData("/a"))
    world.turn()
    sent, _ = world.operate()
    world.results(sent, good())
    world.pass_time(TIMEOUT_MS // 3)
    assert isinstance(world.take().body, PingSessionRequest)


def test_a_hung_coordinator_is_left_a_third_of_the_timeout_after_the_ping() -> None:
    world = World()
    world.opened()
    world.pass_time(TIMEOUT_MS // 3)
    world.pass_time(TIMEOUT_MS // 3 - 1)
    assert world.states == [SessionState.CONNECTED]
    world.pass_time(1)
    assert world.states == [SessionState.CONNECTED, SessionState.SUSPENDED]
    assert len(world.dialled) == 2
    world.sent.clear()
    world.opened()
    assert world.states[2:] == [SessionState.CONNECTED]


def test_a_ping_that_is_refused_is_no_proof() -> None:
    world = World()
    world.opened()
    world.pass_time(TIMEOUT_MS // 3)
    world.answer(world.take(), PingSessionResponse(ErrorCode.NO_QUORUM))
    assert world.states[-1] is SessionState.SUSPENDED


def test_without_proof_for_the_whole_timeout_the_session_is_lost() -> None:
    world = World()
    world.opened()
    world.submit("a", Create("/a"))
    world.session.watch("/a", "data", lambda _event, _now: pytest.fail("called"))
    world.cut()
    world.pass_time(TIMEOUT_MS - 1)
    assert world.states[-1] is SessionState.SUSPENDED
    world.pass_time(1)
    assert world.session.state is SessionState.LOST
    ((_, outcome),) = world.outcomes
    assert isinstance(outcome, Refusal)
    assert outcome.error == ErrorCode.SESSION_EXPIRED
    assert world.links == {}
    assert world.session.next_deadline_ms() is None
    world.submit("late", GetData("/a"))
    assert world.names() == ["a", "late"]


def test_reads_and_attachments_do_not_prove_that_a_session_lives() -> None:
    world = World()
    world.opened()
    for _ in range(4):
        world.cut()
        world.pass_time(75)
        world.link_up()
        answer = OpenSessionResponse(0, SESSION, b"secret", TIMEOUT_MS)
        world.answer(world.take(), answer)
        world.submit("read", GetData("/a"))
        world.turn()
        ping, (sent, _) = world.take(), world.operate()
        assert isinstance(ping.body, PingSessionRequest)
        world.results(sent, good())
        world.turn(TIMEOUT_MS // 6)
    assert world.session.state is SessionState.LOST


def test_a_loop_that_was_away_too_long_knows_that_its_session_is_gone() -> None:
    world = World()
    world.opened()
    world.turn(TIMEOUT_MS)
    assert world.session.state is SessionState.LOST


@pytest.mark.parametrize("wrapped", [True, False])
def test_the_servers_word_that_the_session_expired_is_final(wrapped: bool) -> None:
    world = World()
    world.opened()
    world.submit("a", Create("/a"))
    world.cut()
    world.link_up()
    expired = ErrorCode.SESSION_EXPIRED
    world.answer(world.take(), OpenSessionResponse(expired) if wrapped else Refusal(expired))
    assert world.states[-1] is SessionState.LOST
    assert world.names() == ["a"]


def test_a_write_judged_after_the_session_ended_loses_it_too() -> None:
    world = World()
    world.opened()
    world.submit("a", Create("/a"))
    world.turn()
    sent, _ = world.operate()
    world.results(sent, Result(ErrorCode.SESSION_EXPIRED))
    assert world.states[-1] is SessionState.LOST
    assert isinstance(world.outcomes[0][1], Refusal)


def test_states_are_told_before_operations_fail() -> None:
    world = World()
    world.opened()
    seen: list[SessionState] = []
    world.session.submit(
        [Create("/a")], lambda _outcome, _now: seen.append(world.states[-1]), world.now
    )
    world.turn(TIMEOUT_MS)
    assert seen == [SessionState.LOST]


def test_close_ends_the_session_after_what_was_submitted() -> None:
    world = World()
    world.opened()
    world.submit("a", Create("/a"))
    world.session.close(world.now)
    world.submit("late", Create("/b"))
    world.turn()
    sent, request = world.operate()
    assert [type(item.operation) for item in request.operations] == [Create, CloseSession]
    world.results(sent, good(), good())
    assert world.session.state is SessionState.CLOSED
    assert world.names() == ["late", "a"]
    assert world.links == {}


def test_close_without_a_session_or_without_a_coordinator_does_not_hang() -> None:
    never = World()
    never.submit("a", Create("/a"))
    never.session.close(never.now)
    assert never.states == [SessionState.CLOSED]
    assert never.names() == ["a"]
    cut = World()
    cut.opened()
    cut.cut()
    cut.session.close(cut.now)
    cut.pass_time(CLOSE_MAX_MS)
    assert cut.session.state is SessionState.CLOSED


def test_what_no_coordinator_would_take_is_refused_at_once() -> None:
    world = World()
    world.submit("huge", SetData("/a", bytes(OPERATION_BYTES_MAX)))
    world.submit("none")
    outcome = world.outcomes[0][1]
    assert isinstance(outcome, Refusal)
    assert outcome.error == ErrorCode.BAD_ARGUMENTS
    assert world.outcomes[1] == ("none", ())


def test_a_full_link_makes_it_wait_for_answers_without_spinning() -> None:
    world = World()
    world.opened()
    world.submit("a", Create("/a"))
    world.turn()
    world.full = True
    world.submit("b", Create("/b"))
    world.turn()
    deadline_ms = world.session.next_deadline_ms()
    assert deadline_ms is not None
    assert deadline_ms > world.now.mono_ms
    world.full = False
    sent, _ = world.operate()
    world.results(sent, good())
    assert ids(world.operate()[1]) == [2]


# Under disorder


class Ensemble:
    """A coordinator's promises without its parts: what one session has had applied."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.applied: list[str] = []
        self.results: dict[int, Result] = {}

    def operate(self, request: OperateRequest) -> OperateResponse:
        return OperateResponse(0, tuple(self._one(item) for item in request.operations))

    def _one(self, item: object) -> Result:
        request_id: RequestId = item.request_id  # type: ignore[attr-defined]
        operation: Operation = item.operation  # type: ignore[attr-defined]
        if request_id == 0:
            return Result(0, Zxid(len(self.applied)))
        if request_id in self.results:
            return self.results[request_id]
        if request_id != len(self.results) + 1:
            return Result(ErrorCode.REQUEST_GAP)
        assert isinstance(operation, Create)
        self.applied.append(operation.path)
        self.results[request_id] = Result(0, Zxid(len(self.applied)), operation.path)
        return self.results[request_id]


@pytest.mark.parametrize("seed", range(40))
def test_every_operation_ends_once_and_is_applied_once_whatever_breaks(seed: int) -> None:
    world = World(seed)
    random = Random(seed)
    ensemble = Ensemble(random)
    submitted = 0
    while submitted < 150 or world.session.state not in (SessionState.CLOSED, SessionState.LOST):
        chance = random.random()
        if chance < 0.4 and submitted < 150:
            write = random.random() < 0.7
            operation = Create(f"/{submitted}") if write else GetData("/")
            world.submit(str(submitted), operation)
            submitted += 1
        elif submitted == 150 and chance < 0.2:
            world.session.close(world.now)
        elif chance < 0.5 and world.links:
            world.cut()
        elif chance < 0.7 and world.links and world.link not in world.up:
            world.link_up()
        elif world.sent:
            serve(world, ensemble, random)
        world.turn(random.randrange(3) if submitted < 150 else random.randrange(30))
    assert sorted(world.names(), key=int) == [str(number) for number in range(submitted)]
    assert len(ensemble.applied) == len(set(ensemble.applied))
    acked = [
        result.path
        for _, outcome in world.outcomes
        if not isinstance(outcome, Refusal)
        for result in outcome
        if result.path
    ]
    assert acked == ensemble.applied[: len(acked)]
    numbers = [int(path[1:]) for path in ensemble.applied]
    assert numbers == sorted(numbers), "applied in the order of submission"


def serve(world: World, ensemble: Ensemble, random: Random) -> None:
    """Do, and perhaps answer, the oldest request; what a dead connection held is done or lost."""
    sent = world.take()
    body = sent.body
    answer: Message
    if isinstance(body, OpenSessionRequest):
        answer = OpenSessionResponse(0, SESSION, b"secret", TIMEOUT_MS)
    elif isinstance(body, PingSessionRequest):
        answer = PingSessionResponse(0)
    elif sent.link not in world.up and random.random() < 0.5:
        return
    else:
        assert isinstance(body, OperateRequest)
        if random.random() < 0.1:
            world.answer(sent, Refusal(ErrorCode.NO_QUORUM))
            return
        if body.operations and isinstance(body.operations[-1].operation, CloseSession):
            rest = OperateRequest(SESSION, body.lowest_unanswered, body.operations[:-1])
            answer = OperateResponse(0, (*ensemble.operate(rest).results, Result(0)))
        else:
            answer = ensemble.operate(body)
    world.answer(sent, answer)


def test_a_coordinator_that_does_not_even_say_who_it_is_is_left() -> None:
    world = World()
    world.opened()
    left = world.link
    world.submit("a", SetData("/a", b"1"))
    world.turn()
    first, _ = world.operate()
    world.pass_time(PROBE_AFTER_MS)
    probe = world.take()
    assert isinstance(probe.body, DescribeNodeRequest)
    world.pass_time(PROBE_MIN_MS)
    assert world.states[-1] is SessionState.SUSPENDED
    assert world.link != left
    assert isinstance(world.take().body, PingSessionRequest)
    world.link_up()
    assert isinstance(world.take().body, OpenSessionRequest)
    world.results(first, good(1))
    assert world.names() == []


def test_a_slow_coordinator_that_says_who_it_is_is_kept() -> None:
    world = World()
    world.opened()
    kept = world.link
    world.submit("a", SetData("/a", b"1"))
    world.turn()
    first, _ = world.operate()
    for _ in range(3):
        world.pass_time(PROBE_AFTER_MS)
        while not isinstance((sent := world.take()).body, DescribeNodeRequest):
            world.answer(sent, PingSessionResponse(0))
        world.answer(sent, Refusal(ErrorCode.UNKNOWN_API))
    world.results(first, good(1))
    assert (world.link, world.names()) == (kept, ["a"])


def test_who_has_said_something_since_the_probe_is_kept() -> None:
    world = World()
    world.opened()
    kept = world.link
    world.submit("a", SetData("/a", b"1"))
    world.turn()
    world.operate()
    world.pass_time(PROBE_AFTER_MS)
    assert isinstance(world.take().body, DescribeNodeRequest)
    world.pass_time(100)
    world.event(NODE_CREATED, "/x", 5)
    world.pass_time(PROBE_MIN_MS - 100)
    assert world.link == kept


def test_nothing_is_probed_while_nothing_waits() -> None:
    world = World()
    world.opened()
    world.pass_time(PROBE_AFTER_MS + 50)
    assert world.sent == []


def test_a_session_goes_on_at_coordinators_that_came_while_it_lived() -> None:
    world = World()
    world.link_up()
    came = ("tcp://b:1", "tcp://d:1", "tcp://e:1")
    answer = OpenSessionResponse(0, SESSION, b"secret", TIMEOUT_MS, servers=came)
    world.answer(world.take(), answer)
    world.pong()
    world.cut()
    for _ in range(5):
        world.turn(TIMEOUT_MS // 10)
        if world.links:
            world.cut()
    asked = world.dialled[1:]
    assert set(asked) == set(came), "all who are there, and nobody who has gone"
