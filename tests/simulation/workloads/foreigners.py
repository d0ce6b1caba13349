"""Programs that speak Kafka's protocol: they write and read the topic of the native clients.

What they are told and read is judged with everybody else's: a native reader finds what they wrote,
and they pass over nothing that natives wrote.  Among them a stranger whose bytes are no protocol.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from nodes.broker.server import BrokerServer
from tests.simulation.checkers.violation import require
from tests.simulation.checkers.watermarks import FORWARD
from tests.simulation.cluster import broker_of, kafka_endpoint
from tests.simulation.foreign.connection import Tongue
from tests.simulation.foreign.garbler import Garble
from tests.simulation.foreign.producer import ForeignProducer
from tests.simulation.foreign.reader import ForeignReader
from tests.simulation.process import SimulatedProcess
from tests.simulation.workloads.producers import TOPIC
from tests.simulation.workloads.workload import Stage, Workload
from transport.kernel import Now
from transport.wire.compression import GZIP, NONE

PAUSE_US = (20_000, 400_000)
"""Between a producer's bursts."""
BURSTS = (1, 2, 6, 12)
PADDINGS = (0, 0, 0, 150)
GARBLE_US = (100_000, 1_500_000)
AGES = (0.0, 0.3, 0.6, 1.0, 1.0)
"""How new clients are: most speak the newest versions."""
BAD = (
    "kafka_frames_malformed",
    "kafka_requests_malformed",
    "kafka_requests_unproved",
    "kafka_versions_unspoken",
    "kafka_translations_failed",
    "kafka_connections_stuck",
)
"""What listeners count of connections that they end for their bytes, or for a fault of their own."""


class Foreigners(Workload):
    """So many producers and as many readers, and perhaps a stranger."""

    def __init__(self, stage: Stage, count: int) -> None:
        super().__init__(stage)
        self._history = stage.history
        self._marks = stage.observer.brokers.watermarks
        self._stage = stage
        self._partitions = range(self.cluster.shape.broker.num_partitions)
        self._endpoints = [kafka_endpoint(name) for name in self.cluster.names("broker")]
        self._sent = 0
        self._outstanding = 0
        self._readers: list[ForeignReader] = []
        self._garbles: list[Garble] = []
        self._told: dict[tuple[str, int], tuple[int, int]] = {}
        """Reader and partition -> (leader epoch, high watermark) that it was told last."""
        for number in range(1, count + 1):
            self._add_producer(f"{TOPIC}-f{number}")
            self._add_reader(f"foreign-reader-{number}")
        if self.world.random.random() < 0.5:
            self._garble_later()

    def _tongue(self) -> Tongue:
        random = self.world.random
        return Tongue(random.choice(AGES), is_newer=random.random() < 0.2)

    # Producers

    def _add_producer(self, name: str) -> None:
        producer = ForeignProducer(
            TOPIC,
            self._endpoints,
            self._tongue(),
            partial(self._acked),
            self._failed,
            self.world.random.choice((NONE, NONE, GZIP)),
        )
        process = self.cluster.add_client(producer, "foreign-producer")
        self._send_later(name, producer, process)

    def _send_later(self, name: str, producer: ForeignProducer, process: SimulatedProcess) -> None:
        def send(_now: Now) -> None:
            for _ in range(self.world.random.choice(BURSTS)):
                self._send(name, producer)

        def begin() -> None:
            if self.running:
                process.do(send)
                self._send_later(name, producer, process)

        self.world.after(self.world.between(PAUSE_US), begin)

    def _send(self, name: str, producer: ForeignProducer) -> None:
        self._sent += 1
        self._outstanding += 1
        random = self.world.random
        value = b"%s-%d%s" % (name.encode(), self._sent, b"." * random.choice(PADDINGS))
        partition = random.choice(self._partitions)
        self._history.note_sent((TOPIC, partition), value, name)
        producer.send(partition, value)

    def _acked(self, partition: int, offset: int, value: bytes) -> None:
        self._outstanding -= 1
        self._history.note_acked((TOPIC, partition), offset, value)
        self.world.mark(value)

    def _failed(self, value: bytes, error: int) -> None:
        self._outstanding -= 1
        self.world.note(f"{value.decode()} failed: {error}")

    # Readers

    def _add_reader(self, name: str) -> None:
        reader = ForeignReader(
            TOPIC,
            self._partitions,
            self._endpoints,
            self._tongue(),
            partial(self._read, name),
            partial(self._told_watermark, name),
        )
        self._readers.append(reader)
        self.cluster.add_client(reader, "foreign-reader")

    def _read(self, name: str, number: int, records: Sequence[tuple[int, bytes]]) -> None:
        partition = (TOPIC, number)
        self._history.note_poll(name, partition)
        for offset, value in records:
            self._history.note_read(name, partition, offset, value)
            self._marks.note_read(name, partition, offset)
            self.world.mark(value)

    def _told_watermark(self, name: str, number: int, epoch: int, watermark: int) -> None:
        """What a leader of one epoch tells is not below what it, or one before it, has told.

        −1: it is not sure of it yet.
        """
        if epoch < 0 or watermark < 0 or self._history.is_excused((TOPIC, number)):
            return
        known, before = self._told.get((name, number), (-1, -1))
        story = name, "was told", watermark, "in epoch", epoch, "after", before, "in", known
        require(epoch < known or watermark >= before, FORWARD, *story)
        self._told[name, number] = max(epoch, known), max(watermark, before)

    # The stranger

    def _garble_later(self) -> None:
        def garble() -> None:
            if self.running:
                random = self.world.random
                self._garble(random.choice(self._endpoints), leaves=random.random() < 0.3)
                self._garble_later()

        self.world.after(self.world.between(GARBLE_US), garble)

    def _garble(self, endpoint: str, *, leaves: bool = False) -> None:
        streams = self.cluster.network.streams
        self._garbles.append(Garble(streams, endpoint, self.world.random, leaves=leaves))

    # Stages

    def unsettled(self) -> str:
        """Say what has met no end yet."""
        hanging = sum(not one.ended for one in self._garbles)
        stories = (
            f"{self._outstanding} foreign records have met no end" if self._outstanding else "",
            f"{hanging} strangers have not been sent away" if hanging else "",
        )
        return "; ".join(filter(None, stories))

    def read_all(self) -> None:
        """Let the stranger try every listener once more."""
        for endpoint in self._endpoints:
            self._garble(endpoint)

    def unread(self) -> str:
        """Say which reader has not come to which end, and which stranger is still there."""
        ends = self._stage.observer.brokers.committed_ends(TOPIC)
        behind = [
            f"foreign reader {place} of {partition} up to {end}"
            for reader in self._readers
            for partition, end in ends.items()
            if (place := _offset(reader, partition[1])) < end
        ]
        hanging = [one.endpoint for one in self._garbles if not one.ended]
        return ", ".join(behind + [f"the stranger hangs at {one}" for one in hanging])

    def check(self) -> None:
        """Whoever was sent away for its bytes is counted, and nobody else was."""
        for name in self.cluster.names("broker"):
            server = broker_of(self.cluster.processes[name])
            assert isinstance(server, BrokerServer)
            figures = server.context.figures
            counted = sum(figures.get(figure, 0) for figure in BAD)
            dialled = sum(one.endpoint == kafka_endpoint(name) for one in self._garbles)
            assert 1 <= counted <= dialled, f"{counted} of {dialled} were ended by {name}"
            assert not figures.get("kafka_translations_failed"), f"a translation failed at {name}"


def _offset(reader: ForeignReader, partition: int) -> int:
    position = reader.places[partition].position
    return -1 if position is None else position.offset
