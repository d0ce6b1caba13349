"""Which coordinator a session tries next, and when."""

from __future__ import annotations

from random import Random

import pytest

from odradek.coordination.coordinators import (
    BACKOFF_MAX_MS,
    SEEK_MAX_MS,
    SEEK_MIN_MS,
    Coordinators,
)
from transport.kernel import Now

NOW = Now(1_000, 0)
TIMEOUT_MS = 30_000


def three() -> Coordinators:
    return Coordinators(["a", "b", "c"], Random(1))


def failed(round_of: Coordinators, times: int) -> int:
    """How long it waits after so many failures."""
    for _ in range(times):
        round_of.next()
        round_of.failed(TIMEOUT_MS, NOW)
    return round_of.try_ms - NOW.mono_ms


def test_each_is_tried_once_in_a_round() -> None:
    round_of = three()
    assert sorted(round_of.next() for _ in range(3)) == ["a", "b", "c"]


def test_only_a_whole_round_in_vain_is_followed_by_a_pause() -> None:
    round_of = three()
    assert failed(round_of, 2) == 0
    assert failed(round_of, 1) > 0
    assert failed(round_of, 1) == 0
    assert failed(round_of, 32) <= BACKOFF_MAX_MS
    assert failed(round_of, 3) >= BACKOFF_MAX_MS // 2
    round_of.served()
    assert failed(round_of, 1) == 0


@pytest.mark.parametrize(("times", "all_failed"), [(0, False), (2, False), (3, True), (7, True)])
def test_it_knows_whether_all_were_tried_in_vain(times: int, *, all_failed: bool) -> None:
    round_of = three()
    failed(round_of, times)
    assert round_of.all_failed is all_failed


def test_patience_grows_with_the_rounds_up_to_a_third_of_the_session() -> None:
    round_of = three()
    assert round_of.patience_ms(100, TIMEOUT_MS) == 100
    failed(round_of, 3)
    assert round_of.patience_ms(100, TIMEOUT_MS) == 200
    failed(round_of, 60)
    assert round_of.patience_ms(100, TIMEOUT_MS) == TIMEOUT_MS // 3
    assert round_of.patience_ms(100, 2) == 1


def test_those_that_are_named_take_the_place_of_those_that_were() -> None:
    round_of = three()
    before = [round_of.next() for _ in range(3)]
    round_of.learn([])
    round_of.learn(["c", "b", "a"])
    assert [round_of.next() for _ in range(3)] == before
    round_of.learn(["d", "e"])
    assert sorted(round_of.next() for _ in range(2)) == ["d", "e"]


def test_a_quorum_is_looked_for_less_and_less_often_until_one_is_found() -> None:
    round_of = three()

    def pause_ms() -> int:
        round_of.settle_for_reads(NOW)
        return round_of.seek_ms - NOW.mono_ms

    assert pause_ms() == SEEK_MIN_MS
    round_of.seek()
    assert pause_ms() == 2 * SEEK_MIN_MS
    for _ in range(10):
        round_of.seek()
    assert pause_ms() == SEEK_MAX_MS
    round_of.found()
    assert pause_ms() == SEEK_MIN_MS
