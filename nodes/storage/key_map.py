"""The newest offset of each key in a run of records: what compaction keeps is decided by it.

Bounded: about 150 bytes a key.  Long keys are kept as digests, so long that no two are ever alike.
"""

from __future__ import annotations

from hashlib import blake2b

from transport.wire.ids import Offset

_DIGEST_BYTES = 16
"""Kafka's keys are 16 bytes of MD5; shorter ones than that are kept as they are."""


class KeyMap:
    """Keys and the offsets of their newest records, up to ``end_offset`` (exclusive)."""

    __slots__ = ("_keys_max", "_newest", "end_offset")

    def __init__(self, start_offset: Offset, keys_max: int) -> None:
        self._newest: dict[bytes, Offset] = {}
        self._keys_max = keys_max
        self.end_offset = start_offset

    def __len__(self) -> int:
        return len(self._newest)

    @property
    def is_full(self) -> bool:
        """No further batch is to be added."""
        return len(self._newest) >= self._keys_max

    def add(self, key: bytes, offset: Offset) -> None:
        """Note a record; they come in the order of the log."""
        self._newest[_short(key)] = offset

    def supersedes(self, key: bytes, offset: Offset) -> bool:
        """Tell whether a later record than the one at ``offset`` has this key."""
        return self._newest.get(_short(key), offset) > offset


def _short(key: bytes) -> bytes:
    if len(key) < _DIGEST_BYTES:
        return key
    return blake2b(key, digest_size=_DIGEST_BYTES).digest()
