"""The supervisor with real nodes: what dies comes back, and nothing outlives its supervisor."""

from __future__ import annotations

import pytest

from odradek.testing import Cluster, wait_until
from tests.integration.modes import both_modes


def roles(cluster: Cluster) -> dict[str, list[str]]:
    """Return who leads the quorum and who is the controller."""
    nodes = cluster.status().nodes
    return {
        "leader": [str(node.name) for node in nodes if node.leader],
        "controller": [str(node.name) for node in nodes if node.controller],
    }


@both_modes
def test_a_killed_leader_of_the_quorum_and_a_killed_controller_are_replaced(
    odradek_cluster: Cluster, mode: str
) -> None:
    for role in ("leader", "controller"):
        [killed] = roles(odradek_cluster)[role]
        before = odradek_cluster.kill(killed)
        odradek_cluster.wait_ready()
        wait_until(
            lambda role=role: len(roles(odradek_cluster)[role]) == 1,  # type: ignore[misc]
            f"there is one {role}",
        )
        assert odradek_cluster.pids()[killed] not in (0, before)


@both_modes
@pytest.mark.odradek(brokers=1, coordinators=1)
def test_a_restart_in_order_keeps_the_cluster(odradek_cluster: Cluster, mode: str) -> None:
    for name in odradek_cluster.node_names():
        before = odradek_cluster.pids()[name]
        odradek_cluster.restart(name)
        assert odradek_cluster.pids()[name] not in (0, before)
    odradek_cluster.wait_ready()


@pytest.mark.odradek(brokers=2, coordinators=3)
def test_a_frozen_broker_is_seen_and_serves_again_when_thawed(odradek_cluster: Cluster) -> None:
    def state() -> str:
        return {str(n.name): n.state for n in odradek_cluster.status().nodes}["broker-2"]

    odradek_cluster.freeze("broker-2")
    wait_until(lambda: state() == "unresponsive", "the frozen broker is seen")
    odradek_cluster.thaw("broker-2")
    odradek_cluster.wait_ready()


@pytest.mark.odradek(brokers=2, coordinators=1)
def test_real_nodes_end_when_their_supervisor_is_killed(odradek_cluster: Cluster) -> None:
    odradek_cluster.freeze("broker-2")
    odradek_cluster.kill_supervisor()
