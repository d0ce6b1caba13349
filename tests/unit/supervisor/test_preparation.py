"""What a start makes of a data directory and of settings that were changed since: nothing is left behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodes.settings import ConfigError
from supervisor.data_dir import DataDir
from supervisor.growth import Growth
from supervisor.launch import Launch
from supervisor.plan import ClusterPlan
from supervisor.preparation import prepare
from transport.wire.ids import NodeName

HERE, THERE, THIRD = "127.0.0.1", "127.0.0.2", "127.0.0.3"


def config(
    brokers: int = 1, coordinators: int = 1, hosts: tuple[str, ...] = (), observers: int = 0
) -> str:
    text = f"[cluster]\nname = 'c'\ncoordinators = {coordinators}\nbrokers = {brokers}\n"
    text += f"observers = {observers}\n"
    if hosts:
        text += "id = 'one-for-all'\nbase_port = 18400\nbind = '127.0.0.1'\n"
    return text + "".join(f"[[host]]\naddress = '{host}'\n" for host in hosts)


def hosts_of(plan: ClusterPlan) -> set[str]:
    return {node.clients.removeprefix("tcp://").partition(":")[0] for node in plan.nodes}


def start(folder: Path, text: str, here: str = "") -> ClusterPlan:
    """Prepare a start, and let what it would start have data."""
    path, data_dir = folder / "c.toml", DataDir(folder / "data")
    path.write_text(text)
    try:
        plan = prepare(Launch(str(path), data_dir.path, here=here), data_dir)
    finally:
        data_dir.unlock()
    for node in plan.nodes:
        (data_dir.make_data_of(node.name) / "meta.json").write_text("{}")
    return plan


def names(plan: ClusterPlan) -> list[str]:
    return [str(node.name) for node in plan.nodes]


def test_no_broker_is_left_out_for_another_that_was_removed(tmp_path: Path) -> None:
    """Fewer brokers in the settings, as there are: numbered from one on they mean others."""
    Growth(start(tmp_path, config(brokers=3)), DataDir(tmp_path / "data")).remove(
        NodeName("broker-1")
    )
    with pytest.raises(ConfigError, match="has brokers = 3, and without broker-3 it would lose"):
        start(tmp_path, config(brokers=2))
    assert names(start(tmp_path, config(brokers=3)))[1:] == ["broker-2", "broker-3"]
    Growth(start(tmp_path, config(brokers=3)), DataDir(tmp_path / "data")).remove(
        NodeName("broker-3")
    )
    assert names(start(tmp_path, config(brokers=2)))[1:] == ["broker-2"]


def test_no_observer_is_left_out_that_may_vote_by_now(tmp_path: Path) -> None:
    """The quorum would count on it still, and no command could take it the vote: nobody knows it."""
    text = config(observers=2)
    Growth(start(tmp_path, text), DataDir(tmp_path / "data")).remove(NodeName("observer-1"))
    with pytest.raises(ConfigError, match=r"observers = 2, and observer-2 may vote .* remove obs"):
        start(tmp_path, config())
    Growth(start(tmp_path, text), DataDir(tmp_path / "data")).remove(NodeName("observer-2"))
    assert names(start(tmp_path, config())) == ["coordinator-1", "broker-1"]


def test_a_host_does_not_begin_as_another_one(tmp_path: Path) -> None:
    """By a slip of --here, where all listen at one address: a second coordinator-2, without its votes."""
    text = config(2, 2, (HERE, THERE))
    assert names(start(tmp_path, text, HERE)) == ["coordinator-1", "broker-1"]
    with pytest.raises(ConfigError, match="broker-1 ran here, and these settings and --here"):
        start(tmp_path, text, THERE)
    assert names(start(tmp_path, text, HERE)) == ["coordinator-1", "broker-1"]


def test_a_coordinator_is_dealt_to_another_host_with_its_data_alone(tmp_path: Path) -> None:
    two, three = config(1, 3, (HERE, THERE)), config(1, 3, (HERE, THERE, THIRD))
    assert "coordinator-3" in names(start(tmp_path, two, HERE))
    with pytest.raises(
        ConfigError, match=r"coordinator-3 ran here, .* move .*/nodes/coordinator-3"
    ):
        start(tmp_path, three, HERE)
    here = DataDir(tmp_path / "data").node_dir("coordinator-3")
    here.rename(tmp_path / "taken along")
    assert "coordinator-3" not in names(start(tmp_path, three, HERE))
    with pytest.raises(
        ConfigError, match=r"coordinator-3 ran on another host, .* without its votes"
    ):
        start(tmp_path, two, HERE)
    (tmp_path / "taken along").rename(here)
    assert "coordinator-3" in names(start(tmp_path, two, HERE))


def test_a_cluster_of_one_host_does_not_begin_anew_on_several(tmp_path: Path) -> None:
    """Two of three coordinators would, with empty logs, and bring the third to forget its own."""
    several = config(1, 3, (HERE, THERE, THIRD))
    one = several.partition("[[host]]")[0].replace("base_port = 18400\n", "")
    assert len(start(tmp_path, one).nodes) == 4
    with pytest.raises(ConfigError, match="coordinator-2 ran here"):
        start(tmp_path, several, HERE)
    for name in ("coordinator-2", "coordinator-3"):
        DataDir(tmp_path / "data").node_dir(name).rename(tmp_path / name)
    plan = start(tmp_path, several, HERE)
    assert names(plan) == ["coordinator-1", "broker-1"]
    assert [str(node.name) for node in plan.elsewhere] == ["coordinator-2", "coordinator-3"]
    there = tmp_path / "there"
    (there / "data" / "nodes").mkdir(parents=True)
    (tmp_path / "coordinator-2").rename(there / "data" / "nodes" / "coordinator-2")
    meta = there / "data" / "nodes" / "coordinator-2" / "data" / "meta.json"
    meta.write_text('{"cluster_id": "one-for-all", "name": "coordinator-2"}')
    assert names(start(there, several, THERE)) == ["coordinator-2"]


def test_what_was_removed_on_another_host_and_forgotten_here_stays_so(tmp_path: Path) -> None:
    text = config(1, 3, (HERE, THERE))
    plan = start(tmp_path, text, HERE)
    assert [str(node.name) for node in plan.elsewhere] == ["coordinator-2"]
    Growth(plan, DataDir(tmp_path / "data")).forget(NodeName("coordinator-2"))
    assert start(tmp_path, text, HERE).elsewhere == ()


def test_a_host_without_any_node_left_says_so(tmp_path: Path) -> None:
    growth = Growth(start(tmp_path, config()), DataDir(tmp_path / "data"))
    for name in ("coordinator-1", "broker-1"):
        growth.remove(NodeName(name))
    with pytest.raises(ConfigError, match=r"every node that ran on .* was removed"):
        start(tmp_path, config())


def test_a_host_that_has_joined_a_cluster_of_mode_kraft_starts_again_without_a_config(
    tmp_path: Path,
) -> None:
    Growth(start(tmp_path, config()), DataDir(tmp_path / "data")).remove(NodeName("coordinator-1"))
    data_dir = DataDir(tmp_path / "data")
    before = data_dir.read_cluster()
    assert before is not None
    added = tuple(node.name for node in before.nodes)
    data_dir.write_cluster(before._replace(mode="kraft", added=added, joined=True))
    try:
        plan = prepare(Launch("local", data_dir.path), data_dir)
    finally:
        data_dir.unlock()
    assert names(plan) == ["broker-1"]
    assert plan.node_config(plan.nodes[0], 1).mode == "kraft"


def test_nodes_that_were_added_go_to_another_address_with_the_others(tmp_path: Path) -> None:
    """Of a machine that has another one now: no setting names them by themselves."""
    growth = Growth(start(tmp_path, config()), DataDir(tmp_path / "data"))
    added = {str(growth.add_broker("").name), str(growth.add_coordinator().name)}
    plan = start(tmp_path, config() + f"host = '{THERE}'\n")
    assert added < set(names(plan))
    assert hosts_of(plan) == {THERE}
    data_dir = DataDir(tmp_path / "data")
    before = data_dir.read_cluster()
    assert before is not None
    nodes = tuple(node for node in before.nodes if node.roles == ("broker",))
    joined = before._replace(nodes=nodes, added=tuple(node.name for node in nodes), joined=True)
    data_dir.write_cluster(joined)
    assert hosts_of(start(tmp_path, config())) == {THERE}, "as it was"
    assert hosts_of(start(tmp_path, config(), THIRD)) == {THIRD}


@pytest.mark.parametrize("hosts", [(), (HERE, THERE, THIRD)], ids=["one host", "several"])
def test_a_quorum_of_which_too_few_remember_does_not_begin_anew(
    tmp_path: Path, hosts: tuple[str, ...]
) -> None:
    """As where a disk is not mounted: they would elect one of them, with an empty log."""
    text, here = config(1, 3, hosts), HERE if hosts else ""
    plan, data_dir = start(tmp_path, text, here), DataDir(tmp_path / "data")
    growth = Growth(plan, data_dir)
    mine = [node.name for node in plan.nodes if "coordinator" in node.roles]
    for name in mine:
        growth.note_served(name)
    assert plan.served == tuple(mine)
    data_dir.node_dir(mine[0]).rename(tmp_path / "one")
    again = start(tmp_path, text, here)
    assert (names(again), again.served) == (names(plan), plan.served), "the others fill it anew"
    if hosts:
        return
    for name in mine[1:]:
        data_dir.node_dir(name).rename(tmp_path / name)
    with pytest.raises(ConfigError, match=r"coordinator-2, coordinator-3 served here, .* mounted"):
        start(tmp_path, text)
    (tmp_path / mine[1]).rename(data_dir.node_dir(mine[1]))
    assert names(start(tmp_path, text)) == names(plan)


def test_observers_that_have_forgotten_are_in_nobodys_way(tmp_path: Path) -> None:
    text, data_dir = config(1, 3, observers=3), DataDir(tmp_path / "data")
    plan = start(tmp_path, text)
    growth = Growth(plan, data_dir)
    for name in names(plan)[:6]:
        growth.note_served(NodeName(name))
    observers = [node.name for node in plan.nodes if "observer" in node.roles]
    for name in observers:
        data_dir.node_dir(name).rename(tmp_path / name)
    assert names(start(tmp_path, text)) == names(plan)
    data_dir.node_dir("coordinator-1").rename(tmp_path / "one")
    data_dir.node_dir("coordinator-2").rename(tmp_path / "two")
    assert names(start(tmp_path, text)) == names(plan), "they may be those who vote by now"
