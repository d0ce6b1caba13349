"""Where the other brokers are: as the settings say, until one comes back elsewhere."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from nodes.broker.cluster.peers import Peers
from tests.simulation.disk import SimulatedDisk
from tests.unit.broker.fleet import KEY, Fleet, endpoints
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.ids import CLUSTER_PRINCIPAL, BrokerEpoch, NodeId, NodeName
from transport.wire.messages import Message, Refusal
from transport.wire.messages.cluster import (
    DescribeNodeRequest,
    ForgetNodeRequest,
    HealthRequest,
    HealthResponse,
    NodeEndpoints,
    removal_proof,
)


@pytest.fixture
def fleet() -> Fleet:
    fleet = Fleet()
    fleet.settle()
    return fleet


def moved(fleet: Fleet, *numbers: int) -> tuple[NodeEndpoints, ...]:
    """Return the nodes as the settings have them once some brokers have moved."""
    elsewhere = {NodeId(number): endpoints(number, f"moved-{number}") for number in numbers}
    coordinator, *brokers = fleet.nodes
    return (coordinator, *(elsewhere.get(broker.id, broker) for broker in brokers))


def start(fleet: Fleet, number: int, nodes: tuple[NodeEndpoints, ...]) -> None:
    fleet.nodes_of[number] = nodes
    fleet.start(number)


def begin_to_ask(fleet: Fleet, asking: int, asked: int) -> list[Message]:
    """Let one broker ask another how it is; the answer will be in the list."""
    answers: list[Message] = []
    server = fleet.server(asking)

    def ask(now: Now) -> None:
        link = server.peers.link(NodeId(asked))
        assert link is not None
        if not server.context.ask(
            link, HealthRequest(), lambda answer, _payload, _now: answers.append(answer), now
        ):
            answers.append(Refusal(ErrorCode.DISCONNECTED, "its link is down"))

    fleet.processes[asking].do(ask)
    return answers


def reaches(fleet: Fleet, asking: int, asked: int) -> bool:
    answers = begin_to_ask(fleet, asking, asked)
    fleet.wait(lambda: bool(answers))
    return isinstance(answers[0], HealthResponse)


def wait_until_reached(fleet: Fleet, asking: int, asked: int) -> None:
    for _ in range(50):
        if reaches(fleet, asking, asked):
            return
        fleet.world.run_for(20)
    raise AssertionError(f"broker {asking} does not reach {asked}")


def test_a_broker_that_comes_back_elsewhere_is_called_and_heard_there(fleet: Fleet) -> None:
    mover, other = (number for number in fleet.numbers if number != fleet.controller())
    others = (fleet.controller(), other)
    fleet.kill(mover)
    fleet.settle()
    start(fleet, mover, moved(fleet, mover))
    fleet.settle()
    for other in others:
        wait_until_reached(fleet, other, mover)
    # Once it is the controller, its deltas and heartbeats are all that the others have to go by.
    fleet.kill(others[0])
    fleet.kill(others[1])
    fleet.settle()
    assert fleet.controller() == mover
    for other in others:
        fleet.start(other)  # by settings that know nothing of that
    fleet.settle()


def test_a_controller_that_no_settings_name_is_found(fleet: Fleet) -> None:
    """One that has joined from another host knows the others; they know it by the image alone."""
    fleet.numbers = range(1, 5)
    fleet.disks[4] = SimulatedDisk()
    fleet.incarnations[4] = 0
    fleet.network.principals["broker-4"] = CLUSTER_PRINCIPAL
    start(fleet, 4, (*fleet.nodes, endpoints(4)))
    fleet.settle()
    for number in (1, 2, 3):
        fleet.kill(number)
    fleet.settle()
    assert fleet.controller() == 4
    for number in (1, 2, 3):
        fleet.start(number)
    fleet.settle()


def test_calls_to_where_it_was_have_failed(fleet: Fleet) -> None:
    others = [number for number in fleet.numbers if number != fleet.controller()]
    asking, mover = others
    wait_until_reached(fleet, asking, mover)
    before = fleet.processes[mover]
    before.freeze()  # its host is gone: nobody says that the connection has ended
    waiting = begin_to_ask(fleet, asking, mover)
    fleet.expire(mover)
    start(fleet, mover, moved(fleet, mover))
    fleet.wait(lambda: bool(waiting), 1_000)
    assert isinstance(waiting[0], Refusal)
    assert waiting[0].error == ErrorCode.DISCONNECTED
    wait_until_reached(fleet, asking, mover)


def test_a_cluster_that_moves_as_a_whole_is_not_misled_by_its_past(fleet: Fleet) -> None:
    for number in fleet.numbers:
        fleet.kill(number)
    fleet.world.run_for(100)
    for number in fleet.numbers:
        start(fleet, number, moved(fleet, *fleet.numbers))
    fleet.settle()
    for asking in fleet.numbers:
        for asked in set(fleet.numbers) - {asking}:
            wait_until_reached(fleet, asking, asked)


def test_one_that_was_removed_is_named_and_heard_no_more(fleet: Fleet) -> None:
    gone = next(number for number in fleet.numbers if number != fleet.controller())
    told = next(n for n in fleet.numbers if n not in (gone, fleet.controller()))
    wait_until_reached(fleet, told, gone)
    name, node_id = NodeName(f"broker-{gone}"), NodeId(gone)
    fleet.kill(gone)
    for key, error in (("", ErrorCode.CLUSTER_AUTHORIZATION_FAILED), (KEY, ErrorCode.NONE)):
        news = ForgetNodeRequest(name, node_id, removal_proof(key, name, node_id))
        assert fleet.ask(told, news, door="peers").error == error
    fleet.settle()
    described = fleet.ask(told, DescribeNodeRequest())
    assert name not in [node.name for node in described.nodes]
    assert fleet.server(told).peers.link(node_id) is None
    fleet.start(gone)  # the same number again
    fleet.settle()
    wait_until_reached(fleet, told, gone)


def test_an_earlier_registration_is_no_news(fleet: Fleet) -> None:
    now = fleet.processes[1].now()
    image = fleet.server(1).context.image
    wait_until_reached(fleet, 1, 2)
    past = replace(image.brokers[NodeId(2)], peers="fleet://past/peers", epoch=BrokerEpoch(1))
    fleet.server(1).peers.meet((past,), now)
    assert reaches(fleet, 1, 2)
    # The image that a broker begins with may be of before its settings: who is there is there.
    peers = Peers(fleet.server(1).context)
    link = peers.link(NodeId(2))
    assert link is not None
    peers.on_link(link, True, now)
    peers.meet((past,), now)
    assert peers.link(NodeId(2)) == link


def test_settings_of_the_past_mislead_nobody_where_another_has_registered(fleet: Fleet) -> None:
    mover = next(number for number in fleet.numbers if number != fleet.controller())
    late = next(n for n in fleet.numbers if n not in (mover, fleet.controller()))
    fleet.kill(mover)
    fleet.kill(late)
    fleet.settle()
    start(fleet, mover, moved(fleet, mover))
    fleet.settle()
    fleet.start(late)  # its settings know nothing of that
    fleet.settle()
    wait_until_reached(fleet, late, mover)
