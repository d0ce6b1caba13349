"""What producers sent and were told, and what readers read: the history that log checkers judge."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

Partition = tuple[str, int]
Place = tuple[Partition, int]
"""A partition and an offset in it."""


@dataclass(slots=True)
class LogHistory:
    """Sends and reads as clients saw them. Every value is sent once, by one producer."""

    sent: dict[tuple[Partition, str], list[bytes]] = field(
        default_factory=lambda: defaultdict(list)
    )
    """In the order of sending, per partition and producer."""
    acked: dict[bytes, Place] = field(default_factory=dict)
    """Value -> where its producer was told that it is; offset −1: written, nobody knows where."""
    read: dict[str, dict[Partition, list[tuple[int, bytes]]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    """Reader -> partition -> (offset, value) in the order of reading."""

    def note_sent(self, partition: Partition, value: bytes, producer: str = "") -> None:
        """A producer sends ``value``."""
        self.sent[(partition, producer)].append(value)

    def note_acked(self, partition: Partition, offset: int, value: bytes) -> None:
        """A producer was told that ``value`` is at ``offset``."""
        self.acked[value] = (partition, offset)

    def note_read(self, reader: str, partition: Partition, offset: int, value: bytes) -> None:
        """A reader read ``value`` at ``offset``."""
        self.read[reader][partition].append((offset, value))
