"""Containers and znodes with a TTL: how they are told, when they go, and who decides it."""

from __future__ import annotations

import pytest

from nodes.core.znode.modes import CONTAINER_OWNER, TTL_MS_MAX, mode_of, owner_of, ttl_ms_of
from tests.unit.znode.machine import ONE, Machine
from transport.wire.errors import ErrorCode
from transport.wire.ids import SessionId
from transport.wire.messages.coordination import (
    CONTAINER,
    EPHEMERAL,
    NODE_DELETED,
    PERSISTENT_SEQUENTIAL_WITH_TTL,
    PERSISTENT_WITH_TTL,
    Create,
    Delete,
    Exists,
    Multi,
    ProposedWrite,
    SetData,
)

E = ErrorCode
NOBODY = SessionId(0)


def sweep(machine: Machine, *paths: str, wall_ms: int = 100) -> list[tuple[int, str]]:
    machine.apply(ProposedWrite(NOBODY, wall_ms, sweep=paths))
    return machine.changes()


def test_owners_are_zookeepers() -> None:
    for ttl_ms in (1, 5_000, TTL_MS_MAX):
        mode = mode_of(PERSISTENT_WITH_TTL, ttl_ms)
        assert mode is not None
        owner = owner_of(mode, ONE, ttl_ms)
        assert owner & 0xFFFFFFFFFFFFFFFF == 0xFF << 56 | ttl_ms
        assert ttl_ms_of(owner) == ttl_ms
    assert CONTAINER_OWNER & 0xFFFFFFFFFFFFFFFF == 0x8000000000000000
    for other in (CONTAINER_OWNER, NOBODY, ONE):
        assert ttl_ms_of(other) is None


@pytest.mark.parametrize(
    ("mode", "ttl_ms"),
    [
        (PERSISTENT_WITH_TTL, 0),
        (PERSISTENT_WITH_TTL, -1),
        (PERSISTENT_SEQUENTIAL_WITH_TTL, TTL_MS_MAX + 1),
        (EPHEMERAL, 5),
        (CONTAINER, 5),
        (7, 0),
        (-1, 0),
    ],
)
def test_modes_and_ttls_that_do_not_fit(mode: int, ttl_ms: int) -> None:
    machine = Machine()
    assert machine.write(Create("/a", b"", mode, (), ttl_ms)).error == E.BAD_ARGUMENTS
    assert machine.changes() == []


def test_a_container_goes_when_its_last_child_has_gone_and_not_before_the_first() -> None:
    machine = Machine()
    assert machine.errors(Create("/c", b"", CONTAINER)) == [0]
    assert machine.stat("/c").ephemeral_owner == CONTAINER_OWNER
    assert machine.core.due(10**15) == []
    assert machine.errors(Create("/c/x")) == [0]
    assert machine.core.due(10**15) == []
    assert sweep(machine, "/c") == []
    assert machine.errors(Delete("/c/x")) == [0]
    assert machine.core.due(100) == ["/c"]
    assert sweep(machine, "/c", "/c") == [(NODE_DELETED, "/c")]
    assert machine.core.due(100) == []


def test_a_container_is_an_ordinary_parent() -> None:
    machine = Machine()
    errors = machine.errors(
        Create("/c", b"", CONTAINER),
        Create("/c/e", b"", EPHEMERAL),
        SetData("/c", b"x"),
        Delete("/c"),
        Delete("/c/e"),
        Delete("/c"),
    )
    assert errors == [0, 0, 0, E.NOT_EMPTY, 0, 0]


def test_a_ttl_counts_from_the_last_set_and_only_for_the_childless() -> None:
    machine = Machine()
    machine.write(Create("/t", b"", PERSISTENT_WITH_TTL, (), 50), wall_ms=100)
    assert machine.core.due(150) == []
    assert machine.core.due(151) == ["/t"]
    machine.write(SetData("/t", b""), wall_ms=140)
    assert sweep(machine, "/t", wall_ms=190) == []
    machine.write(Create("/t/x"), wall_ms=150)
    assert sweep(machine, "/t", wall_ms=1_000) == []
    machine.write(Delete("/t/x"), wall_ms=2_000)
    assert sweep(machine, "/t", wall_ms=2_000) == [(NODE_DELETED, "/t")]


def test_a_sequential_znode_with_a_ttl() -> None:
    machine = Machine()
    made = machine.write(Create("/s-", b"", PERSISTENT_SEQUENTIAL_WITH_TTL, (), 50))
    assert (made.error, made.path) == (0, "/s-0000000000")
    assert machine.core.due(151) == ["/s-0000000000"]


def test_what_comes_too_late_changes_nothing() -> None:
    """The leader's word is only an offer: a lasting znode made since, or a child, stands."""
    machine = Machine()
    machine.errors(Create("/p"), Create("/e", b"", EPHEMERAL))
    zxid = machine.core.zxid
    assert sweep(machine, "/p", "/e", "/gone", "/", "nonsense", wall_ms=10**15) == []
    assert machine.core.zxid == zxid


def test_each_deletion_has_its_own_zxid() -> None:
    machine = Machine()
    machine.errors(*[Create(f"/{n}", b"", PERSISTENT_WITH_TTL, (), 1) for n in range(3)])
    zxid = machine.core.zxid
    sweep(machine, "/0", "/1", "/2", wall_ms=1_000)
    assert [change.zxid for change in machine.last.changes] == [zxid + 1, zxid + 2, zxid + 3]


def test_a_rolled_back_multi_leaves_no_passing_znode_behind() -> None:
    machine = Machine()
    steps = (Create("/c", b"", CONTAINER), Create("/c/x"), Delete("/c/x"), Delete("/gone"))
    assert machine.write(Multi(steps)).error == E.NO_NODE
    assert machine.core.due(10**15) == []


def test_a_snapshot_keeps_them() -> None:
    machine = Machine()
    machine.errors(Create("/c", b"", CONTAINER), Create("/c/x"), Delete("/c/x"))
    machine.errors(Create("/t", b"", PERSISTENT_WITH_TTL, (), 50))
    other = machine.restarted()
    assert other.due(151) == ["/c", "/t"]
    other.apply(ProposedWrite(NOBODY, 151, sweep=("/c", "/t")))
    other.check()
    assert [other.read(Exists(path)).error for path in ("/c", "/t")] == [E.NO_NODE] * 2
