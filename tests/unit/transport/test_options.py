"""Options that no behaviour over loopback can show."""

from __future__ import annotations

import zmq

from transport.sockets.options import CONNECT_TIMEOUT_MS, prepare


def test_an_attempt_to_connect_is_given_up_in_time() -> None:
    """A first packet that a netsplit takes must not decide when its healing is noticed."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = context.socket(zmq.DEALER)
    try:
        prepare(socket)
        assert socket.getsockopt(zmq.CONNECT_TIMEOUT) == CONNECT_TIMEOUT_MS <= 5_000
    finally:
        socket.close()
        context.term()
