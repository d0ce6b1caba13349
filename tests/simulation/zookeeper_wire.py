"""A small client of ZooKeeper's protocol for the simulation: a session, asked by bytes.

Behaves as the well-known clients do: one connection at a time; a session is taken along to the next
coordinator with its password and the newest zxid seen; watches are set anew there before anything
else; what was not answered when a connection ended may or may not have been done.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

from tests.simulation.streams import Stream, StreamNetwork
from tests.simulation.world import World
from transport.gateway.zookeeper import jute
from transport.gateway.zookeeper.jute import JuteReader
from transport.gateway.zookeeper.requests import EVENT_XID, PING_XID, SET_WATCHES_XID, OpCode

SILENCE_MAX_US = 2_000_000
"""Two thirds of the session's time-out: then the connection is given up, as clients do."""
PING_US = 700_000
SESSION_MS = 3_000
RETRY_US = (20_000, 300_000)
OPEN_ACL = jute.vector([jute.int32(31) + jute.string("world") + jute.string("anyone")])


class Answer(NamedTuple):
    """A header, and a reader of what is behind it."""

    zxid: int
    error: int
    body: JuteReader


OnAnswer = Callable[[Answer | None], None]
"""None: the connection ended before."""


class WireClient:
    """A ``Peer`` of streams, one after the other."""

    def __init__(
        self,
        world: World,
        streams: StreamNetwork,
        host: str,
        endpoints: Sequence[str],
        random: Random,
    ) -> None:
        self._world = world
        self._streams = streams
        self._endpoints = endpoints
        self._random = random
        self._stream: Stream | None = None
        self._data = bytearray()
        self._heard_us = 0
        self._password = bytes(16)
        self._xid = 0
        self._asked: deque[tuple[int, OnAnswer]] = deque()
        self.host = host
        self.endpoint = ""
        self.running = True
        self.ready = False
        self.session_id = 0
        self.last_zxid = 0
        self.watched: dict[str, None] = {}
        """Paths of data watches that are held."""
        self.on_session: Callable[[], None] = lambda: None
        """A new session was opened; the one before, if any, is gone."""
        self.on_event: Callable[[str], None] = lambda _path: None
        self.on_zxid: Callable[[int], None] = lambda _zxid: None
        self._dial()
        self._look_later()

    def ask(self, opcode: int, record: bytes, on_answer: OnAnswer) -> None:
        """Send a request; only while ``ready``."""
        self._xid += 1
        self._asked.append((self._xid, on_answer))
        self._write(jute.int32(self._xid), jute.int32(opcode), record)

    def drop(self) -> None:
        """Leave this connection and take the session elsewhere."""
        if self._stream is not None:
            self._stream.close()
            self.on_end()

    # Peer

    def on_opened(self) -> None:
        self._heard_us = self._world.now_us
        self._write(
            jute.int32(0),
            jute.int64(self.last_zxid),
            jute.int32(SESSION_MS),
            jute.int64(self.session_id),
            jute.buffer(self._password),
            b"\0",
        )

    def on_bytes(self, data: bytes) -> None:
        stream = self._stream
        self._heard_us = self._world.now_us
        self._data += data
        while stream is self._stream and len(self._data) >= 4:
            end = 4 + int.from_bytes(self._data[:4], "big")
            if len(self._data) < end:
                return
            reader = JuteReader(bytes(self._data[4:end]))
            del self._data[:end]
            if self.ready:
                self._take(reader)
            else:
                self._take_session(reader)

    def on_end(self) -> None:
        self._stream, self.ready = None, False
        self._data.clear()
        asked, self._asked = self._asked, deque()
        for _, on_answer in asked:
            on_answer(None)
        self._world.after(self._random.randint(*RETRY_US), self._dial)

    # What comes

    def _take_session(self, reader: JuteReader) -> None:
        reader.int32()
        timeout_ms, session_id, password = reader.int32(), reader.int64(), reader.buffer()
        if not timeout_ms:
            self.session_id, self._password = 0, bytes(16)
            self.drop()
            return
        renewed = session_id != self.session_id
        self.session_id, self._password = session_id, password or b""
        self.ready = True
        if renewed:
            self.watched.clear()
            self.on_session()
        elif self.watched:
            paths = jute.vector(map(jute.string, self.watched))
            none = jute.vector([])
            header = jute.int32(SET_WATCHES_XID), jute.int32(OpCode.SET_WATCHES)
            self._write(*header, jute.int64(self.last_zxid), paths, none, none)

    def _take(self, reader: JuteReader) -> None:
        xid, zxid, error = reader.int32(), reader.int64(), reader.int32()
        if xid == EVENT_XID:
            reader.int64()
            path = reader.string()
            self.watched.pop(path, None)
            self.on_event(path)
            return
        self.on_zxid(zxid)
        self.last_zxid = max(self.last_zxid, zxid)
        if xid in (PING_XID, SET_WATCHES_XID):
            assert error == 0, error
            return
        expected, on_answer = self._asked.popleft()
        assert xid == expected, f"answer {xid} came in the place of {expected}"
        on_answer(Answer(zxid, error, reader))

    # Connections

    def _dial(self) -> None:
        if self.running and self._stream is None:
            self.endpoint = self._random.choice(self._endpoints)
            self._heard_us = self._world.now_us
            self._stream = self._streams.dial(self.host, self.endpoint, self)

    def _look_later(self) -> None:
        self._world.after(PING_US, self._look)

    def _look(self) -> None:
        if self._world.now_us - self._heard_us > SILENCE_MAX_US:
            self.drop()
        elif self.ready:
            self._write(jute.int32(PING_XID), jute.int32(OpCode.PING))
        if self.running:
            self._look_later()

    def _write(self, *parts: bytes) -> None:
        if self._stream is not None:
            self._stream.send(jute.framed(*parts))
