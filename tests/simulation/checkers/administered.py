"""S63: what an administrator was told is done, the broker that told it shows."""

from __future__ import annotations

from tests.simulation.checkers.violation import require

NUMBER = "S63"


def check_shown(broker: str, what: str, told: object, shown: object) -> None:
    """Compare what was asked for, and answered well, with what the same broker says next."""
    require(shown == told, NUMBER, broker, "shows", what, "as", shown, "after it was told", told)
