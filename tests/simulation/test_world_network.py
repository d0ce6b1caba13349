"""The simulated network has the manners of ZeroMQ over TCP."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from tests.simulation.network import Network
from tests.simulation.process import SimulatedProcess
from tests.simulation.world import World
from transport.driver.ports import LinkId, Origin, Ports
from transport.kernel import Now
from transport.sockets.options import HEARTBEAT_MS, HEARTBEAT_TIMEOUT_MS
from transport.wire.codec import Envelope, Kind
from transport.wire.messages.cluster import DescribeNodeRequest

SILENCE_MAX_MS = HEARTBEAT_TIMEOUT_MS + HEARTBEAT_MS + 500


@dataclass
class Recorder:
    """A program that only writes down what comes; a node echoes what it is asked."""

    echo: bool = False
    heard: list[object] = field(default_factory=list)
    """Correlation ids, and True or False for links."""
    ports: Ports | None = None

    def start(self, ports: Ports, now: Now) -> None:
        self.ports = ports

    def on_message(self, origin: Origin | LinkId, envelope: Envelope, now: Now) -> None:
        self.heard.append(envelope.correlation_id)
        if self.echo and isinstance(origin, Origin) and self.ports is not None:
            self.ports.wire.reply(origin, envelope)

    def on_link(self, link: LinkId, up: bool, now: Now) -> None:
        self.heard.append(up)

    def on_gap(self, gap_ms: int, now: Now) -> None:
        pass

    def end_turn(self, now: Now) -> None:
        pass

    def next_deadline_ms(self) -> int | None:
        return None

    def stop(self, now: Now) -> None:
        pass


class Pair:
    """A node, and a client with a link to it."""

    def __init__(self) -> None:
        self.world = World(7)
        self.network = Network(self.world)
        self.node, self.client = Recorder(echo=True), Recorder()
        self.start_node()
        self.client_process = SimulatedProcess(self.world, self.network, "client", self.client)
        self.link = self.client_process.connect("sim://node/clients")
        self.world.run_for(20)

    def start_node(self) -> None:
        endpoints = ["sim://node/clients", "sim://node/events"]
        self.node_process = SimulatedProcess(self.world, self.network, "node", self.node, endpoints)

    def send(self, number: int) -> bool:
        return self.client_process.send(self.link, message(number))


def message(number: int) -> Envelope:
    return Envelope(Kind.REQUEST, DescribeNodeRequest(), correlation_id=number)


@pytest.fixture
def pair() -> Pair:
    return Pair()


def test_a_link_comes_up_and_delivers_in_order(pair: Pair) -> None:
    for number in range(5):
        assert pair.send(number)
    pair.world.run_for(20)
    assert pair.node.heard == [0, 1, 2, 3, 4]
    assert pair.client.heard == [True, 0, 1, 2, 3, 4]


def test_a_netsplit_that_heals_in_time_only_delays(pair: Pair) -> None:
    cut = pair.network.cut([("client", "node")])
    pair.send(1)
    pair.world.run_for(3_000)
    assert pair.node.heard == []
    pair.network.heal(cut)
    pair.send(2)
    pair.world.run_for(4_000)
    assert pair.node.heard == [1, 2]
    assert pair.client.heard == [True, 1, 2], "the connection has never broken"


def test_cuts_heal_one_by_one(pair: Pair) -> None:
    one, other = (pair.network.cut([("client", "node")]) for _ in range(2))
    pair.send(1)
    pair.network.heal(one)
    pair.world.run_for(100)
    assert pair.node.heard == []
    pair.network.heal(other)
    pair.world.run_for(500)
    assert pair.node.heard == [1]


def test_a_lasting_netsplit_ends_the_connection_and_what_was_on_its_way(pair: Pair) -> None:
    cut = pair.network.cut([("client", "node"), ("node", "client")])
    pair.send(1)
    pair.world.run_for(SILENCE_MAX_MS)
    assert pair.client.heard == [True, False]
    assert not pair.send(2)
    pair.network.heal(cut)
    pair.world.run_for(3_000)
    assert pair.client.heard == [True, False, True]
    assert pair.node.heard == []


def test_one_way_silence_is_noticed_by_the_receiver_and_told_to_the_sender(pair: Pair) -> None:
    pair.network.cut([("client", "node")])
    pair.world.run_for(SILENCE_MAX_MS)
    assert pair.client.heard == [True, False], "the node's end has sent its last packet"


def test_a_killed_process_is_noticed_at_once_a_lost_power_only_in_time(pair: Pair) -> None:
    pair.node_process.kill()
    pair.world.run_for(10)
    assert pair.client.heard == [True, False]
    pair.start_node()
    pair.world.run_for(1_000)
    assert pair.client.heard == [True, False, True]
    pair.node_process.kill(powered=False)
    pair.world.run_for(5_000)
    assert pair.client.heard == [True, False, True], "half open: nobody has told"
    pair.world.run_for(SILENCE_MAX_MS)
    assert pair.client.heard == [True, False, True, False]


def test_a_host_that_is_back_resets_old_connections(pair: Pair) -> None:
    pair.node_process.kill(powered=False)
    pair.world.run_for(300)
    pair.start_node()
    pair.world.run_for(2_000)
    assert pair.client.heard == [True, False, True]


def test_a_frozen_process_reads_late_and_finds_out_late(pair: Pair) -> None:
    pair.node_process.freeze()
    pair.send(1)
    pair.world.run_for(SILENCE_MAX_MS)
    assert pair.client.heard == [True, False], "its heartbeats went unanswered"
    assert pair.node.heard == []
    pair.node_process.thaw()
    pair.world.run_for(1_000)
    assert pair.node.heard == [1], "sent over the connection that is gone since"
    assert pair.client.heard == [True, False, True], "and its answer found no way"


def test_a_late_answer_of_the_connection_before_follows_the_news_of_its_end(pair: Pair) -> None:
    """As in the loop: links first, and a DEALER reads what it had before the break."""
    pair.client_process.freeze()
    pair.send(1)
    pair.world.run_for(10)
    pair.node_process.kill()
    pair.world.run_for(10)
    pair.client_process.thaw()
    pair.world.run_for(10)
    assert pair.client.heard == [True, False, 1]


def test_events_before_the_subscription_has_arrived_are_missed(pair: Pair) -> None:
    pair.client_process.subscribe("sim://node/events", [b"a"])
    while pair.client.heard.count(True) < 2:
        pair.node_process.publish(b"a", message(11))
        pair.world.run_for(1)
    pair.world.run_for(10)
    assert 11 not in pair.client.heard
    pair.node_process.publish(b"a", message(12))
    pair.node_process.publish(b"b", message(13))
    pair.world.run_for(10)
    assert 12 in pair.client.heard
    assert 13 not in pair.client.heard


def test_a_reader_that_is_stuck_bounds_what_is_queued_for_it(pair: Pair) -> None:
    pair.node_process.freeze()
    taken = sum(pair.send(number) for number in range(5_000))
    assert 1_000 <= taken < 5_000
