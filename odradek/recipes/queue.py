"""Queue: items taken once, in order of priority and arrival."""

from __future__ import annotations

from odradek.errors import NoNodeError
from odradek.recipes.waiting import (
    Bell,
    Client,
    Waiter,
    children_of,
    joined,
    number_of,
    read,
    settle,
)

ENTRY = "entry-"
PRIORITY_MAX = 999


def entry_prefix(priority: int) -> str:
    """Return how the names of items of this priority begin: the lower the sooner."""
    if isinstance(priority, bool) or not isinstance(priority, int):
        raise TypeError("a priority is a number")
    if not 0 <= priority <= PRIORITY_MAX:
        raise ValueError(f"a priority is from 0 to {PRIORITY_MAX}")
    return f"{ENTRY}{priority:03d}-"


def entries_in(names: list[str]) -> list[str]:
    """Return the items in the order in which they are to be taken."""
    return sorted(name for name in names if name.startswith(ENTRY) and number_of(name) >= 0)


class Queue:
    """A queue at ``path`` for many producers and consumers. Items are bytes, at most 1 MiB.

    Each item is taken by one consumer, and at most once: it is removed before it is returned, so an
    item is gone with a consumer that dies then.  Where that matters use :class:`LockingQueue`.
    Items are persistent and outlive every session.  ``put`` puts once, ``get`` takes once however
    often the connection is lost; SessionExpiredError and ClientTimeoutError leave open whether it
    was done.  Meant for thousands of items, not millions: each ``get`` lists them.
    """

    def __init__(self, client: Client, path: str) -> None:
        self.path = path
        self._client = client
        self._bell = Bell()

    def put(self, value: bytes, priority: int = 100) -> None:
        """Add an item; a lower ``priority`` (0 to 999) is taken first."""
        prefix = joined(self.path, entry_prefix(priority))
        settle(self._client, self._client.create_async(prefix, value, sequence=True, makepath=True))

    def get(self, timeout: float | None = 0.0) -> bytes | None:
        """Take the first item; None if there is none within ``timeout`` seconds (None: for ever)."""
        waiter = Waiter(self._client.waiting, timeout)
        read(self._client, lambda: self._client.ensure_path_async(self.path))
        while True:
            with self._bell.flag(waiter) as changed:
                watch = None if timeout == 0 else self._bell
                for name in entries_in(children_of(self._client, self.path, watch)):
                    value = self._take(joined(self.path, name))
                    if value is not None:
                        return value
                if timeout == 0 or not waiter.until(lambda changed=changed: changed.up):  # type: ignore[misc]
                    return None

    def __len__(self) -> int:
        return len(entries_in(children_of(self._client, self.path)))

    def _take(self, path: str) -> bytes | None:
        """Whoever deletes the item has it; another one's is passed over."""
        try:
            data, stat = read(self._client, lambda: self._client.get_async(path))
            settle(self._client, self._client.delete_async(path, stat.version))
        except NoNodeError:
            return None
        return data
