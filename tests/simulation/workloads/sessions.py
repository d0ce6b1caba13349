"""Clients that pipeline: an ephemeral of their own, sets and reads of it, sequences, multis; and die.

Each session has one znode that nobody else writes.  What is asked in a burst is submitted without
waiting for answers, so that order and retries are the lane's and the servers' business.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from odradek.coordination.program import CoordinationProgram
from odradek.coordination.session import SessionState
from tests.simulation.checkers.ephemerals import check_dead_are_gone, check_own_is_there
from tests.simulation.checkers.multi_whole import PAIR, check_pair_read
from tests.simulation.checkers.sequence_numbers import SequenceNumbers
from tests.simulation.checkers.session_order import SessionOrder
from tests.simulation.health import live_coordinators
from tests.simulation.workloads.workload import Stage, Workload
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.messages import Refusal
from transport.wire.messages.coordination import (
    ALL_PERMISSIONS,
    EPHEMERAL,
    EPHEMERAL_SEQUENTIAL,
    PERSISTENT_SEQUENTIAL,
    Acl,
    Check,
    Create,
    Delete,
    GetData,
    Multi,
    Operation,
    ReadMulti,
    Result,
    SetData,
)

QUEUE = "/queue"
SESSION_MS = 2_000
PAUSE_US = (50_000, 300_000)
BURST_MAX = 4
LIFE_US = (2_000_000, 12_000_000)
NO_SUCH_VERSION = 1 << 30


class _Life:
    """One session of one client: its own znode and what it was told."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.order = SessionOrder(path)
        self.ready = False
        self.moves = 0
        """How often its connection broke: reads that were not answered are then done anew, behind
        writes that were done before.  A read that found no room in an answer never is."""
        self.sets = 0


class _Client:
    """One client process, from its start to its death."""

    def __init__(self, workload: Sessions, name: str) -> None:
        self.name = name
        self.workload = workload
        self.lives = 0
        self.life: _Life | None = None
        self.paths: list[str] = []
        self.program = CoordinationProgram(
            workload.cluster.bootstrap, timeout_ms=SESSION_MS, on_state=self._on_state
        )
        self.process = workload.cluster.add_client(self.program, "member")

    def _on_state(self, state: SessionState, _dropped: object, now: Now) -> None:
        if state in (SessionState.LOST, SessionState.CLOSED):
            self.life = None
        elif state is SessionState.SUSPENDED and self.life is not None:
            self.life.moves += 1
        elif state is SessionState.CONNECTED and self.life is None:
            self.lives += 1
            path = f"/member-{self.name}-{self.lives}"
            self.paths.append(path)
            self.life = _Life(path)
            self.program.submit(
                [
                    Create(QUEUE),
                    Multi(tuple(Create(each) for each in PAIR)),
                    Create(path, b"0", EPHEMERAL, self._mine()),
                ],
                partial(self._made, self.life),
                now,
            )

    def _mine(self) -> tuple[Acl, ...]:
        """Nobody but this host: whichever coordinator serves must know who is behind the link."""
        address = self.workload.cluster.network.address_of(self.process.host)
        return (Acl(ALL_PERMISSIONS, "ip", f"{address}/32"),)

    def _made(self, life: _Life, results: Sequence[Result] | Refusal, _now: Now) -> None:
        if not isinstance(results, Refusal) and results[-1].error == ErrorCode.NONE:
            life.order.made(b"0")
            life.ready = True


class Sessions(Workload):
    """All such clients, one after the other where one has died."""

    def __init__(self, stage: Stage, count: int) -> None:
        super().__init__(stage)
        self._numbers = SequenceNumbers()
        self._queued: list[str] = []
        self._values = 0
        self._started = 0
        self._answered = 0
        self.dead: list[str] = []
        """Ephemerals of clients that have died."""
        for _ in range(count):
            self._start()

    def unsettled(self) -> str:
        """Say whether dead clients have left something behind."""
        left = any(
            server._context.core.tree.get(path) is not None
            for server in live_coordinators(self.cluster).values()
            for path in self.dead
        )
        return "ephemerals of dead clients are left" if left else ""

    def check(self) -> None:
        """Assert what can only be said of the whole history."""
        self._numbers.check()
        for host, server in live_coordinators(self.cluster).items():
            check_dead_are_gone(host, server._context.core.tree, self.dead)

    def answered(self) -> int:
        """Return how many operations were answered."""
        return self._answered

    # Lives

    def _start(self) -> None:
        self._started += 1
        client = _Client(self, str(self._started))
        self._burst_later(client)
        self.world.after(self.world.between(LIFE_US), lambda: self._die(client))

    def _die(self, client: _Client) -> None:
        if self.running:
            self.world.note(f"client {client.process.host} is killed")
            client.process.kill()
            self.dead += client.paths
            self._start()

    def _burst_later(self, client: _Client) -> None:
        def begin() -> None:
            if self.running and client.process.alive:
                client.process.do(partial(self._burst, client))
                self._burst_later(client)

        self.world.after(self.world.between(PAUSE_US), begin)

    # Operations

    def _burst(self, client: _Client, now: Now) -> None:
        kinds: list[Callable[[_Client, _Life, Now], None]] = [
            self._set_and_get,
            self._set_and_get,
            self._get,
            self._get,
            self._enqueue,
            self._dequeue,
            self._set_pair,
            self._read_pair,
        ]
        for _ in range(self.world.random.randint(1, BURST_MAX)):
            life = client.life
            if life is not None and life.ready:
                self.world.random.choice(kinds)(client, life, now)

    def _submit(
        self,
        client: _Client,
        life: _Life,
        operations: Sequence[Operation],
        done: Callable[[Sequence[Result], bool], None],
        now: Now,
    ) -> None:
        """Submit; ``done(results, first)``, ``first``: all was done on one connection."""
        moves = life.moves

        def answered(results: Sequence[Result] | Refusal, _now: Now) -> None:
            if isinstance(results, Refusal):
                return
            first = life.moves == moves
            self._answered += len(results)
            self.world.mark(repr([(one.error, one.zxid) for one in results]).encode())
            for result in results:
                if first:
                    life.order.note_zxid(result.zxid)
            done(results, first)

        client.program.submit(operations, answered, now)

    def _set_and_get(self, client: _Client, life: _Life, now: Now) -> None:
        life.sets += 1
        value = b"%d" % life.sets

        def done(results: Sequence[Result], first: bool) -> None:
            told, read = results
            there = ErrorCode.NO_NODE not in (told.error, read.error)
            check_own_is_there(life.path, there)
            assert told.stat is not None, told
            life.order.note_set(value, told.stat.version)
            if first and read.stat is not None:
                life.order.note_get(read.stat.version, read.data or b"")

        self._submit(client, life, [SetData(life.path, value), GetData(life.path)], done, now)

    def _get(self, client: _Client, life: _Life, now: Now) -> None:
        def done(results: Sequence[Result], first: bool) -> None:
            check_own_is_there(life.path, results[0].error != ErrorCode.NO_NODE)
            stat = results[0].stat
            if first and stat is not None:
                life.order.note_get(stat.version, results[0].data or b"")

        self._submit(client, life, [GetData(life.path)], done, now)

    def _enqueue(self, client: _Client, life: _Life, now: Now) -> None:
        mode = self.world.random.choice([PERSISTENT_SEQUENTIAL, EPHEMERAL_SEQUENTIAL])
        began_us = self.world.now_us

        def done(results: Sequence[Result], first: bool) -> None:
            if results[0].error == ErrorCode.NONE:
                self._numbers.note(began_us, self.world.now_us, results[0].path)
                if mode == PERSISTENT_SEQUENTIAL:
                    self._queued.append(results[0].path)

        self._submit(client, life, [Create(f"{QUEUE}/item-", b"", mode)], done, now)

    def _dequeue(self, client: _Client, life: _Life, now: Now) -> None:
        if self._queued:
            path = self._queued.pop(self.world.random.randrange(len(self._queued)))
            self._submit(client, life, [Delete(path)], lambda *_: None, now)

    def _set_pair(self, client: _Client, life: _Life, now: Now) -> None:
        self._values += 1
        one, other = (SetData(path, b"%d" % self._values) for path in PAIR)
        whole = Multi((one, other))
        if self.world.random.random() < 0.3:
            whole = Multi((one, Check(QUEUE, NO_SUCH_VERSION), other))
        self._submit(client, life, [whole], lambda *_: None, now)

    def _read_pair(self, client: _Client, life: _Life, now: Now) -> None:
        def done(results: Sequence[Result], first: bool) -> None:
            if not any(one.error for one in (*results, *results[0].results)):
                check_pair_read(life.path, results[0].results)

        whole = ReadMulti(tuple(GetData(path) for path in PAIR))
        self._submit(client, life, [whole], done, now)
