"""Of more than a broker takes at once, asked for piece by piece, one after the other.

Owns how much that is.  It must not know what is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from odradek.errors import OdradekError
from transport.kernel import Now

CHANGES_MAX = 1_000
"""Topics to be made, changed or deleted by one request."""
NAMES_MAX = 10_000
"""Topics to be told of by one answer."""

S = TypeVar("S")
T = TypeVar("T")
OnChanged = Callable[[OdradekError | None, Now], None]
OnGathered = Callable[[list[T] | OdradekError, Now], None]


def change_in_pieces(
    subjects: Sequence[S],
    ask: Callable[[Sequence[S], OnChanged, Now], None],
    on_done: OnChanged,
    now: Now,
) -> None:
    """Change all of them, each by itself as in one request; tells the first error, if there was one."""
    pieces = _pieces(subjects, CHANGES_MAX)
    errors: list[OdradekError] = []

    def ended(error: OdradekError | None, now: Now) -> None:
        if error is not None:
            errors.append(error)
        if pieces:
            ask(pieces.pop(), ended, now)
        else:
            on_done(errors[0] if errors else None, now)

    ask(pieces.pop(), ended, now)


def gather_in_pieces(
    subjects: Sequence[S],
    ask: Callable[[Sequence[S], OnGathered[T], Now], None],
    on_done: OnGathered[T],
    now: Now,
) -> None:
    """Tell what is told of all of them, in their order; the first error ends it."""
    pieces = _pieces(subjects, NAMES_MAX)
    gathered: list[T] = []

    def told(some: list[T] | OdradekError, now: Now) -> None:
        if isinstance(some, OdradekError):
            on_done(some, now)
            return
        gathered.extend(some)
        if pieces:
            ask(pieces.pop(), told, now)
        else:
            on_done(gathered, now)

    ask(pieces.pop(), told, now)


def _pieces(subjects: Sequence[S], size: int) -> list[Sequence[S]]:
    """Return them, the first one last; of nothing there is one piece, too."""
    starts = range(0, max(1, len(subjects)), size)
    return [subjects[start : start + size] for start in reversed(starts)]
