"""The checks of a run's whole log history, in the order in which they are asked.

Each is a function of the history that raises a Violation; a new one is a line here.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.simulation.checkers.aborted_read import check_no_aborted_reads
from tests.simulation.checkers.acked_kept import check_acked_kept
from tests.simulation.checkers.log_history import LogHistory
from tests.simulation.checkers.no_duplicates import check_no_duplicates
from tests.simulation.checkers.nonmonotonic_poll import check_monotonic_polls
from tests.simulation.checkers.one_order import check_one_order
from tests.simulation.checkers.poll_skip import check_no_poll_skips
from tests.simulation.checkers.send_order import check_send_order

LOG_CHECKS: tuple[Callable[[LogHistory], None], ...] = (
    check_one_order,
    check_monotonic_polls,
    check_no_poll_skips,
    check_no_aborted_reads,
    check_send_order,
    check_no_duplicates,
    check_acked_kept,
)
