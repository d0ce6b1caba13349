"""Nodes that come and go by command, and what the next start makes of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodes.settings import ConfigError
from supervisor.config_file import load_settings
from supervisor.data_dir import Cluster, DataDir
from supervisor.growth import Growth, members_kept
from supervisor.member import BROKERS_MAX, JOINED_ID_MIN, NodePorts
from supervisor.plan import ClusterPlan
from supervisor.sections import ClusterConfig, HostConfig
from supervisor.settings import Settings, broker_id
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


def test_no_broker_gets_a_number_that_one_on_a_host_that_joins_could_have(tmp_path: Path) -> None:
    settings = Settings("x", cluster=ClusterConfig(brokers=BROKERS_MAX, coordinators=1))
    nodes = tuple(member.endpoints(NodePorts(1, 2, 3, 4)) for member in settings.members())
    assert max(node.id for node in nodes) < JOINED_ID_MIN <= broker_id(BROKERS_MAX + 1)
    data_dir = DataDir(tmp_path)
    data_dir.write_cluster(Cluster("local", ClusterId("c"), "zookeeper", nodes))
    growth = Growth(ClusterPlan(settings, ClusterId("c"), "key", tmp_path, nodes), data_dir)
    with pytest.raises(ConfigError, match="every number that a broker can have was given before"):
        growth.add_broker("")
    path = tmp_path / "many.toml"
    for count in (BROKERS_MAX, BROKERS_MAX + 1):
        path.write_text(f"[cluster]\nbrokers = {count}\n")
        if count == BROKERS_MAX:
            load_settings(str(path))
        else:
            with pytest.raises(ConfigError, match="brokers = 937 is above 936; lower it"):
                load_settings(str(path))


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
