"""Tasks of several operations, run on the loop: making a path, deleting a tree.

Pure.  Each is a chain of submissions to the session, and ends in exactly one callback with the
results of its last step, or with a Refusal.  They are not atomic, as kazoo's are not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from odradek.coordination.lane import OnResults
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.messages import Refusal
from transport.wire.messages.coordination import (
    Acl,
    Create,
    Delete,
    Exists,
    GetChildren,
    Operation,
    Result,
)

Submit = Callable[[Sequence[Operation], OnResults, Now], None]

TREE_ROUNDS_MAX = 20
"""A tree in which others keep creating is given up with NOT_EMPTY."""
PIECE_OPERATIONS = 1_000
"""Of a tree's, handed in at once: a session takes only so many, and others have to do, too."""


def ancestors(path: str) -> list[str]:
    """Return the paths above ``path``, topmost first, without the root."""
    names = path.split("/")[1:-1]
    return ["/" + "/".join(names[: depth + 1]) for depth in range(len(names))]


def create_with_parents(submit: Submit, create: Create, done: OnResults, now: Now) -> None:
    """Create a znode, and first the parents that are missing (with its ACL, without data)."""

    def tried(outcome: Sequence[Result] | Refusal, now: Now) -> None:
        if isinstance(outcome, Refusal) or outcome[0].error != ErrorCode.NO_NODE:
            done(outcome, now)
            return
        parents = [Create(path, acl=create.acl) for path in ancestors(create.path)]
        submit([*parents, create], made, now)

    def made(outcome: Sequence[Result] | Refusal, now: Now) -> None:
        done(outcome if isinstance(outcome, Refusal) else _telling(outcome), now)

    submit([create], tried, now)


def ensure_path(submit: Submit, path: str, acl: tuple[Acl, ...], done: OnResults, now: Now) -> None:
    """Make sure that ``path`` and all above it exist."""

    def looked(outcome: Sequence[Result] | Refusal, now: Now) -> None:
        if isinstance(outcome, Refusal) or outcome[0].error != ErrorCode.NO_NODE:
            done(outcome, now)
            return
        submit([Create(each, acl=acl) for each in (*ancestors(path), path)], made, now)

    def made(outcome: Sequence[Result] | Refusal, now: Now) -> None:
        if not isinstance(outcome, Refusal):
            outcome = _telling(outcome)
            if outcome[0].error == ErrorCode.NODE_EXISTS:
                outcome = [Result(ErrorCode.NONE)]
        done(outcome, now)

    submit([Exists(path)], looked, now)


def _telling(results: Sequence[Result]) -> list[Result]:
    """Return the result that tells how a list of creates ended: the last, or what stopped it.

    A parent that is there may be refused for another reason than that, as where one may not create.
    """
    if results[-1].error == ErrorCode.NO_NODE:
        for result in results[:-1]:
            if result.error not in (ErrorCode.NONE, ErrorCode.NODE_EXISTS):
                return [result]
    return [results[-1]]


def _submit_in_pieces(
    submit: Submit, operations: Sequence[Operation], done: OnResults, now: Now
) -> None:
    """Do them in their order, piece by piece; ``done`` gets all results, or the first Refusal."""
    results: list[Result] = []

    def go_on(outcome: Sequence[Result] | Refusal, now: Now) -> None:
        if isinstance(outcome, Refusal):
            done(outcome, now)
            return
        results.extend(outcome)
        piece = operations[len(results) : len(results) + PIECE_OPERATIONS]
        if piece:
            submit(piece, go_on, now)
        else:
            done(results, now)

    go_on((), now)


class TreeDeletion:
    """Deletes a znode with everything below it; znodes that others delete meanwhile are fine.

    NO_NODE if it was not there at first; NOT_EMPTY if others kept creating below it.
    """

    def __init__(self, submit: Submit, path: str, done: OnResults) -> None:
        self._submit = submit
        self._path = path
        self._done = done
        self._rounds = 0
        self._found: list[str] = []
        self._frontier: list[str] = []

    def start(self, now: Now) -> None:
        """Begin; ``done`` is called in the end."""
        self._rounds += 1
        self._found, self._frontier = [], [self._path]
        self._list(now)

    def _list(self, now: Now) -> None:
        self._found.extend(self._frontier)
        _submit_in_pieces(
            self._submit, [GetChildren(path) for path in self._frontier], self._listed, now
        )

    def _listed(self, outcome: Sequence[Result] | Refusal, now: Now) -> None:
        if isinstance(outcome, Refusal):
            self._done(outcome, now)
            return
        if self._rounds == 1 and self._found == [self._path] and outcome[0].error:
            self._done(outcome, now)
            return
        below = zip(self._frontier, outcome, strict=True)
        self._frontier = [
            f"{path.rstrip('/')}/{name}" for path, result in below for name in result.children
        ]
        if self._frontier:
            self._list(now)
        else:
            deletions = [Delete(path) for path in reversed(self._found)]
            _submit_in_pieces(self._submit, deletions, self._deleted, now)

    def _deleted(self, outcome: Sequence[Result] | Refusal, now: Now) -> None:
        if isinstance(outcome, Refusal):
            self._done(outcome, now)
            return
        last = outcome[-1]
        if last.error == ErrorCode.NOT_EMPTY and self._rounds < TREE_ROUNDS_MAX:
            self.start(now)
        elif last.error == ErrorCode.NO_NODE:
            self._done([Result(ErrorCode.NONE)], now)
        else:
            self._done([last], now)
