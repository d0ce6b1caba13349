"""Clients that watch what others set, and read and set it themselves meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from odradek.coordination.program import CoordinationProgram
from odradek.coordination.session import SessionState
from odradek.coordination.watches import DATA
from tests.simulation.checkers.watch_before_read import WatchBeforeRead
from tests.simulation.process import SimulatedProcess
from tests.simulation.workloads.setters import REGISTERS
from tests.simulation.workloads.workload import Stage, Workload
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.messages import Refusal
from transport.wire.messages.coordination import (
    Create,
    GetData,
    Operation,
    Result,
    SetData,
    WatchEvent,
)

SESSION_MS = 3_000
PAUSE_US = (30_000, 250_000)
NEWS = "/news"
"""Set by the watchers alone, so that they also meet their own watches."""
PATHS = (*REGISTERS, NEWS)


class _Watcher:
    """One client with at most one watch per path."""

    def __init__(self, workload: Watchers, name: str) -> None:
        self._workload = workload
        self.seen = WatchBeforeRead(name)
        self._asked: set[str] = set()
        """Paths of which a read that sets a watch is under way."""
        self.program = CoordinationProgram(
            workload.cluster.bootstrap, timeout_ms=SESSION_MS, on_state=self._on_state
        )
        self.process: SimulatedProcess = workload.cluster.add_client(self.program, name)
        self._callbacks = {path: partial(self._on_event, path) for path in PATHS}

    def _on_state(self, state: SessionState, _dropped: object, _now: Now) -> None:
        if state in (SessionState.LOST, SessionState.CLOSED):
            self.seen.lost()
            self._asked.clear()

    def _on_event(self, path: str, _event: WatchEvent, _now: Now) -> None:
        self._workload.events += 1
        self.seen.fired(path)

    def watch(self, path: str, now: Now) -> None:
        """Set a watch by a read, unless one is set."""
        if path in self._asked or self.seen.is_armed(path):
            return
        self._asked.add(path)
        session = self.program.session

        def done(results: Sequence[Result] | Refusal, _now: Now) -> None:
            if session is not self.program.session:
                return
            self._asked.discard(path)
            if not isinstance(results, Refusal) and results[0].stat is not None:
                self.seen.armed(path, results[0].stat.mzxid)

        session.watch(path, DATA, self._callbacks[path])
        self.program.submit([GetData(path, watch=True)], done, now)

    def ask(self, path: str, operation: Operation, now: Now) -> None:
        """Read or set; either answer may reveal a change."""
        session = self.program.session

        def done(results: Sequence[Result] | Refusal, _now: Now) -> None:
            if isinstance(results, Refusal) or session is not self.program.session:
                return
            stat = results[-1].stat
            if results[-1].error == ErrorCode.NONE and stat is not None:
                self.seen.note_seen(path, stat.mzxid)

        self.program.submit([operation], done, now)


class Watchers(Workload):
    """All such clients."""

    def __init__(self, stage: Stage, count: int) -> None:
        super().__init__(stage)
        self._values = 0
        self.events = 0
        """How many watches have fired."""
        for number in range(count):
            watcher = _Watcher(self, f"watcher-{number}")
            watcher.process.do(partial(self._make, watcher))
            self._next(watcher)

    def _make(self, watcher: _Watcher, now: Now) -> None:
        watcher.program.submit([Create(path) for path in PATHS], lambda *_: None, now)

    def _next(self, watcher: _Watcher) -> None:
        def begin() -> None:
            if self.running:
                watcher.process.do(partial(self._turn, watcher))
                self._next(watcher)

        self.world.after(self.world.between(PAUSE_US), begin)

    def _turn(self, watcher: _Watcher, now: Now) -> None:
        random = self.world.random
        for path in random.sample(PATHS, random.randint(1, len(PATHS))):
            watcher.watch(path, now)
            if path == NEWS and random.random() < 0.5:
                self._values += 1
                watcher.ask(path, SetData(path, b"%d" % self._values), now)
            else:
                watcher.ask(path, GetData(path), now)
