"""What a program hears of rebalances: called by its own polls, before they go on."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from odradek.consumer.rebalancing import ASSIGNED, REVOKED, Change
from transport.wire.ids import TopicPartition


class ConsumerRebalanceListener:
    """To be extended; methods are called on the program's thread: by ``poll``, which they may not call.

    What a member still has when it leaves (``close``, ``unsubscribe``, ``assign``) is revoked by
    these, on their thread.  With :mod:`odradek.aio` the methods may be coroutines.
    """

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> object:
        """These are given up as soon as this returns; they can still be committed."""

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> object:
        """These are read from now on, beginning at their commits unless this seeks."""

    def on_partitions_lost(self, lost: Collection[TopicPartition]) -> object:
        """These are given up already, and may be read by others; by default as if revoked."""
        return self.on_partitions_revoked(lost)


class Listening:
    """A consumer's listener, if it has one, and whether it is being called."""

    def __init__(self) -> None:
        self.listener: ConsumerRebalanceListener | None = None
        self.is_called = False

    @contextmanager
    def telling(self, change: Change) -> Iterator[object]:
        """Call the listener, and give what its method returns; the call ends with the block."""
        self.is_called = True
        try:
            yield self._call(change)
        finally:
            self.is_called = False

    def _call(self, change: Change) -> object:
        listener = self.listener
        if listener is None:
            return None
        if change.kind == REVOKED:
            return listener.on_partitions_revoked(change.partitions)
        if change.kind == ASSIGNED:
            return listener.on_partitions_assigned(change.partitions)
        return listener.on_partitions_lost(change.partitions)
