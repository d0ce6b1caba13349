"""kazoo against the quorum of a cluster of mode kraft: the same listener, on members of another kind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kazoo.client import KazooState

from odradek.testing import Cluster
from tests.conformance.kazoo_clients import WAIT_S, Clients, Told, clients_of


@pytest.fixture(scope="module")
def clients() -> Iterator[Clients]:
    with (
        Cluster.start(brokers=3, coordinators=3, mode="kraft") as quorum,
        clients_of(quorum) as made,
    ):
        yield made


def test_znodes_watches_and_locks(clients: Clients) -> None:
    client, other = clients.connect("/kraft"), clients.connect("/kraft")
    client.create("/n", b"0")
    changed = Told()
    assert client.get("/n", watch=changed)[0] == b"0"
    other.set("/n", b"1")
    assert changed.next().type == "CHANGED"
    assert client.get("/n")[0] == b"1"
    with client.Lock("/lock", "one"):
        assert not other.Lock("/lock", "two").acquire(blocking=False)
    with client.transaction() as done:
        done.check("/n", 1)
        done.set_data("/n", b"2")
    made = [client.create_async("/s-", sequence=True, ephemeral=True) for _ in range(100)]
    paths = [each.get(timeout=WAIT_S) for each in made]
    assert paths == sorted(set(paths))


def test_a_session_outlives_the_node_that_serves_it(clients: Clients) -> None:
    client = clients.connect("/moving")
    server = clients.server_of(client)
    client.create("/e", ephemeral=True)
    states = Told()
    client.add_listener(states)
    session_id, _ = client.client_id
    clients.cluster.kill(server)
    states.until(KazooState.SUSPENDED)
    states.until(KazooState.CONNECTED)
    assert client.client_id[0] == session_id
    assert client.retry(client.exists, "/e").ephemeralOwner == session_id
    clients.cluster.wait_ready()
