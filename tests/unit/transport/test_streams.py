"""The stream port on real sockets: bytes in order, every bound, every kind of end."""

from __future__ import annotations

import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from transport.driver import streams
from transport.driver.loop import Loop
from transport.driver.ports import LinkId, Origin, Ports, Stranger, StreamId
from transport.kernel import Now
from transport.sockets.certificate import TlsFiles
from transport.sockets.options import PortInUse
from transport.wire.codec import Envelope

WAIT_S = 10.0
ANY_PORT = "tcp://127.0.0.1:0"


class Server:
    """A program that listens, and does with what comes what the test says."""

    def __init__(
        self,
        *,
        connections_max: int = 10,
        idle_max_ms: int = 60_000,
        tls: TlsFiles | None = None,
    ) -> None:
        self.tls = tls
        self.connections_max = connections_max
        self.idle_max_ms = idle_max_ms
        self.on_data: Callable[[StreamId, bytes], None] = self.echo
        self.opened: list[tuple[StreamId, Stranger]] = []
        self.ended: list[StreamId] = []
        self.got: dict[StreamId, bytearray] = {}
        self.ports: Ports
        self.loop = Loop(self)
        self.thread = threading.Thread(target=self.loop.run)
        self.endpoint = ""

    def start(self, ports: Ports, now: Now) -> None:
        self.ports = ports
        self.endpoint = ports.streams.listen(
            ANY_PORT,
            self,
            connections_max=self.connections_max,
            idle_max_ms=self.idle_max_ms,
            tls=self.tls,
        )

    def on_stream(self, stream: StreamId, stranger: Stranger, now: Now) -> None:
        self.opened.append((stream, stranger))
        self.got[stream] = bytearray()

    def on_bytes(self, stream: StreamId, data: bytes, now: Now) -> None:
        self.got[stream] += data
        self.on_data(stream, data)

    def on_stream_end(self, stream: StreamId, now: Now) -> None:
        self.ended.append(stream)

    def echo(self, stream: StreamId, data: bytes) -> None:
        assert self.ports.streams.send(stream, [data])

    def on_message(self, origin: Origin | LinkId, envelope: Envelope, now: Now) -> None: ...

    def on_link(self, link: LinkId, up: bool, now: Now) -> None: ...

    def on_gap(self, gap_ms: int, now: Now) -> None: ...

    def end_turn(self, now: Now) -> None: ...

    def next_deadline_ms(self) -> int | None:
        return None

    def stop(self, now: Now) -> None:
        self.ports.exit(0)

    def run(self) -> Server:
        self.thread.start()
        eventually(lambda: bool(self.endpoint), "it listens")
        return self

    def close(self) -> None:
        self.loop.post(self.stop)
        self.thread.join(WAIT_S)
        assert not self.thread.is_alive()

    def do(self, action: Callable[[], object]) -> None:
        done = threading.Event()

        def act(_now: Now) -> None:
            action()
            done.set()

        self.loop.post(act)
        assert done.wait(WAIT_S)

    def connect(self) -> socket.socket:
        host, _, port = self.endpoint.removeprefix("tcp://").rpartition(":")
        client = socket.create_connection((host, int(port)), WAIT_S)
        client.settimeout(WAIT_S)
        return client


def eventually(condition: Callable[[], bool], what: str) -> None:
    until_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < until_s, f"not in time: {what}"
        time.sleep(0.001)


def read(client: socket.socket, size: int) -> bytes:
    found = bytearray()
    while len(found) < size:
        data = client.recv(size - len(found))
        assert data, f"ended after {len(found)} of {size} bytes"
        found += data
    return bytes(found)


@pytest.fixture
def server() -> Iterator[Server]:
    started = Server().run()
    yield started
    started.close()


def test_bytes_come_and_go_in_order(server: Server) -> None:
    with server.connect() as client:
        sent = bytes(range(256)) * 20_000
        sender = threading.Thread(target=client.sendall, args=(sent,))
        sender.start()
        assert read(client, len(sent)) == sent
        sender.join(WAIT_S)
    assert [stranger.address for _, stranger in server.opened] == ["127.0.0.1"]
    eventually(lambda: len(server.ended) == 1, "its end is told")


def test_who_does_not_read_is_not_read_from_and_loses_nothing(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "UNSENT_BYTES_CALM", 10_000)
    stream = server.loop.streams
    assert isinstance(stream, streams.StreamBoard)
    with server.connect() as client:
        client.setblocking(False)
        sent = 0
        piece = b"x" * 50_000
        silent_until_s = time.monotonic() + 0.2
        while time.monotonic() < silent_until_s:  # until both ends' kernels are full
            try:
                sent += client.send(piece)
                silent_until_s = time.monotonic() + 0.2
            except BlockingIOError:
                time.sleep(0.005)
        assert stream._unsent_bytes <= 10_000 + streams.READ_BYTES_MAX
        client.settimeout(WAIT_S)
        assert read(client, sent) == b"x" * sent
        client.sendall(b"and on")
        assert read(client, 6) == b"and on"
    eventually(lambda: stream._unsent_bytes == 0, "what was sent counts no more")


def test_a_listener_may_hold_its_answers_back_itself_and_be_read_meanwhile(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever writes all it has before it reads would otherwise wait for ever."""
    monkeypatch.setattr(streams, "UNSENT_BYTES_CALM", 10_000)
    board = server.loop.streams
    assert isinstance(board, streams.StreamBoard)
    for listener in board._listeners.values():
        listener.unsent_bytes_calm = 64 * 1024 * 1024
    sent = b"x" * (32 * 1024 * 1024)
    with server.connect() as client:
        client.sendall(sent)
        eventually(lambda: len(server.got[StreamId(1)]) == len(sent), "all is read")
        assert board.unsent_bytes(StreamId(1)) > 10_000 + streams.READ_BYTES_MAX
        assert read(client, len(sent)) == sent
        eventually(lambda: board.unsent_bytes(StreamId(1)) == 0, "all has left")
    assert board.unsent_bytes(StreamId(2)) == 0


def test_a_stream_with_too_much_unsent_takes_no_more(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "UNSENT_BYTES_MAX", 1_000_000)
    taken: list[bool] = []

    def flood(stream: StreamId, _data: bytes) -> None:
        for _ in range(100):
            taken.append(server.ports.streams.send(stream, [b"y" * 100_000]))

    server.on_data = flood
    with server.connect() as client:
        client.sendall(b"go")
        eventually(lambda: len(taken) == 100, "all was offered")
        sent = sum(taken)
        assert taken == [True] * sent + [False] * (100 - sent)
        assert 11 <= sent < 100
        read(client, sent * 100_000)


def test_a_paused_stream_waits_for_its_turn(server: Server) -> None:
    def pause(stream: StreamId, _data: bytes) -> None:
        server.ports.streams.pause(stream)

    server.on_data = pause
    with server.connect() as client:
        client.sendall(b"one")
        eventually(lambda: bool(server.got) and server.got[StreamId(1)] == b"one", "one came")
        client.sendall(b"two")
        with server.connect() as other:
            server.on_data = server.echo
            other.sendall(b"hello")
            assert read(other, 5) == b"hello"
        assert server.got[StreamId(1)] == b"one"
        server.do(lambda: server.ports.streams.resume(StreamId(1)))
        assert read(client, 3) == b"two"


def test_a_closed_stream_sends_all_it_was_given_first(server: Server) -> None:
    def answer(stream: StreamId, _data: bytes) -> None:
        server.ports.streams.send(stream, [b"a" * 3_000_000, b"b"])
        server.ports.streams.close(stream)
        assert not server.ports.streams.send(stream, [b"c"])

    server.on_data = answer
    with server.connect() as client:
        client.sendall(b"?")
        assert read(client, 3_000_001) == b"a" * 3_000_000 + b"b"
        assert client.recv(1) == b""
    assert server.ended == []


def test_an_end_that_closes_its_half_first_is_answered(server: Server) -> None:
    with server.connect() as client:
        client.sendall(b"ruok")
        client.shutdown(socket.SHUT_WR)
        assert read(client, 4) == b"ruok"
        assert client.recv(1) == b""
    eventually(lambda: server.ended == [StreamId(1)], "its end is told")


def test_above_the_bound_nobody_is_let_in() -> None:
    server = Server(connections_max=2).run()
    try:
        with server.connect() as one, server.connect() as two:
            for client in (one, two):
                client.sendall(b"in")
                assert read(client, 2) == b"in"
            with server.connect() as three:
                assert three.recv(1) == b""
        eventually(lambda: len(server.ended) == 2, "both have gone")
        with server.connect() as four:
            four.sendall(b"in")
            assert read(four, 2) == b"in"
        assert server.loop.figures["streams_refused"] == 1
    finally:
        server.close()


def test_a_listener_leaves_descriptors_for_others_as_a_door_does() -> None:
    """Whoever may connect could else take all that there are, of the log's files, too."""
    bounds = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (240, bounds[1]))
    clients = []
    try:
        server = Server(connections_max=4_096).run()
        clients = [server.connect() for _ in range(240 // 8)]
        for client in clients:
            client.sendall(b"in")
            assert read(client, 2) == b"in"
        with server.connect() as one_more:
            assert one_more.recv(1) == b""
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, bounds)
        for client in clients:
            client.close()
        server.close()


def test_a_silent_stream_ends_unless_it_is_paused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "LOOK_MS", 10)
    server = Server(idle_max_ms=150).run()
    server.on_data = lambda stream, _data: server.ports.streams.pause(stream)
    try:
        with server.connect() as paused, server.connect() as silent:
            paused.sendall(b"wait")
            eventually(lambda: b"wait" in server.got.values(), "it was paused")
            awake = threading.Timer(0.2, lambda: server.loop.post(lambda _now: None))
            awake.start()
            assert silent.recv(1) == b""
            awake.join()
            eventually(lambda: len(server.ended) == 1, "one has ended")
            assert server.loop.figures["streams_idle"] == 1
    finally:
        server.close()


def test_time_in_which_the_loop_was_away_is_nobodys_silence() -> None:
    server = Server(idle_max_ms=1_000).run()
    try:
        with server.connect() as client:
            client.sendall(b"in")
            assert read(client, 2) == b"in"
            board = server.loop._board.streams
            later = Now(server.loop._now.mono_ms + 60_000, 0)
            server.do(lambda: board.on_gap(60_000))
            server.do(lambda: board.deliver(later, signs=True))
            client.sendall(b"in")
            assert read(client, 2) == b"in"
    finally:
        server.close()


def test_each_stream_gets_its_turn_within_the_bounds(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "TURN_BYTES_MAX", 1)
    monkeypatch.setattr(streams, "READ_BYTES_MAX", 100)
    server.on_data = lambda stream, _data: None
    clients = [server.connect() for _ in range(3)]
    stop = threading.Event()

    def talk(client: socket.socket) -> None:
        with suppress(OSError):  # the server's end
            while not stop.is_set():
                client.sendall(b"z" * 1_000)

    talkers = [threading.Thread(target=talk, args=(client,)) for client in clients]
    for talker in talkers:
        talker.start()
    try:
        eventually(
            lambda: len(server.got) == 3 and min(map(len, server.got.values())) > 2_000,
            "all were heard",
        )
    finally:
        stop.set()
        server.close()  # unblocks who is sending
        for client in clients:
            client.close()
        for talker in talkers:
            talker.join(WAIT_S)


def test_a_port_that_is_taken_is_named(server: Server) -> None:
    with pytest.raises(PortInUse, match=server.endpoint):
        streams.StreamBoard({}).listen(server.endpoint, server, connections_max=1, idle_max_ms=1)
    with pytest.raises(PortInUse, match=r"no\.such\.host"):
        streams.StreamBoard({}).listen(
            "tcp://no.such.host.invalid:1", server, connections_max=1, idle_max_ms=1
        )


def test_without_descriptors_nobody_is_accepted_until_there_are_some(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "LOOK_MS", 10)
    board = server.loop.streams
    assert isinstance(board, streams.StreamBoard)
    (listener,) = board._listeners.values()
    accept, refusals = listener.socket.accept, 0

    def refuse() -> None:
        nonlocal refusals
        refusals += 1
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(listener.socket, "accept", refuse)
    with server.connect() as client:
        client.sendall(b"in")
        eventually(lambda: refusals >= 1, "it was tried")
        monkeypatch.setattr(listener.socket, "accept", accept)
        for _ in range(3):
            server.do(lambda: time.sleep(0.011))
        assert read(client, 2) == b"in"


def test_who_listens_nowhere_has_no_epoll() -> None:
    program = Server()
    assert program.loop._board._streams is None
    program.loop._board.close()
    program.loop._pool.close()
    program.loop._close_pipe()
