"""Three coordinators: containers and znodes with a TTL go everywhere, on the leader's word."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from nodes.config import CoordinatorConfig
from nodes.coordinator import sweeper
from nodes.core.znode.modes import NO_SESSION
from tests.unit.coordinator.ensemble import CLUSTER, Ensemble, SessionClient
from transport.driver.ports import Door
from transport.wire.codec import Kind
from transport.wire.errors import ErrorCode
from transport.wire.messages.coordination import (
    CONTAINER,
    NODE_DELETED,
    PERSISTENT_WITH_TTL,
    Create,
    Delete,
    Exists,
    ForwardWrites,
    ProposedWrite,
    Sync,
)

E = ErrorCode


@pytest.fixture
def ensemble() -> Ensemble:
    return Ensemble(coordinator=CoordinatorConfig(sweep_interval_ms=100))


def opened(ensemble: Ensemble, number: int) -> SessionClient:
    client = ensemble.session(number)
    assert client.open().error == 0
    return client


def exists(client: SessionClient, path: str) -> bool:
    return client.operate(Sync(), Exists(path))[1].error == 0


def test_they_go_at_every_server_and_watchers_hear_of_it(ensemble: Ensemble) -> None:
    ensemble.leader()
    client = opened(ensemble, ensemble.followers()[0])
    client.operate(
        Create("/c", b"", CONTAINER),
        Create("/c/x"),
        Create("/t", b"", PERSISTENT_WITH_TTL, (), 300),
        Exists("/c", watch=True),
    )
    ensemble.run(200)
    assert exists(client, "/c")
    assert exists(client, "/t")
    client.operate(Delete("/c/x"))
    ensemble.run(600)
    assert client.events() == [(NODE_DELETED, "/c")]
    for number in ensemble.nodes:
        core = ensemble.nodes[number].server._context.core
        assert [core.tree.get(path) for path in ("/c", "/t")] == [None, None]


def test_very_many_are_looked_at_some_a_turn(
    ensemble: Ensemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeper, "LOOKED_AT_ONCE", 5)
    leader = ensemble.leader()
    client = opened(ensemble, ensemble.followers()[0])
    made = [f"/{number}" for number in range(23)]
    client.operate(*[Create(path, b"", PERSISTENT_WITH_TTL, (), 50) for path in made])
    looked_at: list[int] = []
    core = ensemble.nodes[leader].server._context.core
    due = core.due

    def looking(wall_ms: int, paths: Sequence[str]) -> list[str]:
        looked_at.append(len(paths))
        return due(wall_ms, paths)

    monkeypatch.setattr(core, "due", looking)
    ensemble.run(400)
    assert max(looked_at) == 5
    assert sum(looked_at) >= 23
    assert not any(exists(client, path) for path in made)


def test_a_new_leader_goes_on(ensemble: Ensemble) -> None:
    first = ensemble.leader()
    client = opened(ensemble, ensemble.followers()[0])
    client.operate(Create("/t", b"", PERSISTENT_WITH_TTL, (), 2_000))
    ensemble.kill(first)
    ensemble.run(1_500)
    assert exists(client, "/t")
    ensemble.run(1_500)
    assert not exists(client, "/t")


def test_nobody_but_the_leader_says_so(ensemble: Ensemble) -> None:
    leader = ensemble.leader()
    client = opened(ensemble, leader)
    client.operate(Create("/c", b"", CONTAINER), Create("/c/x"))
    peer = ensemble.client(leader, Door.PEERS)
    forged = ForwardWrites((ProposedWrite(NO_SESSION, 0, sweep=("/c/x",)),))
    peer.send(forged, kind=Kind.ONE_WAY, cluster_id=CLUSTER)
    ensemble.settle()
    assert ensemble.health(leader).figures["forwarded_writes_refused"] == 1
    assert exists(client, "/c/x")
