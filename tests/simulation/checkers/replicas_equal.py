"""S27: the logs of a partition's replicas are equal as far as they are committed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.simulation.checkers.log_history import Partition
from tests.simulation.checkers.violation import require
from transport.wire.records import BatchHeader

NUMBER = "S27"


def check_replicas_equal(
    partition: Partition, committed: int, logs: Mapping[str, Sequence[BatchHeader]]
) -> None:
    """Compare the batches below ``committed`` by place, epoch, producer and checksum."""
    known: dict[int, tuple[str, BatchHeader]] = {}
    for host, headers in logs.items():
        for header in headers:
            if header.last_offset >= committed:
                continue
            first, other = known.setdefault(header.base_offset, (host, header))
            both = first, other, host, header
            require(other == header, NUMBER, partition, "differs between replicas:", *both)
