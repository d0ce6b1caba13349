"""DoubleBarrier: a number of clients begin together and end together."""

from __future__ import annotations

from odradek.coordination.znode_values import ZnodeStat
from odradek.errors import BadVersionError, NodeExistsError, NoNodeError, SessionExpiredError
from odradek.recipes.lock import LockTimeout, identifier_bytes
from odradek.recipes.waiting import (
    Bell,
    Client,
    Waiter,
    children_of,
    delete_quietly,
    delete_when_made,
    in_order,
    joined,
    session_of,
)

MEMBER = "member-"
READY = "ready"


class DoubleBarrier:
    """``num_clients`` enter together and leave together at ``path``; it may be used again.

    Members are ephemeral: one whose session is lost counts no more, neither as entered (an
    ``enter`` that still waits begins anew) nor as somebody whom the others wait for in ``leave``.
    "Ready" is for those who were members when it was said, so what an earlier round has left behind
    lets nobody in.
    """

    def __init__(
        self, client: Client, path: str, num_clients: int, identifier: str | bytes | None = None
    ) -> None:
        if num_clients < 1:
            raise ValueError("num_clients is at least 1")
        self.path = path
        self.num_clients = num_clients
        self._client = client
        self._identifier = identifier_bytes(identifier)
        self._own: tuple[str, ZnodeStat] | None = None
        self._bell = Bell()

    @property
    def participating(self) -> bool:
        """True from entering until leaving, while the session lives."""
        return self._own is not None and self._lives()

    def enter(self, timeout: float | None = None) -> None:
        """Wait until ``num_clients`` are here. LockTimeout: then this one is not."""
        waiter = Waiter(self._client.waiting, timeout)
        entered = False
        try:
            while not entered:
                try:
                    entered = self._try_to_enter(waiter)
                except SessionExpiredError:
                    self._own = None
        except TimeoutError as error:
            raise LockTimeout(f"{self.path}: {self.num_clients} clients did not come") from error
        finally:
            if not entered:
                self._forget()

    def leave(self, timeout: float | None = None) -> None:
        """Wait until all that entered have come here or are gone. LockTimeout: this one left."""
        waiter = Waiter(self._client.waiting, timeout)
        try:
            while not self._try_to_leave(waiter):
                pass
        except TimeoutError as error:
            raise LockTimeout(f"{self.path}: not all have left") from error
        finally:
            self._forget()

    # Inside

    def _try_to_enter(self, waiter: Waiter) -> bool:
        own = self._own
        if own is None or not self._lives():
            made = self._client.create_async(
                joined(self.path, MEMBER),
                self._identifier,
                ephemeral=True,
                sequence=True,
                makepath=True,
                include_data=True,
            )
            try:
                own = self._own = waiter.settle(made)
            except BaseException:
                delete_when_made(self._client, made)
                raise
        ready = joined(self.path, READY)
        with self._bell.flag(waiter) as told:
            stat = waiter.settle(self._client.exists_async(ready, self._bell))
            if stat is not None and stat.mzxid > own[1].czxid:
                return True
            if len(self._members(waiter)) >= self.num_clients:
                self._say_ready(waiter, ready, stat)
            elif not waiter.until(lambda: told.up):
                raise TimeoutError
        return False

    def _say_ready(self, waiter: Waiter, ready: str, stat: ZnodeStat | None) -> None:
        """Say it once: of several who see that all are here, the first one's word counts."""
        try:
            if stat is None:
                waiter.settle(self._client.create_async(ready))
            else:
                waiter.settle(self._client.set_async(ready, b"", stat.version))
        except (NodeExistsError, BadVersionError):
            pass

    def _try_to_leave(self, waiter: Waiter) -> bool:
        """The first member stays until it is the last; the others go, and wait for the first."""
        try:
            members = self._members(waiter)
            own = self._own[0].rpartition("/")[2] if self._own is not None else ""
            if not members or members == [own]:
                return True
            if members[0] == own:
                wait_for = members[-1]
            else:
                wait_for = members[0]
                if own in members:
                    delete_quietly(self._client, joined(self.path, own))
            with self._bell.flag(waiter) as gone:
                waiter.settle(self._client.get_async(joined(self.path, wait_for), self._bell))
                if not waiter.until(lambda: gone.up):
                    raise TimeoutError
        except (NoNodeError, SessionExpiredError):
            pass
        return False

    def _members(self, waiter: Waiter) -> list[str]:
        return in_order(children_of(self._client, self.path, None, waiter), MEMBER)

    def _lives(self) -> bool:
        own = self._own
        return own is not None and own[1].ephemeralOwner == session_of(self._client)

    def _forget(self) -> None:
        own, self._own = self._own, None
        if own is not None and own[1].ephemeralOwner == session_of(self._client):
            delete_quietly(self._client, own[0])
