"""Tasks of several operations: a tree of any size is deleted, piece by piece."""

from __future__ import annotations

from collections.abc import Sequence

from odradek.coordination.lane import UNANSWERED_MAX, OnResults
from odradek.coordination.znode_tasks import (
    PIECE_OPERATIONS,
    TreeDeletion,
    create_with_parents,
    ensure_path,
)
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.messages import Refusal
from transport.wire.messages.coordination import (
    Create,
    Delete,
    Exists,
    GetChildren,
    Operation,
    Result,
)

NOW = Now(0, 0)


class Tree:
    """Znodes by their paths; does what is submitted at once."""

    def __init__(self, *paths: str) -> None:
        self.paths = set(paths)
        self.pieces: list[int] = []
        self.refuses_at = -1
        self.outcomes: list[Sequence[Result] | Refusal] = []

    def submit(self, operations: Sequence[Operation], on_results: OnResults, now: Now) -> None:
        self.pieces.append(len(operations))
        if len(self.pieces) - 1 == self.refuses_at:
            on_results(Refusal(ErrorCode.SESSION_EXPIRED), now)
        else:
            on_results([self._do(one) for one in operations], now)

    def _do(self, operation: Operation) -> Result:
        assert isinstance(operation, GetChildren | Delete)
        path = operation.path
        below = sorted(one for one in self.paths if one.rpartition("/")[0] == path)
        if path not in self.paths:
            return Result(ErrorCode.NO_NODE)
        if isinstance(operation, GetChildren):
            return Result(0, children=tuple(one.rpartition("/")[2] for one in below))
        if below:
            return Result(ErrorCode.NOT_EMPTY)
        self.paths.remove(path)
        return Result(0)

    def delete(self, path: str) -> Sequence[Result] | Refusal:
        TreeDeletion(self.submit, path, lambda outcome, _now: self.outcomes.append(outcome)).start(
            NOW
        )
        [outcome] = self.outcomes
        return outcome


def test_a_large_tree_is_deleted_in_pieces_the_children_first() -> None:
    assert PIECE_OPERATIONS < UNANSWERED_MAX
    tree = Tree("/a", *(f"/a/{number}" for number in range(2_500)), "/a/7/b", "/other")
    assert tree.delete("/a") == [Result(0)]
    assert tree.paths == {"/other"}
    assert max(tree.pieces) == PIECE_OPERATIONS
    assert sum(tree.pieces) == 2 * 2_502


def test_a_tree_that_cannot_be_deleted_on_is_said_once() -> None:
    tree = Tree("/a", *(f"/a/{number}" for number in range(2_500)))
    tree.refuses_at = 5
    assert tree.delete("/a") == Refusal(ErrorCode.SESSION_EXPIRED)
    assert 0 < len(tree.paths) < 2_501


class Guarded:
    """A tree in which only some parents let this client create."""

    def __init__(self, open_: set[str], *paths: str) -> None:
        self.open = open_
        self.paths = set(paths)
        self.outcomes: list[Sequence[Result] | Refusal] = []

    def submit(self, operations: Sequence[Operation], on_results: OnResults, now: Now) -> None:
        on_results([self._do(one) for one in operations], now)

    def _do(self, operation: Operation) -> Result:
        assert isinstance(operation, Create | Exists)
        path = operation.path
        if isinstance(operation, Exists):
            return Result(0 if path in self.paths else ErrorCode.NO_NODE)
        parent = path.rpartition("/")[0]
        if parent and parent not in self.paths:
            return Result(ErrorCode.NO_NODE)
        if parent not in self.open:
            return Result(ErrorCode.NO_AUTH)  # judged first, as ZooKeeper does
        if path in self.paths:
            return Result(ErrorCode.NODE_EXISTS)
        self.paths.add(path)
        return Result(0)

    def told(self, outcome: Sequence[Result] | Refusal, _now: Now) -> None:
        self.outcomes.append(outcome)


def test_parents_that_are_there_need_not_let_others_be_made() -> None:
    tree = Guarded({"/app", "/app/a", "/app/a/b"}, "/app")
    create_with_parents(tree.submit, Create("/app/a/b/c"), tree.told, NOW)
    ensure_path(tree.submit, "/app/a/b/d", (), tree.told, NOW)
    ensure_path(tree.submit, "/app/a/e", (), tree.told, NOW)
    create_with_parents(tree.submit, Create("/app/a/b/c"), tree.told, NOW)
    create_with_parents(tree.submit, Create("/other/a"), tree.told, NOW)
    ensure_path(tree.submit, "/app/a/b/c/d/e", (), tree.told, NOW)
    errors = [one[0].error for one in tree.outcomes if not isinstance(one, Refusal)]
    denied = ErrorCode.NO_AUTH
    assert errors == [0, 0, 0, ErrorCode.NODE_EXISTS, denied, denied]
