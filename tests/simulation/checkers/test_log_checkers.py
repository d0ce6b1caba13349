"""S17 to S21, S30, S31: each log checker accepts a good history, and fails on what it is there for."""

import pytest

from tests.simulation.checkers.aborted_read import check_no_aborted_reads
from tests.simulation.checkers.acked_kept import check_acked_kept
from tests.simulation.checkers.log_checks import LOG_CHECKS
from tests.simulation.checkers.log_history import LAST_READER, LogHistory, Partition
from tests.simulation.checkers.no_duplicates import check_no_duplicates
from tests.simulation.checkers.nonmonotonic_poll import check_monotonic_polls
from tests.simulation.checkers.one_order import check_one_order
from tests.simulation.checkers.poll_skip import check_no_poll_skips
from tests.simulation.checkers.send_order import check_send_order
from tests.simulation.checkers.violation import Violation

HERE = ("topic", 0)


def good_history(excused: Partition = ("", 0)) -> LogHistory:
    history = LogHistory(lambda partition: partition == excused)
    for offset, value in enumerate([b"a", b"b", b"c"]):
        history.note_sent(HERE, value)
        history.note_acked(HERE, offset, value)
        history.note_read(LAST_READER, HERE, offset, value)
    return history


def test_a_good_history_passes() -> None:
    history = good_history()
    for check in LOG_CHECKS:
        check(history)


def test_a_lost_record_is_seen() -> None:
    history = good_history()
    history.note_acked(HERE, 3, b"d")
    with pytest.raises(Violation, match="S17: acked and lost"):
        check_acked_kept(history)


def test_a_read_value_that_is_gone_in_the_end_is_seen() -> None:
    history = good_history()
    history.note_read("earlier", HERE, 3, b"d")
    with pytest.raises(Violation, match="S17: earlier read"):
        check_acked_kept(history)


def test_an_excused_partition_promises_nothing() -> None:
    history = good_history(excused=HERE)
    history.note_acked(HERE, 3, b"d")
    history.note_read("earlier", HERE, 3, b"d")
    check_acked_kept(history)


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


@pytest.mark.parametrize("offset", [0, 2])
@pytest.mark.parametrize("polls", [True, False])
def test_a_reader_that_goes_back_or_repeats_is_seen(offset: int, polls: bool) -> None:
    history = good_history()
    if polls:
        history.note_poll(LAST_READER, HERE)
    history.note_read(LAST_READER, HERE, offset, b"abc"[offset : offset + 1])
    where = "between polls" if polls else "within a poll"
    with pytest.raises(Violation, match=rf"S19: late-reader went back .* {where}"):
        check_monotonic_polls(history)


@pytest.mark.parametrize("polls", [True, False])
def test_a_skipped_record_is_seen(polls: bool) -> None:
    history = good_history()
    history.note_poll("other", HERE)
    history.note_read("other", HERE, 0, b"a")
    if polls:
        history.note_poll("other", HERE)
    history.note_read("other", HERE, 2, b"c")
    where = "between polls" if polls else "within a poll"
    with pytest.raises(Violation, match=rf"S30: other passed over .1. .* {where}"):
        check_no_poll_skips(history)


def test_a_refused_record_that_is_read_is_seen() -> None:
    history = good_history()
    history.note_refused(b"b")
    with pytest.raises(Violation, match="S31"):
        check_no_aborted_reads(history)


def test_a_duplicate_is_seen() -> None:
    history = good_history()
    history.note_read(LAST_READER, HERE, 3, b"b")
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


def test_places_told_out_of_order_are_seen() -> None:
    history = good_history()
    history.note_acked(HERE, 1, b"a")
    history.note_acked(HERE, 0, b"b")
    with pytest.raises(Violation, match=r"S21: .* was told"):
        check_send_order(history)
