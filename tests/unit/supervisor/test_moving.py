"""A cluster that moves to mode kraft, as its data directory and its next start have it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from nodes.settings import ConfigError
from supervisor.data_dir import DataDir
from supervisor.growth import Growth
from supervisor.launch import Launch
from supervisor.plan import ClusterPlan
from supervisor.preparation import prepare
from supervisor.spawn import node_command
from transport.wire.ids import Incarnation, NodeId, NodeName
from transport.wire.messages.cluster import DescribeNodeResponse

ZOOKEEPER = "[cluster]\nname = 'c'\ncoordinators = 3\nobservers = 1\nbrokers = 2\n"
KRAFT = (
    "[cluster]\nname = 'c'\nmode = 'kraft'\ncontrollers = 3\nobservers = 1\nbrokers = 2\n"
    "separate = true\n"
)
HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
SEVERAL = (
    "id = 'one-for-all'\nbase_port = 18300\n"
    + "".join(f"[[host]]\naddress = '{host}'\n" for host in HOSTS)
)  # fmt: skip


class Home:
    """A data directory, and what starts there."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def start(self, text: str = ZOOKEEPER, here: str = "", *, rebuild: bool = False) -> ClusterPlan:
        config = self._path / "c.toml"
        config.write_text(text)
        folder = self._path / f"data{here}"
        data_dir = DataDir(folder)
        try:
            return prepare(Launch(str(config), folder, here=here, rebuild=rebuild), data_dir)
        finally:
            data_dir.unlock()

    def growth(self, plan: ClusterPlan) -> Growth:
        return Growth(plan, DataDir(plan.data_dir))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def programs(plan: ClusterPlan) -> dict[str, str]:
    commands = {
        str(node.name): node_command(node, Path("c"), Incarnation(1)) for node in plan.nodes
    }
    return {name: str(command[3]) for name, command in commands.items()}


def where(plan: ClusterPlan) -> dict[NodeName, tuple[NodeId, str]]:
    return {node.name: (node.id, node.clients) for node in plan.nodes}


def test_no_coordinator_has_the_number_of_a_broker(home: Home) -> None:
    ids = [node.id for node in home.start().nodes]
    assert len(set(ids)) == len(ids)


def test_coordinators_are_controllers_too_from_their_next_start_on(home: Home) -> None:
    plan = home.start()
    home.growth(plan).prepare_move()
    for later in (plan, home.start()):
        assert programs(later) == {
            **{f"coordinator-{number}": "nodes.kraft" for number in (1, 2, 3)},
            "observer-1": "nodes.kraft",
            **{f"broker-{number}": "nodes.broker" for number in (1, 2)},
        }
        assert where(later) == where(plan)
        config = later.node_config(later.find("coordinator-1"), 1)
        assert (config.mode, config.role) == ("zookeeper", "coordinator")
        assert len(config.quorum_members()) == 4
    added = home.growth(plan).add_coordinator()
    assert added.roles == ("coordinator", "controller", "observer")


def test_settings_of_either_mode_start_a_cluster_that_has_moved(home: Home) -> None:
    plan = home.start()
    growth = home.growth(plan)
    growth.prepare_move()
    growth.finish_move()
    for later in (plan, home.start(ZOOKEEPER), home.start(KRAFT), home.start(ZOOKEEPER)):
        assert where(later) == where(plan)
        roles = {str(node.name): node.roles for node in later.nodes}
        assert roles["coordinator-1"] == ("controller",)
        assert roles["observer-1"] == ("controller", "observer")
        assert later.settings.cluster.mode == "kraft"
        config = later.node_config(later.find("coordinator-1"), 1)
        assert (config.mode, config.role) == ("kraft", "controller")
        assert len(config.quorum_members()) == 4
    with pytest.raises(ConfigError, match="already"):
        growth.prepare_move()
    with pytest.raises(ConfigError, match="a quorum's size"):
        home.start(ZOOKEEPER.replace("coordinators = 3", "coordinators = 5"))
    with pytest.raises(ConfigError, match="that are brokers too"):
        home.start(KRAFT.replace("separate = true", ""))


def test_a_coordinator_that_was_removed_before_the_move_does_not_come_back(home: Home) -> None:
    growth = home.growth(home.start())
    growth.add_coordinator()
    growth.remove(NodeName("coordinator-2"))
    growth.prepare_move()
    growth.finish_move()
    for text in (ZOOKEEPER, KRAFT):
        names = [node.name for node in home.start(text).nodes if "controller" in node.roles]
        assert sorted(names) == ["coordinator-1", "coordinator-3", "coordinator-4", "observer-1"]


def test_numbers_that_were_given_stay_and_shared_ones_cannot_move(home: Home) -> None:
    plan = home.start()
    data_dir = DataDir(plan.data_dir)
    before = data_dir.read_cluster()
    assert before is not None
    old = [
        node if node.name != "coordinator-1" else type(node)(
            NodeId(1), node.name, node.roles, node.peers, node.clients, node.events
        )
        for node in before.nodes
    ]  # fmt: skip
    data_dir.write_cluster(before._replace(nodes=tuple(old)))
    later = home.start()
    assert later.find("coordinator-1").id == 1, "it is who it is to the others, and to its log"
    with pytest.raises(ConfigError, match="replace them first"):
        home.growth(later).prepare_move()


def test_a_broker_added_in_mode_kraft_gets_a_number_that_no_node_has(home: Home) -> None:
    plan = home.start(KRAFT.replace("separate = true", "").replace("brokers = 2", "brokers = 4"))
    added = home.growth(plan).add_broker("cellar")
    assert (added.name, added.id, added.rack) == ("broker-5", 5, "cellar")


def test_hosts_move_one_by_one_and_agree_on_who_is_where(home: Home) -> None:
    before = {host: home.start(ZOOKEEPER + SEVERAL, host) for host in HOSTS}
    names = {node.name: node.id for node in (*before[HOSTS[0]].nodes, *before[HOSTS[0]].elsewhere)}
    for host in HOSTS:
        home.growth(before[host]).prepare_move()
    for text in (ZOOKEEPER, KRAFT):
        for host in HOSTS:
            growth = home.growth(before[host])
            if text == KRAFT:
                growth.finish_move()
            later = home.start(text + SEVERAL, host)
            assert where(later) == where(before[host])
            everywhere = later.node_config(later.nodes[0], 1).nodes
            assert {node.name: node.id for node in everywhere} == names
            assert len(later.node_config(later.nodes[0], 1).quorum_members()) == 4
            assert all("controller" in one.roles for one in everywhere if "coord" in one.name)


@pytest.mark.parametrize("text", [ZOOKEEPER, KRAFT])
@pytest.mark.parametrize("restarted", [False, True])
def test_a_host_that_is_replaced_takes_its_place_in_a_cluster_that_has_moved(
    home: Home, monkeypatch: pytest.MonkeyPatch, text: str, restarted: bool
) -> None:
    """Under the names that the others call its nodes by, and as the others run theirs by now."""
    before = {host: home.start(ZOOKEEPER + SEVERAL, host) for host in HOSTS}
    for host in HOSTS:
        home.growth(before[host]).prepare_move()
    running = before[HOSTS[0]].node_config(before[HOSTS[0]].nodes[0], 1)
    if restarted:
        home.growth(before[HOSTS[0]]).finish_move()
        running = before[HOSTS[0]].node_config(before[HOSTS[0]].nodes[0], 1)
    here = HOSTS[2]
    shutil.rmtree(before[here].data_dir)
    described = DescribeNodeResponse(
        0, running.cluster_id, running.mode, running.name, running.incarnation, running.nodes
    )

    def ask_all(doors: list[str], *_: object, **__: object) -> list[DescribeNodeResponse | None]:
        assert doors
        assert not any(here in door for door in doors)
        return [None, described, *[None] * (len(doors) - 2)]

    monkeypatch.setattr("odradek.cluster.question.ask_all", ask_all)
    if text == KRAFT and not restarted:
        with pytest.raises(ConfigError, match="`odradek migrate finish` here"):
            home.start(text + SEVERAL, here, rebuild=True)
        return
    later = home.start(text + SEVERAL, here, rebuild=True)
    assert where(later) == where(before[here])
    assert programs(later) == {
        "coordinator-3": "nodes.kraft",
        **{n: p for n, p in programs(before[here]).items() if "broker" in n},
    }
    config = later.node_config(later.find("coordinator-3"), 1)
    assert config.mode == running.mode
    assert {node.name: node.roles for node in config.nodes} == {
        node.name: node.roles for node in running.nodes
    }
    assert home.start(text + SEVERAL, here).nodes == later.nodes
