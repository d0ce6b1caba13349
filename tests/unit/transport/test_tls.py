"""The stream port with TLS: bytes, bounds and ends as without it, and who is let in."""

from __future__ import annotations

import logging
import re
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import cast

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.authority import Authority
from tests.unit.transport.test_streams import WAIT_S, Server, eventually, read
from transport.driver import streams
from transport.driver.entrance import CERTIFICATE_EXPIRES, NAMED_MAX
from transport.driver.ports import Stranger, StreamId
from transport.sockets import tls
from transport.sockets.certificate import TlsError, TlsFiles
from transport.sockets.stream import StreamSocket
from transport.wire.ids import CLUSTER_PRINCIPAL


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("signed"))


@pytest.fixture(scope="module")
def open_files(signed: Authority) -> TlsFiles:
    return signed.listener()


@pytest.fixture
def server(open_files: TlsFiles) -> Iterator[Server]:
    started = Server(tls=open_files).run()
    yield started
    started.close()


@pytest.fixture
def asking(signed: Authority) -> Iterator[Server]:
    """One that asks for certificates."""
    started = Server(tls=signed.listener(asks=True)).run()
    yield started
    started.close()


def settings(
    signed: Authority, shown: tuple[Path, Path] | None = None, ca: Path | None = None
) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(ca or signed.ca))
    if shown is not None:
        context.load_cert_chain(*map(str, shown))
    return context


def connect(server: Server, context: ssl.SSLContext) -> ssl.SSLSocket:
    return context.wrap_socket(server.connect(), server_hostname="localhost")


def talk(client: ssl.SSLSocket, sent: bytes, expected: int) -> bytes:
    """Send, and read so many bytes meanwhile, on one thread: OpenSSL wants that."""
    client.setblocking(False)
    got, at = bytearray(), 0
    until_s = time.monotonic() + WAIT_S
    while len(got) < expected:
        assert time.monotonic() < until_s, f"{len(got)} of {expected} bytes in time"
        with suppress(ssl.SSLWantWriteError, ssl.SSLWantReadError):
            at += client.send(sent[at : at + 50_000]) if at < len(sent) else 0
        try:
            got += client.recv(65_536)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            time.sleep(0.0005)
    return bytes(got)


def figure(server: Server, name: str) -> int:
    return server.loop.figures.get(name, 0)


def test_bytes_come_and_go_in_order(server: Server, signed: Authority) -> None:
    with connect(server, settings(signed)) as client:
        sent = bytes(range(256)) * 20_000
        assert talk(client, sent, len(sent)) == sent
        assert client.version() == "TLSv1.3"
    assert server.opened == [(StreamId(1), Stranger("127.0.0.1"))]
    eventually(lambda: server.ended == [StreamId(1)], "its end is told")
    assert figure(server, "tls_streams_broken") == 0


def test_small_frames_share_records_and_large_ones_are_cut(
    server: Server, signed: Authority
) -> None:
    frames = [b"a" * 10, b"b" * 16_384, b"", b"c" * 40_000, b"d" * 16_000, b"e" * 500, b"f"]

    def answer(stream: StreamId, _data: bytes) -> None:
        server.ports.streams.send(stream, [bytearray(b"-"), memoryview(frames[3]), *frames])
        server.ports.streams.close(stream)

    server.on_data = answer
    with connect(server, settings(signed)) as client:
        client.sendall(b"?")
        whole = b"-" + frames[3] + b"".join(frames)
        assert read(client, len(whole)) == whole
        # A proper end: this end would else have to take it for one that somebody has forged.
        client.suppress_ragged_eofs = False  # type: ignore[attr-defined]
        assert client.recv(1) == b""


def test_what_is_decrypted_is_never_left_lying(server: Server, signed: Authority) -> None:
    """Many records in one piece from the kernel, of which the epoll hears once."""
    with connect(server, settings(signed)) as client:
        for round_ in range(20):
            piece = bytes([round_]) * 200_000
            client.sendall(piece)
            assert read(client, len(piece)) == piece


def test_a_request_in_the_packet_that_ends_the_handshake_is_heard(
    server: Server, signed: Authority
) -> None:
    arrived, leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
    engine = settings(signed).wrap_bio(arrived, leaving, server_hostname="localhost")
    with server.connect() as client:
        while True:
            try:
                engine.do_handshake()
                break
            except ssl.SSLWantReadError:
                client.sendall(leaving.read())
                arrived.write(client.recv(65_536))
        engine.write(b"hello")
        engine.write(b", and goodbye")
        with pytest.raises(ssl.SSLWantReadError):
            engine.unwrap()
        client.sendall(leaving.read())  # the handshake's end, two records, and the end of all
        told = bytearray()
        while len(told) < 18:
            arrived.write(client.recv(65_536))
            try:
                told += engine.read(100)
            except ssl.SSLWantReadError:
                continue
        assert bytes(told) == b"hello, and goodbye"
    eventually(lambda: server.ended == [StreamId(1)], "its end is told")


def test_a_paused_stream_waits_for_its_turn(server: Server, signed: Authority) -> None:
    server.on_data = lambda stream, _data: server.ports.streams.pause(stream)
    with connect(server, settings(signed)) as client:
        client.sendall(b"one")
        eventually(lambda: bool(server.got) and server.got[StreamId(1)] == b"one", "one came")
        for _ in range(10):
            client.sendall(b"two")
        server.on_data = server.echo
        server.do(lambda: server.ports.streams.resume(StreamId(1)))
        assert read(client, 30) == b"two" * 10


def test_who_does_not_read_is_not_read_from_and_loses_nothing(
    server: Server, signed: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "UNSENT_BYTES_CALM", 10_000)
    board = server.loop.streams
    assert isinstance(board, streams.StreamBoard)
    with connect(server, settings(signed)) as client:
        client.setblocking(False)
        sent = 0
        piece = b"x" * 50_000
        silent_until_s = time.monotonic() + 0.2
        while time.monotonic() < silent_until_s:  # until both ends' kernels are full
            try:
                sent += client.send(piece)
                silent_until_s = time.monotonic() + 0.2
            except ssl.SSLWantWriteError:
                time.sleep(0.005)
        encrypted = tls.ENCRYPTED_AT_ONCE_BYTES + 10_000
        assert board._unsent_bytes <= 10_000 + streams.READ_BYTES_MAX + encrypted
        sent += len(piece)  # what is written in part has to be written
        assert talk(client, piece, sent) == b"x" * sent
    eventually(lambda: len(server.ended) == 1, "its end is told")
    assert board._unsent_bytes == 0


def test_a_stream_with_too_much_unsent_takes_no_more(
    server: Server, signed: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "UNSENT_BYTES_MAX", 1_000_000)
    taken: list[bool] = []

    def flood(stream: StreamId, _data: bytes) -> None:
        for _ in range(100):
            taken.append(server.ports.streams.send(stream, [b"y" * 100_000]))

    server.on_data = flood
    with connect(server, settings(signed)) as client:
        client.sendall(b"go")
        eventually(lambda: len(taken) == 100, "all was offered")
        sent = sum(taken)
        assert taken == [True] * sent + [False] * (100 - sent)
        assert 11 <= sent < 100
        read(client, sent * 100_000)


class Pipe:
    """A connection whose other end takes everything at once."""

    def __init__(self, arrived: ssl.MemoryBIO, leaving: ssl.MemoryBIO) -> None:
        self.unsent_bytes = 0
        self.ended = False
        self.taken_bytes = 0
        self.acknowledged = 0
        self._arrived, self._leaving = arrived, leaving

    def receive(self, bytes_max: int) -> bytes | None:
        return self._leaving.read(bytes_max) or None

    def queue(self, frames: Sequence[bytes]) -> None:
        for frame in frames:
            self.taken_bytes += len(frame)
            self._arrived.write(frame)

    def acknowledge(self) -> None:
        self.acknowledged += 1

    def flush(self) -> None: ...


def test_no_more_is_encrypted_in_a_turn_than_its_bound(
    open_files: TlsFiles, signed: Authority
) -> None:
    arrived, leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = settings(signed).wrap_bio(arrived, leaving, server_hostname="localhost")
    pipe = Pipe(arrived, leaving)
    stream = tls.Credentials(open_files).wrap(cast("StreamSocket", pipe))
    while not stream.is_ready:
        with suppress(ssl.SSLWantReadError):
            client.do_handshake()
        stream.receive(65_536)
    assert pipe.acknowledged == 1  # who ends a handshake is answered by nobody else
    before = pipe.taken_bytes
    stream.queue([b"x" * 1_000_000])
    stream.flush()
    assert stream.unsent_bytes == 1_000_000 - tls.ENCRYPTED_AT_ONCE_BYTES
    assert (
        tls.ENCRYPTED_AT_ONCE_BYTES < pipe.taken_bytes - before < tls.ENCRYPTED_AT_ONCE_BYTES * 1.01
    )
    for _ in range(3):
        stream.flush()
    assert stream.unsent_bytes == 0


# Who is let in


def test_a_certificate_says_who_somebody_is(asking: Server, signed: Authority) -> None:
    with connect(asking, settings(signed, signed.client("alice"))) as client:
        client.sendall(b"me")
        assert read(client, 2) == b"me"
    ((_, stranger),) = asking.opened
    assert (stranger.principal, stranger.address) == ("alice", "127.0.0.1")
    assert stranger.subject.startswith("CN=alice,")
    assert "O=Kitchen" in stranger.subject


def refused(
    server: Server, context: ssl.SSLContext, said: str, log: pytest.LogCaptureFixture
) -> None:
    """Try to talk; nothing is heard of it, and the log names the reason."""
    before = figure(server, "tls_handshakes_failed")
    with suppress(OSError), connect(server, context) as client:
        client.sendall(b"me")
        assert client.recv(2) == b""
    eventually(lambda: figure(server, "tls_handshakes_failed") == before + 1, "it is counted")
    assert server.opened == []
    eventually(lambda: said in log.text, f"{said!r} is in the log")


def test_who_shows_no_certificate_of_ours_is_not_let_in(
    asking: Server, signed: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    refused(asking, settings(signed), "it shows no certificate", caplog)
    other = Authority(tmp_path / "other").client("alice")
    refused(asking, settings(signed, other), "its certificate is not accepted", caplog)
    refused(asking, settings(signed, signed.client(None)), "one common name (CN)", caplog)
    refused(asking, settings(signed, signed.client("a\nb")), "printable characters", caplog)
    of_cluster = signed.client(CLUSTER_PRINCIPAL)
    refused(asking, settings(signed, of_cluster), "the cluster itself, and nobody else", caplog)
    assert "127.0.0.1" in caplog.text


def test_what_is_offered_here_has_to_do(
    server: Server, signed: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stranger = settings(signed, ca=Authority(tmp_path / "other").ca)
    refused(server, stranger, "does not trust whoever signed", caplog)
    old = settings(signed)
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning, match=r"TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    refused(server, old, "no TLS later than 1.1", caplog)


@pytest.mark.parametrize("said", [b"ruok", b"\0\0\0\x10\0\x12\0\0", b"GET / HTTP/1.0\r\n\r\n"])
def test_who_speaks_no_tls_ends_with_a_reason(
    server: Server, said: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with server.connect() as client:
        client.sendall(said)
        assert client.recv(100) == b""
    eventually(lambda: figure(server, "tls_handshakes_failed") == 1, "it is counted")
    eventually(lambda: tls.PLAIN_TEXT in caplog.text, "it is named")
    assert server.opened == []


def test_a_probe_that_says_nothing_is_no_failure(server: Server) -> None:
    server.connect().close()
    with server.connect() as client:
        client.sendall(b"\x16\x03\x01")
    eventually(lambda: figure(server, "tls_handshakes_failed") == 1, "the second is counted")
    board = server.loop.streams
    assert isinstance(board, streams.StreamBoard)
    eventually(lambda: not board._by_descriptor, "both are forgotten")


def test_the_log_names_only_so_many_and_each_once(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    server.do(lambda: None)
    (listener,) = server.loop._board.streams._listeners.values()

    def turn_away(count: int) -> None:
        for number in range(count):
            listener.entrance.turn_away(f"10.0.0.{number}", "tls_handshakes_failed", tls.PLAIN_TEXT)

    server.do(lambda: turn_away(NAMED_MAX - 5))
    server.do(lambda: turn_away(NAMED_MAX + 5))
    assert figure(server, "tls_handshakes_failed") == 2 * NAMED_MAX
    assert caplog.text.count(tls.PLAIN_TEXT) == NAMED_MAX


def test_a_handshake_has_an_end(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(streams, "LOOK_MS", 10)
    monkeypatch.setattr(streams, "HANDSHAKE_MAX_MS", 50)
    with server.connect() as silent, server.connect() as slow:
        slow.sendall(b"\x16")

        def looked() -> bool:
            server.do(lambda: None)
            return figure(server, "tls_handshakes_late") == 2

        eventually(looked, "both are given up")
        assert silent.recv(1) == b""
        assert slow.recv(1) == b""
    assert "its TLS handshake was not done" in caplog.text


def test_only_so_many_handshakes_at_a_time(
    server: Server, signed: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "HANDSHAKES_MAX", 2)
    board = server.loop.streams
    assert isinstance(board, streams.StreamBoard)
    (listener,) = board._listeners.values()
    with server.connect() as first, server.connect():
        eventually(lambda: len(listener.handshakes) == 2, "both are under way")
        third = server.connect()  # in the kernel's queue
        context = settings(signed)
        talking: list[bytes] = []

        def talk() -> None:
            with context.wrap_socket(third, server_hostname="localhost") as client:
                client.sendall(b"in")
                talking.append(read(client, 2))

        talker = threading.Thread(target=talk)
        talker.start()
        for _ in range(3):
            server.do(lambda: None)
        assert len(listener.handshakes) == 2
        first.close()
        talker.join(WAIT_S)
        assert talking == [b"in"]


def test_whoever_stops_says_so(open_files: TlsFiles, signed: Authority) -> None:
    server = Server(tls=open_files).run()
    with connect(server, settings(signed)) as client:
        client.suppress_ragged_eofs = False  # type: ignore[attr-defined]
        client.sendall(b"me")
        assert read(client, 2) == b"me"
        server.close()
        assert client.recv(1) == b""


def test_above_the_bound_nobody_is_let_in(open_files: TlsFiles, signed: Authority) -> None:
    server = Server(connections_max=2, tls=open_files).run()
    try:
        with server.connect(), connect(server, settings(signed)):
            with server.connect() as three:
                assert three.recv(1) == b""
            eventually(lambda: figure(server, "streams_refused") == 1, "it is counted")
    finally:
        server.close()


def test_bytes_that_are_not_what_was_sent_end_the_stream(server: Server, signed: Authority) -> None:
    with connect(server, settings(signed)) as client:
        client.sendall(b"me")
        assert read(client, 2) == b"me"
        raw = socket.socket(fileno=client.detach())
        raw.settimeout(WAIT_S)
        with raw:
            raw.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
            while raw.recv(1_000):
                pass
    eventually(lambda: server.ended == [StreamId(1)], "its end is told")
    assert figure(server, "tls_streams_broken") == 1


def test_what_a_session_has_proved_ends_with_the_certificate_and_with_the_files(
    asking: Server,
    signed: Authority,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(tls, "LOOK_MS", 0)
    context = settings(signed, signed.client("alice"))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    session: ssl.SSLSession | None = None

    def resumed() -> bool:
        nonlocal session
        stream = asking.connect()
        with context.wrap_socket(stream, server_hostname="localhost", session=session) as client:
            client.sendall(b"me")
            assert read(client, 2) == b"me"
            session = client.session
            return bool(client.session_reused)

    assert not resumed()
    assert resumed()
    with monkeypatch.context() as later:
        later.setattr(time, "time", lambda: 1e11)  # a test's certificates live long
        with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
            resumed()
    eventually(lambda: "it has expired" in caplog.text, "the reason is in the log")
    resumed()
    assert resumed()
    signed.ca.touch()
    assert not resumed()


# Files


def test_files_that_have_changed_are_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tls, "LOOK_MS", 0)
    signed = Authority(tmp_path / "signed")
    files = signed.listener(asks=True)
    alice, bob = signed.client("alice"), signed.client("bob")
    server = Server(tls=files).run()

    def shown(who: tuple[Path, Path]) -> str:
        with connect(server, settings(signed, who)) as client:
            client.sendall(b"me")
            assert read(client, 2) == b"me"
            certificate = client.getpeercert()
            assert certificate is not None
            return str(certificate["serialNumber"])

    try:
        first = shown(alice)
        expires_s = figure(server, CERTIFICATE_EXPIRES)
        assert expires_s > time.time()
        key = Path(files.key).read_bytes()
        signed.listener()  # renewed
        second = shown(alice)
        assert second != first
        assert figure(server, "tls_renewals") == 1
        renewed = Path(files.key).read_bytes()
        Path(files.key).write_bytes(key)  # one file is there before the other
        assert shown(alice) == second
        assert figure(server, "tls_renewals_failed") == 1
        assert "goes on with the certificate it had" in caplog.text
        assert "tls_key" in caplog.text
        Path(files.key).write_bytes(renewed)
        assert shown(alice) == second
        signed.revoke(bob[0])
        assert shown(alice) == second
        with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
            shown(bob)
        eventually(lambda: "certificate revoked" in caplog.text, "bob is not let in")
    finally:
        server.close()


def test_files_that_cannot_be_used_are_named_by_their_setting(
    server: Server, tmp_path: Path
) -> None:
    signed = Authority(tmp_path)
    good = signed.listener()
    other = signed.listener("other")
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing\n")
    locked = tmp_path / "locked.key"
    encrypted = serialization.BestAvailableEncryption(b"secret")
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    key = ec.generate_private_key(ec.SECP256R1())
    locked.write_bytes(key.private_bytes(pem, pkcs8, encrypted))
    for files, said in (
        (
            good._replace(certificate="/no/such.pem"),
            "tls_certificate = '/no/such.pem': No such file",
        ),
        (
            good._replace(certificate=str(empty)),
            "tls_certificate = .*there is no certificate in it",
        ),
        (good._replace(key="/no/such.key"), "tls_key = '/no/such.key': No such file"),
        (good._replace(key=str(empty)), "tls_key = .*there is no key in it"),
        (good._replace(key=other.key), "tls_key = .*it is not the key of .*listener.pem"),
        (good._replace(key=str(locked)), "tls_key = .*it is encrypted"),
        (good._replace(client_ca="/no/ca.pem"), "tls_client_ca = '/no/ca.pem': No such file"),
        (good._replace(client_ca=str(empty)), "tls_client_ca = .*there is no certificate in it"),
    ):
        with pytest.raises(TlsError, match=said):
            streams.StreamBoard({}).listen(
                "tcp://127.0.0.1:0", server, connections_max=1, idle_max_ms=1, tls=files
            )


@pytest.mark.parametrize(
    ("days", "said"),
    [
        ((-9, -1), "it has expired, on [-0-9]+ [:0-9]+ UTC: clients refuse it"),
        ((1, 9), "it is good from [-0-9]+ [:0-9]+ UTC on: clients refuse it until then"),
        ((-9, 13), "it expires soon, on [-0-9]+ [:0-9]+ UTC"),
        ((-9, 15), ""),
    ],
)
def test_an_own_certificate_that_is_not_good_stops_no_start_and_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, days: tuple[int, int], said: str
) -> None:
    files = Authority(tmp_path).listener(days=days)
    with caplog.at_level(logging.WARNING):
        server = Server(tls=files).run()
    try:
        told = [record.getMessage() for record in caplog.records]
        assert len(told) == bool(said)
        assert all(re.fullmatch(f"the certificate of tcp://.*: {said}", text) for text in told)
    finally:
        server.close()


def test_the_certificates_of_the_docs_do(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "listeners.md").read_text(encoding="utf-8")
    (commands,) = re.findall(r"^```sh\n(new\(\).*?)^```", page, re.MULTILINE | re.DOTALL)
    made = subprocess.run(
        ["/bin/bash", "-ec", commands], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    names = ("listener.pem", "listener.key", "ca.pem")
    server = Server(tls=TlsFiles(*(str(tmp_path / name) for name in names))).run()
    context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    context.load_cert_chain(tmp_path / "alice.pem", tmp_path / "alice.key")
    try:
        with connect(server, context) as client:
            client.sendall(b"me")
            assert read(client, 2) == b"me"
        ((_, stranger),) = server.opened
        assert (stranger.principal, stranger.subject) == ("alice", "CN=alice,O=Kitchen")
    finally:
        server.close()
