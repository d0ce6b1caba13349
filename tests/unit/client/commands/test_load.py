"""What ``odradek bench`` measures, and how it tells it."""

from __future__ import annotations

import argparse
import json
import queue
import time
from array import array
from typing import Any

import pytest

from odradek import Consumer, Producer, TopicPartition
from odradek.commands import bench
from odradek.commands.load import CHUNK_RECORDS, Report, Shape, consume, end_to_end, produce
from odradek.records import ConsumerRecord

T0 = TopicPartition("t", 0)
QUICK = Shape(100, 20, rate=50_000.0)


class Counted:
    """Adds up what progress is told."""

    def __init__(self) -> None:
        self.records = self.size_bytes = 0

    def __call__(self, records: int, size_bytes: int) -> None:
        self.records += records
        self.size_bytes += size_bytes


def test_records_come_in_chunks_as_many_as_were_asked_for() -> None:
    chunks = list(Shape(CHUNK_RECORDS * 2 + 5, 10).chunks())
    assert [len(chunk) for chunk in chunks] == [CHUNK_RECORDS, CHUNK_RECORDS, 5]
    assert {len(value) for chunk in chunks for _, value in chunk} == {10}
    assert {key for chunk in chunks for key, _ in chunk} == {None}
    keyed = list(Shape(CHUNK_RECORDS * 3, 3, keys=CHUNK_RECORDS * 2 + 1).chunks())
    assert sum(map(len, keyed)) == CHUNK_RECORDS * 3
    assert len({key for chunk in keyed for key, _ in chunk}) == CHUNK_RECORDS * 2 + 1
    assert [len(chunk) for chunk in Shape(25, 10, rate=1_000).chunks()] == [10, 10, 5]


def test_percentiles_are_of_what_was_taken() -> None:
    report = Report(100, 1_000, 0.5, array("q", (number * 1_000_000 for number in range(100))))
    assert (report.records_per_s, report.megabytes_per_s) == (200, 0.002)
    assert [report.percentile_ms(mark) for mark in (50, 99, 99.9, 100)] == [50, 99, 99, 99]
    assert report._replace(latencies_ns=array("q")).percentile_ms(50) is None


@pytest.mark.parametrize("one_by_one", [False, True])
def test_what_is_written_is_read(real_loop: Any, one_by_one: bool) -> None:
    real_loop.topic("t")
    shape, written, read = Shape(2_500, 20, keys=7), Counted(), Counted()
    with Producer(real_loop.bootstrap) as producer:
        report = produce(producer, "t", shape, written, one_by_one=one_by_one)
    assert (report.records, written.records) == (2_500, 2_500)
    assert report.size_bytes == written.size_bytes == 2_500 * 21
    assert len(report.latencies_ns) == (25 if one_by_one else 2)
    with Consumer(
        "t", bootstrap_servers=real_loop.bootstrap, auto_offset_reset="earliest"
    ) as consumer:
        report = consume(consumer, 2_500, read, one_by_one=one_by_one)
    assert (report.records, read.records, read.size_bytes) == (2_500, 2_500, 2_500 * 20)


class Pipe:
    """A producer and a consumer of one partition; ``stall_s``: how long the first send takes."""

    def __init__(self, stall_s: float = 0.0, fails_at: int = -1) -> None:
        self.records: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.stall_s = stall_s
        self.fails_at = fails_at
        self.sent = 0

    def send(self, _topic: str, value: bytes, _key: object) -> None:
        if self.sent == self.fails_at:
            raise RuntimeError("the producer is broken")
        self.sent += 1
        time.sleep(self.stall_s)
        self.stall_s = 0.0
        self.records.put(value)

    def flush(self, _timeout: float) -> None:
        pass

    def poll(self, _timeout_ms: float, _max_records: int) -> dict[TopicPartition, Any]:
        try:
            value = self.records.get(timeout=1)
        except queue.Empty:
            return {}
        return {T0: [ConsumerRecord("t", 0, 0, 0, None, value, (), 0, 0)]}


def carry(pipe: Any, shape: Shape) -> Report:
    return end_to_end(pipe, pipe, "t", shape, Counted())


def test_a_record_counts_from_when_it_was_due() -> None:
    # The producer stands still for 200 ms: what should have been sent meanwhile has waited too.
    report = carry(Pipe(stall_s=0.2), QUICK)
    assert report.records == len(report.latencies_ns) == 100
    assert report.percentile_ms(50) >= 190  # type: ignore[operator]


def test_a_producer_that_fails_ends_the_measurement() -> None:
    with pytest.raises(RuntimeError, match="broken"):
        carry(Pipe(fails_at=3), QUICK)


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="odradek")
    bench.add_parser(parser.add_subparsers(dest="command", required=True))
    return parser.parse_args(["bench", *words])


def test_a_report_for_programs_and_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report(1_000, 100_000, 0.5, array("q", [1_000_000, 2_500_000]))
    bench._show(parse("produce", "--json"), report, "acks took")
    assert json.loads(capsys.readouterr().out) == {
        "records": 1_000,
        "bytes": 100_000,
        "seconds": 0.5,
        "records_per_s": 2_000.0,
        "mb_per_s": 0.2,
        "p50_ms": 2.5,
        "p99_ms": 2.5,
        "p99_9_ms": 2.5,
        "max_ms": 2.5,
    }
    bench._show(parse("produce"), report, "acks took")
    first, second = capsys.readouterr().out.splitlines()
    assert first == "1,000 records in 0.50 s: 2,000 records/s, 0.2 MB/s"
    assert second.startswith("acks took p50 2.50 ms, p99 ")
