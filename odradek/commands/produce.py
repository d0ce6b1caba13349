"""``odradek produce TOPIC``: lines from standard input, a record each.

Owns the splitting of lines and keys, and the exit status: 0 only when every line was acked.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from odradek.commands.arguments import EXIT_FAILED, EXIT_WRONG, add_addresses, guarded, hosts
from odradek.futures import ManyFuture
from odradek.producer import Producer

READ_BYTES = 256 * 1024
CHUNKS_MAX = 256
"""Of acks not looked at yet: about as many bytes as the producer holds anyway."""

_EXAMPLES = """\
examples:
  printf 'a\\nb\\n' | odradek produce words
  printf 'k1:a\\nk2:b\\n' | odradek produce words --key-separator :
  odradek produce words --acks 1 < big.txt
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
    parser.add_argument(
        "--key-separator", metavar="S", help="what stands between key and value on each line"
    )
    parser.add_argument(
        "--acks", choices=("0", "1", "all"), default="all", help="who must have it (default: all)"
    )
    parser.add_argument(
        "--compression", choices=("none", "gzip", "snappy", "lz4", "zstd"), default="none"
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=60.0,
        metavar="S",
        help="seconds that a line may take to be acked (default: 60)",
    )
    add_addresses(parser)
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """Read lines until the end of input; returns the exit status."""
    return guarded("produce", lambda: _produce(given))


def _produce(given: argparse.Namespace) -> int:
    if given.key_separator == "":
        raise ValueError("--key-separator is empty; give what stands between key and value")
    separator: bytes | None = os.fsencode(given.key_separator) if given.key_separator else None
    timeout_ms = max(1, int(given.timeout * 1000))
    producer = Producer(
        hosts(given),
        security=given.keys,
        acks=given.acks,
        compression_type=given.compression,
        max_block_ms=timeout_ms,
        delivery_timeout_ms=timeout_ms,
    )
    acks: deque[ManyFuture] = deque()
    wrong: str | None = None
    try:
        count = 0
        for lines in _lines(sys.stdin.fileno()):
            pairs, wrong = _pairs(lines, separator, count)
            count += len(pairs)
            if pairs:
                acks.append(producer.send_many(given.topic, pairs))
            while acks and (len(acks) > CHUNKS_MAX or acks[0].done()):
                acks.popleft().result()
            if wrong is not None:
                break
        while acks:
            acks.popleft().result()
    except BaseException:
        producer.close(0)
        raise
    producer.close()
    if wrong is not None:
        sys.stderr.write(f"odradek produce: {wrong}\n")
        return EXIT_WRONG if count == 0 else EXIT_FAILED
    return 0


def _pairs(
    lines: Sequence[bytes], separator: bytes | None, before: int
) -> tuple[list[Pair], str | None]:
    """Return the records of some lines, and what is wrong with the line after them."""
    if separator is None:
        return [(None, line) for line in lines], None
    pairs: list[Pair] = []
    for line in lines:
        key, found, value = line.partition(separator)
        if not found:
            number = before + len(pairs) + 1
            shown = os.fsdecode(separator)
            return pairs, (
                f"line {number} has no {shown!r} between key and value; "
                "the lines before it were written"
            )
        pairs.append((key, value))
    return pairs, None


def _lines(descriptor: int) -> Iterator[list[bytes]]:
    """Give the lines that have come, as soon as any has; the last one may lack its end."""
    rest = b""
    while data := os.read(descriptor, READ_BYTES):
        *lines, rest = (rest + data).split(b"\n")
        if lines:
            yield lines
    if rest:
        yield [rest]
