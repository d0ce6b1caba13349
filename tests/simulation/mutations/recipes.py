"""Bugs in what holders of locks, leaders and holders of leases rely on."""

from __future__ import annotations

from typing import Any

from nodes.core.znode import operations
from nodes.core.znode.operations import Attempt
from nodes.core.znode.tree import Tree
from odradek.recipes import line, waiting
from tests.simulation.mutations.registry import Patch, mutation
from transport.wire.messages.coordination import Check, Result

HOLDERS = {"holders": 4}


@mutation("S69", clients=HOLDERS)
def held_by_who_comes_next() -> list[Patch]:
    """Who stands behind the holder in the line waits for nobody."""
    in_order = waiting.in_order

    def without_the_head(*given: Any) -> list[str]:
        names = in_order(*given)
        return names[1:] if len(names) > 1 else names

    return [(line, "in_order", without_the_head)]


@mutation("S70", faults=("freeze_holder",), clients=HOLDERS)
def check_of_a_multi_passes() -> list[Patch]:
    """A multi's check of a znode is passed, whatever has become of that."""

    def check(_tree: Tree, _check: Check, attempt: Attempt) -> Result:
        return Result(0, attempt.zxid)

    return [(operations, "_APPLY", {**operations._APPLY, Check: check})]
