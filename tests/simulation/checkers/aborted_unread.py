"""S40: nobody who reads committed records reads what was aborted. Jepsen's ``G1a``."""

from __future__ import annotations

from tests.simulation.checkers.ledger_history import LedgerHistory
from tests.simulation.checkers.violation import require

NUMBER = "S40"


def check_aborted_unread(history: LedgerHistory) -> None:
    """Look at every value that any reader was given."""
    owners = {value: one for one in history.transactions for _, value in one.values}
    for reader, partitions in history.read.items():
        for partition, values in partitions.items():
            for value in values:
                never_asked = value in history.given_up and value not in history.asked
                aborted = owners[value].committed is False or never_asked
                require(not aborted, NUMBER, reader, "read", value, "of", partition, "aborted")
