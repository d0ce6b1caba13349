"""Topics that come and go while everything else runs, described and written to in between."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from odradek.admin.engine import AdminEngine
from odradek.admin.topic_descriptions import TopicDescription
from odradek.errors import OdradekError
from odradek.producer.accumulator import Outcome
from odradek.producer.engine import ProducerEngine
from odradek.producer.sender import ProducerSettings
from tests.simulation.workloads.workload import Stage, Workload
from transport.kernel import Now
from transport.wire.messages.topics import NewTopic

PAUSE_US = (300_000, 3_000_000)
TIMEOUT_MS = 5_000
NAMES = ("temporary-0", "temporary-1")
RECORDS = 5


class Topics(Workload):
    """One admin client and one producer, whatever the number; each topic is created, used, described and deleted."""

    def __init__(self, stage: Stage, _count: int) -> None:
        super().__init__(stage)
        cluster = self.cluster
        self.done = 0
        """How many topics went all the way."""
        self._admin = AdminEngine(cluster.bootstrap)
        self._admin_process = cluster.add_client(self._admin, "admin")
        settings = ProducerSettings(bootstrap=tuple(cluster.bootstrap), delivery_timeout_ms=8_000)
        self._producer = ProducerEngine(settings)
        self._producer_process = cluster.add_client(self._producer, "scribbler")
        self._begin_later(0)

    def _begin_later(self, number: int) -> None:
        def begin() -> None:
            if self.running:
                self._admin_process.do(partial(self._create, number))

        self.world.after(self.world.between(PAUSE_US), begin)

    def _create(self, number: int, now: Now) -> None:
        name = NAMES[number % len(NAMES)]
        topic = NewTopic(name, self.world.random.randint(1, 3))

        def created(error: OdradekError | None, now: Now) -> None:
            self._note(f"create {name}", error)
            self._producer_process.do(partial(self._write, name))
            self._describe(number, name, now)

        self._admin.topics.create([topic], TIMEOUT_MS, created, now)

    def _write(self, name: str, now: Now) -> None:
        def done(outcome: Outcome, _index: int, _positions: Sequence[int] | None) -> None:
            pass  # the topic may be gone by then

        for record in range(RECORDS):
            self._producer.send(name, None, b"%d" % record, b"scribble", done, now)

    def _describe(self, number: int, name: str, now: Now) -> None:
        def described(topics: list[TopicDescription] | OdradekError, now: Now) -> None:
            self._note(f"describe {name}", topics if isinstance(topics, OdradekError) else None)
            self._delete(number, name, now)

        self._admin.topics.describe([name], TIMEOUT_MS, described, now)

    def _delete(self, number: int, name: str, now: Now) -> None:
        def deleted(error: OdradekError | None, now: Now) -> None:
            self._note(f"delete {name}", error)
            self.done += error is None
            self._begin_later(number + 1)

        self._admin.topics.delete([name], TIMEOUT_MS, deleted, now)

    def _note(self, what: str, error: OdradekError | None) -> None:
        self.world.note(f"{what}: {'done' if error is None else error}")
