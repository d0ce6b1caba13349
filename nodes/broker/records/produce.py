"""Produce requests: taken apart into batches, put together again from the partitions' outcomes.

Owns the requests that wait for some of their batches, and those not taken apart yet: beginning
thousands of logs is spread over turns.  Judges nothing but the request itself; whether a batch is
sound is for ``batch_checks`` to say, and the rest is the partition core's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import groupby
from typing import NamedTuple

from msgspec.structs import replace

from nodes.broker.context import BrokerContext, Request
from nodes.broker.logs.folders import batch_of
from nodes.broker.partitions.replica import ProduceToken, Replica
from nodes.broker.quotas import ClientQuotas
from nodes.broker.records.batch_checks import (
    NotOpened,
    check_produced,
    check_transactional,
    is_compacted,
    open_compacted,
)
from nodes.core.partition.events import NO_EPOCH, NO_OFFSET, Awaited, Batch, Produce, Produced
from nodes.core.topic_configs import LOG_APPEND_TIME
from transport.kernel import Now
from transport.wire.batch import NO_TIMESTAMP_MS
from transport.wire.codec import Buffer
from transport.wire.errors import ErrorCode, meaning
from transport.wire.ids import LeaderEpoch, Offset, PartitionKey, ProducerEpoch, ProducerId
from transport.wire.messages.produce import (
    ACKS_ALL,
    ACKS_LEADER,
    ACKS_NONE,
    ProducedPartition,
    ProducePartition,
    ProduceRequest,
    ProduceResponse,
)
from transport.wire.messages.quotas import PRODUCER_BYTE_RATE
from transport.wire.messages.transactions import AddPartitionsToTxnRequest, TransactionPartition
from transport.wire.records import BatchHeader, RecordError, read_header

LOGS_BEGUN_A_TURN = 20
"""The first record of a log makes a folder and files: a millisecond and more on some file systems."""
TIMEOUT_MAX_MS = 300_000
"""Nobody waits longer, whatever is asked."""
WAITING_MAX = 20_000
"""Requests that may wait at once, of a kilobyte or two each: what they brought is in the log."""
BACKLOG_BYTES_MAX = 256 * 1024 * 1024
"""Of requests that were not taken apart yet; who wants no answer (acks=0) could send them without end."""
PART_BYTES = 256
"""What a partition takes in memory in such a request, beside its batch, which may be missing."""
_TOO_LARGE = frozenset({ErrorCode.MESSAGE_TOO_LARGE, ErrorCode.RECORD_LIST_TOO_LARGE})
UNVERIFIED_BYTES_MAX = 64 * 1024 * 1024
"""Of batches that are not in the log yet, as a transaction's coordinator is asked about them."""

OnVerdict = Callable[[ErrorCode, str, Now], None]
Verify = Callable[[AddPartitionsToTxnRequest, OnVerdict, Now], None]
"""Asks a transaction's coordinator (``verification``): NONE, or why not, with a text for people."""

FindReplica = Callable[[PartitionKey], Replica | ErrorCode]
FindToWrite = Callable[[PartitionKey, Now], Replica | ErrorCode]
"""Returns the replica hosted here, or why there is none."""


class _Waiting:
    """A request some of whose batches have no outcome yet."""

    __slots__ = ("left", "outcomes", "request", "throttle_ms", "unverified")

    def __init__(self, request: Request, batches: int, throttle_ms: int) -> None:
        self.request = request
        self.outcomes: list[ProducedPartition | None] = [None] * batches
        self.left = batches
        self.throttle_ms = throttle_ms
        self.unverified: list[_Checked] = []
        """They would begin a transaction in their partitions."""

    def forget_payload(self) -> None:
        """Keep of the request only what its answer needs."""
        envelope = replace(self.request.envelope, payload=())
        self.request = replace(self.request, envelope=envelope)


class _Work(NamedTuple):
    """A request of which some batches have not had their turn."""

    waiting: _Waiting
    due_ms: int
    places: Iterator[int]
    size_bytes: int


class _Checked(NamedTuple):
    """A batch that is sound in itself."""

    place: int
    key: PartitionKey
    header: BatchHeader
    buffer: Buffer
    led_under: LeaderEpoch
    """Under which this broker led when it was checked; −1: it did not lead."""


class _Part(ProduceToken):
    """One batch of a request."""

    __slots__ = ("_append_time_ms", "_place", "_produces", "_waiting")

    def __init__(
        self, produces: Produces, waiting: _Waiting, place: int, append_time_ms: int
    ) -> None:
        self._produces = produces
        self._waiting = waiting
        self._place = place
        self._append_time_ms = append_time_ms

    def ended(self, replica: Replica, produced: Produced, now: Now) -> None:
        """Note the outcome; the last one of a request answers it."""
        self._produces.on_produced(
            self._waiting, self._place, replica, produced, self._append_time_ms
        )


class _Own(ProduceToken):
    """A batch of this broker itself."""

    __slots__ = ("produced",)

    def __init__(self) -> None:
        self.produced: Produced | None = None

    def ended(self, replica: Replica, produced: Produced, now: Now) -> None:
        """Keep the outcome for who has asked."""
        self.produced = produced


def append_own(replica: Replica, batch: bytes, leader_epoch: LeaderEpoch, now: Now) -> Produced:
    """Append a batch of this broker's own making to a log that it leads.

    At once, and whatever the in-sync replicas are: it is committed when the high watermark passes
    it.  NOT_LEADER_OR_FOLLOWER or FENCED_LEADER_EPOCH: this broker leads no more, or not under that
    epoch.  KAFKA_STORAGE_ERROR: it is not in the log, and may be tried again.
    """
    token = _Own()
    header = read_header(batch)
    event = Produce(token, unplaced(header), ACKS_LEADER, leader_epoch, now.mono_ms)
    replica.produce(event, header, batch, now)
    assert token.produced is not None, "nobody is waited for"
    return token.produced


class Produces:
    """Answers ProduceRequest."""

    def __init__(self, context: BrokerContext, find: FindToWrite) -> None:
        self._context = context
        self._find = find
        self._waiting = 0
        self._unverified_bytes = 0
        self._quotas = ClientQuotas(context, PRODUCER_BYTE_RATE)
        self._backlog: deque[_Work] = deque()
        self._backlog_bytes = 0
        self._room = LOGS_BEGUN_A_TURN
        self.verify: Verify = nobody_to_ask

    @property
    def waiting_count(self) -> int:
        """How many requests wait."""
        return self._waiting

    def on_request(self, request: Request, now: Now) -> None:
        """Judge a request and give each batch to its partition."""
        body = request.envelope.body
        assert isinstance(body, ProduceRequest), "by the dispatch table"
        size_bytes = sum(len(frame) for frame in request.envelope.payload)
        throttle_ms = self._quotas.take(request, body.client_id, size_bytes, now)
        waiting = _Waiting(request, len(body.partitions), throttle_ms)
        self._waiting += 1
        error = _refusal(body)
        full = self._waiting > WAITING_MAX or self._backlog_bytes > BACKLOG_BYTES_MAX
        if error is ErrorCode.NONE and full:
            error = ErrorCode.OVERLOADED
        if error is not ErrorCode.NONE or not body.partitions:
            self._finish(waiting, error)
            return
        due_ms = request.due_ms(now, min(body.timeout_ms, TIMEOUT_MAX_MS))
        # Behind those that are not through: a producer's batches keep their order.
        places = iter(range(len(body.partitions)))
        size_bytes += PART_BYTES * len(body.partitions)
        self._backlog.append(_Work(waiting, due_ms, places, size_bytes))
        self._backlog_bytes += size_bytes
        self._go_on(now)

    def end_turn(self, now: Now) -> None:
        """Go on with what this turn had no room for."""
        self._go_on(now)
        self._room = LOGS_BEGUN_A_TURN

    def next_deadline_ms(self) -> int | None:
        """Return when this wants a turn."""
        return 0 if self._backlog else None

    def _go_on(self, now: Now) -> None:
        while self._backlog and self._room > 0:
            waiting, due_ms, places, size_bytes = self._backlog[0]
            body = waiting.request.envelope.body
            assert isinstance(body, ProduceRequest), "by the dispatch table"
            for place in places:
                self._produce(waiting, place, body.partitions[place], due_ms, now)
                if self._room <= 0:
                    break
            else:
                self._backlog.popleft()
                self._backlog_bytes -= size_bytes
                # What is written is not kept in memory as well, however long its answer may take.
                waiting.forget_payload()
                if waiting.unverified:
                    self._verify(waiting, body, due_ms, now)

    def _produce(
        self, waiting: _Waiting, place: int, part: ProducePartition, due_ms: int, now: Now
    ) -> None:
        replica = self._find(PartitionKey(part.topic_id, part.partition), now)
        if isinstance(replica, Replica) and replica.is_unmade:
            self._room -= 1
        if isinstance(replica, ErrorCode):
            self._end(waiting, place, replica)
            return
        body, payload = waiting.request.envelope.body, waiting.request.envelope.payload
        assert isinstance(body, ProduceRequest), "by the dispatch table"
        if not 0 <= part.frame < len(payload):
            self._end(waiting, place, ErrorCode.INVALID_REQUEST, text=f"no frame {part.frame}")
            return
        buffer = payload[part.frame]
        try:
            header = self._check(replica, buffer, now)
            check_transactional(header, body)
        except RecordError as refused:
            self._context.count("batches_refused")
            if refused.error in _TOO_LARGE:
                _let_await(replica, buffer, now)
            self._end(waiting, place, refused.error, text=refused.text)
            return
        one = _Checked(place, replica.key, header, buffer, _epoch_of(replica))
        core = replica.core
        begins = core is not None and core.must_verify(header.producer_id, header.producer_epoch)
        if header.is_transactional and begins:
            replica.step(Awaited(unplaced(header)), now)
            if self._unverified_bytes >= UNVERIFIED_BYTES_MAX:
                self._end(waiting, place, ErrorCode.OVERLOADED)
                return
            self._unverified_bytes += len(buffer)
            waiting.unverified.append(one)
        else:
            self._append(waiting, one, replica, due_ms, now)

    def _append(
        self,
        waiting: _Waiting,
        one: _Checked,
        replica: Replica,
        due_ms: int,
        now: Now,
        *,
        verified: bool = False,
    ) -> None:
        body = waiting.request.envelope.body
        assert isinstance(body, ProduceRequest), "by the dispatch table"
        stamps_time = replica.settings.log.timestamp_type == LOG_APPEND_TIME
        append_time_ms = now.wall_ms if stamps_time else NO_TIMESTAMP_MS
        token = _Part(self, waiting, one.place, append_time_ms)
        leader_epoch = body.partitions[one.place].leader_epoch
        batch = unplaced(one.header)
        if stamps_time:
            batch = replace(batch, timestamp_ms=append_time_ms)
        event = Produce(token, batch, body.acks, leader_epoch, due_ms, verified=verified)
        replica.produce(event, one.header, one.buffer, now, append_time_ms=append_time_ms)

    def _verify(self, waiting: _Waiting, body: ProduceRequest, due_ms: int, now: Now) -> None:
        """Have the coordinator take the partitions into the transaction, then write.

        Batches of one partition that come meanwhile ask too, and are answered after these.  Who has not
        led all the time has not heard whether the transaction ended in between.
        """
        transactional_id = body.transactional_id
        assert transactional_id is not None, "its batches are transactional"
        unverified, waiting.unverified = waiting.unverified, []
        for (producer_id, epoch), group in groupby(unverified, _writer):
            batches = list(group)
            parts = tuple(TransactionPartition(*one.key) for one in batches)

            def on_verdict(
                error: ErrorCode, text: str, now: Now, batches: list[_Checked] = batches
            ) -> None:
                for one in batches:
                    self._unverified_bytes -= len(one.buffer)
                    replica = self._find(one.key, now)
                    if error is not ErrorCode.NONE:
                        self._end(waiting, one.place, error, text=text)
                    elif isinstance(replica, ErrorCode):
                        self._end(waiting, one.place, replica)
                    elif _epoch_of(replica) != one.led_under:
                        self._end(waiting, one.place, ErrorCode.NOT_LEADER_OR_FOLLOWER)
                    else:
                        self._append(waiting, one, replica, due_ms, now, verified=True)

            question = AddPartitionsToTxnRequest(transactional_id, producer_id, epoch, parts)
            self.verify(question, on_verdict, now)

    def _check(self, replica: Replica, buffer: Buffer, now: Now) -> BatchHeader:
        settings = replica.settings.log
        header = check_produced(replica.name.topic, buffer, settings, now)
        if is_compacted(settings):
            try:
                opened = open_compacted(header, buffer)
            except NotOpened:
                self._room = 0  # it may have been decompressed up to the bound
                raise
            self._room -= opened.cost
            opened.check_keys()
        return header

    def on_produced(
        self,
        waiting: _Waiting,
        place: int,
        replica: Replica,
        produced: Produced,
        append_time_ms: int,
    ) -> None:
        """Take the outcome of one batch; the last one of a request answers it."""
        start = NO_OFFSET if replica.core is None else replica.core.log_start_offset
        self._end(
            waiting,
            place,
            produced.error,
            base_offset=produced.base_offset,
            start=start,
            append_time_ms=append_time_ms,
        )

    def _end(
        self,
        waiting: _Waiting,
        place: int,
        error: ErrorCode,
        *,
        base_offset: Offset = NO_OFFSET,
        start: Offset = NO_OFFSET,
        text: str = "",
        append_time_ms: int = NO_TIMESTAMP_MS,
    ) -> None:
        body = waiting.request.envelope.body
        assert isinstance(body, ProduceRequest), "by the dispatch table"
        assert waiting.outcomes[place] is None, "every batch has one outcome"
        part = body.partitions[place]
        if error is not ErrorCode.NONE and not text:
            text = meaning(error).text
        waiting.outcomes[place] = ProducedPartition(
            part.topic_id,
            part.partition,
            error,
            base_offset,
            start,
            text,
            append_time_ms if error is ErrorCode.NONE else NO_TIMESTAMP_MS,
        )
        waiting.left -= 1
        if not waiting.left:
            self._finish(waiting, ErrorCode.NONE)

    def _finish(self, waiting: _Waiting, error: ErrorCode) -> None:
        self._waiting -= 1
        body = waiting.request.envelope.body
        assert isinstance(body, ProduceRequest), "by the dispatch table"
        if body.acks == ACKS_NONE:
            return
        outcomes = tuple(outcome for outcome in waiting.outcomes if outcome is not None)
        answer = ProduceResponse(error, outcomes, waiting.throttle_ms)
        self._context.reply(waiting.request, answer)


def _refusal(body: ProduceRequest) -> ErrorCode:
    if body.acks not in (ACKS_NONE, ACKS_LEADER, ACKS_ALL):
        return ErrorCode.INVALID_REQUIRED_ACKS
    if body.transactional_id is not None and body.acks != ACKS_ALL:
        return ErrorCode.INVALID_REQUIRED_ACKS
    return ErrorCode.NONE


def _let_await(replica: Replica, buffer: Buffer, now: Now) -> None:
    """The producer divides a batch that is too large; what it has sent behind it comes after the parts."""
    with suppress(RecordError):
        replica.step(Awaited(unplaced(read_header(buffer))), now)


def _epoch_of(replica: Replica) -> LeaderEpoch:
    record = replica.core.record if replica.core is not None and replica.is_leader else None
    return NO_EPOCH if record is None else record.leader_epoch


def _writer(one: _Checked) -> tuple[ProducerId, ProducerEpoch]:
    return one.header.producer_id, one.header.producer_epoch


def nobody_to_ask(_question: AddPartitionsToTxnRequest, on_verdict: OnVerdict, now: Now) -> None:
    """Stand in for a coordinator before there is a way to one."""
    error = ErrorCode.COORDINATOR_NOT_AVAILABLE
    on_verdict(error, meaning(error).text, now)


def unplaced(header: BatchHeader, body: Buffer = b"") -> Batch:
    """Return what the core needs of a batch that has no place yet, whatever it says of one."""
    return batch_of(replace(header, base_offset=Offset(0)), body)
