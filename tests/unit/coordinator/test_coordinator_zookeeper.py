"""ZooKeeper's clients at the fake ensemble: order, watches, sessions that move, and bad input."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from nodes.config import CoordinatorConfig
from nodes.coordinator import reads, rewatching
from nodes.coordinator.zookeeper import connection as zookeeper_connection
from nodes.coordinator.zookeeper import handover, pipeline
from nodes.coordinator.zookeeper import listener as zookeeper_listener
from nodes.core.znode import watch
from tests.unit.coordinator.ensemble import KEY, Ensemble
from tests.unit.coordinator.zookeeper_client import (
    OPEN_ACL,
    Answer,
    ZooKeeperClient,
    create,
    setting,
    watching,
)
from transport.driver.meter import Histogram
from transport.driver.ports import Door, Origin
from transport.gateway.zookeeper import jute
from transport.gateway.zookeeper.jute import JuteReader
from transport.gateway.zookeeper.requests import OpCode
from transport.kernel import Now
from transport.wire.codec import Envelope
from transport.wire.errors import ErrorCode as E
from transport.wire.ids import NodeId, RequestId, SessionId, Zxid
from transport.wire.messages.coordination import (
    Check,
    ForwardWrites,
    GetData,
    Operation,
    Result,
    SessionOperation,
    WatchEvent,
)
from transport.wire.messages.ensemble import ChangeVotersRequest

PING, CREATE, GET, SET, DELETE, EXISTS = 11, 1, 4, 5, 2, 3
CHILDREN, MULTI, CLOSE, SYNC, AUTH = 8, 14, -11, 9, 100


@pytest.fixture
def ensemble() -> Ensemble:
    made = Ensemble(listening=True)
    made.leader()
    return made


def client(ensemble: Ensemble, number: int | None = None) -> ZooKeeperClient:
    number = ensemble.followers()[0] if number is None else number
    return ZooKeeperClient(ensemble, number)


def data_of(ensemble: Ensemble, path: str) -> bytes | None:
    native = ensemble.session(ensemble.leader())
    native.open()
    (result,) = native.operate(GetData(path))
    return result.data if isinstance(result, Result) else None


def test_a_session_is_one_of_the_tree_and_closes(ensemble: Ensemble) -> None:
    one = client(ensemble).connect()
    assert one.timeout_ms == 4_000
    assert one.ask(CREATE, *create("/e", b"x", mode=1)).text() == "/e"
    other = client(ensemble, ensemble.leader()).connect()
    answer = other.ask(EXISTS, *watching("/e"))
    assert answer.error == 0
    owner = JuteReader(answer.body[44:]).int64()
    assert owner == one.session_id
    closed = one.ask(CLOSE, xid=9)
    assert (closed.xid, closed.error) == (9, 0)
    assert one.is_closed
    assert [each.event() for each in other.answers()] == [(2, "/e")]


def test_answers_come_in_the_order_of_their_requests(ensemble: Ensemble) -> None:
    one = client(ensemble).connect()
    one.send(1, CREATE, *create("/n", b"0"))
    for xid in range(2, 60, 3):
        one.send(xid, SET, *setting("/n", b"%d" % xid))
        one.send(xid + 1, GET, *watching("/n", watch=False))
        one.send(xid + 2, OpCode.WHO_AM_I if xid % 2 else SYNC, jute.string("/n"))
    answers = one.answers()
    assert [answer.xid for answer in answers] == list(range(1, 62))
    assert all(answer.error == 0 for answer in answers)
    for answer in answers:
        if answer.xid % 3 == 0:
            assert JuteReader(answer.body).buffer() == b"%d" % (answer.xid - 1)
    zxids = [answer.zxid for answer in answers]
    assert zxids == sorted(zxids)
    assert one.ask(PING, xid=-2).error == 0


def test_how_long_requests_take_is_told_by_what_they_are(ensemble: Ensemble) -> None:
    number = ensemble.leader()
    one = client(ensemble, number).connect()
    one.ask(CREATE, *create("/n", b"0"))
    for _ in range(2):
        one.ask(GET, *watching("/n", watch=False))
    one.ask(OpCode.WHO_AM_I)
    outlook = ensemble.nodes[number].server.outlook(ensemble.now)
    told = {measure.name: measure.samples for measure in outlook.measures}
    took = told["zookeeper_request_seconds"].items()
    counts = {labels: one.count for labels, one in took if isinstance(one, Histogram)}
    apis = {"Create": 1, "GetData": 2, "WhoAmI": 1}
    assert counts == {(("api", name),): count for name, count in apis.items()}
    assert told["zookeeper_clients"] == {(): 1}


def test_a_watch_is_told_after_it_is_set_and_before_what_it_saw_can_be_read(
    ensemble: Ensemble,
) -> None:
    one = client(ensemble).connect()
    one.ask(CREATE, *create("/n", b"0"))
    for xid, opcode, parts in (
        (10, GET, watching("/n")),
        (11, SET, setting("/n", b"1")),
        (12, GET, watching("/n")),
        (13, EXISTS, watching("/m")),
        (14, CREATE, create("/m")),
    ):
        one.send(xid, opcode, *parts)
    answers = one.answers()
    assert [answer.xid for answer in answers] == [10, -1, 11, 12, 13, -1, 14]
    assert [answers[1].event(), answers[5].event()] == [(3, "/n"), (1, "/m")]
    other = client(ensemble, ensemble.leader()).connect()
    other.ask(SET, *setting("/n", b"2"))
    assert [each.event() for each in one.answers()] == [(3, "/n")]


def test_a_session_that_moves_keeps_its_ephemerals_and_hears_what_it_missed(
    ensemble: Ensemble,
) -> None:
    first, second = ensemble.followers()
    one = client(ensemble, first).connect()
    one.ask(CREATE, *create("/e", mode=1))
    seen = one.ask(GET, *watching("/e")).zxid
    ensemble.kill(first)
    ensemble.leader()
    other = client(ensemble).connect()
    other.ask(SET, *setting("/e", b"changed"))
    moved = client(ensemble, second).connect(one, last_zxid=seen)
    assert (moved.session_id, moved.timeout_ms) == (one.session_id, 4_000)
    paths = jute.vector([jute.string("/e")]), jute.vector([]), jute.vector([])
    moved.send(-8, OpCode.SET_WATCHES, jute.int64(seen), *paths)
    moved.send(2, GET, *watching("/e", watch=False))
    answers = moved.answers()
    assert [answer.xid for answer in answers] == [-1, -8, 2]
    assert answers[0].event() == (3, "/e")
    assert moved.ask(CREATE, *create("/s-", mode=2)).text().startswith("/s-")


def test_what_the_last_connection_sent_is_shut_out_or_done_before(ensemble: Ensemble) -> None:
    leader = ensemble.leader()
    first, second = ensemble.followers()
    one = client(ensemble, first).connect()
    one.ask(CREATE, *create("/n", b"0"))
    late: list[Envelope] = []

    def drop(here: str, there: str, envelope: Envelope) -> bool:
        if isinstance(envelope.body, ForwardWrites) and here.endswith(str(first)):
            late.append(envelope)
            return True
        return False

    ensemble.drop = drop
    for xid in (2, 3, 4):
        one.send(xid, SET, *setting("/n", b"late %d" % xid))
    assert one.answers() == []
    assert late
    one.end()
    moved = client(ensemble, second).connect(one)
    assert moved.ask(SET, *setting("/n", b"new")).error == 0
    assert data_of(ensemble, "/n") == b"new"
    process = ensemble.nodes[leader].process
    assert process is not None
    process.inbox.extend((Origin(Door.PEERS, b"late"), envelope) for envelope in late)
    ensemble.settle()
    assert data_of(ensemble, "/n") == b"new"
    answers = [moved.ask(CREATE, *create(f"/{number}")) for number in range(70)]
    assert all(answer.error == 0 for answer in answers)


def test_a_session_taken_elsewhere_ends_its_old_connection_without_a_false_answer(
    ensemble: Ensemble,
) -> None:
    first, second = ensemble.followers()
    one = client(ensemble, first).connect()
    one.ask(CREATE, *create("/n", b"0"))
    name = ensemble.nodes[first].config.name
    ensemble.drop = lambda here, there, envelope: (
        here == name and isinstance(envelope.body, ForwardWrites)
    )
    one.send(2, SET, *setting("/n", b"never done"))
    moved = client(ensemble, second).connect(one)
    assert one.answers() == []
    assert one.is_closed
    ensemble.drop = lambda here, there, envelope: False
    ensemble.run(2_000)
    assert data_of(ensemble, "/n") == b"0"
    assert moved.ask(SET, *setting("/n", b"1")).error == 0
    again = client(ensemble, second).connect(moved)  # at the same coordinator, too
    assert moved.is_closed
    assert again.ask(SET, *setting("/n", b"2")).error == 0


def test_two_that_share_a_session_are_never_given_each_others_results() -> None:
    sent: dict[RequestId, Operation] = {RequestId(7): Check("/")}
    mine = SessionOperation(RequestId(7), Check("/"))
    others = SessionOperation(RequestId(7), Check("/x"))
    later = SessionOperation(RequestId(8), Check("/"))
    answered = RequestId(6)
    assert not handover.is_of_another([mine], sent, answered)
    assert handover.is_of_another([others], sent, answered)
    assert handover.is_of_another([mine, later], sent, answered)
    assert not handover.is_of_another([others], sent, RequestId(7))


def test_who_may_not_have_a_session_is_told_or_sent_away(ensemble: Ensemble) -> None:
    one = client(ensemble).connect()
    wrong = client(ensemble)
    wrong.session_id = one.session_id
    wrong.hello()
    assert wrong.opened().timeout_ms == 0
    assert wrong.is_closed
    ahead = client(ensemble)
    ahead.session_id, ahead.password = one.session_id, one.password
    ahead.hello(last_zxid=10**9)
    assert ahead.take() == b""
    assert ahead.is_closed
    assert one.ask(PING, xid=-2).error == 0


@pytest.mark.parametrize(
    "data",
    [
        jute.int32(2**30),
        jute.framed(b""),
        jute.framed(b"x" * 20),
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
def test_bad_bytes_end_their_connection_and_nothing_else(ensemble: Ensemble, data: bytes) -> None:
    good = client(ensemble).connect()
    bad = client(ensemble)
    bad.write(data)
    assert bad.take() == b""
    assert bad.is_closed
    served = client(ensemble).connect()
    served.write(jute.framed(jute.int32(1), jute.int32(CREATE), b"\0\0\0\x7f/"))
    assert served.take() == b""
    assert served.is_closed
    assert good.ask(CREATE, *create("/fine")).error == 0
    figures = ensemble.health(ensemble.followers()[0]).figures
    assert figures["zookeeper_malformed"] == 2


def test_every_operation_has_its_answer(ensemble: Ensemble) -> None:
    one = client(ensemble).connect()
    made = one.ask(OpCode.CREATE2, *create("/n", b"0", mode=1))
    assert (made.text(), len(made.body)) == ("/n", 6 + 68)
    ttl = create("/ttl", mode=5)
    assert one.ask(OpCode.CREATE_TTL, *ttl, jute.int64(60_000)).text() == "/ttl"
    assert one.ask(OpCode.CREATE_CONTAINER, *create("/box", mode=4)).text() == "/box"
    assert one.ask(OpCode.GET_ALL_CHILDREN_NUMBER, jute.string("/")).body >= jute.int32(3)
    found = JuteReader(one.ask(OpCode.GET_EPHEMERALS, jute.string("/")).body)
    assert found.vector(found.string, 4) == ["/n"]
    assert one.ask(OpCode.CHECK, jute.string("/n"), jute.int32(5)).error == E.BAD_VERSION
    assert one.ask(OpCode.SET_ACL, jute.string("/n"), OPEN_ACL, jute.int32(0)).error == 0
    assert one.ask(OpCode.GET_ACL, jute.string("/n")).body.startswith(OPEN_ACL)
    assert (
        one.ask(CREATE, jute.string("/b"), jute.buffer(b""), jute.vector([]), jute.int32(0)).error
        == E.INVALID_ACL
    )
    assert one.ask(OpCode.RECONFIG).error == E.RECONFIG_DISABLED
    assert one.ask(99).error == E.UNIMPLEMENTED
    assert one.ask(SYNC, jute.string("/n")).text() == "/n"
    read = jute.int32(GET) + b"\0" + jute.int32(-1) + jute.string("/n") + b"\0"
    missing = read.replace(b"/n", b"/x")
    end = jute.int32(-1) + b"\1" + jute.int32(-1)
    both = JuteReader(one.ask(OpCode.MULTI_READ, read, missing, end).body)
    assert (both.int32(), both.boolean(), both.int32(), both.buffer()) == (GET, False, 0, b"0")
    told = JuteReader(one.ask(OpCode.WHO_AM_I).body)
    assert told.vector(lambda: (told.string(), told.string()), 8) == [("ip", "10.0.0.9")]


def test_lasting_watches_are_set_checked_and_removed(ensemble: Ensemble) -> None:
    one = client(ensemble).connect()
    one.ask(CREATE, *create("/n"))
    any_kind = jute.string("/n"), jute.int32(3)
    assert one.ask(OpCode.CHECK_WATCHES, *any_kind).error == E.NO_WATCHER
    assert one.ask(OpCode.ADD_WATCH, jute.string("/n"), jute.int32(1)).body == jute.int32(0)
    assert one.ask(OpCode.CHECK_WATCHES, *any_kind).error == 0
    for number in range(2):
        one.send(2, CREATE, *create(f"/n/{number}"))
        event, made = one.answers()
        assert event.event() == (1, f"/n/{number}")
        assert made.error == 0
    assert one.ask(OpCode.REMOVE_WATCHES, *any_kind).error == 0
    assert one.ask(OpCode.REMOVE_WATCHES, *any_kind).error == E.NO_WATCHER
    assert one.ask(DELETE, jute.string("/n/0"), jute.int32(-1)).error == 0
    assert one.ask(OpCode.CHECK_WATCHES, jute.string("/n"), jute.int32(9)).error == E.BAD_ARGUMENTS


def test_a_watch_that_one_request_names_often_is_looked_after_once(
    ensemble: Ensemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recursive one of the root is a look at all that there is."""
    looked: list[list[tuple[str, str]]] = []

    def missed(*told: Any) -> Iterator[Any]:
        looked.append(told[3])
        return iter(())

    one = client(ensemble).connect()
    monkeypatch.setattr(rewatching, "missed_by_lasting", missed)
    none, often = jute.vector([]), jute.vector([jute.string("/")] * 10_000)
    asked = jute.int64(-1), none, none, none, none, often
    assert one.ask(OpCode.SET_WATCHES2, *asked).error == 0
    assert looked == [[("recursive", "/")]]
    assert one.ask(OpCode.CHECK_WATCHES, jute.string("/"), jute.int32(5)).error == 0


def test_what_watches_missed_leaves_room_for_no_other_request_in_its_turn(
    ensemble: Ensemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a recursive watch that is new it is all that there is: an event for each znode."""
    set_anew: list[SessionId] = []

    def missed(_context: Any, session_id: SessionId, *_told: Any) -> dict[WatchEvent, None]:
        set_anew.append(session_id)
        paths = (f"/{number}" for number in range(5_000))
        return dict.fromkeys(WatchEvent(session_id, 1, path, Zxid(9)) for path in paths)

    clients = [client(ensemble).connect() for _ in range(4)]
    monkeypatch.setattr(zookeeper_connection, "set_watches", missed)
    none, root = jute.vector([]), jute.vector([jute.string("/")])
    for one in clients:
        one.send(-8, OpCode.SET_WATCHES2, jute.int64(0), none, none, none, none, root)
    clients[0].process.turn()
    assert len(set_anew) == 2, "one as they came, and one at the end of the turn"
    for one in clients:
        assert [answer.xid for answer in one.answers()] == [*[-1] * 5_000, -8]


def test_a_client_that_has_more_watches_than_there_is_room_for_is_let_go(
    ensemble: Ensemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No client of ZooKeeper's looks at the answer: it would wait for what it is never told."""
    monkeypatch.setattr(watch, "PATHS_BYTES_MAX", 100)
    one = client(ensemble).connect()
    none, short = jute.vector([]), jute.vector([jute.string("/a"), jute.string("/b")])
    assert one.ask(OpCode.SET_WATCHES, jute.int64(0), none, short, none).error == 0
    long = jute.vector([jute.string("/" + "x" * 500)])
    one.send(-8, OpCode.SET_WATCHES, jute.int64(0), none, long, none)
    assert one.answers() == []
    assert one.is_closed


def test_a_proof_counts_and_a_bad_one_ends_the_connection(ensemble: Ensemble) -> None:
    one = client(ensemble).connect()
    proof = jute.int32(0), jute.string("digest"), jute.buffer(b"alice:secret")
    assert one.ask(AUTH, *proof, xid=-4).error == 0
    told = JuteReader(one.ask(OpCode.WHO_AM_I).body)
    names = told.vector(lambda: (told.string(), told.string()), 8)
    assert [name for name in names if name[1].startswith("alice:")]
    bad = jute.int32(0), jute.string("nonsense"), jute.buffer(b"x")
    assert one.ask(AUTH, *bad, xid=-4).error == E.AUTH_FAILED
    assert one.is_closed


def test_who_asks_for_too_much_at_once_is_read_no_further_and_answered_all(
    ensemble: Ensemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "WAITING_MAX", 20)
    one = client(ensemble).connect()
    one.ask(CREATE, *create("/n"))
    frames = [
        jute.framed(jute.int32(xid), jute.int32(SET), *setting("/n", b"%d" % xid))
        for xid in range(500)
    ]
    one.write(b"".join(frames))
    node = one.process.node
    one.process.turn()
    assert one.stream in one.streams.paused
    (known,) = node.server._listener.connections  # type: ignore[union-attr]
    assert known.outstanding <= 20 + handover.WRITES_IN_FLIGHT_MAX
    assert [answer.xid for answer in one.answers()] == list(range(500))
    assert one.stream not in one.streams.paused


@pytest.mark.parametrize(("looked_at", "begun_a_turn"), [(1_000, 10), (1, 4)])
def test_who_asks_much_at_once_lets_others_have_their_turns(
    ensemble: Ensemble, monkeypatch: pytest.MonkeyPatch, looked_at: int, begun_a_turn: int
) -> None:
    """``looked_at``: so many znodes count as a request."""
    one, other = client(ensemble).connect(), client(ensemble).connect()
    for path in ("/n", "/n/1", "/n/2", "/n/3"):
        one.ask(CREATE, *create(path))
    monkeypatch.setattr(zookeeper_listener, "ROOM_A_TURN", 5)
    monkeypatch.setattr(zookeeper_connection, "ZNODES_AS_A_REQUEST", looked_at)
    answered: list[int] = []
    end_turn = zookeeper_listener.Listener.end_turn

    def ending(listener: zookeeper_listener.Listener, now: Now) -> None:
        end_turn(listener, now)
        if listener is one.handler:
            answered.append(listener.answered)

    monkeypatch.setattr(zookeeper_listener.Listener, "end_turn", ending)
    one.ask(SYNC, jute.string("/"))
    count = jute.int32(7), jute.int32(OpCode.GET_ALL_CHILDREN_NUMBER), jute.string("/n")
    one.write(jute.framed(*count) * 40)
    other.write(jute.framed(*count))
    answers = one.answers()
    assert [answer.body for answer in answers] == [jute.int32(3)] * 40
    assert len(other.answers()) == 1
    begun = [after - before for before, after in pairwise(answered)]
    assert max(begun) <= begun_a_turn + 1  # the sync's answer may be among them
    assert sum(begun) >= 41


def test_who_pings_without_an_end_lets_others_have_their_turns(
    ensemble: Ensemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a quarter of a megabyte are twenty thousand."""
    one = client(ensemble).connect()
    monkeypatch.setattr(zookeeper_listener, "ROOM_A_TURN", 5)
    one.ask(CREATE, *create("/n"))  # from now on a turn has room for five
    ping = jute.framed(jute.int32(-2), jute.int32(OpCode.PING))
    one.write(ping * 23)
    answered: list[int] = []
    while len(answered) < 9:
        one.process.turn()
        answered.append(len(one.streams.sent[one.stream]) // (4 + 16))
        assert (one.stream in one.streams.paused) == (answered[-1] < 23)
    assert [after - before for before, after in pairwise([0, *answered])][:5] == [10, 5, 5, 3, 0]
    assert [answer.xid for answer in one.answers()] == [-2] * 23


def test_very_many_watches_are_set_anew_some_a_turn(
    ensemble: Ensemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that last together: what they have missed is told in its order."""
    one, other = client(ensemble).connect(), client(ensemble).connect()
    monkeypatch.setattr(zookeeper_connection, "WATCHES_AT_ONCE", 3)
    monkeypatch.setattr(zookeeper_connection, "WATCHES_AS_REQUESTS", zookeeper_listener.ROOM_A_TURN)
    set_at_once: list[int] = []

    def set_watches(context: Any, session_id: Any, watches: Any, seen: Any) -> Any:
        set_at_once.append(len(watches))
        return rewatching.set_watches(context, session_id, watches, seen)

    monkeypatch.setattr(zookeeper_connection, "set_watches", set_watches)
    seen = other.ask(CREATE, *create("/n")).zxid
    other.ask(CREATE, *create("/n/x"))
    none = jute.vector([])
    paths = jute.vector([jute.string(f"/{number}") for number in range(7)] * 2)
    lasting = jute.vector([jute.string(path) for path in ("/n", "/m", "/l", "/k")])
    one.send(-8, OpCode.SET_WATCHES2, jute.int64(seen), none, paths, none, none, lasting)
    one.send(5, OpCode.EXISTS, *watching("/n", watch=False))
    for turn in range(5):
        one.process.turn()
        assert len(set_at_once) <= turn + 2, "some when they come, and some at a turn's end"
    event, done, found = one.answers()
    assert set_at_once == [3, 3, 1, 4]
    assert (event.event(), done.xid, done.error, found.xid) == ((1, "/n/x"), -8, 0, 5)
    for path in ("/0", "/6", "/m"):
        other.ask(CREATE, *create(path))
    assert [answer.event() for answer in one.answers()] == [(1, "/0"), (1, "/6"), (1, "/m")]


def test_who_asks_for_more_than_it_reads_is_answered_as_it_reads(
    ensemble: Ensemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred znodes at the limit of their data are above what anybody may have unsent."""
    monkeypatch.setattr(zookeeper_listener, "UNREAD_BYTES_MAX", 1_000)
    one, other = client(ensemble).connect(), client(ensemble).connect()
    one.ask(CREATE, *create("/n", b"x" * 500))
    one.streams.slow.add(one.stream)
    for xid in range(40):
        one.send(xid, GET, *watching("/n", watch=False))
    one.send(40, SET, *setting("/n", b"y" * 500))
    one.send(41, GET, *watching("/n", watch=False))
    taken: list[Answer] = []
    while len(taken) < 42:
        ensemble.settle()
        listener = one.process.node.server._listener
        assert listener is not None
        assert listener.next_deadline_ms() is None, "nothing to do before it reads"
        answers = one.answers()
        assert 0 < len(answers) <= 2 + pipeline.READS_AT_ONCE
        taken += answers
        assert other.ask(EXISTS, *watching("/n", watch=False)).error == 0
    assert [answer.xid for answer in taken] == list(range(42))
    assert JuteReader(taken[39].body).buffer() == b"x" * 500
    assert JuteReader(taken[41].body).buffer() == b"y" * 500


def test_who_writes_before_it_reads_is_read_and_answered_further(
    ensemble: Ensemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kazoo reads nothing while it writes a request: one of the two has to give way."""
    monkeypatch.setattr(zookeeper_listener, "UNREAD_BYTES_MAX", 1_000)
    monkeypatch.setattr(zookeeper_listener, "UNREAD_AT_WORST", 20_000)
    monkeypatch.setattr(pipeline, "WAITING_MAX", 10)
    one = client(ensemble).connect()
    one.ask(CREATE, *create("/n", b"x" * 500))
    one.streams.slow.add(one.stream)
    for xid in range(30):
        one.send(xid, GET, *watching("/n", watch=False))
    ensemble.settle()
    assert one.stream not in one.streams.paused
    for xid in range(30, 100):
        one.send(xid, GET, *watching("/n", watch=False))
    ensemble.settle()
    assert one.stream in one.streams.paused
    assert len(one.streams.sent[one.stream]) < 20_000 + 10 * 600
    taken: list[Answer] = []
    while len(taken) < 100:
        taken += one.answers()
    assert [answer.xid for answer in taken] == list(range(100))


def test_a_client_that_takes_nothing_is_let_go(ensemble: Ensemble) -> None:
    one, other = client(ensemble).connect(), client(ensemble).connect()
    one.ask(CREATE, *create("/n"))
    one.ask(GET, *watching("/n"))
    one.streams.stuck.add(one.stream)
    assert other.ask(SET, *setting("/n", b"1")).error == 0
    ensemble.settle()
    assert one.is_closed
    assert not other.is_closed


def test_a_silent_sessions_connection_ends_with_it_and_a_talking_ones_does_not(
    ensemble: Ensemble,
) -> None:
    silent, talking = client(ensemble).connect(), client(ensemble).connect()
    for _ in range(6):
        ensemble.run(1_000)
        talking.ask(PING, xid=-2)
    assert silent.is_closed
    assert not talking.is_closed
    late = client(ensemble)
    late.session_id, late.password = silent.session_id, silent.password
    late.hello()
    assert late.opened().timeout_ms == 0


def test_a_small_limit_of_operations_is_kept_and_hinders_nobody() -> None:
    ensemble = Ensemble(listening=True, coordinator=CoordinatorConfig(outstanding_operations_max=2))
    ensemble.leader()
    one = client(ensemble).connect()
    for xid in range(20):
        one.send(xid, CREATE, *create(f"/{xid}"))
        one.send(xid, GET, *watching(f"/{xid}"))
    assert [answer.error for answer in one.answers()] == [0] * 40
    moved = client(ensemble, ensemble.leader()).connect(one)
    assert moved.ask(DELETE, jute.string("/1"), jute.int32(-1)).error == 0


def test_reads_of_larger_data_than_usual_find_room_in_their_answers() -> None:
    limits = CoordinatorConfig(data_bytes_max=3_000_000)
    ensemble = Ensemble(listening=True, coordinator=limits)
    one = client(ensemble, ensemble.leader()).connect()
    assert one.ask(CREATE, *create("/n", b"x" * 2_900_000)).error == 0
    for xid in range(12):
        one.send(xid, GET, *watching("/n", watch=False))
    assert [answer.error for answer in one.answers()] == [0] * 12


def test_children_of_more_names_than_a_frame_of_ours_holds_are_told(
    ensemble: Ensemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "FRAME_BYTES_MAX", 400)
    one = client(ensemble).connect()
    one.ask(CREATE, *create("/n"))
    for number in range(20):
        one.ask(CREATE, *create(f"/n/{'n' * 20}{number:02d}"))
    answer = one.ask(CHILDREN, *watching("/n"))
    assert answer.error == 0
    assert len(JuteReader(answer.body).vector(lambda: 0, 0)) == 20


def test_without_a_quorum_reads_are_for_those_who_ask_for_that() -> None:
    ensemble = Ensemble(size=3, listening=True)
    number = ensemble.leader()
    for other in [each for each in ensemble.nodes if each != number]:
        ensemble.kill(other)
    ensemble.run(3_000)
    proud, modest = client(ensemble, number), client(ensemble, number)
    proud.hello()
    modest.hello(read_only=True)
    ensemble.run(3_000)
    assert proud.take() == b""
    assert proud.is_closed
    assert modest.opened().timeout_ms == 4_000
    assert modest.ask(EXISTS, *watching("/zookeeper")).error == 0
    assert modest.ask(CREATE, *create("/n")).error == E.NOT_READ_ONLY
    word = client(ensemble, number)
    word.write(b"isro")
    assert word.take() == b"ro"


def test_words_are_answered_as_the_settings_let_them() -> None:
    ensemble = Ensemble(
        listening=True,
        coordinator=CoordinatorConfig(
            four_letter_words=("ruok", "srvr", "stat", "mntr", "conf", "envi", "cons")
        ),
    )
    number = ensemble.leader()
    client(ensemble, number).connect()
    told = {}
    for word in ("ruok", "srvr", "stat", "mntr", "conf", "envi", "cons", "dump"):
        asks = client(ensemble, number)
        asks.write(word.encode() + b"\n")
        told[word] = asks.take().decode()
        assert asks.is_closed
    assert told["ruok"] == "imok"
    assert "Mode: leader\n" in told["srvr"]
    assert " /10.0.0.9[1](queued=0,recved=0,sent=0)\n" in told["stat"]
    assert "zk_server_state\tleader\n" in told["mntr"]
    assert "maxSessionTimeout=40000\n" in told["conf"]
    assert "zookeeper.version=3.9.0-odradek" in told["envi"]
    assert told["cons"] == "cons is not offered.\n"
    assert "not in the whitelist" in told["dump"]


def test_words_say_who_votes_now() -> None:
    """By the log: the settings an observer was started with say otherwise, once it was given a vote."""
    ensemble = Ensemble(listening=True, observers=1)
    leader = ensemble.leader()
    ensemble.run(200)
    follower, observer = next(n for n in (1, 2, 3) if n != leader), 65

    def modes() -> list[str]:
        told = []
        for number in (leader, follower, observer):
            asks = client(ensemble, number)
            asks.write(b"srvr")
            told += [line for line in asks.take().decode().splitlines() if "Mode" in line]
        return [line.removeprefix("Mode: ") for line in told]

    assert modes() == ["leader", "follower", "observer"]
    for node, votes in ((observer, True), (follower, False)):
        asked = ensemble.client(leader)
        assert asked.ask(ChangeVotersRequest(KEY, NodeId(node), votes)).error == 0
        ensemble.run(200)
    assert modes() == ["leader", "observer", "follower"]


def test_words_tell_how_long_requests_took_and_how_many_there_were() -> None:
    ensemble = Ensemble(listening=True)
    number = ensemble.leader()

    def told(word: str) -> dict[str, str]:
        asks = client(ensemble, number)
        asks.write(word.encode())
        lines = asks.take().decode().splitlines()
        return dict(line.split("\t" if word == "mntr" else ": ", 1) for line in lines)

    assert told("srvr")["Latency min/avg/max"] == "0/0.0/0"
    one = client(ensemble, number).connect()
    listener = ensemble.nodes[number].server._listener
    assert listener is not None
    # Asked for when a request has come, and when it is answered.
    clock_ns = iter((0, 3_900_000, 10_000_000, 11_250_000, 20_000_000, 27_750_000))
    listener.times.now_ns = lambda: next(clock_ns)
    for path in ("/a", "/b", "/c"):
        one.ask(EXISTS, *watching(path))
    one.end()
    assert told("srvr")["Latency min/avg/max"] == "1/4.3/7"
    mntr = told("mntr")
    assert [mntr[f"zk_{which}_latency"] for which in ("min", "avg", "max")] == ["1", "4.3", "7"]
    assert (mntr["zk_packets_received"], mntr["zk_packets_sent"]) == ("3", "3"), "of who has gone"


def test_who_asks_for_nothing_is_ended_however_slowly_it_speaks(ensemble: Ensemble) -> None:
    silent, slow, word, good = (client(ensemble) for _ in range(4))
    good.hello(timeout_ms=40_000)
    word.write(b"ruo")
    for byte in b"\0\0\0\x2d\0\0\0\0\0":
        slow.write(bytes([byte]))
        ensemble.run(1_000)
    assert [one.is_closed for one in (silent, slow, word, good)] == [False] * 4
    ensemble.run(1_001)
    assert [one.is_closed for one in (silent, slow, word, good)] == [True] * 3 + [False]


def test_a_loop_that_was_away_ends_nobody_for_its_own_silence(ensemble: Ensemble) -> None:
    number = ensemble.followers()[0]
    late = client(ensemble, number)
    ensemble.settle()
    process = ensemble.nodes[number].process
    assert process is not None
    process.posted.append(lambda now: process.server.on_gap(5_000, now))
    ensemble.run(12_000)
    assert not late.is_closed
    late.connect()
    assert late.timeout_ms == 4_000


def test_a_first_frame_has_no_room_for_more_than_a_session_takes(ensemble: Ensemble) -> None:
    one = client(ensemble)
    one.write(jute.int32(1_025))
    ensemble.settle()
    assert one.is_closed


def test_all_connections_together_hold_only_so_much(
    ensemble: Ensemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zookeeper_listener, "HELD_BYTES_MAX", 100_000)
    first, second, third = (client(ensemble).connect() for _ in range(3))
    first.write(jute.int32(90_000) + bytes(48_000))
    second.write(jute.int32(90_000) + bytes(45_000))
    assert third.ask(EXISTS, *watching("/")).error == 0
    assert [one.is_closed for one in (first, second, third)] == [False] * 3
    third.write(jute.int32(90_000) + bytes(10_000))
    ensemble.settle()
    told = [one.is_closed for one in (first, second, third)]
    assert told == [True, False, False], "who holds most, and not who came last"
    assert client(ensemble).connect().ask(CREATE, *create("/n", bytes(40_000))).error == 0
    second.end()
    third.end()
    listener = second.process.server._listener
    assert listener is not None
    assert listener.held_bytes == 0


def test_nothing_of_the_tongue_is_loaded_before_somebody_speaks_it() -> None:
    code = (
        "import sys, nodes.coordinator.server, nodes.coordinator.zookeeper.listener\n"
        "print([name for name in sys.modules if 'gateway' in name or 'connection' in name])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "[]\n"


def test_a_coordinator_that_stops_sends_its_clients_elsewhere(ensemble: Ensemble) -> None:
    first = ensemble.followers()[0]
    one = client(ensemble, first).connect()
    process = ensemble.nodes[first].process
    assert process is not None
    process.posted.append(process.server.stop)
    ensemble.run(500)
    assert one.is_closed
