"""Frames of a protocol with something wrong in them: what a broken or hostile client may send."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

SIZE_BYTES = 4
_LENGTHS = (
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\x80\x00\x00\x00",
    b"\xff\xff",
    b"\x7f\xff",
    b"\xff\xff\xff\xff\x0f",
    b"\x80\x80\x80\x80\x80\x80",
    b"\x00\x00\x00\x00",
    b"\xff",
    b"\x80",
)
"""What a length, a count, or a number may not be, or only just."""


def mutated(frame: bytes, random: Random) -> bytes:
    """Return a whole frame, its size before it, with one to four faults; its size may be one of them."""
    body = bytearray(frame[SIZE_BYTES:])
    for _ in range(random.choice((1, 1, 2, 4))):
        _spoil(body, random)
    size = len(body)
    if random.random() < 0.1:
        size = random.choice((-1, 0, 3, size - 1, size + 1, 2**31 - 1))
    return size.to_bytes(SIZE_BYTES, "big", signed=True) + body


def _spoil(body: bytearray, random: Random) -> None:
    at = random.randrange(len(body) + 1)
    kind = random.randrange(5)
    if kind == 0 and at < len(body):
        body[at] ^= 1 << random.randrange(8)
    elif kind == 1:
        value = random.choice(_LENGTHS)
        body[at : at + len(value)] = value
    elif kind == 2:
        del body[at:]
    elif kind == 3:
        body[at:at] = random.randbytes(random.choice((1, 4, 40)))
    else:
        end = min(len(body), at + random.choice((1, 4, 20)))
        body += body[at:end] * random.choice((1, 3))


def pieces(data: bytes, random: Random) -> Iterator[bytes]:
    """Cut bytes as a network may."""
    while data:
        size = random.choice((1, 3, len(data), len(data)))
        yield data[:size]
        data = data[size:]
