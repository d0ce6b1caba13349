"""Idempotent producers: unique values to all partitions of a topic, by key or by number."""

from __future__ import annotations

from collections.abc import Sequence

from odradek.errors import MessageSizeTooLargeError, OdradekError, RecordListTooLargeError
from odradek.producer.accumulator import Outcome
from odradek.producer.engine import ProducerEngine
from odradek.producer.murmur import murmur2
from odradek.producer.sender import ProducerSettings
from tests.simulation.process import SimulatedProcess
from tests.simulation.workloads.workload import Stage, Workload
from transport.kernel import Now

TOPIC = "events"
BURSTS = (1, 1, 1, 4)
"""How many records at once."""
PADDINGS = (0,) * 30 + (150,) * 9 + (1_100,)
"""Bytes: on a disk that is nearly full a small batch has room where a large one has none, and
now and then a record is too large for any."""
BATCHES = (16_384, 128)
"""Only full batches are pipelined: the second producer's hold a record or two."""

REFUSALS: tuple[type[OdradekError], ...] = (MessageSizeTooLargeError, RecordListTooLargeError)
"""Errors that say that a record was not written, and never will be."""


class Producers(Workload):
    """Several producers of one topic, with everything they sent and were told."""

    def __init__(self, stage: Stage, count: int) -> None:
        super().__init__(stage)
        cluster = self.cluster
        self._history = stage.history
        self._partitions = cluster.shape.broker.num_partitions
        self._pause_us = cluster.shape.mix.producer_pause_us
        self._sent = 0
        self.outstanding = 0
        """Records that have met no end yet."""
        for number in range(count):
            settings = ProducerSettings(
                bootstrap=tuple(cluster.bootstrap), batch_size_bytes=BATCHES[number % 2]
            )
            engine = ProducerEngine(settings)
            process = cluster.add_client(engine, "producer")
            self._send_later(f"{TOPIC}-p{number}", engine, process)

    def unsettled(self) -> str:
        """Say how many records are still on their way."""
        return f"{self.outstanding} records have met no end" if self.outstanding else ""

    def _send_later(self, name: str, engine: ProducerEngine, process: SimulatedProcess) -> None:
        def send(now: Now) -> None:
            for _ in range(self.world.random.choice(BURSTS)):
                self._send(name, engine, now)

        def begin() -> None:
            if self.running:
                process.do(send)
                self._send_later(name, engine, process)

        self.world.after(self.world.between(self._pause_us), begin)

    def _send(self, name: str, engine: ProducerEngine, now: Now) -> None:
        self._sent += 1
        padding = b"." * self.world.random.choice(PADDINGS)
        value = b"%s-%d%s" % (name.encode(), self._sent, padding)
        number = self.world.random.randrange(4 * self._partitions)
        key: bytes | None = None
        chosen: int | None = number
        if number >= self._partitions:
            key, chosen = b"key-%d" % number, None
            number = (murmur2(key) & 0x7FFFFFFF) % self._partitions
        partition = (TOPIC, number)
        self._history.note_sent(partition, value, name)
        self.outstanding += 1

        def done(outcome: Outcome, index: int, _positions: Sequence[int] | None) -> None:
            self.outstanding -= 1
            if outcome.error is None:
                self._history.note_acked(partition, outcome.offset(index), value)
                self.world.mark(value)
            else:
                if isinstance(outcome.error, REFUSALS):
                    self._history.note_refused(value)
                self.world.note(f"{value.decode()} failed: {outcome.error}")

        engine.send(TOPIC, chosen, key, value, done, now)
