"""S62: a listener answers the requests of a connection in their order, and each once."""

from __future__ import annotations

from collections import deque

from tests.simulation.checkers.violation import require

NUMBER = "S62"


def check_answered_in_order(open_requests: deque[int], number: int) -> None:
    """Compare an answer's number with that of the oldest open request, and take it off."""
    expected = open_requests.popleft() if open_requests else None
    require(number == expected, NUMBER, "request", expected, "is next, and", number, "is answered")
