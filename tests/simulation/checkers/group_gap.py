"""S39: through all rebalances, every record is given to some member at least once."""

from __future__ import annotations

from tests.simulation.checkers.group_history import GroupHistory
from tests.simulation.checkers.log_history import LAST_READER, LogHistory
from tests.simulation.checkers.violation import require

NUMBER = "S39"


def check_no_gaps(group: GroupHistory, log: LogHistory) -> None:
    """Compare what members were given with the last reader, who has read everything."""
    for partition, records in log.read[LAST_READER].items():
        if group.is_excused(partition):
            continue
        given = group.given[partition]
        missed = [offset for offset, value in records if given.get(offset) != value]
        require(
            not missed, NUMBER, f"nobody was given {missed[:5]} of {partition}, of {len(missed)}"
        )
