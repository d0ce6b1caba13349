"""Which partition a record goes to: by its key, or where the sticky choice is now.

Pure.  The hash is murmur2 as in Kafka's Java clients and kafka-python, so that a key lands in the
same partition whichever of them wrote it.  It must not know what a batch is.

Source: KIP-480 (sticky partitioner).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from odradek.producer.murmur import murmur2, murmur2_each

_POSITIVE = 0x7FFFFFFF
CACHED_KEYS_MAX = 65_536
"""Some 8 MB of short keys at most; a hit costs a twentieth of hashing 16 bytes."""
CACHED_KEY_BYTES_MAX = 256

Partitioner = Callable[[bytes, Sequence[int], Sequence[int]], int]
"""``(key, all partitions, those with a leader) -> partition``, as kafka-python calls it."""


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

    def of_each(self, keys: Sequence[bytes]) -> list[int]:
        """Return the hash of each key; those not met before are hashed together."""
        found = list(map(self.get, keys))
        if None in found:
            self._learn(set(keys).difference(self))
            found = list(map(self.__getitem__, keys))
        return found  # type: ignore[return-value]

    def _learn(self, keys: Collection[bytes]) -> None:
        """Take these keys in, and forget all others if there are too many."""
        short = [key for key in keys if len(key) <= CACHED_KEY_BYTES_MAX][:CACHED_KEYS_MAX]
        if len(self) + len(short) > CACHED_KEYS_MAX:
            self.clear()
        for alike, hashes in murmur2_each(short):
            self.update(zip(alike, map(_POSITIVE.__and__, hashes), strict=True))


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
        try:
            hashes = self.hashes.of_each(keys)
        except TypeError:  # a key that cannot be in a table, as a bytearray
            hashes = self.hashes.of_each(list(map(bytes, keys)))
        return [hashed % count for hashed in hashes]
