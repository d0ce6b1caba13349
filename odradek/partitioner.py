"""Which partition a record goes to: by its key, or where the sticky choice is now.

Pure.  The hash is murmur2 as in Kafka's Java clients and kafka-python, so that a key lands in the
same partition whichever of them wrote it.  It must not know what a batch is.

Source: Apache Kafka ``Utils.murmur2`` (seed 0x9747b28c); KIP-480 (sticky partitioner).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct

_SEED = 0x9747B28C
_MULTIPLIER = 0x5BD1E995
_MASK = 0xFFFFFFFF
_POSITIVE = 0x7FFFFFFF
_WORD_STRUCTS: dict[int, Struct] = {}
CACHED_KEYS_MAX = 65_536
"""Some 8 MB of short keys at most; a hit costs a twentieth of hashing 16 bytes."""
CACHED_KEY_BYTES_MAX = 256

Partitioner = Callable[[bytes, Sequence[int], Sequence[int]], int]
"""``(key, all partitions, those with a leader) -> partition``, as kafka-python calls it."""


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


def _words(count: int) -> Struct:
    found = _WORD_STRUCTS.get(count)
    if found is None:
        found = Struct(f"<{count}I")
        if count < 1024:
            _WORD_STRUCTS[count] = found
    return found


class KeyHashes(dict[bytes, int]):
    """``hashes[key]``: the non-negative hash of ``key``; keys met before cost one look-up."""

    __slots__ = ()

    def __missing__(self, key: bytes) -> int:
        found = murmur2(key) & _POSITIVE
        if len(key) <= CACHED_KEY_BYTES_MAX:
            if len(self) >= CACHED_KEYS_MAX:
                self.clear()
            self[key] = found
        return found


class MurmurPartitioner:
    """The default: by murmur2 of the key over *all* partitions, so that a key never moves."""

    __slots__ = ("hashes",)

    def __init__(self) -> None:
        self.hashes = KeyHashes()

    def __call__(self, key: bytes, partitions: Sequence[int], _available: Sequence[int]) -> int:
        """Return the key's partition."""
        return partitions[self.hashes[key] % len(partitions)]

    def spread(self, keys: Sequence[bytes], count: int) -> list[int]:
        """Return the partition of each key among partitions 0 to ``count − 1``."""
        hashes = self.hashes
        try:
            return [hashes[key] % count for key in keys]
        except TypeError:  # a key that cannot be in a table, as a bytearray
            return [hashes[bytes(key)] % count for key in keys]
