"""Who is connected to a bound socket: counted, and no more than there may be."""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Callable, Iterator

import pytest
import zmq

from transport.driver.descriptors import CONNECTIONS_MAX as CONNECTIONS_MAX_OF_A_DOOR
from transport.driver.descriptors import connections_max
from transport.sockets.dealer import DealerSocket
from transport.sockets.pubsub import PublisherSocket
from transport.sockets.router import RouterSocket

WAIT_S = 10.0
CONNECTIONS_MAX = 10

Context = zmq.Context[zmq.Socket[bytes]]


@pytest.fixture
def context() -> Iterator[Context]:
    made: Context = zmq.Context()
    yield made
    made.term()


@pytest.fixture
def door(context: Context) -> Iterator[RouterSocket]:
    made = RouterSocket(context, "tcp://127.0.0.1:0", connections_max=CONNECTIONS_MAX)
    yield made
    made.close()


def knock(door: RouterSocket | PublisherSocket, words: bytes = b"") -> socket.socket:
    port = int(door.endpoint.rpartition(":")[2])
    knocking = socket.create_connection(("127.0.0.1", port), timeout=WAIT_S)
    knocking.sendall(words)
    return knocking


def wait(door: RouterSocket | PublisherSocket, condition: Callable[[], bool]) -> None:
    until_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < until_s, f"{door.connections} connections"
        door.monitor.socket.poll(10)
        door.watch_connections()


@pytest.mark.parametrize("words", [b"", b"GET / HTTP/1.0\r\n\r\n"])
def test_who_knocks_and_goes_takes_nobody_else_out_of_the_count(
    context: Context, door: RouterSocket, words: bytes
) -> None:
    """Such as a health check, or whoever looks which ports are open."""
    peers = [DealerSocket(context, door.endpoint) for _ in range(2)]
    wait(door, lambda: door.connections == 2)
    for _ in range(3):
        knocking = knock(door, words)
        wait(door, lambda: door.connections == 3)
        knocking.close()
        wait(door, lambda: door.connections == 2)
    for peer in peers:
        peer.close()
    wait(door, lambda: door.connections == 0)


def heard(door: RouterSocket) -> int:
    """Return how many messages have come: the first whenever it does, others in a while."""
    count = 0
    while door.socket.poll(200 if count else int(WAIT_S * 1000)):
        while door.receive() is not None:
            count += 1
    return count


def test_beyond_its_limit_a_door_keeps_those_it_has_and_hangs_up_on_the_others(
    context: Context, door: RouterSocket
) -> None:
    peer = DealerSocket(context, door.endpoint)
    knocking = [knock(door) for _ in range(CONNECTIONS_MAX - 1)]  # they never say a word
    wait(door, lambda: door.connections == CONNECTIONS_MAX)
    for refused in range(1, 3):
        with knock(door) as one_more:
            wait(door, lambda: door.connections_refused >= refused)  # noqa: B023
            while one_more.recv(1_000):  # what libzmq greets everybody with
                pass
        wait(door, lambda: door.connections == CONNECTIONS_MAX)
    wait(door, lambda: True in peer.changes())
    assert peer.send([b"still here"])
    assert heard(door) == 1
    knocking.pop().close()
    wait(door, lambda: door.connections == CONNECTIONS_MAX - 1)
    late = DealerSocket(context, door.endpoint)
    wait(door, lambda: True in late.changes())
    assert late.send([b"there is room"])
    assert heard(door) == 1
    for one in knocking:
        one.close()
    peer.close()
    late.close()
    wait(door, lambda: door.connections == 0)


def test_events_have_a_limit_as_doors_have(context: Context) -> None:
    events = PublisherSocket(context, "tcp://127.0.0.1:0", connections_max=CONNECTIONS_MAX)
    knocking = [knock(events) for _ in range(CONNECTIONS_MAX)]
    wait(events, lambda: events.connections == CONNECTIONS_MAX)
    with knock(events) as one_more:
        wait(events, lambda: events.connections == CONNECTIONS_MAX + 1)
        while one_more.recv(1_000):  # what libzmq greets everybody with
            pass
    wait(events, lambda: events.connections == CONNECTIONS_MAX)
    for one in knocking:
        one.close()
    wait(events, lambda: events.connections == 0)
    events.close()


def test_all_bound_sockets_together_leave_descriptors_for_files() -> None:
    bounds = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert connections_max() <= CONNECTIONS_MAX_OF_A_DOOR
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1_000, bounds[1]))
        assert connections_max() == 125
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, bounds)
