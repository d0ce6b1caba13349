"""A broken promise: which numbered property, and what was seen of it."""

from __future__ import annotations


class Violation(AssertionError):
    """Raised by a checker. ``number`` is the property's in docs/guarantees.md."""

    def __init__(self, number: str, story: str) -> None:
        super().__init__(f"{number}: {story}")
        self.number = number


def require(holds: object, number: str, *story: object) -> None:
    """Raise :class:`Violation` unless ``holds``; the story's parts are joined only then."""
    if not holds:
        raise Violation(number, " ".join(map(str, story)))
