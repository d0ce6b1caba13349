"""The checkers themselves: each accepts what is right, and fails on what is wrong."""

import pytest

from tests.simulation.checkers.linearizable import UNKNOWN, Operation, is_linearizable, znode_step
from tests.simulation.checkers.log_history import LogHistory

HERE = ("topic", 0)


def test_a_sequence_of_sets_and_reads_is_linearizable() -> None:
    history = [
        Operation(0, 10, ("set", "a", -1), 1),
        Operation(20, 30, ("get",), (1, "a")),
        Operation(25, 60, ("set", "b", 1), 2),
        Operation(40, 50, ("get",), (2, "b")),
    ]
    assert is_linearizable(history, (0, ""), znode_step)


def test_a_stale_read_is_not_linearizable() -> None:
    history = [
        Operation(0, 10, ("set", "a", -1), 1),
        Operation(20, 30, ("get",), (0, "")),
    ]
    assert not is_linearizable(history, (0, ""), znode_step)


def test_a_write_applied_twice_is_not_linearizable() -> None:
    history = [
        Operation(0, 10, ("set", "a", 0), 1),
        Operation(20, 30, ("get",), (2, "a")),
    ]
    assert not is_linearizable(history, (0, ""), znode_step)


@pytest.mark.parametrize("seen", [(0, ""), (1, "a")])
def test_an_unanswered_write_may_have_happened_or_not(seen: tuple[int, str]) -> None:
    history = [
        Operation(0, None, ("set", "a", -1), UNKNOWN),
        Operation(20, 30, ("get",), seen),
    ]
    assert is_linearizable(history, (0, ""), znode_step)


def good_history() -> LogHistory:
    history = LogHistory()
    for offset, value in enumerate([b"a", b"b", b"c"]):
        history.note_sent(HERE, value)
        history.note_acked(HERE, offset, value)
        history.note_read("reader", HERE, offset, value)
    return history


def test_a_good_history_passes() -> None:
    history = good_history()
    history.check()
    history.check_nothing_lost("reader")


def test_a_lost_record_is_seen() -> None:
    history = good_history()
    history.note_acked(HERE, 3, b"d")
    with pytest.raises(AssertionError, match="G1"):
        history.check_nothing_lost("reader")


def test_two_values_at_one_offset_are_seen() -> None:
    history = good_history()
    history.note_read("other", HERE, 1, b"x")
    with pytest.raises(AssertionError, match="G2"):
        history.check()


def test_a_reader_that_goes_back_is_seen() -> None:
    history = good_history()
    history.note_read("reader", HERE, 0, b"a")
    with pytest.raises(AssertionError, match="G2"):
        history.check()


def test_a_skipped_record_is_seen() -> None:
    history = good_history()
    history.note_read("other", HERE, 0, b"a")
    history.note_read("other", HERE, 2, b"c")
    with pytest.raises(AssertionError, match="passed over"):
        history.check()


def test_a_duplicate_is_seen() -> None:
    history = good_history()
    history.note_read("reader", HERE, 3, b"b")
    with pytest.raises(AssertionError, match="G3"):
        history.check()


def test_records_out_of_order_are_seen() -> None:
    history = good_history()
    history.sent[(HERE, "")].reverse()
    with pytest.raises(AssertionError, match="out of order"):
        history.check()
