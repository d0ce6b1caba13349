"""A znode whose owner opens it to all and shuts it again, while strangers read and set it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from nodes.core.znode.acl import digest_of
from odradek.coordination.program import CoordinationProgram
from tests.simulation.checkers.guarded import DENIED, check_guarded
from tests.simulation.checkers.linearizable import UNKNOWN, Operation
from tests.simulation.process import SimulatedProcess
from tests.simulation.workloads.workload import Stage, Workload
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.messages import Refusal
from transport.wire.messages.coordination import (
    ALL_PERMISSIONS,
    READ,
    WRITE,
    Acl,
    AddAuth,
    Create,
    GetData,
    Result,
    SetAcl,
    SetData,
    Sync,
)
from transport.wire.messages.coordination import Operation as ZnodeOperation

GUARDED = "/guarded"
SESSION_MS = 4_000
PAUSE_US = (5_000, 60_000)
OWNER = AddAuth("digest", b"owner:secret")
MINE = Acl(ALL_PERMISSIONS, "digest", digest_of(OWNER.credential))
TO_ALL = Acl(READ | WRITE, "world", "anyone")


class Guards(Workload):
    """One owner and some strangers; each asks one thing at a time."""

    def __init__(self, stage: Stage, count: int) -> None:
        super().__init__(stage)
        self._history: list[Operation] = []
        self._under_way: dict[int, Operation] = {}
        self._begun = 0
        for number in range(count + 1):
            auth = [OWNER] if number == 0 else []
            program = CoordinationProgram(
                self.cluster.bootstrap,
                timeout_ms=SESSION_MS,
                on_state=lambda *_: None,
                auth=auth,
            )
            process = self.cluster.add_client(program, "guard" if auth else "stranger")
            if auth:
                make = Create(GUARDED, acl=(MINE,))
                process.do(partial(program.submit, [make], lambda *_: None))
            self._next(program, process, owner=bool(auth))

    def check(self) -> None:
        """Assert that the ACL was kept."""
        check_guarded(GUARDED, [*self._history, *self._under_way.values()])

    def answered(self) -> int:
        """Return how many operations were answered."""
        return sum(one.answer is not UNKNOWN for one in self._history)

    def _next(
        self, program: CoordinationProgram, process: SimulatedProcess, *, owner: bool
    ) -> None:
        def begin() -> None:
            if self.running:
                process.do(partial(self._operate, program, process, owner))

        self.world.after(self.world.between(PAUSE_US), begin)

    def _operate(
        self, program: CoordinationProgram, process: SimulatedProcess, owner: bool, now: Now
    ) -> None:
        self._begun += 1
        number, began_us = self._begun, self.world.now_us
        what, operations = self._draw(b"%d" % number, owner=owner)
        self._under_way[number] = Operation(began_us, None, what)

        def done(results: Sequence[Result] | Refusal, _now: Now) -> None:
            del self._under_way[number]
            answer = _answer(results, what)
            ended_us = None if answer is UNKNOWN else self.world.now_us
            if answer is not None:
                self._history.append(Operation(began_us, ended_us, what, answer))
            self._next(program, process, owner=owner)

        program.submit(operations, done, now)

    def _draw(
        self, value: bytes, *, owner: bool
    ) -> tuple[tuple[object, ...], list[ZnodeOperation]]:
        random = self.world.random
        if owner and random.random() < 0.7:
            is_open = random.random() < 0.5
            acl = (MINE, TO_ALL) if is_open else (MINE,)
            return ("acl", is_open), [SetAcl(GUARDED, acl)]
        if random.random() < 0.5:
            return ("get", owner), [Sync(GUARDED), GetData(GUARDED)]
        return ("set", value, owner), [SetData(GUARDED, value)]


def _answer(results: Sequence[Result] | Refusal, what: tuple[object, ...]) -> object:
    """Return what the last operation told; None if the znode was not there yet."""
    if isinstance(results, Refusal):
        return UNKNOWN
    last = results[-1]
    if last.error == ErrorCode.NO_NODE:
        return None
    if last.error == ErrorCode.NO_AUTH:
        return DENIED
    assert last.error == ErrorCode.NONE, last
    if what[0] == "acl":
        return "done"
    assert last.stat is not None
    return (last.stat.version, last.data) if what[0] == "get" else last.stat.version
