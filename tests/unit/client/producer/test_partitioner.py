"""Keys land where Kafka's clients put them."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from odradek.producer import partitioner
from odradek.producer.murmur import LANES_MIN, murmur2, murmur2_each
from odradek.producer.partitioner import KeyHashes, MurmurPartitioner


@pytest.mark.parametrize(
    ("key", "signed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_is_kafkas(key: bytes, signed: int) -> None:
    assert murmur2(key) == signed & 0xFFFFFFFF


def test_many_keys_have_the_hashes_they_have_alone() -> None:
    random = Random(7)
    counts = (1, LANES_MIN - 1, LANES_MIN, 100)
    keys = {random.randbytes(size) for size in range(40) for _ in range(counts[size % len(counts)])}
    keys |= {bytes((255,)) * size for size in range(40)}
    hashed: dict[bytes, int] = {}
    for alike, hashes in murmur2_each(keys):
        hashed.update(zip(alike, hashes, strict=True))
    assert hashed == {key: murmur2(key) for key in keys}


def test_the_sign_bit_is_dropped_not_negated() -> None:
    assert KeyHashes()[b"21"] == (-973932308) & 0x7FFFFFFF


def test_spread_and_single_choice_agree() -> None:
    choose = MurmurPartitioner()
    keys = [b"key-%d" % number for number in range(100)]
    assert choose.spread(keys, 7) == [choose(key, range(7), ()) for key in keys]
    unhashable: list[Any] = [bytearray(key) for key in keys]
    assert choose.spread(unhashable, 7) == choose.spread(keys, 7)


def test_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partitioner, "CACHED_KEYS_MAX", 10)
    hashes = KeyHashes()
    for number in range(100):
        assert hashes[b"%d" % number] == murmur2(b"%d" % number) & 0x7FFFFFFF
        assert len(hashes) <= 10
    keys = [b"%d" % number for number in range(30)]
    assert hashes.of_each(keys) == [murmur2(key) & 0x7FFFFFFF for key in keys]
    assert len(hashes) <= 10
    assert hashes[bytes(300)] == murmur2(bytes(300)) & 0x7FFFFFFF
    assert bytes(300) not in hashes
