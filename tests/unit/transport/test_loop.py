"""The loop on real sockets: turns, posts, gaps, the pool, and every trap of ZeroMQ named in docs/wire.md."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from queue import Empty, SimpleQueue
from random import Random

import pytest
import zmq

from transport.driver import switchboard
from transport.driver.calls import Calls, response
from transport.driver.loop import Loop
from transport.driver.pool import QUICK_IN_A_ROW
from transport.driver.ports import Door, LinkId, Origin, Ports
from transport.kernel import Now
from transport.sockets import router
from transport.sockets.dealer import DealerSocket
from transport.sockets.options import FRAME_BYTES_MAX, PortInUse
from transport.sockets.pubsub import SubscriberSocket
from transport.sockets.router import UNREAD_BYTES_MAX
from transport.wire.codec import Envelope, Kind, decode, encode
from transport.wire.errors import ErrorCode
from transport.wire.ids import ClusterId, Incarnation, NodeName
from transport.wire.messages import Message, Refusal
from transport.wire.messages.cluster import DescribeNodeRequest, DescribeNodeResponse
from transport.wire.messages.fetch import FetchRequest, FetchResponse

WAIT_S = 10.0
ANY_PORT = "tcp://127.0.0.1:0"


class Recorder:
    """A program that answers DescribeNode and notes what happens to it."""

    def __init__(self, name: str = "node-1", answer: bytes = b"") -> None:
        self.name = name
        self.answer = answer
        self.ports: Ports
        self.calls = Calls()
        self.seen: SimpleQueue[tuple[str, object]] = SimpleQueue()
        self.deadline_ms: int | None = None

    def start(self, ports: Ports, now: Now) -> None:
        self.ports = ports
        self.calls.attach(ports.wire)
        self.seen.put(("start", now))

    def on_message(self, origin: Origin | LinkId, envelope: Envelope, now: Now) -> None:
        if isinstance(origin, Origin):
            self.seen.put(("request", envelope.body))
            self.seen.put(("address", origin.address))
            body = DescribeNodeResponse(
                0, ClusterId("c"), "zookeeper", NodeName(self.name), Incarnation(1), ()
            )
            sent = self.ports.wire.reply(origin, response(envelope, body, (self.answer,)))
            self.seen.put(("replied", sent))
        elif not self.calls.on_message(origin, envelope, now):
            self.seen.put(("event", envelope.body))

    def on_link(self, link: LinkId, up: bool, now: Now) -> None:
        self.seen.put(("up" if up else "down", link))
        if not up:
            self.calls.on_link_down(link, now)

    def on_gap(self, gap_ms: int, now: Now) -> None:
        self.seen.put(("gap", gap_ms))

    def end_turn(self, now: Now) -> None:
        self.calls.expire(now)

    def next_deadline_ms(self) -> int | None:
        return self.deadline_ms

    def stop(self, now: Now) -> None:
        self.ports.exit(0)

    def wait_for(self, kind: str) -> object:
        while True:
            try:
                seen, what = self.seen.get(timeout=WAIT_S)
            except Empty:
                pytest.fail(f"no {kind} within {WAIT_S} s")
            if seen == kind:
                return what


class Running:
    """A loop on a thread of its own."""

    def __init__(self, program: Recorder, *, endpoint: str | None = None) -> None:
        self.program = program
        doors = {Door.CLIENTS: endpoint} if endpoint else {}
        self.loop = Loop(program, doors=doors, events=ANY_PORT if endpoint else None)
        self.endpoint = self.loop.endpoints.get("clients", "")
        self.events = self.loop.endpoints.get("events", "")
        self.status: int | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        self.status = self.loop.run()

    def do(self, action: Callable[[Now], object]) -> object:
        answers: SimpleQueue[object] = SimpleQueue()
        self.loop.post(lambda now: answers.put(action(now)))
        return answers.get(timeout=WAIT_S)

    def end(self) -> None:
        self.loop.post(self.program.stop)
        self.thread.join(WAIT_S)
        assert not self.thread.is_alive()


Start = Callable[..., Running]


@pytest.fixture
def start() -> Iterator[Start]:
    running: list[Running] = []

    def begin(program: Recorder, *, endpoint: str | None = None) -> Running:
        running.append(Running(program, endpoint=endpoint))
        return running[-1]

    yield begin
    for one in running:
        if one.thread.is_alive():
            one.end()


def connect(client: Running, endpoint: str) -> LinkId:
    link = client.do(lambda _now: client.program.ports.wire.connect(endpoint))
    assert client.program.wait_for("up") == link
    return link  # type: ignore[return-value]


def ask(client: Running, link: LinkId, timeout_ms: int = 5_000) -> SimpleQueue[Message]:
    answers: SimpleQueue[Message] = SimpleQueue()

    def request(now: Now) -> bool:
        return client.program.calls.request(
            link,
            DescribeNodeRequest("test"),
            lambda body, _payload, _now: answers.put(body),
            now,
            timeout_ms=timeout_ms,
        )

    assert client.do(request), "the link is down"
    return answers


@pytest.mark.parametrize("kind", [DealerSocket, SubscriberSocket])
def test_a_socket_that_cannot_connect_holds_up_no_end(kind: type[DealerSocket]) -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    arguments = () if kind is DealerSocket else ((b"",),)
    with pytest.raises(zmq.ZMQError):
        kind(context, "tcp://nowhere", *arguments)
    ended = threading.Thread(target=context.term, daemon=True)
    ended.start()
    ended.join(WAIT_S)
    assert not ended.is_alive()


def test_a_request_is_answered(start: Start) -> None:
    server, client = start(Recorder(), endpoint=ANY_PORT), start(Recorder())
    answer = ask(client, connect(client, server.endpoint)).get(timeout=WAIT_S)
    assert isinstance(answer, DescribeNodeResponse)
    assert answer.name == "node-1"


def test_requests_for_a_killed_peer_never_reach_its_successor(start: Start) -> None:
    server, client = start(Recorder("old"), endpoint=ANY_PORT), start(Recorder())
    link = connect(client, server.endpoint)
    server.end()
    client.program.wait_for("down")
    sent = client.do(
        lambda _now: client.program.ports.wire.send(
            link, Envelope(Kind.REQUEST, DescribeNodeRequest("stale"), correlation_id=77)
        )
    )
    assert sent is False
    successor = start(Recorder("new"), endpoint=server.endpoint)
    client.program.wait_for("up")
    ask(client, link).get(timeout=WAIT_S)
    assert successor.program.wait_for("request") == DescribeNodeRequest("test")


def test_a_disconnect_fails_the_requests_in_flight_at_once(start: Start) -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    silent = context.socket(zmq.ROUTER)
    port = silent.bind_to_random_port("tcp://127.0.0.1")
    client = start(Recorder())
    answers = ask(client, connect(client, f"tcp://127.0.0.1:{port}"), timeout_ms=600_000)
    silent.close(linger=0)
    refusal = answers.get(timeout=WAIT_S)
    context.term()
    assert isinstance(refusal, Refusal)
    assert refusal.error == ErrorCode.DISCONNECTED


def test_a_request_tells_its_peers_address(start: Start) -> None:
    server, client = start(Recorder(), endpoint=ANY_PORT), start(Recorder())
    link = connect(client, server.endpoint)
    for _ in range(2):  # the first message of a connection, and a later one
        ask(client, link).get(timeout=WAIT_S)
        assert server.program.wait_for("address") == "127.0.0.1"


def test_a_reply_to_a_peer_that_is_gone_is_refused_not_lost_silently(start: Start) -> None:
    server = start(Recorder(), endpoint=ANY_PORT)
    origin = Origin(Door.CLIENTS, b"nobody")
    envelope = Envelope(Kind.RESPONSE, Refusal(0, ""))
    assert server.do(lambda _now: server.program.ports.wire.reply(origin, envelope)) is False


@pytest.mark.parametrize(
    ("frames", "error"),
    [
        ([b"\xc1 not MessagePack"], None),
        ([b""], None),
        (
            [encode(Envelope(Kind.REQUEST, DescribeNodeRequest("x"), (), 5, api_version=99))[0]],
            ErrorCode.UNSUPPORTED_VERSION,
        ),
    ],
)
def test_a_malformed_message_is_counted_answered_and_harms_nothing(
    start: Start, frames: list[bytes], error: ErrorCode | None
) -> None:
    server, client = start(Recorder(), endpoint=ANY_PORT), start(Recorder())
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    hostile = context.socket(zmq.DEALER)
    hostile.connect(server.endpoint)
    hostile.send_multipart(frames)
    if error is not None:
        assert hostile.poll(int(WAIT_S * 1000))
        answer = decode(hostile.recv_multipart())  # type: ignore[arg-type]
        assert isinstance(answer.body, Refusal)
        assert answer.body.error == error
        assert answer.correlation_id == 5
    hostile.close(linger=int(WAIT_S * 1000))
    context.term()
    counted: list[int] = []
    deadline = time.monotonic() + WAIT_S
    while counted != [1] and time.monotonic() < deadline:  # sent; read when the loop comes to it
        counted = list(server.do(lambda _now: dict(server.loop.figures)).values())  # type: ignore[attr-defined]
    assert counted == [1]
    assert ask(client, connect(client, server.endpoint)).get(timeout=WAIT_S)


def test_an_oversized_frame_ends_only_its_own_connection(start: Start) -> None:
    server, client = start(Recorder(), endpoint=ANY_PORT), start(Recorder())
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    hostile = context.socket(zmq.DEALER)
    monitor = hostile.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    hostile.connect(server.endpoint)
    hostile.send(bytes(FRAME_BYTES_MAX + 1))
    assert monitor.poll(int(WAIT_S * 1000)), "the connection was not ended"
    hostile.disable_monitor()
    monitor.close(linger=0)
    hostile.close(linger=0)
    context.term()
    assert ask(client, connect(client, server.endpoint)).get(timeout=WAIT_S)


def test_a_client_that_does_not_read_is_not_sent_more_than_its_budget(start: Start) -> None:
    answer = bytes(16 * 1024 * 1024)
    server = start(Recorder(answer=answer), endpoint=ANY_PORT)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    greedy = context.socket(zmq.DEALER)
    greedy.connect(server.endpoint)
    frames = encode(Envelope(Kind.REQUEST, DescribeNodeRequest("x"), correlation_id=1))
    wanted = UNREAD_BYTES_MAX // len(answer) + 5
    for _ in range(wanted):
        greedy.send_multipart(frames)
    replied = [server.program.wait_for("replied") for _ in range(wanted)]
    assert replied.count(True) <= UNREAD_BYTES_MAX // len(answer) + 1
    assert False in replied
    greedy.close(linger=0)
    context.term()


def test_all_who_do_not_read_have_one_budget_together(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    total_bytes, share_bytes = 4 * 1024 * 1024, 1024 * 1024
    monkeypatch.setattr(router, "UNREAD_TOTAL_MAX", total_bytes)
    answer = bytes(512 * 1024)
    server = start(Recorder(answer=answer), endpoint=ANY_PORT)
    (door,) = server.loop.routers.values()
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    frames = encode(Envelope(Kind.REQUEST, DescribeNodeRequest("x"), correlation_id=1))
    greedy = [context.socket(zmq.DEALER) for _ in range(6)]
    for one in greedy:
        one.connect(server.endpoint)
    for _ in range(20):
        for one in greedy:
            one.send_multipart(frames)
    replied = [server.program.wait_for("replied") for _ in range(20 * len(greedy))]
    sent_bytes = replied.count(True) * len(answer)
    assert total_bytes <= sent_bytes
    assert sent_bytes <= total_bytes + len(greedy) * (share_bytes + 2 * len(answer))
    unread = server.do(lambda _now: door.unread_bytes())
    assert isinstance(unread, int)
    assert unread >= sent_bytes
    # Whoever reads is answered meanwhile; and what the others did not read goes with them.
    client = start(Recorder())
    assert ask(client, connect(client, server.endpoint)).get(timeout=WAIT_S)
    for one in greedy:
        one.close(linger=0)
    deadline = time.monotonic() + WAIT_S
    while server.do(lambda _now: door.unread_bytes()) > 2 * len(answer):  # type: ignore[operator]
        assert time.monotonic() < deadline, "what was not read is still counted"
    context.term()


def test_a_door_gives_the_turn_back_once_its_messages_have_kept_it_long_enough(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, client = start(Recorder(), endpoint=ANY_PORT), start(Recorder())
    link = connect(client, server.endpoint)
    ask(client, link).get(timeout=WAIT_S)
    clock_ns = count(step=switchboard.TURN_NS_MAX // 2)
    monkeypatch.setattr(switchboard, "monotonic_ns", lambda: next(clock_ns))
    before = server.loop.turns.count
    answers: list[SimpleQueue[Message]] = []

    def ask_all() -> None:
        """While the server's loop is kept, so that all of them wait when it looks."""
        answers.extend(ask(client, link) for _ in range(10))

    server.do(lambda _now: ask_all())
    for answer in answers:
        answer.get(timeout=WAIT_S)
    assert server.loop.turns.count >= before + 5, "two messages a turn"


def test_a_late_subscriber_misses_what_was_published_before(start: Start) -> None:
    server, client = start(Recorder(), endpoint=ANY_PORT), start(Recorder())

    def publish(name: str) -> None:
        event = Envelope(Kind.EVENT, DescribeNodeRequest(name))
        server.do(lambda _now: server.program.ports.wire.publish(b"topic", event))

    publish("missed")
    client.do(lambda _now: client.program.ports.wire.subscribe(server.events, [b"topic"]))
    client.program.wait_for("up")
    heard: DescribeNodeRequest | None = None
    for number in range(1_000):  # join = subscribe, then wait for a beat
        publish(f"beat-{number}")
        try:
            kind, body = client.program.seen.get(timeout=0.05)
        except Empty:
            continue
        assert kind == "event"
        assert isinstance(body, DescribeNodeRequest)
        heard = body
        break
    assert heard is not None
    assert heard.client_name.startswith("beat-")


def test_a_port_in_use_is_named(start: Start) -> None:
    server = start(Recorder(), endpoint=ANY_PORT)
    with pytest.raises(PortInUse, match=server.endpoint):
        Loop(Recorder(), doors={Door.CLIENTS: server.endpoint})


def test_the_pool_reports_results_and_failures_on_the_loop(start: Start) -> None:
    server = start(Recorder())
    results: SimpleQueue[object] = SimpleQueue()

    def fail() -> None:
        raise OSError("disk")

    def submit(_now: Now) -> None:
        pool = server.program.ports.pool
        pool.submit(lambda: 42, lambda result, _now: results.put(result))
        pool.submit(fail, lambda result, _now: results.put(result))

    server.do(submit)
    got = [results.get(timeout=WAIT_S), results.get(timeout=WAIT_S)]
    assert 42 in got
    assert any(isinstance(one, OSError) for one in got)


def test_the_outcome_of_a_quick_sync_waits_for_no_other_input(start: Start) -> None:
    server = start(Recorder())
    order: SimpleQueue[str] = SimpleQueue()

    def quick() -> bool:
        server.loop.post(lambda _now: order.put("other input"))
        return threading.current_thread() is server.thread

    def note(here: object, _now: Now) -> None:
        order.put("outcome on the loop" if here else "outcome")

    on_the_loop = 0
    for _ in range(100 * QUICK_IN_A_ROW):  # until the disk is trusted to be quick, and some more
        server.do(lambda _now: server.program.ports.pool.sync(quick, note))
        told = [order.get(timeout=WAIT_S), order.get(timeout=WAIT_S)]
        if "outcome on the loop" in told:
            assert told == ["outcome on the loop", "other input"]
            on_the_loop += 1
        if on_the_loop == 5:
            return
    pytest.fail("no sync was done on the loop")


def test_what_is_left_begins_no_turn_while_it_has_time(start: Start) -> None:
    one = start(Recorder())
    order: SimpleQueue[str] = SimpleQueue()
    has_time = True
    one.loop.leave(lambda _now: order.put("left"), lambda: has_time)
    one.loop.post(lambda _now: order.put("posted"))
    assert [order.get(timeout=WAIT_S), order.get(timeout=WAIT_S)] == ["left", "posted"]
    has_time = False
    one.loop.leave(lambda _now: order.put("left, in haste"), lambda: has_time)
    assert order.get(timeout=WAIT_S) == "left, in haste"


def test_what_is_left_in_a_turn_that_takes_its_time_away_runs_next(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transport.driver.loop.SLEEP_MAX_MS", 10 * WAIT_S * 1_000)
    one = start(Recorder())
    ran = threading.Event()
    has_time = True

    def turn(_now: Now) -> None:
        nonlocal has_time
        left = threading.Thread(
            target=one.loop.leave, args=(lambda _now: ran.set(), lambda: has_time)
        )
        left.start()
        left.join()  # it was asked, and had time
        has_time = False

    one.loop.post(turn)
    assert ran.wait(WAIT_S), "no sleep is between"


def test_a_loop_that_was_away_reports_the_gap() -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover - the child's own coverage is not collected
        program = Recorder()
        loop = Loop(program)

        def report(gap_ms: int, now: Now) -> None:
            os.write(writing, str(gap_ms).encode())
            loop.exit(0)

        program.on_gap = report  # type: ignore[method-assign]
        program.deadline_ms = None
        loop.post(lambda _now: os.kill(os.getpid(), signal.SIGSTOP))
        loop.run()
        os._exit(0)
    os.waitpid(child, os.WUNTRACED)
    threading.Event().wait(1.6)  # the length of the gap itself, not a wait for something
    os.kill(child, signal.SIGCONT)
    gap_ms = int(os.read(reading, 100))
    os.waitpid(child, 0)
    assert gap_ms >= 400


def test_a_call_is_open_until_its_last_answer() -> None:
    class Sink:
        asked: Envelope

        def send(self, _link: LinkId, envelope: Envelope) -> bool:
            self.asked = envelope
            return True

    calls, sink, link = Calls(), Sink(), LinkId(1)
    calls.attach(sink)  # type: ignore[arg-type]
    heard: list[object] = []
    request = FetchRequest(500, 1, 1_000, (), stays=True)
    calls.request(
        link, request, lambda body, _payload, _now: heard.append(body), Now(0, 0), timeout_ms=100
    )
    answers = [FetchResponse(0, stays=True), FetchResponse(0, stays=True), FetchResponse(0)]
    for answer in answers:
        assert len(calls) == 1
        assert calls.on_message(link, response(sink.asked, answer), Now(1, 1))
    assert heard == answers
    assert len(calls) == 0
    assert not calls.on_message(link, response(sink.asked, answers[0]), Now(1, 1)), "too late"


def test_a_call_that_cannot_be_encoded_fails_alone_and_in_the_next_turn() -> None:
    class Sink:
        def send(self, _link: LinkId, envelope: Envelope) -> bool:
            return bool(encode(envelope))

    calls, link = Calls(), LinkId(1)
    calls.attach(Sink())  # type: ignore[arg-type]
    heard: list[object] = []

    def ask(name: object) -> None:
        request = DescribeNodeRequest(name)  # type: ignore[arg-type]
        assert calls.request(
            link, request, lambda body, _payload, _now: heard.append(body), now, timeout_ms=100
        )

    now = Now(5, 0)
    for name in (object(), 1 << 70, "\ud800", "well"):
        ask(name)
    assert not heard, "whoever asks has yet to note that he waits"
    assert calls.next_deadline_ms() == 5
    calls.expire(now)
    assert [getattr(body, "error", None) for body in heard] == [ErrorCode.INVALID_REQUEST] * 3
    assert "DESCRIBE_NODE cannot be encoded" in getattr(heard[0], "text", "")
    assert len(calls) == calls.in_flight(link) == 1


def test_calls_expire_in_order_and_answer_exactly_once() -> None:
    class Sink:
        def send(self, _link: LinkId, _envelope: Envelope) -> bool:
            return True

    calls = Calls()
    calls.attach(Sink())  # type: ignore[arg-type]
    answered: list[int] = []
    random = Random(1)
    for number in range(50):
        calls.request(
            LinkId(number % 3),
            DescribeNodeRequest(""),
            lambda _body, _payload, _now, number=number: answered.append(number),  # type: ignore[misc]
            Now(0, 0),
            timeout_ms=random.randrange(1, 100),
        )
    calls.on_link_down(LinkId(1), Now(10, 0))
    due_ms = calls.next_deadline_ms()
    while due_ms is not None:
        calls.expire(Now(due_ms, 0))
        due_ms = calls.next_deadline_ms()
    assert sorted(answered) == list(range(50))
    assert len(calls) == 0
