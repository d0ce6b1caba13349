"""S65: a producer that keeps its epoch loses it to a newer one of its id, or to its own time-out."""

from __future__ import annotations

from tests.simulation.checkers.violation import require

NUMBER = "S65"
SLACK_MS = 20
"""For clocks that drift."""


def check_fenced(name: str, lasted_ms: int, timeout_ms: int, *, replaced: bool) -> None:
    """A producer is told that it is fenced; ``lasted_ms``: the longest of its transactions so far."""
    story = name, "is fenced, though nobody has replaced it and it took", lasted_ms, "ms at most"
    require(replaced or lasted_ms >= timeout_ms - SLACK_MS, NUMBER, *story)
