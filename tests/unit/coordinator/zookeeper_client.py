"""ZooKeeper's side of a stream, by hand: for the fake ensemble."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from transport.driver.ports import Stranger, StreamHandler, StreamId
from transport.gateway.zookeeper import jute
from transport.gateway.zookeeper.jute import JuteReader
from transport.wire.codec import Buffer

if TYPE_CHECKING:
    from tests.unit.coordinator.ensemble import Ensemble, Process

NOBODY = Stranger("10.0.0.9")
OPEN_ACL = jute.vector([jute.int32(31) + jute.string("world") + jute.string("anyone")])


class FakeStreams:
    """The stream port of one process: what is sent lies there until somebody looks."""

    def __init__(self) -> None:
        self.handler: StreamHandler | None = None
        self.sent: dict[StreamId, bytearray] = {}
        self.paused: set[StreamId] = set()
        self.closed: set[StreamId] = set()
        self.stuck: set[StreamId] = set()
        self.slow: set[StreamId] = set()
        """What is sent to them has not left before somebody looks."""

    def listen(self, endpoint: str, handler: StreamHandler, **_bounds: Any) -> str:
        self.handler = handler
        return endpoint

    def send(self, stream: StreamId, frames: Sequence[Buffer]) -> bool:
        if stream in self.closed or stream in self.stuck:
            return False
        self.sent[stream] += b"".join(bytes(frame) for frame in frames)
        return True

    def unsent_bytes(self, stream: StreamId) -> int:
        return len(self.sent[stream]) if stream in self.slow else 0

    def pause(self, stream: StreamId) -> None:
        self.paused.add(stream)

    def resume(self, stream: StreamId) -> None:
        self.paused.discard(stream)

    def close(self, stream: StreamId) -> None:
        self.closed.add(stream)


class Answer(NamedTuple):
    """A header, and what is behind it."""

    xid: int
    zxid: int
    error: int
    body: bytes

    def event(self) -> tuple[int, str]:
        """Return the type and path of a watch event."""
        reader = JuteReader(self.body)
        kind, _state = reader.int32(), reader.int32()
        return kind, reader.string()

    def text(self) -> str:
        return JuteReader(self.body).string()


class ZooKeeperClient:
    """One connection, by bytes."""

    def __init__(self, ensemble: Ensemble, number: int, stranger: Stranger = NOBODY) -> None:
        process = ensemble.nodes[number].process
        assert process is not None
        self.ensemble = ensemble
        self.process: Process = process
        self.streams = process.streams
        self.stream = StreamId(ensemble.next_link())
        self.streams.sent[self.stream] = bytearray()
        handler = self.streams.handler
        assert handler is not None, "nobody listens"
        self.handler: StreamHandler = handler
        self.stranger = stranger
        self.session_id = 0
        self.password = bytes(16)
        self.timeout_ms = 0
        process.posted.append(lambda now: handler.on_stream(self.stream, self.stranger, now))

    @property
    def is_closed(self) -> bool:
        return self.stream in self.streams.closed

    def write(self, data: bytes) -> None:
        self.process.posted.append(lambda now: self.handler.on_bytes(self.stream, data, now))

    def end(self) -> None:
        self.process.posted.append(lambda now: self.handler.on_stream_end(self.stream, now))
        self.ensemble.settle()

    def take(self) -> bytes:
        """Return what has come since the last time."""
        self.ensemble.settle()
        sent = self.streams.sent[self.stream]
        data = bytes(sent)
        sent.clear()
        return data

    def hello(
        self, *, last_zxid: int = 0, timeout_ms: int = 4_000, read_only: bool = False
    ) -> None:
        self.write(
            jute.framed(
                jute.int32(0),
                jute.int64(last_zxid),
                jute.int32(timeout_ms),
                jute.int64(self.session_id),
                jute.buffer(self.password),
                b"\1" if read_only else b"\0",
            )
        )

    def opened(self) -> ZooKeeperClient:
        """Take the answer to ``hello``; a ``timeout_ms`` of 0 says that there is no session."""
        data = self.take()
        assert data, "no answer to the first frame"
        reader = JuteReader(data[4:])
        assert reader.int32() == 0
        self.timeout_ms, self.session_id = reader.int32(), reader.int64()
        self.password = reader.buffer() or b""
        return self

    def connect(
        self, other: ZooKeeperClient | None = None, *, last_zxid: int = 0
    ) -> ZooKeeperClient:
        """Open a session, or take over that of another connection."""
        if other is not None:
            self.session_id, self.password = other.session_id, other.password
        self.hello(last_zxid=last_zxid)
        return self.opened()

    def send(self, xid: int, opcode: int, *parts: bytes) -> bytes:
        """Send a request; returns its frame."""
        frame = jute.framed(jute.int32(xid), jute.int32(opcode), *parts)
        self.write(frame)
        return frame

    def answers(self) -> list[Answer]:
        """Return all that has come, in order."""
        data, found = self.take(), []
        while data:
            size = int.from_bytes(data[:4], "big")
            reader = JuteReader(data[4 : 4 + size])
            header = reader.int32(), reader.int64(), reader.int32()
            found.append(Answer(*header, data[20 : 4 + size]))
            data = data[4 + size :]
        return found

    def ask(self, opcode: int, *parts: bytes, xid: int = 1) -> Answer:
        """Send a request and return its answer, which must be all that comes."""
        self.send(xid, opcode, *parts)
        (answer,) = self.answers()
        assert answer.xid == xid
        return answer


def create(path: str, data: bytes = b"", mode: int = 0) -> tuple[bytes, ...]:
    """Return a create's record."""
    return jute.string(path), jute.buffer(data), OPEN_ACL, jute.int32(mode)


def watching(path: str, *, watch: bool = True) -> tuple[bytes, ...]:
    """Return a read's record."""
    return jute.string(path), b"\1" if watch else b"\0"


def setting(path: str, data: bytes) -> tuple[bytes, ...]:
    """Return a setData's record, of any version."""
    return jute.string(path), jute.buffer(data), jute.int32(-1)
