"""S17: what was acknowledged or read is there in the end, where it was said to be.

Jepsen's ``unseen`` and ``lost-write``: a reader that has read every partition to its end has seen
each acknowledged record; and whatever any reader ever saw is still at that offset.
"""

from __future__ import annotations

from tests.simulation.checkers.log_history import LAST_READER, LogHistory
from tests.simulation.checkers.violation import require

NUMBER = "S17"


def check_acked_kept(history: LogHistory) -> None:
    """Compare with the last reader, who has read all partitions to their ends."""
    excused = history.is_excused
    found = {
        (partition, value): offset
        for partition, records in history.read[LAST_READER].items()
        for offset, value in records
    }
    lost = sorted(
        value
        for value, (partition, _) in history.acked.items()
        if (partition, value) not in found and not excused(partition)
    )
    require(not lost, NUMBER, f"acked and lost: {lost[:10]} of {len(lost)}")
    for reader, partitions in history.read.items():
        for partition, records in partitions.items():
            if excused(partition):
                continue
            gone = [value for offset, value in records if found.get((partition, value)) != offset]
            story = f"{reader} read of {partition} what is gone now: {gone[:10]} of {len(gone)}"
            require(not gone, NUMBER, story)
