"""Frames, headers and bounds of Kafka's protocol, and that no bytes raise anything else."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from tests.unit.gateway.declared_values import draw
from tests.unit.gateway.kafka_python import messages
from transport.gateway.kafka.apis import APIS, ApiKey, conversation
from transport.gateway.kafka.codes import foreign_code
from transport.gateway.kafka.frames import (
    FrameReader,
    RequestHeader,
    UnspokenVersion,
    read_request,
    response_frame,
)
from transport.gateway.kafka.messages.api_versions import ApiVersionsResponse
from transport.gateway.kafka.messages.metadata import MetadataRequest, MetadataRequestTopic
from transport.gateway.kafka.reader import ELEMENTS_MAX, MalformedFrame, Reader
from transport.gateway.kafka.writer import COPIED_BYTES_MAX, Writer
from transport.wire.errors import ErrorCode

BYTES_MAX = 1_000


def _request(key: ApiKey, version: int, **fields: Any) -> bytes:
    message = messages()[f"{APIS[key].name}Request"](version=version, **fields)
    message.with_header(7, "somebody")
    return bytes(message.encode(header=True, framed=True))


def test_frames_are_cut_however_they_arrive() -> None:
    first, second = b"\0\0\0\x0cAAAABBBBCCCC", b"\0\0\0\x08DDDDEEEE"
    stream = first + second + first
    for size in range(1, len(stream) + 1):
        reader = FrameReader(BYTES_MAX)
        found = [
            bytes(frame)
            for start in range(0, len(stream), size)
            for frame in reader.feed(stream[start : start + size])
        ]
        assert found == [first[4:], second[4:], first[4:]], size
        assert reader.gathered_bytes == 0


def test_a_large_frame_is_judged_by_its_first_four_bytes() -> None:
    reader = FrameReader(BYTES_MAX)
    with pytest.raises(MalformedFrame, match="1001 bytes"):
        list(reader.feed((BYTES_MAX + 1).to_bytes(4, "big")))
    assert list(FrameReader(BYTES_MAX).feed(BYTES_MAX.to_bytes(4, "big"))) == []
    for size in (-1, 0, 7):  # shorter than any header
        with pytest.raises(MalformedFrame):
            list(FrameReader(BYTES_MAX).feed(size.to_bytes(4, "big", signed=True)))


def test_what_comes_in_the_smallest_pieces_takes_no_more_memory_than_its_bytes() -> None:
    body = Random(1).randbytes(30_000)
    stream = len(body).to_bytes(4, "big") + body
    reader = FrameReader(100_000)
    random, position = Random(2), 0
    while position < len(stream) - 1:
        size = random.choice((1, 1, 1, 1, 3, 5_000))
        piece = stream[position : min(position + size, len(stream) - 1)]
        assert list(reader.feed(piece)) == []
        position += len(piece)
        assert reader.gathered_bytes == position
        assert len(reader._chunks) <= 1 + 2 * (position // 5_000 + 1)
    assert [bytes(frame) for frame in reader.feed(stream[position:])] == [body]


def test_a_frame_of_one_chunk_is_a_view_of_it() -> None:
    chunk = bytearray(b"\0\0\0\x08DDDDEEEE")
    [frame] = FrameReader(BYTES_MAX).feed(chunk)
    chunk[4:8] = b"ZZZZ"
    assert bytes(frame) == b"ZZZZEEEE"


def test_a_request_is_read_as_kafka_python_writes_it() -> None:
    topic = {"topic_id": None, "name": "orders"}
    kind = messages()["MetadataRequest"].MetadataRequestTopic
    for version in range(1, APIS[ApiKey.METADATA].highest + 1):
        data = _request(ApiKey.METADATA, version, topics=[kind(version=version, **topic)])
        [frame] = FrameReader(BYTES_MAX).feed(data)
        asked = read_request(frame)
        assert asked.header == RequestHeader(ApiKey.METADATA, version, 7, "somebody")
        assert asked.body == MetadataRequest(topics=(MetadataRequestTopic(name="orders"),))


def test_a_request_is_read_as_aiokafka_writes_it() -> None:
    from aiokafka.protocol.api import RequestHeader_v1
    from aiokafka.protocol.metadata import MetadataRequest as Theirs

    for version in range(1, 6):
        theirs = Theirs(["orders"], allow_auto_topic_creation=True).prepare({3: (version, version)})
        header = RequestHeader_v1(theirs, 9, "aio")
        asked = read_request(memoryview(header.encode() + theirs.encode()))
        assert asked.header == RequestHeader(ApiKey.METADATA, version, 9, "aio")
        assert asked.body == MetadataRequest(topics=(MetadataRequestTopic(name="orders"),))


def test_an_answer_about_versions_has_the_oldest_header() -> None:
    spoken = conversation(ApiKey.API_VERSIONS, 3)
    assert spoken is not None
    assert spoken.request_is_flexible
    data = b"".join(response_frame(5, spoken, ApiVersionsResponse(error_code=0, api_keys=())))
    assert data == b"\0\0\0\x0c" + b"\0\0\0\x05" + b"\0\0" + b"\x01" + b"\0\0\0\0" + b"\0"


def test_what_is_not_spoken_says_who_asked() -> None:
    data = _request(ApiKey.API_VERSIONS, 4)[4:]
    for key, version in ((18, 5), (18, -1), (999, 0), (-1, 0)):
        asked = key.to_bytes(2, "big", signed=True) + version.to_bytes(2, "big", signed=True)
        with pytest.raises(UnspokenVersion) as raised:
            read_request(memoryview(asked + data[4:]))
        assert raised.value.header == RequestHeader(key, version, 7)


def test_record_sets_are_neither_read_nor_written_as_copies() -> None:
    records = memoryview(bytearray(COPIED_BYTES_MAX + 1))
    writer = Writer()
    writer.uvarint(300)
    writer.attach(records)
    writer.attach(b"small")
    frame = writer.frame()
    assert [len(piece) for piece in frame] == [4 + 2, len(records), 5]
    assert frame[1] is records
    assert bytes(frame[0]) == (2 + len(records) + 5).to_bytes(4, "big") + b"\xac\x02"
    taken = Reader(records).take(100)
    assert taken.obj is records.obj


def test_lengths_are_judged_before_anything_is_made() -> None:
    spoken = conversation(ApiKey.METADATA, 1)
    assert spoken is not None
    for count in (2, 1 << 30):  # of at least two bytes each
        body = count.to_bytes(4, "big") + b"\0\0\0"
        with pytest.raises(MalformedFrame, match="elements announced"):
            spoken.request.read(Reader(memoryview(body)))
    many = ELEMENTS_MAX + 1
    with pytest.raises(MalformedFrame, match="more than"):
        spoken.request.read(Reader(memoryview(many.to_bytes(4, "big") + bytes(2 * many))))


def test_tagged_fields_count_as_elements_wherever_they_are() -> None:
    """Each costs a turn as much as an element, and need not be known."""
    count = ELEMENTS_MAX + 1
    writer = Writer()
    writer.uvarint(count)
    tags = bytes(writer.buffer) + b"\x63\0" * count
    begin = bytes.fromhex("0012 0003 00000007 ffff")  # ApiVersions 3, of nobody
    for data in (begin + tags, begin + b"\0" + b"\x02a\x02b" + tags):
        with pytest.raises(MalformedFrame, match="API_VERSIONS version 3: more than 50000"):
            read_request(memoryview(data))
    few = begin + b"\x01\x63\0" + b"\x02a\x02b" + b"\x01\x63\0"
    assert read_request(memoryview(few)).header.correlation_id == 7


@pytest.mark.parametrize("key", list(APIS))
def test_damaged_bytes_raise_one_error_only(key: ApiKey) -> None:
    random = Random(key)
    for version in range(APIS[key].lowest, APIS[key].highest + 1):
        spoken = conversation(key, version)
        assert spoken is not None
        kinds = [spoken.request, spoken.response]
        for codec in kinds:
            for _ in range(40):
                data = _damaged(codec, key, version, kinds.index(codec), random)
                try:
                    codec.read(Reader(memoryview(data)))
                except MalformedFrame:
                    pass


def _damaged(codec: Any, key: ApiKey, version: int, side: int, random: Random) -> bytes:
    from tests.unit.gateway.test_kafka_messages import declared

    flexible = version >= APIS[key].flexible_from
    writer = Writer()
    codec.write(
        writer, draw(declared(key, ("Request", "Response")[side]), version, flexible, random)
    )
    data = bytearray(b"".join((*writer.pieces, writer.buffer)))
    for _ in range(random.choice((1, 1, 3))):
        if data:
            data[random.randrange(len(data))] = random.choice((0, 1, 0x7F, 0x80, 0xFF))
    return bytes(data[: random.randrange(len(data) + 1)] if random.random() < 0.5 else data)


def test_what_is_behind_a_request_is_passed_over() -> None:
    """librdkafka 2.15 asks for all topics with the room that it had kept for their number."""
    data = bytes.fromhex("0003 000d 0000000c 0007 72646b61666b61 00 00 000000 010000")
    asked = read_request(memoryview(data))
    assert asked.header.client_id == "rdkafka"
    assert isinstance(asked.body, MetadataRequest)
    assert asked.body.topics is None


def test_every_code_of_ours_has_a_number_of_kafkas() -> None:
    for code in ErrorCode:
        assert -1 <= foreign_code(code) < 1_000
    assert foreign_code(ErrorCode.NOT_LEADER_OR_FOLLOWER) == 6
    assert foreign_code(ErrorCode.STOPPING) == 13
    assert foreign_code(-101) == -1  # ZooKeeper's
