"""Zigzag varints against the values everybody knows."""

from __future__ import annotations

from random import Random

import pytest

from transport.wire import varint

# Of Kafka's ByteUtilsTest and the Protocol Buffers guide.
KNOWN = [
    (0, "00"),
    (-1, "01"),
    (1, "02"),
    (-2, "03"),
    (63, "7e"),
    (-64, "7f"),
    (64, "8001"),
    (-65, "8101"),
    (300, "d804"),
    (8191, "fe7f"),
    (-8192, "ff7f"),
    (8192, "808001"),
    (2147483647, "feffffff0f"),
    (-2147483648, "ffffffff0f"),
    (9223372036854775807, "feffffffffffffffff01"),
    (-9223372036854775808, "ffffffffffffffffff01"),
]


@pytest.mark.parametrize(("value", "encoded"), KNOWN)
def test_known_values(value: int, encoded: str) -> None:
    data = bytes.fromhex(encoded)
    assert varint.encode(value) == data
    assert varint.size(value) == len(data)
    assert varint.decode(b"??" + data + b"?", 2, 10) == (value, 2 + len(data))


def test_any_value_comes_back() -> None:
    random = Random(3)
    for _ in range(2000):
        value = random.getrandbits(random.randrange(1, 63)) * random.choice((1, -1))
        data = varint.encode(value)
        assert varint.decode(data, 0, 10) == (value, len(data))
        assert varint.size(value) == len(data)


def test_what_is_cut_short_or_too_long_is_refused() -> None:
    with pytest.raises(IndexError):
        varint.decode(b"\x80\x80", 0)
    with pytest.raises(ValueError, match="more than 5"):
        varint.decode(b"\x80\x80\x80\x80\x80\x01", 0)
