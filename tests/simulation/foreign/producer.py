"""An idempotent producer in Kafka's protocol: sequences, retries in order, several requests at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from tests.simulation.foreign.connection import Tongue
from tests.simulation.foreign.program import ForeignProgram
from transport.gateway.kafka.apis import ApiKey
from transport.gateway.kafka.messages.produce import (
    ProducedPartition,
    ProducePartition,
    ProduceRequest,
    ProduceResponse,
    ProduceTopic,
)
from transport.gateway.kafka.messages.producer_ids import (
    InitProducerIdRequest,
    InitProducerIdResponse,
)
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.ids import ProducerEpoch, ProducerId
from transport.wire.records import BatchBuilder

ACKS_ALL = -1
TIMEOUT_MS = 1_500
"""Of a request, in the broker."""
BATCHES_IN_FLIGHT_MAX = 5
"""Of a partition; a broker remembers as many."""
RECORDS_MAX = 4
"""Of a batch."""
BATCH_BYTES_MAX = 900
"""No topic refuses it."""
RETRY_MS = (20, 250)
NOWHERE = "no-such-topic"
STRAY_SHARE = 0.1
"""Of the requests behind which another one goes that is refused at once."""

NETWORK_EXCEPTION = 13
RETRIABLE = frozenset(
    {
        ErrorCode.CORRUPT_MESSAGE,
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        ErrorCode.LEADER_NOT_AVAILABLE,
        ErrorCode.NOT_LEADER_OR_FOLLOWER,
        ErrorCode.REQUEST_TIMED_OUT,
        ErrorCode.NOT_ENOUGH_REPLICAS,
        ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        ErrorCode.KAFKA_STORAGE_ERROR,
        ErrorCode.UNKNOWN_TOPIC_ID,
        NETWORK_EXCEPTION,
    }
)
"""Errors that a client of Kafka's tries again after."""
FAILED = frozenset({ErrorCode.INVALID_TIMESTAMP})
"""Errors after which a batch is given up; an earlier try of it may have been written."""
GAPS = frozenset({ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER, ErrorCode.UNKNOWN_PRODUCER_ID})

OnAcked = Callable[[int, int, bytes], None]
"""(partition, offset or −1 where nobody knows it any more, value)."""
OnFailed = Callable[[bytes, int], None]
"""(value, error)."""


class Identity(NamedTuple):
    """What every batch is stamped with."""

    producer_id: int
    producer_epoch: int


@dataclass(eq=False)
class Batch:
    """Records that go together; numbered once, and again only under another identity."""

    values: list[bytes]
    builder: BatchBuilder
    sequence: int = -1
    data: bytes = b""
    in_flight: bool = False
    retry_at_ms: int = 0


@dataclass(eq=False)
class Lane:
    """What goes to one partition."""

    partition: int
    waiting: list[bytes] = field(default_factory=list)
    sent: list[Batch] = field(default_factory=list)
    """In the order of their sequences, as far as their ends are not known."""
    identity: Identity | None = None
    next_sequence: int = 0
    restarting: bool = False
    """A batch before those that were sent is missing for good: they need another identity."""

    def number(self, batch: Batch, codec: int, *, transactional: bool = False) -> None:
        """Give a batch the next sequence."""
        assert self.identity is not None
        batch.sequence = self.next_sequence
        self.next_sequence += len(batch.values)
        producer_id, epoch = self.identity
        batch.data = batch.builder.build(
            codec,
            ProducerId(producer_id),
            ProducerEpoch(epoch),
            batch.sequence,
            transactional=transactional,
        )


class ForeignProducer(ForeignProgram):
    """Sends what it is given until it is acknowledged, or given up."""

    transactional_id: str | None = None

    def __init__(
        self,
        topic: str,
        bootstrap: Sequence[str],
        tongue: Tongue,
        on_acked: OnAcked,
        on_failed: OnFailed,
        codec: int = 0,
    ) -> None:
        super().__init__(topic, bootstrap, tongue)
        self._on_acked = on_acked
        self._on_failed = on_failed
        self._codec = codec
        self._lanes: dict[int, Lane] = {}
        self._identity: Identity | None = None
        self._asking_identity = False

    def send(self, partition: int, value: bytes) -> None:
        """Send a record, as soon as it may leave."""
        self._lanes.setdefault(partition, Lane(partition)).waiting.append(value)

    def pump(self, now: Now) -> None:
        """Send every partition's next batch, those of one leader in one request."""
        while rounds := self._choose_all(now):
            for endpoint, chosen in rounds.items():
                self._send(endpoint, chosen, now)

    # Choosing

    def _choose_all(self, now: Now) -> dict[str, list[tuple[Lane, Batch]]]:
        rounds: dict[str, list[tuple[Lane, Batch]]] = {}
        for lane in self._lanes.values():
            if not lane.waiting and not lane.sent:
                continue
            leader = self.leaders.get(lane.partition)
            if leader is None:
                self.refresh(now)
            elif (batch := self._choose(lane, now)) is not None:
                rounds.setdefault(leader.endpoint, []).append((lane, batch))
        return rounds

    def _choose(self, lane: Lane, now: Now) -> Batch | None:
        if not self._is_identified(lane, now):
            return None
        for batch in lane.sent:
            if not batch.in_flight:
                return batch if now.mono_ms >= batch.retry_at_ms else None
        if not lane.waiting or len(lane.sent) >= BATCHES_IN_FLIGHT_MAX:
            return None
        batch = _fill(lane.waiting, now)
        lane.number(batch, self._codec, transactional=self.transactional_id is not None)
        lane.sent.append(batch)
        return batch

    def _is_identified(self, lane: Lane, now: Now) -> bool:
        if lane.identity is not None and not lane.restarting:
            return True
        if any(batch.in_flight for batch in lane.sent):
            return False
        if self._identity is None or self._identity == lane.identity:
            self._ask_identity(now)
            return False
        lane.identity, lane.next_sequence, lane.restarting = self._identity, 0, False
        for batch in lane.sent:
            lane.number(batch, self._codec)
        return True

    def _ask_identity(self, now: Now) -> None:
        self._identity = None
        if not self._asking_identity:
            self._asking_identity = True
            body = InitProducerIdRequest(transactional_id=None, transaction_timeout_ms=60_000)
            self.ask(self.anybody(), ApiKey.INIT_PRODUCER_ID, body, self._identified, now)

    def _identified(self, response: InitProducerIdResponse | None, now: Now) -> None:
        if response is None or response.error_code:
            self.timers.after(now, RETRY_MS[1], self._may_ask_identity)
            return
        self._asking_identity = False
        self._identity = Identity(response.producer_id, response.producer_epoch)

    def _may_ask_identity(self, _now: Now) -> None:
        self._asking_identity = False

    # Requests

    def _send(self, endpoint: str, chosen: list[tuple[Lane, Batch]], now: Now) -> None:
        for _, batch in chosen:
            batch.in_flight = True
        parts = tuple(
            ProducePartition(index=lane.partition, records=batch.data) for lane, batch in chosen
        )
        topic = ProduceTopic(name=self.topic, topic_id=self.topic_id, partition_data=parts)
        body = ProduceRequest(
            transactional_id=self.transactional_id,
            acks=ACKS_ALL,
            timeout_ms=TIMEOUT_MS,
            topic_data=(topic,),
        )
        then = partial(self._answered, chosen)
        self.ask(endpoint, ApiKey.PRODUCE, body, then, now)
        if self.process.random.random() < STRAY_SHARE:
            self._send_astray(endpoint, parts, now)

    def _send_astray(self, endpoint: str, parts: tuple[ProducePartition, ...], now: Now) -> None:
        """Write to a topic that there is not: refused at once, and to be told in its turn."""
        topic = ProduceTopic(name=NOWHERE, topic_id=bytes([0xFF] * 16), partition_data=parts)
        body = ProduceRequest(acks=ACKS_ALL, timeout_ms=TIMEOUT_MS, topic_data=(topic,))
        self.ask(endpoint, ApiKey.PRODUCE, body, _disregard, now)

    def _answered(
        self, chosen: list[tuple[Lane, Batch]], response: ProduceResponse | None, now: Now
    ) -> None:
        if response is None:
            for _, batch in chosen:
                self._retry(batch, now)
            return
        [topic] = response.responses
        told = {one.index: one for one in topic.partition_responses}
        assert len(told) == len(chosen), f"{len(chosen)} partitions were written to, told: {told}"
        for lane, batch in chosen:
            batch.in_flight = False
            self._judge(lane, batch, told[lane.partition], now)

    def _judge(self, lane: Lane, batch: Batch, told: ProducedPartition, now: Now) -> None:
        error = told.error_code
        if error in (ErrorCode.NONE, ErrorCode.DUPLICATE_SEQUENCE_NUMBER):
            lane.sent.remove(batch)
            for number, value in enumerate(batch.values):
                offset = told.base_offset + number if told.base_offset >= 0 else -1
                self._on_acked(lane.partition, offset, value)
        elif error in GAPS:
            # For the first one there is nothing left that could fill the gap before it.
            lane.restarting = lane.restarting or lane.sent[0] is batch
            self._retry(batch, now)
        elif error in FAILED:
            lane.sent.remove(batch)
            for value in batch.values:
                self._on_failed(value, error)
        else:
            assert error in RETRIABLE, f"Produce was answered {error}: {told.error_message}"
            self.refresh(now)
            self._retry(batch, now)

    def _retry(self, batch: Batch, now: Now) -> None:
        batch.in_flight = False
        batch.retry_at_ms = self.later(RETRY_MS, now)


def _disregard(_response: ProduceResponse | None, _now: Now) -> None:
    """It says that there is no such topic."""


def _fill(waiting: list[bytes], now: Now) -> Batch:
    builder, values = BatchBuilder(), list[bytes]()
    while waiting and len(values) < RECORDS_MAX:
        if not builder.append(None, waiting[0], (), now.wall_ms, BATCH_BYTES_MAX):
            break
        values.append(waiting.pop(0))
    return Batch(values, builder)
