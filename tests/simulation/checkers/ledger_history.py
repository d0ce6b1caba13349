"""What transactional producers did and were told, and what readers of committed records have read."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.simulation.checkers.log_history import Partition


@dataclass(slots=True, eq=False)
class Told:
    """One transaction: what was sent in it, in order, and what its producer was told of its end."""

    name: str
    values: list[tuple[Partition, bytes]] = field(default_factory=list)
    committed: bool | None = None
    """None: its producer does not know."""


@dataclass(slots=True)
class LedgerHistory:
    """All transactions and all readings. Every value is sent once."""

    transactions: list[Told] = field(default_factory=list)
    asked: set[bytes] = field(default_factory=set)
    """Values of the transactions whose producers have asked to commit them."""
    given_up: set[bytes] = field(default_factory=set)
    """Values of those whose producers have asked to abort them, or were replaced."""
    read: dict[str, dict[Partition, list[bytes]]] = field(default_factory=dict)
    """Reader -> partition -> values in the order of reading."""

    def note_read(self, reader: str, partition: Partition, value: bytes) -> None:
        """A reader of committed records was given ``value``."""
        self.read.setdefault(reader, {}).setdefault(partition, []).append(value)
