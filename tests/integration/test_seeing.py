"""Real processes seen from outside: metrics, health, logs with causes, ``doctor`` and ``top``."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from odradek import AdminClient, NewTopic
from odradek.cluster.node_window import Metrics, read_health, read_metrics
from odradek.testing import Cluster, wait_until


def odradek(cluster: Cluster, *words: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "supervisor", *words, "--data-dir", str(cluster.data_dir)],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout + done.stderr


def windows(cluster: Cluster) -> dict[str, str]:
    described = json.loads((cluster.data_dir / "cluster.json").read_text())
    return {node["name"]: node["http"] for node in described["nodes"]}


def metrics_of(http: str) -> Metrics:
    metrics = read_metrics(http)
    assert metrics is not None
    return metrics


def lines(log: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.splitlines() if line.startswith("{")]


def causes(log: str, text: str) -> set[str]:
    return {line["cause"] for line in lines(log) if text in line["text"] and "cause" in line}


def follow_a_request(cluster: Cluster, controller: str) -> None:
    """Find the cause of one request at its client's broker and at the controller."""
    elsewhere: set[str] = set()
    for number in range(30):  # until a client happens to ask a broker that is not the controller
        with AdminClient(bootstrap_servers=cluster.bootstrap) as admin:
            admin.create_topics([NewTopic(f"t-{number}", 1, 1)])
        arrived = {n: causes(log, "CREATE_TOPICS arrived") for n, log in cluster.logs().items()}
        elsewhere = set().union(*(each for name, each in arrived.items() if name != controller))
        if elsewhere:
            break
    assert elsewhere
    assert elsewhere <= arrived[controller], arrived


@pytest.mark.odradek(
    brokers=3, coordinators=1, settings={"logs": {"format": "json", "level": "debug"}}
)
def test_a_cluster_can_be_looked_into(odradek_cluster: Cluster) -> None:
    seen = windows(odradek_cluster)
    with AdminClient(bootstrap_servers=odradek_cluster.bootstrap) as admin:
        admin.create_topics([NewTopic("words", 6, 3)])
    at = {name: http for name, http in seen.items() if "broker" in name}
    wait_until(
        lambda: sum(metrics_of(http).total("leaders") for http in at.values()) == 6,
        "every broker has heard of what it leads",
    )
    brokers = {name: metrics_of(http) for name, http in at.items()}
    assert sum(each.total("active_controller") for each in brokers.values()) == 1
    assert sum(each.total("elections_won_total") for each in brokers.values()) == 1
    assert metrics_of(seen["coordinator-1"]).total("raft_leads") == 1
    health = read_health(seen["broker-1"])
    assert health is not None
    assert (health["node"], health["state"]) == ("broker-1", "ready")

    status, told = odradek(odradek_cluster, "doctor", "--json")
    findings = json.loads(told)["findings"]
    assert status == 0, told
    assert [each for each in findings if each["severity"] == "error"] == []
    status, told = odradek(odradek_cluster, "top", "--once", "--json", "--interval", "0.2")
    assert {row["node"] for row in json.loads(told)} == set(seen)

    controller = next(name for name, each in brokers.items() if each.total("active_controller"))
    follow_a_request(odradek_cluster, controller)

    frozen = next(name for name in brokers if name != controller)
    odradek_cluster.kill(frozen, "STOP")
    try:
        status, told = odradek(odradek_cluster, "doctor", "--timeout", "1")
        assert status == 1
        assert f"error: {frozen} answers at no door" in told
        wait_until(
            lambda: (
                sum(
                    metrics_of(seen[name]).total("under_replicated_partitions")
                    for name in brokers
                    if name != frozen
                )
                == 6
            ),
            "the frozen broker is missed",
        )
    finally:
        odradek_cluster.kill(frozen, "CONT")
