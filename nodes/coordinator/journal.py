"""The Raft log's way to the disk: written in the turn, synced by the pool, one sync at a time.

What is written while a sync is under way goes with the next one (group commit).  Messages that
promise something durable wait here until it is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from nodes.core.raft.events import RaftEffects
from nodes.storage.raft_log import RaftLog
from transport.driver.ports import Pool
from transport.kernel import Now, Outgoing

OnDurable = Callable[[int, Now], None]
"""Called with the sequence number up to which everything is durable."""


class Journal:
    """Orders of the Raft core to the disk, and what waits for them."""

    def __init__(
        self,
        log: RaftLog,
        pool: Pool,
        on_durable: OnDurable,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._log = log
        self._pool = pool
        self._on_durable = on_durable
        self._on_failure = on_failure
        self._written = 0
        self._synced = 0
        self._syncing = False
        self._held: deque[tuple[int, Sequence[Outgoing]]] = deque()

    @property
    def is_durable(self) -> bool:
        """True when everything written so far is on the disk."""
        return self._written == self._synced

    def write(self, effects: RaftEffects) -> None:
        """Write the disk orders of one step; raises StorageError. The sync starts by ``sync``."""
        if effects.sequence:
            self._log.write(effects.truncate_from, effects.append, effects.hard_state)
            self._written = effects.sequence

    def hold(self, messages: Sequence[Outgoing]) -> Sequence[Outgoing]:
        """Keep messages until all written so far is durable; returns those that may leave now."""
        if self.is_durable:
            return messages
        if messages:
            self._held.append((self._written, messages))
        return ()

    def release(self) -> list[Outgoing]:
        """Return the held messages whose promise is durable by now."""
        ready: list[Outgoing] = []
        while self._held and self._held[0][0] <= self._synced:
            ready.extend(self._held.popleft()[1])
        return ready

    def sync(self) -> None:
        """Start a sync if something was written since the last one began and none is under way."""
        if self._syncing or self.is_durable:
            return
        self._syncing = True
        sequence = self._written

        def done(outcome: object, now: Now) -> None:
            self._syncing = False
            if isinstance(outcome, BaseException):
                self._on_failure(outcome)
                return
            self._synced = sequence
            self._on_durable(sequence, now)

        self._pool.sync(self._log.sync, done)
