"""Planted bugs of transactions."""

from __future__ import annotations

from typing import Any

from nodes.broker import marker_sender
from nodes.core.partition.transactions import Transactions
from tests.simulation.mutations.registry import Patch, mutation

LEDGERS = {"ledgers": 2}


@mutation("S40", clients=LEDGERS)
def aborted_not_named() -> list[Patch]:
    """A leader does not tell readers of committed records what was aborted."""

    def nothing(self: Transactions, start: Any, end: Any) -> list[Any]:
        return []

    return [(Transactions, "aborted_within", nothing)]


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
