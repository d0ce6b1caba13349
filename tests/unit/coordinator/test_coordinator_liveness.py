"""The leader's judgement of sessions, by plain values; and what of a request is admitted."""

from __future__ import annotations

import pytest

from nodes.coordinator.admission import RUN_BYTES_MAX, Admitted, admit
from nodes.coordinator.liveness import EXPIRY_REPEAT_MS, SessionLiveness
from transport.wire.errors import ErrorCode
from transport.wire.ids import RequestId, SessionId
from transport.wire.messages.coordination import (
    Acl,
    Create,
    GetData,
    Multi,
    Operation,
    Refused,
    SessionOperation,
    SetData,
    Sync,
)

A, B = SessionId(1), SessionId(2)


def leading(
    *sessions: tuple[SessionId, int], beating: tuple[SessionId, ...] = ()
) -> SessionLiveness:
    liveness = SessionLiveness()
    liveness.begin(sessions, beating, 0)
    liveness.check()
    return liveness


def test_silence_for_the_timeout_is_death() -> None:
    liveness = leading((A, 100), (B, 300))
    assert liveness.next_deadline_ms() == 100
    assert liveness.take_dead(99) == []
    liveness.spoke(A, 50)
    assert liveness.take_dead(149) == []
    assert liveness.take_dead(150) == [A]
    liveness.ended(A)
    assert liveness.take_dead(300) == [B]
    liveness.check()


def test_a_beating_session_needs_both() -> None:
    liveness = leading((A, 100))
    liveness.beat(A, 10)
    liveness.spoke(A, 90)
    assert liveness.take_dead(109) == []
    assert liveness.take_dead(110) == [A]


def test_a_session_never_heard_to_beat_needs_no_beats() -> None:
    liveness = leading((A, 100), (B, 100), beating=(B,))
    for now_ms in range(0, 1000, 50):
        liveness.spoke(A, now_ms)
        liveness.spoke(B, now_ms)
    assert liveness.take_dead(1000) == [B]


def test_a_judgement_that_was_lost_is_made_again() -> None:
    liveness = leading((A, 100))
    assert liveness.take_dead(100) == [A]
    assert liveness.take_dead(100 + EXPIRY_REPEAT_MS - 1) == []
    assert liveness.take_dead(100 + EXPIRY_REPEAT_MS) == [A]


def test_a_gap_delays_every_judgement() -> None:
    liveness = leading((A, 100), (B, 100), beating=(B,))
    liveness.delay(1000)
    assert liveness.take_dead(1099) == []
    assert liveness.take_dead(1100) == [A, B]


def test_opened_and_ended_again() -> None:
    liveness = leading()
    liveness.opened(A, 100, 5)
    liveness.opened(A, 100, 50)
    liveness.check()
    liveness.ended(A)
    liveness.check()
    assert liveness.take_dead(1000) == []
    liveness.end()
    assert liveness.next_deadline_ms() is None


def test_a_session_that_is_opened_anew_is_judged_once() -> None:
    liveness = leading()
    liveness.opened(A, 100, 0)
    liveness.ended(A)
    liveness.opened(A, 100, 20)  # the same opening, offered twice
    liveness.check()
    assert liveness.take_dead(119) == []
    assert liveness.take_dead(120) == [A]
    assert liveness.take_dead(120 + EXPIRY_REPEAT_MS) == [A]
    liveness.ended(A)
    assert liveness.take_dead(9999) == []
    assert liveness.next_deadline_ms() is None


# Admission


def numbered(*operations: Operation) -> tuple[SessionOperation, ...]:
    items, number = [], 1
    for operation in operations:
        reads = isinstance(operation, GetData | Sync)
        items.append(SessionOperation(RequestId(0 if reads else number), operation))
        number += not reads
    return tuple(items)


def admitted(*operations: Operation, data_bytes_max: int = 2_000_000) -> Admitted:
    result = admit(numbered(*operations), data_bytes_max)
    assert isinstance(result, Admitted)
    return result


def test_writes_alone_are_one_run() -> None:
    items = numbered(Create("/a"), Create("/b"))
    assert admit(items, 1000) == Admitted(items, (items,), 0)


def test_reads_and_syncs_part_runs() -> None:
    a, b, c = Create("/a"), Create("/b"), Create("/c")
    result = admitted(a, GetData("/"), b, Sync(), c)
    items = result.operations
    assert result.runs == [(items[0],), (items[2],), None, (items[4],)]
    assert result.syncs == 1


def test_large_writes_are_entries_of_their_own() -> None:
    large = SetData("/a", b"x" * (RUN_BYTES_MAX // 2))
    result = admitted(large, large, large, Create("/b"))
    assert [len(run or ()) for run in result.runs] == [1, 1, 2]


@pytest.mark.parametrize(
    ("operation", "fits"),
    [
        (SetData("/a", b"x" * 1000), True),
        (SetData("/a", b"x" * 1001), False),
        (Create("/a", b"x" * 1001), False),
        (Create("/" + "a" * 2000), False),
        (Create("/a", b"", 0, (Acl(1, "world", "x" * 2000),)), False),
        (Multi((SetData("/a", b"x" * 600), SetData("/b", b"x" * 600))), False),
        (Multi((SetData("/a", b"x" * 500), SetData("/b", b"x" * 500))), True),
    ],
)
def test_oversized_writes_keep_their_number(operation: Operation, fits: bool) -> None:
    result = admitted(operation, Create("/b"), data_bytes_max=1000)
    first = result.operations[0]
    assert first.request_id == 1
    assert (first.operation == operation) is fits
    assert fits or first.operation == Refused(ErrorCode.BAD_ARGUMENTS)
    assert result.operations[1].operation == Create("/b")
