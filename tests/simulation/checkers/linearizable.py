"""G6: writes and synced reads of one znode look as if each happened at one moment.

The search of Wing & Gong, with Lowe's memory of (what is linearized, state) pairs already tried
("Testing for linearizability", 2017).  An operation whose outcome is unknown may have happened at
any moment after it began, or never.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

Step = Callable[[Hashable, "Operation"], Hashable | None]
"""The model: the state after the operation, or None if it cannot give that answer there."""

UNKNOWN = object()
"""The answer of an operation whose outcome nobody learned."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of a history; times in virtual microseconds."""

    began_us: int
    ended_us: int | None
    """None: never answered."""
    what: tuple[object, ...]
    answer: object = UNKNOWN


def is_linearizable(history: Sequence[Operation], initial: Hashable, step: Step) -> bool:
    """Tell whether some order of the operations, true to real time, explains every answer."""
    operations = sorted(history, key=lambda one: one.began_us)
    answered = frozenset(
        number for number, one in enumerate(operations) if one.answer is not UNKNOWN
    )
    tried: set[tuple[frozenset[int], Hashable]] = set()
    stack: list[tuple[frozenset[int], Hashable]] = [(frozenset(), initial)]
    while stack:
        done, state = stack.pop()
        if answered <= done:
            return True
        if (done, state) in tried:
            continue
        tried.add((done, state))
        for number in _next(operations, done):
            after = step(state, operations[number])
            if after is not None:
                stack.append((done | {number}, after))
    return False


def _next(operations: Sequence[Operation], done: frozenset[int]) -> list[int]:
    """Return what may come next: whatever began before the first answer that is still to come."""
    pending = [number for number in range(len(operations)) if number not in done]
    ends = [end for number in pending if (end := operations[number].ended_us) is not None]
    first_end = min(ends, default=None)
    return [
        number
        for number in pending
        if first_end is None or operations[number].began_us <= first_end
    ]


def znode_step(state: Hashable, operation: Operation) -> Hashable | None:
    """The model of one znode: state is (version, value), or () while it does not exist.

    ``("set", value, version)`` answers the new version, or "bad version"; ``("get",)`` answers
    (version, value).
    """
    assert isinstance(state, tuple)
    version, value = state
    answer = operation.answer
    if operation.what[0] == "get":
        return state if answer in (UNKNOWN, (version, value)) else None
    _, new_value, expected = operation.what
    if expected not in (-1, version):
        return state if answer in (UNKNOWN, "bad version") else None
    if answer is UNKNOWN or answer == version + 1:
        return (version + 1, new_value)
    return None
