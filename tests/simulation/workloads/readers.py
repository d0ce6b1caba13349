"""Consumers that read a topic from its beginning; every second one wanders about in it."""

from __future__ import annotations

from odradek.consumer.engine import ConsumerEngine, Given
from odradek.consumer.fetching import ConsumerSettings
from odradek.consumer.rebalancing import Change
from odradek.errors import OdradekError
from tests.simulation.checkers.log_history import LAST_READER
from tests.simulation.cluster import rack_of
from tests.simulation.workloads.producers import TOPIC
from tests.simulation.workloads.workload import Stage, Workload
from transport.kernel import Now
from transport.wire.ids import TopicPartition
from transport.wire.messages.fetch import TIMESTAMP_EARLIEST, TIMESTAMP_LATEST

RECORDS_MAX = (500, 3)
POLL_MS = 200
PAUSE_US = 50_000
"""After an error."""
WANDER_US = (500_000, 3_000_000)


class Reader:
    """One consumer of one topic, which it subscribes to or is assigned."""

    def __init__(self, stage: Stage, topic: str, name: str, rack: str = "") -> None:
        cluster = stage.cluster
        self._world = cluster.world
        self._history = stage.history
        self._marks = stage.observer.brokers.watermarks
        self._name = name
        self._life = name
        """Under which name the history knows it since its last assignment or seek."""
        self._records_max = self._world.random.choice(RECORDS_MAX)
        settings = ConsumerSettings(
            bootstrap=tuple(cluster.bootstrap), auto_offset_reset="earliest", client_rack=rack
        )
        self._engine = ConsumerEngine(settings)
        self._process = cluster.add_client(self._engine, name)
        self._process.do(lambda now: self._engine.subscribe([topic], now))
        self._process.do(self._poll)

    def wander_later(self, partitions: list[TopicPartition], steps: int = 1) -> None:
        """Be assigned some of the partitions now and then, or seek in those one has."""

        def wander(now: Now) -> None:
            random, engine = self._world.random, self._engine
            self._life = f"{self._name}.{steps}"
            if random.random() < 0.5:
                engine.assign(random.sample(partitions, random.randint(1, len(partitions))), now)
            else:
                engine.seek_to((), random.choice((TIMESTAMP_EARLIEST, TIMESTAMP_LATEST)))
            self.wander_later(partitions, steps + 1)

        self._world.after(self._world.between(WANDER_US), self._process.do, wander)

    def _poll(self, now: Now) -> None:
        self._engine.poll(self._records_max, POLL_MS, self._given, now)

    def _given(self, given: Given | Change | OdradekError, _now: Now) -> None:
        assert not isinstance(given, Change), "it is in no group"
        if isinstance(given, OdradekError):
            self._world.note(f"{self._name}: {given}")
            self._world.after(PAUSE_US, lambda: self._process.do(self._poll))
            return
        life = self._life  # what is given is taken from where the reader stands now
        for key, records in given.items():
            partition = (key.topic, key.partition)
            self._history.note_poll(life, partition)
            for record in records:
                self._history.note_read(life, partition, record.offset, record.value)
                self._marks.note_read(life, partition, record.offset)
                self._world.mark(record.value)
        self._process.do(self._poll)


class Readers(Workload):
    """Readers from the first moment on, and the last one, who reads what there is in the end."""

    def __init__(self, stage: Stage, count: int) -> None:
        super().__init__(stage)
        self._stage = stage
        numbers = range(self.cluster.shape.broker.num_partitions)
        partitions = [TopicPartition(TOPIC, number) for number in numbers]
        for number in range(count):
            reader = Reader(stage, TOPIC, f"reader-{number + 1}", rack_of(number + 1))
            if number % 2:
                reader.wander_later(partitions)

    def read_all(self) -> None:
        """Let the last reader begin."""
        Reader(self._stage, TOPIC, LAST_READER)

    def unread(self) -> str:
        """Say which partitions the last reader has not read to their ends."""
        history = self._stage.history
        ends = self._stage.observer.brokers.committed_ends(TOPIC)
        if not ends and history.acked:
            return f"{TOPIC} has no leader"
        behind: list[str] = []
        for partition, end in ends.items():
            records = history.read[LAST_READER].get(partition)
            if end > 0 and (not records or records[-1][0] < end - 1):
                behind.append(f"{partition} up to {end}")
        return f"{LAST_READER} has not read {', '.join(behind)}" if behind else ""
