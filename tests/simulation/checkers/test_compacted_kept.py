"""S33: what may be missing of a compacted log, and what may not."""

from __future__ import annotations

import pytest

from tests.simulation.checkers.compacted_kept import KeyedRecord, check_compacted
from tests.simulation.checkers.violation import Violation

HERE = ("table", 0)
OLD, NEW, GONE = (
    KeyedRecord(1, b"k", b"old"),
    KeyedRecord(4, b"k", b"new"),
    KeyedRecord(7, b"k", None),
)
OTHER = KeyedRecord(5, b"other", b"1")


@pytest.mark.parametrize("log", [[OLD, NEW, OTHER], [NEW, OTHER]])
def test_the_newest_record_of_each_key_is_enough(log: list[KeyedRecord]) -> None:
    check_compacted(HERE, [OLD, NEW, OTHER], {"broker-1": log})


@pytest.mark.parametrize(
    "log", [[OLD, OTHER], [NEW], [OTHER, NEW], [OLD._replace(value=b"x"), NEW]]
)
def test_what_is_missing_out_of_order_or_another_record_is_seen(log: list[KeyedRecord]) -> None:
    with pytest.raises(Violation, match="S33"):
        check_compacted(HERE, [OLD, NEW, OTHER], {"broker-1": log})


def test_a_key_that_was_deleted_is_not_to_be_there_again() -> None:
    acked = [OLD, NEW, GONE]
    check_compacted(HERE, acked, {"broker-1": [NEW, GONE], "broker-2": []})
    with pytest.raises(Violation, match="S33"):
        check_compacted(HERE, acked, {"broker-1": [], "broker-2": [NEW]})


def test_who_was_away_while_a_tombstone_went_may_keep_what_it_had_and_nothing_else() -> None:
    check_compacted(HERE, [NEW, GONE], {"broker-2": [NEW]}, away={"broker-2"})
    with pytest.raises(Violation, match="S33"):
        check_compacted(HERE, [OLD, NEW], {"broker-2": [OLD]}, away={"broker-2"})
