"""Codecs: Kafka's framings, damage, and bombs."""

from __future__ import annotations

import gzip
import time
import zlib
from contextlib import suppress
from random import Random
from struct import pack

import cramjam
import pytest

from transport.wire.batch import RecordError
from transport.wire.compression import (
    CODECS,
    GZIP,
    LZ4,
    NONE,
    SNAPPY,
    ZSTD,
    compress,
    decompress,
)
from transport.wire.errors import ErrorCode

COMPRESSING = [GZIP, SNAPPY, LZ4, ZSTD]


@pytest.mark.parametrize("codec", [NONE, *COMPRESSING])
@pytest.mark.parametrize("size_bytes", [0, 1, 32_768, 32_769, 300_000])
def test_what_went_in_comes_out(codec: int, size_bytes: int) -> None:
    random = Random(size_bytes)
    for data in (bytes(size_bytes), random.randbytes(size_bytes)):
        assert decompress(codec, memoryview(compress(codec, data))) == data


def test_the_numbers_are_kafkas() -> None:
    assert CODECS == {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
    with pytest.raises(ValueError, match="codec 5"):
        compress(5, b"")
    with pytest.raises(RecordError):
        decompress(5, b"")


def test_framings_are_those_of_the_field() -> None:
    assert gzip.decompress(compress(GZIP, b"text")) == b"text"
    assert compress(LZ4, b"text")[:4] == pack("<I", 0x184D2204)
    assert compress(ZSTD, b"text")[:4] == pack("<I", 0xFD2FB528)
    xerial = compress(SNAPPY, b"text")
    assert xerial[:16] == b"\x82SNAPPY\x00" + pack(">ii", 1, 1)
    assert xerial[16:20] == pack(">i", len(xerial) - 20)


def test_bare_snappy_is_read_too() -> None:
    assert decompress(SNAPPY, bytes(cramjam.snappy.compress_raw(b"text" * 9))) == b"text" * 9


@pytest.mark.parametrize("codec", COMPRESSING)
def test_bombs_are_refused(codec: int) -> None:
    bomb = compress(codec, bytes(4_000_000))
    assert len(decompress(codec, bomb, 4_000_000)) == 4_000_000
    with pytest.raises(RecordError) as caught:
        decompress(codec, bomb, 3_999_999)
    assert caught.value.error == ErrorCode.MESSAGE_TOO_LARGE


@pytest.mark.parametrize("codec", COMPRESSING)
def test_damage_is_a_record_error(codec: int) -> None:
    random = Random(codec)
    sound = compress(codec, bytes(range(256)) * 300)
    for cut in (1, 3, len(sound) // 2):
        with pytest.raises(RecordError):
            decompress(codec, sound[:-cut], 1_000_000)
    for _ in range(300):
        damaged = bytearray(sound)
        damaged[random.randrange(len(sound))] = random.randrange(256)
        with suppress(RecordError):
            decompress(codec, damaged, 1_000_000)


def test_a_long_gzip_stream_is_bounded_before_it_is_unpacked() -> None:
    packer = zlib.compressobj(9, wbits=31)
    bomb = packer.compress(bytes(50_000_000)) + packer.flush()
    with pytest.raises(RecordError):
        decompress(GZIP, bomb, 1_000_000)


def members(*parts: bytes) -> bytes:
    return b"".join(compress(GZIP, part) for part in parts)


def test_all_members_of_gzip_are_read() -> None:
    parts = (b"one", b"", bytes(range(256)) * 300, b"four" * 9_000)
    for packed in (members(*parts), memoryview(members(*parts))):
        assert decompress(GZIP, packed) == b"".join(parts)


@pytest.mark.parametrize("behind", [b"\0", bytes(600), b"\x1f", b"no member at all"])
def test_what_is_behind_the_last_member_and_begins_none_is_passed_over(behind: bytes) -> None:
    assert decompress(GZIP, members(b"one", b"two") + behind) == b"onetwo"


def test_a_later_member_is_judged_as_the_first() -> None:
    sound = members(b"one", bytes(range(256)) * 300)
    assert len(decompress(GZIP, sound, 76_803)) == 76_803
    with pytest.raises(RecordError) as caught:
        decompress(GZIP, sound, 76_802)
    assert caught.value.error == ErrorCode.MESSAGE_TOO_LARGE
    damaged = sound[:-5] + bytes([sound[-5] ^ 1]) + sound[-4:]
    for bad in (sound[:-1], sound[: len(members(b"one")) + 4], damaged):
        with pytest.raises(RecordError) as caught:
            decompress(GZIP, bad)
        assert caught.value.error == ErrorCode.CORRUPT_MESSAGE


def test_many_members_cost_as_much_each_as_few() -> None:
    began = time.process_time()
    assert decompress(GZIP, members(b"x") * 20_000) == b"x" * 20_000
    assert time.process_time() - began < 2, "each end of a member had all that is behind it copied"
