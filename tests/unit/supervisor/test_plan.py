"""From people's TOML to a plan, and what is said of TOML that cannot be."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from nodes.config import ConfigError, check_node_config
from supervisor.plan import (
    ClusterPlan,
    NodePorts,
    Settings,
    load_settings,
    read_settings,
    shipped_names,
)
from transport.wire.ids import ClusterId


def settings_of(text: str) -> Settings:
    return read_settings(tomllib.loads(text), "my.toml")


def refused(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read_settings(tomllib.loads(text), "my.toml")
    message = str(caught.value)
    assert message.startswith("my.toml: ")
    assert "\n" not in message
    return message


def test_every_shipped_config_loads_and_makes_nodes_that_can_start() -> None:
    assert "local" in shipped_names()
    for name in shipped_names():
        settings = load_settings(name)
        nodes = tuple(member.endpoints(NodePorts(1, 2, 3, 4)) for member in settings.members())
        plan = ClusterPlan(settings, ClusterId("c"), "key", Path("/nowhere"), nodes)
        for node in nodes:
            check_node_config(plan.node_config(node, 1))


def test_local_is_three_and_three_with_three_replicas_of_which_two_must_be_in_sync() -> None:
    settings = load_settings("local")
    names = [str(member.name) for member in settings.members()]
    assert names == [f"{role}-{n}" for role in ("coordinator", "broker") for n in (1, 2, 3)]
    broker = settings.broker
    assert (broker.num_partitions, broker.default_replication_factor) == (3, 3)
    assert broker.min_insync_replicas == 2


@pytest.mark.parametrize(
    ("cluster", "expected"),
    [
        ("controllers = 1\nbrokers = 1", ["node-1"]),
        ("controllers = 3\nbrokers = 3", ["node-1", "node-2", "node-3"]),
        ("controllers = 1\nbrokers = 3", ["node-1", "broker-2", "broker-3"]),
        ("controllers = 3\nbrokers = 1", ["node-1", "controller-2", "controller-3"]),
        ("controllers = 1\nbrokers = 2\nseparate = true", ["controller-1", "broker-1", "broker-2"]),
        ("controllers = 1\nbrokers = 1\nobservers = 1", ["node-1", "observer-1"]),
    ],
)
def test_in_kraft_nodes_are_both_as_far_as_both_go(cluster: str, expected: list[str]) -> None:
    members = settings_of(f"[cluster]\nmode = 'kraft'\n{cluster}\n").members()
    assert [str(member.name) for member in members] == expected
    for member in members:
        kind = member.name.rpartition("-")[0]
        roles = {"node": ("broker", "controller"), "observer": ("controller", "observer")}
        assert member.roles == roles.get(kind, (kind,))


def test_in_kraft_no_two_nodes_share_an_id_however_many_there_are() -> None:
    text = "[cluster]\nmode = 'kraft'\ncontrollers = 15\nobservers = 48\nbrokers = 200\n"
    for separate in ("true", "false"):
        members = settings_of(f"{text}separate = {separate}\n").members()
        assert len({member.id for member in members}) == len(members)
        quorum = [member.id for member in members if "controller" in member.roles]
        assert max(quorum) < 128, "session ids have seven bits for it"


def test_the_shipped_kraft_clusters_are_one_and_three_nodes() -> None:
    for name, count in (("single", 1), ("kraft", 3)):
        members = load_settings(name).members()
        assert [member.id for member in members] == list(range(1, count + 1))
        assert all(member.roles == ("broker", "controller") for member in members)


def test_a_path_is_loaded_as_such(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[cluster]\nname = 'mine'\nbrokers = 1\ncoordinators = 1\n")
    assert load_settings(str(path)).cluster.name == "mine"


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ("locl", "did you mean 'local'?"),
        ("no/such.toml", "cannot read config no/such.toml: No such file"),
    ],
)
def test_an_unknown_config_says_so_and_names_the_nearest(config: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text.replace("?", r"\?")):
        load_settings(config)


def test_what_is_no_toml_says_where(tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    path.write_text("[cluster\n")
    with pytest.raises(ConfigError, match=r"broken\.toml is not TOML: .*line 1"):
        load_settings(str(path))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[brokr]\n", "there is no section [brokr]; did you mean 'broker'?"),
        ("brokers = 3\n", "there is no section [brokers]; did you mean 'broker'?"),
        ("broker = 3\n", "write [broker] above its keys"),
        ("[cluster]\nbrokers = 'three'\n", '[cluster] brokers = "three" is not a whole number'),
        ("[cluster]\nbrokers = 0\n", "[cluster] brokers = 0 is below 1; raise it"),
        ("[cluster]\nmode = 'raft'\n", "mode = 'raft' is not offered; did you mean 'kraft'?"),
        (
            "[cluster]\nmode = 'kraft'\ncoordinators = 3\n",
            "coordinators is no setting of mode = 'kraft'; write controllers",
        ),
        (
            "[cluster]\ncontrollers = 3\n",
            "controllers is no setting of mode = 'zookeeper'; write coordinators",
        ),
        ("[cluster]\nmode = 'kraft'\ncontrollers = 0\n", "controllers = 0 is below 1; raise it"),
        ("[cluster]\nname = ''\n", "must not be empty"),
        (
            "[cluster]\nbrokers = 1\n[broker]\nmin_insync_replicas = 2\n",
            "min_insync_replicas = 2 can never be reached with [cluster] brokers = 1",
        ),
        ("[broker]\nlog_dirs = []\n", 'log_dirs is empty; write for example log_dirs = ["logs"]'),
        (
            "[broker]\nlog_dirs = 'logs'\n",
            'log_dirs = "logs" is not a list of strings; write for example log_dirs = ["logs"]',
        ),
        ("[broker]\nlog_dirs = ['/mnt/a', 'x/../y']\n", "log_dirs names 'x/../y'; write"),
        ("[broker]\nlog_dirs = ['/a/b', '/a']\n", "'/a/b' twice, or within another of them"),
        ("[broker]\nlog_dirs = ['a', 'a']\n", "'a' twice, or within another of them"),
        ("[supervisor]\nrestart_delay_min_ms = 9000\n", "restart_delay_min_ms must not be above"),
        ("[[node]]\nname = 'broker-4'\n", "did you mean 'broker-3'?"),
        ("[[node]]\nname = 'broker-1'\n[[node]]\nname = 'broker-1'\n", "is there twice"),
        ("[node]\nname = 'broker-1'\n", "write [[node]] above each"),
        (
            "[[node]]\nname = 'broker-1'\nclients_port = 9092\n"
            "[[node]]\nname = 'broker-2'\nclients_port = 9092\n",
            "port 9092 is given to broker-1 and to broker-2",
        ),
        (
            "[[node]]\nname = 'broker-1'\nclients_port = 9092\npeers_port = 9092\n",
            "port 9092 is given to broker-1 and to broker-1",
        ),
        ("[[node]]\nname = 'broker-1'\nclients_port = 70000\n", "above 65535; lower it"),
    ],
)
def test_a_wrong_config_gets_one_line_that_names_the_key_and_the_fix(
    text: str, expected: str
) -> None:
    assert expected in refused(text)


def test_a_node_can_have_ports_a_host_and_a_rack_of_its_own() -> None:
    table = tomllib.loads(
        "[[node]]\nname = 'broker-2'\nclients_port = 9092\nhost = '::1'\nrack = 'b'\n"
    )
    members = {member.name: member for member in read_settings(table, "x").members()}
    special = next(member for name, member in members.items() if name == "broker-2")
    assert (special.ports, special.host, special.rack) == (NodePorts(clients=9092), "::1", "b")


def test_log_directories_elsewhere_have_a_folder_for_each_node() -> None:
    text = "[broker]\nlog_dirs = ['logs', '/mnt/two']\n"
    settings = read_settings(tomllib.loads(text), "x")
    nodes = tuple(member.endpoints(NodePorts(1, 2, 3, 4)) for member in settings.members())
    plan = ClusterPlan(settings, ClusterId("c"), "key", Path("/nowhere"), nodes)
    config = plan.node_config(plan.find("broker-2"), 1)
    assert config.log_directories() == ("logs", "/mnt/two/broker-2")


def test_a_node_that_is_not_there_names_the_nearest() -> None:
    settings = load_settings("local")
    nodes = tuple(member.endpoints(NodePorts(1, 2, 3, 4)) for member in settings.members())
    plan = ClusterPlan(settings, ClusterId("c"), "key", Path("/nowhere"), nodes)
    assert plan.find("broker-2").id == 2
    with pytest.raises(ConfigError, match="did you mean 'broker-2'"):
        plan.find("brokr-2")
