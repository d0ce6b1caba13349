"""S31: nobody reads a record whose producer was told that it was not written.

Jepsen's ``G1a``, without transactions: only errors that say so count; a time-out says nothing.
"""

from __future__ import annotations

from tests.simulation.checkers.log_history import LogHistory
from tests.simulation.checkers.violation import require

NUMBER = "S31"


def check_no_aborted_reads(history: LogHistory) -> None:
    """Look for refused values among all that was read."""
    for reader, partition, records in history.readings():
        for offset, value in records:
            if value in history.refused:
                story = f"{reader} read {value!r} at {offset} of {partition}, which was refused"
                require(False, NUMBER, story)
