"""Snapshots of the znode tree: written in slices, of one moment, and read back as they were."""

from __future__ import annotations

import pytest

from nodes.core.znode import snapshot
from nodes.core.znode.core import ZnodeCore
from transport.wire.ids import RequestId, SessionId, Zxid
from transport.wire.messages.coordination import (
    Create,
    OpenedSession,
    ProposedWrite,
    SessionOperation,
    SetData,
)

SESSION = SessionId(7)


def tree_of(count: int, data: bytes = b"x") -> ZnodeCore:
    core = ZnodeCore()
    core.apply(ProposedWrite(SESSION, 1, open=OpenedSession(1000, b"p" * 16, None, b"n")))
    for number in range(1, count + 1):
        write = SessionOperation(RequestId(number), Create(f"/n{number}", data))
        core.apply(ProposedWrite(SESSION, 1, RequestId(number), (write,)))
    return core


@pytest.mark.parametrize("count", [0, 1, 999, 1000, 1001, 2500])
def test_slices_make_up_the_whole(count: int) -> None:
    core = tree_of(count)
    encoding = core.begin_snapshot()
    slices = 1
    while encoding.step():
        slices += 1
    assert slices == len(core.tree.znodes) // snapshot.SLICE_ZNODES + 1
    data = encoding.finish()
    other = ZnodeCore()
    other.restore(data)
    other.check()
    assert other.tree.znodes == core.tree.znodes
    assert other.zxid == core.zxid
    assert other.to_snapshot() == data


def test_large_znodes_make_small_slices() -> None:
    core = tree_of(4, bytes(600_000))
    encoding = core.begin_snapshot()
    slices = 1
    while encoding.step():
        slices += 1
    assert slices >= 3


def test_what_changes_between_slices_is_not_in_the_snapshot() -> None:
    core = tree_of(1500)
    before = core.to_snapshot()
    encoding = core.begin_snapshot()
    assert encoding.step()
    late = SessionOperation(RequestId(1501), SetData("/n1400", b"late"))
    core.apply(ProposedWrite(SESSION, 1, RequestId(1501), (late,)))
    assert encoding.finish() == before
    assert core.zxid == Zxid(snapshot.from_bytes(before).zxid + 1)
