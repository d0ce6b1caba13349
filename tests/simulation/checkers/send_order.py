"""S21: what one producer sent to a partition stands there in the order of sending.

Jepsen's ``nonmonotonic-send``.  That there is no gap follows with S17: whatever was sent has been
acknowledged in the end, and is there, or has failed.
"""

from __future__ import annotations

from tests.simulation.checkers.log_history import LogHistory
from tests.simulation.checkers.violation import require

NUMBER = "S21"


def check_send_order(history: LogHistory) -> None:
    """Compare each producer's order with each reader's, and with the offsets it was told."""
    for (partition, producer), values in history.sent.items():
        if history.is_excused(partition):
            continue
        told = [history.acked[value][1] for value in values if value in history.acked]
        told = [offset for offset in told if offset >= 0]
        story = f"{producer} was told other places in {partition} than in its order of sending"
        require(told == sorted(told), NUMBER, story)
        place = {value: number for number, value in enumerate(values)}
        for reader, partitions in history.read.items():
            # A value that stands there twice is another checker's: its first place counts.
            found = dict.fromkeys(value for _, value in partitions.get(partition, ()))
            order = [place[value] for value in found if value in place]
            story = f"{reader} read {producer}'s records of {partition} out of order"
            require(order == sorted(order), NUMBER, story)
