"""Whole clusters in mode kraft, simulated: who reigns, what survives, who may join."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from nodes.broker.cluster import metadata
from nodes.broker.server import BrokerServer
from nodes.config import EXIT_CONFIG, BrokerConfig
from nodes.kraft.controller import DedicatedController
from nodes.kraft.server import KraftServer
from nodes.runtime.measures import exposition
from nodes.settings import ConfigError
from odradek.cluster.node_window import Metrics
from tests.simulation.asker import Asker
from tests.simulation.cluster import SUPERVISOR_KEY, Cluster
from tests.simulation.shape import Shape
from tests.simulation.world import World
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.ids import NO_NODE, MetadataVersion, NodeId
from transport.wire.messages import Message
from transport.wire.messages.acls import (
    AclBinding,
    AclEntry,
    AclOperation,
    AclPermission,
    CreateAclsRequest,
    PatternType,
    ResourceType,
)
from transport.wire.messages.cluster import (
    ForgetNodeRequest,
    ForgetNodeResponse,
    removal_proof,
)
from transport.wire.messages.ensemble import (
    ChangeVotersRequest,
    ChangeVotersResponse,
    DescribeQuorumRequest,
    DescribeQuorumResponse,
)

COMBINED = Shape(mode="kraft")
SEPARATE = Shape(mode="kraft", separate=True)
SINGLE = Shape(
    mode="kraft",
    coordinators=1,
    brokers=1,
    broker=BrokerConfig(num_partitions=1, default_replication_factor=1, min_insync_replicas=1),
)
MIXED = Shape(mode="kraft", coordinators=3, brokers=5)
"""Three nodes that are both, two brokers that follow."""
KINDS = ("combined", "separate", "mixed", "single")


def cluster_of(shape: Shape, seed: int = 1) -> Cluster:
    cluster = Cluster(World(seed), shape)
    wait(cluster, lambda: are_ready(cluster))
    return cluster


def wait(cluster: Cluster, condition: Callable[[], bool], limit_ms: int = 10_000) -> None:
    assert cluster.world.run_until(condition, limit_ms=limit_ms), cluster.world.trace[-20:]
    cluster.check()


def are_ready(cluster: Cluster) -> bool:
    brokers = [cluster.broker(name) for name in cluster.names("broker")]
    positions = {broker.context.image.position for broker in brokers if broker._started}
    ready = all(broker.is_ready() for broker in brokers)
    return ready and len(positions) == 1 and controller(cluster) != ""


def member(cluster: Cluster, name: str) -> KraftServer:
    program = cluster.processes[name].program
    assert isinstance(program, KraftServer)
    return program


def controller(cluster: Cluster) -> str:
    """Return who is the active controller; empty: nobody, or there is more than one."""
    active = [
        name
        for name in cluster.names("controller")
        if cluster.processes[name].alive
        and member(cluster, name)._started
        and member(cluster, name).broker.controller.is_active
    ]
    return active[0] if len(active) == 1 else ""


@pytest.mark.parametrize("shape", [COMBINED, SEPARATE, MIXED, SINGLE], ids=KINDS)
def test_every_kind_of_cluster_comes_up_under_its_quorums_leader(shape: Shape) -> None:
    cluster = cluster_of(shape)
    leader = member(cluster, controller(cluster))
    assert leader.coordinator.reign == int(leader.broker.controller.epoch)
    for name in cluster.names("broker"):
        channel = cluster.broker(name).channel
        assert channel.controller == leader.broker.context.id
        assert cluster.broker(name).election is None


@pytest.mark.parametrize("shape", [COMBINED, SEPARATE, MIXED], ids=KINDS[:3])
def test_the_next_leader_reigns_with_a_later_epoch_and_knows_everything(shape: Shape) -> None:
    cluster = cluster_of(shape)
    before = controller(cluster)
    position = member(cluster, before).broker.context.image.position
    cluster.kill(before)
    wait(cluster, lambda: controller(cluster) not in ("", before), 1_000)
    after = member(cluster, controller(cluster)).broker
    assert after.controller.epoch > position.controller_epoch
    assert after.context.image.position >= position
    wait(cluster, lambda: are_ready(cluster))


@pytest.mark.parametrize("shape", [COMBINED, SEPARATE], ids=KINDS[:2])
def test_each_node_tells_of_both_its_parts_as_one(shape: Shape) -> None:
    cluster = cluster_of(shape)
    clocks = {name: cluster.processes[name].clock for name in cluster.names("controller")}
    seen = {name: member(cluster, name).outlook(clock.now()) for name, clock in clocks.items()}
    assert {outlook.state for outlook in seen.values()} == {"ready"}
    metrics = {name: Metrics(exposition(outlook.measures)) for name, outlook in seen.items()}
    for name, outlook in seen.items():
        names = [measure.name for measure in outlook.measures]
        assert len(names) == len(set(names)), "Prometheus reads each name once"
        reigns = name == controller(cluster)
        assert metrics[name].total("active_controller") == metrics[name].total("raft_leads")
        assert (outlook.controller, outlook.leader) == (reigns, reigns)


def test_a_dead_broker_is_fenced_and_back_once_it_has_caught_up() -> None:
    cluster = cluster_of(MIXED)
    image = member(cluster, controller(cluster)).broker.context.image
    before = image.brokers[NodeId(5)]
    cluster.kill("broker-5")
    wait(cluster, lambda: not image.brokers[NodeId(5)].alive, 500)

    def registered() -> bool:
        joining = cluster.broker("broker-5")
        here = joining._started and joining.membership.is_registered
        assert not here or joining.metadata.is_current, "registered while it was behind"
        return here

    wait(cluster, registered)
    wait(cluster, lambda: are_ready(cluster))
    assert image.brokers[NodeId(5)].epoch > before.epoch


def test_a_leader_that_may_have_been_replaced_tells_no_broker_that_starts_what_the_present_is() -> (
    None
):
    """M4: what the next leader has committed by then would be unknown to it."""
    cluster = cluster_of(MIXED)
    leader = controller(cluster)
    cluster.processes["broker-5"].on_exit = None
    cluster.kill("broker-5")
    wait(cluster, lambda: not cluster.processes["broker-5"].alive)
    cluster.world.run_for(200)
    others = [name for name in cluster.names("broker") if name not in (leader, "broker-5")]
    network = cluster.network
    for name in others:
        network.part(leader, name)
        network.part("broker-5", name)
    cluster.start("broker-5")
    joining = cluster.broker("broker-5")
    wait(cluster, lambda: joining._started and joining.channel.controller != NO_NODE)
    assert member(cluster, leader).broker.controller.is_active, "it does not know"
    cluster.world.run_for(2_000)
    assert not member(cluster, leader).broker.controller.is_active
    assert not joining.metadata.is_current
    network.heal_all()
    wait(cluster, lambda: are_ready(cluster))


def test_all_restart_with_the_image_they_had() -> None:
    cluster = cluster_of(COMBINED)
    position = member(cluster, controller(cluster)).broker.context.image.position
    for name in cluster.names():
        cluster.lose_power(name)
    wait(cluster, lambda: are_ready(cluster))
    after = member(cluster, controller(cluster)).broker.context.image
    assert after.position > position
    assert sorted(after.brokers) == [1, 2, 3]


@pytest.mark.parametrize("bound", ["HISTORY_DELTAS", "HISTORY_RECORDS"])
@pytest.mark.parametrize("shape", [COMBINED, SEPARATE], ids=KINDS[:2])
def test_a_member_tells_of_every_change_that_its_log_holds(
    shape: Shape, bound: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page after the other, none of which has more deltas, or more records, than are kept."""
    monkeypatch.setattr(metadata, bound, 2)
    cluster = cluster_of(shape)
    name = controller(cluster)
    for victim in (name, *cluster.names("broker")):
        cluster.lose_power(victim)
        wait(cluster, lambda: are_ready(cluster))
    told: list[int] = [1]
    known = member(cluster, name).broker.metadata
    newest = member(cluster, controller(cluster)).broker.context.image
    wait(cluster, lambda: known.image.position == newest.position)
    while page := known._log_after(MetadataVersion(told[-1])).deltas:
        weights = [1 if bound == "HISTORY_DELTAS" else len(delta.records) for delta in page]
        assert sum(weights[:-1]) < 2
        told += [int(delta.version) for delta in page]
    assert told == list(range(1, known.image.position.version + 1))
    assert len(told) > 3, "more than is in memory"


def test_a_dedicated_controller_has_no_broker() -> None:
    cluster = cluster_of(SEPARATE)
    for name in cluster.names("controller"):
        assert isinstance(member(cluster, name).broker, DedicatedController)
    assert all(
        isinstance(cluster.processes[n].program, BrokerServer) for n in cluster.names("broker")
    )


def test_a_data_directory_of_another_node_is_refused() -> None:
    cluster = cluster_of(SINGLE)
    node = cluster.nodes[0]
    cluster.disks[node.name].write_file(
        "meta.json", b'{"cluster_id":"another","name":"node-1"}', durable=True
    )
    server = cluster._program(node)
    process = cluster.processes[node.name]
    with pytest.raises(ConfigError, match="belongs to node-1 of cluster another"):
        server.start(process, process.now())


def test_a_plain_broker_of_an_earlier_version_ends_before_it_is_registered() -> None:
    cluster = cluster_of(MIXED)
    reigning = member(cluster, controller(cluster)).broker
    entry = AclEntry("alice", "*", AclOperation.READ, AclPermission.ALLOW)
    request = CreateAclsRequest(
        (AclBinding(ResourceType.TOPIC, PatternType.LITERAL, "t", entry),), 1_000
    )
    due_ms = cluster.processes[controller(cluster)].now().mono_ms + 1_000
    ask = partial(reigning.controller.ask_here, request, lambda *_: None, due_ms)
    cluster.processes[controller(cluster)].do(ask)
    wait(cluster, lambda: len(reigning.context.image.acls) == 1 and are_ready(cluster))
    cluster.kill("broker-5")
    wait(cluster, lambda: not reigning.context.image.is_alive(NodeId(5)), 500)
    process = cluster.processes["broker-5"]
    if not process.alive:
        process = cluster.start("broker-5")
    process.on_exit = None  # so that it stays as it ends
    wait(cluster, lambda: cluster.broker("broker-5")._started)
    cluster.broker("broker-5").context.formats = 0
    wait(cluster, lambda: not process.alive)
    assert process.status == EXIT_CONFIG
    assert "broker-5 reads metadata up to format 0" in process.fault
    tree = member(cluster, controller(cluster)).coordinator.tree
    assert tree.get("/brokers/ids/5") is None, "it was never counted on"


def tell(cluster: Cluster, brokers: list[str]) -> list[DescribeQuorumResponse]:
    """Ask each of these brokers how the members of the quorum are."""
    asker = Asker([cluster.broker(name).context.config.endpoints().clients for name in brokers])
    process = cluster.add_client(asker)
    told: list[DescribeQuorumResponse] = []

    def note(answer: Message, _payload: object, _now: Now) -> None:
        assert isinstance(answer, DescribeQuorumResponse), answer
        told.append(answer)

    cluster.world.run_for(100)
    for link in asker.links:
        send = partial(asker.calls.request, link, DescribeQuorumRequest(), note, timeout_ms=9_000)
        process.do(send)
    wait(cluster, lambda: len(told) == len(brokers))
    return told


def order(cluster: Cluster, endpoint: str, body: Message) -> Message:
    """Ask a node something, at one of its doors."""
    asker = Asker([endpoint])
    process = cluster.add_client(asker)
    told: list[Message] = []
    cluster.world.run_for(100)
    (link,) = asker.links
    send = partial(asker.calls.request, link, body, lambda *one: told.append(one[0]))
    process.do(partial(send, timeout_ms=4_000))
    wait(cluster, lambda: bool(told))
    return told[0]


def test_a_member_of_the_quorum_that_was_removed_is_forgotten_by_both_parts_of_the_others() -> None:
    cluster = cluster_of(SEPARATE)
    leader = controller(cluster)
    gone, other = (name for name in cluster.names("controller") if name != leader)
    nodes = {str(node.name): node for node in cluster.nodes}
    node = nodes[gone]
    news = ForgetNodeRequest(node.name, node.id, removal_proof(SUPERVISOR_KEY, node.name, node.id))
    behind = order(cluster, nodes[leader].peers, news)
    assert behind == ForgetNodeResponse(int(ErrorCode.SERVER_BEHIND)), "it votes"
    removal = ChangeVotersRequest(SUPERVISOR_KEY, node.id, votes=False)
    answer = order(cluster, nodes[leader].clients, removal)
    assert isinstance(answer, ChangeVotersResponse)
    assert not answer.error
    cluster.world.run_for(200)
    for name in (leader, other):
        assert order(cluster, nodes[name].peers, news) == ForgetNodeResponse(0)
        told = member(cluster, name)
        assert node not in told.coordinator._context.config.nodes
        assert node.id not in told.coordinator._quorum._raft._member.peers
        assert node not in told.broker.context.config.nodes


def test_who_asks_how_the_quorum_is_while_it_elects_a_leader_hears_of_the_next() -> None:
    cluster = cluster_of(MIXED)
    leader = controller(cluster)
    before = member(cluster, leader).broker.context.id
    others = [name for name in cluster.names("broker") if name != leader]
    cluster.processes[leader].on_exit = None
    cluster.kill(leader)
    for one in tell(cluster, others):
        assert one.leader not in (before, NO_NODE)


@pytest.mark.parametrize("shape", [SEPARATE, MIXED], ids=("separate", "mixed"))
def test_any_broker_tells_how_the_members_of_the_quorum_are(shape: Shape) -> None:
    cluster = cluster_of(shape)
    leader = controller(cluster)
    others = [name for name in cluster.names("controller") if name != leader]
    cluster.processes[others[0]].on_exit = None
    cluster.kill(others[0])
    brokers = [name for name in cluster.names("broker") if name != others[0]]
    cluster.world.run_for(500)
    told = tell(cluster, brokers)
    reigning = member(cluster, leader)
    node = reigning.broker.context.id
    for one in told:
        assert (one.error, one.leader, one.term) == (0, node, reigning.coordinator.reign)
        by_node = {each.node: each for each in one.members}
        assert all(each.votes for each in one.members)
        assert len(by_node) == 3
        gone = by_node[member(cluster, others[0]).broker.context.id]
        assert gone.silent_ms >= 500
        assert by_node[node].last_index >= one.commit_index > 0
        assert by_node[node].silent_ms == 0
        assert by_node[member(cluster, others[1]).broker.context.id].silent_ms < 500
