"""S59: no in-sync replica has a record any more whose deletion was acknowledged."""

from __future__ import annotations

from collections.abc import Mapping

from tests.simulation.checkers.violation import require

NUMBER = "S59"


def check_deleted(partition: object, low: int, starts: Mapping[str, int]) -> None:
    """``starts``: where the in-sync replicas' logs begin, by broker."""
    for name, start in starts.items():
        require(
            start >= low,
            NUMBER,
            f"{partition}: the log of {name} begins at {start}, and {low} was answered",
        )
