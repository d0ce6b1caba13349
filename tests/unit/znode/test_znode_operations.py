"""Operations on the tree: results, errors, Stat, and that a refused one changes nothing."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from nodes.core.znode.core import ZnodeCore
from nodes.core.znode.watch import TreeChange
from transport.gateway.zookeeper.answers import encode_stat
from transport.wire.errors import ErrorCode
from transport.wire.ids import RequestId, SessionId, Zxid
from transport.wire.messages.coordination import (
    EPHEMERAL,
    EPHEMERAL_SEQUENTIAL,
    NODE_CREATED,
    NODE_DATA_CHANGED,
    NODE_DELETED,
    PERSISTENT_SEQUENTIAL,
    Acl,
    Check,
    Create,
    Delete,
    Exists,
    GetChildren,
    GetData,
    Multi,
    OpenedSession,
    ProposedWrite,
    Refused,
    Result,
    SessionOperation,
    SetAcl,
    SetData,
    Stat,
    Sync,
)

E = ErrorCode
ONE = SessionId(1)
ALL = (Acl(31, "world", "anyone"),)


class Machine:
    """A core with one session whose writes are numbered by themselves."""

    def __init__(self) -> None:
        self.core = ZnodeCore()
        self.changes: list[TreeChange] = []
        self._next = 1
        self.core.apply(
            ProposedWrite(ONE, 5, open=OpenedSession(1000, b"secret", None, b"nonce-1"))
        )

    def write(self, operation: Any, wall_ms: int = 100) -> Result:
        item = SessionOperation(RequestId(self._next), operation)
        self._next += 1
        applied = self.core.apply(ProposedWrite(ONE, wall_ms, operations=(item,)))
        self.core.check()
        self.changes = applied.changes
        return applied.results[0][1]

    def errors(self, *operations: Any) -> list[int]:
        return [self.write(operation).error for operation in operations]

    def stat(self, path: str) -> Stat:
        stat = self.core.read(Exists(path)).stat
        assert stat is not None
        return stat


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_create_then_read(machine: Machine) -> None:
    result = machine.write(Create("/a", b"x"), wall_ms=77)
    assert result == Result(0, Zxid(2), "/a", None, machine.stat("/a"))
    assert machine.changes == [TreeChange(NODE_CREATED, "/a", Zxid(2))]
    read = machine.core.read(GetData("/a"))
    assert read.data == b"x"
    assert read.stat == Stat(
        czxid=Zxid(2),
        mzxid=Zxid(2),
        ctime=77,
        mtime=77,
        version=0,
        cversion=0,
        aversion=0,
        ephemeral_owner=SessionId(0),
        data_length=1,
        children_count=0,
        pzxid=Zxid(2),
    )


def test_stat_follows_data_and_children(machine: Machine) -> None:
    machine.write(Create("/a", b""), wall_ms=10)  # zxid 2
    machine.write(SetData("/a", b"four"), wall_ms=20)  # zxid 3
    machine.write(Create("/a/b"), wall_ms=30)  # zxid 4
    machine.write(Create("/a/c"), wall_ms=40)  # zxid 5
    machine.write(Delete("/a/b"), wall_ms=50)  # zxid 6
    stat = machine.stat("/a")
    assert (stat.czxid, stat.mzxid, stat.pzxid) == (2, 3, 6)
    assert (stat.ctime, stat.mtime) == (10, 20)
    assert (stat.version, stat.cversion) == (1, 3)
    assert (stat.data_length, stat.children_count) == (4, 1)


def test_set_answers_the_new_stat(machine: Machine) -> None:
    machine.write(Create("/a", b""))
    result = machine.write(SetData("/a", b"xy", 0))
    assert result.stat == machine.stat("/a")
    assert machine.changes == [TreeChange(NODE_DATA_CHANGED, "/a", Zxid(3))]


def test_acl_is_stored(machine: Machine) -> None:
    acl = (Acl(31, "world", "anyone"), Acl(1, "ip", "10.0.0.0/8"))
    machine.write(Create("/a", b"", 0, acl))
    machine.write(SetData("/a", b"x"))
    machine.write(Create("/a/b"))
    znode = machine.core.tree.get("/a")
    assert znode is not None
    assert znode.acl == acl


@pytest.mark.parametrize(
    ("operation", "error"),
    [
        (Create("a"), E.BAD_ARGUMENTS),
        (Create("/a/"), E.BAD_ARGUMENTS),
        (Create("/x//y"), E.BAD_ARGUMENTS),
        (Create(""), E.BAD_ARGUMENTS),
        (Create("/new", b"", 99), E.BAD_ARGUMENTS),
        (Create("/"), E.NODE_EXISTS),
        (Create("/here"), E.NODE_EXISTS),
        (Create("/missing/child"), E.NO_NODE),
        (Create("/ephemeral/child"), E.NO_CHILDREN_FOR_EPHEMERALS),
        (Create("/ephemeral/", b"", PERSISTENT_SEQUENTIAL), E.NO_CHILDREN_FOR_EPHEMERALS),
        (Create("here/", b"", PERSISTENT_SEQUENTIAL), E.BAD_ARGUMENTS),
        (Delete("/"), E.BAD_ARGUMENTS),
        (Delete("here"), E.BAD_ARGUMENTS),
        (Delete("/missing"), E.NO_NODE),
        (Delete("/here/child", 5), E.BAD_VERSION),
        (Delete("/here"), E.NOT_EMPTY),
        (Delete("/here", 9), E.BAD_VERSION),
        (SetData("/missing", b""), E.NO_NODE),
        (SetData("/missing/", b""), E.BAD_ARGUMENTS),
        (SetData("/here", b"", 3), E.BAD_VERSION),
        (Check("/missing"), E.NO_NODE),
        (Check("/here", 3), E.BAD_VERSION),
        (Check("nowhere"), E.BAD_ARGUMENTS),
        (Refused(E.BAD_ARGUMENTS), E.BAD_ARGUMENTS),
        (Multi((Create("/fresh"), Delete("/missing"))), E.NO_NODE),
    ],
)
def test_refused_writes_change_nothing_but_the_zxid(
    machine: Machine, operation: Any, error: ErrorCode
) -> None:
    machine.write(Create("/here"))
    machine.write(Create("/here/child"))
    machine.write(Create("/ephemeral", b"", EPHEMERAL))
    before, zxid = dict(machine.core.tree.znodes), machine.core.zxid
    result = machine.write(operation)
    assert (result.error, result.zxid) == (error, zxid + 1)
    assert machine.core.tree.znodes == before
    assert machine.changes == []
    assert machine.core.zxid == zxid + 1


def test_versions_compare_and_set(machine: Machine) -> None:
    machine.write(Create("/a"))
    assert machine.errors(
        SetData("/a", b"1", 0),
        SetData("/a", b"2", 0),
        SetData("/a", b"3", 1),
        SetData("/a", b"4", -1),
        Check("/a", 3),
        Delete("/a", 2),
        Delete("/a", 3),
    ) == [0, E.BAD_VERSION, 0, 0, 0, E.BAD_VERSION, 0]
    assert machine.changes == [TreeChange(NODE_DELETED, "/a", Zxid(9))]


def test_sequence_counts_creates_not_deletes(machine: Machine) -> None:
    machine.write(Create("/q"))
    paths = [machine.write(Create("/q/i-", b"", PERSISTENT_SEQUENTIAL)).path for _ in range(2)]
    machine.write(Create("/q/plain"))
    machine.write(Delete("/q/i-0000000001"))
    paths.append(machine.write(Create("/q/", b"", EPHEMERAL_SEQUENTIAL)).path)
    assert paths == ["/q/i-0000000000", "/q/i-0000000001", "/q/0000000003"]


def test_sequential_on_a_taken_name(machine: Machine) -> None:
    machine.write(Create("/q"))
    machine.write(Create("/q/i-0000000001"))
    assert machine.write(Create("/q/i-", b"", PERSISTENT_SEQUENTIAL)).error == E.NODE_EXISTS


def test_sequential_at_the_root(machine: Machine) -> None:
    assert machine.write(Create("/s", b"", PERSISTENT_SEQUENTIAL)).path == "/s0000000000"


def test_multi_is_one_write(machine: Machine) -> None:
    result = machine.write(
        Multi(
            (
                Create("/m"),
                Create("/m/a", b"1"),
                SetData("/m/a", b"2", 0),
                Check("/m/a", 1),
                Create("/m/s-", b"", PERSISTENT_SEQUENTIAL),
                Delete("/m/a", 1),
            )
        )
    )
    assert result.error == 0
    assert result.zxid == machine.core.zxid == 2
    assert {step.zxid for step in result.results} == {2}
    assert [step.path for step in result.results] == ["/m", "/m/a", "", "", "/m/s-0000000001", ""]
    assert machine.changes == [
        TreeChange(NODE_CREATED, "/m", Zxid(2)),
        TreeChange(NODE_CREATED, "/m/a", Zxid(2)),
        TreeChange(NODE_DATA_CHANGED, "/m/a", Zxid(2)),
        TreeChange(NODE_CREATED, "/m/s-0000000001", Zxid(2)),
        TreeChange(NODE_DELETED, "/m/a", Zxid(2)),
    ]
    assert machine.core.read(GetChildren("/m")).children == ("s-0000000001",)


def test_failed_multi_names_the_step_and_undoes_the_others(machine: Machine) -> None:
    machine.write(Create("/keep", b"old"))
    machine.write(Create("/e", b"", EPHEMERAL))
    before = dict(machine.core.tree.znodes)
    result = machine.write(
        Multi(
            (
                Create("/new"),
                Create("/new/e", b"", EPHEMERAL),
                SetData("/keep", b"new"),
                Delete("/e"),
                Check("/keep", 7),
                Delete("/keep"),
                Create("/more"),
            )
        )
    )
    assert result.error == E.BAD_VERSION
    assert [step.error for step in result.results] == [
        *[0] * 4,
        E.BAD_VERSION,
        *[E.RUNTIME_INCONSISTENCY] * 2,
    ]
    assert machine.core.tree.znodes == before
    assert machine.core.tree.ephemerals(ONE) == ["/e"]
    assert machine.changes == []


def test_empty_multi(machine: Machine) -> None:
    assert machine.write(Multi(())) == Result(0, Zxid(2))


def test_reads(machine: Machine) -> None:
    machine.write(Create("/a"))
    for name in ("z", "b", "m"):
        machine.write(Create(f"/a/{name}"))
    read = machine.core.read
    children = read(GetChildren("/a"))
    assert children.children == ("b", "m", "z")
    assert children.stat is not None
    assert children.stat.children_count == 3
    assert children.zxid == machine.core.zxid
    assert read(Sync("/a")) == Result(0, machine.core.zxid, "/a")


@pytest.mark.parametrize("question", [GetData, Exists, GetChildren])
def test_reads_of_what_is_not_there(machine: Machine, question: Any) -> None:
    assert machine.core.read(question("/missing")).error == E.NO_NODE
    assert machine.core.read(question("missing")).error == E.BAD_ARGUMENTS
    assert machine.core.read(question("/missing/")).error == E.BAD_ARGUMENTS


def test_sync_of_a_bad_path(machine: Machine) -> None:
    assert machine.core.read(Sync("nowhere")).error == E.BAD_ARGUMENTS


def test_versions_stay_within_the_32_bits_that_clients_have_for_them(machine: Machine) -> None:
    """A counter, or a queue's parent, comes there in some days of thousands of changes a second."""
    machine.write(Create("/a"))
    most = 2**31 - 1
    znode = replace(machine.core.tree.znodes["/a"], version=most, cversion=most, aversion=most)
    machine.core.tree.replace("/a", znode)
    assert (
        machine.errors(SetData("/a", b"", most), Create("/a/b"), SetAcl("/a", ALL, most)) == [0] * 3
    )
    stat = machine.stat("/a")
    assert (stat.version, stat.cversion, stat.aversion) == (-most - 1,) * 3
    assert len(encode_stat(stat)) == 68
    assert machine.errors(SetData("/a", b"", -most - 1)) == [0]


def test_no_version_is_the_number_that_stands_for_any(machine: Machine) -> None:
    machine.write(Create("/a"))
    machine.core.tree.replace("/a", replace(machine.core.tree.znodes["/a"], version=-2))
    assert machine.errors(SetData("/a", b"", -2)) == [0]
    assert machine.stat("/a").version == 0
