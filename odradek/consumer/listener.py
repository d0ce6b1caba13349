"""What a program hears of rebalances: called by its own polls, before they go on."""

from __future__ import annotations

from collections.abc import Collection

from transport.wire.ids import TopicPartition


class ConsumerRebalanceListener:
    """To be extended; each method is called within ``poll``, on the thread that polls, and may not poll.

    With :mod:`odradek.aio` the methods may be coroutines.
    """

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> object:
        """These are given up as soon as this returns; they can still be committed."""

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> object:
        """These are read from now on, beginning at their commits unless this seeks."""

    def on_partitions_lost(self, lost: Collection[TopicPartition]) -> object:
        """These are given up already, and may be read by others; by default as if revoked."""
        return self.on_partitions_revoked(lost)
