"""The load that ``odradek bench`` puts on a cluster, and what it measures of it.

Times are taken by the monotonic clock of this machine.  End to end, each record carries the moment
at which it was *to be* sent: where the producer falls behind its rate, the wait counts (no
coordinated omission).
"""

from __future__ import annotations

import struct
import threading
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

from odradek.commands.counting import counted
from odradek.consumer.client import Consumer
from odradek.errors import ClientTimeoutError
from odradek.producer.client import Producer

CHUNK_RECORDS = 2_000
"""Of one ``send_many``: what is paced, and timed from being handed over to its ack."""
PACES_PER_S = 100
TIMED_EVERY = 100
"""Of single sends one in so many is timed: a callback costs more than a send."""
POLL_RECORDS = 100_000
WAIT_S = 60.0
_DUE_NS = struct.Struct(">q")
VALUE_BYTES_MIN = _DUE_NS.size

OnProgress = Callable[[int, int], None]
"""Told of so many more records and bytes."""


class Report(NamedTuple):
    """What was measured: records and their bytes within a time, and a sample of latencies."""

    records: int
    size_bytes: int
    seconds: float
    latencies_ns: array[int]

    @property
    def records_per_s(self) -> float:
        """Records in one second."""
        return self.records / self.seconds

    @property
    def megabytes_per_s(self) -> float:
        """Millions of bytes of keys and values in one second."""
        return self.size_bytes / self.seconds / 1_000_000

    def percentile_ms(self, percent: float) -> float | None:
        """Return what so many percent of the latencies do not exceed; None: none was taken."""
        if not self.latencies_ns:
            return None
        ordered = sorted(self.latencies_ns)
        place = min(len(ordered) - 1, int(len(ordered) * percent / 100))
        return ordered[place] / 1_000_000


class Shape(NamedTuple):
    """What the records are like."""

    records: int
    value_bytes: int
    keys: int = 0
    """How many different keys there are; 0: none has one."""
    rate: float | None = None
    """Records a second; None: as fast as it goes."""

    def pair(self, number: int) -> tuple[bytes | None, bytes]:
        """Return one record: its own number, filled up to its size."""
        key = b"%d" % (number % self.keys) if self.keys else None
        return key, (b"%d" % number)[: self.value_bytes].ljust(self.value_bytes, b".")

    def size_bytes(self, chunk: Sequence[tuple[bytes | None, bytes]]) -> int:
        """Return the bytes of keys and values; in no more time than what is measured may notice."""
        keys_bytes = sum(len(key or b"") for key, _ in chunk) if self.keys else 0
        return keys_bytes + self.value_bytes * len(chunk)

    def chunks(self) -> Iterator[list[tuple[bytes | None, bytes]]]:
        """Give all records, some at a time: fewer at once where the rate is low."""
        size = CHUNK_RECORDS
        if self.rate is not None:
            size = max(1, min(CHUNK_RECORDS, int(self.rate / PACES_PER_S)))
        made = [self.pair(number) for number in range(max(size, self.keys))]
        left = self.records
        while left > 0:
            for start in range(0, len(made), size):
                chunk = made[start : start + min(size, left)]
                left -= len(chunk)
                if chunk:
                    yield chunk


class _Latencies:
    """Collects how long acks took; told on the producer's thread."""

    def __init__(self) -> None:
        self.taken = array("q")

    def watch(self, future: Future[Any], began_ns: int) -> None:
        """Note how long ago it began when it ends."""
        future.add_done_callback(lambda _future: self.taken.append(time.monotonic_ns() - began_ns))


def produce(
    producer: Producer, topic: str, shape: Shape, progress: OnProgress, *, one_by_one: bool = False
) -> Report:
    """Write records by ``send_many``, or ``one_by_one``, until the last is acked.

    A latency is an ack's, from handing over.  Raises the first record's error.
    """
    latencies = _Latencies()
    began_ns = time.monotonic_ns()
    sent = size_bytes = 0
    last: Future[Any] | None = None
    for chunk in shape.chunks():
        if shape.rate is not None:
            _sleep_until(began_ns + int(sent * 1e9 / shape.rate))
        chunk_ns = time.monotonic_ns()
        if one_by_one:
            futures = [producer.send(topic, value, key) for key, value in chunk]
            for future in futures[::TIMED_EVERY]:
                latencies.watch(future, chunk_ns)
            last = futures[-1]
        else:
            last = producer.send_many(topic, chunk)
            latencies.watch(last, chunk_ns)
        chunk_bytes = shape.size_bytes(chunk)
        sent, size_bytes = sent + len(chunk), size_bytes + chunk_bytes
        progress(len(chunk), chunk_bytes)
    if last is not None:
        last.result(WAIT_S)
    producer.flush(WAIT_S)
    return Report(sent, size_bytes, _since(began_ns), latencies.taken)


def consume(
    consumer: Consumer, records: int, progress: OnProgress, *, one_by_one: bool = False
) -> Report:
    """Read so many records by ``poll``, or by iteration, and touch every value.

    A latency is a poll's that gave something.  ClientTimeoutError: nothing came for a while.
    """
    latencies = array("q")
    read = size_bytes = 0
    began_ns = time.monotonic_ns()
    if one_by_one:
        for record in consumer:
            read += 1
            size_bytes += len(record.value)
            if read >= records:
                break
        if read < records:
            raise ClientTimeoutError(f"only {read} of {counted(records, 'record')} came")
        progress(read, size_bytes)
        return Report(read, size_bytes, _since(began_ns), latencies)
    while read < records:
        poll_ns = time.monotonic_ns()
        polled = consumer.poll(WAIT_S * 1000, POLL_RECORDS)
        latencies.append(time.monotonic_ns() - poll_ns)
        if not polled:
            raise ClientTimeoutError(f"only {read} of {counted(records, 'record')} came")
        for batch in polled.values():
            batch_bytes = 0
            for record in batch:
                batch_bytes += len(record.value)
            read, size_bytes = read + len(batch), size_bytes + batch_bytes
            progress(len(batch), batch_bytes)
    return Report(read, size_bytes, _since(began_ns), latencies)


def end_to_end(
    producer: Producer, consumer: Consumer, topic: str, shape: Shape, progress: OnProgress
) -> Report:
    """Write at a rate and read at once: each latency is from when a record was to be sent.

    ``consumer`` must stand at the ends of the topic's partitions.
    """
    assert shape.rate is not None, "a latency end to end is one at a rate"
    filler = b"." * (shape.value_bytes - VALUE_BYTES_MIN)
    failed: list[BaseException] = []
    began_ns = time.monotonic_ns()

    def write() -> None:
        try:
            for number in range(shape.records):
                due_ns = began_ns + int(number * 1e9 / shape.rate)  # type: ignore[operator]
                _sleep_until(due_ns)
                key, _ = shape.pair(number)
                producer.send(topic, _DUE_NS.pack(due_ns) + filler, key)
            producer.flush(WAIT_S)
        except BaseException as error:  # noqa: BLE001 - raised by the reader, whose caller waits
            failed.append(error)

    writer = threading.Thread(target=write, name="odradek-bench", daemon=True)
    writer.start()
    latencies = array("q")
    try:
        while len(latencies) < shape.records and not failed:
            polled = consumer.poll(WAIT_S * 1000, POLL_RECORDS)
            now_ns = time.monotonic_ns()
            if not polled:
                raise ClientTimeoutError(
                    f"only {len(latencies)} of {counted(shape.records, 'record')} came"
                )
            for batch in polled.values():
                latencies.extend(now_ns - _DUE_NS.unpack_from(one.value)[0] for one in batch)
                progress(len(batch), len(batch) * shape.value_bytes)
    finally:
        writer.join(WAIT_S)
    if failed:
        raise failed[0]
    return Report(len(latencies), len(latencies) * shape.value_bytes, _since(began_ns), latencies)


def _since(began_ns: int) -> float:
    return max(1, time.monotonic_ns() - began_ns) / 1e9


def _sleep_until(due_ns: int) -> None:
    left_ns = due_ns - time.monotonic_ns()
    if left_ns > 0:
        time.sleep(left_ns / 1e9)
