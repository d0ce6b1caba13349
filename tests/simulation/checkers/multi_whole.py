"""S16: a multi is applied wholly or not at all: two znodes that only multis set are always equal."""

from __future__ import annotations

from nodes.core.znode.tree import Tree
from tests.simulation.checkers.violation import require

NUMBER = "S16"
PAIR = ("/pair-a", "/pair-b")


def check_pair(host: str, tree: Tree) -> None:
    """Compare the pair as it stands on one server between two entries."""
    one, other = tree.get(PAIR[0]), tree.get(PAIR[1])
    if one is not None and other is not None:
        story = f"on {host} half a multi was applied: {one.data!r} and {other.data!r}"
        require(one.data == other.data, NUMBER, story)
