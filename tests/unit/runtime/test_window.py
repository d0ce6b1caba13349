"""The window answers whoever looks in, and tells of a loop that is stuck."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodes.config import NodeConfig
from nodes.runtime import window
from nodes.runtime.measures import Outlook, gauge
from nodes.runtime.window import Window
from nodes.settings import ConfigError
from odradek.cluster.node_window import read_health, read_metrics
from odradek.cluster.question import Question
from transport.driver.loop import Loop
from transport.driver.ports import Door
from transport.kernel import Now
from transport.wire.ids import ClusterId, Incarnation, NodeId, NodeName
from transport.wire.messages.cluster import NodeEndpoints

WAIT_S = 20


class Idle(Question):
    """A node's program that does nothing but be looked at."""

    def __init__(self) -> None:
        super().__init__((), NotImplemented, 600_000)
        self.state = "starting"

    def start(self, ports: object, now: Now) -> None:
        self._ports = ports  # type: ignore[assignment]
        self._until_ms = now.mono_ms + 600_000

    def outlook(self, now: Now) -> Outlook:
        return Outlook(self.state, False, True, (gauge("leaders", "Led here.", 7),))


def config_of(http: str, folder: Path) -> NodeConfig:
    node = NodeEndpoints(NodeId(1), NodeName("broker-1"), ("broker",), "", "", "", "", http)
    return NodeConfig(
        name=node.name,
        id=node.id,
        role="broker",
        mode="zookeeper",
        cluster_id=ClusterId("c"),
        incarnation=Incarnation(3),
        data_dir=str(folder),
        nodes=(node,),
    )


class Served:
    def __init__(self, folder: Path) -> None:
        self.program = Idle()
        self.loop = Loop(self.program, doors={Door.CLIENTS: "tcp://127.0.0.1:*"})
        opened = Window(config_of("http://127.0.0.1:0", folder), self.loop, self.program, "1.2")
        self.http = f"http://127.0.0.1:{opened._listener.getsockname()[1]}"
        opened.open()
        self.thread = threading.Thread(target=self.loop.run, daemon=True)
        self.thread.start()

    def say(self, data: bytes) -> bytes:
        host, _, port = self.http.removeprefix("http://").rpartition(":")
        with socket.create_connection((host, int(port)), WAIT_S) as link:
            link.sendall(data)
            return b"".join(iter(lambda: link.recv(4096), b""))


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    one = Served(tmp_path)
    yield one
    one.loop.post(one.program.stop)
    one.thread.join(WAIT_S)
    assert not one.thread.is_alive()


def test_metrics_come_from_the_program_and_its_loop(served: Served) -> None:
    metrics = read_metrics(served.http)
    assert metrics is not None
    assert metrics.total("leaders") == 7
    assert metrics.total("loop_turn_seconds_count") > 0
    assert metrics.total("connections", door="clients") == 0
    assert metrics.total("process_resident_bytes") > 1e6
    assert metrics.total("disk_free_bytes") > 0


def test_health_says_by_its_status_whether_the_node_serves(served: Served) -> None:
    assert served.say(b"GET /health HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 503 ")
    served.program.state = "ready"
    answer = served.say(b"GET /health?x=1 HTTP/1.1\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    told = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert (told["node"], told["incarnation"], told["version"]) == ("broker-1", 3, "1.2")
    assert (told["state"], told["controller"], told["leader"]) == ("ready", True, False)
    assert told["descriptors"] > 0


def test_a_stuck_loop_is_told_of(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window, "LOOK_MAX_S", 0.05)
    go_on = threading.Event()

    def hang(_now: Now) -> None:
        go_on.wait(WAIT_S)

    served.loop.post(hang)
    try:
        health = read_health(served.http)
        assert health is not None
        assert health["state"] == "stuck"
        assert read_metrics(served.http) is None
    finally:
        go_on.set()


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"404"),
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"400"),
        (b"\xff\x00garbage\r\n\r\n", b"400"),
        (b"GET " + b"a" * 20_000, b"404"),
    ],
)
def test_bad_requests_get_an_answer_and_harm_nothing(
    served: Served, said: bytes, status: bytes
) -> None:
    try:
        assert served.say(said).split(b" ")[1] == status
    except ConnectionResetError:
        assert len(said) > window.REQUEST_BYTES_MAX  # what is too long need not be read
    assert read_health(served.http) is not None


def test_a_visitor_who_says_nothing_holds_up_nobody_for_long(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(window, "VISIT_MAX_S", 0.05)
    host, _, port = served.http.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port)), WAIT_S):
        assert read_health(served.http) is not None


def test_a_port_in_use_is_a_setting_that_cannot_be(served: Served, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot listen on .*http_port"):
        Window(config_of(served.http, tmp_path), served.loop, served.program, "")
