"""murmur2 as Kafka's clients have it: of one key, or of many at once.

Pure Python.  Many keys of one length are hashed side by side in one large number, each in a lane of
64 bits: a product of 32 bits by 32 does not leave its lane, so what C does for one key one operation
does here for all.  A tenth of the time of hashing them one by one.

Source: Apache Kafka ``Utils.murmur2`` (seed 0x9747b28c).
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from struct import Struct
from sys import byteorder

_SEED = 0x9747B28C
_MULTIPLIER = 0x5BD1E995
_MASK = 0xFFFFFFFF
_WORD_BYTES = 4
_LANE_BYTES = 8
_WORD_STRUCTS: dict[int, Struct] = {}
LANES_MIN = 16
"""Fewer keys of one length are quicker hashed one by one."""


def murmur2(data: bytes) -> int:
    """Return the 32-bit hash as an unsigned number."""
    size = len(data)
    state = _SEED ^ size
    count = size >> 2
    for word in _words(count).unpack_from(data):
        word = word * _MULTIPLIER & _MASK
        state = (state * _MULTIPLIER & _MASK) ^ ((word ^ word >> 24) * _MULTIPLIER & _MASK)
    if size & 3:
        state ^= int.from_bytes(data[count << 2 :], "little")
        state = state * _MULTIPLIER & _MASK
    state ^= state >> 13
    state = state * _MULTIPLIER & _MASK
    return state ^ state >> 15


def murmur2_each(keys: Iterable[bytes]) -> Iterator[tuple[Sequence[bytes], Iterable[int]]]:
    """Give the keys, those of one length at a time, and their hashes."""
    for size, group in groupby(sorted(keys, key=len), len):
        alike = list(group)
        few = len(alike) < LANES_MIN
        yield alike, map(murmur2, alike) if few else _in_lanes(alike, size)


def _words(count: int) -> Struct:
    found = _WORD_STRUCTS.get(count)
    if found is None:
        found = Struct(f"<{count}I")
        if count < 1024:
            _WORD_STRUCTS[count] = found
    return found


def _in_lanes(keys: Sequence[bytes], size: int) -> Iterable[int]:
    """Return the hashes of keys that all have this size."""
    data = b"".join(keys)
    count = len(keys)

    def lanes_of(value: int) -> int:
        return int.from_bytes(value.to_bytes(_LANE_BYTES, "little") * count, "little")

    def column(start: int, size_bytes: int) -> int:
        """Return these bytes of every key, as one number in each lane."""
        lanes = bytearray(_LANE_BYTES * count)
        for place in range(size_bytes):
            lanes[place::_LANE_BYTES] = data[start + place :: size]
        return int.from_bytes(lanes, "little")

    # What a shift to the right brings into a lane from the next is masked away.
    mask, top_8 = lanes_of(_MASK), lanes_of(_MASK >> 24)
    state = lanes_of(_SEED ^ size)
    tail_bytes = size % _WORD_BYTES
    for start in range(0, size - tail_bytes, _WORD_BYTES):
        word = column(start, _WORD_BYTES) * _MULTIPLIER & mask
        word = (word ^ word >> 24 & top_8) * _MULTIPLIER & mask
        state = (state * _MULTIPLIER & mask) ^ word
    if tail_bytes:
        state ^= column(size - tail_bytes, tail_bytes)
        state = state * _MULTIPLIER & mask
    state ^= state >> 13 & lanes_of(_MASK >> 13)
    state = state * _MULTIPLIER & mask
    state ^= state >> 15 & lanes_of(_MASK >> 15)
    return array("Q", state.to_bytes(_LANE_BYTES * count, byteorder))
