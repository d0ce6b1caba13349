"""S17 to S21: each log checker accepts a good history, and fails on what it is there for."""

import pytest

from tests.simulation.checkers.acked_kept import check_acked_kept
from tests.simulation.checkers.log_history import LogHistory
from tests.simulation.checkers.no_duplicates import check_no_duplicates
from tests.simulation.checkers.one_order import check_one_order
from tests.simulation.checkers.reader_order import check_reader_order
from tests.simulation.checkers.send_order import check_send_order
from tests.simulation.checkers.violation import Violation

HERE = ("topic", 0)


def good_history() -> LogHistory:
    history = LogHistory()
    for offset, value in enumerate([b"a", b"b", b"c"]):
        history.note_sent(HERE, value)
        history.note_acked(HERE, offset, value)
        history.note_read("reader", HERE, offset, value)
    return history


def test_a_good_history_passes() -> None:
    history = good_history()
    check_acked_kept(history, "reader")
    check_one_order(history)
    check_reader_order(history)
    check_no_duplicates(history)
    check_send_order(history)


def test_a_lost_record_is_seen() -> None:
    history = good_history()
    history.note_acked(HERE, 3, b"d")
    with pytest.raises(Violation, match="S17: acked and lost"):
        check_acked_kept(history, "reader")


def test_a_read_value_that_is_gone_in_the_end_is_seen() -> None:
    history = good_history()
    history.note_read("earlier", HERE, 3, b"d")
    with pytest.raises(Violation, match="S17: earlier read"):
        check_acked_kept(history, "reader")


def test_an_excused_partition_promises_nothing() -> None:
    history = good_history()
    history.note_acked(HERE, 3, b"d")
    history.note_read("earlier", HERE, 3, b"d")
    check_acked_kept(history, "reader", lambda partition: partition == HERE)


def test_two_values_at_one_offset_are_seen() -> None:
    history = good_history()
    history.note_read("other", HERE, 1, b"x")
    with pytest.raises(Violation, match="S18"):
        check_one_order(history)


def test_two_acknowledged_values_at_one_offset_are_seen() -> None:
    history = good_history()
    history.note_acked(HERE, 1, b"x")
    with pytest.raises(Violation, match="S18"):
        check_one_order(history)


def test_a_reader_that_goes_back_is_seen() -> None:
    history = good_history()
    history.note_read("reader", HERE, 0, b"a")
    with pytest.raises(Violation, match="S19: reader went back"):
        check_reader_order(history)


def test_a_skipped_record_is_seen() -> None:
    history = good_history()
    history.note_read("other", HERE, 0, b"a")
    history.note_read("other", HERE, 2, b"c")
    with pytest.raises(Violation, match="S19: other passed over"):
        check_reader_order(history)


def test_a_duplicate_is_seen() -> None:
    history = good_history()
    history.note_read("reader", HERE, 3, b"b")
    with pytest.raises(Violation, match="S20"):
        check_no_duplicates(history)


def test_a_record_acknowledged_at_one_place_and_read_at_another_is_seen() -> None:
    history = good_history()
    history.note_acked(HERE, 7, b"b")
    with pytest.raises(Violation, match="S20"):
        check_no_duplicates(history)


def test_a_record_whose_place_nobody_remembers_is_fine() -> None:
    history = good_history()
    history.note_acked(HERE, -1, b"b")
    check_no_duplicates(history)
    check_one_order(history)


def test_records_out_of_order_are_seen() -> None:
    history = good_history()
    history.sent[(HERE, "")].reverse()
    with pytest.raises(Violation, match="S21"):
        check_send_order(history)
