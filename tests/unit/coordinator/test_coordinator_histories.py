"""Random histories: clients that move and repeat themselves, coordinators that die and are cut off.

Each client creates sequential znodes that carry its own numbers.  Whatever happens, in the end every
number is there once and in order, no answer contradicts an earlier one, and all members agree.
"""

from __future__ import annotations

from collections import deque
from random import Random

import pytest

from nodes.config import CoordinatorConfig
from nodes.core.raft import log
from tests.unit.coordinator.ensemble import Ensemble, SessionClient
from transport.wire.ids import RequestId, SessionId, Zxid
from transport.wire.messages.coordination import (
    PERSISTENT_SEQUENTIAL,
    Create,
    Exists,
    GetChildren,
    OpenSessionRequest,
    OpenSessionResponse,
    OperateRequest,
    OperateResponse,
    Operation,
    SessionOperation,
    Sync,
    WatchEvent,
    WatchRegistration,
)

STEPS = 60
IN_FLIGHT_MAX = 6
PATIENCE_MS = 700


class Request:
    def __init__(self, first_id: int, creates: int, synced: bool) -> None:
        self.ids = list(range(first_id, first_id + creates))
        self.synced = synced

    def operations(self, name: str) -> tuple[SessionOperation, ...]:
        writes: list[tuple[int, Operation]] = [
            (n, Create("/q/", f"{name}:{n}".encode(), PERSISTENT_SEQUENTIAL)) for n in self.ids
        ]
        reads: list[tuple[int, Operation]] = [(0, Exists("/q", watch=True))]
        reads.append((0, GetChildren("/q", watch=True)))
        if self.synced:
            reads.insert(0, (0, Sync()))
        return tuple(SessionOperation(RequestId(n), what) for n, what in [*writes, *reads])


class Worker:
    """A client with one session, moved to another coordinator whenever it hears nothing."""

    def __init__(self, ensemble: Ensemble, random: Random, name: str) -> None:
        self.ensemble = ensemble
        self.random = random
        self.name = name
        self.session_id = SessionId(0)
        self.password = b""
        self.zxid = Zxid(0)
        self.children = 0
        self.armed = False
        """A children watch is set: a child that came since must be told of first."""
        self.next_id = 1
        self.acked = 0
        self.waiting: deque[Request] = deque()
        self.connection: SessionClient | None = None
        self.opening = 0
        self.sent: dict[int, Request] = {}
        self.read = 0
        self.heard_ms = 0

    def work(self, *, more: bool) -> None:
        now_ms = self.ensemble.now.mono_ms
        connection = self.connection
        if connection is None or connection.origin.route not in self.ensemble.clients:
            self._move()
            return
        while self.read < len(connection.received):
            envelope = connection.received[self.read]
            self.read += 1
            self.heard_ms = now_ms
            if not self._take(envelope.correlation_id, envelope.body):
                self._move()
                return
        busy = self.opening or self.waiting
        if busy and now_ms - self.heard_ms > PATIENCE_MS:
            self._move()
        elif more and not self.opening and len(self.waiting) < IN_FLIGHT_MAX:
            request = Request(self.next_id, self.random.randint(0, 3), self.random.random() < 0.3)
            self.next_id += len(request.ids)
            self.waiting.append(request)
            self._send(request)

    def _move(self) -> None:
        nodes = [n for n, node in self.ensemble.nodes.items() if node.process is not None]
        if not nodes:
            return
        if self.connection is not None:
            self.ensemble.clients.pop(self.connection.origin.route, None)
        self.connection = connection = self.ensemble.session(self.random.choice(nodes))
        self.sent, self.read = {}, 0
        self.heard_ms = self.ensemble.now.mono_ms
        watches = (WatchRegistration("/q", "children"),) if self.armed else ()
        self.opening = connection.send(
            OpenSessionRequest(
                30_000,
                self.session_id,
                self.password,
                self.zxid,
                nonce=self.name.encode(),
                watches=watches,
            )
        )

    def _send(self, request: Request) -> None:
        assert self.connection is not None
        body = OperateRequest(
            self.session_id, RequestId(self.acked + 1), request.operations(self.name)
        )
        self.sent[self.connection.send(body)] = request

    def _take(self, number: int, body: object) -> bool:
        if isinstance(body, WatchEvent):
            self.armed = False
            return True
        if isinstance(body, OpenSessionResponse):
            if body.error:
                return False
            assert body.zxid >= self.zxid
            self.session_id, self.password, self.opening = body.session_id, body.password, 0
            for request in self.waiting:
                self._send(request)
            return True
        assert isinstance(body, OperateResponse), body
        if body.error:
            return False
        request = self.sent.pop(number)
        assert request is self.waiting.popleft(), "answers out of order"
        creates = body.results[: len(request.ids)]
        assert all(result.error == 0 for result in creates), body
        numbers = [int(result.path.removeprefix("/q/")) for result in creates]
        assert numbers == sorted(numbers)
        exists, children = body.results[-2:]
        assert exists.stat is not None
        assert exists.stat.children_count == len(children.children)
        seen = len(children.children)
        assert seen >= self.children, "the past was read after the present"
        assert children.zxid >= self.zxid
        assert all(f"{n:010d}" in children.children for n in numbers), "a write is not seen"
        assert seen == self.children or not self.armed, "a change was read before its event"
        self.armed = True
        self.children, self.zxid = seen, children.zxid
        self.acked += len(request.ids)
        return True


def injure(ensemble: Ensemble, random: Random) -> None:
    """Kill, start, cut, heal, lose a message now and then, hold a disk up: or nothing."""
    down = [n for n, node in ensemble.nodes.items() if node.process is None]
    up = [n for n in ensemble.nodes if n not in down]
    choice = random.random()
    if choice < 0.15 and len(up) > 1:
        ensemble.kill(random.choice(up))
    elif choice < 0.45 and down:
        ensemble.start(random.choice(down))
    elif choice < 0.55:
        here = random.choice(list(ensemble.nodes))
        others = [n for n in ensemble.nodes if n != here]
        ensemble.cut(here, *random.sample(others, random.randint(1, 2)))
    elif choice < 0.75:
        ensemble.heal()
    elif choice < 0.85:
        lossy = random.random() * 0.2
        ensemble.drop = lambda here, there, envelope: random.random() < lossy
    elif choice < 0.9 and up:
        process = ensemble.nodes[random.choice(up)].process
        assert process is not None
        process.hold_syncs = not process.hold_syncs


def repair(ensemble: Ensemble) -> None:
    ensemble.heal()
    ensemble.drop = lambda here, there, envelope: False
    for number, node in ensemble.nodes.items():
        if node.process is None:
            ensemble.start(number)
        assert node.process is not None
        node.process.hold_syncs = False


@pytest.mark.parametrize("seed", range(10))
def test_every_write_is_applied_once_and_in_order(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = Random(seed)
    if seed % 3 == 0:
        monkeypatch.setattr(log, "KEPT_ENTRIES_MAX", 10)
    ensemble = Ensemble(coordinator=CoordinatorConfig(snapshot_entries=50))
    ensemble.leader()
    setup = ensemble.session(1)
    setup.open(30_000)
    setup.operate(Create("/q"))
    workers = [Worker(ensemble, random, name) for name in "abc"]
    for _ in range(STEPS):
        injure(ensemble, random)
        for _ in range(random.randint(1, 8)):
            for worker in workers:
                worker.work(more=True)
            ensemble.run(random.choice((0, 5, 40)))
    repair(ensemble)
    for _ in range(400):
        for worker in workers:
            worker.work(more=False)
        ensemble.run(20)
        if not any(worker.waiting or worker.opening for worker in workers):
            break
    assert not any(worker.waiting for worker in workers), "a request was never answered"
    ensemble.run(1000)
    trees = [node.server._context.core.tree for node in ensemble.nodes.values()]
    assert len({tuple(sorted(tree.znodes.items())) for tree in trees}) == 1
    made: dict[str, list[int]] = {worker.name: [] for worker in workers}
    for path in sorted(trees[0].znodes):
        if path.startswith("/q/"):
            name, _, number = trees[0].znodes[path].data.decode().partition(":")
            made[name].append(int(number))
    for worker in workers:
        assert made[worker.name] == list(range(1, worker.next_id))
        assert worker.acked == worker.next_id - 1
    assert sum(worker.acked for worker in workers) > 10
