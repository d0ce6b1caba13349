"""The public client of Odradek: producer, consumer, admin and coordination.

Each is imported when first asked for: nodes use parts of this package and need none of its clients.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from odradek.coordination import CoordinationClient

__all__ = ["CoordinationClient"]

__version__ = "0.1.0"

_HOMES = {"CoordinationClient": "odradek.coordination"}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(home), name)
