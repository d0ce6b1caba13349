"""What producers sent and were told, and what readers read: the history that log checkers judge."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

Partition = tuple[str, int]
Place = tuple[Partition, int]
"""A partition and an offset in it."""
Excused = Callable[[Partition], bool]
"""Tells whether a partition promises nothing: every in-sync log of it lost its tail to power cuts."""

LAST_READER = "late-reader"
"""Who reads every partition from its beginning to its end, once everything has healed."""


@dataclass(slots=True)
class LogHistory:
    """Sends and reads as clients saw them. Every value is sent once, by one producer."""

    is_excused: Excused = lambda _: False
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

    refused: set[bytes] = field(default_factory=set)
    """Values of which their producers were told that they were not written, for good."""
    _polls: set[tuple[str, Partition, int]] = field(default_factory=set)
    """(reader, partition, how many records it had read of it): where a poll began."""

    def note_sent(self, partition: Partition, value: bytes, producer: str = "") -> None:
        """A producer sends ``value``."""
        self.sent[(partition, producer)].append(value)

    def note_acked(self, partition: Partition, offset: int, value: bytes) -> None:
        """A producer was told that ``value`` is at ``offset``."""
        self.acked[value] = (partition, offset)

    def note_refused(self, value: bytes) -> None:
        """A producer was told that ``value`` was not written, and never will be."""
        self.refused.add(value)

    def note_poll(self, reader: str, partition: Partition) -> None:
        """What ``reader`` reads next of a partition comes by a new poll."""
        self._polls.add((reader, partition, len(self.read[reader][partition])))

    def note_read(self, reader: str, partition: Partition, offset: int, value: bytes) -> None:
        """A reader read ``value`` at ``offset``."""
        self.read[reader][partition].append((offset, value))

    def readings(self) -> Iterator[tuple[str, Partition, list[tuple[int, bytes]]]]:
        """Yield what each reader has read of each partition that is not excused."""
        for reader, partitions in self.read.items():
            for partition, records in partitions.items():
                if records and not self.is_excused(partition):
                    yield reader, partition, records

    def between_polls(self, reader: str, partition: Partition, place: int) -> str:
        """Say, for people, whether a new poll began with the record at ``place``."""
        return "between polls" if (reader, partition, place) in self._polls else "within a poll"
