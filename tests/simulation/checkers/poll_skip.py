"""S30: a reader leaves nothing out between what it reads of a partition.

Jepsen's ``int-poll-skip`` and ``poll-skip``, while its partitions are assigned.  What is known to be
there is what anybody has read.
"""

from __future__ import annotations

from collections import defaultdict

from tests.simulation.checkers.log_history import LogHistory, Partition
from tests.simulation.checkers.violation import require

NUMBER = "S30"


def check_no_poll_skips(history: LogHistory) -> None:
    """Compare each reader's offsets with all that anybody read."""
    known: dict[Partition, set[int]] = defaultdict(set)
    for _, partition, records in history.readings():
        known[partition].update(offset for offset, _ in records)
    for reader, partition, records in history.readings():
        offsets = [offset for offset, _ in records]
        found = set(offsets)
        low, high = min(offsets), max(offsets)
        skipped = sorted(one for one in known[partition] - found if low < one < high)
        if skipped:
            place = next(place for place, offset in enumerate(offsets) if offset > skipped[0])
            where = history.between_polls(reader, partition, place)
            require(False, NUMBER, f"{reader} passed over {skipped[:5]} of {partition} {where}")
