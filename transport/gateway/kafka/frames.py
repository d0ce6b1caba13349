"""The stream cut into frames, and the headers that every request and response begins with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from struct import Struct as Layout
from typing import NamedTuple

from transport.gateway.greeting import greeting
from transport.gateway.kafka.apis import ApiKey, Conversation, conversation
from transport.gateway.kafka.fields import Struct
from transport.gateway.kafka.reader import (
    ELEMENTS_MAX,
    TAGGED_BYTES_MIN,
    MalformedFrame,
    Reader,
)
from transport.gateway.kafka.writer import Buffer, Writer

SIZE_BYTES = 4
PIECE_BYTES_MIN = 4 * 1024
"""Of a piece of a frame that is kept as it came."""
_HEADER = Layout(">hhi")
_CORRELATION = Layout(">i")
_TEXT_LENGTH = Layout(">h")


class FrameReader:
    """Cuts a stream into frames; one that announces more than ``bytes_max`` ends it at once.

    So does one of less than ``bytes_min``: of a request's header.
    """

    def __init__(self, bytes_max: int, bytes_min: int = _HEADER.size) -> None:
        self.bytes_max = bytes_max
        self._bytes_min = bytes_min
        self._chunks: list[Buffer] = []
        self._gathered = 0
        self._size = -1
        """Of the frame that is on its way; −1 before its size is known."""

    @property
    def gathered_bytes(self) -> int:
        """What is held of a frame that is not yet whole."""
        return self._gathered

    def feed(self, chunk: Buffer) -> Iterator[memoryview]:
        """Take what has arrived; yield every frame that it makes whole, without its size.

        A frame is a view of the chunk it came in, or of one copy of the chunks it came in.
        """
        self._keep(chunk)
        self._gathered += len(chunk)
        if self._gathered < max(self._size, 0) + SIZE_BYTES:
            return
        data = memoryview(self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks))
        position = 0
        self._size = -1
        while len(data) - position >= SIZE_BYTES:
            self._size = self._judge(data[position : position + SIZE_BYTES])
            end = position + SIZE_BYTES + self._size
            if end > len(data):
                break
            yield data[position + SIZE_BYTES : end]
            position, self._size = end, -1
        rest = bytes(data[position:])  # a view would keep the whole chunk
        self._chunks = [rest] if rest else []
        self._gathered = len(rest)

    def _keep(self, chunk: Buffer) -> None:
        """Keep what came until the frame is whole: small pieces in one, as each of its own takes more
        memory than it has bytes."""
        last = self._chunks[-1] if self._chunks else None
        if len(chunk) >= PIECE_BYTES_MIN or last is None:
            self._chunks.append(chunk)
        elif isinstance(last, bytearray):
            last += chunk
        else:
            self._chunks.append(bytearray(chunk))

    def _judge(self, announced: memoryview) -> int:
        size = int.from_bytes(announced, "big", signed=True)
        if not self._bytes_min <= size <= self.bytes_max:
            why = greeting(bytes(announced)) or f"{self.bytes_max} are the most"
            raise MalformedFrame(f"a frame of {size} bytes; {why}")
        return size


class RequestHeader(NamedTuple):
    """What every request begins with."""

    api_key: int
    api_version: int
    correlation_id: int
    client_id: str = ""


class UnspokenVersion(Exception):
    """A request of an API or a version that is not spoken here; ``header`` has no client id."""

    def __init__(self, header: RequestHeader) -> None:
        super().__init__(f"API {header.api_key} version {header.api_version} is not spoken here")
        self.header = header


class Asked(NamedTuple):
    """A request as read."""

    header: RequestHeader
    body: Struct
    spoken: Conversation
    elements: int
    """In all its lists together."""

    def answer(self, response: Struct) -> Sequence[Buffer]:
        """Return the frame of its answer."""
        return response_frame(self.header.correlation_id, self.spoken, response)


def read_request(frame: memoryview) -> Asked:
    """Read a frame; raises MalformedFrame, and UnspokenVersion."""
    reader = Reader(frame)
    key, version, correlation_id = reader.fixed(_HEADER)
    spoken = conversation(key, version)
    if spoken is None:
        raise UnspokenVersion(RequestHeader(key, version, correlation_id))
    try:
        client_id = _rest_of_header(reader, flexible=spoken.request_is_flexible)
        body = spoken.request.read(reader)
    except MalformedFrame as fault:
        raise MalformedFrame(f"{ApiKey(key).name} version {version}: {fault}") from None
    # What is left is passed over, as by Kafka: librdkafka leaves bytes behind a null array of topics.
    header = RequestHeader(key, version, correlation_id, client_id)
    return Asked(header, body, spoken, ELEMENTS_MAX - reader.elements_left)


def _rest_of_header(reader: Reader, *, flexible: bool) -> str:
    """Pass over the header's tagged fields; return the client's id."""
    (length,) = reader.fixed(_TEXT_LENGTH)
    client_id = reader.text(length) if length >= 0 else ""
    if flexible:
        count = reader.uvarint()
        reader.claim(count, TAGGED_BYTES_MIN)
        for _ in range(count):
            reader.uvarint()
            reader.take(reader.uvarint())
    return client_id


def response_frame(correlation_id: int, spoken: Conversation, response: Struct) -> Sequence[Buffer]:
    """Return a response as the pieces of a frame."""
    writer = Writer()
    writer.buffer += _CORRELATION.pack(correlation_id)
    if spoken.response_is_flexible:
        writer.uvarint(0)
    spoken.response.write(writer, response)
    return writer.frame()
