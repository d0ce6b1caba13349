"""``odradek consume TOPIC``: records to standard output.

Owns the format of a line and when to end; the consumer does the work.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from odradek.commands.arguments import add_addresses, guarded, hosts, moment_ms, positive, whole
from odradek.commands.progress import Progress
from odradek.commands.record_json import line_of
from odradek.consumer.client import Consumer
from odradek.consumer.fetched_records import first_offset
from odradek.consumer.isolation import ISOLATION_LEVELS
from odradek.consumer.iteration import Polled
from odradek.consumer.offset_reset import BY_DURATION, duration_ms
from odradek.errors import UnknownTopicOrPartitionError
from odradek.records import ConsumerRecord
from transport.wire.ids import TopicPartition

POLL_RECORDS = 10_000
POLL_MS = 500

_EXAMPLES = """\
examples:
  odradek consume words --from-beginning --max-messages 2
  odradek consume words --from-beginning --timeout-ms 1000
  odradek consume words --from-beginning --to-end --format '%k %v %p %o\\n'
  odradek consume words --from-beginning --to-end --json --isolation read_committed
  odradek consume words --partition 0 --offset 42 --max-messages 1
  odradek consume words --since PT1H --follow --progress > words.txt
  odradek consume words --group readers --from-beginning --timeout-ms 5000

in --format: %k key, %v value, %p partition, %o offset, %t topic, %T timestamp (ms), %h headers
(a=b,c=d), %% a percent sign; \\n, \\t, \\r, \\0 and \\\\ as in C
"""

_FIELDS: dict[str, Callable[[ConsumerRecord], bytes]] = {
    "%k": lambda record: record.key or b"",
    "%v": lambda record: record.value or b"",
    "%p": lambda record: b"%d" % record.partition,
    "%o": lambda record: b"%d" % record.offset,
    "%t": lambda record: record.topic.encode(),
    "%T": lambda record: b"%d" % record.timestamp,
    "%h": lambda record: b",".join(
        b"%b=%b" % (name.encode(), content or b"") for name, content in record.headers
    ),
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
    _add_beginning(parser)
    _add_end(parser)
    parser.add_argument(
        "--group",
        metavar="G",
        help="read as a member of this group: go on where it has committed, and commit",
    )
    parser.add_argument(
        "--isolation",
        choices=tuple(ISOLATION_LEVELS),
        default="read_uncommitted",
        help="read_committed: nothing of a transaction that is open or aborted",
    )
    parser.add_argument(
        "--rack", default="", metavar="R", help="read from replicas there, where they are in sync"
    )
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument(
        "--format", default="%v\\n", metavar="F", help="of each record (default: '%%v\\n')"
    )
    shown.add_argument(
        "--json", action="store_true", help="print an object per record, a line each"
    )
    parser.add_argument("--progress", action="store_true", help="say how far it is, once a second")
    add_addresses(parser)
    parser.set_defaults(run=run)


def _add_beginning(parser: argparse.ArgumentParser) -> None:
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--from-beginning", action="store_true", help="begin with the oldest record")
    where.add_argument(
        "--since",
        metavar="WHEN",
        help="begin with records of then: so long ago (PT1H30M, P7D), ISO 8601 or milliseconds",
    )
    where.add_argument(
        "--offset",
        type=int,
        metavar="N",
        help="begin here; -N: N before the end (with --partition)",
    )
    parser.add_argument(
        "--partition",
        type=whole,
        action="append",
        metavar="N",
        help="read this one only; may be given again (default: all)",
    )


def _add_end(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--max-messages", type=positive, metavar="N", help="end after so many records"
    )
    parser.add_argument(
        "--timeout-ms", type=positive, metavar="T", help="end when nothing has come for so long"
    )
    end = parser.add_mutually_exclusive_group()
    end.add_argument(
        "--to-end", action="store_true", help="end where the partitions end when it begins"
    )
    end.add_argument(
        "--follow", action="store_true", help="wait for what comes, until Ctrl-C (the default)"
    )


def run(given: argparse.Namespace) -> int:
    """Print records until told to end; returns the exit status."""
    return guarded("consume", lambda: _consume(given))


def _consume(given: argparse.Namespace) -> int:
    render = line_of if given.json else compile_format(given.format)
    if given.offset is not None and not given.partition:
        raise ValueError("--offset N is one of a partition; give --partition too")
    progress = Progress("read", wanted=given.progress)
    with Consumer(
        bootstrap_servers=hosts(given),
        group_id=given.group,
        security=given.keys,
        auto_offset_reset=_reset(given),
        allow_auto_create_topics=False,
        isolation_level=given.isolation,
        client_rack=given.rack,
    ) as consumer:
        _begin(given, consumer)
        ends = _ends(given, consumer) if given.to_end else None
        try:
            _print_all(given, consumer, render, ends, progress)
        finally:
            progress.end()
    return 0


def _print_all(
    given: argparse.Namespace,
    consumer: Consumer,
    render: Render,
    ends: dict[TopicPartition, int] | None,
    progress: Progress,
) -> None:
    left: int | None = given.max_messages
    idle_ms = 0
    while left is None or left > 0:
        wait_ms = POLL_MS
        if given.timeout_ms is not None:
            wait_ms = min(POLL_MS, given.timeout_ms - idle_ms)
        polled = consumer.poll(wait_ms, min(POLL_RECORDS, left or POLL_RECORDS))
        _give(consumer, polled, render)
        for records in polled.values():
            left = None if left is None else left - len(records)
            if given.progress:
                progress.note(len(records), sum(len(one.value or b"") for one in records))
        if given.progress:
            progress.note(0, 0)
        if ends is not None and _is_at(consumer, ends):
            return
        idle_ms = 0 if polled else idle_ms + wait_ms
        if given.timeout_ms is not None and idle_ms >= given.timeout_ms:
            return


def _reset(given: argparse.Namespace) -> str:
    if given.since is None:
        return "earliest" if given.from_beginning else "latest"
    if duration_ms(given.since) is not None:
        return f"{BY_DURATION}{given.since}"
    ago_ms = time.time_ns() // 1_000_000 - moment_ms(given.since, "--since")
    if ago_ms < 0:
        raise ValueError(f"--since {given.since!r} is still to come")
    return f"{BY_DURATION}PT{ago_ms / 1000:f}S"


def _begin(given: argparse.Namespace, consumer: Consumer) -> None:
    """Subscribe, or take the partitions that were named, where they were to begin."""
    known = consumer.partitions_for_topic(given.topic)
    if given.partition:
        keys = [TopicPartition(given.topic, number) for number in given.partition]
        missing = [key for key in keys if key.partition not in (known or ())]
        if missing:
            has = f"has partitions 0 to {len(known) - 1}" if known else "is not there"
            raise UnknownTopicOrPartitionError(f"there is no {missing[0]}: {given.topic!r} {has}")
        consumer.assign(keys)
        if given.offset is not None:
            _seek(consumer, keys, given.offset)
        return
    if known is None and given.to_end:
        raise UnknownTopicOrPartitionError(f"there is no topic {given.topic!r}")
    if known is None:
        sys.stderr.write(f"odradek consume: no topic {given.topic!r} yet; waiting for it\n")
    consumer.subscribe([given.topic])


def _seek(consumer: Consumer, keys: Sequence[TopicPartition], offset: int) -> None:
    """Begin at an offset, −N: so many before the end; at the beginning where that comes later."""
    begins = consumer.beginning_offsets(keys)
    ends = consumer.end_offsets(keys) if offset < 0 else {}
    for key in keys:
        if 0 <= offset < begins[key]:
            sys.stderr.write(f"odradek consume: {key} begins at offset {begins[key]}\n")
        consumer.seek(key, max(begins[key], ends.get(key, 0) + offset))


def _ends(given: argparse.Namespace, consumer: Consumer) -> dict[TopicPartition, int]:
    numbers = given.partition or consumer.partitions_for_topic(given.topic) or ()
    return consumer.end_offsets(TopicPartition(given.topic, number) for number in numbers)


def _is_at(consumer: Consumer, ends: dict[TopicPartition, int]) -> bool:
    """Tell whether all that this consumer reads is read as far as it went."""
    assigned = consumer.assignment()
    try:
        at_end = all(consumer.position(key) >= ends.get(key, 0) for key in assigned)
    except ValueError:  # its group has taken a partition meanwhile
        return False
    return bool(assigned) and at_end


def _give(consumer: Consumer, polled: Polled, render: Render) -> None:
    """Print what was polled; what nobody has got, as by a broken pipe, a group is to read again."""
    left = dict(polled)
    try:
        for key, records in polled.items():
            _write(b"".join(map(render, records)))
            del left[key]
    except BaseException:
        for key, records in left.items():
            with contextlib.suppress(ValueError):  # its group has taken the partition meanwhile
                consumer.seek(key, first_offset(records))
        raise


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
