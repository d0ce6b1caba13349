"""``odradek bench produce|consume|end-to-end``: how fast this cluster is from here.

Owns what these commands take and print, and the topic that they use; ``load`` measures.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from odradek.admin.client import AdminClient, NewTopic
from odradek.commands.administration import Verbs, mount
from odradek.commands.arguments import hosts, positive, rate, whole
from odradek.commands.counting import counted
from odradek.commands.load import (
    VALUE_BYTES_MIN,
    Report,
    Shape,
    consume,
    end_to_end,
    produce,
)
from odradek.commands.progress import Progress
from odradek.consumer.client import Consumer
from odradek.producer.client import Producer
from transport.wire.ids import TopicPartition

_EXAMPLES = """\
examples:
  odradek bench produce
  odradek bench produce --records 5000000 --size 100 --different-keys 1000 --compression lz4
  odradek bench produce --one-by-one --acks 1 --json
  odradek bench consume --records 2000000
  odradek bench consume --topic words --records 100000 --iterate
  odradek bench end-to-end --rate 1000 --records 30000
"""


def add_parser(subparsers: Any) -> None:
    """Mount ``bench`` and its commands on the command line's tree."""
    verbs = mount(
        subparsers,
        "bench",
        "measure how fast the cluster is from here",
        _EXAMPLES,
        "Measure how fast the cluster is from here. Without --topic a topic is made for it and\n"
        "deleted in the end.",
    )
    write = _add(verbs, "produce", _produce, "write records, and time their acks", 1_000_000)
    _add_writing(write)
    write.add_argument("--rate", type=rate, metavar="R", help="records/s (default: no limit)")
    write.add_argument(
        "--one-by-one", action="store_true", help="by send with a future each (default: send_many)"
    )
    read = _add(verbs, "consume", _consume, "read records from the beginning", 1_000_000)
    read.add_argument(
        "--iterate", action="store_true", help="by iteration (default: by poll of many)"
    )
    both = _add(
        verbs,
        "end-to-end",
        _end_to_end,
        "write at a rate and read at once, and time each record on its way",
        10_000,
    )
    _add_writing(both)
    both.add_argument("--rate", type=rate, default=1000.0, metavar="R", help="default: 1000/s")


def _add(
    verbs: Verbs,
    verb: str,
    handler: Callable[[argparse.Namespace, AdminClient], None],
    text: str,
    records: int,
) -> argparse.ArgumentParser:
    parser = verbs.add(verb, handler, text, prints="a JSON object")
    parser.add_argument(
        "--records", type=positive, default=records, metavar="N", help=f"default: {records}"
    )
    parser.add_argument(
        "--size", type=positive, default=100, metavar="B", help="bytes of a value (default: 100)"
    )
    parser.add_argument("--topic", metavar="T", help="use this one, and keep it")
    parser.add_argument(
        "--partitions", type=positive, default=6, metavar="N", help="of a new topic (default: 6)"
    )
    parser.add_argument(
        "--replication-factor", type=positive, default=-1, metavar="R", help="of a new topic"
    )
    return parser


def _add_writing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--different-keys", type=whole, default=0, metavar="K", help="default: 0, records have none"
    )
    parser.add_argument("--acks", choices=("0", "1", "all"), default="all")
    parser.add_argument(
        "--compression", choices=("none", "gzip", "snappy", "lz4", "zstd"), default="none"
    )
    parser.add_argument("--linger-ms", type=whole, default=0, metavar="MS")


class _Place(NamedTuple):
    """Where the load goes, and how clients are made."""

    topic: str
    made: bool
    given: argparse.Namespace

    def producer(self, **settings: Any) -> Producer:
        return Producer(hosts(self.given), security=self.given.keys, **settings)

    def producer_as_asked(self) -> Producer:
        given = self.given
        return self.producer(
            acks=given.acks, compression_type=given.compression, linger_ms=given.linger_ms
        )

    def consumer(self) -> Consumer:
        return Consumer(
            bootstrap_servers=hosts(self.given),
            security=self.given.keys,
            auto_offset_reset="earliest",
            consumer_timeout_ms=self.given.timeout * 1000,
        )


@contextmanager
def _place(given: argparse.Namespace, admin: AdminClient) -> Iterator[_Place]:
    """Make a topic if none was named, and delete it in the end."""
    if given.topic is not None:
        admin.describe_topics([given.topic])
        yield _Place(given.topic, False, given)
        return
    name = f"odradek-bench-{os.getpid()}-{os.urandom(4).hex()}"
    admin.create_topics([NewTopic(name, given.partitions, given.replication_factor)])
    try:
        yield _Place(name, True, given)
    finally:
        admin.delete_topics([name])


def _produce(given: argparse.Namespace, admin: AdminClient) -> None:
    shape = Shape(given.records, given.size, given.different_keys, given.rate)
    with _place(given, admin) as place, place.producer_as_asked() as producer:
        producer.partitions_for(place.topic)
        progress = Progress("wrote", wanted=_watched(given))
        report = produce(producer, place.topic, shape, progress.note, one_by_one=given.one_by_one)
    _show(given, report, "acks took")


def _consume(given: argparse.Namespace, admin: AdminClient) -> None:
    with _place(given, admin) as place:
        if place.made:
            with place.producer() as producer:
                produce(producer, place.topic, Shape(given.records, given.size), _unsaid)
        with place.consumer() as consumer:
            consumer.assign(_partitions(admin, place.topic))
            progress = Progress("read", wanted=_watched(given))
            report = consume(consumer, given.records, progress.note, one_by_one=given.iterate)
    _show(given, report, "polls took")


def _end_to_end(given: argparse.Namespace, admin: AdminClient) -> None:
    if given.size < VALUE_BYTES_MIN:
        raise ValueError(f"--size {given.size}: at least {VALUE_BYTES_MIN} bytes hold the time")
    if given.rate <= 0:
        raise ValueError(f"--rate {given.rate}: give records per second above 0")
    shape = Shape(given.records, given.size, given.different_keys, given.rate)
    with _place(given, admin) as place, place.producer_as_asked() as producer:
        producer.partitions_for(place.topic)
        with place.consumer() as consumer:
            keys = _partitions(admin, place.topic)
            consumer.assign(keys)
            consumer.seek_to_end()
            for key in keys:
                consumer.position(key)
            progress = Progress("carried", wanted=_watched(given))
            report = end_to_end(producer, consumer, place.topic, shape, progress.note)
    _show(given, report, "from when it was due to when it was read:")


def _partitions(admin: AdminClient, topic: str) -> list[TopicPartition]:
    (described,) = admin.describe_topics([topic])
    return [TopicPartition(topic, part.partition) for part in described.partitions]


def _watched(given: argparse.Namespace) -> bool:
    """Tell how far it is where a person looks on, and stdout is for the result."""
    return not given.json and sys.stderr.isatty()


def _unsaid(_records: int, _size_bytes: int) -> None:
    """Nobody waits for this part."""


def as_json(report: Report) -> dict[str, object]:
    """Return what ``--json`` prints: programs rely on these names."""
    return {
        "records": report.records,
        "bytes": report.size_bytes,
        "seconds": round(report.seconds, 6),
        "records_per_s": round(report.records_per_s, 1),
        "mb_per_s": round(report.megabytes_per_s, 3),
        **{
            f"{name}_ms": None if taken is None else round(taken, 3)
            for name, taken in _percentiles(report)
        },
    }


def _percentiles(report: Report) -> list[tuple[str, float | None]]:
    marks = (("p50", 50.0), ("p99", 99.0), ("p99_9", 99.9), ("max", 100.0))
    return [(name, report.percentile_ms(percent)) for name, percent in marks]


def _show(given: argparse.Namespace, report: Report, what: str) -> None:
    if given.json:
        print(json.dumps(as_json(report)))
        return
    print(
        f"{counted(report.records, 'record')} in {report.seconds:.2f} s: "
        f"{report.records_per_s:,.0f} records/s, {report.megabytes_per_s:,.1f} MB/s"
    )
    taken = [(name.replace("_", "."), ms) for name, ms in _percentiles(report) if ms is not None]
    if taken:
        print(what, ", ".join(f"{name} {ms:,.2f} ms" for name, ms in taken))
