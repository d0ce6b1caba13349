"""What is said of a host whose last broker was removed."""

from __future__ import annotations

import pytest

from supervisor.brokers import left_behind
from supervisor.data_dir import Cluster
from supervisor.settings import new_cluster_id
from transport.wire.ids import NodeId, NodeName
from transport.wire.messages.cluster import NodeEndpoints


def node(name: str, *roles: str) -> NodeEndpoints:
    return NodeEndpoints(NodeId(1), NodeName(name), roles, "tcp://h:1", "tcp://h:2", "tcp://h:3")


def cluster(*here: NodeEndpoints, mode: str = "zookeeper", alone: bool = False) -> Cluster:
    elsewhere = () if alone else (node("broker-9", "broker"),)
    return Cluster("c", new_cluster_id(), mode, here, elsewhere=elsewhere)


@pytest.mark.parametrize(("mode", "role"), [("zookeeper", "coordinator"), ("kraft", "controller")])
def test_a_member_of_the_quorum_that_stays_is_named_with_what_to_do(mode: str, role: str) -> None:
    [said] = left_behind(cluster(node("m-3", role), mode=mode))
    assert said.startswith("m-3 runs here still")
    assert "`odradek ensemble remove m-3 --observe`" in said


def test_nothing_is_said_where_a_broker_is_left_or_there_is_one_host_only() -> None:
    member = node("coordinator-3", "coordinator")
    assert left_behind(cluster(member, node("broker-3", "broker"))) == []
    assert left_behind(cluster(member, alone=True)) == []
    assert left_behind(cluster()) == []
    assert left_behind(None) == []
