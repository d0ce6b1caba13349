"""What clients do in the simulated world, with a history of everything they were told."""

from __future__ import annotations

from collections.abc import Sequence

from odradek.accumulator import Outcome
from odradek.consumer_engine import ConsumerEngine, Given
from odradek.coordination_program import CoordinationProgram
from odradek.errors import OdradekError
from odradek.fetching import ConsumerSettings
from odradek.producer_engine import ProducerEngine
from odradek.sender import ProducerSettings
from tests.simulation.checkers.linearizable import (
    UNKNOWN,
    Operation,
    is_linearizable,
    znode_step,
)
from tests.simulation.checkers.log_history import LogHistory
from tests.simulation.cluster import Cluster
from tests.simulation.process import SimulatedProcess
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.messages import Refusal
from transport.wire.messages.coordination import (
    Create,
    GetData,
    Result,
    SetData,
    Sync,
)
from transport.wire.messages.coordination import Operation as ZnodeOperation


class Producers:
    """Idempotent producers that send unique values to random partitions of one topic."""

    def __init__(
        self, cluster: Cluster, history: LogHistory, topic: str, partitions: int, count: int
    ) -> None:
        self.cluster = cluster
        self.history = history
        self.topic = topic
        self.partitions = partitions
        self.running = True
        self.outstanding = 0
        self.failed: list[bytes] = []
        self._sent = 0
        self._world = cluster.world
        for number in range(count):
            settings = ProducerSettings(bootstrap=tuple(cluster.bootstrap))
            engine = ProducerEngine(settings)
            process = cluster.add_client(engine, "producer")
            self._send_later(number, engine, process)

    def stop(self) -> None:
        """Send no more; what is on its way goes on."""
        self.running = False

    def _send_later(self, number: int, engine: ProducerEngine, process: SimulatedProcess) -> None:
        def send() -> None:
            if self.running:
                process.do(lambda now: self._send(number, engine, now))
                self._send_later(number, engine, process)

        self._world.after(self._world.between(self.cluster.shape.mix.producer_pause_us), send)

    def _send(self, number: int, engine: ProducerEngine, now: Now) -> None:
        self._sent += 1
        partition = self._world.random.randrange(self.partitions)
        value = b"p%d-%d" % (number, self._sent)
        where = (self.topic, partition)
        self.history.note_sent(where, value, producer=str(number))
        self.outstanding += 1

        def done(outcome: Outcome, index: int, _positions: Sequence[int] | None) -> None:
            self.outstanding -= 1
            if outcome.error is None:
                self.history.note_acked(where, outcome.offset(index), value)
                self._world.mark(value)
            else:
                self.failed.append(value)
                self._world.note(f"{value.decode()} failed: {outcome.error}")

        engine.send(self.topic, partition, None, value, done, now)


class Reader:
    """A consumer that reads one topic from its beginning, for as long as it is let."""

    def __init__(self, cluster: Cluster, history: LogHistory, topic: str, name: str) -> None:
        self.world = cluster.world
        self.history = history
        self.name = name
        self.topic = topic
        self.next_offset: dict[int, int] = {}
        settings = ConsumerSettings(
            bootstrap=tuple(cluster.bootstrap), auto_offset_reset="earliest"
        )
        self.engine = ConsumerEngine(settings)
        self.process = cluster.add_client(self.engine, name)
        self.process.do(lambda now: self.engine.subscribe([topic], now))
        self.process.do(self._poll)

    def has_read(self, values: int) -> bool:
        """Tell whether so many values were read."""
        return sum(map(len, self.history.read[self.name].values())) >= values

    def _poll(self, now: Now) -> None:
        self.engine.poll(500, 200, self._given, now)

    def _given(self, given: Given | OdradekError, now: Now) -> None:
        if isinstance(given, OdradekError):
            self.world.note(f"{self.name}: {given}")
            self.world.after(50_000, self.process.do, self._poll)
            return
        for key, records in given.items():
            for record in records:
                where = (key.topic, key.partition)
                self.history.note_read(self.name, where, record.offset, record.value)
                self.world.mark(record.value)
        self.process.do(self._poll)


class Setters:
    """Clients that set and read a few znodes, with and without an expected version."""

    def __init__(self, cluster: Cluster, *, clients: int, paths: int) -> None:
        self.cluster = cluster
        self.world = cluster.world
        self.running = True
        self.paths = [f"/register-{number}" for number in range(paths)]
        self.history: dict[str, list[Operation]] = {path: [] for path in self.paths}
        self._written = 0
        for _ in range(clients):
            program = CoordinationProgram(
                cluster.bootstrap, timeout_ms=4_000, on_state=lambda *_: None
            )
            process = cluster.add_client(program, "setter")
            process.do(lambda now, program=program: self._make_paths(program, now))  # type: ignore[misc]
            self._next(program, process)

    def stop(self) -> None:
        """Begin no more operations."""
        self.running = False

    def check(self) -> None:
        """Assert G6: each znode's history is linearizable."""
        for path, history in self.history.items():
            assert is_linearizable(history, (0, b""), znode_step), f"G6: {path}: {history}"

    def answered(self) -> int:
        """Return how many operations were answered."""
        whole = (one for history in self.history.values() for one in history)
        return sum(one.answer is not UNKNOWN for one in whole)

    def _make_paths(self, program: CoordinationProgram, now: Now) -> None:
        program.submit([Create(path) for path in self.paths], lambda *_: None, now)

    def _next(self, program: CoordinationProgram, process: SimulatedProcess) -> None:
        def begin() -> None:
            if self.running:
                process.do(lambda now: self._operate(program, process, now))

        self.world.after(self.world.between(self.cluster.shape.mix.setter_pause_us), begin)

    def _operate(self, program: CoordinationProgram, process: SimulatedProcess, now: Now) -> None:
        random = self.world.random
        path = random.choice(self.paths)
        began_us = self.world.now_us
        what: tuple[object, ...]
        operations: list[ZnodeOperation]
        if random.random() < 0.5:
            what, operations = ("get",), [Sync(path), GetData(path)]
        else:
            self._written += 1
            value = b"%d" % self._written
            expected = random.choice([-1, -1, self._last_version(path)])
            what, operations = ("set", value, expected), [SetData(path, value, expected)]

        def done(results: Sequence[Result] | Refusal, _now: Now) -> None:
            answer = _answer(results)
            ended_us = None if answer is UNKNOWN else self.world.now_us
            if answer is not None:
                self.history[path].append(Operation(began_us, ended_us, what, answer))
                self.world.mark(repr((path, what, answer if ended_us else "?")).encode())
            self._next(program, process)

        program.submit(operations, done, now)

    def _last_version(self, path: str) -> int:
        for one in reversed(self.history[path]):
            if isinstance(one.answer, int):
                return one.answer
        return 0


def _answer(results: Sequence[Result] | Refusal) -> object:
    """Return what the last operation told; None if it told that nothing happened."""
    if isinstance(results, Refusal):
        return UNKNOWN
    last = results[-1]
    if last.error == ErrorCode.BAD_VERSION:
        return "bad version"
    if last.error == ErrorCode.NO_NODE:
        return None
    assert last.error == ErrorCode.NONE, last
    assert last.stat is not None
    return (last.stat.version, last.data) if last.data is not None else last.stat.version
