"""From people's TOML to a plan, and what is said of TOML that cannot be."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from nodes.config import check_node_config
from nodes.settings import ConfigError
from supervisor.config_file import load_settings, read_settings, shipped_names
from supervisor.member import PORTS_EACH, NodePorts
from supervisor.plan import ClusterPlan
from supervisor.settings import Settings
from transport.sockets.certificate import TlsFiles
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


def test_a_folder_does_not_stand_in_the_way_of_a_shipped_config_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("kraft", "mine"):
        Path(name).mkdir()
    assert load_settings("kraft").cluster.mode == "kraft"
    with pytest.raises(ConfigError, match="'mine' is neither a file nor a shipped config"):
        load_settings("mine")


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
        ("brokers = 3\n", "brokers = … stands outside a section; write [cluster] above it"),
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
        (
            "[cluster]\nbrokers = 2\n[broker]\ndefault_replication_factor = 3\n",
            "default_replication_factor = 3 can never be reached with [cluster] brokers = 2",
        ),
        (
            "[cluster]\nkafka_port = 65000\nbrokers = 600\n",
            "broker-537 would have port 65536, and 65535 is the last there is",
        ),
        ("[cluster]\nbase_port = -50\n", "[cluster] base_port = -50 is below 0; raise it"),
        ("[cluster]\nobservers = -1\n", "[cluster] observers = -1 is below 0; raise it"),
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


def test_a_node_can_have_ports_and_a_rack_of_its_own() -> None:
    settings = settings_of("[[node]]\nname = 'broker-2'\nclients_port = 9092\nrack = 'b'\n")
    special = next(member for member in settings.members() if member.name == "broker-2")
    assert (special.ports, special.host, special.rack) == (
        NodePorts(clients=9092),
        "127.0.0.1",
        "b",
    )


HOSTS = """
[cluster]
id = "one-for-all"
base_port = 9000
brokers = 4
[[host]]
address = "10.0.0.1"
[[host]]
address = "10.0.0.2"
rack = "cellar"
"""


def test_the_nodes_of_each_kind_are_dealt_to_the_hosts_in_turn() -> None:
    members = settings_of(HOSTS).members()
    assert [(str(member.name), member.host, member.rack) for member in members] == [
        ("coordinator-1", "10.0.0.1", "10.0.0.1"),
        ("coordinator-2", "10.0.0.2", "cellar"),
        ("coordinator-3", "10.0.0.1", "10.0.0.1"),
        ("broker-1", "10.0.0.1", "10.0.0.1"),
        ("broker-2", "10.0.0.2", "cellar"),
        ("broker-3", "10.0.0.1", "10.0.0.1"),
        ("broker-4", "10.0.0.2", "cellar"),
    ]
    ports = [port for member in members for port in member.ports[:PORTS_EACH]]
    assert ports == list(range(9000, 9000 + 4 * len(members)))


def test_a_host_runs_its_own_nodes_and_knows_where_the_others_are() -> None:
    settings = settings_of(HOSTS)
    mine, elsewhere = settings.placed("10.0.0.2", settings.members())
    assert [str(member.name) for member in mine] == ["coordinator-2", "broker-2", "broker-4"]
    assert [str(node.name) for node in elsewhere] == [
        "coordinator-1",
        "coordinator-3",
        "broker-1",
        "broker-3",
    ]
    assert elsewhere[0].clients == "tcp://10.0.0.1:9001"


def test_a_node_is_moved_to_a_host_of_its_own() -> None:
    settings = settings_of(f"{HOSTS}[[node]]\nname = 'broker-1'\nhost = '10.0.0.9'\n")
    mine, _ = settings.placed("10.0.0.9", settings.members())
    assert [str(member.name) for member in mine] == ["broker-1"]


def test_of_several_hosts_one_must_be_named() -> None:
    settings = settings_of(HOSTS)
    with pytest.raises(ConfigError, match=r"places nodes on 10\.0\.0\.1, 10\.0\.0\.2; say which"):
        settings.placed("", settings.members())
    with pytest.raises(ConfigError, match=r"places no node on 10\.0\.0\.3; did you mean"):
        settings.placed("10.0.0.3", settings.members())


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        (HOSTS.replace('id = "one-for-all"', ""), 'write [cluster] id = "'),
        (HOSTS.replace("base_port = 9000", ""), "give [cluster] base_port"),
        (HOSTS.replace("10.0.0.2", "10.0.0.1"), "each [[host]] needs an address of its own"),
        (HOSTS.replace('address = "10.0.0.2"', ""), "each [[host]] needs an address of its own"),
        ("host = 5\n", "write [[host]] above each"),
    ],
)
def test_hosts_that_cannot_find_each_other_are_refused(text: str, fix: str) -> None:
    assert fix in refused(text)


def test_a_node_listens_where_bind_says_and_is_told_of_by_its_host() -> None:
    settings = settings_of("[cluster]\nhost = 'kafka.example'\nbind = '0.0.0.0'\n")
    nodes = tuple(member.endpoints(NodePorts(1, 2, 3, 4)) for member in settings.members())
    plan = ClusterPlan(settings, ClusterId("c"), "key", Path("/nowhere"), nodes)
    config = plan.node_config(nodes[0], 1)
    assert config.endpoints().peers == "tcp://kafka.example:1"
    assert config.bound(config.endpoints().peers) == "tcp://0.0.0.0:1"
    assert config.bound(config.endpoints().http) == "http://0.0.0.0:4"


def test_the_quorum_listens_for_zookeepers_clients_at_ports_of_its_own() -> None:
    settings = settings_of("[cluster]\nzookeeper_port = 2181\nobservers = 1\nbase_port = 9000\n")
    ports = {str(member.name): member.ports.zookeeper for member in settings.members()}
    assert list(ports.values()) == [2181, 2182, 2183, 2184, None, None, None]
    assert [member.ports.peers for member in settings.members()] == list(range(9000, 9028, 4))
    of_kraft = settings_of("[cluster]\nmode = 'kraft'\nbrokers = 4\nzookeeper_port = -1\n")
    assert [member.ports.zookeeper for member in of_kraft.members()] == [0, 0, 0, None]
    assert {member.ports.zookeeper for member in settings_of("").members()} == {None}
    coordinator, broker = settings.members()[0], settings.members()[-1]
    assert coordinator.endpoints(coordinator.ports).zookeeper == "tcp://127.0.0.1:2181"
    assert broker.endpoints(broker.ports).zookeeper == ""
    assert settings.ports_of_added(("coordinator", "observer")) == NodePorts(zookeeper=0)
    assert settings.ports_of_added(("broker",)) == NodePorts()
    assert settings_of("").ports_of_added(("coordinator",)) == NodePorts()


def test_brokers_listen_for_kafkas_clients_at_ports_of_their_own() -> None:
    settings = settings_of("[cluster]\nkafka_port = 9092\nzookeeper_port = 2181\n")
    told = [(member.ports.zookeeper, member.ports.kafka) for member in settings.members()]
    assert told == [(2181, None), (2182, None), (2183, None)] + [
        (None, port) for port in (9092, 9093, 9094)
    ]
    of_kraft = settings_of("[cluster]\nmode = 'kraft'\nbrokers = 4\nkafka_port = -1\n")
    assert [member.ports.kafka for member in of_kraft.members()] == [0, 0, 0, 0]
    broker = settings.members()[-1]
    assert broker.endpoints(broker.ports).kafka == "tcp://127.0.0.1:9094"
    assert settings.ports_of_added(("broker",)) == NodePorts(kafka=0)


@pytest.mark.parametrize("name", ["zookeeper_port", "kafka_port"])
def test_a_listener_that_asks_for_no_keys_is_refused_beside_curve(name: str) -> None:
    text = f"[cluster]\n{name} = 2181\n[security]\ncurve = true\n"
    proofs = {"kafka_port": "sasl or tls_client_ca"}.get(name, "tls_client_ca")
    assert f"set {proofs} in [security], or {name} = 0" in refused(text)
    proof = "tls_certificate = 'a'\ntls_key = 'b'\ntls_client_ca = '/c'\n"
    assert settings_of(text + proof).security.tls_files() == TlsFiles(
        str(Path("a").absolute()), str(Path("b").absolute()), "/c"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tls_certificate = 'a'", "tls_certificate is nothing without tls_key"),
        ("tls_key = 'a'", "tls_key is nothing without tls_certificate"),
        (
            "curve = true\ntls_client_ca = 'a'",
            "shown by TLS alone: set tls_certificate and tls_key",
        ),
        (
            "tls_certificate = 'a'\ntls_key = 'b'\ntls_client_ca = 'c'",
            "set curve = true, or leave tls_client_ca out",
        ),
    ],
)
def test_what_of_tls_does_nothing_or_guards_half_is_refused(text: str, said: str) -> None:
    assert said in refused(f"[security]\n{text}\n")


def test_passwords_guard_kafkas_listener_and_no_other() -> None:
    text = "[cluster]\nkafka_port = 9092\n[security]\nsasl = true\n"
    assert "set curve = true, or sasl = false" in refused(text)
    settings = settings_of(f"{text}curve = true\n")
    plan = ClusterPlan(settings, ClusterId("c"), "key", Path("/nowhere"), ())
    assert plan.settings.security.sasl
    others = text.replace("kafka_port = 9092", "zookeeper_port = 2181")
    assert "set tls_client_ca in [security], or zookeeper_port = 0" in refused(
        f"{others}curve = true\n"
    )


def test_tls_by_itself_asks_for_nothing_else() -> None:
    settings = settings_of(
        "[cluster]\nkafka_port = -1\n[security]\ntls_certificate = '/a'\ntls_key = '/b'\n"
    )
    assert settings.security.tls_files() == TlsFiles("/a", "/b")
    assert settings_of("").security.tls_files() is None


def test_a_listeners_port_is_no_other_nodes() -> None:
    assert "port 9001 is given to" in refused(
        "[cluster]\nzookeeper_port = 9001\nbase_port = 9000\n"
    )


def test_a_node_that_is_not_there_names_the_nearest() -> None:
    settings = load_settings("local")
    nodes = tuple(member.endpoints(NodePorts(1, 2, 3, 4)) for member in settings.members())
    plan = ClusterPlan(settings, ClusterId("c"), "key", Path("/nowhere"), nodes)
    assert plan.find("broker-2").id == 2
    with pytest.raises(ConfigError, match="did you mean 'broker-2'"):
        plan.find("brokr-2")
