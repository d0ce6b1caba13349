"""One connection of a simulated Kafka client: requests out, answers in.

Spoken with the gateway's own codec, used from the other side: requests are written, responses read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from tests.simulation.checkers.answered_in_order import check_answered_in_order
from tests.simulation.foreign.login import NAME as SCRAM_NAME
from tests.simulation.foreign.login import ScramExchange
from tests.simulation.process import SimulatedProcess
from transport.gateway.kafka.apis import APIS, ApiKey, conversation
from transport.gateway.kafka.fields import Struct
from transport.gateway.kafka.frames import FrameReader
from transport.gateway.kafka.messages.api_versions import ApiVersionsRequest, ApiVersionsResponse
from transport.gateway.kafka.messages.sasl import (
    SaslAuthenticateRequest,
    SaslAuthenticateResponse,
    SaslHandshakeRequest,
    SaslHandshakeResponse,
)
from transport.gateway.kafka.reader import Reader
from transport.gateway.kafka.writer import Writer
from transport.kernel import Now
from transport.wire.errors import ErrorCode

PATIENCE_MS = 4_000
"""A connection on which nothing is answered for so long is given up, as request.timeout.ms has it."""
RESPONSE_BYTES_MAX = 64 * 1024 * 1024
NUMBER_BYTES = 4
HANDSHAKE_VERSION = 1
"""The one that frames what follows it."""
TO_COME = 99
"""A version that nobody speaks yet."""

Then = Callable[[Any, Now], None]
"""Takes the response; None: the connection has ended before it came."""


class Tongue(NamedTuple):
    """Which versions a client speaks, of all that its broker does."""

    age: float
    """From 0, the lowest versions, to 1, the highest."""
    is_newer: bool = False
    """It begins with a version that its broker does not know."""
    limits: tuple[tuple[ApiKey, int], ...] = ()
    """The highest versions of some APIs that it speaks."""

    def version(self, key: ApiKey, told: dict[int, tuple[int, int]]) -> int:
        """Choose one of those told of; lower ones than have a declaration nobody is that old for."""
        low, high = told[key]
        low = max(low, APIS[key].lowest)
        high = min(high, dict(self.limits).get(key, high))
        return low + round(self.age * (high - low))


class _Asked(NamedTuple):
    key: ApiKey
    body: Struct
    then: Then
    since_ms: int


def request_frame(key: ApiKey, version: int, number: int, body: Struct, client_id: str) -> bytes:
    """Return a request with its size before it."""
    spoken = conversation(key, version)
    assert spoken is not None, f"{key.name} is spoken in version {version}"
    writer = Writer()
    writer.buffer += key.to_bytes(2, "big") + version.to_bytes(2, "big")
    writer.buffer += number.to_bytes(NUMBER_BYTES, "big")
    writer.buffer += len(client_id).to_bytes(2, "big") + client_id.encode()
    if spoken.request_is_flexible:
        writer.uvarint(0)
    spoken.request.write(writer, body)
    return b"".join(writer.frame())


class Connection:
    """Dialled when it is made. Calls back in the turns of its process, until it is closed."""

    def __init__(
        self,
        process: SimulatedProcess,
        endpoint: str,
        tongue: Tongue,
        on_end: Callable[[Connection, Now], None],
        now: Now,
    ) -> None:
        self.endpoint = endpoint
        self._process = process
        self._tongue = tongue
        self._on_end = on_end
        self._open: deque[int] = deque()
        """The numbers of what was asked, as far as it is not answered."""
        self._frames = FrameReader(RESPONSE_BYTES_MAX)
        self._versions: dict[int, tuple[int, int]] = {}
        self._unsent: deque[_Asked] = deque()
        """Until the broker has told what it speaks."""
        self._asked: dict[int, tuple[_Asked, int]] = {}
        """By their numbers, with the versions that they were sent in."""
        self._sent_us: dict[int, int] = {}
        """When what a user asks for was sent, by its number."""
        self._last = 0
        self._closed = False
        self._login = process.network.logins.of(process.host)
        """Who it is; None: nobody asks."""
        self._is_in = self._login is None
        """It may ask what it likes."""
        self._stream = process.network.streams.dial(process.host, endpoint, _Peer(self))

    @property
    def in_flight(self) -> int:
        """How many requests wait for their answers, or to be sent."""
        return len(self._asked) + len(self._unsent)

    def ask(self, key: ApiKey, body: Struct, then: Then, now: Now) -> None:
        """Send a request, or keep it until it may be sent."""
        asked = _Asked(key, body, then, now.mono_ms)
        if self._versions and self._is_in:
            self._send(asked, self._tongue.version(key, self._versions))
        else:
            self._unsent.append(asked)

    def version(self, key: ApiKey) -> int:
        """Return the version that this API is spoken in here; −1: that is not known yet."""
        return self._tongue.version(key, self._versions) if self._versions else -1

    def is_stuck(self, now: Now) -> bool:
        """Tell whether somebody has waited for too long."""
        waiting = [asked for asked, _ in self._asked.values()] + list(self._unsent)
        return any(now.mono_ms - asked.since_ms > PATIENCE_MS for asked in waiting)

    def close(self, now: Now) -> None:
        """End it; nothing that was asked is answered."""
        if not self._closed:
            self._stream.close()
            self._end(now)

    def abandon(self) -> None:
        """Its process is killed: nobody hears any more what comes."""
        self._closed = True
        self._stream.close()

    def do(self, action: Callable[[Now], object]) -> None:
        """Have the process take something that has come, unless it has closed this meanwhile."""
        self._process.do(lambda now: None if self._closed else action(now))

    def greet(self, now: Now) -> None:
        """Ask what is spoken, as soon as there is somebody to ask."""
        self._greet(APIS[ApiKey.API_VERSIONS].highest, now)

    def _greet(self, version: int, now: Now) -> None:
        body = ApiVersionsRequest(client_software_name="simulated", client_software_version="1.0")
        asked = _Asked(ApiKey.API_VERSIONS, body, self._told_versions, now.mono_ms)
        self._send(asked, version, announced=TO_COME if self._tongue.is_newer else version)

    def _told_versions(self, response: ApiVersionsResponse | None, now: Now) -> None:
        if response is None:
            return
        expected = ErrorCode.UNSUPPORTED_VERSION if self._tongue.is_newer else ErrorCode.NONE
        assert response.error_code == expected, f"ApiVersions was answered {response.error_code}"
        told = {row.api_key: (row.min_version, row.max_version) for row in response.api_keys}
        if self._tongue.is_newer:
            self._tongue = self._tongue._replace(is_newer=False)
            self._greet(told[ApiKey.API_VERSIONS][1], now)
            return
        self._versions = told
        if self._is_in:
            self._send_unsent()
        else:
            self._log_in(now)

    def _send_unsent(self) -> None:
        while self._unsent:
            asked = self._unsent.popleft()
            self._send(asked, self._tongue.version(asked.key, self._versions))

    def _log_in(self, now: Now) -> None:
        """Prove a password before anything else is asked; refused, it ends."""
        login, random, world = self._login, self._process.random, self._process.world
        assert login is not None, "somebody asks"
        password = random.choice(login.passwords)
        exchange = ScramExchange(login.user, password, f"{random.getrandbits(64):x}")
        sent_us = 0

        def step(message: bytes, then: Then, now: Now) -> None:
            version = self._tongue.version(ApiKey.SASL_AUTHENTICATE, self._versions)
            body = SaslAuthenticateRequest(auth_bytes=message)
            asked = _Asked(ApiKey.SASL_AUTHENTICATE, body, then, now.mono_ms)
            self._send(asked, version)

        def shaken(response: SaslHandshakeResponse | None, now: Now) -> None:
            if response is not None:
                assert response.error_code == ErrorCode.NONE, f"told {response.error_code}"
                step(exchange.first(), challenged, now)

        def challenged(response: SaslAuthenticateResponse | None, now: Now) -> None:
            nonlocal sent_us
            if response is not None and self._is_well(response, now):
                sent_us = world.now_us
                step(exchange.final(response.auth_bytes), judged, now)

        def judged(response: SaslAuthenticateResponse | None, now: Now) -> None:
            if response is not None and self._is_well(response, now):
                exchange.check(response.auth_bytes)
                self._process.network.logins.on_answered(self.endpoint, login, sent_us, password)
                self._is_in = True
                self._send_unsent()

        body = SaslHandshakeRequest(mechanism=SCRAM_NAME)
        asked = _Asked(ApiKey.SASL_HANDSHAKE, body, shaken, now.mono_ms)
        self._send(asked, HANDSHAKE_VERSION)

    def _is_well(self, response: SaslAuthenticateResponse, now: Now) -> bool:
        if response.error_code == ErrorCode.NONE:
            return True
        assert response.error_code == ErrorCode.SASL_AUTHENTICATION_FAILED, response.error_code
        self.close(now)
        return False

    def _send(self, asked: _Asked, version: int, announced: int | None = None) -> None:
        self._last += 1
        frame = request_frame(asked.key, version, self._last, asked.body, self._process.host)
        if announced is not None and announced != version:
            frame = frame[:6] + announced.to_bytes(2, "big") + frame[8:]
            version = 0  # as who does not know a version answers
        self._asked[self._last] = asked, version
        if self._login is not None and self._is_in:
            self._sent_us[self._last] = self._process.world.now_us
        self._open.append(self._last)
        self._stream.send(frame)

    def take(self, data: bytes, now: Now) -> None:
        """Read what has come."""
        for frame in self._frames.feed(data):
            number = int.from_bytes(frame[:NUMBER_BYTES], "big")
            check_answered_in_order(self._open, number)
            asked, version = self._asked.pop(number)
            spoken = conversation(asked.key, version)
            assert spoken is not None
            reader = Reader(frame, NUMBER_BYTES)
            if spoken.response_is_flexible:
                assert reader.uvarint() == 0, "no tagged fields in the header"
            response = spoken.response.read(reader)
            assert reader.left == 0, f"{reader.left} bytes behind the end of {asked.key.name}"
            if number in self._sent_us:
                assert self._login is not None
                sent_us, logins = self._sent_us.pop(number), self._process.network.logins
                logins.on_answered(self.endpoint, self._login, sent_us, None)
            asked.then(response, now)
            if self._closed:
                return

    def ended(self, now: Now) -> None:
        """The broker has ended it, or the network."""
        self._end(now)

    def _end(self, now: Now) -> None:
        self._closed = True
        self._on_end(self, now)
        left = [asked for asked, _ in self._asked.values()] + list(self._unsent)
        self._asked.clear()
        self._unsent.clear()
        for asked in left:
            asked.then(None, now)


class _Peer:
    """What the network tells, as something for the process to do in its next turn."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def on_opened(self) -> None:
        self._connection.do(self._connection.greet)

    def on_bytes(self, data: bytes) -> None:
        self._connection.do(partial(self._connection.take, data))

    def on_end(self) -> None:
        self._connection.do(self._connection.ended)
