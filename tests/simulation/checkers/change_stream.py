"""S53: a stream of changes gives each one once, in order and whole, or says that it cannot."""

from __future__ import annotations

from collections.abc import Sequence

from tests.simulation.checkers.forest_model import ForestModel
from tests.simulation.checkers.violation import require
from transport.wire.messages.coordination import Change

NUMBER = "S53"


def check_page(
    name: str, model: ForestModel, since: int, through: int, page: Sequence[Change]
) -> None:
    """Compare the changes after ``since``, said to be complete up to ``through``, with the log's."""
    expected = model.between(since, through)
    if list(page) != expected:
        first = next(
            (pair for pair in zip(page, expected, strict=False) if pair[0] != pair[1]), None
        )
        story = f"{name} read {len(page)} changes after {since} up to {through}, the log has "
        require(False, NUMBER, story, f"{len(expected)}; the first that differ: {first}")
