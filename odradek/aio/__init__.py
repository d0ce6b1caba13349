"""The clients for asyncio: the same names and arguments, awaited.

Each is imported when first asked for, so that one does not pay for the others.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from odradek.aio.admin import AdminClient
    from odradek.aio.consumer import Consumer
    from odradek.aio.coordination import CoordinationClient
    from odradek.aio.producer import Producer

__all__ = ["AdminClient", "Consumer", "CoordinationClient", "Producer"]

_HOMES = {
    "AdminClient": "odradek.aio.admin",
    "Consumer": "odradek.aio.consumer",
    "CoordinationClient": "odradek.aio.coordination",
    "Producer": "odradek.aio.producer",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home), name)
