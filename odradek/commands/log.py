"""``odradek log dump|verify FILE``: what stands in a segment of a partition's log, and if it is sound.

Reads files, no cluster is needed.  The format is Kafka's, so segments of an Apache Kafka are read as
well.  Owns what is printed; batches are read by ``transport.wire``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from odradek.commands.arguments import EXIT_FAILED, EXIT_WRONG
from odradek.commands.counting import counted
from transport.wire.batch import HEADER_BYTES, BatchHeader, RecordError, check_batches, read_header
from transport.wire.batch_reader import decode_batch
from transport.wire.compression import CODEC_NAMES

_EXAMPLES = """\
examples:
  odradek log dump data/broker-1/logs/words-0/00000000000000000000.log
  odradek log dump 00000000000000000000.log --records
  odradek log verify 00000000000000000000.log --json
"""
_FOLLOWS_BYTES = 256 * 1024 * 1024
"""No batch is larger: a length above it is damage, and not read for."""


class Found(NamedTuple):
    """A batch in the file, or what is wrong there; ``fault`` empty: it is sound."""

    position: int
    header: BatchHeader | None
    batch: bytes
    fault: str


def add_parser(subparsers: Any) -> None:
    """Mount ``log`` and its commands on the command line's tree."""
    log = subparsers.add_parser(
        "log",
        help="print and verify the files of partitions' logs",
        description="Print and verify the files of partitions' logs. A broker may be running.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    tree = log.add_subparsers(dest="log_command", metavar="COMMAND", required=True)
    dump = _add(tree, "dump", "print the batches of a segment, a line each")
    dump.add_argument("--records", action="store_true", help="print the records as well")
    dump.set_defaults(run=lambda given: _run(given, _dump))
    verify = _add(tree, "verify", "check lengths, offsets, leader epochs and CRCs")
    verify.set_defaults(run=lambda given: _run(given, _verify))


def _add(tree: Any, name: str, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = tree.add_parser(
        name,
        help=text,
        description=f"{text[0].upper()}{text[1:]}. Exit status 1: something is wrong in it.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="a segment: a file named OFFSET.log"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, one object a line")
    return parser


def _run(given: argparse.Namespace, command: Any) -> int:
    try:
        with given.file.open("rb") as file:
            status: int = command(given, file)
    except OSError as error:
        sys.stderr.write(f"odradek log {given.log_command}: {given.file}: {error.strerror}\n")
        return EXIT_WRONG
    return status


def batches(file: BinaryIO) -> Iterator[Found]:
    """Walk over a segment; ends with the first batch that is not sound."""
    position, end, expected, epoch = 0, file.seek(0, 2), 0, -1
    while position < end:
        file.seek(position)
        start = file.read(HEADER_BYTES)
        try:
            header = read_header(start)
            if position + header.size_bytes > end or header.size_bytes > _FOLLOWS_BYTES:
                yield Found(position, header, b"", "it is cut short, as by an interrupted write")
                return
            batch = start + file.read(header.size_bytes - HEADER_BYTES)
            check_batches(batch)
        except RecordError as error:
            yield Found(position, None, b"", error.text)
            return
        fault = ""
        if header.base_offset < expected:
            fault = f"its offset is {header.base_offset}, after {expected - 1}"
        elif header.leader_epoch < epoch:
            fault = f"its leader epoch is {header.leader_epoch}, after {epoch}"
        yield Found(position, header, batch, fault)
        if fault:
            return
        position += header.size_bytes
        expected, epoch = header.next_offset, header.leader_epoch


def _dump(given: argparse.Namespace, file: BinaryIO) -> int:
    for found in batches(file):
        if found.header is not None:
            _print_batch(found.position, found.header, as_json=given.json)
            if given.records and found.batch and not found.header.is_control:
                _print_records(found.batch, as_json=given.json)
        if found.fault:
            sys.stderr.write(f"odradek log dump: position {found.position}: {found.fault}\n")
            return EXIT_FAILED
    return 0


def _verify(given: argparse.Namespace, file: BinaryIO) -> int:
    count = records = 0
    first: int | None = None
    last = -1
    fault, position = "", 0
    for found in batches(file):
        fault, position = found.fault, found.position
        if not fault and found.header is not None:
            first = found.header.base_offset if first is None else first
            last = found.header.last_offset
            count, records = count + 1, records + found.header.record_count
    if given.json:
        told = {"file": str(given.file), "batches": count, "records": records}
        told.update(first_offset=first, last_offset=None if first is None else last)
        print(json.dumps({**told, "sound": not fault, "position": position, "fault": fault}))
    elif fault:
        print(
            f"{given.file}: {counted(count, 'sound batch', 'sound batches')} up to offset {last}, then at {position}: {fault}"
        )
        print(
            "a broker cuts a torn end itself; it fetches a log damaged before its end from the leader"
        )
    else:
        held = f"{counted(count, 'batch', 'batches')} with {counted(records, 'record')}"
        print(f"{given.file}: sound, {held} up to offset {last}")
    return EXIT_FAILED if fault else 0


def _print_batch(position: int, header: BatchHeader, *, as_json: bool) -> None:
    told = {
        "position": position,
        "size_bytes": header.size_bytes,
        "base_offset": header.base_offset,
        "last_offset": header.last_offset,
        "records": header.record_count,
        "leader_epoch": header.leader_epoch,
        "codec": CODEC_NAMES.get(header.codec, str(header.codec)),
        "max_timestamp_ms": header.max_timestamp_ms,
        "log_append_time": header.is_log_append_time,
        "producer_id": header.producer_id,
        "producer_epoch": header.producer_epoch,
        "base_sequence": header.base_sequence,
        "transactional": header.is_transactional,
        "control": header.is_control,
        "delete_horizon_ms": header.delete_horizon_ms,
        "crc": header.crc,
    }
    print(
        json.dumps(told) if as_json else " ".join(f"{name}={value}" for name, value in told.items())
    )


def _print_records(batch: bytes, *, as_json: bool) -> None:
    try:
        records = decode_batch(batch, check_crc=False)
    except RecordError as error:
        sys.stderr.write(f"odradek log dump: {error.text}\n")
        return
    for record in records:
        told = {
            "offset": record.offset,
            "timestamp_ms": record.timestamp_ms,
            "key": _text(record.key),
            "value": _text(record.value),
            "headers": {name: _text(value) for name, value in record.headers},
        }
        line = json.dumps(told)
        print(line if as_json else f"  {line}")


def _text(data: bytes | None) -> str | None:
    return None if data is None else data.decode("utf-8", "backslashreplace")
