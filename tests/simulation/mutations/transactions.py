"""Planted bugs of transactions."""

from __future__ import annotations

from typing import Any

from msgspec import structs

from nodes.broker.coordinators import marker_sender
from nodes.core.group import transactional
from nodes.core.partition.log_state import LogState
from nodes.core.partition.transactions import Transactions
from tests.simulation.mutations.registry import Patch, mutation

LEDGERS = {"ledgers": 2}
PIPELINES = {"pipelines": 2}


@mutation("S40", clients=LEDGERS)
def aborted_not_named() -> list[Patch]:
    """A leader does not tell readers of committed records what was aborted."""

    def nothing(self: Transactions, start: Any, end: Any) -> list[Any]:
        return []

    return [(Transactions, "aborted_within", nothing)]


@mutation("S60", clients=LEDGERS)
def open_ones_not_held_back() -> list[Patch]:
    """A leader gives readers of committed records what belongs to open transactions."""
    everything = property(lambda self: self.high_watermark)
    return [(LogState, "last_stable_offset", everything)]


@mutation("S41", clients=LEDGERS)
def half_a_transaction_committed() -> list[Patch]:
    """A coordinator commits in the first partition only, and aborts in the others."""
    honest = marker_sender._marker

    def torn(due: Any) -> Any:
        marker = honest(due)
        order = due.decision.order
        committed = order.committed and due.partition == order.partitions[0]
        return type(marker)(
            marker.producer_id,
            marker.producer_epoch,
            marker.coordinator_epoch,
            committed,
            marker.partitions,
        )

    return [(marker_sender, "_marker", torn)]


@mutation("S61", clients=PIPELINES)
def offsets_dropped_at_the_commit() -> list[Patch]:
    """A group's shard forgets the offsets of a transaction that commits, as if it were aborted."""
    honest = transactional._end

    def forget(step: Any, marker: Any) -> None:
        honest(step, structs.replace(marker, committed=False))

    return [(transactional, "_end", forget)]
