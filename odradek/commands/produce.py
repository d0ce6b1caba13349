"""``odradek produce TOPIC``: lines from standard input, a record each.

Owns the splitting of lines and keys, and the exit status: 0 only when every line was acked.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from odradek.commands.arguments import (
    EXIT_FAILED,
    EXIT_WRONG,
    add_addresses,
    guarded,
    hosts,
    moment_ms,
    seconds,
    whole,
)
from odradek.commands.progress import Progress
from odradek.commands.record_json import record_from
from odradek.producer.client import Producer
from odradek.producer.futures import WatchedFuture

READ_BYTES = 256 * 1024
LINE_BYTES_MAX = 32 * 1024 * 1024
"""As much as a producer holds at all; a topic takes far less of one record."""
CHUNKS_MAX = 256
"""Of acks not looked at yet: about as many bytes as the producer holds anyway."""

_EXAMPLES = """\
examples:
  printf 'a\\nb\\n' | odradek produce words
  printf 'k1:a\\nk2:b\\n' | odradek produce words --key-separator :
  odradek produce words --partition 0 --header source=import --compression zstd < big.txt
  odradek produce words --timestamp 2026-11-28T06:00 --progress < old.txt
  echo '{"key": "k", "value": "v", "headers": {"h": "1"}}' | odradek produce words --json
  odradek consume words --from-beginning --to-end --json | odradek produce copy --json
"""

Pair = tuple[bytes | None, bytes]


def add_parser(subparsers: Any) -> None:
    """Mount ``produce`` on the command line's tree."""
    parser = subparsers.add_parser(
        "produce",
        help="write lines from standard input to a topic",
        description="Write the lines of standard input to a topic, a record each. "
        "Ends with status 0 only when every line was acked.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("topic", metavar="TOPIC")
    key = parser.add_mutually_exclusive_group()
    key.add_argument(
        "--key-separator", metavar="S", help="what stands between key and value on each line"
    )
    key.add_argument("--key", metavar="K", help="the key of every line")
    key.add_argument(
        "--json",
        action="store_true",
        help="each line is an object: key, value, headers, partition, timestamp (all optional; "
        "key_base64 and value_base64 for bytes); what `consume --json` prints",
    )
    parser.add_argument(
        "--header",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a header of every record; may be given again",
    )
    parser.add_argument(
        "--partition", type=whole, metavar="N", help="write there (default: by key, else evenly)"
    )
    parser.add_argument(
        "--timestamp", metavar="WHEN", help="ISO 8601 or milliseconds (default: now)"
    )
    parser.add_argument(
        "--acks", choices=("0", "1", "all"), default="all", help="who must have it (default: all)"
    )
    parser.add_argument(
        "--compression", choices=("none", "gzip", "snappy", "lz4", "zstd"), default="none"
    )
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=60.0,
        metavar="S",
        help="seconds that a line may take to be acked (default: 60)",
    )
    parser.add_argument("--progress", action="store_true", help="say how far it is, once a second")
    add_addresses(parser)
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """Read lines until the end of input; returns the exit status."""
    return guarded("produce", lambda: _produce(given))


class _EndlessLine(Exception):
    """What is read has no end of a line for longer than anything could be written."""


class _Marks(NamedTuple):
    """What every record has, unless its own line says something else."""

    key: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    partition: int | None
    timestamp_ms: int | None


class _Writing:
    """Hands lines to a producer, and remembers which acks are still to come."""

    def __init__(self, given: argparse.Namespace, producer: Producer) -> None:
        self._topic: str = given.topic
        self._producer = producer
        self._separator = os.fsencode(given.key_separator) if given.key_separator else None
        self._json: bool = given.json
        self._marks = _marks(given)
        self._acks: deque[Sequence[WatchedFuture[Any]]] = deque()
        self.count = 0

    def hand_over(self, lines: Sequence[bytes]) -> str | None:
        """Write some lines; returns what is wrong with the line after those that were written."""
        if self._json:
            acks, wrong = self._hand_over_json(lines)
        else:
            pairs, wrong = _pairs(lines, self._separator, self._marks.key, self.count)
            acks = self._hand_over_pairs(pairs)
            self.count += len(pairs)
        if acks:
            self._acks.append(acks)
        while self._acks and (len(self._acks) > CHUNKS_MAX or self._acks[0][-1].done()):
            self._look_at_oldest()
        return wrong

    def end(self) -> None:
        """Wait for every ack; raises the first error."""
        while self._acks:
            self._look_at_oldest()

    def _look_at_oldest(self) -> None:
        for ack in self._acks.popleft():
            ack.result()

    def _hand_over_pairs(self, pairs: Sequence[Pair]) -> Sequence[WatchedFuture[Any]]:
        marks, topic, producer = self._marks, self._topic, self._producer
        if not pairs:
            return ()
        if not marks.headers:
            many = producer.send_many(
                topic, pairs, partition=marks.partition, timestamp_ms=marks.timestamp_ms
            )
            return (many,)
        return [
            producer.send(topic, value, key, marks.partition, marks.headers, marks.timestamp_ms)
            for key, value in pairs
        ]

    def _hand_over_json(
        self, lines: Sequence[bytes]
    ) -> tuple[Sequence[WatchedFuture[Any]], str | None]:
        acks: list[WatchedFuture[Any]] = []
        for line in lines:
            try:
                record = record_from(line)
            except ValueError as error:
                return acks, f"line {self.count + 1}: {error}; the lines before it were written"
            marks = self._marks
            acks.append(
                self._producer.send(
                    self._topic,
                    record.value,
                    record.key,
                    marks.partition if record.partition is None else record.partition,
                    (*record.headers, *marks.headers),
                    marks.timestamp_ms if record.timestamp_ms is None else record.timestamp_ms,
                )
            )
            self.count += 1
        return acks, None


def _produce(given: argparse.Namespace) -> int:
    if given.key_separator == "":
        raise ValueError("--key-separator is empty; give what stands between key and value")
    timeout_ms = max(1, int(given.timeout * 1000))
    _marks(given)  # its errors come before anything is read
    producer = Producer(
        hosts(given),
        security=given.keys,
        acks=given.acks,
        compression_type=given.compression,
        max_block_ms=timeout_ms,
        delivery_timeout_ms=timeout_ms,
    )
    writing, progress = _Writing(given, producer), Progress("wrote", wanted=given.progress)
    try:
        wrong = _write_all(writing, progress)
        writing.end()
    except BaseException:
        producer.close(0)
        raise
    producer.close()
    progress.end()
    if wrong is not None:
        sys.stderr.write(f"odradek produce: {wrong}\n")
        return EXIT_WRONG if writing.count == 0 else EXIT_FAILED
    return 0


def _write_all(writing: _Writing, progress: Progress) -> str | None:
    """Hand over what comes; returns what is wrong with the line that it ended at."""
    try:
        for lines in _lines(sys.stdin.fileno()):
            before = writing.count
            wrong = writing.hand_over(lines)
            progress.note(writing.count - before, sum(map(len, lines)))
            if wrong is not None:
                return wrong
    except _EndlessLine:
        number, most = writing.count + 1, LINE_BYTES_MAX // 1024**2
        return f"line {number} is longer than {most} MiB; the lines before it were written"
    return None


def _marks(given: argparse.Namespace) -> _Marks:
    headers = []
    for word in given.header:
        name, equals, value = word.partition("=")
        if not name or not equals:
            raise ValueError(f"--header {word!r} is not NAME=VALUE; write --header source=import")
        headers.append((name, os.fsencode(value)))
    return _Marks(
        None if given.key is None else os.fsencode(given.key),
        tuple(headers),
        given.partition,
        None if given.timestamp is None else moment_ms(given.timestamp, "--timestamp"),
    )


def _pairs(
    lines: Sequence[bytes], separator: bytes | None, key: bytes | None, before: int
) -> tuple[list[Pair], str | None]:
    """Return the records of some lines, and what is wrong with the line after them."""
    if separator is None:
        return [(key, line) for line in lines], None
    pairs: list[Pair] = []
    for line in lines:
        own_key, found, value = line.partition(separator)
        if not found:
            number = before + len(pairs) + 1
            shown = os.fsdecode(separator)
            return pairs, (
                f"line {number} has no {shown!r} between key and value; "
                "the lines before it were written"
            )
        pairs.append((own_key, value))
    return pairs, None


def _lines(descriptor: int) -> Iterator[list[bytes]]:
    """Give the lines that have come, as soon as any has; the last one may lack its end.

    Raises _EndlessLine behind the last line of a sound length.
    """
    rest = b""
    while data := os.read(descriptor, READ_BYTES):
        *lines, rest = (rest + data).split(b"\n")
        if lines:
            yield lines
        if len(rest) > LINE_BYTES_MAX:
            raise _EndlessLine
    if rest:
        yield [rest]
