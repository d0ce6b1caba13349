"""Sessions, retried writes, ephemerals, snapshots."""

from __future__ import annotations

from typing import Any

import pytest

from nodes.core.znode.core import Applied, ZnodeCore
from nodes.core.znode.session import RESULTS_KEPT_MAX
from nodes.core.znode.snapshot import BadSnapshot
from nodes.core.znode.watch import TreeChange
from transport.wire.errors import ErrorCode
from transport.wire.ids import Incarnation, NodeName, RequestId, SessionId, Zxid
from transport.wire.messages.coordination import (
    EPHEMERAL,
    NODE_DELETED,
    CloseSession,
    Create,
    GetChildren,
    GetData,
    OpenedSession,
    Owner,
    ProposedWrite,
    Result,
    SessionOperation,
    SetData,
    decode_write,
    encode_write,
)

E = ErrorCode
A, B, C = SessionId(11), SessionId(22), SessionId(33)


@pytest.fixture
def core() -> ZnodeCore:
    return ZnodeCore()


def apply(core: ZnodeCore, write: ProposedWrite) -> Applied:
    applied = core.apply(decode_write(encode_write(write)))
    core.check()
    return applied


def opening(
    core: ZnodeCore, session: SessionId, nonce: bytes, owner: Owner | None = None
) -> Applied:
    opened = OpenedSession(1500, b"secret", owner, nonce)
    return apply(core, ProposedWrite(session, 1, open=opened))


def writes(
    core: ZnodeCore, session: SessionId, *numbered: tuple[int, Any], lowest: int = 0
) -> list[Result]:
    items = tuple(SessionOperation(RequestId(number), what) for number, what in numbered)
    write = ProposedWrite(session, 7, RequestId(lowest), items)
    return [result for _, result in apply(core, write).results]


def owner(name: str, incarnation: int) -> Owner:
    return Owner(NodeName(name), Incarnation(incarnation))


def test_a_repeat_answers_the_first_result_and_is_not_applied(core: ZnodeCore) -> None:
    opening(core, A, b"a")
    first = writes(core, A, (1, Create("/x")), (2, SetData("/x", b"1", 0)))
    assert [result.zxid for result in first] == [2, 3]
    assert writes(core, A, (1, Create("/x")), (2, SetData("/x", b"1", 0))) == first
    assert core.zxid == 3
    again = writes(core, A, (2, SetData("/x", b"1", 0)), (3, SetData("/x", b"2", 1)))
    assert again[0] == first[1]
    assert again[1].error == 0
    assert core.read(GetData("/x")).data == b"2"


def test_a_repeated_failure_stays_a_failure(core: ZnodeCore) -> None:
    opening(core, A, b"a")
    (refused,) = writes(core, A, (1, SetData("/x", b"")))
    writes(core, A, (2, Create("/x")))
    assert writes(core, A, (1, SetData("/x", b""))) == [refused]


def test_a_gap_is_not_applied_and_takes_no_zxid(core: ZnodeCore) -> None:
    opening(core, A, b"a")
    assert [r.error for r in writes(core, A, (2, Create("/x")), (3, Create("/y")))] == [
        E.REQUEST_GAP,
        E.REQUEST_GAP,
    ]
    assert core.zxid == 1
    assert [r.error for r in writes(core, A, (1, Create("/x")), (2, Create("/y")))] == [0, 0]


def test_results_are_dropped_below_the_lowest_unanswered(core: ZnodeCore) -> None:
    opening(core, A, b"a")
    writes(core, A, *[(n, Create(f"/x{n}")) for n in range(1, 6)])
    writes(core, A, (6, Create("/x6")), lowest=4)
    repeated = writes(core, A, (3, Create("/x3")), (4, Create("/x4")), lowest=1)
    assert [result.error for result in repeated] == [E.RESULT_FORGOTTEN, 0]


def test_an_older_word_of_what_was_answered_changes_nothing(core: ZnodeCore) -> None:
    """It was overtaken on its way: what may be kept is judged by the newest."""
    opening(core, A, b"a")
    writes(core, A, *[(n, Create(f"/x{n}")) for n in range(1, 6)], lowest=0)
    writes(core, A, (6, Create("/x6")), lowest=4)
    before = core.to_snapshot()
    writes(core, A, (6, Create("/x6")), lowest=2)
    assert core.to_snapshot() == before


def test_a_client_cannot_confirm_answers_to_what_it_has_yet_to_send(core: ZnodeCore) -> None:
    opening(core, A, b"a")
    writes(core, A, (1, Create("/x1")), lowest=100)
    writes(core, A, (2, Create("/x2")), lowest=1)
    assert [r.error for r in writes(core, A, (1, Create("/x1")), (2, Create("/x2")))] == [0, 0]
    writes(core, A, (3, Create("/x3")), lowest=3)
    assert [r.error for r in writes(core, A, (2, Create("/x2")))] == [E.RESULT_FORGOTTEN]


def test_a_client_that_never_confirms_is_bounded(core: ZnodeCore) -> None:
    opening(core, A, b"a")
    batch = [(n, SetData("/", b"")) for n in range(1, RESULTS_KEPT_MAX + 11)]
    writes(core, A, *batch)
    session = core.sessions.get(A)
    assert session is not None
    assert len(session.results) == RESULTS_KEPT_MAX
    assert writes(core, A, (10, SetData("/", b"")))[0].error == E.RESULT_FORGOTTEN
    assert writes(core, A, (11, SetData("/", b"")))[0].error == 0


def test_sessions_do_not_share_numbers(core: ZnodeCore) -> None:
    opening(core, A, b"a")
    opening(core, B, b"b")
    assert writes(core, A, (1, Create("/x")))[0].error == 0
    assert writes(core, B, (1, Create("/x")))[0].error == E.NODE_EXISTS


def test_a_repeated_opening_finds_its_session(core: ZnodeCore) -> None:
    first = opening(core, A, b"same").opening
    zxid = core.zxid
    again = opening(core, B, b"same").opening
    assert first is not None
    assert again is not None
    assert again.session is first.session
    assert core.sessions.get(B) is None
    assert core.zxid == zxid


def test_a_taken_session_id_is_refused(core: ZnodeCore) -> None:
    opening(core, A, b"a")
    result = opening(core, A, b"other").opening
    assert result is not None
    assert (result.error, result.session) == (E.NODE_EXISTS, None)


def test_closing_removes_ephemerals_in_the_same_entry(core: ZnodeCore) -> None:
    opening(core, A, b"a")
    writes(core, A, (1, Create("/d")), (2, Create("/d/e2", b"", EPHEMERAL)))
    writes(core, A, (3, Create("/d/e1", b"", EPHEMERAL)), (4, Create("/d/p")))
    close = ProposedWrite(A, 9, operations=(SessionOperation(RequestId(5), CloseSession()),))
    applied = apply(core, close)
    assert applied.ended == [A]
    assert applied.changes == [
        TreeChange(NODE_DELETED, "/d/e1", Zxid(6)),
        TreeChange(NODE_DELETED, "/d/e2", Zxid(6)),
    ]
    assert core.read(GetChildren("/d")).children == ("p",)
    znode = core.tree.get("/d")
    assert znode is not None
    assert (znode.cversion, znode.pzxid) == (5, 6)
    assert apply(core, close).results == [(5, Result(0, Zxid(6)))]
    assert writes(core, A, (6, Create("/z")))[0].error == E.SESSION_EXPIRED


def test_operations_behind_a_close_find_no_session(core: ZnodeCore) -> None:
    opening(core, A, b"a")
    results = writes(core, A, (1, Create("/x")), (2, CloseSession()), (3, Create("/y")))
    assert [result.error for result in results] == [0, 0, E.SESSION_EXPIRED]
    assert core.tree.get("/y") is None


def test_expiry_of_several(core: ZnodeCore) -> None:
    for session, nonce in ((A, b"a"), (B, b"b"), (C, b"c")):
        opening(core, session, nonce)
        writes(core, session, (1, Create(f"/e{session}", b"", EPHEMERAL)))
    zxid = core.zxid
    applied = apply(core, ProposedWrite(SessionId(0), 5, expire=(C, A, SessionId(99))))
    assert applied.ended == [C, A]
    assert [(c.path, c.zxid) for c in applied.changes] == [("/e33", zxid + 1), ("/e11", zxid + 2)]
    assert core.read(GetChildren("/")).children == ("e22", "zookeeper")
    assert apply(core, ProposedWrite(SessionId(0), 5, expire=(C, A))).ended == []
    assert core.zxid == zxid + 2


def test_a_later_process_ends_the_sessions_of_earlier_ones(core: ZnodeCore) -> None:
    opening(core, A, b"a", owner("broker-1", 1))
    opening(core, B, b"b", owner("broker-2", 1))
    writes(core, A, (1, Create("/id", b"", EPHEMERAL)))
    applied = opening(core, C, b"c", owner("broker-1", 2))
    assert applied.ended == [A]
    assert [change.path for change in applied.changes] == ["/id"]
    assert core.sessions.get(B) is not None
    late = opening(core, A, b"late", owner("broker-1", 1)).opening
    assert late is not None
    assert late.error == E.SESSION_EXPIRED
    assert core.sessions.get(C) is not None


def test_the_same_process_may_open_another(core: ZnodeCore) -> None:
    opening(core, A, b"a", owner("broker-1", 3))
    assert opening(core, B, b"b", owner("broker-1", 3)).ended == []


def test_a_process_reported_dead(core: ZnodeCore) -> None:
    opening(core, A, b"a", owner("broker-1", 3))
    died = ProposedWrite(SessionId(0), 5, died=owner("broker-1", 2))
    assert apply(core, died).ended == []
    died = ProposedWrite(SessionId(0), 5, died=owner("broker-1", 3))
    assert apply(core, died).ended == [A]
    assert apply(core, died).ended == []


def test_snapshot_carries_everything(core: ZnodeCore) -> None:
    opening(core, A, b"a", owner("broker-1", 1))
    opening(core, B, b"b")
    writes(core, A, (1, Create("/d", b"data")), (2, Create("/d/e", b"", EPHEMERAL)))
    writes(core, B, (1, Create("/d/f", b"", EPHEMERAL)), (2, Create("/no/parent")))
    other = ZnodeCore()
    other.restore(core.to_snapshot())
    other.check()
    assert other.zxid == core.zxid
    assert other.tree.znodes == core.tree.znodes
    assert list(other.sessions) == list(core.sessions)
    for each in (core, other):
        writes(each, B, (2, Create("/no/parent")), (3, Create("/g")))
        opening(each, C, b"c", owner("broker-1", 2))
        apply(each, ProposedWrite(SessionId(0), 5, expire=(B,)))
    assert other.to_snapshot() == core.to_snapshot()
    assert core.read(GetChildren("/d")).children == ()


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x94\x09\x00\x90\x90", b"garbage"])
def test_damaged_snapshots_are_refused(core: ZnodeCore, data: bytes) -> None:
    opening(core, A, b"a")
    with pytest.raises(BadSnapshot):
        core.restore(data)
    assert core.sessions.get(A) is not None
