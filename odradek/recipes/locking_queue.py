"""LockingQueue: items that stay in the queue until their consumer says that it has done them."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import NamedTuple

from odradek.coordination.gathered import Outcomes
from odradek.coordination.znode_transaction import Transaction
from odradek.errors import (
    BadVersionError,
    NodeExistsError,
    NoNodeError,
    OdradekError,
    RolledBackError,
    RuntimeInconsistency,
    SessionExpiredError,
)
from odradek.recipes.queue import entries_in, entry_prefix
from odradek.recipes.waiting import (
    Bell,
    Client,
    Waiter,
    children_of,
    delete_quietly,
    joined,
    read,
    session_of,
    settle,
)

ENTRIES = "entries"
TAKEN = "taken"


class _Item(NamedTuple):
    """What this consumer works on."""

    name: str
    value: bytes
    version: int
    """Of the entry: it grows each time somebody takes it."""
    session_id: int


class LockingQueue:
    """A queue at ``path`` whose items are worked on by one consumer at a time, at least once each.

    :meth:`get` takes an item, :meth:`consume` removes it, :meth:`release` gives it back.  A lost
    session gives it back too.  Taking raises the version of the item and consuming names it, in one
    transaction each, so a consumer whose session was lost cannot remove what another one has taken
    since: its ``consume`` is False.  Items are persistent.  One object works on one item at a time.
    """

    def __init__(self, client: Client, path: str) -> None:
        self.path = path
        self._client = client
        self._entries = joined(path, ENTRIES)
        self._taken = joined(path, TAKEN)
        self._item: _Item | None = None
        self._bell = Bell()

    def put(self, value: bytes, priority: int = 100) -> None:
        """Add an item; a lower ``priority`` (0 to 999) is taken first."""
        self.put_all([value], priority)

    def put_all(self, values: Iterable[bytes], priority: int = 100) -> None:
        """Add items, all of them or none."""
        prefix = joined(self._entries, entry_prefix(priority))
        read(self._client, lambda: self._client.ensure_path_async(self._entries))
        transaction = self._client.transaction()
        for value in values:
            transaction.create(prefix, value, sequence=True)
        for outcome in self._commit(transaction):
            if isinstance(outcome, OdradekError):
                raise outcome

    def get(self, timeout: float | None = None) -> bytes | None:
        """Take the first free item; None after ``timeout`` seconds (None: wait for ever).

        Without a ``consume`` or ``release`` in between the same item is given again.
        """
        item = self._item
        if item is not None and item.session_id == session_of(self._client):
            return item.value
        self._item = None
        waiter = Waiter(self._client.waiting, timeout)
        for folder in (self._entries, self._taken):
            read(self._client, partial(self._client.ensure_path_async, folder))
        while True:
            with self._bell.flag(waiter) as changed:
                try:
                    # Both folders are watched: items come, and items are given back.
                    item = self._take_first(None if timeout == 0 else self._bell)
                except SessionExpiredError:
                    continue
                if item is not None:
                    self._item = item
                    return item.value
                if timeout == 0 or not waiter.until(lambda changed=changed: changed.up):  # type: ignore[misc]
                    return None

    def consume(self) -> bool:
        """Remove the item that was taken. False: none was, or it was lost with its session.

        An item whose removal is refused (NoAuthError) is given back: somebody else may be let.
        """
        item, self._item = self._item, None
        if item is None:
            return False
        transaction = self._client.transaction()
        transaction.delete(joined(self._entries, item.name), item.version)
        transaction.delete(joined(self._taken, item.name))
        committed = transaction.commit_async()
        committed.add_done_callback(partial(self._give_back_refused, item))
        return _all_done(settle(self._client, committed))

    def release(self) -> bool:
        """Give the item back. False: none was taken, or it was lost with its session."""
        item, self._item = self._item, None
        if item is None:
            return False
        return _all_done(self._commit(self._releasing(item)))

    def holds_lock(self) -> bool:
        """Say whether the item that was taken is still ours, by the coordinator's word."""
        item = self._item
        if item is None:
            return False
        path = joined(self._taken, item.name)
        stat = read(self._client, lambda: self._client.exists_async(path))
        return stat is not None and stat.ephemeralOwner == item.session_id

    def __len__(self) -> int:
        return len(entries_in(children_of(self._client, self._entries)))

    # Inside

    def _take_first(self, watch: Bell | None) -> _Item | None:
        taken = children_of(self._client, self._taken, watch)
        names = children_of(self._client, self._entries, watch)
        for name in entries_in(names):
            item = None if name in taken else self._take(name)
            if item is not None:
                return item
        return None

    def _take(self, name: str) -> _Item | None:
        path = joined(self._entries, name)
        try:
            value, stat = settle(self._client, self._client.get_async(path))
        except NoNodeError:
            return None
        session_id = session_of(self._client)
        transaction = self._client.transaction()
        transaction.create(joined(self._taken, name), ephemeral=True)
        transaction.set_data(path, value, stat.version)
        committed = transaction.commit_async()
        try:
            outcomes = settle(self._client, committed)
        except BaseException:
            committed.add_done_callback(partial(self._give_back, name))
            raise
        if not _all_done(outcomes):
            return None
        if session_id != session_of(self._client):
            raise SessionExpiredError
        return _Item(name, value, stat.version + 1, session_id)

    def _give_back(self, name: str, committed: Future[Outcomes]) -> None:
        """Free an item whose taker waits no more, if it comes to be taken."""
        if committed.exception() is None and _all_done(committed.result()):
            delete_quietly(self._client, joined(self._taken, name))

    def _give_back_refused(self, item: _Item, consumed: Future[Outcomes]) -> None:
        """Free an item that may not be removed: locked it is until our session ends, for nothing."""
        try:
            _all_done(consumed.result())
        except SessionExpiredError:
            pass  # it took the lock along
        except OdradekError:
            with suppress(OdradekError):  # closed by now: the session takes the lock along
                self._releasing(item).commit_async()

    def _releasing(self, item: _Item) -> Transaction:
        """Return what frees the item, unless somebody else has taken it since."""
        transaction = self._client.transaction()
        transaction.check(joined(self._entries, item.name), item.version)
        transaction.delete(joined(self._taken, item.name))
        return transaction

    def _commit(self, transaction: Transaction) -> Outcomes:
        return settle(self._client, transaction.commit_async())


def _all_done(outcomes: Outcomes) -> bool:
    """Say whether it was done; False: somebody else was first. Other errors are raised."""
    expected = (
        BadVersionError,
        NodeExistsError,
        NoNodeError,
        RolledBackError,
        RuntimeInconsistency,
    )
    for outcome in outcomes:
        if isinstance(outcome, OdradekError) and not isinstance(outcome, expected):
            raise outcome
    return not any(isinstance(outcome, OdradekError) for outcome in outcomes)
