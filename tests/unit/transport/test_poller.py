"""What can be read is found, also when its sign was taken away by something else."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import zmq

from transport.sockets.poller import Poller

Socket = zmq.Socket[bytes]


@pytest.fixture
def pair() -> Iterator[tuple[Socket, Socket]]:
    """Two ends of a connection within the process: what is sent has come."""
    with zmq.Context() as context, context.socket(zmq.PAIR) as one, context.socket(zmq.PAIR) as two:
        one.bind("inproc://pair")
        two.connect("inproc://pair")
        yield one, two


def test_a_message_is_found_until_it_is_read(pair: tuple[Socket, Socket]) -> None:
    here, there = pair
    poller = Poller()
    poller.register(here)
    assert poller.wait(lambda: 0) == set()
    there.send(b"first")
    there.send(b"second")
    assert poller.wait(lambda: 10_000) == {here}
    assert here.recv(zmq.DONTWAIT) == b"first"
    assert poller.wait(lambda: 10_000) == {here}, "what was left is found again"
    assert here.recv(zmq.DONTWAIT) == b"second"
    assert poller.wait(lambda: 0) == set()


def test_what_came_before_is_found(pair: tuple[Socket, Socket]) -> None:
    here, there = pair
    there.send(b"early")
    assert int(here.getsockopt(zmq.EVENTS)) & zmq.POLLIN  # and its sign is gone
    poller = Poller()
    poller.register(here)
    assert poller.wait(lambda: 10_000) == {here}


def test_a_sign_that_was_taken_away_is_made_good_by_touching(pair: tuple[Socket, Socket]) -> None:
    here, there = pair
    poller = Poller()
    poller.register(here)
    assert poller.wait(lambda: 0) == set()
    there.send(b"answer")
    assert int(here.getsockopt(zmq.EVENTS)) & zmq.POLLIN
    poller.touch(here)
    assert poller.wait(lambda: 10_000) == {here}


def test_a_touch_that_was_forgotten_costs_time_alone(
    pair: tuple[Socket, Socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = pair
    poller = Poller()
    poller.register(here)
    assert poller.wait(lambda: 0) == set()
    there.send(b"answer")
    assert int(here.getsockopt(zmq.EVENTS)) & zmq.POLLIN
    assert poller.wait(lambda: 0) == set(), "nothing tells of it"
    monkeypatch.setattr("transport.sockets.poller.LOOK_AT_ALL_S", 0.0)
    assert poller.wait(lambda: 10_000) == {here}


def test_a_sign_of_something_else_is_slept_on(pair: tuple[Socket, Socket]) -> None:
    here, there = pair
    poller = Poller()
    poller.register(here)
    poller.wait(lambda: 0)
    there.close()  # tells the other end, and gives it nothing to read
    assert poller.wait(lambda: 20) == set()


def test_plain_descriptors_and_sockets_are_slept_on_together(pair: tuple[Socket, Socket]) -> None:
    here, there = pair
    out, into = os.pipe()
    try:
        poller = Poller()
        poller.register(here)
        poller.register_descriptor(out)
        os.write(into, b"x")
        assert poller.wait(lambda: 10_000) == {out}
        there.send(b"too")
        assert poller.wait(lambda: 10_000) == {out, here}
        os.read(out, 1)
        assert poller.wait(lambda: 10_000) == {here}
        poller.unregister(here)
        assert poller.wait(lambda: 0) == set()
    finally:
        os.close(out)
        os.close(into)
