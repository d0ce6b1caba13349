"""Reads of more than one znode: a session's ephemerals, and how many there are below a path."""

from __future__ import annotations

from nodes.core.znode.reads import Reader
from tests.unit.znode.machine import ONE, TWO, Machine
from transport.wire.errors import ErrorCode
from transport.wire.messages.coordination import (
    EPHEMERAL,
    CountChildren,
    Create,
    Delete,
    GetEphemerals,
)

E = ErrorCode


def grown() -> Machine:
    machine = Machine()
    machine.errors(Create("/a"), Create("/a/b"), Create("/a/b/c"), Create("/ab"))
    for path in ("/a/e2", "/a/e1", "/ab/e", "/e"):
        machine.write(Create(path, b"", EPHEMERAL))
    machine.write(Create("/a/other", b"", EPHEMERAL), session_id=TWO)
    return machine


def test_ephemerals_of_the_session_that_asks() -> None:
    machine = grown()

    def ask(prefix: str, session_id: int = ONE) -> tuple[str, ...]:
        reader = Reader(ONE if session_id == ONE else TWO)
        return machine.core.read(GetEphemerals(prefix), reader).children

    assert ask("/") == ("/a/e1", "/a/e2", "/ab/e", "/e")
    assert ask("/a") == ("/a/e1", "/a/e2", "/ab/e")
    assert ask("/a/") == ("/a/e1", "/a/e2")
    assert ask("/", TWO) == ("/a/other",)
    assert ask("/gone") == ()
    assert machine.core.read(GetEphemerals("/")).children == ()
    assert machine.core.read(GetEphemerals("a")).error == E.BAD_ARGUMENTS
    few = machine.core.read(GetEphemerals("/gone"), Reader(ONE))
    assert few.count == 4, "what was looked at counts, not what is told"


def test_all_descendants_are_counted() -> None:
    machine = grown()

    def count(path: str) -> int:
        return machine.core.read(CountChildren(path)).count

    assert (count("/a"), count("/a/b"), count("/a/b/c"), count("/ab")) == (5, 1, 0, 1)
    whole = count("/")
    machine.errors(Delete("/a/b/c"))
    assert count("/") == whole - 1 == len(machine.core.tree) - 1
    assert machine.core.read(CountChildren("/gone")).error == E.NO_NODE
    assert machine.core.read(CountChildren("gone")).error == E.BAD_ARGUMENTS
