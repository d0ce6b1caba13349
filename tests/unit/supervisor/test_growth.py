"""Nodes that come and go by command, and what the next start makes of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from supervisor.data_dir import Cluster, DataDir
from supervisor.growth import Growth, members_kept
from supervisor.member import NodePorts
from supervisor.plan import ClusterPlan
from supervisor.settings import ClusterConfig, HostConfig, Settings
from transport.wire.ids import ClusterId, NodeName


def test_brokers_added_and_removed_by_command_stay_so_at_the_next_start(tmp_path: Path) -> None:
    settings = Settings("x", cluster=ClusterConfig(brokers=3, coordinators=1))
    nodes = tuple(member.endpoints(NodePorts(1, 2, 3, 4)) for member in settings.members())
    data_dir = DataDir(tmp_path)
    data_dir.write_cluster(Cluster("local", ClusterId("c"), "zookeeper", nodes))
    plan = ClusterPlan(settings, ClusterId("c"), "key", tmp_path, nodes)
    growth = Growth(plan, data_dir)
    added = growth.add_broker("cellar")
    growth.remove(NodeName("broker-2"))
    names = [node.name for node in plan.nodes]
    assert names == ["coordinator-1", "broker-1", "broker-3", "broker-4"]
    before = DataDir(tmp_path).read_cluster()
    assert before is not None
    kept = {member.name: member for member in members_kept(before, settings.members(), settings)}
    assert sorted(kept) == sorted(names)
    assert (kept[added.name].id, kept[added.name].rack) == (4, "cellar")
    growth.remove(added.name)
    assert growth.add_broker("").name == "broker-5", "its data directory is not another's"


@pytest.mark.parametrize(
    "settings",
    [
        Settings("x", cluster=ClusterConfig(host="192.0.2.1", bind="127.0.0.1")),
        Settings(
            "x",
            cluster=ClusterConfig(bind="127.0.0.1"),
            hosts=(HostConfig(address="192.0.2.1"),),
        ),
    ],
)
def test_a_node_that_is_added_listens_where_the_others_do(
    tmp_path: Path, settings: Settings
) -> None:
    nodes = tuple(member.endpoints(NodePorts(1, 2, 3, 4)) for member in settings.members())
    data_dir = DataDir(tmp_path)
    data_dir.write_cluster(Cluster("local", ClusterId("c"), "zookeeper", nodes))
    growth = Growth(ClusterPlan(settings, ClusterId("c"), "key", tmp_path, nodes), data_dir)
    for added in (growth.add_broker(""), growth.add_coordinator()):
        assert added.clients.startswith("tcp://192.0.2.1:"), "by which others reach it"
