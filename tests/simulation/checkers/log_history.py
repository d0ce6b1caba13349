"""G1, G2, G3: what was acknowledged is there once, in order, and the same for every reader."""

from __future__ import annotations

from collections import Counter, defaultdict
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
    acked: dict[bytes, tuple[Partition, int]] = field(default_factory=dict)
    """Value -> where its producer was told that it is."""
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

    def check(self) -> None:
        """Assert everything that holds at any time."""
        self.check_one_order()
        self.check_readers_go_forward()
        self.check_no_duplicates()
        self.check_producer_order()

    def check_nothing_lost(self, reader: str) -> None:
        """G1: after ``reader`` has read all partitions to their ends, all that was acked is there."""
        values = {value for records in self.read[reader].values() for _, value in records}
        lost = sorted(value for value in self.acked if value not in values)
        assert not lost, f"G1: acked and lost: {lost[:10]} of {len(lost)}"

    def check_one_order(self) -> None:
        """G2: an offset holds one value, for every reader and for the producer's answer."""
        seen: dict[tuple[Partition, int], bytes] = {}
        for value, (partition, offset) in self.acked.items():
            known = seen.setdefault((partition, offset), value)
            assert known == value, f"G2: {partition} at {offset}: {known!r} and {value!r} acked"
        for reader, partitions in self.read.items():
            for partition, records in partitions.items():
                for offset, value in records:
                    known = seen.setdefault((partition, offset), value)
                    story = f"{partition} at {offset}: {known!r}, but {reader} read {value!r}"
                    assert known == value, f"G2: {story}"

    def check_readers_go_forward(self) -> None:
        """G2: no reader sees an offset twice, or goes back, or passes over one that others saw."""
        known: dict[Partition, set[int]] = defaultdict(set)
        for partitions in self.read.values():
            for partition, records in partitions.items():
                known[partition].update(offset for offset, _ in records)
        for reader, partitions in self.read.items():
            for partition, records in partitions.items():
                offsets = [offset for offset, _ in records]
                assert offsets == sorted(set(offsets)), f"G2: {reader} went back on {partition}"
                skipped = {
                    offset for offset in known[partition] if offsets[0] < offset < offsets[-1]
                }.difference(offsets)
                assert not skipped, f"G2: {reader} passed over {sorted(skipped)[:5]} of {partition}"

    def check_no_duplicates(self) -> None:
        """G3: a value is at one offset."""
        for reader, partitions in self.read.items():
            counted = Counter(value for records in partitions.values() for _, value in records)
            twice = sorted(value for value, times in counted.items() if times > 1)
            assert not twice, f"G3: {reader} read twice: {twice[:10]}"

    def check_producer_order(self) -> None:
        """G3: what one producer sent to a partition stands there in the order of sending."""
        for (partition, producer), values in self.sent.items():
            place = {value: number for number, value in enumerate(values)}
            for reader, partitions in self.read.items():
                order = [place[value] for _, value in partitions[partition] if value in place]
                story = f"{reader} read {producer}'s records of {partition} out of order"
                assert order == sorted(order), f"G3: {story}"
