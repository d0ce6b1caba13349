"""S64: a watch that is set fires once its znode has changed, wherever its session is by then."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tests.simulation.checkers.violation import require

NUMBER = "S64"


def unheard(armed: Mapping[str, int], changed: Mapping[str, int]) -> list[str]:
    """Return the paths whose event has not come: set at one mzxid, and changed under a later one."""
    return [path for path, mzxid in armed.items() if changed.get(path, mzxid) > mzxid]


def check_fired(name: str, paths: Iterable[str]) -> None:
    """Judge what was not heard of, though everything has healed."""
    left = list(paths)
    require(not left, NUMBER, name, "has heard no event of", left, "which have changed")
