"""What is seen where no node looks out: another program, or one that lies."""

from __future__ import annotations

import socket
import threading

import pytest

from odradek.cluster.node_window import Metrics, read_health, read_metrics
from odradek.commands.doctor import _read_health


@pytest.mark.parametrize(
    "said",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\n\r\n\xff\xfe",
        b"HTTP/1.1 500 Oh\r\n\r\n\xff\xfe",
        b'HTTP/1.1 200 OK\r\n\r\n{"status": "ok"}',
        b'HTTP/1.1 200 OK\r\n\r\n{"version": "1", "wall_ms": "soon"}',
    ],
)
def test_whoever_else_answers_there_is_no_node(said: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            for _ in range(3):
                visitor, _address = listener.accept()
                with visitor:
                    visitor.recv(4096)
                    visitor.sendall(said)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        http = f"http://127.0.0.1:{listener.getsockname()[1]}"
        assert read_health(http) is None
        assert _read_health(http) == (None, 0.0)
        seen = read_metrics(http)
        assert seen is None or seen.total("leaders") == 0
        thread.join(20)


def test_what_is_no_value_of_a_metric_is_passed_over() -> None:
    seen = Metrics("odradek_leaders many\nodradek_leaders 2\n")
    assert seen.total("leaders") == 2
