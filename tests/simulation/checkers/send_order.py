"""S21: what one producer sent to a partition stands there in the order of sending.

Jepsen's ``nonmonotonic-send``.  That there is no gap follows with S17: whatever was sent has been
acknowledged in the end, and is there, or has failed.
"""

from __future__ import annotations

from tests.simulation.checkers.acked_kept import Excused
from tests.simulation.checkers.log_history import LogHistory
from tests.simulation.checkers.violation import require

NUMBER = "S21"


def check_send_order(history: LogHistory, excused: Excused = lambda _: False) -> None:
    """Compare each reader's order with each producer's."""
    for (partition, producer), values in history.sent.items():
        if excused(partition):
            continue
        place = {value: number for number, value in enumerate(values)}
        for reader, partitions in history.read.items():
            order = [place[value] for _, value in partitions.get(partition, ()) if value in place]
            story = f"{reader} read {producer}'s records of {partition} out of order"
            require(order == sorted(order), NUMBER, story)
