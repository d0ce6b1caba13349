"""Clients that set and read a few shared znodes, with and without an expected version."""

from __future__ import annotations

from collections.abc import Sequence

from odradek.coordination.program import CoordinationProgram
from tests.simulation.checkers.linearizable import UNKNOWN, Operation, check_register
from tests.simulation.process import SimulatedProcess
from tests.simulation.workloads.workload import Stage, Workload
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.messages import Refusal
from transport.wire.messages.coordination import Create, GetData, Result, SetData, Sync
from transport.wire.messages.coordination import Operation as ZnodeOperation

REGISTERS = ("/register-0", "/register-1", "/register-2")
SESSION_MS = 4_000
READS = (0.5, 0.3, 1.0, 0.95)
"""Share of reads, client by client: whoever only reads is held up by no write of its own."""


class Setters(Workload):
    """Each client asks one thing at a time; together they make one history per znode."""

    def __init__(self, stage: Stage, count: int) -> None:
        super().__init__(stage)
        cluster = self.cluster
        self._pause_us = cluster.shape.mix.setter_pause_us
        self.paths = REGISTERS[: cluster.shape.mix.paths]
        self._history: dict[str, list[Operation]] = {path: [] for path in self.paths}
        self._under_way: dict[int, tuple[str, Operation]] = {}
        """Operations without an answer yet: each may have happened."""
        self._written = 0
        self._begun = 0
        for number in range(count):
            program = CoordinationProgram(
                cluster.bootstrap, timeout_ms=SESSION_MS, on_state=lambda *_: None
            )
            process = cluster.add_client(program, "setter")
            process.do(lambda now, program=program: _make_registers(program, now))  # type: ignore[misc]
            self._next(program, process, READS[number % len(READS)])

    def check(self) -> None:
        """Assert that each znode's history is linearizable."""
        for path, history in self._history.items():
            pending = [one for where, one in self._under_way.values() if where == path]
            check_register(path, [*history, *pending])

    def answered(self) -> int:
        """Return how many operations were answered."""
        whole = (one for history in self._history.values() for one in history)
        return sum(one.answer is not UNKNOWN for one in whole)

    def _next(self, program: CoordinationProgram, process: SimulatedProcess, reads: float) -> None:
        def begin() -> None:
            if self.running:
                process.do(lambda now: self._operate(program, process, reads, now))

        self.world.after(self.world.between(self._pause_us), begin)

    def _operate(
        self, program: CoordinationProgram, process: SimulatedProcess, reads: float, now: Now
    ) -> None:
        random = self.world.random
        path = random.choice(self.paths)
        began_us = self.world.now_us
        what: tuple[object, ...]
        operations: list[ZnodeOperation]
        if random.random() < reads:
            what, operations = ("get",), [Sync(path), GetData(path)]
        else:
            self._written += 1
            value = b"%d" % self._written
            expected = random.choice([-1, -1, self._last_version(path)])
            what, operations = ("set", value, expected), [SetData(path, value, expected)]

        self._begun += 1
        number = self._begun
        self._under_way[number] = (path, Operation(began_us, None, what))

        def done(results: Sequence[Result] | Refusal, _now: Now) -> None:
            del self._under_way[number]
            answer = _answer(results)
            ended_us = None if answer is UNKNOWN else self.world.now_us
            if answer is not None:
                self._history[path].append(Operation(began_us, ended_us, what, answer))
                self.world.mark(repr((path, what, answer if ended_us else "?")).encode())
            self._next(program, process, reads)

        program.submit(operations, done, now)

    def _last_version(self, path: str) -> int:
        for one in reversed(self._history[path]):
            if isinstance(one.answer, int):
                return one.answer
        return 0


def _make_registers(program: CoordinationProgram, now: Now) -> None:
    program.submit([Create(path) for path in REGISTERS], lambda *_: None, now)


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
