"""S55: an ACL holds from the write that set it on, for reads and writes, until the next one.

As a history of one znode: whoever proved to be its owner may do everything, others only while it is
open.  Each operation, changes of the ACL among them, looks as if it happened at one moment.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from tests.simulation.checkers.linearizable import UNKNOWN, Operation, is_linearizable
from tests.simulation.checkers.violation import require

NUMBER = "S55"
DENIED = "denied"
SHUT: Hashable = (False, 0, b"")
"""How the znode begins: for its owner alone, at version 0 without data."""


def check_guarded(path: str, history: Sequence[Operation]) -> None:
    """Assert it of one znode that began shut."""
    holds = is_linearizable(history, SHUT, guard_step)
    require(holds, NUMBER, f"{path}: no order explains its {len(history)} operations")


def guard_step(state: Hashable, operation: Operation) -> Hashable | None:
    """The model: state is (open to all, version, value).

    ``("acl", open)`` answers "done"; ``("set", value, owner)`` the new version; ``("get", owner)``
    (version, value); the last two "denied" where it is shut and ``owner`` is False.
    """
    assert isinstance(state, tuple)
    is_open, version, value = state
    answer, kind = operation.answer, operation.what[0]
    if kind == "acl":
        return (operation.what[1], version, value)
    if not (is_open or operation.what[-1]):
        return state if answer in (UNKNOWN, DENIED) else None
    if kind == "get":
        return state if answer in (UNKNOWN, (version, value)) else None
    if answer is UNKNOWN or answer == version + 1:
        return (is_open, version + 1, operation.what[1])
    return None
