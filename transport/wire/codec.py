"""Frames to messages and back: ``[header][payload…]``.

The header is one MessagePack array of plain values with the body inside as bytes.  Read in two
steps, so that a message whose body is damaged or unknown can still be answered by its number:
first the header, checked field by field, then the body by the types of its API and version.
Payload frames (record batches) are neither copied nor looked into.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple

import msgpack
import msgspec

from transport.wire.apis import Api
from transport.wire.errors import ErrorCode
from transport.wire.ids import ClusterId, Incarnation, NodeName
from transport.wire.messages import Message, Refusal
from transport.wire.registry import conversation

WIRE_VERSION = 1
HEADER_BYTES_MAX = 16 * 1024 * 1024
PAYLOAD_FRAMES_MAX = 4096
NO_DEADLINE_MS = -1
NO_CLUSTER = ClusterId("")
ANY_NODE = NodeName("")
ANY_INCARNATION = Incarnation(0)

Buffer = bytes | bytearray | memoryview


class Kind(IntEnum):
    """How a message is to be taken."""

    REQUEST = 0
    RESPONSE = 1
    REFUSAL = 2
    ONE_WAY = 3
    EVENT = 4


class Envelope(NamedTuple):
    """A message with everything the transport must know about it."""

    kind: Kind
    body: Message
    payload: tuple[Buffer, ...] = ()
    correlation_id: int = 0
    api_version: int = 0
    cluster_id: ClusterId = NO_CLUSTER
    """Empty: the sender does not know it yet (a client's first words)."""
    destination: NodeName = ANY_NODE
    """The node meant, or empty for whoever listens there."""
    incarnation: Incarnation = ANY_INCARNATION
    """The process meant, or 0 for any."""
    deadline_ms: int = NO_DEADLINE_MS
    """Relative: how long the sender still waits; −1 for ever."""
    cause_id: str = ""
    """Follows a request across processes, in every log line about it."""
    received_bytes: int = 0
    """Of an arrived request: what its sender had received on this connection (its credit)."""

    @property
    def api(self) -> Api:
        """The conversation this message belongs to."""
        return self.body.api

    def size_bytes(self) -> int:
        """Roughly what this message weighs: its payload, and a header's worth."""
        return 256 + sum(len(frame) for frame in self.payload)


class Malformed(Exception):
    """A peer's bytes are not a message.  Counted, answered where a number is known; never fatal."""

    def __init__(self, error: ErrorCode, text: str, correlation_id: int | None = None) -> None:
        super().__init__(text)
        self.error = error
        self.text = text
        self.correlation_id = correlation_id
        """Of the request to refuse, where the header could be read that far."""


_encode_body = msgspec.msgpack.Encoder().encode
_refusal_decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(Refusal)

# Position, type and name of each field in the header's array.
_HEADER_FIELDS: tuple[tuple[type, str], ...] = (
    (int, "version"),
    (int, "kind"),
    (int, "api"),
    (int, "api_version"),
    (int, "correlation_id"),
    (str, "cluster_id"),
    (str, "destination"),
    (int, "incarnation"),
    (int, "deadline_ms"),
    (str, "cause_id"),
    (int, "received_bytes"),
    (bytes, "body"),
)


def encode(envelope: Envelope, received_bytes: int = 0, cause_id: str = "") -> list[Buffer]:
    """Return the frames of ``envelope``.

    ``received_bytes`` is the credit its sender gives, ``cause_id`` takes the place of an empty one.
    """
    header = msgpack.packb(
        (
            WIRE_VERSION,
            int(envelope.kind),
            int(envelope.body.api),
            envelope.api_version,
            envelope.correlation_id,
            envelope.cluster_id,
            envelope.destination,
            envelope.incarnation,
            envelope.deadline_ms,
            envelope.cause_id or cause_id,
            received_bytes,
            _encode_body(envelope.body),
        )
    )
    return [header, *envelope.payload]


def decode(frames: list[Buffer]) -> Envelope:
    """Read and validate one message; raises :class:`Malformed`, whatever the bytes."""
    if not frames:
        raise Malformed(ErrorCode.MALFORMED, "a message without frames")
    if len(frames) - 1 > PAYLOAD_FRAMES_MAX:
        raise Malformed(ErrorCode.MALFORMED, f"more than {PAYLOAD_FRAMES_MAX} payload frames")
    fields = _decode_header(frames[0])
    version, kind, api, api_version, correlation_id = fields[:5]
    number = correlation_id if kind == Kind.REQUEST else None
    if version != WIRE_VERSION:
        raise Malformed(ErrorCode.UNSUPPORTED_VERSION, f"wire version {version}", number)
    body = _decode_body(kind, api, api_version, fields[11], number)
    return Envelope(
        Kind(kind),
        body,
        tuple(frames[1:]),
        correlation_id,
        api_version,
        ClusterId(fields[5]),
        NodeName(fields[6]),
        Incarnation(fields[7]),
        fields[8],
        fields[9],
        fields[10],
    )


def _decode_header(frame: Buffer) -> list[Any]:
    if len(frame) > HEADER_BYTES_MAX:
        raise Malformed(ErrorCode.MALFORMED, f"a header of {len(frame)} bytes")
    try:
        fields = msgpack.unpackb(frame)
    except Exception as error:  # noqa: BLE001 - msgpack raises many kinds on hostile bytes
        raise Malformed(ErrorCode.MALFORMED, f"the header is not MessagePack: {error}") from None
    if not isinstance(fields, list) or len(fields) < len(_HEADER_FIELDS):
        raise Malformed(ErrorCode.MALFORMED, "the header is not an array of 12 fields")
    for value, (expected, name) in zip(fields, _HEADER_FIELDS, strict=False):
        if type(value) is not expected:
            raise Malformed(ErrorCode.MALFORMED, f"header field {name} is not {expected.__name__}")
    return fields


def _decode_body(kind: int, api: int, api_version: int, body: bytes, number: int | None) -> Message:
    if kind == Kind.REFUSAL:
        decoder: msgspec.msgpack.Decoder[Any] | None = _refusal_decoder
    else:
        try:
            types = conversation(Api(api), api_version)
        except ValueError:
            raise Malformed(ErrorCode.UNKNOWN_API, f"unknown API key {api}", number) from None
        if types is None:
            text = f"API {Api(api).name} is not spoken in version {api_version}"
            raise Malformed(ErrorCode.UNSUPPORTED_VERSION, text, number)
        decoder = types.answer_decoder if kind == Kind.RESPONSE else types.question_decoder
    if decoder is None or kind not in Kind._value2member_map_:
        raise Malformed(ErrorCode.MALFORMED, f"kind {kind} does not fit API key {api}", number)
    try:
        decoded: Message = decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(ErrorCode.MALFORMED, f"API key {api}: {error}", number) from None
    return decoded
