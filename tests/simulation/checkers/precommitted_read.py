"""S60: a record of a transaction is read only once its producer has asked to commit it.

Jepsen's ``precommitted-read`` (G1b), by readers of committed records.
"""

from __future__ import annotations

from tests.simulation.checkers.ledger_history import LedgerHistory
from tests.simulation.checkers.violation import require

NUMBER = "S60"


def check_asked(history: LedgerHistory, reader: str, value: bytes) -> None:
    """Judge a value at the moment at which it is read; of what was to be aborted S40 speaks."""
    decided = value in history.asked or value in history.given_up
    require(decided, NUMBER, reader, "read", value, "before it was to be committed")
