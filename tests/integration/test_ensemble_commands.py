"""Real processes: the commands that look after the ensemble; ensembles of one, three and five."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from odradek import AdminClient, CoordinationClient, NewTopic
from odradek.testing import Cluster, wait_until


def ask(cluster: Cluster, *words: str, of: str = "ensemble") -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-P", "-m", "supervisor", of]
    return subprocess.run(
        [*program, *words, "--data-dir", str(cluster.data_dir)],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )


def odradek(cluster: Cluster, *words: str, of: str = "ensemble") -> str:
    done = ask(cluster, *words, of=of)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def status(cluster: Cluster) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(odradek(cluster, "status", "--json"))
    return shown


@pytest.mark.odradek(brokers=1)
def test_the_commands_of_the_ensemble(odradek_cluster: Cluster) -> None:
    before = status(odradek_cluster)
    assert [row["role"] for row in before["members"]].count("leader") == 1
    follower = next(row["name"] for row in before["members"] if row["role"] == "follower")
    assert f"{follower} leads now" in odradek(odradek_cluster, "transfer", follower)
    assert status(odradek_cluster)["leader"] == follower
    assert "leads already" in odradek(odradek_cluster, "transfer", follower)
    taken = odradek(odradek_cluster, "snapshot")
    assert taken.count("a snapshot up to entry") == 3
    assert "leader" in odradek(odradek_cluster, "status")


@pytest.mark.parametrize("count", [1, 3, 5])
def test_ensembles_of_every_size_serve_and_outlive_a_minority(count: int) -> None:
    with (
        Cluster.start(brokers=1, coordinators=count) as cluster,
        CoordinationClient(hosts=cluster.hosts) as client,
    ):
        client.create("/a", b"0")
        for number in range(1, count // 2 + 1):
            cluster.freeze(f"coordinator-{number}")
        client.set("/a", b"1")
        for number in range(1, count // 2 + 1):
            cluster.thaw(f"coordinator-{number}")
        cluster.restart(f"coordinator-{count}")
        assert client.get("/a")[0] == b"1"
        assert len(status(cluster)["members"]) == count


def test_an_observer_joins_a_cluster_that_has_data(tmp_path: Path) -> None:
    with (
        Cluster.start(brokers=1, coordinators=3, data_dir=tmp_path) as cluster,
        CoordinationClient(hosts=cluster.hosts) as client,
    ):
        client.create("/a", b"from before")
    with Cluster.start(
        brokers=1, coordinators=3, data_dir=tmp_path, settings={"cluster": {"observers": 1}}
    ) as cluster:
        rows = {row["name"]: row for row in status(cluster)["members"]}
        assert rows["observer-1"]["role"] == "observer"
        own = next(node for node in cluster.status().nodes if node.name == "observer-1")
        with CoordinationClient(hosts=own.clients.removeprefix("tcp://")) as client:
            assert client.get("/a")[0] == b"from before"
            client.set("/a", b"later")
            cluster.freeze("observer-1")
        cluster.thaw("observer-1")


def test_voters_are_added_and_removed_while_a_client_writes() -> None:
    with (
        Cluster.start(brokers=1, coordinators=3, settings={"cluster": {"observers": 1}}) as cluster,
        CoordinationClient(hosts=cluster.hosts) as client,
    ):
        client.create("/a", b"")
        assert "votes now" in odradek(cluster, "add", "observer-1")
        client.set("/a", b"1")
        leader = status(cluster)["leader"]
        assert "observes now" in odradek(cluster, "remove", leader, "--observe")
        assert "observes already" in odradek(cluster, "remove", leader, "--observe")
        client.set("/a", b"2")
        for name in ("coordinator-1", "coordinator-2", "coordinator-3", "observer-1"):
            cluster.kill(name)
        cluster.wait_ready()

        def has_settled() -> bool:
            """Who no longer votes may lead until it knows that this is committed, and then ends."""
            done = ask(cluster, "status", "--json")
            rows = {row["name"]: row["role"] for row in json.loads(done.stdout)["members"]}
            voters = {"leader", "follower"}
            return (
                done.returncode == 0 and rows[leader] == "observer" and rows["observer-1"] in voters
            )

        wait_until(has_settled, "one of the voters leads")
        assert client.get("/a")[0] == b"2"


def test_coordinators_come_and_go_while_a_client_writes(tmp_path: Path) -> None:
    stopped, written = threading.Event(), 0
    with (
        Cluster.start(brokers=1, coordinators=3, data_dir=tmp_path) as cluster,
        CoordinationClient(hosts=cluster.hosts) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        client.create("/a", b"0")

        def write() -> int:
            number = 0
            while not stopped.is_set():
                number += 1
                client.set("/a", b"%d" % number)  # any error ends the test
            return number

        writing = pool.submit(write)
        try:
            added = odradek(cluster, "add")
            assert "coordinator-4 is started" in added
            assert "coordinator-4 votes now" in added
            assert "coordinator-4 votes already" in odradek(cluster, "add", "coordinator-4")
            gone = odradek(cluster, "remove", "coordinator-1")
            assert "coordinator-1 is stopped" in gone
            assert [
                node.name for node in cluster.status().nodes if "coordinator-1" in node.name
            ] == []
            wait_until(
                lambda: ask(cluster, of="doctor").returncode == 0, "nobody misses the removed one"
            )
        finally:
            stopped.set()
        written = writing.result(timeout=60)
    with Cluster.start(brokers=1, coordinators=3, data_dir=tmp_path) as cluster:
        rows = {row["name"]: row["role"] for row in status(cluster)["members"]}
        assert sorted(rows) == ["coordinator-2", "coordinator-3", "coordinator-4"]
        assert sorted(rows.values()) == ["follower", "follower", "leader"]
        with CoordinationClient(hosts=cluster.hosts) as client:
            assert client.get("/a")[0] == b"%d" % written


@pytest.mark.odradek(
    brokers=1, coordinators=3, mode="kraft", settings={"cluster": {"observers": 1}}
)
def test_the_quorum_of_a_kraft_cluster_changes_under_its_controller(
    odradek_cluster: Cluster,
) -> None:
    cluster = odradek_cluster
    assert "votes now" in odradek(cluster, "add", "observer-1", of="quorum")
    described = json.loads(odradek(cluster, "describe", "--json", of="quorum"))
    assert described["leader"] in {row["name"] for row in described["members"]}
    assert "observes now" in odradek(cluster, "remove", described["leader"], of="quorum")
    with AdminClient(bootstrap_servers=cluster.bootstrap) as admin:
        admin.create_topics([NewTopic("after", 1, 1)])
        assert "after" in admin.list_topics()
    [controller] = [node for node in cluster.status().nodes if node.controller]
    assert controller.name != described["leader"]
    assert controller.leader
