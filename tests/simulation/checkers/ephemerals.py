"""S12: an ephemeral is there exactly while its session lives.

On every server no znode has an owner without a session; a client whose session lives finds its own
ephemeral; and the ephemerals of clients that died are gone in the end.
"""

from __future__ import annotations

from collections.abc import Container, Iterable

from nodes.core.znode.tree import Tree
from tests.simulation.checkers.violation import require

NUMBER = "S12"


def check_owners(host: str, tree: Tree, sessions: Container[int]) -> None:
    """Look for ephemerals that outlived their session."""
    for owner in tree._ephemerals:
        if owner not in sessions:
            paths = sorted(tree._ephemerals[owner])
            require(False, NUMBER, f"on {host} {paths} outlived session {owner}")


def check_own_is_there(path: str, found: bool) -> None:
    """A live session's own ephemeral, which nobody deletes, was looked for."""
    require(found, NUMBER, f"{path} is gone, though its session lives")


def check_dead_are_gone(host: str, tree: Tree, dead: Iterable[str]) -> None:
    """Nothing is left of clients that died longer ago than their timeout."""
    left = [path for path in dead if tree.get(path) is not None]
    require(not left, NUMBER, f"on {host} {left} outlived their clients")
