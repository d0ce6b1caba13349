"""Three coordinators: opening, moving, expiring and ending sessions; deaths; restarts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nodes.config import EXIT_ENVIRONMENT, EXIT_STOPPED, CoordinatorConfig
from nodes.core.raft import log
from tests.unit.coordinator.ensemble import CLUSTER, KEY, Client, Ensemble, SessionClient
from transport.driver.ports import Door
from transport.wire.apis import Api
from transport.wire.codec import Kind
from transport.wire.errors import ErrorCode
from transport.wire.ids import (
    ClusterId,
    ControllerEpoch,
    Incarnation,
    MetadataVersion,
    NodeId,
    NodeName,
    RequestId,
    SessionId,
    Zxid,
)
from transport.wire.messages import Refusal
from transport.wire.messages.cluster import (
    DeathNotice,
    DeathNoticeResponse,
    DescribeNodeRequest,
    HealthRequest,
    Heartbeat,
    death_notice_proof,
)
from transport.wire.messages.coordination import (
    EPHEMERAL,
    NODE_CHILDREN_CHANGED,
    NODE_DATA_CHANGED,
    NODE_DELETED,
    CloseSession,
    Create,
    Delete,
    Exists,
    ForwardWrites,
    GetChildren,
    GetData,
    OpenSessionRequest,
    OpenSessionResponse,
    Owner,
    PingSessionRequest,
    ProposedWrite,
    SessionOperation,
    SetData,
    Sync,
)
from transport.wire.messages.topics import CreateTopicsRequest

E = ErrorCode
BROKER = NodeName("broker-101")


@pytest.fixture
def ensemble() -> Ensemble:
    return Ensemble()


def opened(ensemble: Ensemble, number: int, timeout_ms: int = 2000) -> SessionClient:
    client = ensemble.session(number)
    assert client.open(timeout_ms).error == 0
    return client


RESERVED = 4
"""The root and what else is always there."""


def children(ensemble: Ensemble) -> tuple[str, ...]:
    client = opened(ensemble, ensemble.leader())
    names = client.operate(Sync(), GetChildren("/"))[1].children
    return tuple(name for name in names if name != "zookeeper")


def keep_alive(ensemble: Ensemble, duration_ms: int, *clients: SessionClient) -> None:
    for _ in range(duration_ms // 250):
        for client in clients:
            client.send(PingSessionRequest(client.session_id))
        ensemble.run(250)


# Opening


def test_timeouts_are_negotiated(ensemble: Ensemble) -> None:
    ensemble.leader()
    asked = [ensemble.session(1).open(timeout_ms).timeout_ms for timeout_ms in (1, 5000, 10**9)]
    assert asked == [1000, 5000, 40_000]


def test_an_opening_names_every_coordinator(ensemble: Ensemble) -> None:
    answer = ensemble.session(ensemble.leader()).open()
    assert answer.servers == tuple(f"coordinator-{number}:clients" for number in (1, 2, 3))


def test_a_repeated_opening_finds_its_session(ensemble: Ensemble) -> None:
    first = ensemble.session(ensemble.leader()).open(nonce=b"once")
    again = ensemble.session(ensemble.followers()[0]).open(nonce=b"once")
    other = ensemble.session(ensemble.followers()[1]).open(nonce=b"twice")
    assert (again.session_id, again.password) == (first.session_id, first.password)
    assert other.session_id != first.session_id


def test_an_impatient_client_gets_one_session(ensemble: Ensemble) -> None:
    ensemble.leader()
    client = ensemble.session(1)
    numbers = [client.send(OpenSessionRequest(2000, nonce=b"same")) for _ in range(2)]
    ensemble.settle()
    assert client.answer(numbers[0]) is None
    answer = client.answer(numbers[1])
    assert isinstance(answer, OpenSessionResponse)
    assert answer.error == 0
    assert ensemble.health(ensemble.leader()).figures["sessions"] == 1
    ensemble.run(1500)
    assert client.answer(numbers[0]) is None


def test_an_opening_lost_on_the_way_is_offered_again(ensemble: Ensemble) -> None:
    follower = ensemble.followers()[0]
    ensemble.drop = lambda here, there, envelope: isinstance(envelope.body, ForwardWrites)
    client = ensemble.session(follower)
    number = client.send(OpenSessionRequest(2000))
    ensemble.settle()
    ensemble.drop = lambda here, there, envelope: False
    ensemble.kill(ensemble.leader())
    ensemble.leader()
    ensemble.run(100)
    answer = client.answer(number)
    assert isinstance(answer, OpenSessionResponse)
    assert answer.error == 0


def test_without_a_quorum_opening_and_attaching_are_refused_in_time(ensemble: Ensemble) -> None:
    leader = ensemble.leader()
    known = opened(ensemble, leader)
    for number in ensemble.followers():
        ensemble.kill(number)
    ensemble.run(1000)
    client = ensemble.session(leader)
    numbers = [
        client.send(OpenSessionRequest(2000)),
        client.send(OpenSessionRequest(2000, known.session_id, known.password)),
        client.send(OpenSessionRequest(2000), deadline_ms=100),
    ]
    ensemble.run(150)
    assert [client.answer(number) is None for number in numbers] == [True, True, False]
    ensemble.run(1300)
    answers = [client.answer(number) for number in numbers]
    assert [a.error for a in answers if isinstance(a, OpenSessionResponse)] == [E.NO_QUORUM] * 3


def test_bad_openings_are_refused(ensemble: Ensemble) -> None:
    client = ensemble.session(ensemble.leader())
    assert client.ask(OpenSessionRequest(2000, nonce=b"x" * 100)).error == E.BAD_ARGUMENTS
    assert client.ask(OpenSessionRequest(-5)).error == E.BAD_ARGUMENTS


# Moving


def test_a_session_moves_with_all_it_has(ensemble: Ensemble) -> None:
    first, second = ensemble.followers()
    client = opened(ensemble, first)
    client.operate(Create("/e", b"", EPHEMERAL))
    moved = ensemble.session(second)
    attached = moved.attach(client)
    assert (attached.error, attached.session_id) == (0, client.session_id)
    assert attached.last_request_id == 1
    stat = moved.operate(SetData("/e", b"x"), Exists("/e"))[1].stat
    assert stat is not None
    assert stat.ephemeral_owner == client.session_id


def test_only_the_connection_that_attached_last_is_served(ensemble: Ensemble) -> None:
    leader = ensemble.leader()
    client = opened(ensemble, leader)
    again = ensemble.session(leader)
    again.attach(client)
    assert client.ask(client.request(GetData("/"))).error == E.SESSION_MOVED
    assert client.ping().error == E.SESSION_MOVED
    assert again.operate(GetData("/"))[0].error == 0
    assert again.ping().error == 0


def test_who_may_attach(ensemble: Ensemble) -> None:
    client = opened(ensemble, ensemble.leader())
    follower = ensemble.session(ensemble.followers()[0])

    def attach(session_id: int, password: bytes, last_zxid: int = 0) -> int:
        request = OpenSessionRequest(2000, SessionId(session_id), password, Zxid(last_zxid))
        answer: OpenSessionResponse = follower.ask(request)
        return answer.error

    assert attach(client.session_id, b"wrong") == E.SESSION_EXPIRED
    assert attach(client.session_id + 1, client.password) == E.SESSION_EXPIRED
    assert attach(client.session_id, client.password, 10**6) == E.SERVER_BEHIND
    assert attach(client.session_id, client.password, 1) == 0


def test_attaching_waits_for_what_the_client_has_seen(ensemble: Ensemble) -> None:
    behind = ensemble.followers()[0]
    name = ensemble.nodes[behind].config.name
    client = opened(ensemble, ensemble.leader())
    ensemble.run(200)
    ensemble.drop = lambda here, there, envelope: (
        there == name and envelope.body.api == Api.RAFT_APPEND_REQUEST
    )
    (created,) = client.operate(Create("/x"))
    moved = ensemble.session(behind)
    number = moved.send(OpenSessionRequest(2000, client.session_id, client.password, created.zxid))
    ensemble.settle()
    assert moved.answer(number) is None
    ensemble.drop = lambda here, there, envelope: False
    ensemble.run(200)
    answer = moved.answer(number)
    assert isinstance(answer, OpenSessionResponse)
    assert answer.error == 0
    assert answer.zxid >= created.zxid


def test_missed_events_come_before_the_attachment_is_answered(ensemble: Ensemble) -> None:
    first, second = ensemble.followers()
    client, writer = opened(ensemble, first), opened(ensemble, ensemble.leader())
    results = writer.operate(*[Create(f"/{name}") for name in "abcd"])
    seen = results[-1].zxid
    writer.operate(SetData("/a", b"x"), Delete("/b"), Create("/c/child"))
    moved = ensemble.session(second)
    watches = [("/a", "data"), ("/b", "exists"), ("/c", "children"), ("/d", "data")]
    moved.attach(client, seen, watches)
    assert moved.events() == [
        (NODE_DATA_CHANGED, "/a"),
        (NODE_DELETED, "/b"),
        (NODE_CHILDREN_CHANGED, "/c"),
    ]
    assert isinstance(moved.received[-1].body, OpenSessionResponse)
    writer.operate(SetData("/a", b"y"), SetData("/d", b"x"))
    ensemble.run(100)
    assert moved.events()[3:] == [(NODE_DATA_CHANGED, "/d")]


# Expiry


def test_a_silent_session_expires_and_its_ephemerals_go(ensemble: Ensemble) -> None:
    silent = opened(ensemble, ensemble.followers()[0], 1000)
    watcher = opened(ensemble, ensemble.leader(), 10_000)
    silent.operate(Create("/e", b"", EPHEMERAL), Create("/p"))
    watcher.operate(Sync(), Exists("/e", watch=True))
    ensemble.run(900)
    assert watcher.events() == []
    ensemble.run(300)
    assert watcher.events() == [(NODE_DELETED, "/e")]
    assert children(ensemble) == ("p",)
    assert silent.ask(silent.request(GetData("/"))).error == E.SESSION_MOVED
    again = ensemble.session(1)
    assert again.attach(silent).error == E.SESSION_EXPIRED


def test_pings_at_any_coordinator_keep_a_session(ensemble: Ensemble) -> None:
    ensemble.leader()
    clients = [opened(ensemble, number, 1000) for number in ensemble.nodes]
    for client in clients:
        client.operate(Create(f"/{client.session_id}", b"", EPHEMERAL))
    keep_alive(ensemble, 4000, *clients)
    assert len(children(ensemble)) == 3


def test_a_new_leader_gives_everybody_a_whole_timeout(ensemble: Ensemble) -> None:
    leader = ensemble.leader()
    client = opened(ensemble, ensemble.followers()[0], 1000)
    client.operate(Create("/e", b"", EPHEMERAL))
    ensemble.run(900)
    ensemble.kill(leader)
    ensemble.leader()
    ensemble.run(600)
    assert children(ensemble) == ("e",)
    ensemble.run(800)
    assert children(ensemble) == ()


def test_a_leader_that_was_away_expires_nobody_for_it() -> None:
    ensemble = Ensemble(size=1)
    client = opened(ensemble, 1, 1000)
    client.operate(Create("/e", b"", EPHEMERAL))
    ensemble.away(1, 5000)
    ensemble.run(900)
    assert children(ensemble) == ("e",)
    ensemble.run(300)
    assert children(ensemble) == ()


def test_closing_ends_at_once(ensemble: Ensemble) -> None:
    client = opened(ensemble, ensemble.followers()[0])
    client.operate(Create("/e", b"", EPHEMERAL), CloseSession())
    assert children(ensemble) == ()


# Brokers


def beat(session_id: int, incarnation: int = 1) -> Heartbeat:
    return Heartbeat(
        NodeId(101),
        BROKER,
        Incarnation(incarnation),
        SessionId(session_id),
        ControllerEpoch(0),
        MetadataVersion(0),
    )


def registered(ensemble: Ensemble, number: int, incarnation: int = 1) -> SessionClient:
    client = ensemble.session(number)
    assert client.open(1500, Owner(BROKER, Incarnation(incarnation))).error == 0
    assert client.operate(Create("/broker", b"", EPHEMERAL))[0].error == 0
    return client


def test_a_broker_that_stops_beating_is_dead_though_it_pings(ensemble: Ensemble) -> None:
    client = registered(ensemble, ensemble.followers()[0])
    for _ in range(20):
        ensemble.beat(beat(client.session_id))
        keep_alive(ensemble, 250, client)
    assert children(ensemble) == ("broker",)
    keep_alive(ensemble, 1750, client)
    assert children(ensemble) == ()


def test_a_broker_that_beats_but_reaches_nobody_is_dead(ensemble: Ensemble) -> None:
    client = registered(ensemble, ensemble.followers()[0])
    for _ in range(8):
        ensemble.beat(beat(client.session_id))
        ensemble.run(250)
    assert children(ensemble) == ()


def test_beats_of_another_process_count_for_nothing(ensemble: Ensemble) -> None:
    client = registered(ensemble, ensemble.leader(), incarnation=2)
    ensemble.beat(beat(client.session_id, incarnation=1))
    keep_alive(ensemble, 3000, client)
    assert children(ensemble) == ("broker",)


def test_a_new_leader_knows_who_beats(ensemble: Ensemble) -> None:
    leader = ensemble.leader()
    client = registered(ensemble, ensemble.followers()[0])
    ensemble.beat(beat(client.session_id))
    ensemble.kill(leader)
    ensemble.leader()
    keep_alive(ensemble, 2500, client)
    assert children(ensemble) == ()


def test_a_later_process_ends_the_session_of_the_earlier(ensemble: Ensemble) -> None:
    first = registered(ensemble, ensemble.followers()[0], incarnation=1)
    second = registered(ensemble, ensemble.followers()[1], incarnation=2)
    owner = second.operate(Exists("/broker"))[0].stat
    assert owner is not None
    assert owner.ephemeral_owner == second.session_id
    late = ensemble.session(ensemble.leader()).open(1500, Owner(BROKER, Incarnation(1)))
    assert late.error == E.SESSION_EXPIRED
    assert first.ask(first.request(GetData("/"))).error == E.SESSION_MOVED


def notice(
    name: NodeName = BROKER, node_id: int = 101, incarnation: int = 1, key: str = KEY
) -> DeathNotice:
    node, number = NodeId(node_id), Incarnation(incarnation)
    return DeathNotice(name, node, number, death_notice_proof(key, name, node, number))


def supervisor(ensemble: Ensemble, number: int) -> Client:
    return ensemble.client(number, Door.PEERS)


def test_a_death_notice_ends_the_brokers_session_at_once(ensemble: Ensemble) -> None:
    registered(ensemble, ensemble.followers()[0], incarnation=3)
    leader, (follower, _) = ensemble.leader(), ensemble.followers()
    told = supervisor(ensemble, follower).ask(notice(incarnation=3))
    assert told == DeathNoticeResponse(E.NOT_RAFT_LEADER)
    assert children(ensemble) == ("broker",)
    for _ in range(2):
        assert supervisor(ensemble, leader).ask(notice(incarnation=3)) == DeathNoticeResponse(0)
        assert children(ensemble) == ()


def test_a_notice_that_comes_while_nobody_leads_waits_for_who_will(ensemble: Ensemble) -> None:
    leader, followers = ensemble.leader(), ensemble.followers()
    registered(ensemble, followers[0], incarnation=3)
    ensemble.kill(leader)
    tellers = {follower: supervisor(ensemble, follower) for follower in followers}
    for teller in tellers.values():
        teller.send(notice(ensemble.nodes[leader].config.name, leader))
    first = {follower: teller.send(notice(incarnation=3)) for follower, teller in tellers.items()}
    again = {follower: teller.send(notice(incarnation=3)) for follower, teller in tellers.items()}
    ensemble.settle()
    late = DeathNoticeResponse(E.NOT_RAFT_LEADER)
    assert all(tellers[follower].answer(first[follower]) == late for follower in followers)
    now_leads = ensemble.leader()
    ensemble.settle()
    for follower, teller in tellers.items():
        told = DeathNoticeResponse(0) if follower == now_leads else late
        assert teller.answer(again[follower]) == told
    assert children(ensemble) == ()


def test_a_death_notice_cannot_end_the_restarted_process(ensemble: Ensemble) -> None:
    registered(ensemble, ensemble.followers()[0], incarnation=3)
    assert supervisor(ensemble, ensemble.leader()).ask(notice(incarnation=2)).error == 0
    assert children(ensemble) == ("broker",)


def test_false_death_notices_do_nothing(ensemble: Ensemble) -> None:
    registered(ensemble, ensemble.followers()[0])
    leader = ensemble.leader()
    teller = supervisor(ensemble, leader)
    assert teller.ask(notice(key="guess")).error == E.CLUSTER_AUTHORIZATION_FAILED
    forged = DeathNotice(BROKER, NodeId(101), Incarnation(9), notice().proof)
    assert teller.ask(forged).error == E.CLUSTER_AUTHORIZATION_FAILED
    assert teller.ask(notice(node_id=7)).error == E.INVALID_REQUEST
    by_clients = ensemble.client(leader).ask(notice())
    assert isinstance(by_clients, Refusal)
    assert by_clients.error == E.UNKNOWN_API
    assert children(ensemble) == ("broker",)


def test_the_death_of_a_broker_that_was_added_is_acted_on_at_once(ensemble: Ensemble) -> None:
    """The coordinators' own settings are of before it came."""
    added = NodeName("broker-9")
    client = ensemble.session(ensemble.followers()[0])
    assert client.open(1500, Owner(added, Incarnation(3))).error == 0
    assert client.operate(Create("/broker", b"", EPHEMERAL))[0].error == 0
    told = supervisor(ensemble, ensemble.leader()).ask(notice(added, 9, incarnation=3))
    assert told == DeathNoticeResponse(0)
    assert children(ensemble) == ()


def test_nobody_waits_for_a_leader_reported_dead(ensemble: Ensemble) -> None:
    leader = ensemble.leader()
    followers = ensemble.followers()
    word = notice(ensemble.nodes[leader].config.name, leader)
    ensemble.kill(leader)
    for follower in followers:
        assert supervisor(ensemble, follower).ask(word).error == 0
    before_ms = ensemble.now.mono_ms
    while not any(ensemble.health(follower).leader for follower in followers):
        ensemble.run(5)
    assert ensemble.now.mono_ms - before_ms < 200


def test_a_repeated_notice_does_not_touch_the_restarted_leader(ensemble: Ensemble) -> None:
    leader = ensemble.leader()
    followers = ensemble.followers()
    word = notice(ensemble.nodes[leader].config.name, leader)
    ensemble.kill(leader)
    for follower in followers:
        supervisor(ensemble, follower).ask(word)
    ensemble.leader()
    ensemble.start(leader)
    for _ in range(20):  # until the restarted one leads again
        now_leads = ensemble.leader()
        if now_leads == leader:
            break
        ensemble.cut(now_leads, *[number for number in ensemble.nodes if number != now_leads])
        ensemble.run(1000)
        ensemble.heal()
        ensemble.run(200)
    assert ensemble.leader() == leader
    term = ensemble.health(leader).figures["raft_term"]
    for follower in followers:
        assert supervisor(ensemble, follower).ask(word).error == 0
    ensemble.run(1000)
    assert ensemble.health(leader).figures["raft_term"] == term


# What is not for this node


def test_messages_for_others_are_refused(ensemble: Ensemble) -> None:
    client = ensemble.client(1)

    def error(**fields: object) -> int:
        answer = client.ask(HealthRequest(), **fields)
        return answer.error if isinstance(answer, Refusal) else E.NONE

    assert error(cluster_id=ClusterId("other")) == E.INCONSISTENT_CLUSTER_ID
    assert error(destination=NodeName("coordinator-2")) == E.WRONG_NODE
    assert error(incarnation=Incarnation(7)) == E.WRONG_INCARNATION
    assert error(destination=NodeName("coordinator-1"), incarnation=Incarnation(1)) == E.NONE
    assert error(cluster_id=CLUSTER) == E.NONE


def test_requests_of_brokers_are_unknown_here(ensemble: Ensemble) -> None:
    answer = ensemble.client(1).ask(CreateTopicsRequest((), 1000))
    assert isinstance(answer, Refusal)
    assert answer.error == E.UNKNOWN_API


def test_what_only_a_leader_may_write_is_not_taken_from_others(ensemble: Ensemble) -> None:
    client = opened(ensemble, ensemble.leader())
    client.operate(Create("/e", b"", EPHEMERAL))
    sender = supervisor(ensemble, ensemble.leader())
    read = SessionOperation(RequestId(2), GetData("/"))
    forged = ForwardWrites(
        (
            ProposedWrite(SessionId(0), 0, expire=(client.session_id,)),
            ProposedWrite(client.session_id, 0, operations=(read,)),
        )
    )
    sender.send(forged, kind=Kind.ONE_WAY, cluster_id=CLUSTER)
    ensemble.run(200)
    assert children(ensemble) == ("e",)
    figures = ensemble.health(ensemble.leader()).figures
    assert figures["forwarded_writes_refused"] == 2


def test_describe(ensemble: Ensemble) -> None:
    answer = ensemble.client(2).ask(DescribeNodeRequest())
    assert (answer.name, answer.cluster_id, answer.incarnation) == ("coordinator-2", CLUSTER, 1)
    assert [node.name for node in answer.nodes] == [
        "coordinator-1",
        "coordinator-2",
        "coordinator-3",
        "broker-101",
    ]
    assert answer.api_versions[int(Api.OPERATE)] == (0, 0)


# The disk


def test_a_restart_of_everybody_keeps_everything(ensemble: Ensemble) -> None:
    client = opened(ensemble, ensemble.leader(), 5000)
    client.operate(Create("/a", b"1"), Create("/a/e", b"", EPHEMERAL))
    for number in ensemble.nodes:
        ensemble.kill(number)
    for number in ensemble.nodes:
        ensemble.start(number)
    ensemble.leader()
    again = ensemble.session(2)
    attached = again.attach(client)
    assert (attached.error, attached.last_request_id) == (0, 2)
    results = again.operate(SetData("/a", b"2"), GetData("/a"), GetChildren("/a"))
    assert results[1].data == b"2"
    assert results[2].children == ("e",)


@pytest.fixture
def short_log(monkeypatch: pytest.MonkeyPatch) -> Ensemble:
    """An ensemble whose followers soon need a snapshot."""
    monkeypatch.setattr(log, "KEPT_ENTRIES_MAX", 5)
    return Ensemble(coordinator=CoordinatorConfig(snapshot_entries=20))


def test_snapshots_replace_the_log(short_log: Ensemble) -> None:
    ensemble = short_log
    client = opened(ensemble, ensemble.leader(), 30_000)
    follower = ensemble.followers()[0]
    ensemble.kill(follower)
    for n in range(70):
        client.operate(Create(f"/n{n}", b"", EPHEMERAL))
    ensemble.start(follower)
    ensemble.run(300)
    assert ensemble.health(follower).figures["znodes"] == 70 + RESERVED
    moved = ensemble.session(follower)
    assert moved.attach(client).error == 0
    assert moved.operate(Create("/after"))[0].error == 0
    for number in ensemble.nodes:
        ensemble.kill(number)
    for number in ensemble.nodes:
        ensemble.start(number)
    ensemble.leader()
    ensemble.run(200)
    for number in ensemble.nodes:
        assert ensemble.health(number).figures["znodes"] == 71 + RESERVED
    assert len(children(ensemble)) == 71


def test_an_installed_snapshot_sends_clients_to_attach_again(short_log: Ensemble) -> None:
    ensemble = short_log
    leader = ensemble.leader()
    follower, other = ensemble.followers()
    client, writer = opened(ensemble, follower, 30_000), opened(ensemble, leader, 30_000)
    client.operate(Exists("/n5", watch=True))
    ensemble.cut(follower, leader, other)
    for n in range(70):
        writer.operate(Create(f"/n{n}"))
    ensemble.heal()
    ensemble.run(1500)
    assert ensemble.health(follower).figures["znodes"] == 70 + RESERVED
    assert client.ping().error == E.SESSION_MOVED
    again = ensemble.session(follower)
    again.attach(client, 1, [("/n5", "exists")])
    assert [path for _, path in again.events()] == ["/n5"]


def test_a_disk_that_fails_ends_the_process(ensemble: Ensemble) -> None:
    leader = ensemble.leader()
    client = opened(ensemble, leader)
    ensemble.nodes[leader].disk.failing_sync = True
    client.send(client.request(Create("/x")))
    ensemble.settle()
    assert client.process.status == EXIT_ENVIRONMENT


def test_stop_syncs_and_exits() -> None:
    ensemble = Ensemble(size=1)
    client = opened(ensemble, ensemble.leader())
    process = client.process
    process.hold_syncs = True
    client.send(client.request(Create("/x")))
    process.turn()
    process.server.stop(ensemble.now)
    late = client.send(client.request(Create("/y")))
    process.turn()
    assert process.status is None
    refusal = client.answer(late)
    assert isinstance(refusal, Refusal)
    assert refusal.error == E.STOPPING
    process.hold_syncs = False
    process.work()
    process.turn()
    assert process.status == EXIT_STOPPED


def test_without_a_key_no_notice_is_believed() -> None:
    ensemble = Ensemble(size=1)
    node = ensemble.nodes[1]
    ensemble.kill(1)
    node.config = replace(node.config, supervisor_key="")
    ensemble.start(1)
    ensemble.leader()
    answer = supervisor(ensemble, 1).ask(notice(key=""))
    assert answer.error == E.CLUSTER_AUTHORIZATION_FAILED
