"""S16, S50: a multi is applied wholly or not at all, and a multi of reads sees one state.

Two znodes that only multis set are always equal: on each server, and in what is read of both.
"""

from __future__ import annotations

from nodes.core.znode.tree import Tree
from tests.simulation.checkers.violation import require
from transport.wire.messages.coordination import Result

NUMBER = "S16"
READ = "S50"
PAIR = ("/pair-a", "/pair-b")


def check_pair(host: str, tree: Tree) -> None:
    """Compare the pair as it stands on one server between two entries."""
    one, other = tree.get(PAIR[0]), tree.get(PAIR[1])
    if one is not None and other is not None:
        halves = one.data, other.data
        require(halves[0] == halves[1], NUMBER, "on", host, "half a multi was applied:", halves)


def check_pair_read(name: str, results: tuple[Result, ...]) -> None:
    """Compare the pair as a multi of reads has shown it."""
    one, other = (result.data for result in results)
    require(one == other, READ, f"{name} read the pair as {one!r} and {other!r}, in one multi")
