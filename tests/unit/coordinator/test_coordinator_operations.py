"""Three coordinators: operations in order, reads between writes, watches, syncs, lost writes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nodes.config import CoordinatorConfig, RaftConfig
from tests.unit.coordinator.ensemble import Ensemble, SessionClient, through_the_wire
from transport.driver.ports import Door, Origin
from transport.wire.codec import Envelope
from transport.wire.errors import ErrorCode
from transport.wire.ids import RequestId
from transport.wire.messages import Message
from transport.wire.messages.coordination import (
    NODE_CHILDREN_CHANGED,
    NODE_CREATED,
    NODE_DATA_CHANGED,
    NODE_DELETED,
    PERSISTENT_SEQUENTIAL,
    Check,
    CloseSession,
    Create,
    Delete,
    Exists,
    ForwardWrites,
    GetChildren,
    GetData,
    Multi,
    OperateRequest,
    OperateResponse,
    PingSessionRequest,
    SessionOperation,
    SetData,
    Sync,
    WatchEvent,
)
from transport.wire.messages.raft import AppendRequest, AppendResponse

E = ErrorCode


@pytest.fixture
def ensemble() -> Ensemble:
    return Ensemble()


def opened(ensemble: Ensemble, number: int) -> SessionClient:
    client = ensemble.session(number)
    assert client.open().error == 0
    return client


def at_leader(ensemble: Ensemble) -> SessionClient:
    return opened(ensemble, ensemble.leader())


def at_follower(ensemble: Ensemble, which: int = 0) -> SessionClient:
    return opened(ensemble, ensemble.followers()[which])


def test_every_coordinator_serves(ensemble: Ensemble) -> None:
    ensemble.leader()
    for number in ensemble.nodes:
        client = opened(ensemble, number)
        create, read = client.operate(Create(f"/n{number}", b"x"), GetData(f"/n{number}"))
        assert (create.error, create.path) == (0, f"/n{number}")
        assert read.data == b"x"
    ensemble.run(200)
    children = opened(ensemble, 1).operate(GetChildren("/"))[0].children
    assert children == ("n1", "n2", "n3", "zookeeper")


def test_reads_stand_between_the_writes_of_their_request(ensemble: Ensemble) -> None:
    for client in (at_leader(ensemble), at_follower(ensemble)):
        path = f"/{client.session_id}"
        results = client.operate(
            GetData(path),
            Create(path, b"1"),
            GetData(path),
            SetData(path, b"2"),
            SetData(path, b"3"),
            GetData(path),
            Delete(path),
            Exists(path),
        )
        assert [r.error for r in results] == [E.NO_NODE, 0, 0, 0, 0, 0, 0, E.NO_NODE]
        assert [r.data for r in results if r.data is not None] == [b"1", b"3"]


def test_a_read_does_not_see_later_requests_of_its_session(ensemble: Ensemble) -> None:
    client = at_follower(ensemble)
    client.operate(Create("/x", b"0"))
    numbers = [
        client.send(client.request(SetData("/x", b"%d" % n), GetData("/x"))) for n in range(1, 6)
    ]
    ensemble.settle()
    answers = [client.answer(number) for number in numbers]
    assert [a.results[1].data for a in answers if isinstance(a, OperateResponse)] == [
        b"1",
        b"2",
        b"3",
        b"4",
        b"5",
    ]
    order = [e.correlation_id for e in client.received if e.correlation_id in numbers]
    assert order == numbers


def test_a_failing_multi_changes_nothing(ensemble: Ensemble) -> None:
    client = at_follower(ensemble)
    multi, children = client.operate(
        Multi((Create("/a"), Check("/missing"), Create("/b"))), GetChildren("/")
    )
    assert multi.error == E.NO_NODE
    assert [r.error for r in multi.results] == [0, E.NO_NODE, E.RUNTIME_INCONSISTENCY]
    assert children.children == ("zookeeper",)


def test_oversized_writes_fail_alone(ensemble: Ensemble) -> None:
    client = at_follower(ensemble)
    limit = ensemble.nodes[1].config.coordinator.data_bytes_max
    results = client.operate(
        Create("/fits", b"x" * limit),
        Create("/large", b"x" * (limit + 1)),
        Multi((SetData("/fits", b"x" * limit), SetData("/fits", b"y"))),
        Create("/after"),
        GetChildren("/"),
    )
    assert [r.error for r in results] == [0, E.BAD_ARGUMENTS, E.BAD_ARGUMENTS, 0, 0]
    assert results[4].children == ("after", "fits", "zookeeper")


@pytest.mark.parametrize(
    "item",
    [
        SessionOperation(RequestId(1), GetData("/")),
        SessionOperation(RequestId(0), Create("/x")),
        SessionOperation(RequestId(-1), Create("/x")),
    ],
)
def test_misnumbered_operations_are_refused(ensemble: Ensemble, item: SessionOperation) -> None:
    client = at_leader(ensemble)
    answer = client.ask(OperateRequest(client.session_id, RequestId(1), (item,)))
    assert answer.error == E.BAD_ARGUMENTS
    assert client.operate(Exists("/x"))[0].error == E.NO_NODE


def test_a_missing_number_is_a_gap(ensemble: Ensemble) -> None:
    client = at_follower(ensemble)
    answer = client.ask(client.request(Create("/x"), first_id=2))
    assert answer.error == E.REQUEST_GAP
    assert client.ask(client.request(Create("/y"), first_id=1)).error == 0
    assert client.operate(GetChildren("/"))[0].children == ("y", "zookeeper")


def test_an_empty_request(ensemble: Ensemble) -> None:
    assert at_leader(ensemble).operate() == ()


def test_too_many_outstanding_operations() -> None:
    ensemble = Ensemble(coordinator=CoordinatorConfig(outstanding_operations_max=3))
    client = at_leader(ensemble)
    answer = client.ask(client.request(*[GetData("/")] * 4))
    assert answer.error == E.OVERLOADED
    assert len(client.operate(*[GetData("/")] * 3)) == 3


# Watches


def test_an_event_comes_before_the_answer_that_reveals_the_change(ensemble: Ensemble) -> None:
    writer, reader = at_leader(ensemble), at_follower(ensemble)
    writer.operate(Create("/x", b"old"))
    reader.operate(Sync(), GetData("/x", watch=True))
    writer.operate(SetData("/x", b"new"))
    reader.operate(Sync(), GetData("/x"))
    kinds = [
        body.results[-1].data if isinstance(body, OperateResponse) else type(body).__name__
        for body in [envelope.body for envelope in reader.received]
        if isinstance(body, WatchEvent | OperateResponse)
    ]
    assert kinds == [b"old", "WatchEvent", b"new"]


def test_the_writer_itself_hears_before_its_answer(ensemble: Ensemble) -> None:
    client = at_follower(ensemble)
    client.operate(GetChildren("/", watch=True), Exists("/x", watch=True), Create("/x"))
    assert client.events() == [(NODE_CREATED, "/x"), (NODE_CHILDREN_CHANGED, "/")]
    assert isinstance(client.received[-1].body, OperateResponse)


def test_watches_fire_once_and_only_for_reads_that_set_them(ensemble: Ensemble) -> None:
    client, writer = at_follower(ensemble), at_leader(ensemble)
    client.operate(GetData("/x", watch=True), GetChildren("/x", watch=True))  # no such znode
    writer.operate(Create("/x"))
    client.operate(Sync(), GetData("/x", watch=True))
    writer.operate(SetData("/x", b"1"), SetData("/x", b"2"), Delete("/x"))
    ensemble.run(200)
    assert client.events() == [(NODE_DATA_CHANGED, "/x")]


def test_a_stuck_client_is_not_served_on(ensemble: Ensemble) -> None:
    client, writer = at_follower(ensemble), at_leader(ensemble)
    client.operate(Exists("/x", watch=True))
    client.stuck = True
    writer.operate(Create("/x"))
    ensemble.run(200)
    client.stuck = False
    assert client.ask(client.request(GetData("/x"))).error == E.SESSION_MOVED


# Syncs


def hold_back(
    ensemble: Ensemble, number: int, kind: type[Message] = AppendRequest
) -> Callable[[], None]:
    """Let no message of this kind come to this coordinator: by default no entry and no commit.

    Returns what delivers them all at once, and lets the others come again.
    """
    node = ensemble.nodes[number]
    held: list[Envelope] = []

    def drop(_here: str, there: str, envelope: Envelope) -> bool:
        if there != node.config.name or not isinstance(envelope.body, kind):
            return False
        held.append(through_the_wire(envelope))
        return True

    def deliver() -> None:
        assert node.process is not None
        ensemble.drop = lambda here, there, envelope: False
        node.process.inbox += [(Origin(Door.PEERS, b"late"), envelope) for envelope in held]

    ensemble.drop = drop
    return deliver


def test_sync_waits_for_what_was_committed_elsewhere(ensemble: Ensemble) -> None:
    reader, writer = at_follower(ensemble), at_leader(ensemble)
    writer.operate(Create("/x", b"old"))
    ensemble.run(200)
    deliver = hold_back(ensemble, ensemble.followers()[0])
    writer.operate(SetData("/x", b"new"))
    assert reader.operate(GetData("/x"))[0].data == b"old"
    number = reader.send(reader.request(Sync("/x"), GetData("/x")))
    ensemble.settle()
    assert reader.answer(number) is None
    deliver()
    ensemble.settle()
    answer = reader.answer(number)
    assert isinstance(answer, OperateResponse)
    assert answer.results[1].data == b"new"


def test_writes_behind_a_sync_are_not_seen_by_reads_before_them(ensemble: Ensemble) -> None:
    for client in (at_leader(ensemble), at_follower(ensemble)):
        path = f"/{client.session_id}"
        numbers = [
            client.send(client.request(*operations))
            for operations in (
                [Create(path, b"1"), Sync(), GetData(path), SetData(path, b"2")],
                [Sync(), GetData(path), Sync(), SetData(path, b"3")],
                [GetData(path)],
            )
        ]
        ensemble.settle()
        answers = [client.answer(number) for number in numbers]
        read = [
            result.data
            for answer in answers
            if isinstance(answer, OperateResponse)
            for result in answer.results
            if result.data is not None
        ]
        assert read == [b"1", b"2", b"3"]


# Without a leader


def test_a_coordinator_that_is_cut_off_answers_nothing(ensemble: Ensemble) -> None:
    leader = ensemble.leader()
    client = opened(ensemble, leader)
    client.operate(Create("/x", b"1"))
    others = [number for number in ensemble.nodes if number != leader]
    ensemble.cut(leader, *others)
    ensemble.run(1000)
    ping = client.send(PingSessionRequest(client.session_id))
    read = client.send(client.request(GetData("/x")))
    ensemble.run(500)
    assert client.answer(ping) is None
    assert client.answer(read) is None
    assert ensemble.health(leader).state == "starting"
    ensemble.heal()
    ensemble.run(1000)
    assert client.answer(ping) is not None
    answer = client.answer(read)
    assert isinstance(answer, OperateResponse)
    assert answer.results[0].data == b"1"


def test_a_read_held_back_does_not_see_what_its_session_wrote_later() -> None:
    # A follower doubts its leader after the shortest time-out and campaigns after its own.
    ensemble = Ensemble(raft=RaftConfig(election_timeout_max_ms=10_000))
    ensemble.leader()
    follower = ensemble.followers()[0]
    client = opened(ensemble, follower)
    client.operate(Create("/x", b"old"))
    deliver = hold_back(ensemble, follower)
    while ensemble.health(follower).state == "ready":
        ensemble.run(10)
    read = client.send(client.request(GetData("/x")))
    write = client.send(client.request(SetData("/x", b"new")))
    ensemble.run(65)  # until a heartbeat tells that the write is committed
    assert ensemble.health(follower).figures["raft_leader"] == ensemble.leader()
    assert client.answer(read) is None
    deliver()
    ensemble.settle()
    answer = client.answer(read)
    assert isinstance(answer, OperateResponse)
    assert answer.results[0].data == b"old"
    assert client.answer(write) is not None


def test_a_read_between_writes_that_commit_late_sees_only_the_first() -> None:
    """Answers older than the leader's patience commit, but do not count as contact."""
    # Rounds so seldom that the leader is out of contact for a while before it doubts itself.
    ensemble = Ensemble(raft=RaftConfig(heartbeat_interval_ms=200, election_timeout_max_ms=10_000))
    leader = ensemble.leader()
    client = opened(ensemble, leader)
    client.operate(Create("/x", b""))
    deliver = hold_back(ensemble, leader, AppendResponse)
    first = client.send(client.request(SetData("/x", b"first")))
    read = client.send(client.request(GetData("/x")))
    second = client.send(client.request(SetData("/x", b"second")))
    ensemble.settle()
    while ensemble.health(leader).state == "ready":
        ensemble.run(5)
    assert ensemble.health(leader).figures["raft_leader"] == leader
    assert client.answer(first) is None
    deliver()
    ensemble.settle()
    assert client.answer(first) is not None
    answer = client.answer(read)
    assert isinstance(answer, OperateResponse)
    assert answer.results[0].data == b"first"
    assert client.answer(second) is not None


def test_nothing_is_answered_before_a_majority_has_synced(ensemble: Ensemble) -> None:
    client = at_leader(ensemble)
    for node in ensemble.nodes.values():
        assert node.process is not None
        node.process.hold_syncs = True
    number = client.send(client.request(Create("/x")))
    ensemble.settle()
    assert client.answer(number) is None
    process = ensemble.nodes[ensemble.followers()[0]].process
    assert process is not None
    process.hold_syncs = False
    ensemble.settle()
    assert client.answer(number) is None
    assert client.process.hold_syncs
    client.process.hold_syncs = False
    ensemble.settle()
    assert client.answer(number) is not None


# Lost writes


def sequential(count: int) -> list[Create]:
    return [Create("/s-", b"", PERSISTENT_SEQUENTIAL)] * count


def test_writes_lost_with_the_leader_are_applied_once(ensemble: Ensemble) -> None:
    leader = ensemble.leader()
    client = at_follower(ensemble)
    ensemble.drop = lambda here, there, envelope: isinstance(envelope.body, ForwardWrites)
    numbers = [client.send(client.request(create)) for create in sequential(3)]
    ensemble.settle()
    ensemble.drop = lambda here, there, envelope: False
    ensemble.kill(leader)
    assert ensemble.leader() != leader
    ensemble.run(50)
    answers = [client.answer(number) for number in numbers]
    paths = [a.results[0].path for a in answers if isinstance(a, OperateResponse)]
    assert paths == [f"/s-{n:010d}" for n in range(3)]


def test_a_write_whose_answer_was_lost_is_applied_once(ensemble: Ensemble) -> None:
    first, second = ensemble.followers()
    client = opened(ensemble, first)
    request = client.request(*sequential(2))
    client.send(request)
    ensemble.settle()
    ensemble.kill(first)
    moved = ensemble.session(second)
    attached = moved.attach(client)
    assert (attached.error, attached.last_request_id) == (0, 2)
    answer = moved.ask(moved.request(*sequential(3), first_id=1))
    assert [r.path for r in answer.results] == [f"/s-{n:010d}" for n in range(3)]
    assert len(moved.operate(GetChildren("/"))[0].children) == 3 + 1


def test_a_write_lost_on_the_way_is_sent_again_in_time(ensemble: Ensemble) -> None:
    ensemble.leader()
    client = ensemble.session(ensemble.followers()[0])
    client.open(timeout_ms=20_000)
    ensemble.drop = lambda here, there, envelope: isinstance(envelope.body, ForwardWrites)
    number = client.send(client.request(Create("/x")))
    ensemble.settle()
    ensemble.drop = lambda here, there, envelope: False
    ensemble.run(1100)
    assert client.answer(number) is None
    ensemble.run(1500)
    answer = client.answer(number)
    assert isinstance(answer, OperateResponse)
    assert answer.results[0].path == "/x"


def test_a_gap_in_the_log_brings_the_lost_writes_at_once(ensemble: Ensemble) -> None:
    client = at_follower(ensemble)
    ensemble.drop = lambda here, there, envelope: isinstance(envelope.body, ForwardWrites)
    first = client.send(client.request(*sequential(1)))
    ensemble.settle()
    ensemble.drop = lambda here, there, envelope: False
    second = client.send(client.request(*sequential(2)))
    ensemble.settle()
    answers = [client.answer(number) for number in (first, second)]
    paths = [result.path for a in answers if isinstance(a, OperateResponse) for result in a.results]
    assert paths == [f"/s-{n:010d}" for n in range(3)]


def test_a_write_lost_with_its_link_is_sent_again_when_it_is_up(ensemble: Ensemble) -> None:
    leader = ensemble.leader()
    follower = ensemble.followers()[0]
    client = opened(ensemble, follower)
    ensemble.drop = lambda here, there, envelope: isinstance(envelope.body, ForwardWrites)
    number = client.send(client.request(Create("/x")))
    ensemble.settle()
    ensemble.drop = lambda here, there, envelope: False
    ensemble.cut(leader, follower)
    ensemble.settle()
    assert client.answer(number) is None
    ensemble.heal()
    ensemble.run(60)
    assert client.answer(number) is not None


def test_close_answers_what_came_with_it(ensemble: Ensemble) -> None:
    client = at_follower(ensemble)
    watcher = at_leader(ensemble)
    watcher.operate(Exists("/x", watch=True))
    results = client.operate(Create("/x"), Delete("/x"), CloseSession())
    assert [r.error for r in results] == [0, 0, 0]
    assert watcher.events() == [(NODE_CREATED, "/x")]
    assert client.ask(client.request(GetData("/"))).error == E.SESSION_MOVED
    assert NODE_DELETED not in [kind for kind, _ in watcher.events()]


def test_what_is_asked_behind_a_close_finds_no_session(ensemble: Ensemble) -> None:
    client = at_follower(ensemble)
    close = client.send(client.request(Create("/x"), CloseSession()))
    late = client.send(client.request(GetData("/x")))
    ensemble.settle()
    first, second = client.answer(close), client.answer(late)
    assert isinstance(first, OperateResponse)
    assert isinstance(second, OperateResponse)
    assert [r.error for r in first.results] == [0, 0]
    assert second.error == E.SESSION_EXPIRED
