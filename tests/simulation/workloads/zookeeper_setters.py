"""ZooKeeper's own clients: they set, read and watch shared znodes by the wire, and move about.

Everything here is drawn from generators of its own.
"""

from __future__ import annotations

from functools import partial
from random import Random

from tests.simulation.checkers.ephemerals import check_dead_are_gone, check_own_is_there
from tests.simulation.checkers.linearizable import UNKNOWN, Operation, check_register
from tests.simulation.checkers.session_order import SessionOrder, check_expected
from tests.simulation.checkers.watch_before_read import WatchBeforeRead
from tests.simulation.checkers.watch_fired import check_fired, unheard
from tests.simulation.health import live_coordinators
from tests.simulation.workloads.workload import Stage, Workload
from tests.simulation.zookeeper_wire import OPEN_ACL, Answer, WireClient
from transport.gateway.zookeeper import jute
from transport.gateway.zookeeper.requests import OpCode
from transport.wire.errors import ErrorCode

PATHS = ("/zookeeper-setter-0", "/zookeeper-setter-1")
PAUSE_US = (10_000, 120_000)
ASKED_MAX = 6
"""Of one client at once: what is on its way when a connection ends is in doubt."""
MOVE_US = (500_000, 3_000_000)
CUT_US = (300_000, 5_000_000)


class _Setter:
    """One client, from session to session."""

    def __init__(self, workload: ZooKeeperSetters, number: int) -> None:
        cluster = workload.cluster
        self.name = f"zookeeper-setter-{number}"
        self.random = Random(f"{self.name} of {cluster.world.seed}")
        self.seen = WatchBeforeRead(self.name)
        self.order = SessionOrder(self.name)
        self.lives = 0
        self.own = ""
        """Its session's ephemeral, once it is there."""
        self.dead: list[str] = []
        self.asked = 0
        self.watching: set[str] = set()
        """Paths of which a read that sets a watch is under way."""
        endpoints = [node.zookeeper for node in cluster.nodes if node.zookeeper]
        self.client = WireClient(
            cluster.world, cluster.network.streams, self.name, endpoints, self.random
        )
        self.client.on_session = self._on_session
        self.client.on_event = self.seen.fired
        self.client.on_zxid = self.order.note_zxid

    def _on_session(self) -> None:
        if self.own:
            self.dead.append(self.own)
        self.own = ""
        self.seen.lost()
        self.watching.clear()
        self.lives += 1
        path = f"/{self.name}-{self.lives}"

        def made(answer: Answer | None) -> None:
            if answer is not None:
                check_expected(self.name, f"creating {path}", answer.error)
                self.own = path

        for each in PATHS:
            self.client.ask(OpCode.CREATE, _create(each, 0), lambda _answer: None)
        self.client.ask(OpCode.CREATE, _create(path, 1), made)


class ZooKeeperSetters(Workload):
    """All such clients; together they make one history per znode."""

    def __init__(self, stage: Stage, count: int) -> None:
        super().__init__(stage)
        self._history: dict[str, list[Operation]] = {path: [] for path in PATHS}
        self._under_way: dict[int, tuple[str, Operation]] = {}
        self._begun = 0
        self._answered = 0
        self._values = 0
        self._setters = [_Setter(self, number + 1) for number in range(count)]
        for setter in self._setters:
            self._act_later(setter)
            self._move_later(setter)

    def unsettled(self) -> str:
        """Every client has a session again, and nothing is asked that is not answered."""
        left = [each.name for each in self._setters if each.asked or not each.client.ready]
        return f"{', '.join(left)} wait for answers" if left else ""

    def unread(self) -> str:
        """Say which watches are still to fire."""
        left = [f"{each.name} of {path}" for each in self._setters for path in self._left(each)]
        return f"events have not come: {', '.join(left)}" if left else ""

    def _left(self, setter: _Setter) -> list[str]:
        changed = {
            path: znode.mzxid
            for server in live_coordinators(self.cluster).values()
            for path in PATHS
            if (znode := server.tree.get(path)) is not None
        }
        return unheard(setter.seen.held(), changed)

    def check(self) -> None:
        """Assert that each znode's history is linearizable, and nothing is left of lost sessions."""
        for setter in self._setters:
            check_fired(setter.name, self._left(setter))
        for path, history in self._history.items():
            pending = [one for where, one in self._under_way.values() if where == path]
            check_register(path, [*history, *pending])
        for host, server in live_coordinators(self.cluster).items():
            for setter in self._setters:
                check_dead_are_gone(host, server.tree, setter.dead)
                setter.client.running = False

    def answered(self) -> int:
        """Return how many operations were answered."""
        return self._answered

    # What they do

    def _act_later(self, setter: _Setter) -> None:
        self.world.after(setter.random.randint(*PAUSE_US), self._act, setter)

    def _act(self, setter: _Setter) -> None:
        if not self.running:
            return
        random = setter.random
        for _ in range(random.randint(1, 3)):
            if setter.client.ready and setter.asked < ASKED_MAX:
                random.choice((self._get, self._set, self._set, self._watch, self._look))(setter)
        self._act_later(setter)

    def _move_later(self, setter: _Setter) -> None:
        self.world.after(setter.random.randint(*MOVE_US), self._move, setter)

    def _move(self, setter: _Setter) -> None:
        """Go to another coordinator, or find oneself cut off from the present one."""
        if not self.running:
            return
        if setter.random.random() < 0.5:
            setter.client.drop()
        else:
            there = setter.client.endpoint.removeprefix("tcp://").rpartition(":")[0]
            network = self.cluster.network
            cut = network.part(setter.name, there)
            self.world.after(setter.random.randint(*CUT_US), network.heal, cut)
        self._move_later(setter)

    def _ask(self, setter: _Setter, opcode: int, record: bytes, on_answer: partial[None]) -> None:
        setter.asked += 1

        def answered(answer: Answer | None) -> None:
            setter.asked -= 1
            self._answered += answer is not None
            on_answer(answer)

        setter.client.ask(opcode, record, answered)

    def _begin(self, path: str, what: tuple[object, ...]) -> int:
        self._begun += 1
        self._under_way[self._begun] = (path, Operation(self.world.now_us, None, what))
        return self._begun

    def _end(self, number: int, answer: object) -> None:
        """Note an answer; None: it says that nothing has happened."""
        path, begun = self._under_way.pop(number)
        ended_us = None if answer is UNKNOWN else self.world.now_us
        if answer is not None:
            self._history[path].append(Operation(begun.began_us, ended_us, begun.what, answer))

    def _get(self, setter: _Setter) -> None:
        path = setter.random.choice(PATHS)
        number = self._begin(path, ("get",))
        self._ask(setter, OpCode.SYNC, jute.string(path), partial(_pass_over))
        self._ask(setter, OpCode.GET_DATA, _read(path), partial(self._got, setter, path, number))

    def _got(self, setter: _Setter, path: str, number: int, answer: Answer | None) -> None:
        if answer is None or answer.error:
            self._end(number, None)
            return
        data = answer.body.buffer() or b""
        _czxid, mzxid, _ctime, _mtime = (answer.body.int64() for _ in range(4))
        self._end(number, (answer.body.int32(), data))
        setter.seen.note_seen(path, mzxid)

    def _set(self, setter: _Setter) -> None:
        path = setter.random.choice(PATHS)
        self._values += 1
        value = b"%d" % self._values
        expected = setter.random.choice((-1, -1, self._last_version(path)))
        number = self._begin(path, ("set", value, expected))
        record = jute.string(path) + jute.buffer(value) + jute.int32(expected)
        on_answer = partial(self._was_set, setter, path, number)
        self._ask(setter, OpCode.SET_DATA, record, on_answer)

    def _was_set(self, setter: _Setter, path: str, number: int, answer: Answer | None) -> None:
        if answer is None:
            self._end(number, UNKNOWN)
        elif answer.error == ErrorCode.BAD_VERSION:
            self._end(number, "bad version")
        elif answer.error == ErrorCode.NO_NODE:
            self._end(number, None)
        else:
            check_expected(setter.name, f"setting {path}", answer.error)
            _czxid, mzxid, _ctime, _mtime = (answer.body.int64() for _ in range(4))
            self._end(number, answer.body.int32())
            setter.seen.note_seen(path, mzxid)

    def _watch(self, setter: _Setter) -> None:
        path = setter.random.choice(PATHS)
        if path in setter.watching or setter.seen.is_armed(path):
            return
        setter.watching.add(path)
        life = setter.lives

        def armed(answer: Answer | None) -> None:
            if life != setter.lives:
                return
            setter.watching.discard(path)
            if answer is not None and not answer.error:
                answer.body.buffer()
                _czxid, mzxid = answer.body.int64(), answer.body.int64()
                setter.client.watched[path] = None
                setter.seen.armed(path, mzxid)

        self._ask(setter, OpCode.GET_DATA, _read(path, watch=True), partial(armed))

    def _look(self, setter: _Setter) -> None:
        """Is its ephemeral there, as long as its session lives?"""
        own = setter.own
        if not own:
            return

        def looked(answer: Answer | None) -> None:
            if answer is not None:
                check_own_is_there(own, answer.error == ErrorCode.NONE)

        self._ask(setter, OpCode.EXISTS, _read(own), partial(looked))

    def _last_version(self, path: str) -> int:
        for one in reversed(self._history[path]):
            if isinstance(one.answer, int):
                return one.answer
        return 0


def _create(path: str, mode: int) -> bytes:
    return jute.string(path) + jute.buffer(b"") + OPEN_ACL + jute.int32(mode)


def _read(path: str, *, watch: bool = False) -> bytes:
    return jute.string(path) + (b"\1" if watch else b"\0")


def _pass_over(_answer: Answer | None) -> None:
    """What a sync says is said by the read behind it."""
