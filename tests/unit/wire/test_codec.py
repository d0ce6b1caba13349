"""The codec: whatever the bytes, a message or Malformed; what is sent is what arrives."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from random import Random

import msgpack
import pytest
from msgspec.structs import replace

import transport.wire.messages
from transport.wire.apis import Api
from transport.wire.codec import (
    PAYLOAD_FRAMES_MAX,
    WIRE_VERSION,
    Envelope,
    Kind,
    Malformed,
    decode,
    encode,
)
from transport.wire.errors import MEANINGS, ErrorCode, meaning
from transport.wire.ids import ClusterId, Incarnation, NodeName, RequestId, SessionId
from transport.wire.messages import Message, Refusal
from transport.wire.messages.coordination import (
    Check,
    Create,
    GetData,
    Multi,
    OperateRequest,
    SessionOperation,
)
from transport.wire.registry import conversation

BODY = OperateRequest(
    SessionId(7),
    RequestId(1),
    (
        SessionOperation(RequestId(1), Create("/a", b"data")),
        SessionOperation(RequestId(2), Multi((Check("/a", 3), Create("/b")))),
        SessionOperation(RequestId(0), GetData("/a", watch=True)),
    ),
)
REQUEST = Envelope(
    Kind.REQUEST,
    BODY,
    (b"batch one", b"batch two"),
    correlation_id=42,
    cluster_id=ClusterId("c"),
    destination=NodeName("broker-1"),
    incarnation=Incarnation(3),
    deadline_ms=1_500,
    cause_id="cause",
)
CORRELATION = 42


def fields_of(envelope: Envelope) -> list[object]:
    fields = msgpack.unpackb(encode(envelope)[0])
    assert isinstance(fields, list)
    return fields


def test_what_is_sent_is_what_arrives() -> None:
    assert decode(encode(REQUEST, received_bytes=99)) == replace(REQUEST, received_bytes=99)


def test_payload_frames_are_not_copied() -> None:
    frames = encode(REQUEST)
    assert frames[1] is REQUEST.payload[0]
    assert decode(frames).payload[0] is frames[1]


def test_a_refusal_needs_no_api_of_its_own() -> None:
    refusal = Envelope(Kind.REFUSAL, Refusal(ErrorCode.STOPPING, "later"), correlation_id=1)
    assert decode(encode(refusal)) == refusal


@pytest.mark.parametrize("position", range(12))
def test_a_header_field_of_the_wrong_type_is_malformed(position: int) -> None:
    fields = fields_of(REQUEST)
    fields[position] = [1]
    with pytest.raises(Malformed) as caught:
        decode([msgpack.packb(fields)])
    assert caught.value.error is ErrorCode.MALFORMED


@pytest.mark.parametrize(
    ("position", "value", "error", "number"),
    [
        (0, WIRE_VERSION + 1, ErrorCode.UNSUPPORTED_VERSION, CORRELATION),
        (1, 77, ErrorCode.MALFORMED, None),
        (2, 31_999, ErrorCode.UNKNOWN_API, CORRELATION),
        (3, 9, ErrorCode.UNSUPPORTED_VERSION, CORRELATION),
        (11, b"\xc1", ErrorCode.MALFORMED, CORRELATION),
        (11, msgpack.packb(["seven", 1, []]), ErrorCode.MALFORMED, CORRELATION),
    ],
)
def test_a_message_that_cannot_be_served_is_refused_by_its_number(
    position: int, value: object, error: ErrorCode, number: int | None
) -> None:
    fields = fields_of(REQUEST)
    fields[position] = value
    with pytest.raises(Malformed) as caught:
        decode([msgpack.packb(fields)])
    assert (caught.value.error, caught.value.correlation_id) == (error, number)


def test_an_answer_to_a_one_way_message_is_malformed() -> None:
    fields = fields_of(REQUEST)
    fields[1], fields[2] = int(Kind.RESPONSE), int(Api.WATCH_EVENT)
    with pytest.raises(Malformed):
        decode([msgpack.packb(fields)])


@pytest.mark.parametrize(
    "frames", [[], [b""], [b"\xff" * 40], [encode(REQUEST)[0]] + [b""] * (PAYLOAD_FRAMES_MAX + 1)]
)
def test_frames_that_are_no_message_are_malformed(frames: list[bytes]) -> None:
    with pytest.raises(Malformed):
        decode(frames)  # type: ignore[arg-type]


def test_an_older_reader_passes_over_fields_added_at_the_end() -> None:
    fields = fields_of(REQUEST)
    body = msgpack.unpackb(fields[11])
    fields[11] = msgpack.packb([*body, "added later"])
    fields.append("added later")
    assert decode([msgpack.packb(fields), *REQUEST.payload]) == REQUEST


@pytest.mark.parametrize("seed", range(20))
def test_random_damage_gives_a_message_or_malformed_and_nothing_else(seed: int) -> None:
    random = Random(seed)
    whole = bytes(encode(REQUEST)[0])
    for _ in range(500):
        damaged = bytearray(whole)
        for _ in range(random.randint(1, 6)):
            damaged[random.randrange(len(damaged))] = random.randrange(256)
        cut = bytes(damaged[: random.randint(0, len(damaged))])
        for frame in (bytes(damaged), cut, random.randbytes(random.randint(0, 60))):
            try:
                decode([frame])
            except Malformed:
                continue


def test_every_message_belongs_to_a_conversation_that_speaks_it() -> None:
    package = transport.wire.messages
    for module in pkgutil.iter_modules(package.__path__):
        import_module(f"{package.__name__}.{module.name}")
    for kind in Message.__subclasses__():
        if kind is Refusal:
            continue
        spoken = conversation(kind.api, 0)
        assert spoken is not None, f"{kind.__name__} is not in the registry"
        assert kind in (spoken.question, spoken.answer), f"{kind.__name__} is not spoken"


def test_every_code_has_a_meaning() -> None:
    assert set(MEANINGS) == set(ErrorCode)
    assert "31999" in meaning(31_999).text
