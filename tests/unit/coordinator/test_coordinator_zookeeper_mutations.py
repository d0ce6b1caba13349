"""Bytes that are almost a request of ZooKeeper's, and wild ones that are: no coordinator is harmed."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from nodes.config import CoordinatorConfig
from tests.unit.coordinator.ensemble import Ensemble
from tests.unit.coordinator.zookeeper_client import ZooKeeperClient, create
from tests.unit.gateway.mutations import mutated, pieces
from transport.gateway.zookeeper import jute
from transport.gateway.zookeeper.requests import OpCode

CLIENTS = 60
REQUESTS = 30
PATHS = (
    *("/", "/a", "/a/b", "/a/b", "/c", "/s-", "/brokers", "/zookeeper", "/zookeeper/config"),
    *("/zookeeper/quota", "/zookeeper/quota/a", "/zookeeper/quota/a/zookeeper_limits"),
    *("", "a", "//", "/a/", "/.", "/a/..", "/\0", "/é", "/" + "x" * 300),
)
NUMBERS = (0, 0, 0, 1, 2, 3, 4, 5, 6, 7, -1, -1, -2, 31, 64, 2**31 - 1, -(2**31))
LONGS = (0, 1, -1, 5, 1_000, 2**63 - 1, -(2**63), 2**39, 0x00FF_FFFF_FFFF)
DATA = (b"", None, b"x", b"count=1,bytes=5", b"countHardLimit=2;byteHardLimit=-7", bytes(3_000))
SCHEMES = ("world", "digest", "auth", "ip", "x509", "principal", "super", "", "sasl")
IDS = (
    "anyone",
    "bob:x",
    "bob",
    "",
    "10.0.0.0/8",
    "10.0.0.9",
    "300.1.1.1",
    ":",
    "CN=x",
    "a" * 2_000,
)


class Wild:
    """Requests of every type, of values as wild as their records let them be."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def _one(self, values: tuple[object, ...]) -> object:
        return self._random.choice(values)

    def path(self) -> bytes:
        return jute.string(str(self._one(PATHS)))

    def int32(self) -> bytes:
        return jute.int32(self._random.choice(NUMBERS))

    def int64(self) -> bytes:
        return jute.int64(self._random.choice(LONGS))

    def flag(self) -> bytes:
        return self._random.choice((b"\0", b"\1"))

    def data(self) -> bytes:
        return jute.buffer(self._random.choice(DATA))

    def acl(self) -> bytes:
        count = self._random.choice((0, 1, 1, 2, 40))
        return jute.vector(
            self.int32() + jute.string(str(self._one(SCHEMES))) + jute.string(str(self._one(IDS)))
            for _ in range(count)
        )

    def _steps(self, types: tuple[int, ...]) -> bytes:
        count = self._random.choice((0, 1, 2, 5))
        chosen = [self._random.choice(types) for _ in range(count)]
        steps = [jute.int32(one) + b"\0" + jute.int32(-1) + self.record(one) for one in chosen]
        return b"".join(steps) + jute.int32(-1) + b"\1" + jute.int32(-1)

    def record(self, opcode: int) -> bytes:
        """Return the record of a request, or of a step, of this type."""
        return b"".join(part() for part in self._parts(opcode))

    def _parts(self, opcode: int) -> tuple[Callable[[], bytes], ...]:
        path, version = self.path, self.int32
        known: dict[int, tuple[Callable[[], bytes], ...]] = {
            OpCode.CREATE: (path, self.data, self.acl, version),
            OpCode.CREATE2: (path, self.data, self.acl, version),
            OpCode.CREATE_CONTAINER: (path, self.data, self.acl, version),
            OpCode.CREATE_TTL: (path, self.data, self.acl, version, self.int64),
            OpCode.DELETE: (path, version),
            OpCode.CHECK: (path, version),
            OpCode.SET_DATA: (path, self.data, version),
            OpCode.SET_ACL: (path, self.acl, version),
            OpCode.GET_ACL: (path,),
            OpCode.SYNC: (path,),
            OpCode.GET_EPHEMERALS: (path,),
            OpCode.GET_ALL_CHILDREN_NUMBER: (path,),
            OpCode.EXISTS: (path, self.flag),
            OpCode.GET_DATA: (path, self.flag),
            OpCode.GET_CHILDREN: (path, self.flag),
            OpCode.GET_CHILDREN2: (path, self.flag),
            OpCode.CHECK_WATCHES: (path, version),
            OpCode.REMOVE_WATCHES: (path, version),
            OpCode.ADD_WATCH: (path, version),
            OpCode.AUTH: (version, lambda: jute.string(str(self._one(SCHEMES))), self.data),
            OpCode.SET_WATCHES: (self.int64, *[lambda: jute.vector([path()] * 2)] * 3),
            OpCode.SET_WATCHES2: (self.int64, *[lambda: jute.vector([path()] * 2)] * 5),
            OpCode.MULTI: (lambda: self._steps(_WRITES),),
            OpCode.MULTI_READ: (lambda: self._steps((OpCode.GET_DATA, OpCode.GET_CHILDREN)),),
        }
        return known.get(opcode, ())


_WRITES = (
    *(OpCode.CREATE, OpCode.CREATE2, OpCode.CREATE_TTL, OpCode.CREATE_CONTAINER),
    *(OpCode.DELETE, OpCode.SET_DATA, OpCode.CHECK),
)
_TYPES = tuple(one for one in OpCode if one not in (OpCode.CLOSE_SESSION, OpCode.ERROR))


def same(ensemble: Ensemble) -> None:
    """Every coordinator has applied the same, and lives."""
    ensemble.run(2_000)
    ensemble.leader()
    ensemble.run(500)
    trees = [dict(node.server._context.core.tree.znodes) for node in ensemble.nodes.values()]
    assert trees[0] == trees[1] == trees[2]
    assert all(
        node.process is not None and node.process.status is None for node in ensemble.nodes.values()
    )


@pytest.fixture
def ensemble() -> Ensemble:
    made = Ensemble(
        listening=True,
        coordinator=CoordinatorConfig(data_bytes_max=2_048, session_timeout_max_ms=10_000_000),
    )
    made.leader()
    return made


@pytest.mark.parametrize("seed", range(3))
def test_wild_requests_are_answered_in_order(ensemble: Ensemble, seed: int) -> None:
    random = Random(f"wild-{seed}")
    wild = Wild(random)
    for _ in range(8):
        one = ZooKeeperClient(ensemble, random.choice(list(ensemble.nodes)))
        one.hello(timeout_ms=random.choice((4_000, 2**31 - 1, 0, -1)))
        if not one.opened().timeout_ms:
            continue
        for path in ("/a", "/a/b", "/c"):
            one.send(0, OpCode.CREATE, *create(path))
        one.answers()
        sent = []
        for xid in range(1, REQUESTS + 1):
            opcode = random.choice(_TYPES)
            one.send(xid, opcode, wild.record(opcode))
            sent.append((xid, opcode))
        answers = [each.xid for each in one.answers() if each.xid not in (-1, -2)]
        expected = [xid for xid, opcode in sent if opcode != OpCode.PING]
        assert answers == expected[: len(answers)]
        assert one.is_closed or answers == expected
    same(ensemble)


def test_requests_with_faults_are_answered_or_end_their_connection(ensemble: Ensemble) -> None:
    random = Random("mutated")
    wild = Wild(random)
    good = ZooKeeperClient(ensemble, ensemble.leader())
    good.hello(timeout_ms=10_000_000)
    good.opened()
    for number in range(CLIENTS):
        one = ZooKeeperClient(ensemble, random.choice(list(ensemble.nodes)))
        if number % 4 == 0:
            hello = jute.framed(jute.int32(0), bytes(20), jute.buffer(bytes(16)), b"\0")
            for piece in pieces(mutated(hello, random), random):
                one.write(piece)
        else:
            one.connect()
            for _ in range(5):
                opcode = random.choice(_TYPES)
                frame = jute.framed(jute.int32(7), jute.int32(opcode), wild.record(opcode))
                for piece in pieces(mutated(frame, random), random):
                    one.write(piece)
        one.take()
        one.end()
        assert good.ask(OpCode.EXISTS, jute.string("/"), b"\0").error == 0
    listener = good.process.server._listener
    assert listener is not None
    same(ensemble)
