"""S41: a transaction is read whole and in its order, or not at all; one that is committed is read.

Jepsen's torn transactions, ``lost-write``, ``duplicate`` and ``int-nonmonotonic-send``.
"""

from __future__ import annotations

from tests.simulation.checkers.ledger_history import LedgerHistory
from tests.simulation.checkers.log_history import Excused
from tests.simulation.checkers.violation import require

NUMBER = "S41"


def check_transaction_whole(history: LedgerHistory, reader: str, is_excused: Excused) -> None:
    """Compare the transactions with what a reader of everything has read."""
    partitions = history.read.get(reader, {})
    seen = [value for values in partitions.values() for value in values]
    require(len(set(seen)) == len(seen), NUMBER, reader, "read a value twice")
    found = set(seen)
    for one in history.transactions:
        there = [value in found for where, value in one.values if not is_excused(where)]
        require(all(there) or not any(there), NUMBER, reader, "read only a part of", one.name)
        lost = one.committed and not all(there)
        require(not lost, NUMBER, reader, "has not read", one.name, "which was committed")
    _check_order(history, is_excused)


def _check_order(history: LedgerHistory, is_excused: Excused) -> None:
    places = {
        value: (one.name, place)
        for one in history.transactions
        for place, (_, value) in enumerate(one.values)
    }
    for reader, partitions in history.read.items():
        for partition, values in partitions.items():
            last: dict[str, int] = {}
            for name, place in map(places.__getitem__, values):
                rises = place > last.get(name, -1) or is_excused(partition)
                require(rises, NUMBER, reader, "of", partition, "read", name, "out of order")
                last[name] = place
