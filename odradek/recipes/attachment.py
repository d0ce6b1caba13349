"""The recipes as attributes of a client, by the names that kazoo's users know.

Each recipe is imported when it is first made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from odradek.recipes.waiting import REAL, Client, Waiting

if TYPE_CHECKING:
    from odradek.recipes.election import Election
    from odradek.recipes.lock import Lock


class Recipes:
    """What :class:`odradek.CoordinationClient` offers beyond single operations."""

    waiting: Waiting = REAL
    """How recipes wait: the simulator puts its own here."""

    def Lock(self: Client, path: str, identifier: str | bytes | None = None) -> Lock:  # noqa: N802
        """Return a lock; see :class:`odradek.recipes.lock.Lock`."""
        from odradek.recipes.lock import Lock

        return Lock(self, path, identifier)

    def Election(self: Client, path: str, identifier: str | bytes | None = None) -> Election:  # noqa: N802
        """Return an election; see :class:`odradek.recipes.election.Election`."""
        from odradek.recipes.election import Election

        return Election(self, path, identifier)
