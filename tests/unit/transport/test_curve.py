"""Nobody is heard without keys, and who is heard has a name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import zmq
from zmq.utils import z85

from supervisor.keys import create
from transport.driver.ports import Door, Origin
from transport.driver.switchboard import Switchboard
from transport.sockets.curve import (
    AUTHORIZED_DIR,
    Gatekeeper,
    Guard,
    Keys,
    make_keys,
    read_keys,
    secure_link,
)
from transport.wire.codec import Envelope, Kind, encode
from transport.wire.ids import CLUSTER_PRINCIPAL
from transport.wire.messages.cluster import HealthRequest

ANY = "tcp://127.0.0.1:*"
TURN_MS = 10
TURNS_MAX = 1_000
HELLO = Envelope(Kind.REQUEST, HealthRequest(), correlation_id=7)


class Doors:
    """A node's switchboard, turned by hand; and strangers of bare libzmq."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.guard = Guard(folder)
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.pipe = os.pipe()
        self.board = Switchboard(
            dict.fromkeys(Door, ANY), ANY, self.pipe[0], keys=self.guard.keys, guard=self.guard
        )
        self.heard: list[Origin] = []

    def turn(self) -> None:
        self.board.wait(lambda: TURN_MS)
        self.board.link_changes()  # whose news, unread, would end every wait at once
        self.board.deliver(self._take)

    def _take(self, origin: object, _envelope: Envelope) -> None:
        assert isinstance(origin, Origin)
        self.heard.append(origin)

    def knock(self, door: str, keys: Keys | None) -> str:
        """Say hello; return as whom it was heard, or ``turned away``."""
        socket: zmq.Socket[bytes] = self.context.socket(zmq.DEALER)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RECONNECT_IVL, -1)
        secure_link(socket, keys)
        ended = zmq.EVENT_DISCONNECTED | zmq.EVENT_CLOSED
        monitor = socket.get_monitor_socket(ended)
        socket.connect(self.board.endpoints[door])
        with suppress(zmq.Again):  # turned away already: there is nobody to send to
            socket.send_multipart(encode(HELLO), zmq.DONTWAIT)
        before = len(self.heard)
        try:
            for _ in range(TURNS_MAX):
                self.turn()
                if len(self.heard) > before:
                    return f"{self.heard[-1].door.value}:{self.heard[-1].principal}"
                if monitor.poll(0):
                    return "turned away"
        finally:
            socket.disable_monitor()
            monitor.close(0)
            socket.close()
        pytest.fail("neither heard nor turned away")

    def close(self) -> None:
        self.board.close()
        self.context.destroy(linger=0)
        for descriptor in self.pipe:
            os.close(descriptor)


@pytest.fixture
def doors(tmp_path: Path) -> Iterator[Doors]:
    create(tmp_path, [])
    create(tmp_path, ["alice"])
    made = Doors(tmp_path)
    yield made
    made.close()


def test_whoever_is_known_is_heard_by_name(doors: Doors) -> None:
    alice = read_keys(doors.folder / "alice.key")
    assert doors.knock("clients", alice) == "clients:alice"
    cluster = doors.guard.keys
    assert doors.knock("clients", cluster) == f"clients:{CLUSTER_PRINCIPAL}"
    assert doors.knock("peers", cluster) == f"peers:{CLUSTER_PRINCIPAL}"


def test_strangers_are_turned_away_at_every_door(doors: Doors) -> None:
    unknown = make_keys("mallory", doors.guard.keys.public)
    for door in ("clients", "peers"):
        assert doors.knock(door, None) == "turned away"
        assert doors.knock(door, unknown) == "turned away"
    assert doors.board.figures["connections_turned_away"] == 2  # with keys, but unknown ones
    assert doors.heard == []


def test_a_client_is_no_peer(doors: Doors) -> None:
    assert doors.knock("peers", read_keys(doors.folder / "alice.key")) == "turned away"


def test_whoever_expects_another_cluster_does_not_talk_to_this_one(doors: Doors) -> None:
    alice = read_keys(doors.folder / "alice.key")
    elsewhere = alice._replace(cluster=make_keys("other").public)
    assert doors.knock("clients", elsewhere) == "turned away"


def test_clients_come_and_go_while_the_doors_are_open(doors: Doors) -> None:
    create(doors.folder, ["bob"])
    bob = read_keys(doors.folder / "bob.key")
    assert doors.knock("clients", bob) == "clients:bob"
    (doors.folder / AUTHORIZED_DIR / "bob.pub").unlink()
    assert doors.knock("clients", bob) == "turned away"


def test_a_folder_that_is_gone_lets_in_nobody_but_the_nodes(doors: Doors) -> None:
    (doors.folder / AUTHORIZED_DIR).rename(doors.folder / "away")
    alice = read_keys(doors.folder / "alice.key")
    assert doors.guard.principal("clients", alice.public) is None
    assert doors.guard.principal("peers", doors.guard.keys.public) == CLUSTER_PRINCIPAL


@pytest.mark.parametrize("mechanism", [b"NULL", b"PLAIN", b"CURVE"])
def test_the_gatekeeper_lets_in_by_curve_only(doors: Doors, mechanism: bytes) -> None:
    public = z85.decode(doors.guard.keys.public)
    with zmq.Context() as context:
        keeper = Gatekeeper(context, doors.guard)
        asked = [b"1.0", b"1", b"clients", b"127.0.0.1", b"", mechanism, public]
        answer = keeper._answer(asked)
        keeper.close()
    assert answer[2] == (b"200" if mechanism == b"CURVE" else b"400")
