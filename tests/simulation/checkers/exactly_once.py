"""S61: from each record exactly one is derived, by pipelines that commit what they have read with it.

By readers of committed records, over all crashes, rebalances and aborts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from tests.simulation.checkers.log_history import Excused, Partition
from tests.simulation.checkers.violation import require

NUMBER = "S61"


def missing(
    derived: Iterable[bytes], ends: Mapping[Partition, int], is_excused: Excused
) -> list[bytes]:
    """Return what is to be derived from everything below these ends, and was not read yet."""
    found = set(derived)
    return [
        name
        for partition, end in ends.items()
        if not is_excused(partition)
        for name in (derivation(partition, offset) for offset in range(end))
        if name not in found
    ]


def check_once(derived: Iterable[bytes]) -> None:
    """Look for what was derived twice."""
    twice = [value for value, times in Counter(derived).items() if times > 1]
    require(not twice, NUMBER, "derived more than once:", twice[:5])


def derivation(partition: Partition, offset: int) -> bytes:
    """Return what a pipeline derives from a record: its place."""
    return f"{partition[0]}-{partition[1]}:{offset}".encode()
