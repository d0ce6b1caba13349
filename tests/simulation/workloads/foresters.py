"""Clients of one subtree: they plant what goes by itself, watch it, follow its changes, read it.

Every second one also takes a read-only session where there is no quorum, and does not stay long.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from odradek.coordination.program import CoordinationProgram
from odradek.coordination.session import CoordinationSession, SessionState
from odradek.coordination.watches import RECURSIVE
from tests.simulation.checkers.change_stream import check_page
from tests.simulation.checkers.forest_model import FOREST
from tests.simulation.checkers.lasting_watch import LastingWatch
from tests.simulation.checkers.swept import empty_containers
from tests.simulation.checkers.true_read import TrueReads
from tests.simulation.workloads.workload import Stage, Workload
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.ids import Zxid
from transport.wire.messages import Refusal
from transport.wire.messages.coordination import (
    CONTAINER,
    PERSISTENT,
    PERSISTENT_WITH_TTL,
    AddWatch,
    Create,
    Delete,
    GetChanges,
    GetData,
    Operation,
    Result,
    SetData,
    WatchEvent,
)

SESSION_MS = 2_500
PAUSE_US = (20_000, 200_000)
STAY_US = (800_000, 3_000_000)
TREES = tuple(f"{FOREST}/{name}" for name in ("oak", "elm", "fir"))
PATHS = (*TREES, *(f"{tree}/{leaf}" for tree in TREES for leaf in ("a", "b")))
KINDS = ((PERSISTENT, 0), (CONTAINER, 0), (PERSISTENT_WITH_TTL, 300), (PERSISTENT_WITH_TTL, 1_500))
PAGES = (1, 3, 100)


class _Forester:
    """One client, its watch and its place in the changes."""

    def __init__(self, workload: Foresters, name: str, *, read_only: bool) -> None:
        self.workload = workload
        self.name = name
        self.program = CoordinationProgram(
            workload.cluster.bootstrap,
            timeout_ms=SESSION_MS,
            on_state=self._on_state,
            read_only=read_only,
        )
        self.watch = LastingWatch(name, workload.model)
        self.reads = TrueReads(name, workload.model)
        self.since = 0
        self._session: CoordinationSession | None = None
        self._reading = False
        self.process = workload.cluster.add_client(self.program, name)

    def _on_state(self, state: SessionState, _dropped: object, now: Now) -> None:
        if state in (SessionState.LOST, SessionState.CLOSED):
            self.watch.lost()
            self._session = None
        elif state is SessionState.CONNECTED:
            self.watch.attached(self.program.session.last_zxid)
            if self._session is not self.program.session:
                self._watch(now)

    def _watch(self, now: Now) -> None:
        """Begin in a new session."""
        self._session = self.program.session
        self.reads = TrueReads(self.name, self.workload.model)
        self._reading = False
        self._session.watch(FOREST, RECURSIVE, self._on_event)
        self.ask([AddWatch(FOREST, recursive=True)], self._armed, now)

    def _armed(self, results: Sequence[Result]) -> None:
        if results[0].error == ErrorCode.NONE:
            self.watch.armed(results[0].zxid)

    def _on_event(self, event: WatchEvent, _now: Now) -> None:
        if self.program.session.state is SessionState.CONNECTED:
            self.watch.on_event(event.path, event.zxid)
        else:
            self.watch.on_missed(event.path)

    def ask(
        self, operations: list[Operation], done: Callable[[Sequence[Result]], None], now: Now
    ) -> None:
        """Submit reads or writes; ``done`` hears of the results within this session."""
        session = self.program.session

        def answered(results: Sequence[Result] | Refusal, _now: Now) -> None:
            if session is not self.program.session:
                return
            if isinstance(results, Refusal):
                if results.error == ErrorCode.NOT_READ_ONLY:
                    self.reads.note_refused(read_only=session.read_only)
                return
            self.workload.count += len(results)
            for result in results:
                self.watch.note_answer(result.zxid)
            done(results)

        self.program.submit(operations, answered, now)

    def read(self, path: str, now: Now) -> None:
        """Read one znode."""

        def done(results: Sequence[Result]) -> None:
            stat = results[0].stat
            self.reads.note_zxid(results[0].zxid)
            if stat is not None:
                self.reads.note_read(path, stat, results[0].data or b"")

        self.ask([GetData(path)], done, now)

    def follow(self, now: Now) -> None:
        """Read the next page of changes, unless one is under way."""
        if self._reading:
            return
        self._reading = True
        since = self.since

        def done(results: Sequence[Result]) -> None:
            self._reading = False
            (result,) = results
            if result.error == ErrorCode.NONE:
                check_page(self.name, self.workload.model, since, result.zxid, result.changes)
            self.since = max(result.zxid, since)

        page = self.workload.world.random.choice(PAGES)
        self.ask([GetChanges(FOREST, Zxid(since), page)], done, now)


class Foresters(Workload):
    """All of them, and the model of their forest."""

    def __init__(self, stage: Stage, count: int) -> None:
        super().__init__(stage)
        self.model = stage.observer.coordinators.model.forest
        self.count = 0
        self._values = 0
        self._started = 0
        for number in range(count):
            self._start(read_only=number % 2 == 1)

    def unsettled(self) -> str:
        """Say which containers have still to go."""
        left = empty_containers(self.model)
        return f"containers without children are left: {left}" if left else ""

    def answered(self) -> int:
        """Return how many operations were answered."""
        return self.count

    def _start(self, *, read_only: bool) -> None:
        self._started += 1
        forester = _Forester(self, f"forester-{self._started}", read_only=read_only)
        forester.process.do(partial(forester.ask, [Create(FOREST)], lambda _: None))
        self._next(forester)
        if read_only:
            self.world.after(self.world.between(STAY_US), self._leave, forester)

    def _leave(self, forester: _Forester) -> None:
        """Let another come in its place: only who comes anew is served without a quorum."""
        if self.running:
            forester.process.kill()
            self._start(read_only=True)

    def _next(self, forester: _Forester) -> None:
        def begin() -> None:
            if self.running and forester.process.alive:
                forester.process.do(partial(self._work, forester))
                self._next(forester)

        self.world.after(self.world.between(PAUSE_US), begin)

    def _work(self, forester: _Forester, now: Now) -> None:
        random = self.world.random
        path = random.choice(PATHS)
        self._values += 1
        value = b"%d" % self._values
        mode, ttl_ms = random.choice(KINDS)
        kinds: tuple[Operation | None, ...] = (
            Create(path, value, mode, ttl_ms=ttl_ms),
            Create(path, value, mode, ttl_ms=ttl_ms),
            SetData(path, value),
            Delete(path),
            None,
        )
        chosen = random.choice(kinds)
        if chosen is not None:
            forester.ask([chosen], lambda _: None, now)
        forester.read(random.choice(PATHS), now)
        if random.random() < 0.5:
            forester.follow(now)
