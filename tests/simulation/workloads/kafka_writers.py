"""Programs that write in Kafka's own protocol, through the listener of a partition's leader.

Each is idempotent and has several batches on their way; what fails is written again in its order.
They draw from a generator of their own: runs without them are what they would be without this file.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

from tests.simulation.checkers.answered_in_order import check_answered_in_order
from tests.simulation.clock import EPOCH_WALL_MS
from tests.simulation.streams import Stream
from tests.simulation.workloads.producers import TOPIC
from tests.simulation.workloads.workload import Stage, Workload
from transport.gateway.kafka.apis import ApiKey, conversation
from transport.gateway.kafka.fields import Struct
from transport.gateway.kafka.frames import FrameReader
from transport.gateway.kafka.messages.metadata import MetadataRequest, MetadataRequestTopic
from transport.gateway.kafka.messages.produce import (
    ProducePartition,
    ProduceRequest,
    ProduceTopic,
)
from transport.gateway.kafka.messages.producer_ids import InitProducerIdRequest
from transport.gateway.kafka.reader import Reader
from transport.gateway.kafka.writer import Writer
from transport.wire.errors import ErrorCode
from transport.wire.ids import ProducerEpoch, ProducerId
from transport.wire.records import BatchBuilder

VERSIONS = {ApiKey.METADATA: 9, ApiKey.PRODUCE: 7, ApiKey.INIT_PRODUCER_ID: 1}
"""Flexible ones and older ones."""
IN_FLIGHT_MAX = 3
WAITING_MAX = 40
PAUSE_US = (3_000, 60_000)
RETRY_US = (20_000, 200_000)
ANSWER_MAX_US = 5_000_000
NOWHERE = "no-such-topic"
STRAY_SHARE = 0.2
"""Of the batches after which one follows that is refused at once: its answer is to wait for theirs."""
ACKS_ALL, ACK_MAX_MS = -1, 1_500
FORGOTTEN = (ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER, ErrorCode.UNKNOWN_PRODUCER_ID)
"""Told of the oldest batch: what came before it was lost, so it is not there either."""


@dataclass(slots=True)
class _Batch:
    values: list[bytes]
    sequence: int


class KafkaWriters(Workload):
    """Several writers, each to one partition of the producers' topic."""

    def __init__(self, stage: Stage, count: int) -> None:
        super().__init__(stage)
        self.history = stage.history
        self.random = Random(f"Kafka's writers of {self.world.seed}")
        self.endpoints = [node.kafka for node in self.cluster.nodes if node.kafka]
        partitions = self.cluster.shape.broker.num_partitions
        self._writers = [_Writer(self, number, number % partitions) for number in range(count)]

    def unsettled(self) -> str:
        """Say how many records are still on their way."""
        left = sum(writer.left for writer in self._writers)
        return f"{left} records of Kafka's writers have met no end" if left else ""

    def between(self, bounds_us: tuple[int, int]) -> int:
        """Draw a time."""
        return self.random.randint(*bounds_us)


class _Writer:
    """One program, with one connection at a time: to the leader, as soon as it knows it."""

    def __init__(self, writers: KafkaWriters, number: int, partition: int) -> None:
        self._all = writers
        self._world = writers.world
        self._name = f"{TOPIC}-kafka{number}"
        self._host = f"kafka-writer-{number}"
        self._partition = partition
        self._sent = 0
        self._producer = ProducerId(-1), ProducerEpoch(-1)
        self._sequence = 0
        self._waiting: deque[_Batch] = deque()
        """Not on their way."""
        self._flying: deque[_Batch] = deque()
        self._failed: deque[_Batch] = deque()
        """Of those that were on their way; once all are answered they are written again."""
        self._stream: Stream | None = None
        self._endpoint = ""
        self._open: deque[int] = deque()
        self._thens: dict[int, tuple[ApiKey, Callable[[Any], None]]] = {}
        self._last = 0
        self._lives = 0
        self._later(PAUSE_US, self._write)
        self._later(RETRY_US, self._connect)

    @property
    def left(self) -> int:
        """Records that have met no end."""
        return sum(len(one.values) for one in (*self._waiting, *self._flying, *self._failed))

    def _later(self, bounds_us: tuple[int, int], do: Callable[[], None]) -> None:
        self._world.after(self._all.between(bounds_us), do)

    def _write(self) -> None:
        if not self._all.running:
            return
        if len(self._waiting) < WAITING_MAX:
            values = []
            for _ in range(self._all.random.choice((1, 1, 2, 5))):
                self._sent += 1
                values.append(b"%s-%d" % (self._name.encode(), self._sent))
                self._all.history.note_sent((TOPIC, self._partition), values[-1], self._name)
            self._waiting.append(_Batch(values, self._sequence))
            self._sequence += len(values)
            self._go_on()
        self._later(PAUSE_US, self._write)

    # The connection, to whoever leads

    def _connect(self, endpoint: str = "") -> None:
        self._lives += 1
        self._endpoint = endpoint or self._all.random.choice(self._all.endpoints)
        self._frames = FrameReader(1 << 20)
        self._open.clear()
        self._thens.clear()
        self._stream = self._world_streams.dial(self._host, self._endpoint, self)

    @property
    def _world_streams(self) -> Any:
        return self._all.cluster.network.streams

    def on_opened(self) -> None:
        """Ask who leads."""
        topic = MetadataRequestTopic(name=TOPIC)
        self._ask(ApiKey.METADATA, MetadataRequest(topics=(topic,)), self._on_metadata)

    def on_end(self) -> None:
        """Try again, wherever."""
        self._lose()

    def on_bytes(self, data: bytes) -> None:
        """Take answers, which must come in order."""
        for frame in self._frames.feed(data):
            number = int.from_bytes(frame[:4], "big")
            check_answered_in_order(self._open, number)
            key, then = self._thens.pop(number)
            spoken = conversation(key, VERSIONS[key])
            assert spoken is not None
            then(spoken.response.read(Reader(frame, 4 + spoken.response_is_flexible)))
            if self._stream is None:
                return

    def _lose(self) -> None:
        """Whatever was on its way may be written, or not."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None
            self._failed.extend(self._flying)
            self._flying.clear()
            self._again()
            self._later(RETRY_US, self._connect)

    def _ask(self, key: ApiKey, body: Struct, then: Callable[[Any], None]) -> None:
        assert self._stream is not None
        self._last += 1
        number, life = self._last, self._lives
        spoken = conversation(key, VERSIONS[key])
        assert spoken is not None
        writer = Writer()
        writer.buffer += key.to_bytes(2, "big") + VERSIONS[key].to_bytes(2, "big")
        writer.buffer += number.to_bytes(4, "big") + b"\0\0"
        if spoken.request_is_flexible:
            writer.uvarint(0)
        spoken.request.write(writer, body)
        self._open.append(number)
        self._thens[number] = key, then
        self._stream.send(b"".join(writer.frame()))

        def give_up() -> None:
            if life == self._lives and number in self._thens:
                self._lose()

        self._world.after(ANSWER_MAX_US, give_up)

    def _on_metadata(self, answer: Any) -> None:
        [topic] = answer.topics
        leader = next(
            (one.leader_id for one in topic.partitions if one.partition_index == self._partition),
            -1,
        )
        at = [f"tcp://{one.host}:{one.port}" for one in answer.brokers if one.node_id == leader]
        if not at:
            self._lose()
        elif at[0] != self._endpoint:
            assert self._stream is not None
            self._stream.close()
            self._connect(at[0])
        elif self._producer[0] < 0:
            question = InitProducerIdRequest(transactional_id=None, transaction_timeout_ms=1_000)
            self._ask(ApiKey.INIT_PRODUCER_ID, question, self._on_producer_id)
        else:
            self._go_on()

    def _on_producer_id(self, answer: Any) -> None:
        if answer.error_code:
            self._lose()
            return
        self._producer = ProducerId(answer.producer_id), ProducerEpoch(answer.producer_epoch)
        self._sequence = 0
        for batch in self._waiting:
            batch.sequence = self._sequence
            self._sequence += len(batch.values)
        self._go_on()

    # Batches

    def _go_on(self) -> None:
        """Send what may be sent; nothing while something that failed is to be written again."""
        ready = self._stream is not None and self._producer[0] >= 0 and not self._failed
        while ready and self._is_idle and self._waiting and len(self._flying) < IN_FLIGHT_MAX:
            batch = self._waiting.popleft()
            self._flying.append(batch)
            builder = BatchBuilder()
            for value in batch.values:
                builder.append(None, value, (), EPOCH_WALL_MS)
            records = builder.build(0, *self._producer, batch.sequence)
            self._produce(TOPIC, records, partial(self._on, batch))
            if self._all.random.random() < STRAY_SHARE:
                self._produce(NOWHERE, records, _disregard)

    def _produce(self, name: str, records: bytes, then: Callable[[Any], None]) -> None:
        one = ProducePartition(index=self._partition, records=records)
        topic = ProduceTopic(name=name, partition_data=(one,))
        request = ProduceRequest(acks=ACKS_ALL, timeout_ms=ACK_MAX_MS, topic_data=(topic,))
        self._ask(ApiKey.PRODUCE, request, then)

    @property
    def _is_idle(self) -> bool:
        """Nothing but batches is on its way."""
        return all(key is ApiKey.PRODUCE for key, _ in self._thens.values())

    def _on(self, batch: _Batch, answer: Any) -> None:
        self._flying.remove(batch)
        [[told]] = [topic.partition_responses for topic in answer.responses]
        error = told.error_code
        if error in (ErrorCode.NONE, ErrorCode.DUPLICATE_SEQUENCE_NUMBER):
            for place, value in enumerate(batch.values):
                offset = told.base_offset + place if told.base_offset >= 0 else -1
                self._all.history.note_acked((TOPIC, self._partition), offset, value)
        else:
            self._world.note(f"{batch.values[0].decode()} failed: {ErrorCode(error).name}")
            if error in FORGOTTEN and not self._failed:
                self._producer = ProducerId(-1), ProducerEpoch(-1)
            self._failed.append(batch)
        if self._failed and not self._flying:
            self._lose()  # and ask anew who leads
        else:
            self._go_on()

    def _again(self) -> None:
        in_order = sorted(self._failed, key=lambda one: one.sequence)
        self._waiting.extendleft(reversed(in_order))
        self._failed.clear()


def _disregard(_answer: Any) -> None:
    """It says that there is no such topic."""
