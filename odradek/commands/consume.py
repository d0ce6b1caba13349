"""``odradek consume TOPIC``: records to standard output.

Owns the format of a line and when to end; the consumer does the work.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

from odradek.commands.arguments import add_addresses, guarded, hosts, positive
from odradek.consumer import Consumer
from odradek.records import ConsumerRecord

POLL_RECORDS = 10_000
POLL_MS = 500

_EXAMPLES = """\
examples:
  odradek consume words --from-beginning --max-messages 2
  odradek consume words --from-beginning --timeout-ms 1000
  odradek consume words --format '%k %v %p %o\\n'
  odradek consume words --group readers --from-beginning --timeout-ms 5000

in --format: %k key, %v value, %p partition, %o offset, %t topic, %T timestamp (ms), %% a percent
sign; \\n, \\t, \\r, \\0 and \\\\ as in C
"""

_FIELDS: dict[str, Callable[[ConsumerRecord], bytes]] = {
    "%k": lambda record: record.key or b"",
    "%v": lambda record: record.value or b"",
    "%p": lambda record: b"%d" % record.partition,
    "%o": lambda record: b"%d" % record.offset,
    "%t": lambda record: record.topic.encode(),
    "%T": lambda record: b"%d" % record.timestamp,
}
_LITERALS = {"%%": "%", "\\n": "\n", "\\t": "\t", "\\r": "\r", "\\0": "\0", "\\\\": "\\"}
_TOKEN = re.compile(r"%.?|\\.?|[^%\\]+", re.DOTALL)

Render = Callable[[ConsumerRecord], bytes]


def add_parser(subparsers: Any) -> None:
    """Mount ``consume`` on the command line's tree."""
    parser = subparsers.add_parser(
        "consume",
        help="print the records of a topic",
        description="Print the records of a topic: what comes from now on, until Ctrl-C.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("topic", metavar="TOPIC")
    parser.add_argument(
        "--from-beginning", action="store_true", help="begin with the oldest record"
    )
    parser.add_argument(
        "--group",
        metavar="G",
        help="read as a member of this group: go on where it has committed, and commit",
    )
    parser.add_argument(
        "--max-messages", type=positive, metavar="N", help="end after so many records"
    )
    parser.add_argument(
        "--timeout-ms", type=positive, metavar="T", help="end when nothing has come for so long"
    )
    parser.add_argument(
        "--format", default="%v\\n", metavar="F", help="of each record (default: '%%v\\n')"
    )
    add_addresses(parser)
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """Print records until told to end; returns the exit status."""
    return guarded("consume", lambda: _consume(given))


def _consume(given: argparse.Namespace) -> int:
    render = compile_format(given.format)
    with Consumer(
        given.topic,
        bootstrap_servers=hosts(given),
        group_id=given.group,
        security=given.keys,
        auto_offset_reset="earliest" if given.from_beginning else "latest",
        allow_auto_create_topics=False,
    ) as consumer:
        if consumer.partitions_for_topic(given.topic) is None:
            sys.stderr.write(f"odradek consume: no topic {given.topic!r} yet; waiting for it\n")
        left: int | None = given.max_messages
        idle_ms = 0
        while left is None or left > 0:
            wait_ms = POLL_MS
            if given.timeout_ms is not None:
                wait_ms = min(POLL_MS, given.timeout_ms - idle_ms)
            polled = consumer.poll(wait_ms, min(POLL_RECORDS, left or POLL_RECORDS))
            for records in polled.values():
                _write(b"".join(map(render, records)))
                left = None if left is None else left - len(records)
            idle_ms = 0 if polled else idle_ms + wait_ms
            if given.timeout_ms is not None and idle_ms >= given.timeout_ms:
                break
    return 0


def _write(data: bytes) -> None:
    sys.stdout.flush()
    view = memoryview(data)
    while view:
        view = view[os.write(sys.stdout.fileno(), view) :]


def compile_format(text: str) -> Render:
    """Return a function from record to line; ValueError for an unknown ``%`` or ``\\``."""
    pieces: list[Render] = []
    for token in _TOKEN.findall(text):
        field = _FIELDS.get(token)
        if field is not None:
            pieces.append(field)
        elif token in _LITERALS:
            pieces.append(_literal(_LITERALS[token]))
        elif token[0] in "%\\":
            known = " ".join((*_FIELDS, *_LITERALS))
            raise ValueError(f"--format: {token!r} means nothing; there are {known}")
        else:
            pieces.append(_literal(token))
    return _joined(pieces)


def _literal(text: str) -> Render:
    data = os.fsencode(text)
    return lambda _record: data


def _joined(pieces: Sequence[Render]) -> Render:
    if len(pieces) == 1:
        return pieces[0]
    return lambda record: b"".join([piece(record) for piece in pieces])
