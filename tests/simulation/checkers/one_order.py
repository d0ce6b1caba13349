"""S18: an offset holds one value, for every reader and for the producer's answer.

Jepsen's ``inconsistent-offsets``.
"""

from __future__ import annotations

from tests.simulation.checkers.log_history import LogHistory, Place
from tests.simulation.checkers.violation import require

NUMBER = "S18"


def check_one_order(history: LogHistory) -> None:
    """Compare all answers and all reads."""
    seen: dict[Place, bytes] = {}
    for value, (partition, offset) in history.acked.items():
        if offset >= 0 and not history.is_excused(partition):
            known = seen.setdefault((partition, offset), value)
            require(known == value, NUMBER, partition, "at", offset, known, "and", value, "acked")
    for reader, partition, records in history.readings():
        for offset, value in records:
            known = seen.setdefault((partition, offset), value)
            if known != value:
                story = f"{partition} at {offset}: {known!r}, but {reader} read {value!r}"
                require(False, NUMBER, story)
