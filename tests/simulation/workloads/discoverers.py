"""A group that subscribes by a pattern, and topics that match it: born, written to, deleted, made anew.

The members come and go as those of any group here.  Who owns what and what is committed is judged
of those; here it is that nothing is passed over of a topic that nobody has named.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import Any

from odradek.admin.engine import AdminEngine
from odradek.cluster.committing import Who
from odradek.consumer.engine import ConsumerEngine
from odradek.consumer.fetching import ConsumerSettings
from odradek.errors import OdradekError, TopicAlreadyExistsError, UnknownTopicOrPartitionError
from odradek.producer.accumulator import Outcome
from odradek.producer.engine import ProducerEngine
from odradek.producer.sender import ProducerSettings
from tests.simulation.checkers.found_by_pattern import FoundByPattern
from tests.simulation.checkers.log_history import Partition
from tests.simulation.workloads.groups import AnyMember, Groups, Member
from tests.simulation.workloads.workload import Stage
from transport.kernel import Now
from transport.wire.ids import TopicPartition
from transport.wire.messages.topics import NewTopic

PATTERN = re.compile(r"found-\d+")
ALIVE_MAX = 4
"""Topics at one time."""
BIRTH_US = (200_000, 1_000_000)
WRITE_US = (20_000, 120_000)
LIFE_US = (300_000, 2_500_000)
AGAIN_US = 100_000
DELETED = 0.6
"""Of the topics; the others stay."""
ANEW = 0.4
"""Of the births: those under the name of a topic that was deleted."""
RECORDS = (1, 2, 5)
TIMEOUT_MS = 3_000
POLL_MS = 200


class Discoverer(Member):
    """One process in one place of the group."""

    groups: Discoverers

    def _subscribe(self, now: Now) -> None:
        self.engine.subscribe_pattern(PATTERN, now)

    def _note(self, key: TopicPartition, records: Any) -> None:
        self.groups.found.note_given(key.topic, [record.value for record in records])


class Discoverers(Groups):
    """The places of the group; an admin client and a producer, whose topics it is to find."""

    group_id = "discovering"
    names = "discovering-"

    def __init__(self, stage: Stage, count: int) -> None:
        self.found = FoundByPattern(PATTERN)
        super().__init__(stage, count)
        cluster = self.cluster
        self._admin = AdminEngine(cluster.bootstrap)
        self._admin_process = cluster.add_client(self._admin, "founder")
        settings = ProducerSettings(bootstrap=tuple(cluster.bootstrap), delivery_timeout_ms=5_000)
        self._producer = ProducerEngine(settings)
        self._producer_process = cluster.add_client(self._producer, "found-writer")
        self._alive: dict[str, int] = {}
        """Topics that are written to, and how many partitions each has."""
        self._dead: list[str] = []
        self._changing: set[str] = set()
        """Topics that are being made or deleted."""
        self._named = 0
        self._written = 0
        self._outstanding = 0
        self._there: dict[Partition, list[bytes]] = {}
        self._bear_later()
        self._write_later()

    def _fill(self, _place: int) -> AnyMember:
        self._numbers += 1
        return Discoverer(self, f"{self.names}{self.settings.protocol}-member-{self._numbers}")

    def on_told(self, member: AnyMember, who: Who, assignment: object) -> None:
        """Judge nothing: a partition's name may be that of another topic by now."""

    def note_committed(self, partition: Partition, offset: int) -> None:
        """Judge nothing, for the same reason."""

    # Topics

    def _bear_later(self) -> None:
        def begin() -> None:
            if self.running:
                if len(self._alive) + len(self._changing) < ALIVE_MAX:
                    self._bear()
                self._bear_later()

        self.world.after(self.world.between(BIRTH_US), begin)

    def _bear(self) -> None:
        random = self.world.random
        if self._dead and random.random() < ANEW:
            name = self._dead.pop(random.randrange(len(self._dead)))
        else:
            self._named += 1
            name = f"found-{self._named}"
        self._changing.add(name)
        topic = NewTopic(name, random.randint(1, 2))
        self._admin_process.do(partial(self._create, topic))

    def _create(self, topic: NewTopic, now: Now) -> None:
        def created(error: OdradekError | None, _now: Now) -> None:
            self.world.note(f"create {topic.name}: {error or 'done'}")
            if error is not None and not isinstance(error, TopicAlreadyExistsError):
                self.world.after(AGAIN_US, self._admin_process.do, partial(self._create, topic))
                return
            self._changing.discard(topic.name)
            self._alive[topic.name] = topic.partitions
            if self.world.random.random() < DELETED:
                self.world.after(self.world.between(LIFE_US), self._end, topic.name)

        self._admin.topics.create([topic], TIMEOUT_MS, created, now)

    def _end(self, name: str) -> None:
        if not self.running:
            return
        del self._alive[name]
        self._changing.add(name)
        self._admin_process.do(partial(self._delete, name))

    def _delete(self, name: str, now: Now) -> None:
        def deleted(error: OdradekError | None, _now: Now) -> None:
            self.world.note(f"delete {name}: {error or 'done'}")
            if error is not None and not isinstance(error, UnknownTopicOrPartitionError):
                self.world.after(AGAIN_US, self._admin_process.do, partial(self._delete, name))
                return
            self._changing.discard(name)
            self._dead.append(name)

        self._admin.topics.delete([name], TIMEOUT_MS, deleted, now)

    def _write_later(self) -> None:
        def begin() -> None:
            if self.running:
                self._producer_process.do(self._write)
                self._write_later()

        self.world.after(self.world.between(WRITE_US), begin)

    def _write(self, now: Now) -> None:
        random = self.world.random
        if not self._alive:
            return
        name = random.choice(sorted(self._alive))
        for _ in range(random.choice(RECORDS)):
            self._written += 1
            self._outstanding += 1
            partition = random.randrange(self._alive[name])
            value = b"%s/%d" % (name.encode(), self._written)
            self._producer.send(name, partition, None, value, self._sent, now)

    def _sent(self, _outcome: Outcome, _index: int, _positions: Sequence[int] | None) -> None:
        self._outstanding -= 1  # it may be lost with its topic

    # Stages

    def unsettled(self) -> str:
        """Say what is still to be made, deleted, or written."""
        if self._changing:
            return f"{', '.join(sorted(self._changing))} are to be made or deleted"
        return f"{self._outstanding} records are on their way" if self._outstanding else ""

    def read_all(self) -> None:
        """Read what there is in the topics that have stayed, by their names."""
        settings = ConsumerSettings(
            bootstrap=tuple(self.cluster.bootstrap), auto_offset_reset="earliest"
        )
        engine = ConsumerEngine(settings)
        process = self.cluster.add_client(engine, "topics-reader")

        def poll(now: Now) -> None:
            engine.poll(500, POLL_MS, given, now)

        def given(told: object, _now: Now) -> None:
            if isinstance(told, dict):
                for key, records in told.items():
                    values = self._there.setdefault((key.topic, key.partition), [])
                    values += [record.value for record in records]
            self.world.after(1_000, process.do, poll)

        process.do(lambda now: engine.subscribe(sorted(self._alive), now))
        process.do(poll)

    def unread(self) -> str:
        """Say of which partition the last record is not read yet, or not given to the group."""
        ends = self.stage.observer.brokers.committed_ends
        for name in sorted(self._alive):
            for partition, end in ends(name).items():
                values = self._there.get(partition, [])
                if len(values) < end:
                    return f"{partition} was not read up to {end}"
                if values and values[-1] not in self.found.given:
                    return f"{values[-1]!r} of {partition} was given to no member"
        return ""

    def check(self) -> None:
        """Assert that nothing was passed over."""
        self.found.check(self._there, self.stage.history.is_excused)
