"""A Kafka listener on a bench: its client's bytes in, its questions to the broker answered by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from nodes.broker.kafka.listener import ROOM_A_TURN, KafkaListener
from nodes.core.controller.image import ClusterImage
from nodes.runtime.strangers import Strangers
from transport.driver.calls import response
from transport.driver.ports import Origin, Stranger, StreamId
from transport.gateway.kafka.apis import ApiKey, conversation
from transport.gateway.kafka.fields import Struct
from transport.gateway.kafka.reader import Reader
from transport.gateway.kafka.writer import Buffer, Writer
from transport.kernel import Now
from transport.wire.codec import Envelope
from transport.wire.ids import (
    BrokerEpoch,
    ClusterId,
    ControllerEpoch,
    Incarnation,
    LeaderEpoch,
    MetadataVersion,
    NodeId,
    NodeName,
    PartitionEpoch,
    TopicId,
)
from transport.wire.messages import Message
from transport.wire.messages.metadata import (
    BrokerRecord,
    MetadataDelta,
    PartitionRecord,
    TopicRecord,
)

NOW = Now(1_000, 1_000_000)
ORDERS = TopicId(b"orders".ljust(16, b"."))
LAST = StreamId(1)


def broker(number: int, *, alive: bool = True, kafka: str = "") -> BrokerRecord:
    return BrokerRecord(
        NodeId(number),
        NodeName(f"broker-{number}"),
        BrokerEpoch(number),
        Incarnation(1),
        *("tcp://h:1", "tcp://h:2", "tcp://h:3", f"rack-{number}"),
        alive,
        kafka=kafka or f"tcp://10.0.0.{number}:9092",
    )


def image() -> ClusterImage:
    """Three brokers, the third one dead; the topic ``orders`` with two partitions."""
    records: list[Any] = [broker(1), broker(2), broker(3, alive=False)]
    records.append(TopicRecord("orders", ORDERS, partition_count=2))
    for number, leader in ((0, 1), (1, 2)):
        nodes = tuple(map(NodeId, (1, 2, 3)))
        epoch = LeaderEpoch(7)
        records.append(
            PartitionRecord(ORDERS, number, nodes, nodes, NodeId(leader), epoch, PartitionEpoch(1))
        )
    made = ClusterImage()
    made.apply(MetadataDelta(ControllerEpoch(1), MetadataVersion(1), tuple(records)))
    return made


class Context:
    """What a listener uses of a broker's."""

    def __init__(self, ports: Any) -> None:
        self.ports = ports
        self.id = NodeId(1)
        self.image = image()
        self.config = type(
            "Config", (), {"cluster_id": ClusterId("the-cluster"), "tls_certificate": ""}
        )
        self.figures: dict[str, int] = {}
        self.reports: list[str] = []

    def count(self, figure: str, by: int = 1) -> None:
        self.figures[figure] = self.figures.get(figure, 0) + by

    def report(self, figure: str, text: str) -> None:
        self.count(figure)
        self.reports.append(text)


class Streams:
    """The stream port, of which one connection is looked at."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.calls: list[str] = []
        self.takes = True

    def listen(self, endpoint: str, _handler: Any, **_bounds: Any) -> str:
        self.calls.append(endpoint)
        return endpoint

    def send(self, _stream: StreamId, frames: Sequence[Buffer]) -> bool:
        self.sent.append(b"".join(frames))
        return self.takes

    def pause(self, _stream: StreamId) -> None:
        self.calls.append("pause")

    def resume(self, _stream: StreamId) -> None:
        self.calls.append("resume")

    def close(self, _stream: StreamId) -> None:
        self.calls.append("close")


class Ports:
    def __init__(self) -> None:
        self.streams = Streams()
        self.wire = self

    def reply(self, _origin: Origin, _envelope: Envelope) -> bool:
        return False


class Bench:
    """One client, connected."""

    def __init__(self) -> None:
        ports = Ports()
        self.streams = ports.streams
        self.strangers = Strangers(ports)  # type: ignore[arg-type]
        self.context = Context(ports)
        self.asked: list[tuple[Origin, Envelope]] = []
        self.listener = KafkaListener(
            self.context,  # type: ignore[arg-type]
            self.strangers,
            lambda origin, envelope, _now: self.asked.append((origin, envelope)),
            self.guard(self.context),
        )
        self.listener.on_stream(LAST, Stranger("10.9.9.9"), NOW)
        self._correlation = 0
        self._versions: dict[int, tuple[ApiKey, int]] = {}

    def guard(self, _context: Any) -> Any:
        """Return a doorkeeper, or None."""
        return None

    def send(self, key: ApiKey, version: int, body: Struct, client_id: str = "me") -> int:
        """Send a request, in a turn of its own; returns its number."""
        data = self.encode(key, version, body, client_id)
        self.listener.room = ROOM_A_TURN
        self.listener.on_bytes(LAST, data, NOW)
        self.listener.check()
        return self._correlation

    def encode(self, key: ApiKey, version: int, body: Struct, client_id: str = "me") -> bytes:
        self._correlation += 1
        self._versions[self._correlation] = (key, version)
        spoken = conversation(key, version)
        assert spoken is not None
        writer = Writer()
        writer.buffer += key.to_bytes(2, "big") + version.to_bytes(2, "big")
        writer.buffer += self._correlation.to_bytes(4, "big")
        writer.buffer += len(client_id).to_bytes(2, "big") + client_id.encode()
        if spoken.request_is_flexible:
            writer.uvarint(0)
        spoken.request.write(writer, body)
        return b"".join(writer.frame())

    def questions(self) -> list[Any]:
        return [envelope.body for _, envelope in self.asked]

    def reply(self, body: Message, payload: tuple[bytes, ...] = (), place: int = 0) -> bool:
        """Answer one of the questions that are open."""
        origin, envelope = self.asked.pop(place)
        return self.strangers.reply(origin, response(replace(envelope), body, payload))

    def end_turn(self) -> None:
        self.listener.end_turn(NOW)
        self.listener.check()

    def answers(self) -> list[tuple[int, Any]]:
        """Return (number, response) of what was sent since the last time."""
        found = []
        for data in self.streams.sent:
            size, number = (int.from_bytes(data[at : at + 4], "big") for at in (0, 4))
            assert size == len(data) - 4
            spoken = conversation(*self._versions[number])
            assert spoken is not None
            reader = Reader(memoryview(data), 8 + spoken.response_is_flexible)
            found.append((number, spoken.response.read(reader)))
            assert reader.left == 0
        self.streams.sent.clear()
        return found
