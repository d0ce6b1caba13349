"""Barrier: all wait until somebody lets them pass."""

from __future__ import annotations

from odradek.errors import NodeExistsError, NoNodeError, SessionExpiredError
from odradek.recipes.waiting import Bell, Client, Waiter, settle


class Barrier:
    """A barrier at ``path``: up while its znode is there.

    The znode is persistent: a lost session neither raises nor removes the barrier, and whoever
    waits goes on waiting in the next session.
    """

    def __init__(self, client: Client, path: str) -> None:
        self.path = path
        self._client = client
        self._bell = Bell()

    def create(self) -> bool:
        """Put the barrier up; False if it was up."""
        try:
            settle(self._client, self._client.create_async(self.path, makepath=True))
        except NodeExistsError:
            return False
        return True

    def remove(self) -> bool:
        """Let everybody pass; False if it was not up."""
        try:
            return settle(self._client, self._client.delete_async(self.path))
        except NoNodeError:
            return False

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the barrier is not up; False after ``timeout`` seconds."""
        waiter = Waiter(self._client.waiting, timeout)
        while True:
            with self._bell.flag(waiter) as removed:
                try:
                    looked = self._client.exists_async(self.path, self._bell)
                    if settle(self._client, looked) is None:
                        return True
                except SessionExpiredError:
                    continue
                if not waiter.until(lambda removed=removed: removed.up):  # type: ignore[misc]
                    return False
