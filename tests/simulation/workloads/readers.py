"""Consumers that read one topic from its beginning, for as long as they are let."""

from __future__ import annotations

from odradek.consumer_engine import ConsumerEngine, Given
from odradek.errors import OdradekError
from odradek.fetching import ConsumerSettings
from tests.simulation.checkers.log_history import LogHistory
from tests.simulation.checkers.watermarks import Watermarks
from tests.simulation.cluster import Cluster
from transport.kernel import Now

RECORDS_MAX = 500
POLL_MS = 200
PAUSE_US = 50_000
"""After an error."""


class Reader:
    """One consumer of one topic."""

    def __init__(
        self, cluster: Cluster, history: LogHistory, marks: Watermarks, topic: str, name: str
    ) -> None:
        self._world = cluster.world
        self._history = history
        self._marks = marks
        self.name = name
        settings = ConsumerSettings(
            bootstrap=tuple(cluster.bootstrap), auto_offset_reset="earliest"
        )
        self._engine = ConsumerEngine(settings)
        self._process = cluster.add_client(self._engine, name)
        self._process.do(lambda now: self._engine.subscribe([topic], now))
        self._process.do(self._poll)

    def has_read(self, values: set[bytes]) -> bool:
        """Tell whether all of ``values`` were read."""
        partitions = self._history.read[self.name].values()
        if sum(map(len, partitions)) < len(values):
            return False
        return values.issubset(value for records in partitions for _, value in records)

    def stop(self) -> None:
        """Read no more: its process ends."""
        self._process.kill()

    def _poll(self, now: Now) -> None:
        self._engine.poll(RECORDS_MAX, POLL_MS, self._given, now)

    def _given(self, given: Given | OdradekError, now: Now) -> None:
        if isinstance(given, OdradekError):
            self._world.note(f"{self.name}: {given}")
            self._world.after(PAUSE_US, lambda: self._process.do(self._poll))
            return
        for key, records in given.items():
            partition = (key.topic, key.partition)
            for record in records:
                self._history.note_read(self.name, partition, record.offset, record.value)
                self._marks.note_read(self.name, partition, record.offset)
                self._world.mark(record.value)
        self._process.do(self._poll)
