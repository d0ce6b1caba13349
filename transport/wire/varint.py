"""Zigzag varints, as in Kafka's records (and Protocol Buffers' sint32 and sint64).

Source: Apache Kafka documentation, "Message Format"; Protocol Buffers encoding guide.
"""

from __future__ import annotations

VARINT_BYTES_MAX = 5
VARLONG_BYTES_MAX = 10
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


def encode(value: int) -> bytes:
    """Return ``value`` (signed, at most 64 bits) as a zigzag varint of 1 to 10 bytes."""
    rest = (value << 1) ^ (value >> 63)
    if rest < 0x80:
        return _ONE_BYTE[rest]
    out = bytearray()
    while rest > 0x7F:
        out.append(0x80 | rest & 0x7F)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def decode(data: bytes, position: int, bytes_max: int = VARINT_BYTES_MAX) -> tuple[int, int]:
    """Return the value at ``position`` and the position after it.

    Raises IndexError at the end of ``data``, ValueError above ``bytes_max`` bytes.
    """
    rest, position = decode_unsigned(data, position, bytes_max)
    return (rest >> 1) ^ -(rest & 1), position


def decode_unsigned(
    data: bytes, position: int, bytes_max: int = VARINT_BYTES_MAX
) -> tuple[int, int]:
    """Return the zigzag form at ``position``, and the position after it; raises as ``decode``."""
    shift = rest = 0
    for used in range(bytes_max):
        byte = data[position + used]
        rest |= (byte & 0x7F) << shift
        if byte < 0x80:
            return rest, position + used + 1
        shift += 7
    raise ValueError(f"a varint of more than {bytes_max} bytes")


def wrapped(value: int) -> int:
    """Return ``value`` as it stands in 64 bits, signed: a sum that has no room there begins anew from the
    other end, as in every language whose numbers have so many."""
    return (value - INT64_MIN) % 2**64 + INT64_MIN


def size(value: int) -> int:
    """Return how many bytes ``encode(value)`` has."""
    rest = (value << 1) ^ (value >> 63)
    return (rest.bit_length() + 6) // 7 or 1


_ONE_BYTE = tuple(bytes((byte,)) for byte in range(0x80))
