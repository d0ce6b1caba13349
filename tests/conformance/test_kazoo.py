"""kazoo, as it is installed, against the ensemble of a cluster of mode zookeeper."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import (
    BadArgumentsError,
    BadVersionError,
    ConnectionLoss,
    InvalidACLError,
    NoAuthError,
    NoChildrenForEphemeralsError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    RolledBackError,
    RuntimeInconsistency,
)
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.recipe.watchers import ChildrenWatch, DataWatch
from kazoo.security import make_acl, make_digest_acl

from odradek.testing import Cluster
from tests.conformance.kazoo_clients import WAIT_S, Clients, Told, clients_of


@pytest.fixture(scope="module")
def ensemble() -> Iterator[Cluster]:
    with Cluster.start(brokers=1, coordinators=3) as cluster:
        yield cluster


@pytest.fixture
def clients(ensemble: Cluster) -> Iterator[Clients]:
    with clients_of(ensemble) as made:
        yield made


def test_znodes_are_made_read_written_and_deleted(clients: Clients) -> None:
    client = clients.connect("/crud")
    assert client.create("/a", b"one") == "/a"
    data, stat = client.get("/a")
    assert (data, stat.version, stat.dataLength, stat.numChildren) == (b"one", 0, 3, 0)
    assert stat.ephemeralOwner == 0
    again = client.set("/a", b"two", version=0)
    assert (again.version, again.czxid, again.mzxid > stat.mzxid) == (1, stat.czxid, True)
    assert client.create("/a/b/c", makepath=True) == "/a/b/c"
    path, made = client.create("/a/d", b"x", include_data=True)
    assert (path, made.dataLength) == ("/a/d", 1)
    children, stat = client.get_children("/a", include_data=True)
    assert (sorted(children), stat.numChildren) == (["b", "d"], 2)
    assert client.exists("/nothing") is None
    assert client.exists("/a").version == 1
    assert client.sync("/a") == "/a"
    with pytest.raises(NodeExistsError):
        client.create("/a")
    with pytest.raises(NoNodeError):
        client.get("/nothing")
    with pytest.raises(NoNodeError):
        client.create("/nothing/below")
    with pytest.raises(NotEmptyError):
        client.delete("/a")
    with pytest.raises(BadVersionError):
        client.set("/a", b"three", version=0)
    client.delete("/a", recursive=True)
    assert client.get_children("/") == []


def test_sequences_and_ephemerals(clients: Clients) -> None:
    client, other = clients.connect("/kinds"), clients.connect("/kinds")
    names = [client.create("/s-", sequence=True) for _ in range(3)]
    assert names == ["/s-0000000000", "/s-0000000001", "/s-0000000002"]
    assert client.create("/e", ephemeral=True) == "/e"
    other.sync("/")  # another server may be behind
    assert other.exists("/e").ephemeralOwner == client.client_id[0]
    with pytest.raises(NoChildrenForEphemeralsError):
        client.create("/e/child")
    gone = Told()
    assert other.exists("/e", watch=gone)
    client.stop()
    assert gone.next().type == "DELETED"
    assert other.exists("/e") is None


def test_requests_sent_at_once_are_answered_in_order(clients: Clients) -> None:
    client = clients.connect("/pipelined")
    client.create("/n", b"0")
    asked: list[tuple[Any, bytes | None]] = []
    for number in range(300):
        asked.append((client.set_async("/n", b"%d" % number), None))
        asked.append((client.get_async("/n"), b"%d" % number))
    for answer, data in asked:
        result = answer.get(timeout=WAIT_S)
        assert data is None or result[0] == data
    made = [client.create_async("/q-", sequence=True) for _ in range(300)]
    assert [int(each.get(timeout=WAIT_S)[-10:]) for each in made] == list(range(1, 301))


def test_large_answers_may_be_asked_for_faster_than_they_are_read(clients: Clients) -> None:
    """Also while large data are written: kazoo reads nothing meanwhile."""
    client = clients.connect("/unread")
    lost: list[str] = []
    client.add_listener(lambda state: lost.append(state) if state != KazooState.CONNECTED else None)
    client.create("/n", b"0" * 1_000_000)
    asked: list[tuple[Any, bytes | None]] = []
    for number in range(4):
        data = b"%d" % number * 1_000_000
        asked.append((client.set_async("/n", data), None))
        asked += [(client.get_async("/n"), data) for _ in range(40)]
    for answer, expected in asked:
        result = answer.get(timeout=WAIT_S)
        assert expected is None or result[0] == expected
    assert not lost


def test_watches_fire_once_for_what_they_watch(clients: Clients) -> None:
    client, other = clients.connect("/watched"), clients.connect("/watched")
    client.create("/n", b"0")
    data, children, made = Told(), Told(), Told()
    client.get("/n", watch=data)
    client.get_children("/n", watch=children)
    client.exists("/later", watch=made)
    other.set("/n", b"1")
    other.create("/n/child")
    other.create("/later")
    assert (event := data.next()).type == "CHANGED"
    assert event.path == "/n"
    assert (event := children.next()).type == "CHILD"
    assert event.path == "/n"
    assert made.next().type == "CREATED"
    client.get("/n", watch=data)
    other.delete("/n", recursive=True)
    assert data.next().type == "DELETED"


def test_watching_recipes_see_every_state(clients: Clients) -> None:
    client, other = clients.connect("/recipes/watch"), clients.connect("/recipes/watch")
    seen, names = Told(), Told()
    DataWatch(client, "/config", lambda data, _stat: seen(data))
    assert seen.next() is None
    other.create("/config", b"1")
    assert seen.next() == b"1"
    other.set("/config", b"2")
    assert seen.next() == b"2"
    other.create("/members")
    client.sync(
        "/members"
    )  # its server may be behind the other's: nothing is watched that is not there
    ChildrenWatch(client, "/members", lambda found: names(tuple(sorted(found))))
    assert names.next() == ()
    other.create("/members/a")
    assert names.next() == ("a",)


def test_locks_exclude_and_elections_elect(clients: Clients) -> None:
    one, two = clients.connect("/recipes/lock"), clients.connect("/recipes/lock")
    held = one.Lock("/lock", "one")
    assert held.acquire(timeout=WAIT_S)
    waiting = two.Lock("/lock", "two")
    assert not waiting.acquire(blocking=False)
    two.sync("/")
    assert waiting.contenders() == ["one"]
    got = threading.Thread(target=waiting.acquire, kwargs={"timeout": WAIT_S})
    got.start()
    held.release()
    got.join(WAIT_S)
    assert waiting.is_acquired
    waiting.release()
    led = Told()
    election = two.Election("/election", "two")
    runs = threading.Thread(target=election.run, args=(led, "leader"))
    runs.start()
    assert led.next() == "leader"
    runs.join(WAIT_S)
    semaphore = one.Semaphore("/semaphore", max_leases=1)
    assert semaphore.acquire(timeout=WAIT_S)
    assert not two.Semaphore("/semaphore", max_leases=1).acquire(blocking=False)
    semaphore.release()
    with one.ReadLock("/rw"), two.ReadLock("/rw"):
        assert not one.WriteLock("/rw").acquire(blocking=False)


def test_queues_counters_parties_and_barriers(clients: Clients) -> None:
    one, two = clients.connect("/recipes/more"), clients.connect("/recipes/more")
    line = one.Queue("/queue")
    for value in (b"first", b"second"):
        line.put(value)
    line.put(b"urgent", priority=1)
    two.sync("/")
    assert [two.Queue("/queue").get() for _ in range(3)] == [b"urgent", b"first", b"second"]
    locking = one.LockingQueue("/locking")
    locking.put(b"work")
    taken = two.LockingQueue("/locking")
    assert taken.get(timeout=WAIT_S) == b"work"
    assert taken.consume()
    counters = [one.Counter("/counter"), two.Counter("/counter")]
    for counter in counters * 3:
        counter += 2
    one.sync("/")
    assert counters[0].value == 12
    party = one.Party("/party", "one")
    party.join()
    with_two = two.Party("/party", "two")
    with_two.join()
    one.sync("/")
    assert sorted(party) == ["one", "two"]
    with_two.leave()
    one.sync("/")
    assert list(party) == ["one"]
    barrier = one.Barrier("/barrier")
    barrier.create()
    passed = Told()
    waits = threading.Thread(target=lambda: passed(two.Barrier("/barrier").wait(WAIT_S)))
    waits.start()
    barrier.remove()
    assert passed.next() is True
    waits.join(WAIT_S)
    sides = [each.DoubleBarrier("/double", 2) for each in (one, two)]
    for step in ("enter", "leave"):
        threads = [threading.Thread(target=getattr(side, step)) for side in sides]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT_S)
            assert not thread.is_alive()


def test_transactions_are_done_whole_or_not_at_all(clients: Clients) -> None:
    client = clients.connect("/transactions")
    client.create("/n", b"0")
    with client.transaction() as done:
        done.check("/n", 0)
        done.create("/made", b"x")
        done.set_data("/n", b"1")
        done.create("/s-", sequence=True)
        done.delete("/made")
    assert client.get("/n")[0] == b"1"
    failing = client.transaction()
    failing.create("/never")
    failing.check("/n", 99)
    failing.delete("/n")
    results = failing.commit()
    assert [type(each) for each in results] == [
        RolledBackError,
        BadVersionError,
        RuntimeInconsistency,
    ]
    assert client.exists("/never") is None
    assert client.transaction().commit() == []


def test_acls_keep_out_whoever_has_not_proved_who_it_is(clients: Clients) -> None:
    owner, stranger = clients.connect("/acl"), clients.connect("/acl")
    acl = make_digest_acl("alice", "secret", all=True)
    owner.create("/secret", b"x", acl=[acl])
    stranger.sync("/")
    for client in (owner, stranger):
        with pytest.raises(NoAuthError):
            client.get("/secret")
    owner.add_auth("digest", "alice:secret")
    assert owner.get("/secret")[0] == b"x"
    shown, stat = owner.get_acls("/secret")
    assert (shown, stat.aversion) == ([acl], 0)
    with pytest.raises(NoAuthError):
        stranger.set("/secret", b"y")
    owner.set_acls("/secret", [acl, make_acl("world", "anyone", read=True)])
    stranger.sync("/")
    assert stranger.get("/secret")[0] == b"x"
    with pytest.raises(InvalidACLError):
        owner.create("/bad", acl=[make_acl("nonsense", "x", all=True)])


def test_data_above_the_limit_are_refused_and_harm_nothing_else(clients: Clients) -> None:
    client = clients.connect("/large")
    client.create("/n", b"x" * 1_048_575)
    assert len(client.get("/n")[0]) == 1_048_575
    with pytest.raises(BadArgumentsError):
        client.set("/n", b"x" * 1_048_576)
    with pytest.raises(ConnectionLoss):
        client.set("/n", b"x" * 2_000_000)
    client.retry(client.set, "/n", b"small")
    assert client.get("/n")[0] == b"small"


def test_a_session_that_is_closed_elsewhere_is_lost(clients: Clients) -> None:
    client = clients.connect("/lost")
    client.create("/e", ephemeral=True)
    session, states = client.client_id, Told()
    client.add_listener(states)
    while not states.heard(KazooState.LOST):
        # Whoever connects takes the session over: this one may take it back before the other has closed it,
        # or has seen that it was connected.
        with suppress(KazooTimeoutError):
            clients.connect(client_id=session).stop()
    states.until(KazooState.CONNECTED)
    assert client.retry(client.exists, "/e") is None


HOLDER = """
import sys, time
from kazoo.client import KazooClient
client = KazooClient(sys.argv[1], timeout=1.0)
client.start()
client.create("/expiring/e", ephemeral=True, makepath=True)
print("held", flush=True)
time.sleep(60)
"""


def test_a_killed_clients_ephemerals_go_when_its_time_is_up(clients: Clients) -> None:
    client = clients.connect()
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, clients.cluster.zookeeper_hosts], stdout=subprocess.PIPE
    )
    with holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"
            client.sync("/")
            gone = Told()
            assert client.exists("/expiring/e", watch=gone)
        finally:
            holder.kill()
    assert gone.next().type == "DELETED"


def test_a_session_outlives_the_coordinator_that_serves_it(clients: Clients) -> None:
    client, other = clients.connect("/moving"), clients.connect("/moving")
    server = clients.server_of(client)
    while clients.server_of(other) == server:
        other.stop()
        other = clients.connect("/moving")
    client.create("/e", b"mine", ephemeral=True)
    client.create("/n", b"0")
    seen, states = Told(), Told()
    DataWatch(client, "/n", lambda data, _stat: seen(data))
    assert seen.next() == b"0"
    client.add_listener(states)
    session_id, _ = client.client_id
    clients.cluster.kill(server)
    states.until(KazooState.SUSPENDED)
    other.retry(other.set, "/n", b"1")
    states.until(KazooState.CONNECTED)
    assert seen.next() == b"1"
    assert client.client_id[0] == session_id
    assert clients.server_of(client) != server
    other.sync("/")
    assert other.exists("/e").ephemeralOwner == session_id
    assert client.retry(client.set, "/n", b"2").version == 2
    assert client.create("/s-", sequence=True).startswith("/s-")
    assert other.exists("/e") is not None
    clients.cluster.wait_ready()


def test_operators_ask_by_four_letters(clients: Clients, ensemble: Cluster) -> None:
    client: KazooClient = clients.connect()
    assert client.command(b"ruok") == "imok"
    assert client.command(b"isro") == "rw"
    assert "Mode: " in client.command(b"srvr")
    assert "zk_server_state\t" in client.command(b"mntr")
    assert "not in the whitelist" in client.command(b"dump")
    listed = {
        node.name: node.listeners
        for node in ensemble.status().nodes
        if "zookeeper" in node.listeners
    }
    assert set(listed) == {f"coordinator-{number}" for number in (1, 2, 3)}
