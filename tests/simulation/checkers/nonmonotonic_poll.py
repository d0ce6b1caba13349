"""S19: a reader reads each partition forward: it neither goes back nor repeats.

Jepsen's ``int-nonmonotonic-poll`` and ``nonmonotonic-poll``, while its partitions are assigned.
"""

from __future__ import annotations

from itertools import pairwise

from tests.simulation.checkers.log_history import LogHistory
from tests.simulation.checkers.violation import require

NUMBER = "S19"


def check_monotonic_polls(history: LogHistory) -> None:
    """Compare each offset that a reader was given with the one before."""
    for reader, partition, records in history.readings():
        for place, ((before, _), (offset, _)) in enumerate(pairwise(records), 1):
            if offset <= before:
                where = history.between_polls(reader, partition, place)
                story = f"{reader} went back on {partition} from {before} to {offset} {where}"
                require(False, NUMBER, story)
