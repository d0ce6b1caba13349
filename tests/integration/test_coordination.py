"""Coordination clients against real nodes that die, freeze and come back."""

from __future__ import annotations

import asyncio
import os
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import odradek.aio
from odradek import CoordinationClient
from odradek.coordination.client import CoordinationState, KeeperState
from odradek.errors import (
    BadVersionError,
    NoAuthError,
    NotReadOnlyCallError,
    SessionExpiredError,
)
from odradek.testing import Cluster, wait_until
from tests.integration.modes import both_modes

pytestmark = pytest.mark.odradek(brokers=1, coordinators=3)
WAIT_S = 30.0


class States:
    """A listener that remembers."""

    def __init__(self, client: CoordinationClient) -> None:
        self.heard: list[str] = []
        self._news: queue.SimpleQueue[str] = queue.SimpleQueue()
        client.add_listener(self)

    def __call__(self, state: str) -> None:
        self.heard.append(state)
        self._news.put(state)

    def until(self, state: str) -> None:
        while self._news.get(timeout=WAIT_S) != state:
            pass


def server(client: CoordinationClient) -> str:
    info = client.server_info()
    assert info is not None
    return info.name


@both_modes
def test_a_session_moves_when_its_server_is_killed_and_keeps_what_it_has(
    odradek_cluster: Cluster, mode: str
) -> None:
    changed = threading.Event()
    deep: queue.SimpleQueue[Any] = queue.SimpleQueue()
    with (
        CoordinationClient(odradek_cluster.bootstrap) as client,
        CoordinationClient(odradek_cluster.bootstrap) as other,
    ):
        states = States(client)
        client.create("/mine", ephemeral=True)
        client.create("/watched", b"1")
        client.get("/watched", watch=lambda _event: changed.set())
        client.add_watch("/watched", deep.put, recursive=True)
        before, left = client.client_id, server(client)
        writing = [client.create_async(f"/n-{number}") for number in range(500)]
        odradek_cluster.kill(left)
        assert [one.get(timeout=WAIT_S) for one in writing] == [f"/n-{n}" for n in range(500)]
        states.until(CoordinationState.CONNECTED)
        assert states.heard == [CoordinationState.SUSPENDED, CoordinationState.CONNECTED]
        assert server(client) != left
        assert client.client_id == before
        assert client.exists("/mine") is not None
        other.set("/watched", b"2")
        assert changed.wait(WAIT_S)
        assert deep.get(timeout=WAIT_S).type == "CHANGED"
        other.create("/watched/below")
        assert deep.get(timeout=WAIT_S).path == "/watched/below"


def test_a_session_that_is_silent_for_too_long_expires(odradek_cluster: Cluster) -> None:
    """All coordinators freeze: the client judges by itself, and its ephemeral goes."""
    client = CoordinationClient(odradek_cluster.bootstrap, timeout=1.0)
    with client, CoordinationClient(odradek_cluster.bootstrap, timeout=30.0) as other:
        states = States(client)
        ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
        client.create("/mine", ephemeral=True)
        client.get("/mine", watch=ended.put)
        before = client.client_id
        frozen = [f"coordinator-{number}" for number in (1, 2, 3)]
        for name in frozen:
            odradek_cluster.freeze(name)
        doubtful = client.create_async("/doubtful")
        states.until(CoordinationState.LOST)
        for name in frozen:
            odradek_cluster.thaw(name)
        with pytest.raises(SessionExpiredError):
            doubtful.get(timeout=WAIT_S)
        states.until(CoordinationState.CONNECTED)
        assert states.heard[-2:] == [CoordinationState.LOST, CoordinationState.CONNECTED]
        assert ended.get(timeout=WAIT_S).state == "EXPIRED_SESSION"
        assert client.client_id != before
        wait_until(lambda: other.exists("/mine") is None, "the ephemeral is gone")


def test_a_linearizable_read_sees_every_write_that_was_answered(odradek_cluster: Cluster) -> None:
    with CoordinationClient(odradek_cluster.bootstrap) as writer:
        writer.create("/n", b"0")
        readers = [CoordinationClient(odradek_cluster.bootstrap) for _ in range(4)]
        for reader in readers:
            reader.start()
        try:
            assert len({server(reader) for reader in (*readers, writer)}) > 1
            for number in range(1, 100):
                writer.set("/n", b"%d" % number)
                for reader in readers:
                    assert int(reader.get("/n", linearizable=True)[0]) == number
        finally:
            for reader in readers:
                reader.stop()


def test_a_stream_of_changes_misses_nothing_across_kills(odradek_cluster: Cluster) -> None:
    count = 300
    with (
        CoordinationClient(odradek_cluster.bootstrap) as writer,
        CoordinationClient(odradek_cluster.bootstrap) as client,
    ):
        writer.create("/config")
        began = writer.create("/config/n", b"0", include_data=True)[1].czxid
        seen: list[tuple[int, bytes]] = []

        def follow() -> None:
            with client.changes("/config", since=began) as changes:
                for change in changes:
                    assert change.data is not None
                    seen.append((change.zxid, change.data))
                    if len(seen) == count:
                        return

        following = threading.Thread(target=follow, daemon=True)
        following.start()
        zxids = []
        for number in range(1, count + 1):
            zxids.append(writer.set("/config/n", b"%d" % number).mzxid)
            if number == count // 3:
                odradek_cluster.kill(server(client))
        following.join(WAIT_S)
        assert seen == [(zxid, b"%d" % n) for n, zxid in enumerate(zxids, 1)]


def test_what_one_has_made_others_may_not_change(odradek_cluster: Cluster) -> None:
    from odradek.acl import CREATOR_ALL_ACL, READ_ACL_UNSAFE

    me = [("digest", "me:secret")]
    with (
        CoordinationClient(odradek_cluster.bootstrap, auth_data=me) as client,
        CoordinationClient(odradek_cluster.bootstrap) as other,
    ):
        client.create("/own", b"1", acl=[*CREATOR_ALL_ACL, *READ_ACL_UNSAFE])
        other.sync()
        assert other.get("/own")[0] == b"1"
        with pytest.raises(NoAuthError):
            other.set("/own", b"2")
        with pytest.raises(NoAuthError):
            other.set_acls("/own", READ_ACL_UNSAFE)
        odradek_cluster.kill(server(client))
        assert client.set("/own", b"2").version == 1
        other.add_auth("digest", "me:secret")
        assert other.set("/own", b"3").version == 2
        with pytest.raises(BadVersionError):
            client.set_acls("/own", READ_ACL_UNSAFE, version=5)


def test_a_coordinator_without_a_quorum_serves_reads_to_who_asked_for_it(
    odradek_cluster: Cluster,
) -> None:
    with CoordinationClient(odradek_cluster.bootstrap) as writer:
        writer.create("/n", b"1")
    frozen = ("coordinator-1", "coordinator-2")
    for name in frozen:
        odradek_cluster.freeze(name)
    client = CoordinationClient(odradek_cluster.bootstrap, read_only=True)
    try:
        client.start(WAIT_S)
        assert client.client_state == KeeperState.CONNECTED_RO
        assert server(client) == "coordinator-3"
        assert client.get("/n")[0] == b"1"
        with pytest.raises(NotReadOnlyCallError):
            client.set("/n", b"2")
        for name in frozen:
            odradek_cluster.thaw(name)
        wait_until(lambda: client.client_state == KeeperState.CONNECTED, "the session is whole")
        assert client.set("/n", b"2").version == 1
    finally:
        client.stop()


def test_asyncio_clients_follow_changes_and_roots(odradek_cluster: Cluster) -> None:
    async def work() -> None:
        hosts = f"{odradek_cluster.bootstrap}/app"
        async with odradek.aio.CoordinationClient(hosts) as client:
            await client.ensure_path("/")
            async with client.changes("/") as changes:
                first = asyncio.create_task(changes.next())
                while not first.done():
                    await client.create("/n-", sequence=True)
                    await asyncio.sleep(0.01)
                change = first.result()
            assert change is not None
            assert change.path.startswith("/n-")
            async with client.multi_read() as reads:
                reads.get("/")
                reads.get_children("/")
            assert change.path[1:] in reads.outcomes[1]

    asyncio.run(asyncio.wait_for(work(), WAIT_S))


def test_a_command_runs_under_a_lock_and_ends_with_its_session(
    odradek_cluster: Cluster, tmp_path: Path
) -> None:
    environment = {**os.environ, "ODRADEK_BOOTSTRAP": odradek_cluster.bootstrap}
    token = tmp_path / "token"
    shell = f"echo $ODRADEK_FENCING_TOKEN > {token}.new; mv {token}.new {token}; sleep 60"
    odradek_command = [str(Path(sys.executable).parent / "odradek"), "lock"]
    holding = subprocess.Popen(
        [*odradek_command, "--session-timeout", "1", "x", "--", "/bin/sh", "-c", shell],
        env=environment,
        stdin=subprocess.DEVNULL,
    )
    try:
        wait_until(token.exists, "the command runs")
        refused = subprocess.run(
            [*odradek_command, "--wait", "0", "x", "--", "true"],
            env=environment,
            stdin=subprocess.DEVNULL,
            check=False,
            timeout=WAIT_S,
        )
        assert refused.returncode == 1
        frozen = [f"coordinator-{number}" for number in (1, 2, 3)]
        for name in frozen:
            odradek_cluster.freeze(name)
        assert holding.wait(WAIT_S) == 1
        for name in frozen:
            odradek_cluster.thaw(name)
    finally:
        holding.kill()
        holding.wait()
    with CoordinationClient(odradek_cluster.bootstrap) as client, client.Lock("/locks/x") as lock:
        assert lock.fencing_token > int(token.read_text())
