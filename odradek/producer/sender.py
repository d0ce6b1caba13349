"""Batches on their way to leaders: requests, answers, retries in order, and ends.

Owns the requests in flight, and what an error means for a batch.  Acts on the flags of the error
table; the only codes named here are those that speak about sequences, of a batch that is too large
(its halves are sent instead), and of a request that met no answer.  It must not know how records got
into batches.

Order: per partition at most five batches are in flight, each keeps its sequence until its end is
known, and a retried batch goes before those after it.  A batch is taken to a new leader when that
is *announced*; a late answer of the old one is not listened to.  When a batch has ended without
being written, the broker refuses those after it; once the first of them is refused and no answer
is outstanding, none has been written, and the partition begins anew under the next epoch, which
fences what of the last one is still unread on some broken connection.  Until that fence stands, what
is unread there might be written, too: it is not sent a second time (``_leave_doubtful``).

Source: KIP-98, KIP-360; Apache Kafka documentation, producer configs; ``docs/decisions/0026``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from odradek.cluster.errands import Errands, error_of
from odradek.cluster.metadata import ClusterView, Leader
from odradek.cluster.rests import Rests
from odradek.errors import DeliveryTimeoutError, OdradekError, error_for
from odradek.measures import Latencies, ProducerMeasures
from odradek.producer.accumulator import Accumulator, Batch, Lane, Lost, Outcome
from odradek.producer.identities import Identities
from odradek.producer.transaction import ProducerTransaction
from transport.driver.calls import Calls
from transport.driver.ports import LinkId, Ports
from transport.kernel import Now, earliest
from transport.wire.codec import Buffer, Envelope, Kind
from transport.wire.errors import ErrorCode, meaning
from transport.wire.ids import NodeId, Offset
from transport.wire.messages import Message, Refusal
from transport.wire.messages.produce import (
    ACKS_ALL,
    ACKS_NONE,
    ProducePartition,
    ProduceRequest,
    ProduceResponse,
)

BATCH_SIZE_BYTES = 128 * 1024
"""Measured on 2 cores that three brokers share, 100-byte values: 16 KiB 170,000 records/s, 32 KiB
250,000, 64 KiB 310,000, 128 KiB 400,000; twice and four times that are no faster."""
REQUEST_BYTES_MAX = 1024 * 1024
SEQUENCED_IN_FLIGHT_MAX = 5
"""A broker remembers the last five batches of a producer."""
GATHERING_REQUESTS = 2
"""With this many requests in flight to a broker, a batch that is not full waits for company."""
RETRY_MIN_MS = 20
RETRY_MAX_MS = 250
_TOO_LARGE = frozenset({ErrorCode.MESSAGE_TOO_LARGE, ErrorCode.RECORD_LIST_TOO_LARGE})
_UNANSWERED = frozenset({ErrorCode.DISCONNECTED, ErrorCode.REQUEST_TIMED_OUT})


@dataclass(frozen=True, slots=True, kw_only=True)
class ProducerSettings:
    """How a producer behaves; Kafka's names and defaults where there is no reason given."""

    bootstrap: tuple[str, ...]
    """Endpoints of clients' doors."""
    acks: int = ACKS_ALL
    idempotent: bool = True
    linger_ms: int = 0
    batch_size_bytes: int = BATCH_SIZE_BYTES
    request_bytes_max: int = REQUEST_BYTES_MAX
    """Of one record with everything around it, and of the batches of one request together."""
    codec: int = 0
    buffer_memory_bytes: int = 32 * 1024 * 1024
    max_block_ms: int = 60_000
    delivery_timeout_ms: int = 120_000
    request_timeout_ms: int = 10_000
    """Kafka's is 30 s; a broker that hangs is replaced long before either."""
    in_flight_max: int = 5
    transactional_id: str | None = None
    transaction_timeout_ms: int = 60_000
    client_id: str = "odradek-producer"

    def __post_init__(self) -> None:
        if self.idempotent and not 1 <= self.in_flight_max <= SEQUENCED_IN_FLIGHT_MAX:
            raise ValueError("max_in_flight must be 1 to 5 with enable_idempotence; 5 keeps order")
        if self.idempotent and self.acks != ACKS_ALL:
            raise ValueError("enable_idempotence needs acks='all'")
        if self.transactional_id is not None and not self.idempotent:
            raise ValueError("transactional_id needs acks='all' and enable_idempotence")


class _Flight(NamedTuple):
    """One batch in one request."""

    leader: Leader
    lane: Lane
    batch: Batch
    attempt: int


class Sender:
    """Sends what the accumulator holds; driven by ``pump`` once per turn."""

    def __init__(
        self,
        settings: ProducerSettings,
        view: ClusterView,
        calls: Calls,
        errands: Errands,
        accumulator: Accumulator,
        transaction: ProducerTransaction | None = None,
    ) -> None:
        self.failed: OdradekError | None = None
        """Set when this producer can go no further."""
        self.flushing = False
        """While somebody waits for a flush, nothing lingers."""
        self.measures = ProducerMeasures()
        self.latencies = Latencies()
        self._settings = settings
        self._view = view
        self._calls = calls
        self._accumulator = accumulator
        self._transaction = transaction
        self._ports: Ports | None = None
        self._identities = Identities(errands, transaction, self.fail_all)
        self._requests: dict[LinkId, int] = {}
        self.resting = Rests()
        self._generation = -1
        self._wake_ms: int | None = None

    def attach(self, ports: Ports) -> None:
        """Take the ports, once the program has them."""
        self._ports = ports

    def pump(self, now: Now) -> None:
        """Expire what is due, then send all that may be sent now."""
        self._wake_ms = None
        for lane, batch in self._accumulator.expired(now):
            reason = batch.trouble or self._obstacle(lane, now)
            time_ms = self._settings.delivery_timeout_ms
            text = f"{lane.topic}-{lane.partition}: not acked within {time_ms} ms; {reason}"
            self._fail(lane, batch, DeliveryTimeoutError(text))
        if self._generation != self._view.generation:
            self._generation = self._view.generation
            for lane in self._accumulator.lanes.values():
                if lane.sent:
                    self._recall(lane, now)
        if self._transaction is not None and self._transaction.is_lost:
            self.fail_all(self._transaction.cause or OdradekError())
        while self._send_round(now):
            pass

    @property
    def in_flight(self) -> int:
        """How many requests wait for their answer."""
        return sum(self._requests.values())

    def next_deadline_ms(self) -> int | None:
        """Return when the next pump is due, should nothing happen before."""
        return earliest(self._wake_ms, self._accumulator.next_deadline_ms())

    def _obstacle(self, lane: Lane, now: Now) -> str:
        if not self._view.fetched:
            return f"no broker could be reached ({self._view.tried()})"
        leader = self._view.leader(lane.topic, lane.partition, now)
        if leader is None:
            return "the partition has no leader that can be reached"
        if self._rests(leader.link, now):
            return "the broker makes us wait: we are above our quota"
        return "its turn never came; the cluster is slower than the producer"

    # Choosing

    def _send_round(self, now: Now) -> bool:
        """Send one request to each broker that something waits for; False when nothing was sent."""
        rounds: dict[NodeId, list[_Flight]] = {}
        sizes_bytes: dict[NodeId, int] = {}
        for lane in self._accumulator.waiting():
            leader = self._leader(lane, now)
            if leader is None:
                continue
            room_bytes = self._settings.request_bytes_max - sizes_bytes.get(leader.node, 0)
            batch = self._choose(lane, leader, room_bytes, now)
            if batch is not None:
                size_bytes = sizes_bytes.get(leader.node, 0) + batch.builder.size_bytes
                sizes_bytes[leader.node] = size_bytes
                flight = _Flight(leader, lane, batch, batch.attempt + 1)
                rounds.setdefault(leader.node, []).append(flight)
        sent = [self._send(flights, now) for flights in rounds.values()]
        return any(sent)

    def _leader(self, lane: Lane, now: Now) -> Leader | None:
        """Return the leader if its connection can take another request of ours."""
        leader = self._view.leader(lane.topic, lane.partition, now)
        if leader is None:
            return None
        if self._requests.get(leader.link, 0) >= self._settings.in_flight_max:
            return None
        if self._rests(leader.link, now):
            return None
        if lane.topic_id != leader.topic_id:
            self._adopt_topic(lane, leader)
        return leader if lane.topic_id == leader.topic_id else None

    def _rests(self, link: LinkId, now: Now) -> bool:
        until_ms = self.resting.until_ms(link, now)
        if until_ms is not None:
            self._wake_at(until_ms)
        return until_ms is not None

    def _adopt_topic(self, lane: Lane, leader: Leader) -> None:
        """Take the sequences to a topic made anew under the same name: it has seen none of them."""
        if lane.topic_id is not None and lane.sent:
            if lane.flying:
                return
            lane.restart(lane.identity)
        lane.next_sequence = 0
        lane.topic_id = leader.topic_id

    def _choose(self, lane: Lane, leader: Leader, room_bytes: int, now: Now) -> Batch | None:
        """Return the batch of this lane that may leave now."""
        if self._settings.idempotent:
            if lane.restarting and not lane.flying:
                self._leave_doubtful(lane, leader)
            if not self._identities.identify(lane, now):
                return None
        batch = lane.first_unsent()
        if batch is not None:
            if batch.leader_epoch >= leader.epoch and now.mono_ms < batch.retry_at_ms:
                self._wake_at(batch.retry_at_ms)
                return None
            return batch if batch.builder.size_bytes <= room_bytes else None
        if not lane.queue or len(lane.sent) >= self._settings.in_flight_max:
            return None
        head = lane.queue[0]
        if head.builder.size_bytes > room_bytes and room_bytes < self._settings.request_bytes_max:
            return None
        if not head.full and not self._ripe(lane, head, leader, now):
            return None
        return lane.number(lane.identity)

    def _ripe(self, lane: Lane, batch: Batch, leader: Leader, now: Now) -> bool:
        """Return whether a batch with room for more should leave all the same."""
        if lane.flying or self._requests.get(leader.link, 0) >= GATHERING_REQUESTS:
            return False
        due_ms = batch.created_ms + self._settings.linger_ms
        if now.mono_ms >= due_ms or self.flushing:
            return True
        self._wake_at(due_ms)
        return False

    def _recall(self, lane: Lane, now: Now) -> None:
        """Take batches back from a leader that is none any more, to be sent to the new one."""
        leader = self._view.leader(lane.topic, lane.partition, now)
        if leader is None or leader.topic_id != lane.topic_id:
            return
        for batch in lane.sent:
            if batch.in_flight and batch.leader_epoch < leader.epoch:
                batch.in_flight = False
                batch.tries = 0
        self._accumulator.note(lane)

    def _leave_doubtful(self, lane: Lane, leader: Leader) -> None:
        """End what could be written twice: under its old sequence, should that still be read.

        It could only follow something that has failed and may itself be read yet.
        """
        lost = lane.lost
        if lost is None or lost.unread_epoch != leader.epoch:
            return  # of an earlier leader epoch nothing is taken any more
        for batch in [one for one in lane.sent if one.unread_epoch == leader.epoch]:
            text = (
                f"{lane.topic}-{lane.partition}: it is not known whether it was written; it came "
                "behind what was not acked in time, and both may still be read by the broker"
            )
            self._fail(lane, batch, error_for(ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER, text))

    # Requests

    def _send(self, flights: list[_Flight], now: Now) -> bool:
        leader = flights[0].leader
        parts: list[ProducePartition] = []
        for place, (known, lane, batch, attempt) in enumerate(flights):
            if not batch.frame:
                batch.frame = self._build(batch)
            batch.attempt, batch.leader_epoch, batch.in_flight = attempt, known.epoch, True
            parts.append(ProducePartition(known.topic_id, lane.partition, known.epoch, place))
        payload: tuple[Buffer, ...] = tuple(flight.batch.frame for flight in flights)
        settings = self._settings
        request = ProduceRequest(
            settings.acks,
            settings.request_timeout_ms,
            tuple(parts),
            settings.transactional_id,
            settings.client_id,
        )
        sent_ms = now.mono_ms

        def answered(body: Message, _payload: object, now: Now) -> None:
            self.latencies.add(now.mono_ms - sent_ms)
            self._answered(flights, body, now)

        if settings.acks == ACKS_NONE:
            sent = self._send_unanswered(leader, request, payload, flights)
        else:
            sent = self._calls.request(
                leader.link,
                request,
                answered,
                now,
                timeout_ms=settings.request_timeout_ms,
                payload=payload,
            )
            if sent:
                self._requests[leader.link] = self._requests.get(leader.link, 0) + 1
        if not sent:
            for flight in flights:
                flight.batch.in_flight = False
            self._view.links.refused(leader.link, now)
        for flight in flights:
            self._accumulator.note(flight.lane)
        return sent

    def _build(self, batch: Batch) -> bytes:
        if batch.identity is None:
            return batch.builder.build(self._settings.codec)
        return batch.builder.build(
            self._settings.codec,
            batch.identity.producer_id,
            batch.identity.epoch,
            batch.sequence,
            transactional=self._transaction is not None,
        )

    def _send_unanswered(
        self,
        leader: Leader,
        request: ProduceRequest,
        payload: tuple[Buffer, ...],
        flights: list[_Flight],
    ) -> bool:
        assert self._ports is not None
        envelope = Envelope(Kind.REQUEST, request, payload, cluster_id=self._calls.cluster_id)
        if not self._ports.wire.send(leader.link, envelope):
            return False
        for flight in flights:
            self._succeed(flight.lane, flight.batch, Offset(-1))
        return True

    # Answers

    def _answered(self, flights: list[_Flight], body: Message, now: Now) -> None:
        link = flights[0].leader.link
        self._requests[link] -= 1
        if not self._requests[link]:
            del self._requests[link]
        if isinstance(body, ProduceResponse):
            self.resting.note(link, body.throttle_time_ms, now)
        if (
            isinstance(body, ProduceResponse)
            and body.error == ErrorCode.NONE
            and len(body.partitions) == len(flights)
        ):
            for flight, part in zip(flights, body.partitions, strict=True):
                if (part.topic_id, part.partition) == (
                    flight.leader.topic_id,
                    flight.lane.partition,
                ):
                    self._judge(flight, part.error, part.base_offset, part.text, now)
                else:
                    text = "the broker answered about another partition"
                    self._judge(flight, ErrorCode.UNKNOWN_SERVER_ERROR, Offset(-1), text, now)
            return
        code = error_of(body) or ErrorCode.UNKNOWN_SERVER_ERROR
        text = body.text if isinstance(body, Refusal) else ""
        for flight in flights:
            if code in _UNANSWERED:
                flight.batch.unread_epoch = max(flight.batch.unread_epoch, flight.leader.epoch)
            self._judge(flight, code, Offset(-1), text, now)

    def _judge(self, flight: _Flight, code: int, offset: Offset, text: str, now: Now) -> None:
        """Decide what an answer means for one batch."""
        lane, batch = flight.lane, flight.batch
        if batch.done or not batch.in_flight or batch.attempt != flight.attempt:
            return  # it went to a newer leader meanwhile, or its time was over
        batch.in_flight = False
        meant = meaning(code)
        if code == ErrorCode.NONE:
            self._succeed(lane, batch, offset)
        elif code == ErrorCode.DUPLICATE_SEQUENCE_NUMBER and batch.sequence >= 0:
            self._succeed(lane, batch, Offset(-1))  # written before; nobody remembers where
        elif batch.sequence >= 0 and code in (
            ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
            ErrorCode.UNKNOWN_PRODUCER_ID,
        ):
            # For the first one there is nothing left that could fill the gap before it.
            lost = lane.sent[0] is batch
            if lost and self._transaction is not None:
                self._fail(lane, batch, error_for(code, text))
                return
            lane.restarting = lane.restarting or lost
            self._retry(lane, batch, text or meant.text, now)
        elif code in _TOO_LARGE and batch.builder.record_count > 1:
            # Its topic takes less than when it was filled; the halves may fit (KIP-126).
            self.measures.batches_split += 1
            self._accumulator.split(lane, batch)
        elif code in _TOO_LARGE:
            size_bytes = batch.builder.size_bytes
            self._fail(lane, batch, error_for(code, _too_large(lane, size_bytes, text)))
        elif meant.fatal and self._transaction is None:
            self.fail_all(error_for(code, text))
        elif meant.retriable:
            if meant.refresh_metadata:
                self._view.refresh_later(now)
            self._retry(lane, batch, text or meant.text, now)
        else:
            self._fail(lane, batch, error_for(code, text))

    def _retry(self, lane: Lane, batch: Batch, trouble: str, now: Now) -> None:
        assert self._ports is not None
        pause_ms = min(RETRY_MAX_MS, RETRY_MIN_MS << min(batch.tries, 10))
        batch.tries += 1
        self.measures.records_retried += batch.builder.record_count
        batch.trouble = trouble
        batch.retry_at_ms = now.mono_ms + self._ports.random.randint(pause_ms // 2, pause_ms)
        self._accumulator.note(lane)

    def _succeed(self, lane: Lane, batch: Batch, offset: Offset) -> None:
        self.measures.acked(batch.builder.record_count, batch.builder.size_bytes)
        if lane.lost is not None and lane.lost.number < batch.number:
            lane.lost = None  # a sequence is written behind all that are before it
        self._accumulator.finish(lane, batch, Outcome(lane.topic, lane.partition, offset))

    def _fail(self, lane: Lane, batch: Batch, error: OdradekError) -> None:
        if batch.in_flight:
            batch.unread_epoch = max(batch.unread_epoch, batch.leader_epoch)
        if batch.unread_epoch >= 0:
            lane.lost = Lost(batch.number, batch.unread_epoch)
        self.measures.records_failed += batch.builder.record_count
        outcome = Outcome(lane.topic, lane.partition, -1, error)
        self._accumulator.finish(lane, batch, outcome)
        if self._transaction is not None:
            self._transaction.record_failed(error)

    def fail_all(self, error: OdradekError) -> None:
        """End every batch with ``error``; a fatal one ends the producer."""
        if error.fatal and self._transaction is None:
            self.failed = error
        for lane, batch in self._accumulator.unfinished():
            self._fail(lane, batch, error)

    def _wake_at(self, due_ms: int) -> None:
        self._wake_ms = earliest(self._wake_ms, due_ms)

    def check(self) -> None:
        """Assert the invariants."""
        for lane in self._accumulator.lanes.values():
            flying = sum(batch.in_flight for batch in lane.sent)
            assert flying <= self._settings.in_flight_max, "too many batches in flight"
        assert all(count > 0 for count in self._requests.values())


def _too_large(lane: Lane, size_bytes: int, text: str) -> str:
    told = f" ({text})" if text else ""
    return (
        f"{lane.topic}-{lane.partition} does not take a record of about {size_bytes} bytes{told}; "
        "raise the topic's max.message.bytes, compress, or send less in one record"
    )
