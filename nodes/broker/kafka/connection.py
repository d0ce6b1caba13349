"""One connection: requests in, answers out in the order of the requests.

A request begins when those before it have been answered, as Kafka has it; only writes go on beside
each other, as each is taken into its log in the order of arrival and a wait for replicas would
else be added to the next one's.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from nodes.broker.kafka.doorkeeper import STRANGER_BYTES_MAX, Proof
from nodes.broker.kafka.exchange import Exchange
from nodes.broker.kafka.raw_tokens import TOKEN_BYTES_MIN, RawToken, read_token
from nodes.broker.kafka.table import translator
from transport.driver.ports import Stranger, StreamId
from transport.gateway.kafka.apis import APIS, ApiKey, conversation
from transport.gateway.kafka.frames import (
    SIZE_BYTES,
    Asked,
    FrameReader,
    RequestHeader,
    UnspokenVersion,
    read_request,
    response_frame,
)
from transport.gateway.kafka.reader import MalformedFrame
from transport.kernel import Now
from transport.wire.codec import Buffer, Envelope, Kind
from transport.wire.errors import ErrorCode
from transport.wire.messages import Message, Refusal

if TYPE_CHECKING:
    from nodes.broker.kafka.listener import KafkaListener

FRAME_BYTES_MAX = 100 * 1024 * 1024
"""As Kafka's socket.request.max.bytes."""
WRITES_MAX = 64
WRITES_BYTES_MAX = 16 * 1024 * 1024
"""That go on beside each other; with more, the next one waits, however small."""
ELEMENTS_AS_A_REQUEST = 25
"""To read so many elements of its lists, to ask for them and to answer them, takes as long as a request."""
ELEMENT_BYTES = 128
"""What one takes in memory, which may be of one byte on the wire, until it is answered."""
ANSWER_BYTES_AS_A_REQUEST = 1024
"""To make so much of an answer, too, but for records, which pass as they are."""
WAITING_MAX = 64
WAITING_BYTES_MAX = 4 * 1024 * 1024
"""Requests behind those; with more nothing is read."""
REPORTED_MAX = 100
"""Connections ended for one reason are named in the log so often; then they are only counted."""
ABSENT = (ErrorCode.STOPPING, ErrorCode.BROKER_NOT_AVAILABLE)
"""As a broker of Kafka's that stops, or does not listen yet: no client takes the end of its connection for an
answer, but some give up what they are told so about."""
PRODUCE = int(ApiKey.PRODUCE)
FAILED = "kafka_translations_failed"

Then = Callable[[Any, tuple[Buffer, ...]], None]

_logger = logging.getLogger("odradek.broker")


class Connection:
    """Of one client."""

    def __init__(self, listener: KafkaListener, stream: StreamId, stranger: Stranger) -> None:
        self.listener = listener
        self.stream = stream
        self.address = stranger.address
        self.origin = listener.strangers.admit(stranger, self._on_reply)
        self.soft_state: dict[str, Any] = {}
        """What a conversation keeps of this client, under its own name; gone with the connection."""
        self.farewell: Message | None = None
        """To be asked for this client, without an answer, when it has gone."""
        self.proof: Proof | None = None if listener.doorkeeper is None else Proof()
        """How far it has come with proving who it is; None: nobody asks."""
        self._bytes_max = FRAME_BYTES_MAX if self.proof is None else STRANGER_BYTES_MAX
        bounds = () if self.proof is None else (TOKEN_BYTES_MIN,)
        self._frames = FrameReader(self._bytes_max, *bounds)
        self._waiting: deque[tuple[memoryview, int]] = deque()
        """Frames, and when they have come by the clock of ``listener.times``."""
        self._waiting_bytes = 0
        self._begun: deque[Exchange] = deque()
        """In the order of their requests; the first one is answered next."""
        self._begun_bytes = 0
        self._asked: dict[int, Then] = {}
        self._last_question = 0
        self._beginning = False
        self._paused = False
        self._open = True
        self.held_bytes = 0

    @property
    def is_open(self) -> bool:
        """It has not ended."""
        return self._open

    def let_in(self, user: str) -> None:
        """Be a user to the broker's handlers from the next request on, which may be a large one."""
        self.become(user)
        self._bytes_max = self._frames.bytes_max = FRAME_BYTES_MAX

    def become(self, principal: str) -> None:
        """Be this principal to the broker's handlers from the next request on."""
        self.origin = replace(self.origin, principal=principal)

    # Requests

    def on_bytes(self, data: bytes, now: Now) -> None:
        """Cut what has come into requests, and begin those that may."""
        try:
            since_ns = self.listener.times.now_ns()
            came = 0
            for frame in self._frames.feed(data):
                self._waiting.append((frame, since_ns))
                self._waiting_bytes += len(frame)
                came += 1
        except MalformedFrame as fault:
            self.end("kafka_frames_malformed", str(fault))
            return
        self.go_on(now)
        self._let_go(came)
        if self._open and self.held_bytes > self._bytes_max + SIZE_BYTES and self._is_stranger:
            self.end("kafka_strangers_over_budget", "it holds too much for one that proved nothing")
        self.listener.keep_to_budget()

    def _let_go(self, came: int) -> None:
        """Copy what has to wait of the frames that came last: a view keeps all that came with it."""
        for place in range(-min(came, len(self._waiting)), 0):
            frame, since_ns = self._waiting[place]
            if 2 * len(frame) < len(memoryview(frame.obj)):
                self._waiting[place] = memoryview(bytes(frame)), since_ns

    def go_on(self, now: Now) -> None:
        """Begin the requests whose turn it is, so many that others have theirs."""
        self._beginning = True
        while self._has_next and self.listener.room > 0:
            frame, since_ns = self._waiting.popleft()
            self._waiting_bytes -= len(frame)
            self._begin(frame, since_ns, now)
        self._beginning = False
        if self._open:
            if self._has_next:
                self.listener.hold_up(self)
            self._count_held()
            full = len(self._waiting) >= WAITING_MAX or self._waiting_bytes >= WAITING_BYTES_MAX
            if full is not self._paused:
                self._paused = full
                streams = self.listener.context.ports.streams
                (streams.pause if full else streams.resume)(self.stream)

    @property
    def _has_next(self) -> bool:
        """There is a request whose turn it is."""
        if not (self._open and self._waiting):
            return False
        if not self._begun:
            return True
        writes = int.from_bytes(self._waiting[0][0][:2], "big") == PRODUCE
        # All that are begun are writes, if the last one is.
        has_room = len(self._begun) < WRITES_MAX and self._begun_bytes < WRITES_BYTES_MAX
        return writes and has_room and self._begun[-1].header.api_key == PRODUCE

    @property
    def _is_stranger(self) -> bool:
        """It has still to prove who it is."""
        return self.proof is not None and not self.proof.user

    def _begin(self, frame: memoryview, since_ns: int, now: Now) -> None:
        self.listener.context.count("kafka_requests")
        self.listener.room -= 1
        if self.proof is not None and self.proof.is_raw:
            self._translate(read_token(frame), since_ns, len(frame), now)
            return
        if self.proof is not None:
            api_key = int.from_bytes(frame[:2], "big", signed=True)
            if not self.proof.admits(api_key, now):
                self.end("kafka_requests_unproved", f"API {api_key}, and no proof who asks")
                return
        try:
            asked = read_request(frame)
        except UnspokenVersion as unspoken:
            self._refuse_version(unspoken)
            return
        except MalformedFrame as fault:
            self.end("kafka_requests_malformed", str(fault))
            return
        self.listener.room -= asked.elements // ELEMENTS_AS_A_REQUEST
        self._translate(asked, since_ns, len(frame), now)

    def _translate(self, asked: Asked | RawToken, since_ns: int, size_bytes: int, now: Now) -> None:
        exchange = Exchange(self, asked, now, since_ns, size_bytes)
        exchange.kept_bytes += ELEMENT_BYTES * asked.elements
        self._begun.append(exchange)
        self._begun_bytes += exchange.size_bytes
        self._guard(exchange, lambda: translator(asked.header.api_key)(exchange))

    def _refuse_version(self, unspoken: UnspokenVersion) -> None:
        """Tell who asks what is spoken that it is less than it thinks; end everybody else."""
        from nodes.broker.kafka.api_versions import spoken_here

        header = unspoken.header
        if header.api_key != ApiKey.API_VERSIONS or self._begun:
            self.end("kafka_versions_unspoken", str(unspoken))
            return
        oldest = conversation(header.api_key, APIS[ApiKey.API_VERSIONS].lowest)
        assert oldest is not None, "its lowest version is spoken"
        body = spoken_here(ErrorCode.UNSUPPORTED_VERSION)
        self._send(response_frame(header.correlation_id, oldest, body))

    # Questions to the broker, and their answers

    def ask(self, body: Message, then: Then, payload: tuple[Buffer, ...]) -> None:
        """Ask the broker's handlers."""
        if self._open:
            self._last_question += 1
            self._asked[self._last_question] = then
            envelope = Envelope(Kind.REQUEST, body, payload, self._last_question)
            self.listener.ask(self.origin, envelope)

    def _on_reply(self, envelope: Envelope) -> bool:
        if not self._open:
            return False
        body, then = envelope.body, self._asked.pop(envelope.correlation_id, None)
        if isinstance(body, Refusal) and body.error in ABSENT:
            self.listener.context.count("kafka_connections_ended")
            self.listener.close(self)
        elif then is not None:
            self._guard(None, lambda: then(body, envelope.payload))
        return self._open

    def answered(self) -> None:
        """Send what is next in order and has its answer."""
        while self._open and self._begun and self._begun[0].is_done:
            exchange = self._begun.popleft()
            self._begun_bytes -= exchange.size_bytes
            if exchange.frame:
                made_bytes = sum(map(len, exchange.frame)) - exchange.passed_bytes
                self.listener.room -= made_bytes // ANSWER_BYTES_AS_A_REQUEST
                self._send(exchange.frame)
            self.listener.times.took(ApiKey(exchange.header.api_key).name, exchange.since_ns)
        if self._open:
            self._count_held()
        if self._has_next and not self._beginning:
            self.listener.hold_up(self)

    def _send(self, frame: Any) -> None:
        if not self.listener.context.ports.streams.send(self.stream, frame):
            self.end("kafka_connections_stuck", "its answers are not taken")

    # Ends

    def _guard(self, exchange: Exchange | None, translate: Callable[[], None]) -> None:
        """Run a translation; one that fails is our bug, and must not be the broker's end."""
        try:
            translate()
        except Exception:
            if self._may_report(FAILED):
                _logger.exception("a request of %s could not be translated", self.address)
            what = "" if exchange is None else f": {_named(exchange.header)}"
            self.end(FAILED, f"our fault{what}; it is in the log")

    def end(self, figure: str, text: str) -> None:
        """End the connection for a reason that is counted, and often enough named in the log."""
        if self._open:
            context = self.listener.context
            if self._may_report(figure):
                context.report(figure, f"Kafka client at {self.address} ended: {text}")
            else:
                context.count(figure)
            self.listener.close(self)

    def _may_report(self, figure: str) -> bool:
        """Tell whether the log has room for it: clients must not be able to fill a disk."""
        return self.listener.context.figures.get(figure, 0) < REPORTED_MAX

    def forget(self) -> None:
        """Know the client no more: it has gone, or is being sent away."""
        self._open = False
        self.listener.strangers.dismiss(self.origin)
        if self.farewell is not None:
            self.listener.ask(self.origin, Envelope(Kind.REQUEST, self.farewell))
        self.listener.held_bytes -= self.held_bytes
        self.held_bytes = 0
        self._waiting.clear()
        self._begun.clear()
        self._asked.clear()

    def check(self) -> None:
        """Assert D3: only writes go on beside each other, and not too many."""
        assert len(self._begun) <= WRITES_MAX, "D3"
        if len(self._begun) > 1:
            assert all(one.header.api_key == PRODUCE for one in self._begun), "D3"

    def _count_held(self) -> None:
        begun = sum(exchange.kept_bytes for exchange in self._begun)
        held = self._waiting_bytes + self._frames.gathered_bytes + begun
        self.listener.held_bytes += held - self.held_bytes
        self.held_bytes = held


def _named(header: RequestHeader) -> str:
    return f"{ApiKey(header.api_key).name} version {header.api_version}"
