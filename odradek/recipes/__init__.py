"""Recipes of coordination: locks, elections, queues and more, each in a file of its own.

They are made by a client (``client.Lock(path)``) and use nothing but its public calls.  Each says
in its docstring what it guarantees when a session is lost.  Imported when first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from odradek.recipes.election import Election
    from odradek.recipes.line import HoldState, LockTimeout
    from odradek.recipes.lock import Lock
    from odradek.recipes.waiting import Cancelled

__all__ = ["Cancelled", "Election", "HoldState", "Lock", "LockTimeout"]

_HOMES = {
    "Cancelled": "waiting",
    "Election": "election",
    "HoldState": "line",
    "Lock": "lock",
    "LockTimeout": "line",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"odradek.recipes.{home}"), name)
