"""Pipelines: a group that reads, derives and writes, its offsets in the transaction of what it writes.

Each place in the group is a consumer and a transactional producer, which are killed and replaced
together.  Whatever a transaction comes to, the reading goes on where the group has committed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from nodes.core.controller.names import CONSUMER_OFFSETS, TRANSACTION_STATE
from odradek.cluster.committing import GroupMetadata, OffsetAndMetadata
from odradek.consumer.engine import ConsumerEngine, Given
from odradek.consumer.fetching import ConsumerSettings
from odradek.consumer.membership import GroupSettings
from odradek.consumer.rebalancing import Change
from odradek.errors import OdradekError
from odradek.producer.accumulator import Outcome
from odradek.producer.engine import ProducerEngine
from odradek.producer.sender import ProducerSettings
from tests.simulation.checkers.exactly_once import check_once, derivation, missing
from tests.simulation.workloads.groups import read_on
from tests.simulation.workloads.producers import TOPIC
from tests.simulation.workloads.workload import Stage, Workload
from transport.kernel import Now
from transport.wire.ids import TopicPartition

DERIVED = "derived"
GROUP = "deriving"
POLL_MS = 500
PAUSE_US = 150_000
LIFE_US = (1_000_000, 4_000_000)
TIMEOUT_MS = 3_000
RECORDS_MAX = 200

Offsets = dict[TopicPartition, OffsetAndMetadata]


class Pipeline:
    """One life of one place: its consumer and its producer."""

    def __init__(self, pipelines: Pipelines, place: int, life: int) -> None:
        self._pipelines = pipelines
        self._world = pipelines.world
        self._name = f"{pipelines.names}-{place}.{life}"
        bootstrap = tuple(pipelines.cluster.bootstrap)
        self._consumer = ConsumerEngine(
            ConsumerSettings(
                bootstrap=bootstrap,
                auto_offset_reset="earliest",
                auto_create=False,
                isolation_level="read_committed",
                group=pipelines.settings,
            )
        )
        assert self._consumer.rebalancing is not None, "it has a group"
        self._part = self._consumer.rebalancing
        self._part.has_listener = True
        self._producer = ProducerEngine(
            ProducerSettings(
                bootstrap=bootstrap,
                transactional_id=f"{pipelines.names}-{place}",
                transaction_timeout_ms=TIMEOUT_MS,
                max_block_ms=5_000,
                delivery_timeout_ms=5_000,
            )
        )
        self._lives: dict[TopicPartition, int] = {}
        self._turns = 0
        self._reading = pipelines.cluster.add_client(self._consumer, f"{self._name}-in")
        self._writing = pipelines.cluster.add_client(self._producer, f"{self._name}-out")
        self._reading.do(lambda now: self._consumer.subscribe([TOPIC], now))
        self._writing.do(self._init)

    def kill(self) -> None:
        """End both at once, whatever they are doing."""
        self._reading.kill()
        self._writing.kill()

    def _later(self, process: object, step: object) -> None:
        self._world.after(PAUSE_US, process.do, step)  # type: ignore[attr-defined]

    def _init(self, now: Now) -> None:
        def done(error: OdradekError | None, _now: Now) -> None:
            if error is None:
                self._reading.do(self._poll)
            elif not error.fatal:
                self._later(self._writing, self._init)

        self._producer.init_transactions(done, now)

    # Reading

    def _poll(self, now: Now) -> None:
        self._consumer.poll(RECORDS_MAX, POLL_MS, self._given, now)

    def _given(self, given: Given | Change | OdradekError, now: Now) -> None:
        if isinstance(given, Change):
            self._begin_lives(given.partitions)
            self._consumer.heard(given, now)
        elif isinstance(given, OdradekError):
            self._world.note(f"{self._name}: {given}")
            read_on(self._consumer)
        elif given:
            who = GroupMetadata(self._pipelines.group, self._part.who)
            ends: Offsets = {}
            derived: list[tuple[int, bytes]] = []
            for key, records in given.items():
                derived += self._note(key, records)
                ends[key] = OffsetAndMetadata(records[-1].offset + 1)
            self._writing.do(lambda now: self._write(derived, ends, who, now))
            return
        self._later(self._reading, self._poll)

    def _begin_lives(self, keys: Sequence[TopicPartition]) -> None:
        self._turns += 1
        self._lives.update(dict.fromkeys(keys, self._turns))

    def _note(self, key: TopicPartition, records: Sequence[object]) -> list[tuple[int, bytes]]:
        """Let the checkers of readers know; return what is to be derived."""
        history = self._pipelines.stage.history
        partition = (key.topic, key.partition)
        life = f"{self._name}.{self._lives.get(key, 0)}"
        history.note_poll(life, partition)
        found = []
        for record in records:
            offset: int = record.offset  # type: ignore[attr-defined]
            history.note_read(life, partition, offset, record.value)  # type: ignore[attr-defined]
            found.append((key.partition, derivation(partition, offset)))
        return found

    def _rewind(self, now: Now) -> None:
        """Go on where the group has committed."""
        assigned = list(self._consumer.subscription.assigned)

        def told(found: Offsets | OdradekError, now: Now) -> None:
            if isinstance(found, OdradekError):
                self._later(self._reading, self._rewind)
                return
            here = [key for key in assigned if key in self._consumer.subscription.assigned]
            for key in here:
                self._consumer.seek(key, found[key].offset if key in found else 0)
            self._begin_lives(here)
            self._poll(now)

        if assigned:
            self._consumer.committed(assigned, TIMEOUT_MS, told, now)
        else:
            self._poll(now)

    # Writing

    def _write(
        self, derived: list[tuple[int, bytes]], ends: Offsets, who: GroupMetadata, now: Now
    ) -> None:
        self._producer.begin_transaction()
        for partition, value in derived:
            self._producer.send(self._pipelines.derived, partition, None, value, _ignore, now)

        def sent(error: OdradekError | None, now: Now) -> None:
            self._end(now, committed=error is None)

        self._producer.send_offsets(ends, who, sent, now)

    def _end(self, now: Now, *, committed: bool) -> None:
        def ended(error: OdradekError | None, now: Now) -> None:
            if error is None:
                self._reading.do(self._poll if committed else self._rewind)
            elif error.fatal:
                self._pipelines.replace(self)
            elif error.retriable:
                self._end(now, committed=committed)
            else:
                self._end(now, committed=False)

        self._producer.end_transaction(ended, now, committed=committed)


class AnyPipeline(Protocol):
    """One life of one place, whatever it speaks."""

    def kill(self) -> None:
        """End it at once, whatever it is doing."""
        ...


class Pipelines(Workload):
    """The places of the group, and in the end a reader of all that was derived."""

    group = GROUP
    derived = DERIVED
    names = "pipeline"
    """What the names of pipelines, and their transactional ids, begin with."""

    def __init__(self, stage: Stage, count: int) -> None:
        super().__init__(stage)
        self.stage = stage
        self.settings = GroupSettings(
            group_id=self.group, session_timeout_ms=1_500, auto_commit=False
        )
        self.lives = 0
        """How many pipelines there have been."""
        self._places = [self._fill(place) for place in range(count)]
        self._derived: list[bytes] = []
        for place in range(count):
            self._end_later(place)

    def _fill(self, place: int) -> AnyPipeline:
        self.lives += 1
        return Pipeline(self, place, self.lives)

    def _end_later(self, place: int) -> None:
        def end() -> None:
            if self.running:
                self._renew(place)
                self._end_later(place)

        self.world.after(self.world.between(LIFE_US), end)

    def _renew(self, place: int) -> None:
        self._places[place].kill()
        self._places[place] = self._fill(place)

    def replace(self, pipeline: AnyPipeline) -> None:
        """One that was fenced ends; another takes its place, unless one has."""
        if pipeline in self._places:
            self._renew(self._places.index(pipeline))

    # Stages

    def read_all(self) -> None:
        """Read everything that was derived and committed."""
        engine = ConsumerEngine(
            ConsumerSettings(
                bootstrap=tuple(self.cluster.bootstrap),
                auto_offset_reset="earliest",
                isolation_level="read_committed",
            )
        )
        process = self.cluster.add_client(engine, f"{self.derived}-reader")

        def poll(now: Now) -> None:
            engine.poll(500, POLL_MS, given, now)

        def given(told: object, _now: Now) -> None:
            if isinstance(told, dict):
                self._derived += [one.value for records in told.values() for one in records]
            self.world.after(PAUSE_US, process.do, poll)

        process.do(lambda now: engine.subscribe([self.derived], now))
        process.do(poll)

    def unread(self) -> str:
        """Say what was not derived yet, or not read."""
        if self._is_excused():
            return ""
        ends = self.stage.observer.brokers.committed_ends(TOPIC)
        left = missing(self._derived, ends, self.stage.history.is_excused)
        return f"nothing is derived from {left[:3]}" if left else ""

    def check(self) -> None:
        """Judge everything that was derived."""
        if not self._is_excused():
            check_once(self._derived)

    def _is_excused(self) -> bool:
        """What a broker has lost with all its replicas' logs binds nobody."""
        excused = self.stage.observer.brokers.survivors.is_excused
        broker = self.cluster.shape.broker
        return any(
            excused((topic, number))
            for topic, count in (
                (CONSUMER_OFFSETS, broker.offsets_topic_partitions),
                (TRANSACTION_STATE, broker.transaction_state_partitions),
                (self.derived, broker.num_partitions),
            )
            for number in range(count)
        )


def _ignore(_outcome: Outcome, _index: int, _positions: Sequence[int] | None) -> None:
    """The end of the transaction tells what became of it."""
