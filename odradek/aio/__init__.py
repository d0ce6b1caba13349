"""The clients for asyncio: the same names and arguments, awaited.

Each is imported when first asked for, so that one does not pay for the others.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from odradek.aio.coordination import CoordinationClient

__all__ = ["CoordinationClient"]

_HOMES = {"CoordinationClient": "odradek.aio.coordination"}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home), name)
