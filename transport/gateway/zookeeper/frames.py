"""A connection's bytes as frames: a length and so many bytes; or, at its beginning, one word.

Operators ask a server by four letters without a frame; as a length they would be above a gigabyte.
"""

from __future__ import annotations

from transport.gateway.greeting import greeting
from transport.gateway.zookeeper.jute import MalformedJute

LENGTH_BYTES = 4
WORDS = frozenset(
    [
        "conf",
        "cons",
        "crst",
        "dirs",
        "dump",
        "envi",
        "gtmk",
        "hash",
        "isro",
        "mntr",
        "ruok",
        "srst",
        "srvr",
        "stat",
        "stmk",
        "wchc",
        "wchp",
        "wchs",
    ]
)
"""ZooKeeper's four-letter words."""


class Frames:
    """What one connection has sent and nobody has taken yet."""

    __slots__ = ("_begun", "_data", "bytes_max")

    def __init__(self, bytes_max: int) -> None:
        """``bytes_max``: of one frame, without its length."""
        self.bytes_max = bytes_max
        self._data = bytearray()
        self._begun = False

    @property
    def held_bytes(self) -> int:
        """What has come and was not taken."""
        return len(self._data)

    def feed(self, data: bytes) -> None:
        """Take bytes in the order they came."""
        self._data += data

    def word(self) -> str:
        """Return the four-letter word that the connection begins with; empty: none, or not yet."""
        if self._begun or len(self._data) < LENGTH_BYTES:
            return ""
        word = bytes(self._data[:LENGTH_BYTES]).decode("latin-1")
        return word if word in WORDS else ""

    def next(self) -> bytes | None:
        """Return the next frame, whole; None: it has not come yet. Raises MalformedJute by its length."""
        data = self._data
        if len(data) < LENGTH_BYTES:
            return None
        size = int.from_bytes(data[:LENGTH_BYTES], "big", signed=True)
        if not 0 <= size <= self.bytes_max:
            why = greeting(bytes(data[:LENGTH_BYTES]))
            raise MalformedJute(f"a frame of {size} bytes" + (why and f"; {why}"))
        end = LENGTH_BYTES + size
        if len(data) < end:
            return None
        self._begun = True
        frame = bytes(data[LENGTH_BYTES:end])
        del data[:end]
        return frame
