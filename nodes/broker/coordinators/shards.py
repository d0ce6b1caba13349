"""The coordinators' state on this broker: a shard for each partition it leads of an internal topic.

Owns their lives.  A shard is LOADING from the moment this broker leads the partition: the log is
read in slices, one a turn, so that nobody else is held up, and whoever asks meanwhile hears
COORDINATOR_LOAD_IN_PROGRESS.  It is SERVING once everything in the log is applied *and* committed.
It ends with the leader epoch.  The contract with the cores is in ``nodes/core/shard.py``.

A batch that cannot be written (a full disk) is tried again; one that cannot be committed (too few
in-sync replicas) waits.  Meanwhile nothing is decided, and nobody heard: who may be silent for so long
only has that time again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from enum import Enum

from nodes.broker.context import BrokerContext
from nodes.broker.partitions.replica import Replica
from nodes.broker.records.produce import append_own
from nodes.broker.wakeups import Wakeups
from nodes.core.shard import (
    Asked,
    ShardCore,
    ShardEffects,
    ShardEvent,
    ShardRecord,
    Told,
    UnreadableRecord,
)
from transport.kernel import TICK, Answer, Now
from transport.wire.errors import ErrorCode
from transport.wire.ids import LeaderEpoch, Offset
from transport.wire.messages import Message, Refusal
from transport.wire.records import BatchBuilder, RecordError, decode_rows, iterate_headers

LOAD_BYTES = 128 * 1024
"""Read and applied in one turn: a few milliseconds."""
BATCH_BYTES_MAX = 256 * 1024
"""A batch is closed once it has this much; what is left makes the next one."""
OPEN_MAX = 20_000
"""Requests without an answer, in one shard; further ones are refused with OVERLOADED."""
AGAIN_MS = 100
"""Between two tries of a batch that the disk has no room for."""
HELD_UP_MS = 1_000
"""A batch that was under way for so long, which is the shortest of sessions, has held others up."""

OnReply = Callable[[Message, Now], None]
OnOrder = Callable[[object, Now], None]
MakeCore = Callable[[int], ShardCore]
"""Makes the empty core of a partition."""


class ShardState(Enum):
    """See the module. FAILED: the log cannot be read; it needs another leader."""

    LOADING = "loading"
    SERVING = "serving"
    FAILED = "failed"
    ENDED = "ended"


class _Open:
    """A request that has no answer yet."""

    __slots__ = ("on_reply",)

    def __init__(self, on_reply: OnReply) -> None:
        self.on_reply = on_reply


class Shard:
    """One partition led here, for as long as one leader epoch lasts."""

    def __init__(
        self,
        context: BrokerContext,
        replica: Replica,
        leader_epoch: LeaderEpoch,
        core: ShardCore,
        on_order: OnOrder,
        on_stir: Callable[[Shard], None],
    ) -> None:
        """``on_stir`` is called by whatever may change when this wants a turn, but for a turn."""
        assert replica.log is not None, "it leads"
        assert replica.core is not None, "it leads"
        self._context = context
        self._replica = replica
        self.leader_epoch = leader_epoch
        self.core = core
        self._on_order = on_order
        self._on_stir = on_stir
        self.state = ShardState.LOADING
        self._position = replica.log.log_start_offset
        self._end = replica.core.log_end_offset
        """While loading: where what earlier leaders left ends. Serving: of the batch in flight."""
        self._in_flight: ShardEffects | None = None
        self._decided_ms = 0
        """When what is in flight was decided upon."""
        self._was_held_up = False
        """The last batch was; where each is, whoever is gone must end all the same."""
        self._unwritten: bytes | None = None
        self._queue: deque[ShardEvent] = deque()
        self._told: Told | None = None
        self._open: dict[_Open, None] = {}

    # Asking

    def ask(self, body: Message, on_reply: OnReply, now: Now) -> None:
        """Queue a request for the next batch."""
        if self.state is not ShardState.SERVING:
            on_reply(
                Refusal(_ABSENCE[self.state], f"{self._replica.name} is {self.state.value}"), now
            )
        elif len(self._open) >= OPEN_MAX:
            on_reply(Refusal(ErrorCode.OVERLOADED, f"{self._replica.name}: too many wait"), now)
        else:
            token = _Open(on_reply)
            self._open[token] = None
            self._queue.append(Asked(token, body))
            self._on_stir(self)

    def tell(self, fact: object) -> None:
        """Queue a fact for the next batch, or for the first one; it replaces an earlier one."""
        self._told = Told(fact)
        self._on_stir(self)

    def note(self, fact: object) -> None:
        """Queue a fact that counts beside those before it."""
        if self.state is ShardState.SERVING:
            self._queue.append(Told(fact))
            self._on_stir(self)

    # Turns

    def end_turn(self, now: Now) -> None:
        """Go on with loading; decide on what has gathered, unless a batch is in flight."""
        if self.state is ShardState.LOADING:
            self._load(now)
        if self.state is ShardState.SERVING and self._in_flight is None:
            self._decide(now)

    def moved(self, now: Now) -> None:
        """The replica may have got on: send what a batch has given once that is committed."""
        effects = self._in_flight
        if effects is not None and self._unwritten is None and self._is_committed():
            self._in_flight = None
            held_up_ms = now.mono_ms - self._decided_ms
            was_held_up, self._was_held_up = self._was_held_up, held_up_ms >= HELD_UP_MS
            if self._was_held_up and not was_held_up:
                self.core.delay(held_up_ms)
            self._carry_out(effects, now)
        self._on_stir(self)

    def delay(self, gap_ms: int) -> None:
        """Judge others later by what this loop was away."""
        if self.state is ShardState.SERVING:
            self._decided_ms += gap_ms
            self.core.delay(gap_ms)
            self._on_stir(self)

    def next_deadline_ms(self) -> int | None:
        """Return when this wants a turn."""
        if self.state is ShardState.LOADING:
            return 0 if self._position < self._end or self._is_committed() else None
        if self.state is not ShardState.SERVING or self._in_flight is not None:
            return None
        waits = self._queue or self._told is not None
        return 0 if waits else self.core.next_deadline_ms()

    def end(self, now: Now) -> None:
        """Drop everything; whoever waits is told to look for the coordinator again."""
        self.state = ShardState.ENDED
        self._refuse_all(now)
        self._on_stir(self)

    def check(self) -> None:
        """Assert the invariants of the core, once it is whole."""
        if self.state is ShardState.SERVING:
            self.core.check()

    def _is_committed(self) -> bool:
        core = self._replica.core
        return core is not None and core.is_leader and core.high_watermark >= self._end

    def _refuse_all(self, now: Now) -> None:
        waiting, self._open = self._open, {}
        self._queue.clear()
        refusal = Refusal(_ABSENCE[self.state], f"{self._replica.name} is {self.state.value} here")
        for token in waiting:
            token.on_reply(refusal, now)

    # Loading

    def _load(self, now: Now) -> None:
        log = self._replica.log
        if log is not None:
            # Retention, where somebody has set it for the topic, lets go of what was not read yet, too.
            self._position = max(self._position, log.log_start_offset)
        if self._position < self._end:
            data = self._replica.read(self._position, LOAD_BYTES, self._end, now)
            if data is None:
                return  # The log has failed: the role ends, and this with it.
            try:
                self._apply(data)
            except (RecordError, UnreadableRecord) as error:
                self.state = ShardState.FAILED
                self._context.report("shards_failed", f"{self._replica.name}: {error}")
                return
        if self._position >= self._end and self._is_committed():
            self.state = ShardState.SERVING
            self.core.loaded(now)
            self._context.count("shards_loaded")

    def _apply(self, data: bytes) -> None:
        view = memoryview(data)
        following = self._end
        for position, header in iterate_headers(data):
            following = header.next_offset
            if not header.is_control:
                for row in decode_rows(view[position : position + header.size_bytes]):
                    self.core.apply(ShardRecord(row[2] or b"", row[3]))
        self._position = following

    # Deciding

    def _decide(self, now: Now) -> None:
        if self._told is not None:
            self._queue.appendleft(self._told)
            self._told = None
        effects = ShardEffects()
        size_bytes = 0
        while self._queue and size_bytes < BATCH_BYTES_MAX:
            size_bytes += self._step(self._queue.popleft(), effects, now)
        # Last: nobody is ended who has just been heard, and all that came is settled together.
        deadline_ms = self.core.next_deadline_ms()
        if deadline_ms is not None and deadline_ms <= now.mono_ms:
            self._step(TICK, effects, now)
        if not effects.append:
            self._carry_out(effects, now)
            return
        self._in_flight, self._decided_ms = effects, now.mono_ms
        builder = BatchBuilder()
        for record in effects.append:
            builder.append(record.key, record.value, (), now.wall_ms)
        self._unwritten = builder.build()
        self._write(now)

    def _step(self, event: ShardEvent, effects: ShardEffects, now: Now) -> int:
        """Add to the batch what an event gives; return how much it adds, in bytes."""
        step = self.core.step(event, now)
        effects.append += step.append
        effects.reply += step.reply
        effects.orders += step.orders
        return sum(record.size_bytes for record in step.append)

    def _write(self, now: Now) -> None:
        if self.state is not ShardState.SERVING or self._unwritten is None:
            return
        produced = append_own(self._replica, self._unwritten, self.leader_epoch, now)
        if produced.error is ErrorCode.NONE:
            self._end = Offset(produced.base_offset + len(self._appended()))
            self._unwritten = None
            self.moved(now)
        elif produced.error is ErrorCode.KAFKA_STORAGE_ERROR:
            self._context.count("shard_batches_repeated")
            self._context.timers.after(now, AGAIN_MS, self._write)
        # Any other error says that this broker leads no more, and the end of the role follows.

    def _appended(self) -> list[ShardRecord]:
        assert self._in_flight is not None, "a batch is being written"
        return self._in_flight.append

    def _carry_out(self, effects: ShardEffects, now: Now) -> None:
        for answer in effects.reply:
            self._reply(answer, now)
        for order in effects.orders:
            self._on_order(order, now)

    def _reply(self, answer: Answer, now: Now) -> None:
        token = answer.token
        assert isinstance(token, _Open), "made by ask"
        assert token in self._open, "every request has one answer"
        del self._open[token]
        token.on_reply(answer.message, now)


_ABSENCE = {
    ShardState.LOADING: ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
    ShardState.FAILED: ErrorCode.COORDINATOR_NOT_AVAILABLE,
    ShardState.ENDED: ErrorCode.NOT_COORDINATOR,
}


def carry_out_nothing(order: object, now: Now) -> None:
    """For cores that give no orders."""
    raise AssertionError(f"nobody carries out {order!r}")


class Shards:
    """All shards of one internal topic on this broker, by partition."""

    def __init__(
        self,
        context: BrokerContext,
        topic: str,
        make_core: MakeCore,
        on_order: OnOrder = carry_out_nothing,
    ) -> None:
        self._context = context
        self.topic = topic
        self._make_core = make_core
        self._on_order = on_order
        self._shards: dict[int, Shard] = {}
        self._stirred: dict[Shard, None] = {}
        """Whose wish for a turn is to be asked anew: those that rest are not looked at."""
        self._wakeups = Wakeups[Shard]()
        self._newest: object = None

    def ask(self, partition: int, body: Message, on_reply: OnReply, now: Now) -> None:
        """Ask the shard of a partition. Ends in one call of ``on_reply``, perhaps at once.

        A Refusal NOT_COORDINATOR (led elsewhere), COORDINATOR_LOAD_IN_PROGRESS or OVERLOADED says
        that nothing was done; NOT_COORDINATOR after a while that it may have been done.
        """
        shard = self._shards.get(partition)
        if shard is None:
            text = f"{self.topic}-{partition} is not led by {self._context.config.name}"
            on_reply(Refusal(ErrorCode.NOT_COORDINATOR, text), now)
        else:
            shard.ask(body, on_reply, now)

    def tell(self, fact: object) -> None:
        """Tell every shard of a fact: at once, or once it serves. A later fact replaces it."""
        self._newest = fact
        for shard in self._shards.values():
            shard.tell(fact)

    def partitions(self) -> list[int]:
        """Return the partitions led here."""
        return sorted(self._shards)

    def note(self, partition: int, fact: object) -> None:
        """Tell the shard of a partition, if it serves here, of one fact among others."""
        shard = self._shards.get(partition)
        if shard is not None:
            shard.note(fact)

    def leader_epoch(self, partition: int) -> LeaderEpoch | None:
        """Return the leader epoch under which this broker runs the shard; None: it does not."""
        shard = self._shards.get(partition)
        return None if shard is None else shard.leader_epoch

    def cores(self) -> Iterator[ShardCore]:
        """Give the cores of the shards that serve; for reading what is committed."""
        for shard in self._shards.values():
            if shard.state is ShardState.SERVING:
                yield shard.core

    def is_loading(self) -> bool:
        """Tell whether ``cores`` does not give all yet."""
        return any(shard.state is ShardState.LOADING for shard in self._shards.values())

    # What the replicas tell

    def on_moved(self, replica: Replica, now: Now) -> None:
        """A replica of the topic has moved: begin, go on with, or end its shard."""
        partition = replica.key.partition
        shard = self._shards.get(partition)
        record = replica.core.record if replica.core is not None else None
        leads = replica.is_leader and record is not None
        if shard is not None and not (
            leads and record is not None and record.leader_epoch == shard.leader_epoch
        ):
            del self._shards[partition]
            shard.end(now)
            shard = None
        if shard is not None:
            shard.moved(now)
        elif leads and record is not None:
            core = self._make_core(partition)
            epoch = record.leader_epoch
            shard = Shard(self._context, replica, epoch, core, self._on_order, self._stir)
            self._shards[partition] = shard
            self._stir(shard)
            if self._newest is not None:
                shard.tell(self._newest)

    # Turns

    def end_turn(self, now: Now) -> None:
        """Load, decide, write."""
        self._settle()
        for shard in self._wakeups.due(now.mono_ms):
            shard.end_turn(now)
            self._stir(shard)

    def next_deadline_ms(self) -> int | None:
        """Return when the first shard wants a turn."""
        self._settle()
        return self._wakeups.next_deadline_ms()

    def _stir(self, shard: Shard) -> None:
        self._stirred[shard] = None

    def _settle(self) -> None:
        if self._stirred:
            for shard in self._stirred:
                self._wakeups.set(shard, shard.next_deadline_ms())
            self._stirred.clear()

    def on_gap(self, gap_ms: int) -> None:
        """Judge others later by what this loop was away."""
        for shard in self._shards.values():
            shard.delay(gap_ms)

    def check(self) -> None:
        """Assert the invariants of every shard."""
        self._settle()
        for shard in self._shards.values():
            shard.check()
            assert self._wakeups.deadline_ms(shard) == shard.next_deadline_ms(), "it is woken then"
