"""S33: compaction keeps of each key the newest record, and every record at its offset, in order.

Looked at on every replica's own log: what was acknowledged is there, or something newer of its key,
or nothing of its key but what is newer than its tombstone.  Who was away while a tombstone went keeps
what it had of that key.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from nodes.broker.partitions.replica import Replica
from tests.simulation.checkers.log_history import Partition
from tests.simulation.checkers.violation import require
from transport.wire.records import decode_rows, iterate_headers

NUMBER = "S33"


class KeyedRecord(NamedTuple):
    """A record as it was acknowledged, or as it stands in a log."""

    offset: int
    key: bytes | None
    value: bytes | None


def keyed_records(replica: Replica) -> list[KeyedRecord]:
    """Return what a replica's log holds."""
    log = replica.log
    if log is None:
        return []
    records: list[KeyedRecord] = []
    offset = log.log_start_offset
    while offset < log.log_end_offset:
        data = log.read(offset, 1 << 20, log.log_end_offset)
        for position, header in iterate_headers(data):
            rows = decode_rows(data[position : position + header.size_bytes])
            records += [KeyedRecord(row[0], row[2], row[3]) for row in rows if row[0] >= offset]
            offset = header.next_offset
    return records


def check_compacted(
    partition: Partition,
    acked: Sequence[KeyedRecord],
    logs: Mapping[str, Sequence[KeyedRecord]],
    away: Collection[str] = (),
) -> None:
    """Compare each replica's log with what was acknowledged; tombstones have no value.

    ``away``: whose replica was out of the ISR at some time.
    """
    told = {record.offset: record for record in acked}
    newest: dict[bytes | None, KeyedRecord] = {}
    for record in sorted(acked):
        newest[record.key] = record
    for host, log in logs.items():
        where = f"{partition} on {host}"
        offsets = [record.offset for record in log]
        require(offsets == sorted(set(offsets)), NUMBER, where, "is not in order:", offsets)
        for record in log:
            other = told.get(record.offset, record)
            require(other == record, NUMBER, where, f"has {record}, but acknowledged was {other}")
        held = {record.key: record.offset for record in log}
        for key, record in newest.items():
            gone = record.value is None and (key not in held or host in away)
            story = f"lacks {record}; of that key it has {held.get(key)} at most"
            require(gone or held.get(key, -1) >= record.offset, NUMBER, where, story)
