"""S19: a reader reads each partition forward, without repetition and without leaving anything out.

Jepsen's ``nonmonotonic-poll`` and ``poll-skip``, within one consumer that keeps its partitions.
"""

from __future__ import annotations

from collections import defaultdict

from tests.simulation.checkers.acked_kept import Excused
from tests.simulation.checkers.log_history import LogHistory, Partition
from tests.simulation.checkers.violation import require

NUMBER = "S19"


def check_reader_order(history: LogHistory, excused: Excused = lambda _: False) -> None:
    """Compare each reader's offsets with all that anybody read."""
    known: dict[Partition, set[int]] = defaultdict(set)
    for partitions in history.read.values():
        for partition, records in partitions.items():
            known[partition].update(offset for offset, _ in records)
    for reader, partitions in history.read.items():
        for partition, records in partitions.items():
            offsets = [offset for offset, _ in records]
            if not offsets or excused(partition):
                continue
            story = f"{reader} went back on {partition}"
            require(offsets == sorted(set(offsets)), NUMBER, story)
            between = {offset for offset in known[partition] if offsets[0] < offset < offsets[-1]}
            skipped = sorted(between.difference(offsets))
            require(not skipped, NUMBER, f"{reader} passed over {skipped[:5]} of {partition}")
