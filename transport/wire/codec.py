"""Frames to messages and back: ``[header][payload…]``.

The header is one MessagePack array of plain values with the body inside as bytes.  Read in two
steps, so that a message whose body is damaged or unknown can still be answered by its number:
first the header, checked field by field, then the body by the types of its API and version.
Payload frames (record batches) are neither copied nor looked into.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

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


class Envelope(msgspec.Struct, frozen=True):
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
        return 256 + sum(map(len, self.payload))


class Malformed(Exception):
    """A peer's bytes are not a message.  Counted, answered where a number is known; never fatal."""

    def __init__(self, error: ErrorCode, text: str, correlation_id: int | None = None) -> None:
        super().__init__(text)
        self.error = error
        self.text = text
        self.correlation_id = correlation_id
        """Of the request to refuse, where the header could be read that far."""


class Unsendable(Exception):
    """A message of our own cannot be made into bytes: something in it is not what its type says."""


_pack = msgpack.Packer().pack
"""``packb`` makes a packer for each call; this one keeps the room that its largest header took."""
PACKED_BYTES_MAX = 64 * 1024
_encode_body = msgspec.msgpack.Encoder().encode
_refusal_decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(Refusal)


class _Header(msgspec.Struct, array_like=True, gc=False):
    """The header's array, field by field; what a newer sender adds at its end is passed over."""

    version: int
    kind: int
    api: int
    api_version: int
    correlation_id: int
    cluster_id: str
    destination: str
    incarnation: int
    deadline_ms: int
    cause_id: str
    received_bytes: int
    body: bytes


_header_decoder = msgspec.msgpack.Decoder(_Header)
_KINDS = {int(kind): kind for kind in Kind}
_APIS = {int(api): api for api in Api}


def encode(envelope: Envelope, received_bytes: int = 0, cause_id: str = "") -> list[Buffer]:
    """Return the frames of ``envelope``.

    ``received_bytes`` is the credit its sender gives, ``cause_id`` takes the place of an empty one.
    Raises :class:`Unsendable`.
    """
    try:
        body = _encode_body(envelope.body)
        pack = _pack if len(body) <= PACKED_BYTES_MAX else msgpack.packb
        header = pack(
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
                body,
            )
        )
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise Unsendable(f"{envelope.body.api.name} cannot be encoded: {error}") from error
    return [header, *envelope.payload]


def decode(frames: list[Buffer]) -> Envelope:
    """Read and validate one message; raises :class:`Malformed`, whatever the bytes."""
    if not frames:
        raise Malformed(ErrorCode.MALFORMED, "a message without frames")
    if len(frames) - 1 > PAYLOAD_FRAMES_MAX:
        raise Malformed(ErrorCode.MALFORMED, f"more than {PAYLOAD_FRAMES_MAX} payload frames")
    header = _decode_header(frames[0])
    number = header.correlation_id if header.kind == Kind.REQUEST else None
    if header.version != WIRE_VERSION:
        text = f"wire version {header.version}"
        raise Malformed(ErrorCode.UNSUPPORTED_VERSION, text, number)
    kind = _KINDS.get(header.kind)
    if kind is None:
        raise Malformed(ErrorCode.MALFORMED, f"kind {header.kind}", number)
    return Envelope(
        kind,
        _decode_body(kind, header.api, header.api_version, header.body, number),
        tuple(frames[1:]),
        header.correlation_id,
        header.api_version,
        ClusterId(header.cluster_id),
        NodeName(header.destination),
        Incarnation(header.incarnation),
        header.deadline_ms,
        header.cause_id,
        header.received_bytes,
    )


def _decode_header(frame: Buffer) -> _Header:
    if len(frame) > HEADER_BYTES_MAX:
        raise Malformed(ErrorCode.MALFORMED, f"a header of {len(frame)} bytes")
    try:
        return _header_decoder.decode(frame)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(ErrorCode.MALFORMED, f"the header: {error}") from None


def _decode_body(
    kind: Kind, api: int, api_version: int, body: bytes, number: int | None
) -> Message:
    if kind is Kind.REFUSAL:
        decoder: msgspec.msgpack.Decoder[Any] | None = _refusal_decoder
    else:
        try:
            types = conversation(_APIS[api], api_version)
        except KeyError:
            raise Malformed(ErrorCode.UNKNOWN_API, f"unknown API key {api}", number) from None
        if types is None:
            text = f"API {Api(api).name} is not spoken in version {api_version}"
            raise Malformed(ErrorCode.UNSUPPORTED_VERSION, text, number)
        decoder = types.answer_decoder if kind is Kind.RESPONSE else types.question_decoder
    if decoder is None:
        raise Malformed(ErrorCode.MALFORMED, f"kind {kind} does not fit API key {api}", number)
    try:
        decoded: Message = decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(ErrorCode.MALFORMED, f"API key {api}: {error}", number) from None
    return decoded
