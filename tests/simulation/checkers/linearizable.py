"""S7: writes and synced reads of one znode look as if each happened at one moment.

The search of Wing & Gong, with Lowe's memory of (what is linearized, state) pairs already tried
("Testing for linearizability", 2017).  An operation whose outcome is unknown may have happened at
any moment after it began, or never.

Long histories stay cheap: what is done is a position in the order of beginnings plus the few that
ran ahead of it, and an answered operation that fits now and changes nothing is taken at once, since
putting it first can spoil nothing that comes after.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tests.simulation.checkers.violation import require

NUMBER = "S7"
STATES_MAX = 200_000
"""Far more than any history with an explanation needs."""

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


class _Done(NamedTuple):
    """What is linearized: all answered ones below ``low``, and these."""

    low: int
    ahead: frozenset[int]
    unknown: frozenset[int]


def is_linearizable(history: Sequence[Operation], initial: Hashable, step: Step) -> bool:
    """Tell whether some order of the operations, true to real time, explains every answer."""
    answered = sorted((one for one in history if one.ended_us is not None), key=_began)
    unknown = sorted((one for one in history if one.ended_us is None), key=_began)
    tried: set[tuple[_Done, Hashable]] = set()
    stack: list[tuple[_Done, Hashable]] = [(_Done(0, frozenset(), frozenset()), initial)]
    while stack and len(tried) < STATES_MAX:
        done, state = stack.pop()
        if done.low == len(answered):
            return True
        if (done, state) not in tried:
            tried.add((done, state))
            stack += _steps(answered, unknown, done, state, step)
    return False


def _began(operation: Operation) -> int:
    return operation.began_us


def _steps(
    answered: Sequence[Operation],
    unknown: Sequence[Operation],
    done: _Done,
    state: Hashable,
    step: Step,
) -> list[tuple[_Done, Hashable]]:
    """Return what may come next, the likeliest last: it is tried first."""
    candidates, first_end_us = _candidates(answered, done)
    likely: list[tuple[_Done, Hashable]] = []
    for number in candidates:
        after = step(state, answered[number])
        if after is None:
            continue
        following = _with(done, number, len(answered)), after
        if after == state:
            return [following]
        likely.append(following)
    guesses: list[tuple[_Done, Hashable]] = []
    for number, operation in enumerate(unknown):
        if operation.began_us > first_end_us:
            break
        if number not in done.unknown:
            after = step(state, operation)
            if after is not None and after != state:
                guesses.append((done._replace(unknown=done.unknown | {number}), after))
    return guesses + likely


def _candidates(answered: Sequence[Operation], done: _Done) -> tuple[list[int], int]:
    """Return whatever began before the first answer that is still to come, and that moment."""
    candidates: list[int] = []
    first_end_us = 1 << 62
    for number in range(done.low, len(answered)):
        operation = answered[number]
        if operation.began_us > first_end_us:
            break
        if number not in done.ahead:
            candidates.append(number)
            assert operation.ended_us is not None
            first_end_us = min(first_end_us, operation.ended_us)
    return [n for n in candidates if answered[n].began_us <= first_end_us], first_end_us


def _with(done: _Done, number: int, count: int) -> _Done:
    low, ahead = done.low, done.ahead | {number}
    while low < count and low in ahead:
        low += 1
    return done._replace(low=low, ahead=frozenset(one for one in ahead if one >= low))


def check_register(path: str, history: Sequence[Operation]) -> None:
    """Assert it of one znode, which began at version 0 without data."""
    holds = is_linearizable(history, (0, b""), znode_step)
    require(holds, NUMBER, f"{path}: no order explains its {len(history)} operations")


def znode_step(state: Hashable, operation: Operation) -> Hashable | None:
    """The model of one znode: state is (version, value).

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
