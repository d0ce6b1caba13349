"""S20: what an idempotent producer sent once stands in the log once. Jepsen's ``duplicate``."""

from __future__ import annotations

from tests.simulation.checkers.log_history import LogHistory, Place
from tests.simulation.checkers.violation import require

NUMBER = "S20"


def check_no_duplicates(history: LogHistory) -> None:
    """Look for a value at two places, over all reads and all answers."""
    places: dict[bytes, Place] = {}
    answers = [(value, place) for value, place in history.acked.items() if place[1] >= 0]
    reads = [
        (value, (partition, offset))
        for partitions in history.read.values()
        for partition, records in partitions.items()
        for offset, value in records
    ]
    for value, place in [*answers, *reads]:
        known = places.setdefault(value, place)
        require(known == place, NUMBER, value, "stands at", known, "and at", place)
