"""Of more than a broker takes at once, asked for piece by piece, one after the other.

Owns how much that is.  It must not know what is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

from odradek.errors import OdradekError
from transport.kernel import Now

CHANGES_MAX = 1_000
"""Topics and the like to be made, changed or deleted by one request."""
NAMES_MAX = 10_000
"""Topics to be told of by one answer."""

S = TypeVar("S")
K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
OnChanged = Callable[[OdradekError | None, Now], None]
OnGathered = Callable[[list[T] | OdradekError, Now], None]
Outcomes = dict[K, OdradekError | None]
"""What became of each subject; None: it was done."""
OnOutcomes = Callable[[Outcomes[K] | OdradekError, Now], None]


def change_in_pieces(
    subjects: Sequence[S],
    ask: Callable[[Sequence[S], OnChanged, Now], None],
    on_done: OnChanged,
    now: Now,
    *,
    names_each: int = 1,
) -> None:
    """Change all of them, each by itself as in one request; tells the first error, if there was one.

    ``names_each``: by how many names one counts for a broker.
    """
    pieces = _pieces(subjects, CHANGES_MAX // names_each)
    errors: list[OdradekError] = []

    def ended(error: OdradekError | None, now: Now) -> None:
        if error is not None:
            errors.append(error)
        if pieces:
            ask(pieces.pop(), ended, now)
        else:
            on_done(errors[0] if errors else None, now)

    ask(pieces.pop(), ended, now)


def decide_in_pieces(
    subjects: Sequence[K],
    ask: Callable[[Sequence[K], OnOutcomes[K], Now], None],
    on_done: OnOutcomes[K],
    now: Now,
) -> None:
    """Change all of them; tells what became of each.

    A piece that is refused as a whole keeps no other from being asked for, nor its outcomes from being
    told; where all of them are, the first refusal is what is told.
    """
    pieces = _pieces(subjects, CHANGES_MAX)
    outcomes: Outcomes[K] = {}
    refusals: list[OdradekError] = []
    count = len(pieces)

    def ask_next(now: Now) -> None:
        some = pieces.pop()

        def told(answer: Outcomes[K] | OdradekError, now: Now) -> None:
            if isinstance(answer, OdradekError):
                refusals.append(answer)
                outcomes.update(dict.fromkeys(some, answer))
            else:
                outcomes.update(answer)
            if pieces:
                ask_next(now)
            else:
                on_done(refusals[0] if len(refusals) == count else outcomes, now)

        ask(some, told, now)

    ask_next(now)


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
